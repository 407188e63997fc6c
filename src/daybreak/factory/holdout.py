"""Which acceptance examples the workers never see.

The choice is a keyed hash: whoever does not hold the key cannot tell which ones, and the same key makes the
same choice for the same examples, so that a resumed or repeated build hides the same share.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from daybreak.checks.example import Example
from daybreak.errors import HostError
from daybreak.host.files import write_file

KEY_FILE = "holdout.key"
KEY_BYTES = 32


class HoldoutKeyInvalid(HostError):
    """The key that chooses the held-out examples is damaged."""

    code = "H141"


def choose(examples: Iterable[Example], share: float, key: bytes) -> frozenset[str]:
    """Ids of the round(n × share) examples, halves rounded up, whose keyed hash is smallest. `share`: 0 to 0.8."""
    ids = [example.id for example in examples]
    count = int((Decimal(len(ids)) * Decimal(str(share))).to_integral_value(ROUND_HALF_UP))
    ranked = sorted(ids, key=lambda id: hmac.new(key, id.encode(), hashlib.sha256).digest())
    return frozenset(ranked[:count])


def read_or_make_key(keys: Path) -> bytes:
    """The key in `keys`, made with mode 0600 on first use. Raises HoldoutKeyInvalid if it is damaged."""
    path = keys / KEY_FILE
    if not path.exists():
        keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(path, os.urandom(KEY_BYTES), mode=0o600)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise HoldoutKeyInvalid(
            f"{path} holds {len(key)} bytes instead of {KEY_BYTES}",
            hint="restore it from a backup; or move it away, then a new key hides other examples",
        )
    return key
