"""One witness and how it stands: tries behind a breaker, so that one that fails is left alone for longer and longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from daybreak.clock import Clock, stamp
from daybreak.errors import (
    LedgerBehind,
    LedgerError,
    LedgerForked,
    LedgerStopped,
    LedgerTampered,
    WitnessBroken,
)
from daybreak.ledger.witness.kept import Kept, Standing, State, said
from daybreak.ledger.witness.statement import Log, Place, WitnessContradicts, WitnessFalse, WitnessRefuses
from daybreak.policy.breaker import Breaker, BreakerOpen, BreakerRule
from daybreak.policy.failure import Failure, FailureKind

PROVED = (LedgerBehind, LedgerForked, LedgerTampered)
"""What a head that the ledger's own key has signed shows."""
SILENCES_TOLD = 3
"""So many failures in a row are told; one that is no accident of the way there is told at once."""
RULE = BreakerRule(failures=1, within_s=0, open_s=2, factor=2, most_s=600)
"""A witness that fails is tried again after 2 s, 4 s, … 10 minutes."""
WHY_MAX = 500


class Watch:
    """Not more than one try at a time; a second thread waits for the first."""

    def __init__(
        self, place: Place, every_s: float, log: Log, kept: Kept, clock: Clock, *, rule: BreakerRule | None = None
    ) -> None:
        """`every_s`: between two tries at least. `rule`: of its breaker, where `daybreak.toml` has one."""
        self.place = place
        self.every_s = every_s
        self._log = log
        self._kept = kept
        self._clock = clock
        self._breaker = Breaker(f"witness:{place.name}", rule or RULE, classify=_classify, clock=clock)
        self._asking = threading.Lock()
        self.answered = 0
        """Events that it had in its answer to the last `ask`; 0 where it gave none."""
        known = kept.standings().get(place.name)
        self.standing = known if known is not None and known.where == place.where else new(place)
        if hasattr(place, "known"):
            place.known = self.standing.size
        self.next_at: datetime | None = None
        """Not to be asked before; None: at once."""

    @property
    def lapsed(self) -> bool:
        """Is it worth telling?"""
        standing = self.standing
        at_once = standing.code in (WitnessFalse.code, WitnessRefuses.code, WitnessContradicts.code)
        return standing.state in ("failing", "contradicts") and (at_once or standing.failures >= SILENCES_TOLD)

    def wants(self, size: int) -> bool:
        """Is it to be shown a head of so many events? Also one that has them, where it is not known to be well."""
        return self.standing.size < size or self.standing.state in ("failing", "contradicts")

    def is_due(self, now: datetime) -> bool:
        return self.next_at is None or now >= self.next_at

    def ask(self) -> LedgerError | None:
        """Show it the newest head. What went wrong, where something did; the ledger's own errors (`PROVED`) among it.
        How it stands is on disk then."""
        with self._asking:
            self.answered = 0
            return self._tried(self._show)

    def begin(self) -> LedgerError | None:
        """At start: compare the ledger with the highest head that it has. As `ask`; nothing else is shown to those who
        can be read."""
        with self._asking:
            return self._tried(self._show if self.place.kind == "tlog" else self._compare)

    def _show(self) -> None:
        head = self._log.newest()
        statement = self.place.show(head, self._log)
        if statement.size > head.size:
            head = self._log.newest()
        self._kept.put(self.place.name, statement)
        self._stand(said(self.standing, head, statement, self._now()))
        self.answered = statement.size

    def _compare(self) -> None:
        found = self.place.highest(self._log)
        if found is not None:
            self._log.compare(found)
        if self.place.kind == "timestamp":
            return
        before, size = self.standing, 0 if found is None else found.size
        shown = msgspec.structs.replace(before, size=size, head="" if found is None else found.text)
        if size > before.size:
            self.standing = shown
        if size < before.size:
            self._stand(shown, lower=True)
            raise WitnessBroken(
                f"witness {self.place.name} had {before.size} events and shows {size}: somebody took them away",
                hint="find out who; it is shown the newest head again.",
            )

    def _tried(self, attempt: Callable[[], None]) -> LedgerError | None:
        """Raises LedgerStopped alone: the ledger was closed meanwhile, of which no witness is to blame."""
        try:
            with self._breaker:
                attempt()
        except LedgerStopped:
            raise
        except BreakerOpen as held:
            self.next_at = held.until
            return None
        except (LedgerError, OSError) as problem:
            error = problem if isinstance(problem, LedgerError) else _of_disk(self.place.name, problem)
            self._failed(error)
            return error
        self.next_at = _later(self._clock.now(), self.every_s)
        return None

    def _failed(self, error: LedgerError) -> None:
        contradicts = isinstance(error, WitnessContradicts | LedgerBehind | LedgerForked)
        before = self.standing
        state: State = "contradicts" if contradicts else "failing"
        standing = msgspec.structs.replace(
            before,
            state=state,
            since=before.since if before.state == state else self._now(),
            why=error.message[:WHY_MAX],
            code=error.code,
            failures=before.failures + 1,
        )
        self.next_at = self._breaker.circuit.until or _later(self._clock.now(), self.every_s)
        try:
            self._stand(standing)
        except OSError:  # a full disk must not hide what the witness said
            self.standing = standing

    def _stand(self, standing: Standing, *, lower: bool = False) -> None:
        self.standing = standing
        self.standing = self._kept.stand(standing, lower=lower)

    def _now(self) -> str:
        return stamp(self._clock.now())


def new(place: Place) -> Standing:
    """Before it was ever reached."""
    return Standing(name=place.name, kind=place.kind, where=place.where)


def _later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)


def _of_disk(name: str, problem: OSError) -> LedgerError:
    return WitnessBroken(f"witness {name}: {problem}", hint="look at the disk, its space and its rights.")


def _classify(error: BaseException, now: datetime) -> Failure:
    """Every failure counts: a witness that answers falsely is left alone as one that does not answer."""
    kind: FailureKind = "retryable"
    return Failure(kind, f"{type(error).__name__}: {error}"[:WHY_MAX])
