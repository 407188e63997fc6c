"""What takes long to work out, for pages that are asked for again and again: never more often than it is worth.

What is quick is worked out anew whenever the ledger has grown. What is slow is worked out by one thread beside the
pages, which meanwhile show what was found seconds ago; so ten open tabs of a home with 10,000 runs cost no more than
one. Whoever has just done something from a page calls `drop`, and sees what came of it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from daybreak.web.desk import Desk

T = TypeVar("T")

FRESH_S = 2.0
"""While no event comes; what is shown of time changes slowly."""
QUICK_S = 0.05
STALE_S = 15.0
"""What is older than this is not shown any more while the ledger has more."""
KEYS_MAX = 16
_ALL: list[Kept[Any]] = []
_log = logging.getLogger("daybreak.web")


def drop(desk: Desk) -> None:
    """Somebody has done something: what is asked for next is as new as can be."""
    for one in _ALL:
        one.drop(desk)


@dataclass(frozen=True, slots=True)
class _Found(Generic[T]):
    size: int
    at_s: float
    cost_s: float
    value: T


class Kept(Generic[T]):
    """Of one kind of thing, by the open ledger and a key."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, OrderedDict[str, _Found[T]]] = WeakKeyDictionary()
        self._busy: set[tuple[int, str]] = set()
        self._guard = threading.Lock()
        self._dropped = 0
        """How often; what was begun before counts no more."""
        _ALL.append(self)

    def get(self, desk: Desk, key: str, make: Callable[[], T]) -> T:
        """Raises what `make` raises."""
        log, now_s = desk.home.ledger, desk.clock.monotonic()
        ((size,),) = log.query("SELECT ifnull(max(leaf), -1) FROM event")
        with self._guard:
            found = self._known.get(log, OrderedDict[str, _Found[T]]()).get(key)
        if found is not None:
            age_s = now_s - found.at_s
            if found.size == size and age_s < max(FRESH_S, found.cost_s * 10):
                return found.value
            if found.cost_s > QUICK_S and age_s < STALE_S:
                self._beside(desk, key, make, int(size))
                return found.value
        return self._made(desk, key, make, int(size))

    def drop(self, desk: Desk) -> None:
        with self._guard:
            self._dropped += 1
            self._known.pop(desk.home.ledger, None)

    def _made(self, desk: Desk, key: str, make: Callable[[], T], size: int) -> T:
        began_s, dropped = desk.clock.monotonic(), self._dropped
        value = make()
        at_s = desk.clock.monotonic()
        with self._guard:
            if dropped != self._dropped:
                return value
            known = self._known.setdefault(desk.home.ledger, OrderedDict())
            old = known.pop(key, None)
            known[key] = old if old is not None and old.size > size else _Found(size, at_s, at_s - began_s, value)
            while len(known) > KEYS_MAX:
                known.popitem(last=False)
        return value

    def _beside(self, desk: Desk, key: str, make: Callable[[], T], size: int) -> None:
        """By one thread at a time for each key."""
        mark = (id(desk.home.ledger), key)
        with self._guard:
            if mark in self._busy:
                return
            self._busy.add(mark)

        def work() -> None:
            try:
                self._made(desk, key, make, size)
            except Exception:  # noqa: BLE001 - whoever asks after `STALE_S` is told by the page itself
                _log.debug("what a page keeps could not be worked out", exc_info=True, extra={"key": key})
            finally:
                with self._guard:
                    self._busy.discard(mark)

        threading.Thread(target=work, name="daybreak-web-kept", daemon=True).start()
