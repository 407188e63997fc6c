"""What tests prove: run again on two altered copies of the program, one that works as before and one that is broken.

Whoever runs in the process of the tests can make up every result in it. So results are believed by how they change
with the program, which is altered outside of that process. A test counts where it passes on the program, passes on
a working copy whose text differs, and does not pass on a broken copy. Making up passes fails on the broken copy;
making up failures wherever the sources are not as they were fails on the working one. Both copies run at the same
place, in a random order, and differ in digits only (see `altering`). Who evaluates those, or runs the program, to
learn which copy it is can still make up both: what is shown then is that the program was run, and nothing more.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from daybreak.checks import sandboxed, watched
from daybreak.errors import CheckError
from daybreak.host import process
from daybreak.host.sandbox import Strength

COUNTING_SHARE_MIN = 0.5
"""Of the tests that passed."""
BROKEN_S_MIN = 5.0
ALTERING_S_MAX = 60.0
_ALTERING = str(Path(__file__).with_name("altering.py"))


@dataclass(frozen=True, slots=True)
class Weighed:
    """What became of the tests that passed on the program as it is."""

    counting: frozenset[str]
    unmoved: frozenset[str]
    """Pass where the program is broken too."""
    unsteady: frozenset[str]
    """Do not pass on a copy that does the same."""
    duration_ms: int
    cancelled: bool = False

    @property
    def passed(self) -> int:
        """How many tests there are to weigh."""
        return len(self.counting | self.unmoved | self.unsteady)

    def problems(self) -> list[str]:
        """Why the tests prove too little; nothing where enough of them count."""
        if self.counting and len(self.counting) >= COUNTING_SHARE_MIN * self.passed:
            return []
        found = []
        if self.unmoved:
            found.append(
                f"{len(self.unmoved)} of {self.passed} tests still pass when the program is broken (every function "
                f"of src raises NameError), so they prove nothing: {watched.some(sorted(self.unmoved))}"
            )
        if self.unsteady:
            found.append(
                f"{len(self.unsteady)} of {self.passed} tests do not pass on a copy of the program that does the same "
                f"(src with one more statement in every function): {watched.some(sorted(self.unsteady))}"
            )
        return found


class NotAltered(CheckError):
    """A copy of the program could not be altered; the message says how that ended."""

    code = "C151"


def weigh(
    tree: Path,
    place: Path,
    passed: set[str],
    *,
    first_s: float,
    timeout_s: float,
    require: Strength,
    cancelled: threading.Event | None,
) -> Weighed:
    """Run the tests of `tree` on both copies, one after the other at `place`, a path at which nothing is.

    `passed` are the tests that passed on the program as it is, in `first_s` seconds; the broken copy gets twice
    that, at least `BROKEN_S_MIN`, and what has no result by then did not pass. Raises NotAltered, HostError, OSError.
    """
    results: dict[str, set[str]] = {}
    duration_ms = 0
    order = ["working", "broken"]
    if secrets.randbelow(2):
        order.reverse()
    for kind in order:
        limit_s = timeout_s if kind == "working" else min(timeout_s, max(BROKEN_S_MIN, 2 * first_s))
        _make(tree, place, kind, require)
        finished, seen = watched.run(place, measured=False, timeout_s=limit_s, cancelled=cancelled, require=require)
        place.rename(place.with_name(kind))
        duration_ms += finished.duration_ms
        if finished.cancelled:
            none: frozenset[str] = frozenset()
            return Weighed(none, none, none, duration_ms, cancelled=True)
        results[kind] = seen.passed if kind == "broken" or seen.own_test in seen.failed else set()
    unmoved = passed & results["broken"]
    unsteady = passed - results["working"]
    return Weighed(
        counting=frozenset(passed - unmoved - unsteady),
        unmoved=frozenset(unmoved),
        unsteady=frozenset(unsteady),
        duration_ms=duration_ms,
    )


def _make(tree: Path, place: Path, kind: str, require: Strength) -> None:
    place.mkdir()
    copy = place / "copy"
    shutil.copytree(tree, copy, symlinks=True)
    env = process.clean_environment(place)
    finished = process.run(
        [sys.executable, "-I", "-S", _ALTERING, kind, copy / "src"],
        cwd=copy,
        env=env,
        timeout_s=ALTERING_S_MAX,
        sandbox=sandboxed.around(copy, *sandboxed.homes(place), require=require),
    )
    if not finished.ok:
        raise NotAltered(
            f"the sources cannot be altered, so it cannot be seen what their tests prove: {finished.ending}",
            hint="look for a file in src that is very large or deeply nested, and split it",
        )
