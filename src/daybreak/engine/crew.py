"""The workers of one night: each has one run, brings it to where it ends, waits or needs a person, and is free again.

Whatever happens to a run stays with it: one that cannot be supervised is left aside for a while, one that makes no
progress or takes too long is stopped with a question. Only a ledger that takes no more ends the night.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio
from anyio.abc import TaskGroup

from daybreak.clock import Clock
from daybreak.engine.aside import Aside
from daybreak.engine.engine import Engine, RunResult
from daybreak.engine.keeper import Stopwatch
from daybreak.engine.night import Plan
from daybreak.engine.scopes import scope
from daybreak.engine.telling import Teller, said
from daybreak.errors import BlobMissing, DraftRefused, LeaseLost, LedgerBusy, LedgerError, RunBusy
from daybreak.ledger.blobs import BlobRefused
from daybreak.policy.budget import BudgetSpent

STUCK = "it made no progress for {}: try it again?"
LONG = "it kept its worker for {}: go on with it?"

_log = logging.getLogger(__name__)


@dataclass
class _Work:
    """A run that is under way here."""

    since: datetime
    scope: anyio.CancelScope
    kept: Stopwatch
    """How long it has its worker."""
    silent: Stopwatch
    """How long it has made no progress."""
    beats: bool = False
    stopped: bool = False


class Crew:
    """See the module. Its members are the runs under way. `wake` is called whenever a worker is free again, `fail` with
    what ends the night."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        plan: Plan,
        tell: Teller,
        *,
        wake: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._plan = plan
        self._tell = tell
        self._wake = wake
        self._fail = fail
        self._under_way: dict[str, _Work] = {}
        self._states: dict[str, str] = {}
        """The state that each run was brought to last."""
        self._broke: set[str] = set()
        """Runs that the night's budget could not pay for."""
        self.aside = Aside(clock)
        self.account = ""
        """Of the night; empty where it has no budget."""

    def __len__(self) -> int:
        return len(self._under_way)

    def __iter__(self) -> Iterator[str]:
        return iter(self._under_way)

    def __contains__(self, run: object) -> bool:
        return run in self._under_way

    @property
    def free(self) -> int:
        """Workers without a run."""
        return self._plan.workers - len(self._under_way)

    @property
    def since(self) -> Mapping[str, datetime]:
        """Run → since when it has its worker."""
        return {run: work.since for run, work in self._under_way.items()}

    @property
    def counts(self) -> dict[str, int]:
        """How many runs were brought to each state."""
        return dict(sorted(Counter(self._states.values()).items()))

    @property
    def is_broke(self) -> bool:
        """Is there a run that waits for more than the night's budget has left?"""
        return bool(self._broke)

    @property
    def broke(self) -> list[str]:
        """Runs that the night's budget could not pay for."""
        return sorted(self._broke)

    # -- work

    def start(self, group: TaskGroup, run: str, *, in_turn: bool = False) -> None:
        """Give the run a worker. `in_turn`: it must have room by its keys and rates."""
        assert run not in self._under_way, f"{run} has a worker already"
        gap_s = self._plan.look_s * 2
        work = _Work(self._clock.now(), scope(), Stopwatch(self._clock, gap_s), Stopwatch(self._clock, gap_s))
        self._under_way[run] = work
        group.start_soon(self._worker, run, work, in_turn)

    async def _worker(self, run: str, work: _Work, in_turn: bool) -> None:
        began_s = self._clock.monotonic()
        try:
            with work.scope:
                night, account = self._tell.night, self.account
                self._take(await self._engine.supervise(run, night=night, account=account, in_turn=in_turn))
                self.aside.came_back(run, after_s=self._clock.monotonic() - began_s)
            if work.scope.cancelled_caught:
                self._states[run] = "paused"
        except (RunBusy, LeaseLost):
            self.aside.put(run, most_s=60.0)  # somebody else has it
        except (LedgerBusy, DraftRefused, BlobMissing, BlobRefused) as problem:
            await self._leave_aside(run, problem)
        except LedgerError as problem:
            self._fail(problem)
        except Exception as problem:  # noqa: BLE001 - the run's, not the night's
            _log.exception("run %s broke its supervision", run)
            await self._leave_aside(run, problem)
        finally:
            del self._under_way[run]
            self._wake()

    def _take(self, result: RunResult) -> None:
        self._states[result.run] = result.state
        if result.state == "paused" and result.code == BudgetSpent.code:
            self._broke.add(result.run)
        else:
            self._broke.discard(result.run)

    async def _leave_aside(self, run: str, problem: Exception) -> None:
        """It could not be supervised: later again."""
        again_s = self.aside.put(run, most_s=600.0)
        try:
            text = f"run {run} could not be gone on with: {said(problem)}; again in {again_s:.0f} s"
            await self._tell.note("alert", 1, text, run=run)
        except LedgerError as error:
            self._fail(error)

    def cancel(self, why: str) -> None:
        """End everything that is under way, in the middle of its step."""
        for work in self._under_way.values():
            work.scope.cancel(why)

    # -- watch

    def beat(self, beat: Callable[[Iterable[str]], set[str]]) -> None:
        """Let those beat that never did; `beat` says which of them are held here."""
        for run in beat([run for run, work in self._under_way.items() if not work.beats]):
            self._under_way[run].beats = True

    async def look_lost(self) -> None:
        """End those that somebody else has taken meanwhile. Raises what the ledger raises."""
        for run in self._engine.lost():
            if not (work := self._under_way[run]).stopped:
                work.stopped = True
                self._engine.let_go(run)
                text = f"run {run} was taken by another owner while this one was silent; what it did here is ended"
                await self._tell.note("takeover", 1, text, run=run)

    async def look(self) -> None:
        """Stop those that make no progress, or that take too long. Raises what the ledger raises."""
        for run, work in list(self._under_way.items()):
            kept_s = work.kept.look()
            work.silent.look()
            work.silent.at_most(self._engine.idle_s(run))
            limit_s = self._plan.run_limit_s
            if work.stopped:
                continue
            if work.silent.passed_s > self._plan.stuck_s:
                await self._stop(run, work, STUCK, work.silent.passed_s)
            elif limit_s is not None and kept_s > limit_s:
                await self._stop(run, work, LONG, kept_s)

    async def _stop(self, run: str, work: _Work, question: str, seconds: float) -> None:
        work.stopped = True
        span = str(timedelta(seconds=int(seconds)))
        self._engine.stop(run, question.format(span), f"stopped by night {self._tell.night}")
        await self._tell.note("stuck", 2, f"run {run} was stopped: {question.format(span)}", run=run)
