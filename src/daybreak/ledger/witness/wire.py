"""The body of C2SP tlog-witness's `add-checkpoint`: the old size, a consistency proof, a signed checkpoint.

Format: https://c2sp.org/tlog-witness.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

PATH = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
PROOF_MAX = 63
BODY_BYTES_MAX = 128 * 1024
"""No request is longer: a proof of 63 hashes, and a checkpoint with many signatures."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class RequestMalformed(ValueError):
    """Not a request of that protocol."""


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    old: int
    """The size of the last checkpoint that the witness cosigned."""
    proof: tuple[bytes, ...]
    note: str


def write(old: int, proof: Sequence[bytes], note: str) -> bytes:
    lines = [f"old {old}", *(base64.b64encode(node).decode() for node in proof), "", note]
    return "\n".join(lines).encode()


def read(data: bytes) -> AddCheckpoint:
    """Raises RequestMalformed."""
    try:
        head, gap, note = data.decode().partition("\n\n")
    except UnicodeDecodeError as error:
        raise RequestMalformed("it is not UTF-8") from error
    first, *hashes = head.split("\n")
    size = number(first.removeprefix("old ")) if first.startswith("old ") else None
    if not gap or size is None:
        raise RequestMalformed("it does not begin with the old size")
    if len(hashes) > PROOF_MAX:
        raise RequestMalformed(f"the proof has more than {PROOF_MAX} hashes")
    return AddCheckpoint(size, tuple(_node(line) for line in hashes), note)


def number(text: str) -> int | None:
    """A size as the protocol writes it; None for anything else."""
    return int(text) if _NUMBER.fullmatch(text) and int(text) < 1 << 63 else None


def origin_hash(origin: str) -> str:
    """How a log is named in the address of its last cosigned checkpoint."""
    return sha256(origin.encode()).hexdigest()


def _node(line: str) -> bytes:
    try:
        node = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestMalformed("a line of the proof is not base64") from error
    if len(node) != 32 or base64.b64encode(node).decode() != line:
        raise RequestMalformed("a line of the proof is not a hash")
    return node
