"""The tests of one candidate on the program of another. What comes of it is a doubt, never a verdict."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

from daybreak.checks import sandboxed, watched
from daybreak.errors import HostError
from daybreak.factory.consensus.model import Candidate, Crossing
from daybreak.factory.consensus.observing import NotObserved
from daybreak.host.sandbox import Strength

NAMES_MAX = 2_000


def cross(
    author: Candidate,
    tests: Path,
    on: Candidate,
    program: Path,
    scratch: Path,
    *,
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 120,
    cancelled: threading.Event | None = None,
) -> Crossing:
    """Run `tests/tests`, of the author's tree, on the sources of `program`, the tree of another; neither is changed.

    Where their interfaces differ so much that no test can be collected, or the run ends early, nothing is known and
    `why_not` says why. Raises NotObserved where it was cancelled.
    """
    if not (tests / "tests").is_dir():
        return Crossing(author=author.name, on=on.name, why_not="there are no tests")
    folder = Path(tempfile.mkdtemp(prefix="cross-", dir=scratch.resolve()))
    copy = folder / "copy"
    try:
        shutil.copytree(program, copy, symlinks=True, ignore=lambda place, names: _own(place, names, program))
        shutil.copytree(tests / "tests", copy / "tests", symlinks=True)
        finished, seen = watched.run(
            copy.parent, measured=False, timeout_s=timeout_s, cancelled=cancelled, require=require
        )
    except (HostError, OSError) as error:
        return Crossing(author=author.name, on=on.name, why_not=f"could not look: {error}")
    if finished.cancelled:
        raise NotObserved(f"the tests of {author.name} on {on.name} were cancelled", hint="run them again")
    seen.failed.pop(seen.own_test, None)
    passed = sorted(seen.passed)[:NAMES_MAX]
    failed = sorted(test for test in seen.failed if test in seen.items)[:NAMES_MAX]
    if seen.end is None:
        why = f"the run ended early: {finished.ending}"
        return Crossing(author=author.name, on=on.name, why_not=why)
    if not passed and not failed:
        return Crossing(author=author.name, on=on.name, why_not="none of them could be collected there")
    return Crossing(author=author.name, on=on.name, passed=tuple(passed), failed=tuple(failed))


def _own(place: str, names: list[str], program: Path) -> list[str]:
    """What of the other's tree is left out: its own tests."""
    return [name for name in names if name == "tests" and Path(place) == program]
