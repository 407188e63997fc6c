"""Runs of a project's tests on changed copies of it, and what became of each; see `mutating` for the other side."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.checks import sandboxed, watched
from daybreak.errors import CheckError
from daybreak.host import process
from daybreak.host.sandbox import Strength

SRC = "src"
TOLD_BYTES_MAX = 50_000_000
SLOWER = 4
"""How many times as long as usual tests may take before they count as hanging."""
PATIENCE_S = 5.0
TEST_CHARS_MAX = 1_000
_NEAR = 6
"""Lines of one statement: what runs is told of its first line, or of those that do something."""
_MUTATING = str(Path(__file__).with_name("mutating.py"))
_CHANNEL = 9


class NotMutated(CheckError):
    """The tests could not be tried on changed programs; the message says why."""

    code = "C191"


@dataclass(frozen=True, slots=True)
class Change:
    """A mutant with the tests that reach it, the quickest first. `id`: from 0 in the sample, below 0 for controls."""

    id: int
    path: str
    line: int
    words: str
    start: int
    end: int
    text: str
    tests: tuple[str, ...]
    covered: bool
    seconds: float
    """That its tests take."""

    @property
    def control(self) -> bool:
        return self.id < 0

    def order(self) -> dict[str, Any]:
        limit_s = PATIENCE_S + SLOWER * self.seconds
        return {
            "id": self.id,
            "path": f"{SRC}/{self.path}",
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "tests": self.tests,
            "timeout_s": limit_s,
            "cpu_s": limit_s,
        }


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one change."""

    outcome: str
    """`killed`, `survived` or `timeout`."""
    test: str = ""
    """The one that failed first, or was under way when the time was over; empty where none was. Told by the tests'
    own process: good for people, and no proof."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Which tests run which lines, on the program as it is."""

    tests: tuple[str, ...]
    seconds: tuple[float, ...]
    lines: dict[str, dict[int, tuple[int, ...]]]
    imports: tuple[str, ...]
    everywhere: bool
    """The tests start programs, in which nothing was measured: any of them may reach any line."""

    def of(self, path: str, line: int) -> tuple[tuple[str, ...], bool]:
        """The tests for a line, and whether any of them runs it. Of a line that runs on import: all."""
        found = self.lines.get(f"{SRC}/{path}", {})
        near = next((at for at in range(line, max(0, line - _NEAR), -1) if at in found), None)
        if near is None:
            return (self._quickest(range(len(self.tests))), True) if self.everywhere else ((), False)
        return self._quickest(found[near] or range(len(self.tests))), True

    def _quickest(self, numbers: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.tests[number] for number in sorted(numbers, key=lambda number: self.seconds[number]))

    def time_s(self, tests: Sequence[str]) -> float:
        took = dict(zip(self.tests, self.seconds, strict=True))
        return sum(took[test] for test in tests)


@dataclass(frozen=True)
class Suite:
    """A project and its tests, to be tried on changes of it."""

    plain: Path
    """Its tree, which nothing writes to."""
    folder: Path
    """Where it is tried: real, empty but for what an earlier call of ours left there."""
    require: Strength = sandboxed.WANTED
    cancelled: threading.Event | None = None

    def measure(self, timeout_s: float) -> Reached:
        """Run the tests once. Raises NotMutated where they do not pass, or cannot be measured; HostError."""
        told: list[bytes] = []
        (self.folder / "cache").mkdir()
        finished = self._speak("map", {"verb": "map", "sources": [SRC]}, told.append, timeout_s)
        try:
            said = json.loads(b"".join(told).splitlines()[-1])
            if said["failed"] or not said["tests"]:
                raise NotMutated(
                    f"the tests do not pass as they are: {watched.some(map(str, said['failed'])) or 'none ran'}",
                    hint="mend them first",
                )
            return _reached(said, timeout_s, _starts_programs(self.plain / "tests"))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise NotMutated(
                f"what the tests reach cannot be measured: the run ended with {finished.ending}",
                hint="look whether the tests end the interpreter, or hang",
            ) from error

    def outcomes(
        self, parts: Sequence[Sequence[Change]], reached: Reached, *, budget_s: float, lanes: int = 1
    ) -> dict[int, str]:
        """`killed`, `survived` or `timeout` by the id of the change; see `tried`."""
        tried = self.tried(parts, reached, budget_s=budget_s, lanes=lanes)
        return {id_: one.outcome for id_, one in tried.items()}

    def tried(
        self, parts: Sequence[Sequence[Change]], reached: Reached, *, budget_s: float, lanes: int = 1
    ) -> dict[int, Tried]:
        """By the id of the change; nothing of those for which the time was over.

        Each part has a process of its own, `lanes` of them at a time. Raises HostError.
        """
        found: dict[int, Tried] = {}
        deadline = time.monotonic() + budget_s
        waiting, taking = iter(enumerate(parts)), threading.Lock()

        def hear(line: bytes) -> None:
            try:
                told = json.loads(line)
                outcome, id_, test = told["outcome"], told["id"], str(told.get("test", ""))[:TEST_CHARS_MAX]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return  # not the runner's; what it does not tell is not known
            if outcome in ("killed", "survived", "timeout") and isinstance(id_, int):
                with taking:
                    found.setdefault(id_, Tried(outcome, test))

        def work() -> None:
            while True:
                with taking:
                    number, part = next(waiting, (0, None))
                left_s = deadline - time.monotonic()
                if part is None or left_s <= 0 or (self.cancelled is not None and self.cancelled.is_set()):
                    return
                order = {
                    "verb": "run",
                    "sources": [SRC],
                    "imports": reached.imports,
                    "changes": [change.order() for change in part],
                }
                self._speak(f"part-{number}", order, hear, left_s)

        with ThreadPoolExecutor(max_workers=max(1, lanes), thread_name_prefix="mutation") as pool:
            for lane in [pool.submit(work) for _ in range(max(1, lanes))]:
                lane.result()
        return found

    def _speak(
        self, name: str, order: dict[str, Any], hear: Callable[[bytes], None], timeout_s: float
    ) -> process.Finished:
        """Run the runner with that order, in a fresh place; `hear` gets each whole line that it tells, as it comes."""
        place, cache = self.folder / name, self.folder / "cache"
        work = place / "work"
        work.mkdir(parents=True)
        maps = order["verb"] == "map"
        channel_out, channel_in = os.pipe()
        try:
            try:
                guarded = process.Guarded(
                    [sys.executable, "-I", _MUTATING, self.plain, work, cache],
                    cwd=work,
                    env=process.clean_environment(place),
                    timeout_s=timeout_s,
                    stdin=json.dumps(order).encode(),
                    fds={_CHANNEL: channel_in},
                    merge=True,
                    cancelled=self.cancelled,
                    sandbox=sandboxed.around(
                        *((work, cache) if maps else (work,)),
                        *sandboxed.homes(place),
                        readable=[self.plain] if maps else [self.plain, cache],
                        require=self.require,
                    ),
                )
            finally:
                os.close(channel_in)
            try:
                guarded.listen(channel_out, _Lines(hear, guarded.end))
                while not guarded.over:
                    guarded.pump()
                return guarded.finish()
            finally:
                guarded.close()
        finally:
            os.close(channel_out)
            shutil.rmtree(place, ignore_errors=True)


class _Lines:
    """Cuts what comes into lines; asks for the end where too much comes."""

    def __init__(self, hear: Callable[[bytes], None], end: Callable[[], None]) -> None:
        self._hear, self._end = hear, end
        self._rest, self._told = b"", 0

    def __call__(self, part: bytes) -> None:
        self._told += len(part)
        if self._told > TOLD_BYTES_MAX:
            self._end()
            return
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            self._hear(line + b"\n")


def _reached(said: dict[str, Any], timeout_s: float, everywhere: bool) -> Reached:
    """As told. Raises ValueError, KeyError or TypeError for what the runner would never tell."""
    tests = tuple(str(test) for test in said["tests"])
    seconds = tuple(min(max(0.0, float(one)), timeout_s) for one in said["seconds"])
    if len(seconds) != len(tests):
        raise ValueError("a time for each test")
    lines = {
        str(path): {
            int(line): tuple(int(one) for one in numbers if 0 <= int(one) < len(tests))
            for line, numbers in found.items()
        }
        for path, found in said["lines"].items()
    }
    return Reached(tests, seconds, lines, tuple(str(name) for name in said["imports"]), everywhere)


def _starts_programs(tests: Path) -> bool:
    return any(
        word in path.read_bytes()
        for path in tests.rglob("*.py")
        if path.is_file() and not path.is_symlink()
        for word in (b"subprocess", b"pexpect", b"os.system", b"Popen")
    )
