"""Looks again at what a saved report says was delivered, as far as this machine can, and says what it could not.

A folder: is it there, is every file the one that its manifest names, and is that the manifest that was signed? Where
this home has the run, its acceptance examples are run again in the sandbox, on a copy. A branch: does it still hold the
commit? The checks of a task in a repository are not run again.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.errors import DaybreakError

if TYPE_CHECKING:
    from daybreak.home import Home
    from daybreak.report.morning import Morning
    from daybreak.report.morning.model import Result

_BRANCH = re.compile(r"(?P<repository>/.+) \((?:branch |\S+ in )(?P<branch>\S+), commit (?P<commit>[0-9a-f]{7,64})\)")
_UNDONE = frozenset({"undo begun", "undone"})
NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Again:
    """One result that was looked at once more."""

    run: str
    output: str
    same: bool | None
    """Is it as it was verified? None: nothing of it could be looked at."""
    looked: tuple[str, ...] = ()
    """What was seen, in sentences."""
    not_looked: tuple[str, ...] = ()
    """What was not looked at, and why."""

    @property
    def words(self) -> str:
        state = {True: "as it was delivered", False: "NOT as it was delivered", None: "not looked at"}[self.same]
        missing = tuple(f"not run: {one}" for one in self.not_looked)
        return f"{self.output}: {state}: {'; '.join(self.looked + missing)}"


def look_again(report: Morning, origin: str) -> list[Again]:
    """At each result of the report that says where it lies. `origin`: of the ledger that signed it."""
    results = [one for one in (*report.verified, *report.claimed) if one.output]
    if not results:
        return []
    with _home(origin) as (home, why_not):
        return [_look(one, home, why_not) for one in results]


@contextmanager
def _home(origin: str) -> Iterator[tuple[Home | None, str]]:
    """The home whose ledger signed the report, or why there is none."""
    from daybreak import home

    if not home.places().ledger.exists():
        yield None, "there is no home here that has its specification"
        return
    with home.opened(looking=True) as opened:
        ours = opened.ledger.verifier.origin == origin
        yield (opened, "") if ours else (None, "the home here is another one and has no specification of it")


def _look(one: Result, home: Home | None, why_not: str) -> Again:
    if any(said.word in _UNDONE for said in one.said):
        return Again(one.run, one.output, None, not_looked=("a person had it undone",))
    if (branch := _BRANCH.fullmatch(one.output)) is not None:
        return _branch(one, Path(branch["repository"]), branch["branch"], branch["commit"])
    if not Path(one.output).is_absolute():
        return Again(one.run, one.output, None, not_looked=("it names no place on this machine",))
    try:
        return _folder(one, home, why_not)
    except DaybreakError as error:
        return Again(one.run, one.output, False, (f"{error.code} {error.message}",))


def _branch(one: Result, repository: Path, branch: str, commit: str) -> Again:
    from daybreak.factory.repository import git
    from daybreak.host.workspaces import git as workspaces

    checks = ("the checks of its task: this does not run them",)
    if not repository.is_dir():
        return Again(one.run, one.output, False, ("the repository is not there",), checks)
    try:
        head = git.head(repository, workspaces.check_branch(branch))
        if not head:
            return Again(one.run, one.output, False, ("the branch is not there",), checks)
        if head.startswith(commit):
            return Again(one.run, one.output, True, ("the branch ends with that commit",), checks)
        asked = ["merge-base", "--is-ancestor", commit, head]
        if git.ask(workspaces.find(repository).git_dir, asked).ok:
            return Again(one.run, one.output, True, (f"the branch holds it and went on to {head[:12]}",), checks)
    except DaybreakError as error:
        return Again(one.run, one.output, False, (f"{error.code} {error.message}",), checks)
    return Again(one.run, one.output, False, (f"the branch is at {head[:12]} and does not hold the commit",), checks)


def _folder(one: Result, home: Home | None, why_not: str) -> Again:
    from daybreak.factory import deliver

    target = Path(one.output)
    examples = f"its acceptance examples: {why_not}"
    if not target.is_dir():
        return Again(one.run, one.output, False, ("it is not there",), ("its acceptance examples",))
    if differs := deliver.changes(target):
        named = ", ".join(differs[:NAMED_MAX]) + (
            f" and {len(differs) - NAMED_MAX} more" if differs[NAMED_MAX:] else ""
        )
        return Again(one.run, one.output, False, (named,), ("its acceptance examples, which are of what was there",))
    if _sha256(target / deliver.MANIFEST) != one.manifest:
        whose = f"its manifest is another one, of run {deliver.run_at(target) or '?'}"
        return Again(one.run, one.output, False, (whose,), ("its acceptance examples, which are of what was there",))
    if one.provenance and one.provenance != _sha256(target / deliver.PROVENANCE):
        why = f"{deliver.PROVENANCE} is not the one that was delivered"
        return Again(one.run, one.output, False, (why,), ("its acceptance examples",))
    seen = "every file is the one that the signed manifest names"
    if home is None:
        return Again(one.run, one.output, True, (seen,), (examples,))
    passed, told, missing = _examples(one.run, target, home)
    return Again(one.run, one.output, passed, (seen, *told), missing)


def _sha256(path: Path) -> str:
    """Empty where there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _examples(run: str, target: Path, home: Home) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """Did those that could be run pass; what was seen; what was not run. Of examples that no worker has seen nothing is
    told but their number."""
    from daybreak.factory import looking
    from daybreak.factory.deliver import OURS
    from daybreak.factory.phases.wanted import BuildArgs
    from daybreak.factory.spec import read_text
    from daybreak.factory.verdicts import standing
    from daybreak.host import removal, tree

    task = standing.task_of(home.ledger, run)
    args = BuildArgs.model_validate(task.args) if task.kind == "build" else None
    if args is None or not args.specification or args.requirement:
        return True, (), ("acceptance examples: this run was given no specification of a user's",)
    text = home.ledger.get_blob(args.specification).decode()
    spec = read_text(text, name=args.specification_name, format=args.format)
    home.places.workspaces.mkdir(parents=True, exist_ok=True)
    with removal.scratch(home.places.workspaces, "again-") as scratch:
        copy = scratch / "delivered"
        tree.unpack(tree.pack(target), copy)
        for name in OURS:
            (copy / name).unlink(missing_ok=True)
        taken = tree.take(copy)
        result = looking.Result(
            spec=spec,
            workspace=taken.tree.hash,
            packed=taken.packed,
            scratch=scratch,
            cache=home.places.cache / "types",
            serve=spec.serve or f"{spec.name} serve --port {{port}}",
            require=args.sandbox,
            cancelled=threading.Event(),
            tools=args.tools,
        )
        return _ran(result, spec.examples)


def _ran(result: Any, examples: Sequence[Any]) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    if not examples:
        return True, (), ("acceptance examples: its specification has none",)
    if result.product() is None:
        return False, ("it can not be installed any more",), ("its acceptance examples",)
    found = [result.example(one).outcome for one in examples]
    passed, unusable = found.count("passed"), found.count("unusable")
    told = f"{passed} of {len(found)} acceptance examples passed in the sandbox just now"
    missing = (f"{unusable} of its examples: this machine cannot run them",) if unusable else ()
    return passed + unusable == len(found), (told,), missing
