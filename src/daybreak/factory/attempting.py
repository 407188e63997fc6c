"""One attempt by one worker: its sandbox, its way to a model, what it tells while it works, and its claim.

What every kind of task that asks workers has in common. Nothing in here believes a worker.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from daybreak.agents import found as finding
from daybreak.agents.gateway.keys import KeyAbsent
from daybreak.agents.protocol import Brief, Claim, Order, Terms, Trouble, Usage
from daybreak.clock import Clock
from daybreak.engine import Context
from daybreak.engine.dispatch import AnswerFalse, Job, JobFailed, JobLost, JobTooLarge, Key, Needs, NodeRefused
from daybreak.engine.flow import Paused
from daybreak.errors import CheckError, HostError, WorkerError
from daybreak.events import AttemptTurn
from daybreak.factory import attempted, boxing, dispatching, reaching
from daybreak.factory.attempted import Result
from daybreak.factory.boxing import Box
from daybreak.factory.doers import HISTORY
from daybreak.factory.hearing import NOTE_CHARS_MAX, NOTHING_USED, Heard, cut
from daybreak.factory.office import Office
from daybreak.factory.reaching import Tries
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.warden import Warden
from daybreak.host import removal, tree
from daybreak.host.sandbox import Strength
from daybreak.settings import SettingsWrong, Worker

AROUND_S = 300.0
"""So long may the folder be unpacked, given a history and packed again, beside the time that the worker has."""
_ABSENT = (NodeRefused, *reaching.UNREACHED)
"""No worker was started: none of this is its fault."""
_GONE = (JobLost, AnswerFalse)
"""The nodes' fault, again and again; others may be there later."""


class Working(Protocol):
    """`attempting.Attempts`, as far as it is used here."""

    def work(
        self, number: int, name: str, brief: Brief, folder: Path, scratch: Path, *, time_s: float, require: Strength
    ) -> Result:
        """Have a worker work in `folder`; its claim."""
        ...


class MakeWorking(Protocol):
    """Makes that for one run."""

    def __call__(
        self,
        ctx: Context,
        office: Office,
        warden: Warden,
        cancelled: threading.Event,
        needs: Needs | None = None,
    ) -> Working:
        """`needs`: of a machine on which it works; None: what the settings say."""
        ...


@dataclass
class _Lines:
    """What is heard of an attempt, over all tries of its job."""

    ctx: Context
    number: int
    clock: Clock
    _heard: Heard | None = None
    _before: Usage = NOTHING_USED

    def begin(self, turns: int) -> None:
        """Another try: what the one before used counts, what it claimed does not."""
        self._before = self.usage
        self._heard = Heard(self.ctx, self.number, turns, self.clock)

    def take(self, part: bytes) -> None:
        assert self._heard is not None, "a job is made before it is done"
        self._heard.take(part)

    @property
    def usage(self) -> Usage:
        return self._before if self._heard is None else attempted.added(self._before, self._heard.usage)

    @property
    def claim(self) -> Claim | None:
        return None if self._heard is None else self._heard.claim


@dataclass
class Attempts:
    """For one run. `work` blocks, and is called inside a step, in its thread."""

    ctx: Context
    office: Office
    warden: Warden
    cancelled: threading.Event
    needs: Needs | None = None
    """What a machine must have on which they work; None: what the settings say."""

    def beside(self, ctx: Context) -> Attempts:
        """The same for a branch of the run."""
        return replace(self, ctx=ctx)

    def work(
        self,
        number: int,
        name: str,
        brief: Brief,
        folder: Path,
        scratch: Path,
        *,
        time_s: float,
        require: Strength,
    ) -> Result:
        """Have worker `name` work on `brief` in `folder`, below the attempt's own `scratch`. Silence is a crash.

        Raises Paused where it was interrupted, NotAllowed and Parked as the warden does, SandboxMissing and the like.
        """
        try:
            worker, found = self.office.find(name)
        except SettingsWrong as gone:  # he was there when he was chosen
            return Result(Claim(outcome="crashed", summary=cut(gone.message), trouble="unavailable"))
        if found.missing:
            return Result(Claim(outcome="crashed", summary=cut(found.missing), trouble="unavailable"))
        untrusted = "\n".join((*(one.message for one in brief.findings), *brief.lessons, brief.recall)).strip()
        if untrusted:  # what programs of workers printed
            self.warden.untrusted(number, untrusted, "findings of the attempt before, lessons")
        time_s = min(time_s, worker.time_s or time_s)
        before = reaching.used_before(self.office, self.ctx, number, worker)
        try:
            gateway = reaching.ticket(self.office, self.ctx, number, worker, before)
        except KeyAbsent as absent:  # the next one in the order may have his
            return Result(Claim(outcome="crashed", summary=cut(absent.message), trouble="authentication"))
        try:
            terms = Terms(
                settings=worker.model_dump(mode="json", exclude_defaults=True),
                time_s=time_s,
                silence_s=worker.silence_s,
                tokens=worker.tokens,
                requests=worker.requests,
                gateway=gateway,
                templates=str(boxing.real(templates)) if (templates := self.office.settings.templates) else "",
            )
            order = Order(worker=boxing.loaded_as(worker), workspace=str(folder), brief=brief, terms=terms)
            result = self._run(number, order, worker, found, folder, scratch, require)
        finally:
            spent = self.office.gateway().close_ticket(gateway.token) if gateway is not None else None
        if spent is None:
            return result
        walled = not worker.network and not worker.environment
        return attempted.with_truth(result, replace(spent, usage=attempted.added(before, spent.usage)), walled=walled)

    def _run(
        self,
        number: int,
        order: Order,
        worker: Worker,
        found: finding.Found,
        folder: Path,
        scratch: Path,
        require: Strength,
    ) -> Result:
        lines = _Lines(self.ctx, number, self.office.clock)
        needs = self._needed
        box = boxing.allowed(
            self.office,
            self.warden,
            number,
            order,
            worker,
            found,
            folder,
            scratch,
            require=require,
            memory_bytes=needs.memory_bytes,
        )

        def job(key: Key, avoid: tuple[str, ...]) -> Job:
            turns = self._turns(number)
            lines.begin(len(turns))
            way = reaching.way(self.office, order.terms.gateway)
            return _job(key, avoid, order, turns, found, box, way, history, folder, scratch, needs)

        try:
            history = self._history(folder, scratch)
            jobs = self.office.jobs(self.ctx, self.cancelled)
            ended = Tries(jobs, f"attempt {number}", job, lines.take).go().body
        except (JobLost, AnswerFalse, JobTooLarge, JobFailed, NodeRefused, WorkerError, tree.NotATree) as problem:
            lost = Claim(
                outcome="crashed",
                summary=cut(f"it came to nothing: {problem.message} ({problem.hint})"),
                trouble=_trouble(problem),
            )
            return Result(lost, lines.usage)
        duration_ms = int(ended["duration_ms"])
        if ended["cancelled"]:
            raise Paused("interrupted while a worker worked")
        if ended["guard_lost"]:
            summary = "its guard was killed, so nobody knows what still writes there"
            return Result(Claim(outcome="crashed", summary=summary, trouble="crashed"), lines.usage, duration_ms)
        claim = lines.claim
        if claim is None:
            summary = cut(": ".join(["ended without a claim", ended["ending"], *filter(None, [ended["last"]])]))
            claim = Claim(outcome="crashed", summary=summary, trouble="stalled" if ended["timed_out"] else "crashed")
        return Result(claim, lines.usage, duration_ms)

    def _history(self, folder: Path, scratch: Path) -> Path | None:
        """Where the folder has a history of its own, which does not travel: a file that says what the folder has beyond
        it. Where it cannot be said, the worker has none on a node."""
        if not self.office.dispatch.remote:
            return None
        git_dir, file = scratch / "begun.git", scratch / "begun.patch"
        try:
            changes = repositorygit.since_begun(folder, git_dir, self.cancelled)
        except (CheckError, HostError) as problem:
            self.ctx.report(cut(f"git shows this worker no changes of its own: {problem.message}", NOTE_CHARS_MAX))
            return None
        finally:
            removal.remove(git_dir)
        if changes is None:
            return None
        file.write_bytes(changes)
        return file

    @property
    def _needed(self) -> Needs:
        return dispatching.needs(self.office.settings) if self.needs is None else self.needs

    def _turns(self, number: int) -> tuple[Any, ...]:
        """What this attempt had told to be given back, where it began before."""
        events = (record.event for record in self.ctx.records())
        told = [one for one in events if isinstance(one, AttemptTurn) and one.attempt == number]
        return tuple(one.data for one in sorted(told, key=lambda one: one.nth))


def _trouble(problem: Exception) -> Trouble:
    """Whose it is. What nodes did is said of no worker: it is not counted, and the worker is asked again later."""
    if isinstance(problem, _GONE):
        return "outage"
    return "unavailable" if isinstance(problem, _ABSENT) else "crashed"


def _job(
    key: Key,
    avoid: tuple[str, ...],
    order: Order,
    turns: tuple[Any, ...],
    found: finding.Found,
    box: Box,
    way: dict[str, Any],
    history: Path | None,
    folder: Path,
    scratch: Path,
    needs: Needs,
) -> Job:
    name = order.worker
    body = {
        "order": msgspec.to_builtins(
            msgspec.structs.replace(order, terms=msgspec.structs.replace(order.terms, turns=turns))
        ),
        "object": "".join(name.rpartition(":")[1:]) if "worker" in box.given else "",
        "ours": str(box.ours),
        "program": found.program,
        "environment": dict(found.environment),
        "sandbox": box.told,
        "time_s": order.terms.time_s,
        "gateway": way,
    }
    return Job(
        key=key,
        doer="daybreak.factory.doers:attempt",
        body=body,
        scratch=scratch,
        lent={"workspace": folder},
        given={**box.given, **({} if history is None else {HISTORY: history})},
        needs=needs,
        time_s=order.terms.time_s + AROUND_S,
        avoid=avoid,
    )
