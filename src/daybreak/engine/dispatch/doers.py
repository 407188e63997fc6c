"""Functions that jobs name, and what they share on one machine."""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from daybreak.engine.dispatch.job import Doing
from daybreak.engine.dispatch.problems import JobBroken

_OURS = "daybreak."
Kept = dict[str, Any]
"""What a machine keeps of one bench."""


def find(name: str) -> Callable[[Doing], Any]:
    """The function `module:function` of this package. Raises JobBroken for any other."""
    module, _, function = name.partition(":")
    if module.startswith(_OURS) and function.isidentifier() and not function.startswith("_"):
        try:
            found: Callable[[Doing], Any] = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError):
            pass
        else:
            return found
    raise JobBroken(f"there is no doer {name!r:.200}", hint="node and coordinator must have the same Daybreak")


class Benches:
    """What is kept for each bench, oldest out first where there are more than `most`; `gone` then hears what was kept
    of it."""

    def __init__(self, most: int | None = None, gone: Callable[[Kept], None] = lambda kept: None) -> None:
        self._most = most
        self._gone = gone
        self._kept: OrderedDict[str, tuple[Kept, threading.Lock]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str) -> tuple[Kept, threading.Lock]:
        if not name:
            return {}, threading.Lock()
        with self._lock:
            found = self._kept.get(name)
            if found is None:
                found = self._kept[name] = ({}, threading.Lock())
            self._kept.move_to_end(name)
            dropped = []
            while self._most is not None and len(self._kept) > self._most:
                dropped.append(self._kept.popitem(last=False)[1][0])
        for one in dropped:
            self._gone(one)
        return found

    def drop(self, name: str) -> None:
        with self._lock:
            there = self._kept.pop(name, None)
        if there is not None:
            self._gone(there[0])

    def drop_all(self) -> None:
        with self._lock:
            names = list(self._kept)
        for name in names:
            self.drop(name)
