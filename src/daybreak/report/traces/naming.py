"""Names of traces and spans follow from what they tell of, so that processes that never spoke to each other name the
same thing alike: a helper's runs hang below the night that another process began.
"""

from __future__ import annotations

from hashlib import sha256


def trace_of(night: str, run: str = "") -> int:
    """128 bits, never 0: of the night, or of a run that belongs to none."""
    return _bits(16, "trace", night or run)


def span_of(*words: str | int) -> int:
    """64 bits, never 0."""
    return _bits(8, *words)


def sampled(trace: int, share: float) -> bool:
    """Is this trace among the share (0 to 1) that is kept? Whole traces are, or are not, in every process alike."""
    return (trace & 0xFFFF_FFFF_FFFF_FFFF) < share * 2**64


def _bits(size: int, *words: str | int) -> int:
    joined = "\x00".join(str(word) for word in words)
    return int.from_bytes(sha256(joined.encode("utf-8", "surrogatepass")).digest()[:size], "big") or 1
