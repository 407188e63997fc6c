"""What the ledger knows about how tasks go: how long they kept a worker, what they cost, where they waited and for how
long, how they ended. The rehearsal of a night draws from it.

A run that was is one *story*, drawn whole: its durations, retries, waits, prices, questions and its end belong
together, and no formula has to be believed. Titles are looked at first, then kinds, then what the user assumes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from random import Random
from typing import Literal, Protocol

from daybreak.engine.live import RESERVED
from daybreak.engine.log import Log
from daybreak.engine.view import UNDER_WAY
from daybreak.errors import DaybreakError, UsageError
from daybreak.events import (
    FINAL,
    BudgetReserved,
    BudgetSettled,
    LeaseGranted,
    RunMoved,
    RunRolledBack,
    State,
    StepDone,
    StepFailed,
    StepTried,
    run_stream,
)
from daybreak.ledger.record import Record
from daybreak.policy import amounts
from daybreak.policy.budget import NOTHING, Amounts

Level = Literal["title", "kind", "assumed"]

TITLE_MIN = 3
"""With fewer stories of a title, those of its kind are drawn from."""
STORIES_MAX = 200
"""The newest stories of one title; of one kind, as many of any title."""
PIECES_MAX = 400
"""A longer story is told in fewer words: steps are drawn together."""
THIN, FEW = 30, 10
"""Below these an estimate is a rough one, and rather a guess."""
ANY = "*"
DURATION_MS_MAX = 31 * 86_400_000
_SPREAD = re.compile(r"(.+?)\s*(?:±|\+/?-)\s*([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%")
_CHANCE = re.compile(r"(fail|ask)\s+([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%")


class AssumptionWrong(UsageError):
    """An assumption that nobody can read."""

    code = "U191"


class NothingKnown(UsageError):
    """There are tasks of which neither the history nor an assumption says anything."""

    code = "U192"


# -- stories


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a run's work during which it keeps its worker, up to what is kept or to where it gives it back."""

    busy_us: int
    used: Amounts = NOTHING
    """Without time."""
    worst: Amounts | None = None
    """What was reserved before it; None: nothing was."""
    steps: int = 0
    """Outcomes of the task's own steps that were recorded in it."""
    then: State | Literal[""] = ""
    """The state that ends it; empty where the next piece follows at once."""
    wait_us: int = 0
    """With `waiting`: how long it waited."""
    question: str = ""
    """With `parked`."""
    why: str = ""


@dataclass(frozen=True)
class Story:
    """One way in which a task may go. Its last piece ends it."""

    pieces: tuple[Piece, ...]

    @cached_property
    def stints(self) -> tuple[Piece, ...]:
        """Without the borders between steps, for runs that no budget concerns."""
        return merged(self.pieces)

    @cached_property
    def steps(self) -> int:
        return sum(piece.steps for piece in self.pieces)

    @property
    def end(self) -> str:
        """How it comes to rest for the first time: done, failed, cancelled or parked."""
        return next((str(piece.then) for piece in self.pieces if piece.then not in ("", "waiting")), "")

    @property
    def priced(self) -> bool:
        return any(piece.worst is not None or piece.used != NOTHING for piece in self.pieces)

    def after(self, steps: int) -> tuple[Piece, ...] | None:
        """What is left behind so many kept steps; None where it does not come that far."""
        if steps == 0:
            return self.pieces
        for place, piece in enumerate(self.pieces):
            steps -= piece.steps
            if steps < 0:  # pieces that were drawn together are not cut
                return self.pieces[place:]
            if steps == 0 and place + 1 < len(self.pieces):
                return self.pieces[place + 1 :]
        return None


def merged(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Neighbours that nothing separates drawn together."""
    found: list[Piece] = []
    for piece in pieces:
        if found and not found[-1].then:
            found[-1] = _joined(found[-1], piece)
        else:
            found.append(piece)
    return tuple(found)


def _joined(one: Piece, other: Piece) -> Piece:
    worst = one.worst if other.worst is None else other.worst if one.worst is None else _larger(one.worst, other.worst)
    return replace(
        other,
        busy_us=one.busy_us + other.busy_us,
        used=one.used + other.used,
        worst=worst,
        steps=one.steps + other.steps,
    )


def _larger(one: Amounts, other: Amounts) -> Amounts:
    return Amounts(**{name: max(value, getattr(other, name)) for name, value in one})


class Teller:
    """Reads one run's stream and tells its story."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.kept: list[int] = []
        """Places in the ledger of the outcomes that count."""
        self._since: datetime | None = None
        """Since when it has its worker, or reached the last border."""
        self._waits: tuple[datetime, RunMoved] | None = None
        self._worst: Amounts | None = None
        self._used = NOTHING
        self._reserved: dict[str, int] = {}
        """Key of what is set aside → its piece."""
        self._steps = 0
        self.over = False

    def take(self, record: Record) -> None:
        if self.over:
            return
        event = record.event
        match event:
            case LeaseGranted():
                self._leased(_moment(record))
            case StepDone() | StepFailed() if not event.name.startswith(RESERVED):
                self.kept.append(record.index)
                self._steps += 1
                self._border(_moment(record))
            case StepTried():
                self._border(_moment(record))
            case BudgetReserved() if set(event.worst) - {"time_ms"}:  # the run's time is reserved by itself
                worst = Amounts.of(event.worst)
                self._worst = worst if self._worst is None else self._worst + worst
                self._reserved[event.key] = len(self.pieces)
            case BudgetSettled() if event.key in self._reserved:
                self._settled(event)
            case RunRolledBack():
                self.kept = [index for index in self.kept if index < event.index]
            case RunMoved():
                self._moved(_moment(record), event)
            case _:
                pass

    def story(self) -> Story | None:
        """None where it has not come to an end or a question by itself."""
        pieces = self.pieces
        while pieces and not (pieces[-1].then in FINAL or pieces[-1].then == "parked"):
            pieces = pieces[:-1]
        if not pieces or pieces[-1].then == "cancelled":
            return None
        if len(pieces) > PIECES_MAX:
            pieces = _shortened(pieces)
        return Story(tuple(pieces))

    def _settled(self, event: BudgetSettled) -> None:
        """What was used belongs to the piece before which it was reserved; its outcome comes just before this."""
        used = replace(Amounts.of(event.used), time_ms=0)
        place = self._reserved.pop(event.key)
        if place < len(self.pieces):
            piece = self.pieces[place]
            self.pieces[place] = replace(piece, used=piece.used + used)
        else:
            self._used += used

    def _leased(self, now: datetime) -> None:
        if self._waits is not None:
            since, moved = self._waits
            until = datetime.fromisoformat(moved.until) if moved.until else now
            self.pieces[-1] = replace(self.pieces[-1], wait_us=max(0, _us(since, until)))
            self._waits = None
        self._since = now  # what an owner that died or was interrupted had begun is done again: it counts once

    def _border(self, now: datetime, then: State | Literal[""] = "", question: str = "", why: str = "") -> None:
        busy_us = 0 if self._since is None else max(0, _us(self._since, now))
        self.pieces.append(Piece(busy_us, self._used, self._worst, self._steps, then, 0, question, why))
        self._since = now
        self._worst, self._used, self._steps = None, NOTHING, 0

    def _moved(self, now: datetime, moved: RunMoved) -> None:
        if moved.old not in UNDER_WAY or moved.new in UNDER_WAY:
            return
        if moved.new != "paused":  # by which somebody interrupted it
            self._border(now, moved.new, moved.question, moved.why)
            self.over = moved.new in FINAL
        self._since = None
        if moved.new == "waiting":
            self._waits = (now, moved)


def _shortened(pieces: Sequence[Piece]) -> list[Piece]:
    """In at most PIECES_MAX pieces, as far as waits allow."""
    group = -(-len(pieces) // PIECES_MAX) * 2
    found: list[Piece] = []
    inside = 0
    for piece in pieces:
        if found and not found[-1].then and inside < group:
            found[-1] = _joined(found[-1], piece)
            inside += 1
        else:
            found.append(piece)
            inside = 1
    return found


def _moment(record: Record) -> datetime:
    return datetime.fromisoformat(record.ts)


def _us(first: datetime, last: datetime) -> int:
    passed = last - first
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def kept_steps(log: Log, run: str) -> int:
    """So many outcomes of the run's steps are kept."""
    teller = Teller()
    for record in log.read(run_stream(run)):
        teller.take(record)
    return len(teller.kept)


# -- where stories come from


class Source(Protocol):
    """Something to draw from. One `Draws` for each night: what is believed differs a little from night to night."""

    def draws(self, chance: Random) -> Draws: ...


class Draws(Protocol):
    def draw(self, chance: Random, steps: int = 0) -> tuple[Piece, ...] | Story:
        """How a task goes that has kept so many steps; a whole story where it has none."""
        ...


@dataclass(frozen=True)
class Told:
    """Stories of the ledger."""

    stories: tuple[Story, ...]

    def draws(self, chance: Random) -> _Weighted:
        """With the Bayesian bootstrap (Rubin, 1981): each night gives the stories other weights, so that what rests on
        three of them is as uncertain as it should be."""
        weights = [chance.expovariate(1.0) for _ in self.stories]
        return _Weighted(self.stories, tuple(accumulate(weights)))


@dataclass(frozen=True)
class _Weighted:
    stories: tuple[Story, ...]
    cumulated: tuple[float, ...]

    def draw(self, chance: Random, steps: int = 0) -> tuple[Piece, ...] | Story:
        if not steps:
            return chance.choices(self.stories, cum_weights=self.cumulated)[0]
        left = [(rest, weight) for rest, weight in self._rests(steps) if rest is not None]
        if left:
            return chance.choices([rest for rest, _ in left], [weight for _, weight in left])[0]
        # None came as far as this run has come: it is taken to be at its last piece of work.
        return chance.choices(self.stories, cum_weights=self.cumulated)[0].pieces[-1:]

    def _rests(self, steps: int) -> Iterable[tuple[tuple[Piece, ...] | None, float]]:
        before = 0.0
        for story, upto in zip(self.stories, self.cumulated, strict=True):
            yield story.after(steps), upto - before
            before = upto


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the user says of a kind or a title. Also its own `Draws`."""

    name: str
    """A title, a kind, or `*`."""
    busy_ms: int
    spread: float = 0.0
    """Durations are equally likely from (1 - spread) to (1 + spread) times `busy_ms`; 0 to 1."""
    price: Amounts = NOTHING
    price_spread: float = 0.0
    fail: float = 0.0
    """How many of 1 fail, at their end."""
    ask: float = 0.0
    """How many of 1 end with a question."""

    @classmethod
    def parse(cls, text: str) -> Assumed:
        """`build=10min±50%,0.5usd,fail 10%,ask 5%`; `+-` is read as `±`. Raises AssumptionWrong."""
        name, _, said = text.rpartition("=")
        if not name.strip() or not said.strip():
            raise _wrong(text, "it names no kind, or says nothing about it")
        found = cls(name.strip(), -1)
        for item in said.split(","):
            found = found._with(item.strip(), text)
        if found.busy_ms < 0:
            raise _wrong(text, "it says not how long that takes")
        if found.busy_ms > DURATION_MS_MAX:
            raise _wrong(text, "that takes longer than 31 days")
        if found.fail + found.ask > 1:
            raise _wrong(text, "more than 100 % fail or ask")
        return found

    def _with(self, item: str, text: str) -> Assumed:
        if chance := _CHANCE.fullmatch(item):
            return self._chance(chance[1], float(chance[2]) / 100, text)
        spread, told = 0.0, item
        if found := _SPREAD.fullmatch(item):
            told, spread = found[1], float(found[2]) / 100
            if spread > 1:
                raise _wrong(text, f"±{found[2]} % is more than everything")
        try:
            parsed = amounts.parse(told)
        except DaybreakError as error:
            raise _wrong(text, error.message) from error
        if "time_ms" in parsed and len(parsed) > 1:
            raise _wrong(text, "time and price stand in one item")
        if "time_ms" in parsed:
            if self.busy_ms >= 0:
                raise _wrong(text, "it says twice how long that takes")
            return replace(self, busy_ms=parsed["time_ms"], spread=spread)
        if set(parsed) & set(self.price.by_name):
            raise _wrong(text, "it says a price twice")
        if self.price != NOTHING and spread != self.price_spread:
            raise _wrong(text, "two prices with two spreads")
        return replace(self, price=self.price + Amounts(**parsed), price_spread=spread)

    def _chance(self, what: str, share: float, text: str) -> Assumed:
        if share > 1 or getattr(self, what):
            raise _wrong(text, f"`{what}` is more than 100 %, or stands there twice")
        return replace(self, fail=share) if what == "fail" else replace(self, ask=share)

    def draws(self, chance: Random) -> Assumed:
        return self

    def draw(self, chance: Random, steps: int = 0) -> Story:
        busy_us = int(self.busy_ms * 1000 * chance.uniform(1 - self.spread, 1 + self.spread))
        factor = chance.uniform(1 - self.price_spread, 1 + self.price_spread)
        used = Amounts(**{name: round(value * factor) for name, value in self.price})
        worst = Amounts(**{name: round(value * (1 + self.price_spread)) for name, value in self.price})
        fate, then, question = chance.random(), "done", ""
        if fate < self.fail:
            then = "failed"
        elif fate < self.fail + self.ask:
            then, question = "parked", "a question (assumed)"
        reserved = worst + Amounts(attempts=1) if self.price != NOTHING else None
        spent = used + Amounts(attempts=1) if reserved is not None else used
        return Story((Piece(busy_us, spent, reserved, 1, then, 0, question),))  # type: ignore[arg-type] # three States


def _wrong(text: str, why: str) -> AssumptionWrong:
    return AssumptionWrong(
        f"the assumption {text!r:.80} cannot be read: {why}"[:300],
        hint="write NAME=DURATION and what else is known: 'build=10min±50%,0.5usd,fail 10%,ask 5%'; NAME is a kind, a "
        "title or *",
    )


@dataclass(frozen=True)
class Basis:
    """What the tasks of one kind and title are drawn from."""

    level: Level
    name: str
    """The title, the kind, or the name of the assumption."""
    source: Source
    observations: int
    """Stories; 0 where it is assumed."""
    failed: int = 0
    parked: int = 0
    priced: int = 0
    """Stories of which prices are known."""

    @property
    def word(self) -> str:
        """How much that is worth, in words."""
        if self.level == "assumed":
            return "assumed"
        told = f"{self.observations} observation{'s' if self.observations != 1 else ''}"
        if self.observations < FEW:
            return f"{told}: rather a guess"
        return f"{told}: a rough estimate" if self.observations < THIN else told


class Experience:
    """What is known about tasks of these kinds. Reads the newest runs of each; writes nothing."""

    def __init__(self, log: Log, kinds: Iterable[str], assumed: Sequence[Assumed] = ()) -> None:
        self._by_title: dict[tuple[str, str], list[Story]] = {}
        self._by_kind: dict[str, list[Story]] = {}
        self._assumed = {one.name: one for one in assumed}
        if len(self._assumed) != len(assumed):
            raise AssumptionWrong("two assumptions have one name", hint="say what you assume in one")
        self._bases: dict[tuple[str, str], Basis | None] = {}
        for kind in sorted(set(kinds)):
            self._read(log, kind)

    def basis(self, kind: str, title: str) -> Basis | None:
        """None where nothing is known and nothing is assumed."""
        key = (kind, title)
        if key not in self._bases:
            self._bases[key] = self._find(kind, title)
        return self._bases[key]

    def _find(self, kind: str, title: str) -> Basis | None:
        own, all_of_kind = self._by_title.get((kind, title), []), self._by_kind.get(kind, [])
        if len(own) >= TITLE_MIN or (own and len(own) == len(all_of_kind)):
            return _basis("title", title, own)
        if all_of_kind:
            return _basis("kind", kind, all_of_kind)
        for name in (title, kind, ANY):
            if (one := self._assumed.get(name)) is not None:
                return Basis("assumed", name, one, 0)
        return None

    def _read(self, log: Log, kind: str) -> None:
        """The newest runs of a kind: enough of each title, and enough of all together."""
        sql = """SELECT run, title FROM (SELECT run, title, place, row_number() OVER
            (PARTITION BY title ORDER BY place DESC) AS nth FROM view_runs WHERE kind = ? AND epoch > 0)
          WHERE nth <= ? ORDER BY place DESC"""
        for run, title in log.query(sql, (kind, STORIES_MAX)):
            titled = self._by_title.setdefault((kind, title), [])
            of_kind = self._by_kind.setdefault(kind, [])
            if len(titled) >= STORIES_MAX or (len(of_kind) >= STORIES_MAX and len(titled) >= TITLE_MIN * 4):
                continue
            teller = Teller()
            for record in log.read(run_stream(run)):
                teller.take(record)
            if (story := teller.story()) is not None:
                titled.append(story)
                if len(of_kind) < STORIES_MAX:
                    of_kind.append(story)


def _basis(level: Level, name: str, stories: Sequence[Story]) -> Basis:
    ends = [story.end for story in stories]
    priced = sum(story.priced for story in stories)
    return Basis(level, name, Told(tuple(stories)), len(stories), ends.count("failed"), ends.count("parked"), priced)


def check_known(bases: Mapping[tuple[str, str], Basis | None]) -> None:
    """Raises NothingKnown, which says what to assume."""
    unknown = sorted(key for key, basis in bases.items() if basis is None)
    if unknown:
        kinds = sorted({kind for kind, _ in unknown})
        raise NothingKnown(
            f"nothing is known about {len(unknown)} of {len(bases)} titles in the queue, such as {unknown[0][1]!r:.60} "
            f"of kind {unknown[0][0]!r:.40}: none of their kind has come to an end yet",
            hint="say what you expect: " + " ".join(f"--assume '{kind}=10min±50%'" for kind in kinds[:4]),
        )
