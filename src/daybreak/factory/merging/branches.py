"""Which branches are to be merged, and what the ledger knows of them: the task, its checks, what was delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from daybreak import events
from daybreak.engine import verdicts
from daybreak.errors import UsageError
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository.task import KIND, RepositoryArgs
from daybreak.factory.spec.model import Needed
from daybreak.host.sandbox import Strength
from daybreak.host.workspaces import git
from daybreak.ledger import Ledger

BRANCH = "daybreak/{run}"
CHECK_S = 600.0


class NotMergeable(UsageError):
    """A branch that is not there, or that nothing says how to check."""

    code = "U241"


class Entry(BaseModel):
    """One branch of the queue, as it was when it was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    branch: str
    commit: str
    """What is merged, wherever the branch goes meanwhile."""
    run: str = ""
    """That delivered exactly this commit; empty: somebody's own branch."""
    title: str = ""
    checks: tuple[str, ...]
    protect: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    check_s: float = CHECK_S
    sandbox: Strength = "degraded"
    needs: Needed = Needed()


def named(ledger: Ledger, repository: Path, names: Sequence[str], checks: Sequence[str]) -> list[Entry]:
    """The branches of these names, in that order, each once; `checks` are looked at for each beside its own.

    Raises NotMergeable with everything that is wrong, WorkspaceRefused for what cannot be a branch."""
    found, wrong = [], []
    for name in dict.fromkeys(names):
        head = repositorygit.head(repository, git.check_branch(name))
        if not head:
            wrong.append(f"there is no branch {name!r:.100}")
            continue
        args = _delivered(ledger, repository, name, head)
        if args is None and not checks:
            moved = " any more: somebody has changed it" if name.startswith("daybreak/run-") else ""
            wrong.append(f"{name!r:.100} is at {head[:12]}, which no run of this ledger has verified{moved}")
            continue
        found.append(_entry(name, head, args, checks))
    if wrong:
        raise NotMergeable(
            "; ".join(wrong),
            hint="`git branch` lists branches; give --check 'pytest -q' for those that are not of this ledger's runs",
        )
    return found


def delivered(ledger: Ledger, repository: Path, checks: Sequence[str]) -> list[Entry]:
    """Every branch that runs of this ledger have delivered to the repository and that is still there as they left it,
    in the order of delivery; none that a person has rejected."""
    found = []
    said = verdicts.all_of(ledger)
    for run in _runs(ledger):
        if run in said and said[run].verdict == "rejected":
            continue
        name = BRANCH.format(run=run)
        head = repositorygit.head(repository, git.check_branch(name))
        args = _delivered(ledger, repository, name, head) if head else None
        if args is not None:
            found.append(_entry(name, head, args, checks))
    return found


def _entry(name: str, head: str, args: RepositoryArgs | None, checks: Sequence[str]) -> Entry:
    if args is None:
        return Entry(branch=name, commit=head, checks=tuple(dict.fromkeys(checks)))
    return Entry(
        branch=name,
        commit=head,
        run=name.removeprefix("daybreak/"),
        title=args.title,
        checks=tuple(dict.fromkeys((*args.checks, *checks))),
        protect=args.protect,
        allow=args.allow,
        check_s=args.check_s,
        sandbox=args.sandbox,
        needs=args.needs,
    )


def task_of(ledger: Ledger, run: str) -> events.TaskAdded | None:
    """What was asked of a run; None where there is none of that name."""
    found = (record.event for record in ledger.read(events.QUEUE))
    return next((event for event in found if isinstance(event, events.TaskAdded) and event.run == run), None)


def _delivered(ledger: Ledger, repository: Path, name: str, head: str) -> RepositoryArgs | None:
    """What was asked of the run that delivered `head` as this branch; None where none did."""
    run = name.removeprefix("daybreak/")
    if run == name or not ledger.query("SELECT run FROM view_runs WHERE run = ? AND kind = ?", (run, KIND)):
        return None
    known = any(
        isinstance(record.event, events.StepDone)
        and record.event.name == "deliver"
        and isinstance(record.event.result, dict)
        and record.event.result.get("commit") == head
        for record in ledger.read(events.run_stream(run))
    )
    task = task_of(ledger, run) if known else None
    if task is None:
        return None
    args = RepositoryArgs.model_validate(task.args)
    return args if Path(args.repository) == repository else None


def _runs(ledger: Ledger) -> Iterator[str]:
    """Runs of tasks on repositories that are done, the one that was done first before the others."""
    sql = "SELECT run FROM view_runs WHERE kind = ? AND state = 'done' ORDER BY updated, run"
    yield from (str(run) for (run,) in ledger.query(sql, (KIND,)))
