"""The one writer of a run: fences what it appends, follows the control stream, remembers why to stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from daybreak.engine import states
from daybreak.engine.flow import CancelHonoured
from daybreak.engine.log import Log
from daybreak.events import Answered, CancelAsked, Event, RunMoved, State, control_stream, run_stream
from daybreak.ledger.record import Draft, Record


class Journal:
    """Writes a run's events under one lease.

    After any append that failed, be it a lost lease or a broken disk, `broken` holds why, every later append
    raises it again, and nothing more is recorded: what happened meanwhile is for the next owner to find out.
    """

    def __init__(self, log: Log, run: str, *, epoch: int, owner: str, state: State) -> None:
        self.log = log
        self.run = run
        self.epoch = epoch
        self.owner = owner
        self.state: State = state
        self.wanted: State | None = None
        """The state that the task's code has entered; recorded before the next thing that really happens."""
        self.broken: BaseException | None = None
        self.cancelled: CancelHonoured | None = None
        """Set once the code was told, so that code that swallows it does not end as done."""
        self._control_seq = -1
        self._cancel: CancelAsked | None = None
        self._answers: list[tuple[int, Answered]] = []

    async def append(self, events: Sequence[Event], idem: str | None = None) -> Sequence[Record]:
        """Append to the run's stream, all or none; `idem` belongs to the first event.

        Shielded from cancellation: an append that has begun is waited for, so that what is recorded is known.
        """
        if self.broken is not None:
            raise self.broken
        stream = run_stream(self.run)
        drafts = [
            Draft(
                stream,
                event,
                actor=self.owner,
                epoch=self.epoch,
                idem=None if place else idem,
                trace=self.run,
            )
            for place, event in enumerate(events)
        ]
        with anyio.CancelScope(shield=True):
            try:
                records = await self.log.append_async(drafts)
            except BaseException as problem:
                self.broken = problem
                raise
        return records

    async def move(self, new: State, *, before: Sequence[Event] = (), **details: str) -> None:
        """Record that the run goes to another state, in one commit with the events `before` it."""
        states.check(self.state, new)
        await self.append([*before, RunMoved(run=self.run, old=self.state, new=new, **details)])
        self.state = new

    async def before_live_step(self) -> None:
        """Called before anything that is not replay: stop here if asked to, and record the state entered."""
        if self.broken is not None:
            raise self.broken
        await anyio.lowlevel.checkpoint()
        self.honour_cancel()
        wanted, self.wanted = self.wanted, None
        if wanted is not None and wanted != self.state:
            await self.move(wanted)

    def honour_cancel(self) -> None:
        """Raises CancelHonoured, from the first time on that somebody asked for the run to be cancelled."""
        self._follow_control()
        if self._cancel is not None:
            self.cancelled = CancelHonoured(self._cancel.why)
            raise self.cancelled

    def answer(self, question: str, *, after: int) -> tuple[int, Any] | None:
        """The latest answer to a question behind a position in the ledger, with its own position."""
        self._follow_control()
        found = [(index, told.answer) for index, told in self._answers if told.question == question and index > after]
        return found[-1] if found else None

    def _follow_control(self) -> None:
        for record in self.log.read(control_stream(self.run), after=self._control_seq):
            self._control_seq = record.seq
            if isinstance(record.event, CancelAsked) and self._cancel is None:
                self._cancel = record.event
            elif isinstance(record.event, Answered):
                self._answers.append((record.index, record.event))
