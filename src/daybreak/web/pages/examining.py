"""The doctor's look at this machine, in the background: it asks programs, disks and replicas, which takes seconds, so a
page shows what was found last and when."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from daybreak.clock import Clock, stamp
from daybreak.config import Places
from daybreak.factory.health import Finding
from daybreak.home.withheld import without_examples

AGAIN_S = 600.0
"""A page that is opened begins another look where the last one is older."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found. `at` is empty before the first look."""

    findings: tuple[Finding, ...] = ()
    at: str = ""
    running: bool = False
    wrong: str = ""
    """Why the last look came to no end."""

    def of(self, level: str) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.level == level)


class Examining:
    """One for each server; one look at a time."""

    def __init__(self, places: Places, clock: Clock) -> None:
        self._places, self._clock = places, clock
        self._guard = threading.Lock()
        self._found = Examined()
        self._ended: float | None = None

    @property
    def found(self) -> Examined:
        with self._guard:
            return self._found

    def begin(self, *, anyway: bool = True) -> bool:
        """False where one is under way; without `anyway` also where the last one is fresh. Returns at once."""
        with self._guard:
            fresh = self._ended is not None and self._clock.monotonic() - self._ended < AGAIN_S
            if self._found.running or (fresh and not anyway):
                return False
            self._found = Examined(self._found.findings, self._found.at, running=True)
        threading.Thread(target=self._run, name="examination", daemon=True).start()
        return True

    def _run(self) -> None:
        try:
            made = Examined(tuple(look(self._places, self._clock)), stamp(self._clock.now()))
        except Exception as error:  # noqa: BLE001 - a thread that died would leave the page waiting for ever
            made = Examined(self._found.findings, self._found.at, wrong=f"{type(error).__name__}: {error}")
        with self._guard:
            self._found, self._ended = made, self._clock.monotonic()


def look(places: Places, clock: Clock, *, roots: Callable[[], list[Path]] | None = None) -> list[Finding]:
    """As `daybreak doctor`, without repairing anything, and without what questions of runs say of examples."""
    from daybreak import home
    from daybreak.factory import health

    found = health.examine(
        places, clock, home.views(), roots=(roots or _roots)(), settings=home.settings, environment=os.environ
    )
    return [replace(one, text=without_examples(one.text), hint=without_examples(one.hint)) for one in found]


def _roots() -> list[Path]:
    """The folder that the server was begun in, where there still is one."""
    try:
        return [Path.cwd()]
    except OSError:
        return []
