"""Running a check that passed again on altered copies of the program: does it fail where the program does nothing?"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from daybreak.checks import altering, sandboxed, watched
from daybreak.factory.repository.checks import NAME_CHARS_MAX, Check, NotRunnable, Pytest
from daybreak.factory.repository.running import Bench, ran
from daybreak.host import process

ALTERING_S_MAX = 120.0
_TAKES_VALUE = frozenset(
    [
        "-c",
        "-p",
        "-k",
        "-m",
        "-o",
        "-W",
        "--rootdir",
        "--confcutdir",
        "--ignore",
        "--deselect",
        "--tb",
        "--cov",
        "--import-mode",
    ]
)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What became of what passed, where the program was altered (see `checks.twins`)."""

    of: int
    """Tests looked at; 1 for a command."""
    unmoved: frozenset[str]
    """Pass where every function is broken too."""
    unsteady: frozenset[str]
    """Do not pass on a copy that does the same."""
    duration_ms: int = 0

    def problems(self) -> list[str]:
        counting = self.of - len(self.unmoved | self.unsteady)
        if counting and 2 * counting >= self.of:
            return []
        found = []
        if self.unmoved:
            found.append(
                f"{len(self.unmoved)} of {self.of} still pass when every function of the program raises NameError, "
                f"so they prove nothing: {watched.some(sorted(self.unmoved))}"
            )
        if self.unsteady:
            found.append(
                f"{len(self.unsteady)} of {self.of} do not pass on a copy of the program that does the same: "
                f"{watched.some(sorted(self.unsteady))}"
            )
        return found


def weigh(
    check: Check, bench: Bench, folder: Path, sources: Sequence[str], tests: Sequence[str], first_s: float
) -> Weighed | None:
    """Run a check that passed again, on a working and on a broken copy of the files in `sources` (paths), at one place
    below `folder`. Of pytest only `tests` are run. None where the sources hold no function, so nothing can be altered.

    Raises NotRunnable where they cannot be altered, and what `run` does."""
    again = check
    if check.pytest is not None:
        again = replace(check, pytest=replace(check.pytest, arguments=_only(check.pytest, tests, bench.files)))
    looked = frozenset(tests) if check.pytest is not None else frozenset({check.command[:NAME_CHARS_MAX]})
    passed: dict[str, frozenset[str]] = {}
    duration_ms = 0
    kinds = ["working", "broken"]
    if secrets.randbelow(2):
        kinds.reverse()
    for kind in kinds:
        place = folder / "twin"
        place.mkdir(parents=True)
        shutil.copytree(bench.files, place / "copy", symlinks=True)
        if not _alter(kind, bench, place, sources):
            return None
        limit_s = bench.limit_s if kind == "working" else min(bench.limit_s, max(5.0, 2 * first_s))
        seen = ran(again, replace(bench, limit_s=limit_s), place)
        place.rename(folder / kind)
        duration_ms += seen.finished.duration_ms
        if seen.tally is None:
            passed[kind] = looked if seen.passed else frozenset()
        else:
            forged = kind == "working" and any("must fail" in problem for problem in seen.problems)
            passed[kind] = frozenset() if forged else frozenset(seen.tally.passed)
    return Weighed(len(looked), looked & passed["broken"], looked - passed["working"], duration_ms)


def _only(pytest: Pytest, tests: Sequence[str], files: Path) -> tuple[str, ...]:
    """The same arguments for these tests only; as they are where names of tests are no paths from here."""
    if not all((files / test.split("::")[0]).exists() for test in tests):
        return pytest.arguments
    kept = [
        word
        for at, word in enumerate(pytest.arguments)
        if word.startswith("-")
        or (at and pytest.arguments[at - 1] in _TAKES_VALUE)
        or not (files / word.split("::")[0]).exists()
    ]
    return (*kept, *tests)


def _alter(kind: str, bench: Bench, place: Path, sources: Sequence[str]) -> bool:
    """Alter these files of `place/copy`, outside of the reach of what runs there later; whether anything changed."""
    copy, aside = place / "copy", place / "aside"
    for path in sources:
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(copy / path, aside / path, follow_symlinks=False)
    if not aside.exists():
        return False
    finished = process.run(
        [sys.executable, "-I", "-S", altering.__file__, kind, aside],
        cwd=aside,
        env=process.clean_environment(place),
        timeout_s=ALTERING_S_MAX,
        sandbox=sandboxed.around(aside, *sandboxed.homes(place), require=bench.require),
    )
    if not finished.ok:
        raise NotRunnable(
            f"the sources cannot be altered, so it cannot be seen what the check proves: {finished.ending}",
            hint="look for a Python file that is very large or deeply nested, and split it",
        )
    changed = False
    for path in sources:
        altered = aside / path
        if altered.is_symlink() or not altered.is_file():
            continue
        data = altered.read_bytes()
        if data != (copy / path).read_bytes():
            changed = True
            mode = (copy / path).stat().st_mode
            (copy / path).unlink()
            (copy / path).write_bytes(data)
            (copy / path).chmod(mode)
    shutil.rmtree(aside)
    return changed
