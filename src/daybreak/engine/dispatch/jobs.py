"""A run's jobs: the one place where a job is done again, and where the ledger hears of it."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import anyio

from daybreak.clock import Clock
from daybreak.engine.context import Context
from daybreak.engine.dispatch.job import Answer, Dispatch, Job, Key, Node, OnLine
from daybreak.engine.dispatch.problems import (
    AnswerFalse,
    ClusterUnreachable,
    JobBroken,
    JobLost,
    JobNotSent,
    JobTooLarge,
    NeedsUnmet,
    NodeRefused,
)
from daybreak.engine.flow import Parked, Waiting
from daybreak.engine.step import step_key
from daybreak.errors import HostError
from daybreak.events import Event, JobLate, JobPlaced
from daybreak.events import JobLost as JobWasLost

TRIES_MAX = 3
"""So often is one job lost before it counts as what it came to: nothing."""
REFUSED_MAX = 1_000
"""So many nodes are asked; more than that is one that gives itself names."""
LACKING_MAX = 3
"""So many nodes are asked that lack something, where this machine can do it, too."""
UNREACHABLE = timedelta(minutes=1)
"""How long a run gives way to others where the cluster cannot be reached."""


@dataclass
class Jobs:
    """Of one run, or of a branch of it. `do` blocks and is called inside a step, in its thread."""

    ctx: Context
    dispatch: Dispatch
    cancelled: threading.Event
    clock: Clock

    def beside(self, ctx: Context) -> Jobs:
        return replace(self, ctx=ctx)

    def do(
        self,
        name: str,
        make: Callable[[Key, tuple[str, ...]], Job],
        on_line: OnLine = lambda part: None,
        here: Callable[[], Dispatch] | None = None,
        away: bool = True,
        refuse: Callable[[Any], object] = lambda body: None,
    ) -> Answer:
        """What the job `name` of this step comes to. `make` makes each of its tries: the key and the nodes that shall
        not have it. Every try that is lost is told in the ledger and done again where others can. `here`: what does it
        on this machine where nodes lack what it needs or it cannot get there, and at once without `away`; that is told,
        too. `refuse` raises JobBroken for a body that makes no sense: that try of a node is lost, unless folders
        were lent to it.

        Raises what the doer raised; JobLost after TRIES_MAX; Parked where no machine can do it, or none can be sent it:
        no fault of whoever was to do it; Waiting where the cluster cannot be reached, Paused where it was cancelled;
        NodeRefused where all refuse."""
        if not self.dispatch.remote:
            key = Key(self.ctx.run, "", 0, 1)
            try:
                return self.dispatch.run(make(key, ()), cancelled=self.cancelled, on_line=on_line)
            except NeedsUnmet as unmet:
                raise Parked(f"{unmet.message}: go on?", why=f"{unmet.code}: {unmet.hint}") from unmet
        return _Remote(self, f"{step_key()}:{name}", make, on_line, here, refuse).go(away=away)


@dataclass
class _Remote:
    """One job, try after try."""

    jobs: Jobs
    step: str
    make: Callable[[Key, tuple[str, ...]], Job]
    on_line: OnLine
    here: Callable[[], Dispatch] | None
    refuse: Callable[[Any], object]
    nth: int = 0
    losses: int = 0

    def go(self, *, away: bool) -> Answer:
        self._tell_left_behind()
        lost: list[str] = []
        refused: dict[str, NodeRefused] = {}
        dispatch = self.jobs.dispatch if away or self.here is None else self.here()
        while True:
            self.nth += 1
            key = Key(self.jobs.ctx.run, self.step, self.jobs.ctx.epoch, self.nth)
            job = self.make(key, (*refused, *lost))
            if not dispatch.remote:
                self._placed(Node("", platform.node()))
            try:
                answer = dispatch.run(job, cancelled=self.jobs.cancelled, on_line=self.on_line, on_node=self._placed)
                if not job.lent:  # what it left in those is there already: nobody else may go on with it
                    self._refuse_senseless(answer)
                return answer
            except (JobLost, AnswerFalse) as problem:
                self.losses += 1
                again = self.losses < TRIES_MAX
                self._lost(problem.node, problem.message, again=again)
                if not again:
                    raise
                lost = [*lost, problem.node] if problem.node else lost
            except NodeRefused as problem:
                if problem.node:
                    again = problem.node not in job.avoid and len(refused) < REFUSED_MAX
                    self._lost(problem.node, problem.message, again=again, refused=True)
                    if not again:
                        raise
                    refused[problem.node] = problem
                    if self.here is not None and sum(one.lacks for one in refused.values()) >= LACKING_MAX:
                        dispatch = self.here()
                elif lost:  # those that lost it are all there is: better there than nowhere
                    lost = []
                elif self.here is not None and any(one.lacks for one in refused.values()):
                    dispatch = self.here()
                else:
                    raise next(iter(refused.values()), problem) from problem
            except (HostError, JobTooLarge, JobNotSent) as stays:
                if self.here is None and isinstance(stays, JobNotSent):
                    raise Parked(f"{stays.message}: go on?", why=f"{stays.code}: {stays.hint}") from stays
                if self.here is None or not dispatch.remote:
                    raise
                self._lost("", stays.message, again=True, refused=True)
                dispatch = self.here()
            except NeedsUnmet as unmet:
                lacked = f"{next(iter(refused.values())).message}; and here: " if refused else ""
                raise Parked(f"{lacked}{unmet.message}: go on?", why=f"{unmet.code}: {unmet.hint}") from unmet
            except ClusterUnreachable as gone:
                self._lost("", gone.message, again=True)
                until = self.jobs.clock.now() + UNREACHABLE
                raise Waiting(until, f"nothing is done here instead: {gone.message} ({gone.hint})") from gone
            finally:
                self._tell_late()

    def _placed(self, node: Node) -> None:
        self._tell(
            JobPlaced(
                run=self.jobs.ctx.run,
                job=self.step,
                nth=self.nth,
                epoch=self.jobs.ctx.epoch,
                node=node.name,
                host=node.host,
                sandbox=node.sandbox,
            )
        )

    def _refuse_senseless(self, answer: Answer) -> None:
        if not answer.node.name:
            return
        try:
            self.refuse(answer.body)
        except JobBroken as broken:
            problem = AnswerFalse(broken.message, hint=broken.hint)
            problem.node = answer.node.name
            raise problem from broken

    def _lost(self, node: str, why: str, *, again: bool, refused: bool = False) -> None:
        run = self.jobs.ctx.run
        lost = JobWasLost(run=run, job=self.step, nth=self.nth, node=node, why=why[:1000], again=again, refused=refused)
        self._tell(lost)

    def _tell_late(self) -> None:
        for key, node in self.jobs.dispatch.late(self.jobs.ctx.run):
            self._tell(JobLate(run=key.run, job=key.step, nth=key.nth, epoch=key.epoch, node=node.name))

    def _tell_left_behind(self) -> None:
        """What an owner before this one had under way is lost: its result is not in the ledger, or nobody would ask."""
        open_: dict[int, JobPlaced] = {}
        last = 0
        for record in self.jobs.ctx.records():
            event = record.event
            if isinstance(event, JobPlaced) and event.job == self.step:
                if event.epoch != self.jobs.ctx.epoch:  # what this owner had is over, or it would not ask
                    open_[event.nth] = event
                last = max(last, event.nth)
            elif isinstance(event, JobWasLost) and event.job == self.step:
                open_.pop(event.nth, None)
                last = max(last, event.nth)
        for nth, placed in open_.items():
            why = "its coordinator ended while it was done"
            self._tell(JobWasLost(run=placed.run, job=self.step, nth=nth, node=placed.node, why=why, again=True))
        self.nth = last

    def _tell(self, event: Event) -> None:
        anyio.from_thread.run(self.jobs.ctx.tell, event)
