"""The program that a bundle begins with: `start.txt`, told for what it was made."""

from __future__ import annotations

from pathlib import Path

from daybreak.factory.bundling import listing
from daybreak.factory.bundling.listing import Contents

_TEXT = Path(__file__).with_name("start.txt")
_FACTS = "@FACTS@"


def program(about: Contents, room: int) -> str:
    """`room`: bytes that it needs when unpacked."""
    facts = {
        "digest": listing.DIGEST,
        "python": about.python,
        "implementation": about.implementation,
        "abiflags": about.abiflags,
        "system": about.system,
        "machine": about.machine,
        "libc": about.libc,
        "platform": about.platform,
        "room": room,
        "seal": listing.SEAL,
    }
    return _TEXT.read_text(encoding="utf-8").replace(_FACTS, repr(facts))
