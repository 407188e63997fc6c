"""All witnesses beside an open ledger. Each has a thread of its own, so a slow one keeps neither commits nor others.

A head is shown only after its commit is durable, so no witness is ever ahead of the database. What is proved against
the ledger (by a head of its own key) stops it; what a witness only says stops it where the rule believes that witness.
Everything else is told by an event and in how the witness stands, and tried again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from daybreak.clock import Clock
from daybreak.errors import DaybreakError, LedgerError, LedgerStopped
from daybreak.events import KEYS, Event, WitnessCaughtUp, WitnessLapsed
from daybreak.factory.witnessing.members import every_s, members
from daybreak.factory.witnessing.watch import PROVED, Watch
from daybreak.ledger import Draft, Ledger, Record
from daybreak.ledger.witness.kept import Kept, Standing
from daybreak.ledger.witness.statement import WitnessContradicts
from daybreak.policy.breaker import BreakerRule
from daybreak.settings import Settings, Witnessing

GRACE_S = 1.0
"""A command that is over sooner asks nobody; the next one shows what it appended."""
LAST_S = 3.0
"""At the end witnesses that are behind get so long."""
LOOK_S = 0.5
ACTOR = "witnesses"
_log = logging.getLogger("daybreak.witness")


class NotWitnessed(LedgerError):
    """The required witnesses have not seen it in time."""

    code = "L187"


class WitnessesOverdue(LedgerError):
    """Nothing was witnessed for longer than the rule allows."""

    code = "L188"


def mark(rule: Witnessing, sizes: Mapping[str, int]) -> int | None:
    """Events that are *witnessed*: so many have all who are required, and so many of all as `at_least` says. None where
    the rule requires nobody."""
    parts = [sizes.get(name, 0) for name in rule.required]
    if rule.at_least:
        ordered = sorted(sizes.values(), reverse=True)
        parts.append(ordered[rule.at_least - 1] if len(ordered) >= rule.at_least else 0)
    return min(parts, default=None)


class Panel:
    """The witnesses of one open ledger. `compare`, then `start`; `close` before the ledger is closed."""

    def __init__(self, ledger: Ledger, watches: Sequence[Watch], rule: Witnessing, kept: Kept, clock: Clock) -> None:
        self._ledger = ledger
        self._watches = list(watches)
        self.rule = rule
        self._kept = kept
        self._clock = clock
        self._turn = threading.Condition()
        self._closing = False
        self._asked = False
        """Was anybody shown a head? A command that was over before leaves that to the next one."""
        self._idle = 0
        """Threads that wait for news alone."""
        self._began_s = clock.monotonic()
        self._threads: list[threading.Thread] = []
        self._told = {watch.place.name for watch in self._watches if watch.standing.told}
        """Their lapse is in the log, and not yet that they came back."""
        self._telling = threading.Lock()
        """One at a time, so that nothing is told twice."""
        self._goal = (ledger.head().size, clock.monotonic())
        """So many events should be witnessed; since when."""
        self._end = ledger.subscribe(self._heard) if self._watches else lambda: None
        if rule.deliveries == "witnessed":
            ledger.secure_also(self.wait)

    # -- asked from outside

    @property
    def witnessed(self) -> int | None:
        """Events that are witnessed by the rule; None where it requires nobody."""
        return mark(self.rule, {watch.place.name: watch.standing.counts for watch in self._watches})

    @property
    def standings(self) -> list[Standing]:
        return [watch.standing for watch in self._watches]

    def compare(self, timeout_s: float | None = None, *, asking: bool = True) -> list[LedgerError]:
        """The ledger with the highest head that any witness is known to have, and, `asking`, with what those say who
        answer within `timeout_s` (that of the rule). What went wrong with single witnesses is given back.

        Raises LedgerBehind, LedgerForked, LedgerTampered, and WitnessContradicts where the rule believes a bare word.
        """
        if (known := self._kept.highest()) is not None:
            self._ledger.compare(known)
        if not asking:
            return []
        wrong: dict[str, LedgerError] = {}
        over = False

        def begin(watch: Watch) -> None:
            error = self._guarded(watch, begin=True)
            with self._turn:
                late = over
                if error is not None:
                    wrong[watch.place.name] = error
            if late and error is not None and self._stops(watch.place.name, error):
                self._ledger.refuse(error)

        self._all(begin, self.rule.start_s if timeout_s is None else timeout_s)
        with self._turn:
            over, found = True, dict(wrong)
        for name, error in found.items():
            if self._stops(name, error):
                raise error
        self._tell()
        return list(found.values())

    def sync(self, timeout_s: float) -> int | None:
        """Ask all who are behind, at once, whatever they were last asked; what is witnessed when all have answered, or
        after `timeout_s`."""
        return self._shown(timeout_s, None)

    def sure(self, timeout_s: float) -> int | None:
        """Ask everybody; what is witnessed by the answers that came within `timeout_s` alone. What is remembered of
        others counts for nothing: for what cannot be undone."""
        told: dict[str, int] = {}

        def show(watch: Watch) -> None:
            self._try(watch)
            told[watch.place.name] = watch.answered

        if mark(self.rule, {}) is not None:
            self._all(show, timeout_s)
        return mark(self.rule, {watch.place.name: told.get(watch.place.name, 0) for watch in self._watches})

    def wait(self, size: int | None = None, timeout_s: float | None = None) -> None:
        """Returns when so many events (all that are durable now) are witnessed; at once where nobody is required.
        Raises NotWitnessed after `timeout_s` (that of the rule)."""
        wanted = self._ledger.head().size if size is None else size
        patience_s = self.rule.wait_s if timeout_s is None else timeout_s
        ends_s = self._clock.monotonic() + patience_s
        have = self.witnessed
        while have is not None and have < wanted:
            left_s = ends_s - self._clock.monotonic()
            if left_s <= 0 or self._closing:
                raise NotWitnessed(
                    f"{have} of {wanted} events are witnessed after {patience_s:g} s",
                    hint="`daybreak ledger witness list` says who is behind, and why.",
                )
            have = self._shown(left_s, wanted)
            if have is not None and have < wanted:
                with self._turn:
                    self._turn.wait(min(LOOK_S, max(left_s, 0)))
                have = self.witnessed

    def _shown(self, timeout_s: float, enough: int | None) -> int | None:
        """As `sync`; not waiting for the others when `enough` events are witnessed."""
        size = self._ledger.head().size

        def show(watch: Watch) -> None:
            if watch.wants(size):
                self._try(watch)

        self._all(show, timeout_s, lambda: enough is not None and (self.witnessed or 0) >= enough)
        return self.witnessed

    # -- threads

    def start(self) -> None:
        """From now on heads are shown as they come, from `GRACE_S` after the beginning on."""
        for watch in self._watches:
            name = f"witness-{watch.place.name}"
            self._threads.append(threading.Thread(target=self._run, args=(watch,), name=name, daemon=True))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Who is behind gets a last try, where they were asked before; whoever does not answer is left behind."""
        self._end()
        ends_s = self._clock.monotonic() + LAST_S
        if self._asked:
            for _ in range(2):  # how a witness stands may be one more event
                self.sync(max(0.0, ends_s - self._clock.monotonic()))
        with self._turn:
            self._closing = True
            self._turn.notify_all()
        for thread in self._threads:
            thread.join(0.05)  # daemons: one that waits for a witness ends by itself, or with the process

    def _run(self, watch: Watch) -> None:
        while True:
            with self._turn:
                while not self._closing and not self._has_turn(watch) and self._overdue() is None:
                    self._pause(watch)
                if self._closing:
                    return
                overdue = self._overdue()
            if overdue is not None:
                self._ledger.refuse(overdue)
                return
            self._try(watch)

    def _has_turn(self, watch: Watch) -> bool:
        early = self._clock.monotonic() - self._began_s < GRACE_S
        return not early and watch.wants(self._ledger.head().size) and watch.is_due(self._clock.now())

    def _pause(self, watch: Watch) -> None:
        """Until it is due, or until there is news; under the lock."""
        early_s = GRACE_S - (self._clock.monotonic() - self._began_s)
        if early_s > 0:
            self._turn.wait(early_s)
            return
        self._idle += 1  # before the look, so that a commit after it wakes this thread
        try:
            if not watch.wants(self._ledger.head().size):
                self._turn.wait()
                return
        finally:
            self._idle -= 1
        due_s = 0.0 if watch.next_at is None else (watch.next_at - self._clock.now()) / timedelta(seconds=1)
        self._turn.wait(min(max(due_s, 0.01), LOOK_S if self.rule.stop_after_s else 60.0))

    def _heard(self, records: Sequence[Record]) -> None:
        """After a commit, on the thread that wrote it: nothing is done here but to wake those who wait for it."""
        if self._idle:
            with self._turn:
                self._turn.notify_all()

    def _all(self, work: Callable[[Watch], None], timeout_s: float, enough: Callable[[], bool] = lambda: False) -> None:
        """For every witness at once; returns when all are done, when it is `enough`, or after so long."""
        busy = len(self._watches)

        def one(watch: Watch) -> None:
            nonlocal busy
            try:
                work(watch)
            finally:
                with self._turn:
                    busy -= 1
                    self._turn.notify_all()

        for watch in self._watches:
            name = f"witness-{watch.place.name}-now"
            threading.Thread(target=one, args=(watch,), name=name, daemon=True).start()
        with self._turn:
            self._turn.wait_for(lambda: not busy or enough(), timeout_s)

    # -- what comes of a try

    def _try(self, watch: Watch) -> None:
        self._asked = True
        error = self._guarded(watch)
        if error is not None and self._stops(watch.place.name, error):
            self._ledger.refuse(error)
            return
        self._tell()
        with self._turn:
            self._turn.notify_all()

    def _guarded(self, watch: Watch, *, begin: bool = False) -> LedgerError | None:
        """A try; an error of ours in it is logged and counts as none of the witness's."""
        try:
            return watch.begin() if begin else watch.ask()
        except LedgerStopped:
            return None  # the ledger was closed meanwhile
        except Exception:  # noqa: BLE001 - on a thread of its own nobody else would hear of it
            _log.exception("witness %s could not be asked", watch.place.name)
            watch.next_at = self._clock.now() + timedelta(seconds=60)
            return None

    def _stops(self, name: str, error: LedgerError) -> bool:
        if isinstance(error, PROVED):
            return True
        believed = self.rule.believe == "word" and name in self.rule.required
        return isinstance(error, WitnessContradicts) and believed

    def _tell(self) -> None:
        """Events for those who lapsed or came back since the last time."""
        with self._telling:
            news: list[tuple[Standing, Event]] = []
            for watch in self._watches:
                standing = watch.standing
                if watch.lapsed and standing.name not in self._told:
                    news.append((standing, self._lapsed(standing)))
                elif standing.name in self._told and standing.state == "well":
                    news.append((standing, self._caught_up(standing)))
            if not news or self._closing:
                return
            try:
                self._ledger.append([Draft(KEYS, event, ACTOR) for _, event in news])
            except DaybreakError as error:  # the next try, or the next start, tells it
                _log.warning("how witnesses stand could not be written down: %s", error)
                return
            self._told ^= {standing.name for standing, _ in news}
            for standing, event in news:
                try:
                    self._kept.tell(standing, told=isinstance(event, WitnessLapsed))
                except OSError as error:
                    _log.warning("%s: the next start will tell this again: %s", standing.name, error)

    def _lapsed(self, standing: Standing) -> Event:
        return WitnessLapsed(
            witness=standing.name,
            kind=standing.kind,
            size=standing.size,
            state="contradicts" if standing.state == "contradicts" else "failing",
            code=standing.code,
            problem=standing.why,
            witnessed=self.witnessed or 0,
        )

    def _caught_up(self, standing: Standing) -> Event:
        return WitnessCaughtUp(
            witness=standing.name, kind=standing.kind, size=standing.size, witnessed=self.witnessed or 0
        )

    def _overdue(self) -> LedgerError | None:
        """Where nothing was witnessed for longer than the rule allows; under the lock."""
        have, now_s = self.witnessed, self._clock.monotonic()
        if not self.rule.stop_after_s or have is None:
            return None
        goal, since_s = self._goal
        if have >= goal:
            self._goal = (self._ledger.head().size, now_s)
            return None
        if now_s - since_s <= self.rule.stop_after_s:
            return None
        return WitnessesOverdue(
            f"{have} of {goal} events are witnessed, for longer than {self.rule.stop_after_s:g} s",
            hint="`daybreak ledger witness list` says who is behind; `stop_after_s` in `[witness]` is the limit.",
        )


def beside(ledger: Ledger, told: Settings, folder: Path, clock: Clock, environment: Mapping[str, str]) -> Panel:
    """The witnesses of `daybreak.toml` for an open ledger; nobody is asked anything yet. `folder`: that of the head
    file. Raises SettingsWrong."""
    kept = Kept(folder, ledger.verifier)
    watches = []
    for name, place in members(told, ledger.verifier, clock, environment).items():
        breaker = told.breakers.get(f"witness:{name}")
        rule = None if breaker is None else BreakerRule(**breaker.model_dump())
        watches.append(Watch(place, every_s(told.witnesses[name]), ledger, kept, clock, rule=rule))
    return Panel(ledger, watches, told.witness, kept, clock)
