"""A night before it happens: tonight's queue on a virtual clock, as often as one likes.

What begins when is decided by the engine's own rules: `Queue.next` and `Schedules.look` work on a copy of the views'
tables (`virtual`). How each task goes is drawn from stories of runs that were (`experience`). A night follows
`supervisor`: what a crash left goes first, then what is picked; nothing begins behind the deadline or beyond a budget;
nobody answers questions.

Beyond the deadline the same night is played on, without new windows, to see when everything would be finished.
The same seed gives the same numbers. Nothing is written anywhere; memory does not grow with the number of nights but
for a few numbers of each.

What is not played: outages are waits of single runs, as they were, not one outage for all that call one provider;
crashes of the machine; people.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import NamedTuple

from daybreak.clock import stamp
from daybreak.engine import plain
from daybreak.engine.engine import LATE, WITHOUT
from daybreak.engine.experience import Assumed, Basis, Draws, Experience, Piece, Story, check_known, kept_steps, merged
from daybreak.engine.log import Log
from daybreak.engine.night import Plan
from daybreak.engine.picking import Candidate, Capacity, Pick
from daybreak.engine.purse import TIME_SPENT, account_of
from daybreak.engine.queue import Queue
from daybreak.engine.view import UNDER_WAY
from daybreak.engine.virtual import Entry, Timetable, VirtualClock, VirtualLog, VirtualSchedules
from daybreak.engine.window import Schedule
from daybreak.errors import UsageError
from daybreak.events import LeaseGranted, RunMoved, State
from daybreak.policy.accounts import Accounts
from daybreak.policy.budget import NOTHING, Account, Amounts, Book, BudgetSpent, Limit

NIGHTS_MAX = 100_000
HORIZON = timedelta(days=31)
"""Nights are not played on beyond this."""
DIAGNOSED = 20
"""So many nights are looked at for what runs wait for."""
NIGHT = "rehearsal"
_ACCOUNT = f"night:{NIGHT}"


class RehearsalWrong(UsageError):
    """A rehearsal that cannot be."""

    code = "U193"


# -- what comes of it


@dataclass(frozen=True, slots=True)
class Span:
    """Percentiles over the nights."""

    p10: float
    p50: float
    p90: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Span:
        """Of at least one value, by linear interpolation."""
        ordered = sorted(values)
        return cls(*(_percentile(ordered, share) for share in (0.1, 0.5, 0.9)))


@dataclass(frozen=True, slots=True)
class Stopped:
    """Something that would wait for a person, or be given up."""

    state: str
    """parked, failed, or paused, which is by the night's budget."""
    kind: str
    title: str
    why: str
    """The question, or the reason."""
    nights: float
    """In how many of 1 nights."""
    runs: float
    """How many runs in each, on average."""


@dataclass(frozen=True, slots=True)
class Held:
    """What runs that could begin or go on waited for."""

    cause: str
    """`workers`, `key NAME`, `rate NAME`, `needs`, `times`, `waits`, `pause`."""
    hours: float
    """Run-hours in each night, on average."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a task of the queue was drawn from."""

    run: str
    """Empty for windows of a schedule that are to come."""
    kind: str
    title: str
    basis: Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What came of it. Times are seconds after `began`, money is in US dollars."""

    began: datetime
    until: datetime | None
    nights: int
    seed: int
    workers: int
    budget: Limit | None
    runs: int
    """In the queue now."""
    windows: Span
    """Runs that schedules would add."""
    drawn: tuple[Drawn, ...]
    finishes: tuple[float, ...]
    """When the last worker is idle for good, of each night, in the order of the nights."""
    crowded: Span
    """Until when all workers have work."""
    in_time: float
    """In how many of 1 nights nothing is left at `until` that could go on by itself; 1 without it."""
    money: tuple[float, ...]
    """Spent up to `until`, or to the end; of each night."""
    tokens: Span
    at_end: Mapping[str, Span]
    """Runs in each state at `until`, or at the end."""
    busy: Span
    """The share of workers' time that is used, up to `until` or the end; 0 to 1."""
    stopped: tuple[Stopped, ...]
    """At the end of each night's window; the most frequent first."""
    held: tuple[Held, ...]
    """The worst first."""
    accounts: Mapping[str, float]
    """Budgets that stopped something → in how many of 1 nights."""
    cut: float
    """In how many of 1 nights something was still to come after HORIZON."""

    @property
    def finish(self) -> Span:
        return Span.of(self.finishes)

    @property
    def cost(self) -> Span:
        return Span.of(self.money)

    @property
    def thinnest(self) -> Basis | None:
        """The weakest of what it rests on."""
        return min((one.basis for one in self.drawn), key=lambda basis: basis.observations, default=None)


class Start(NamedTuple):
    """A run got a worker."""

    at_s: float
    run: str


def rehearse(
    log: Log,
    now: datetime,
    plan: Plan,
    *,
    nights: int = 100,
    seed: int = 0,
    assumed: Sequence[Assumed] = (),
    told: Callable[[int, Start], None] | None = None,
) -> Rehearsal:
    """Play so many nights that begin now. `told` hears of every start, with the night's number.

    Raises RehearsalWrong, NothingKnown (and says what to assume), AssumptionWrong.
    """
    if not 1 <= nights <= NIGHTS_MAX:
        raise RehearsalWrong(f"{nights!r:.40} nights", hint=f"1 to {NIGHTS_MAX:,}")
    if plan.until is not None and not now < plan.until < now + HORIZON:
        raise RehearsalWrong(f"a night until {stamp(plan.until)}", hint=f"it ends within {HORIZON.days} days")
    stage = _Stage(log, now, plan, assumed)
    try:
        tally = _Tally()
        for number in range(nights):
            night = _Night(stage, Random(f"{seed}/{number}"), diagnosed=number < DIAGNOSED)
            if told is not None:
                night.told = lambda start, number=number: told(number, start)
            tally.take(night.play())
        return _summary(stage, tally, nights, seed)
    finally:
        stage.log.close()


# -- what all nights have in common


class _Stage:
    def __init__(self, source: Log, now: datetime, plan: Plan, assumed: Sequence[Assumed]) -> None:
        self.plan = plan
        self.clock = VirtualClock(now)
        self.log = VirtualLog(source, self.clock)
        self.entries = self.log.entries()
        self.timetables: dict[Schedule, Timetable] = {}
        templates = self._templates()
        kinds = {one.kind for one in self.entries} | {kind for kind, _ in templates}
        self.experience = Experience(source, kinds, assumed)
        named = [(one.kind, one.title) for one in self.entries] + templates
        bases = {key: self.experience.basis(*key) for key in named}
        check_known(bases)
        self.drawn = tuple(
            Drawn(one.run if one else "", kind, title, basis)
            for one, (kind, title) in zip([*self.entries, *(None for _ in templates)], named, strict=True)
            if (basis := bases[kind, title]) is not None
        )
        self.steps = {one.run: kept_steps(source, one.run) for one in self.entries if one.epoch}
        self.left = [one.run for one in self.entries if one.state in UNDER_WAY and not one.restored]
        self.budgets = {one.run: _limit(one.budget) for one in self.entries}
        self.book = self._open_book(Accounts(source), source)

    def _templates(self) -> list[tuple[str, str]]:
        """Kinds and titles of windows that come before the end."""
        if self.plan.until is None:
            return []
        queue = Queue(self.log, self.clock, Random(0).randbytes)
        schedules = VirtualSchedules(self.log, self.clock, queue, self.timetables)
        now, until = self.clock.now(), self.plan.until
        coming = {name for name, window in schedules.next(now) if window.start <= until}
        rows = [row for row in schedules.all() if row.name in coming or schedules.due(now, row.name)]
        return sorted({(row.template["kind"], row.template["title"]) for row in rows})

    def _open_book(self, accounts: Accounts, source: Log) -> Book:
        """Accounts of the night and of runs that have one, with what they have spent."""
        found = {}
        above = _ACCOUNT if self.plan.budget is not None else None
        if self.plan.budget is not None:
            found[_ACCOUNT] = Account(self.plan.budget)
        known = {}
        if source.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'view_accounts'"):
            known = {row.account: row for row in accounts.accounts()}
        for one in self.entries:
            row = known.get(account_of(one.run))
            limit = row.limit if row is not None else self.budgets[one.run]
            if limit is not None:
                found[account_of(one.run)] = Account(limit, above, row.committed if row is not None else NOTHING)
        return Book(found)


def _limit(budget: str) -> Limit | None:
    told = plain.decode(budget.encode()) if budget else {}
    return Limit.of(told) if told else None


# -- one night


@dataclass(slots=True)
class _Course:
    """How a run goes in this night, and how far it is."""

    entry: Entry
    pieces: tuple[Piece, ...]
    epoch: int
    state: State
    at: int = 0
    """The piece that is next or under way."""
    began_us: int = 0
    """Since when it has its worker."""
    due_us: int = 0
    """When the piece under way ends."""
    account: str = ""
    time_key: str = ""
    time_us: int | None = None
    """When its time is used up."""
    cut: bool = False
    """The piece under way ends because the run's time is used up."""
    key: str = ""
    """Of the reservation of the piece under way."""
    why: str = ""


@dataclass
class _Played:
    """What came of one night."""

    finish_us: int = 0
    crowded_us: int = 0
    money: int = 0
    tokens: int = 0
    busy: float = 0.0
    windows: int = 0
    in_time: bool = True
    cut: bool = False
    states: Counter[str] = field(default_factory=Counter)
    stopped: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    accounts: set[str] = field(default_factory=set)
    held_us: Counter[str] | None = None


class _Night:
    """See the module; `play` once."""

    def __init__(self, stage: _Stage, chance: Random, *, diagnosed: bool) -> None:
        self._stage = stage
        self._plan = stage.plan
        self._chance = chance
        self._log = stage.log
        self._clock = stage.clock
        self._book = stage.book
        self._draws: dict[int, Draws] = {}
        self._courses: dict[str, _Course] = {}
        self._under_way: dict[str, _Course] = {}
        self._events: list[tuple[int, int, str]] = []
        """When a piece ends, a number that keeps the order, whose it is."""
        self._nth = count()
        self._left = list(stage.left)
        self._until_us = _span_us(stage.clock.began, self._plan.until) if self._plan.until is not None else None
        self._night_over = False
        self._spent = [0, 0]
        self._worked_us = 0
        self.told: Callable[[Start], None] | None = None
        self._played = _Played(held_us=Counter() if diagnosed else None)

    def play(self) -> _Played:
        self._clock.now_us = 0
        self._log.mark()
        try:
            self._queue = Queue(self._log, self._clock, self._chance.randbytes)
            self._schedules = VirtualSchedules(self._log, self._clock, self._queue, self._stage.timetables)
            self._window_us: int | None = 0 if self._schedules.all() and self._until_us is not None else None
            for entry in self._stage.entries:
                self._cast(entry, self._stage.steps.get(entry.run, 0))
            self._go_on()
        finally:
            self._log.undo()
        return self._played

    def _cast(self, entry: Entry, steps: int = 0) -> None:
        """Decide how a run will go. All at the beginning, so that other workers or budgets meet the same tasks."""
        basis = self._stage.experience.basis(entry.kind, entry.title)
        assert basis is not None, "asked before the first night"
        draws = self._draws.get(id(basis))
        if draws is None:
            draws = self._draws[id(basis)] = basis.source.draws(self._chance)
        drawn = draws.draw(self._chance, steps)
        account = account_of(entry.run) if account_of(entry.run) in self._book.accounts else ""
        if not account and self._plan.budget is not None:
            account = _ACCOUNT
        if isinstance(drawn, Story):
            pieces = drawn.pieces if account else drawn.stints
        else:
            pieces = drawn if account else merged(drawn)
        self._courses[entry.run] = _Course(entry, pieces, entry.epoch, entry.state, account=account)  # type: ignore[arg-type] # a State

    # -- time

    def _go_on(self) -> None:
        while True:
            if self._until_us is not None and not self._night_over and self._clock.now_us >= self._until_us:
                self._close()
            while self._turn():
                pass
            at = self._next_us()
            if at is None or at > HORIZON // timedelta(microseconds=1):
                self._played.cut = at is not None
                break
            self._pass_to(at)
        self._close()

    def _pass_to(self, at: int) -> None:
        passed = at - self._clock.now_us
        if not self._night_over:
            self._worked_us += passed * len(self._under_way)
            if self._played.held_us is not None:
                self._diagnose(passed, self._played.held_us)
        if len(self._under_way) == self._plan.workers:
            self._played.crowded_us = at
        self._clock.now_us = at
        while self._events and self._events[0][0] <= at:
            _, _, run = heapq.heappop(self._events)
            self._ended_piece(self._under_way[run])

    def _next_us(self) -> int | None:
        """The next moment at which something happens."""
        moments = [self._events[0][0]] if self._events else []
        if len(self._under_way) < self._plan.workers:
            wake = self._queue.wake_at(self._clock.now())
            if wake is not None:
                moments.append(max(self._clock.now_us + 1, _span_us(self._clock.began, wake)))
        if not self._night_over and self._until_us is not None:
            if self._window_us is not None:
                moments.append(self._window_us)
            moments = [min(at, self._until_us) for at in moments]
        return min(moments, default=None)

    # -- as the supervisor does it

    def _turn(self) -> bool:
        """Start what can be started; whether one of it ended at once, so that there is room again."""
        self._look_at_schedules()
        free = self._plan.workers - len(self._under_way)
        ended = False
        while free > 0 and self._left:
            course = self._courses[self._left.pop(0)]
            word = "held" if course.entry.held else "cancel" if course.entry.cancel else ""
            ended |= self._start(course, word)
            free -= 1
        if free > 0:
            for pick in self._queue.next(self._clock.now(), most=free, night=NIGHT):
                course = self._courses[pick.run]
                ended |= self._start(course, "cancel" if pick.cancel else self._question(pick, course))
        return ended

    def _look_at_schedules(self) -> None:
        if self._night_over or self._window_us is None:
            return
        now = self._clock.now()
        self._schedules.look(now)
        for added in self._log.added:
            entry = Entry(added.run, added.kind, added.title, "queued", 0, added.deadline, "", False, False, False)
            if added.budget:
                above = _ACCOUNT if self._plan.budget is not None else None
                self._book = self._book.opened(account_of(added.run), Limit.of(added.budget), above)
            self._cast(entry)
            self._played.windows += 1
        self._log.added.clear()
        if self._clock.now_us >= self._window_us:
            coming = self._schedules.wake_at(now)
            self._window_us = None if coming is None else _span_us(self._clock.began, coming)

    def _question(self, pick: Pick, course: _Course) -> str:
        """What a person is asked before it begins, as the engine asks it."""
        if course.epoch or not (pick.late or pick.broken or course.entry.deadline):
            return ""
        if course.entry.deadline and stamp(self._clock.now()) >= course.entry.deadline:
            return LATE
        broken = self._log.query(_BROKEN, (pick.run,))
        return WITHOUT.format(broken[0][0]) if broken else ""

    def _start(self, course: _Course, word: str) -> bool:
        """A worker takes it. `word` is what ends it at once: `cancel`, `held`, or a question. Whether it ended."""
        run = course.entry.run
        course.epoch += 1
        lease = LeaseGranted(run=run, owner="", host="", pid=0, night=NIGHT)
        moves = [RunMoved(run=run, old=course.state, new="running")]
        if course.state == "failed":  # it was asked for again
            moves = [RunMoved(run=run, old="failed", new="queued"), RunMoved(run=run, old="queued", new="running")]
        self._log.say(lease, *moves, epoch=course.epoch)
        course.state, course.began_us = "running", self._clock.now_us
        self._under_way[run] = course
        if self.told is not None:
            self.told(Start(self._clock.monotonic(), run))
        if word == "cancel":
            self._end(course, "cancelled")
        elif word == "held":
            self._end(course, "paused", "a person holds it")
        elif word:
            self._end(course, "parked", word)
        elif self._open_purse(course):
            self._begin_piece(course)
        return run not in self._under_way

    def _open_purse(self, course: _Course) -> bool:
        """Reserve the run's time; False where none is left and it is parked."""
        course.time_us, course.time_key = None, ""
        if not course.account or (left_ms := self._book.left(course.account).time_ms) is None:
            return True
        if left_ms <= 0:
            self._played.accounts.add(course.account)
            self._end(course, "parked", TIME_SPENT)
            return False
        course.time_us = course.began_us + left_ms * 1000
        course.time_key = f"{course.entry.run}/time/{course.epoch}"
        self._book = self._book.reserve(course.time_key, course.account, Amounts(time_ms=left_ms))
        return True

    # -- pieces

    def _begin_piece(self, course: _Course) -> None:
        if course.at >= len(course.pieces):  # its story ends in the middle of things: it is done
            self._end(course, "done")
            return
        piece = course.pieces[course.at]
        if course.account and piece.worst is not None:
            key = f"{course.entry.run}/{course.at}/{course.epoch}"
            try:
                self._book = self._book.reserve(key, course.account, piece.worst)
            except BudgetSpent as spent:
                self._stop_spending(course, spent)
                return
            course.key = key
        course.due_us = self._clock.now_us + piece.busy_us
        course.cut = course.time_us is not None and course.time_us < course.due_us
        if course.cut and course.time_us is not None:
            course.due_us = max(course.time_us, self._clock.now_us)
        heapq.heappush(self._events, (course.due_us, next(self._nth), course.entry.run))

    def _stop_spending(self, course: _Course, spent: BudgetSpent) -> None:
        self._played.accounts.add(spent.account)
        if spent.account == _ACCOUNT:
            self._end(course, "paused", "the night's budget is used up")
        else:
            self._end(course, "parked", "its budget is used up: raise it?")

    def _ended_piece(self, course: _Course) -> None:
        piece = course.pieces[course.at]
        if course.cut:
            self._settle(course, piece.worst or NOTHING)
            self._played.accounts.add(course.account)
            self._end(course, "parked", TIME_SPENT)
            return
        self._settle(course, piece.used)
        course.at += 1
        if not piece.then:
            self._begin_piece(course)
        else:
            self._end(course, piece.then, piece.question or piece.why, piece.wait_us)

    def _settle(self, course: _Course, used: Amounts) -> None:
        self._spend(used)
        if course.key:
            self._book, _ = self._book.settle(course.key, used)
            course.key = ""

    def _spend(self, used: Amounts) -> None:
        self._spent[0] += used.money_microusd
        self._spent[1] += used.tokens

    def _end(self, course: _Course, new: State, why: str = "", wait_us: int = 0) -> None:
        """It gives its worker back."""
        run = course.entry.run
        if course.time_key:
            used = Amounts(time_ms=(self._clock.now_us - course.began_us) // 1000)
            self._book, _ = self._book.settle(course.time_key, used)
            course.time_key = ""
        until = ""
        if new == "waiting":
            until = stamp(self._clock.now() + timedelta(microseconds=max(1, wait_us)))
        self._log.say(RunMoved(run=run, old="running", new=new, until=until), epoch=course.epoch)
        course.state, course.why = new, why
        del self._under_way[run]
        self._played.finish_us = max(self._played.finish_us, self._clock.now_us)

    # -- the end of the night's time

    def _close(self) -> None:
        """Count how everything stands, once."""
        if self._night_over:
            return
        self._night_over = True
        played = self._played
        if self._clock.now_us:
            played.busy = self._worked_us / (self._clock.now_us * self._plan.workers)
        played.money, played.tokens = self._spent
        grace_us = int(self._plan.grace_s * 1_000_000)
        for course in self._under_way.values():  # steps that end soon are waited for, others are cut off
            piece = course.pieces[course.at]
            in_time = course.due_us - self._clock.now_us <= grace_us
            used = piece.used if in_time or piece.worst is None else piece.worst
            if in_time or piece.worst is not None:
                played.money += used.money_microusd
                played.tokens += used.tokens
        to_come = self._next_us() is not None
        played.in_time = not self._under_way and not to_come
        for course in self._courses.values():
            state = "under way" if course.state in UNDER_WAY else course.state
            played.states[state] += 1
            if state in ("parked", "failed", "paused"):
                played.stopped[state, course.entry.kind, course.entry.title, course.why[:160]] += 1

    # -- what runs wait for

    def _diagnose(self, passed_us: int, held: Counter[str]) -> None:
        rows = self._log.query(_WAITING)
        crowded = len(self._under_way) == self._plan.workers
        capacity = Capacity(self._log, self._clock.now())
        for number, state, due, waits, resting, epoch, keyed, rated, lane in rows:
            cause = "workers"
            if due != "" and not due <= stamp(self._clock.now()):
                cause = "needs" if waits else "waits" if state == "waiting" else "times"
                if resting:
                    continue
            elif not crowded:
                cause = self._cause(capacity, Candidate("", "", "", "", "", state, epoch, keyed, rated, lane))
            held[cause] += passed_us * number

    def _cause(self, capacity: Capacity, one: Candidate) -> str:
        if (key := capacity.full_key(one)) is not None:
            return f"key {key}"
        if (rate := capacity.full_rate(one)) is not None:
            return f"rate {rate}"
        return "pause"


_BROKEN = "SELECT needs FROM view_runs_after WHERE run = ? AND broke ORDER BY needs LIMIT 1"
_STATES = ", ".join(f"'{state}'" for state in UNDER_WAY)
_WAITING = f"""SELECT count(*), min(state), min(due), waits > 0 AS needs,
    held OR restored OR (state = 'parked' AND NOT answered) AS resting,
    epoch > 0 AS begun, keyed, rated, lane
  FROM view_runs WHERE NOT over AND state NOT IN ({_STATES}) AND NOT (state = 'paused' AND night = '{NIGHT}')
  GROUP BY state, iif(due = '', '', iif(state = 'waiting' OR due = '~', due, run)), needs, resting, begun, lane"""


# -- all nights together


class _Tally:
    """Sums over the nights, and of each night no more than numbers."""

    def __init__(self) -> None:
        self.numbers: dict[str, array[float]] = {name: array("d") for name in _NUMBERS}
        self.states: dict[str, array[float]] = {}
        self.stopped_nights: Counter[tuple[str, str, str, str]] = Counter()
        self.stopped_runs: Counter[tuple[str, str, str, str]] = Counter()
        self.accounts: Counter[str] = Counter()
        self.held_us: Counter[str] = Counter()
        self.looked = 0

    def take(self, one: _Played) -> None:
        nights = len(self.numbers["finish_us"])
        for name, values in self.numbers.items():
            values.append(getattr(one, name))
        for state in one.states.keys() - self.states.keys():
            self.states[state] = array("d", bytes(8 * nights))
        for state, values in self.states.items():
            values.append(one.states[state])
        self.stopped_nights.update(one.stopped.keys())
        self.stopped_runs.update(one.stopped)
        self.accounts.update(one.accounts)
        if one.held_us is not None:
            self.looked += 1
            self.held_us.update(one.held_us)

    def of(self, name: str, unit: float = 1) -> tuple[float, ...]:
        return tuple(value / unit for value in self.numbers[name])

    def share(self, name: str) -> float:
        return sum(self.numbers[name]) / len(self.numbers[name])

    def stopped(self) -> tuple[Stopped, ...]:
        nights = len(self.numbers["finish_us"])
        found = [
            Stopped(*key, self.stopped_nights[key] / nights, runs / nights) for key, runs in self.stopped_runs.items()
        ]
        return tuple(sorted(found, key=lambda one: (-one.runs, one.state, one.kind, one.title, one.why)))

    def held(self) -> tuple[Held, ...]:
        worst_first = sorted(self.held_us.items(), key=lambda one: (-one[1], one[0]))
        return tuple(Held(cause, us / 3.6e9 / self.looked) for cause, us in worst_first if us)


_NUMBERS = ("finish_us", "crowded_us", "money", "tokens", "busy", "windows", "in_time", "cut")


def _summary(stage: _Stage, tally: _Tally, nights: int, seed: int) -> Rehearsal:
    accounts = sorted(tally.accounts.items())
    return Rehearsal(
        began=stage.clock.began,
        until=stage.plan.until,
        nights=nights,
        seed=seed,
        workers=stage.plan.workers,
        budget=stage.plan.budget,
        runs=len(stage.entries),
        windows=Span.of(tally.of("windows")),
        drawn=stage.drawn,
        finishes=tally.of("finish_us", 1e6),
        crowded=Span.of(tally.of("crowded_us", 1e6)),
        in_time=tally.share("in_time"),
        money=tally.of("money", 1e6),
        tokens=Span.of(tally.of("tokens")),
        at_end={state: Span.of(values) for state, values in sorted(tally.states.items())},
        busy=Span.of(tally.of("busy")),
        stopped=tally.stopped(),
        held=tally.held(),
        accounts={("night" if name == _ACCOUNT else name): number / nights for name, number in accounts},
        cut=tally.share("cut"),
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _span_us(first: datetime, last: datetime) -> int:
    """Microseconds, 0 at least."""
    return max(0, (last - first) // timedelta(microseconds=1))
