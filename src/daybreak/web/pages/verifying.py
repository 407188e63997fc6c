"""Verification of the ledger in the background. It is a program of its own, so that no page waits for it and a check of
a million events takes no time from whoever looks; it ends with the server, because then nobody reads what it says."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from daybreak.clock import Clock, stamp
from daybreak.config import Places

LINE_BYTES_MAX = 16 * 1024 * 1024
PROBLEMS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Check:
    """A check that was begun here."""

    state: Literal["running", "done", "failed"]
    whole: bool
    """Everything was to be read."""
    began: str
    ended: str = ""
    done: int = 0
    of: int = 0
    """Events; 0 until it is known."""
    ok: bool = False
    mode: str = ""
    """What it became: `full` or `incremental`."""
    events: int = 0
    """Read and checked."""
    taken: int = 0
    """Older ones, taken from an earlier check."""
    since: str = ""
    """When that one ended."""
    whole_at: str = ""
    """When the last whole check ended, before this one."""
    seconds: float = 0.0
    problems: tuple[tuple[str, str], ...] = ()
    """Place, and what is not as it should be."""
    more: int = 0
    notes: tuple[str, ...] = ()
    why: str = ""
    """Where it failed as a program: in words."""

    @property
    def running(self) -> bool:
        return self.state == "running"


class Verifying:
    """One for each server; one check at a time."""

    def __init__(self, places: Places, clock: Clock) -> None:
        self._places, self._clock = places, clock
        self._guard = threading.Lock()
        self._check: Check | None = None

    @property
    def check(self) -> Check | None:
        """The newest; None before the first one."""
        with self._guard:
            return self._check

    def begin(self, *, whole: bool = False) -> bool:
        """False where one is under way. Returns at once."""
        with self._guard:
            if self._check is not None and self._check.running:
                return False
            self._check = Check("running", whole, stamp(self._clock.now()))
        threading.Thread(target=self._run, args=(whole,), name="verification", daemon=True).start()
        return True

    def _run(self, whole: bool) -> None:
        places = self._places
        asked = [str(places.ledger), str(places.keys), str(places.witness), *(["whole"] if whole else [])]
        program = [sys.executable, "-P", "-m", "daybreak.web.pages.verifier", *asked]
        result: dict[str, Any] | None = None
        try:
            with subprocess.Popen(
                program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                assert process.stdout is not None
                while raw := process.stdout.readline(LINE_BYTES_MAX):
                    told = msgspec.json.decode(raw)
                    if "done" in told:
                        self._change(done=int(told["done"]), of=int(told["of"]))
                    else:
                        result = told
            why = "" if result is not None else f"the program ended with status {process.returncode} before its result"
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            result, why = None, f"the check could not be run: {error}"
        ended = stamp(self._clock.now())
        if result is None:
            self._change(state="failed", ended=ended, why=why)
        else:
            problems = tuple((str(place), str(what)) for place, what in result.pop("problems"))
            notes = tuple(map(str, result.pop("notes")))
            self._change(state="done", ended=ended, problems=problems, notes=notes, **result)

    def _change(self, **to: Any) -> None:
        with self._guard:
            assert self._check is not None, "it was begun"
            self._check = replace(self._check, **to)
