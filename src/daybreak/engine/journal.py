"""The one writer of a run: fences what it appends, follows the control stream, remembers why to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio

from daybreak.clock import Clock
from daybreak.engine import states
from daybreak.engine.flow import CancelHonoured, Paused, Stop
from daybreak.engine.history import past_forgotten
from daybreak.engine.log import Log
from daybreak.engine.scopes import shielded
from daybreak.errors import DraftRefused, LedgerBusy
from daybreak.events import (
    Answered,
    CancelAsked,
    Event,
    PauseAsked,
    ResumeAsked,
    RunMoved,
    Signalled,
    State,
    control_stream,
    run_stream,
)
from daybreak.ledger import sealing
from daybreak.ledger.record import Draft, Record
from daybreak.ledger.subjects import SubjectGone

BUSY_TRIES = 3
"""How often an append is tried while another process holds the ledger; each try waits by itself."""


CONTROL_POLL_S = 0.05
"""How old the knowledge of other processes' words about the run may be when a step begins."""


class Journal:
    """Writes a run's events under one lease.

    After any append that failed, be it a lost lease or a broken disk, `broken` holds why, every later append
    raises it again, and nothing more is recorded: what happened meanwhile is for the next owner to find out.
    """

    def __init__(
        self,
        log: Log,
        run: str,
        *,
        clock: Clock,
        epoch: int,
        owner: str,
        state: State,
        gen: int = 0,
        subject: str | None = None,
    ) -> None:
        """`subject`: whom the run is about; what can be secret in its events is sealed."""
        self.log = log
        self.subject = subject
        self._clock = clock
        self.run = run
        self.epoch = epoch
        self.gen = gen
        self.owner = owner
        self.state: State = state
        self.wanted: State | None = None
        """The state that the task's code has entered; recorded before the next thing that really happens."""
        self.broken: BaseException | None = None
        self.stopped: Stop | None = None
        """Set once the code was told to stop, so that code that swallows it does not end as done."""
        self.wound_down: Paused | None = None
        """Set by this process where it wants the run to stop at the end of its step."""
        self.moved_s = clock.monotonic()
        """When the run last made progress: began or recorded something."""
        self.told = True
        """Somebody in this process has appended to the control stream: follow it before the next step."""
        self._followed_s = 0.0
        self._control_seq = -1
        self._cancel: CancelAsked | None = None
        self._hold: PauseAsked | None = None
        self._answers: list[tuple[int, Answered]] = []
        self._signals: list[tuple[int, Signalled]] = []
        self._forgotten: set[int] = set()
        """Positions of answers and signals that cannot be read any more."""

    async def append(
        self, events: Sequence[Event], idem: str | None = None, *, moves: bool = False
    ) -> Sequence[Record]:
        """Append to the run's stream, all or none; `idem` belongs to the first event.

        Shielded from cancellation: an append that has begun is waited for, so that what is recorded is known.
        Asyncio's own cancellation (Ctrl-C) goes through the shield. Then a step may be recorded that nobody
        here knows of, which does no harm; where the events move the run, nothing may follow them.
        DraftRefused says that nothing was appended because of the events themselves: the run may go on.
        """
        if self.broken is not None:
            raise self.broken
        stream = run_stream(self.run)
        drafts = [
            Draft(
                stream, event, self.owner, epoch=self.epoch, idem=None if place else idem, gen=self.gen, trace=self.run
            )
            for place, event in enumerate(events)
        ]
        if self.subject is not None:
            drafts = [self._about(draft, self.subject) for draft in drafts]
        self.moved_s = self._clock.monotonic()
        with shielded():
            try:
                try:
                    return await self.log.append_async(drafts)
                except LedgerBusy as busy:
                    return await self._append_again(drafts, busy)
            except SubjectGone:
                if not moves:
                    raise
                return await self.log.append_async([_without_words(draft) for draft in drafts])
            except DraftRefused:
                raise
            except BaseException as problem:
                if moves or not isinstance(problem, anyio.get_cancelled_exc_class()):
                    self.broken = problem
                raise
        raise AssertionError("a shielded scope swallows no cancellation")

    @staticmethod
    def _about(draft: Draft, subject: str) -> Draft:
        """Sealed, where there is anything secret in it."""
        event = draft.event
        if not sealing.can_be_sealed(event) or (isinstance(event, RunMoved) and not (event.why or event.hint)):
            return draft
        return replace(draft, subject=subject)

    async def pass_on(self, word: Answered) -> None:
        """Put a person's word, which was given in other words, into the control stream for the ledger to read."""
        with shielded():
            await self.log.append_async([Draft(control_stream(self.run), word, self.owner, trace=self.run)])

    async def move(self, new: State, *, before: Sequence[Event] = (), **details: str) -> None:
        """Record that the run goes to another state, in one commit with the events `before` it."""
        states.check(self.state, new)
        moved = RunMoved(run=self.run, old=self.state, new=new, **details)
        await self.append([*before, moved], moves=True)
        self.state = new

    async def before_live_step(self) -> None:
        """Called before anything that is not replay: stop here if asked to, and record the state entered."""
        if self.broken is not None:
            raise self.broken
        await anyio.lowlevel.checkpoint_if_cancelled()
        now_s = self._clock.monotonic()
        if self.told or self.wound_down is not None or now_s - self._followed_s >= CONTROL_POLL_S:
            self.told, self._followed_s = False, now_s
            self.honour()
        elif self.stopped is not None:
            raise self.stopped
        self.moved_s = now_s
        wanted, self.wanted = self.wanted, None
        if wanted is not None and wanted != self.state:
            await self.move(wanted)

    def honour(self) -> None:
        """Raises CancelHonoured or Paused, from the first time on that a person asked for that."""
        self._follow_control()
        if self._cancel is not None:
            self.stopped = CancelHonoured(self._cancel.why)
        elif self._hold is not None:
            self.stopped = Paused(self._hold.why or "a person holds it")
        elif self.wound_down is not None:
            self.stopped = self.wound_down
        if self.stopped is not None:
            raise self.stopped

    def answer(self, question: str, *, after: int) -> tuple[int, Any] | None:
        """The latest answer to a question behind a position in the ledger, with its own position."""
        self._follow_control()
        found = [(index, told.answer) for index, told in self._answers if told.question == question and index > after]
        return self._readable(found[-1], f"the answer to {question!r}") if found else None

    def signal(self, name: str, *, after: int) -> tuple[int, Any] | None:
        """The earliest signal of that name behind a position in the ledger, with its own position."""
        self._follow_control()
        found = [(index, told.value) for index, told in self._signals if told.name == name and index > after]
        return self._readable(found[0], f"the signal {name!r}") if found else None

    def _note(self, record: Record) -> None:
        if record.redacted:
            self._forgotten.add(record.index)

    def _readable(self, found: tuple[int, Any], what: str) -> tuple[int, Any]:
        if found[0] in self._forgotten:
            raise past_forgotten(self.run, what)
        return found

    async def _append_again(self, drafts: Sequence[Draft], busy: LedgerBusy) -> Sequence[Record]:
        """Another process held the ledger for too long and nothing was appended: try again."""
        for _ in range(BUSY_TRIES - 1):
            try:
                return await self.log.append_async(drafts)
            except LedgerBusy as problem:
                busy = problem
        raise busy

    def _follow_control(self) -> None:
        for record in self.log.read(control_stream(self.run), after=self._control_seq):
            self._control_seq = record.seq
            match record.event:
                case CancelAsked() as asked:
                    self._cancel = self._cancel or asked
                case PauseAsked() as asked_hold:
                    self._hold = asked_hold
                case ResumeAsked():
                    self._hold = None
                case Answered() as told:
                    self._answers.append((record.index, told))
                    self._note(record)
                case Signalled() as signalled:
                    self._signals.append((record.index, signalled))
                    self._note(record)
                case _:
                    pass


def _without_words(draft: Draft) -> Draft:
    """What must be recorded although its subject was forgotten meanwhile: how a run ends, and not why."""
    if draft.subject is None:
        return draft
    return replace(draft, event=sealing.stripped(draft.event, ""), subject=None)
