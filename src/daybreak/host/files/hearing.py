"""Who wants to hear of files that were written: for traces. Nobody usually does, and then it costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wrote:
    """Something is on disk."""

    path: str
    """The file, or the folder of a transaction."""
    changes: int
    took_ns: int


Hearer = Callable[[Wrote], None]
"""Called on the thread that wrote. It must be quick and must not raise."""

_hearers: tuple[Hearer, ...] = ()


@contextmanager
def hearing(hearer: Hearer) -> Iterator[None]:
    """Within the block it hears of every transaction and every single file that this process writes."""
    global _hearers
    _hearers = (*_hearers, hearer)
    try:
        yield
    finally:
        _hearers = tuple(one for one in _hearers if one is not hearer)


def begun() -> int:
    """A moment for `wrote`; 0 where nobody listens."""
    return time.monotonic_ns() if _hearers else 0


def wrote(path: object, changes: int, began_ns: int) -> None:
    """Tell it."""
    if not began_ns:
        return
    told = Wrote(str(path), changes, time.monotonic_ns() - began_ns)
    for hearer in _hearers:
        hearer(told)
