"""Runs of a restored log that wait for a person, because they may have gone on after the copy.

What they did then is in no log any more. So nobody leases such a run before somebody has answered `GO_ON` (or
asked for it to be cancelled), and even then no `once` step of it begins before its key was named in an answer
`repeat KEY`. Enforced where events are admitted, so that no engine can forget it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daybreak.errors import DraftRefused, LedgerError
from daybreak.events import Answered, CancelAsked, Event, LeaseGranted, RunHeld, StepIntended, control_stream
from daybreak.ledger.admission import START
from daybreak.ledger.record import Draft, Record
from daybreak.ledger.rows import Rows

GO_ON = "go on"
"""The answer that lets a held run be leased again."""
REPEAT = "repeat"
"""The answer `repeat KEY` lets the `once` step with that key begin."""
_RUN = "run:"


class RunIsHeld(LedgerError):
    """The log was restored from a copy, the run may have gone on after it, and nobody has said what to do."""

    code = "L162"


class OnceIsHeld(DraftRefused):
    """A step that must happen only once may have happened after the copy that the log was restored from."""

    code = "L163"


def idem_of(log: str) -> str:
    """The key under which a restore into the log of that name holds a run; one for each."""
    return f"held/{log}"


class Holds:
    """What is held in one ledger. `logs` are the names of the restored logs in it; none, and nothing can be held."""

    def __init__(self, rows: Rows, logs: Sequence[str]) -> None:
        self._rows = rows
        self._logs = tuple(logs)

    def check(self, draft: Draft) -> None:
        """Raises RunIsHeld, OnceIsHeld where the draft must wait for a person."""
        kind = type(draft.event)
        if not self._logs or (kind is not LeaseGranted and kind is not StepIntended):
            return
        if not draft.stream.startswith(_RUN):
            return
        run = draft.stream.removeprefix(_RUN)
        if isinstance(draft.event, StepIntended):
            self._check_once(run, draft.event)
        elif (held := self.open(run)) is not None:
            raise RunIsHeld(
                f"run {run} is held: {held.question}",
                hint=f'`daybreak resume {run} --answer "{GO_ON}"` once you have looked; cancelling it needs no answer',
            )

    def open(self, run: str) -> RunHeld | None:
        """What the run is held by; None where it is not, or where a person let it go."""
        for record, held in self._of(run):
            for word in self._words(run, record.index):
                if isinstance(word, CancelAsked) or (isinstance(word, Answered) and _says(word.answer, GO_ON)):
                    break
            else:
                return held
        return None

    def _check_once(self, run: str, step: StepIntended) -> None:
        newest = max((record.index for record, _ in self._of(run)), default=None)
        if newest is None:
            return
        wanted = f"{REPEAT} {step.key}"
        for word in self._words(run, newest):
            if isinstance(word, Answered) and _says(word.answer, wanted):
                return
        raise OnceIsHeld(
            f"step {step.name!r} of run {run} must happen only once, and may have happened after the copy "
            f"that this log was restored from (its key: {step.key})",
            hint=f'find out where it acts; if it did not happen: `daybreak resume {run} --answer "{wanted}"`',
        )

    def _of(self, run: str) -> Iterator[tuple[Record, RunHeld]]:
        for log in self._logs:
            record = self._rows.idem(f"{_RUN}{run}", 0, idem_of(log))
            if record is not None and isinstance(record.event, RunHeld):
                yield record, record.event

    def _words(self, run: str, after: int) -> Iterator[Event]:
        """What people said about the run since then; a wish to cancel counts whenever it was said."""
        stream, tip = control_stream(run), START
        while True:
            records, tip = self._rows.stream_page(stream, tip)
            if not records:
                return
            yield from (
                record.event for record in records if record.index > after or isinstance(record.event, CancelAsked)
            )


def _says(answer: object, wanted: str) -> bool:
    return isinstance(answer, str) and " ".join(answer.split()).casefold() == wanted
