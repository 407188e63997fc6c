"""Which run is meant, and how runs stand in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from daybreak.errors import UsageError
from daybreak.events import FINAL

if TYPE_CHECKING:
    from daybreak.home.opening import Home


class RunUnknown(UsageError):
    """There is no run of that name."""

    code = "U111"


class RunOver(UsageError):
    """A run that is over cannot be resumed."""

    code = "U113"


class NoRuns(UsageError):
    """Nothing has been run here yet."""

    code = "U112"


def pick_run(home: Home, run: str | None) -> str:
    """`run` itself if it exists (a unique beginning is enough); the newest one if None. Raises RunUnknown, NoRuns."""
    known = [row[0] for row in home.ledger.query("SELECT run FROM view_runs ORDER BY created DESC, run DESC")]
    if not known:
        raise NoRuns(f"nothing has been run in {home.places.ledger}", hint="start with `daybreak build SPEC`")
    if run is None:
        return str(known[0])
    matches = [name for name in known if name == run] or [name for name in known if run and name.startswith(run)]
    if len(matches) != 1:
        raise RunUnknown(
            f"{'no run is' if not matches else f'{len(matches)} runs are'} called {run!r}",
            hint="`daybreak runs` lists them",
        )
    return str(matches[0])


class Row(NamedTuple):
    """A run as a table shows it."""

    run: str
    kind: str
    title: str
    state: str
    created: str
    updated: str
    why: str
    question: str
    held: bool
    """A person paused it."""
    orphaned: bool
    """It was under way when its owner died."""

    @property
    def resumable(self) -> bool:
        return self.state not in FINAL

    @property
    def shown_state(self) -> str:
        return f"{self.state} (its owner died: resume it)" if self.orphaned else self.state


def rows(home: Home) -> list[Row]:
    """Every run, the newest first."""
    orphaned = {resumable.run for resumable in home.engine.resumable() if resumable.orphaned}
    columns = "run, kind, title, state, created, updated, why, question, held"
    found = home.ledger.query(f"SELECT {columns} FROM view_runs ORDER BY created DESC, run DESC")
    return [Row._make((*row[:-1], bool(row[-1]), row[0] in orphaned)) for row in found]


def raise_budget(home: Home, row: Row, budget: str) -> None:
    """Give a run another limit; one that is parked for its budget goes on with it. Raises what `Limit.parse` does."""
    from daybreak import events
    from daybreak.engine.purse import account_of
    from daybreak.ledger import Draft
    from daybreak.policy.accounts import Accounts
    from daybreak.policy.budget import Limit

    opened = Accounts(home.ledger).open(account_of(row.run), Limit.parse(budget))
    if opened is not None:
        home.ledger.append([Draft(events.POLICY, opened, trace=row.run)])
    if row.question:
        home.engine.answer(row.run, row.question, "yes")


def pick_unfinished(home: Home, run: str | None) -> Row:
    """The run called `run`, or the newest one that is not over. Raises RunUnknown, NoRuns, RunOver."""
    if run is None:
        unfinished = [row for row in rows(home) if row.resumable]
        if not unfinished:
            raise NoRuns("no run waits to be resumed", hint="`daybreak runs` lists what there is")
        return unfinished[0]
    picked = pick_run(home, run)
    row = next(row for row in rows(home) if row.run == picked)
    if not row.resumable:
        raise RunOver(f"run {row.run} is {row.state}", hint="`daybreak build SPEC` starts a new one")
    return row
