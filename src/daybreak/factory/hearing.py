"""Reads what an attempt tells, line by line as it comes, and believes none of it: sizes, depths and numbers are bounded
before anything goes to the screen or into the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio.from_thread
import msgspec

from daybreak.agents.cascade import WAITING, moment
from daybreak.agents.protocol import Claim, Note, Turn, Usage
from daybreak.clock import Clock, stamp
from daybreak.engine import Context
from daybreak.errors import DraftRefused
from daybreak.events import AttemptTurn
from daybreak.policy.outage import FARTHEST

LINE_BYTES_MAX = 4_000_000
SUMMARY_CHARS_MAX = 2000
NOT_BUILT_MAX, NOT_BUILT_CHARS_MAX = 50, 500
NOTE_CHARS_MAX = 500
NOTES_BURST, NOTES_A_SECOND = 200, 20
"""Notes that are shown at once, and after that; more are dropped."""
TURNS_MAX = 10_000
TURN_DEPTH_MAX = 100
"""Of lists and tables in a turn: what is nested deeper can be written and not read again from everywhere."""
NOTHING_USED = Usage()


@dataclass
class Heard:
    """Reads the lines of an attempt as they come. What is no line of ours counts for nothing."""

    ctx: Context
    number: int
    turns: int
    """Told so far."""
    clock: Clock
    claim: Claim | None = None
    usage: Usage = NOTHING_USED
    _rest: bytes = b""
    _skipping: bool = False
    _over: bool = False
    """Something ended the attempt; what comes while it is being ended counts no more."""
    _notes: float = NOTES_BURST
    """So many more may be shown."""
    _noted_s: float = 0.0

    def take(self, part: bytes) -> None:
        if self._over:
            return
        try:
            self._take(part)
        except BaseException:
            self._over = True
            raise

    def _take(self, part: bytes) -> None:
        *lines, rest = (self._rest + part).split(b"\n")
        for line in lines:
            if not self._skipping:
                self._line(line)
            self._skipping = False
        if len(rest) > LINE_BYTES_MAX:
            self._skipping, rest = True, b""
        self._rest = rest

    def _line(self, line: bytes) -> None:
        try:
            told = msgspec.json.decode(line, type=dict[str, Any])
            [(kind, item)] = told.items()
        except (msgspec.DecodeError, ValueError, RecursionError):
            return
        match kind:
            case "note":
                self._note(item)
            case "usage":
                self._use(item)
            case "turn":
                self._turn(item)
            case "claim":
                self.claim = checked(item, self.clock.now())

    def _note(self, item: object) -> None:
        try:
            note = msgspec.convert(item, Note)
        except (msgspec.ValidationError, RecursionError):
            return
        if not self._may_note():
            return
        fraction = note.fraction if note.fraction is not None and 0 <= note.fraction <= 1 else None
        self.ctx.report(cut(note.text, NOTE_CHARS_MAX), fraction)

    def _may_note(self) -> bool:
        now_s = time.monotonic()
        self._notes = min(NOTES_BURST, self._notes + (now_s - self._noted_s) * NOTES_A_SECOND)
        self._noted_s = now_s
        if self._notes < 1:
            return False
        self._notes -= 1
        return True

    def _use(self, item: object) -> None:
        try:
            used = msgspec.convert(item, Usage)
        except (msgspec.ValidationError, RecursionError):
            return
        fields = msgspec.structs.asdict(used)
        if all(0 <= value < 1 << 50 for value in fields.values()):
            total = {name: min(getattr(self.usage, name) + value, 1 << 50) for name, value in fields.items()}
            self.usage = Usage(**total)

    def _turn(self, item: object) -> None:
        """Kept before the worker can have gone on far; a run that was lost to another owner ends here (LeaseLost)."""
        try:
            turn = msgspec.convert(item, Turn)
        except (msgspec.ValidationError, RecursionError):
            return
        if self.turns >= TURNS_MAX or not _flat(turn.data):
            return
        event = AttemptTurn(run=self.ctx.run, attempt=self.number, nth=self.turns, data=turn.data)
        try:
            anyio.from_thread.run(self.ctx.tell, event)
        except DraftRefused:
            return  # nothing that the ledger can hold, such as a number of thousands of digits
        self.turns += 1


def _flat(data: object) -> bool:
    """Not nested deeper than TURN_DEPTH_MAX."""
    level: list[Any] = [data]
    for _ in range(TURN_DEPTH_MAX):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
            elif isinstance(one, list):
                below += one
        if not below:
            return True
        level = below
    return False


def checked(told: object, now: datetime) -> Claim:
    """What a worker claims, no longer than it may be; something that is no claim is a crash that says so. Until when
    to wait is kept with what can be waited for, and where it is a moment not long from now."""
    try:
        claim = msgspec.convert(told, Claim)
    except (msgspec.ValidationError, RecursionError) as problem:
        return Claim(outcome="crashed", summary=cut(f"ended with something that is no claim: {problem}"))
    until = moment(claim.until[:40]) if claim.trouble in WAITING else None
    return msgspec.structs.replace(
        claim,
        summary=cut(claim.summary),
        not_built=tuple(cut(what, NOT_BUILT_CHARS_MAX) for what in claim.not_built[:NOT_BUILT_MAX]),
        trouble="" if claim.outcome == "finished" else claim.trouble,
        until=stamp(until) if until is not None and now < until <= now + FARTHEST else "",
    )


def cut(text: str, most: int = SUMMARY_CHARS_MAX) -> str:
    """A worker's words as the ledger can hold them: not longer than that, and no halves of characters."""
    whole = text[: most + 1].encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= most else f"{whole[:most]}…"
