"""Who is asked next: down the order, past whoever cannot be asked, with a reason for every step; never in a circle.

Pure and on the host's side. A `Cascade` is made anew from the ledger before each attempt (`Cascade.next`), so a crash
changes nothing about its answers. What leads where:

    missing, not authenticated, cannot build it, over budget     passed over
    behind an open breaker, quota or outage until a moment       passed over until then
    refused, authentication, context, budget, stalled, crashed,
    unavailable                                                  stepped down from, for the whole run
    verification failed                                          rework by the same worker, while its score gets better;
                                                                 then stepped down from

A worker is asked at most `attempts_max` times, and quotas and outages are waited for at most `waits_max` times each:
the cascade ends whatever workers do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, get_args

from daybreak import events
from daybreak.agents.found import Budget, Found
from daybreak.agents.protocol import Trouble
from daybreak.errors import UsageError

TROUBLES: frozenset[str] = frozenset(get_args(Trouble)) - {""}
WAITING: frozenset[str] = frozenset({"quota", "outage"})
"""Troubles of the provider, or of a cluster's nodes: no attempts of the worker, and over at some time."""
_WAIT_S = {"quota": 3_600.0, "outage": 300.0}
"""The first wait where nobody says until when; each further one is twice as long."""
WAIT_S_MAX = 6 * 3_600.0
UNTIL_S_MAX = 8 * 86_400.0
"""What anybody says about a quota's return is taken for no longer than that: they come back within a week, and a
worker can say anything."""
WHY_CHARS_MAX = 300

_SAID: dict[str, str] = {
    "refused": "it refused",
    "authentication": "it is not authenticated",
    "context": "what it was given was too long for it",
    "budget": "it used up what an attempt may cost",
    "stalled": "it said nothing for too long",
    "crashed": "it crashed",
    "unavailable": "it is not there as it must be",
}


class CascadeMisused(UsageError):
    """A rule or an outcome that a cascade cannot follow."""

    code = "U124"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How long a worker is kept. Raises CascadeMisused."""

    attempts_max: int = 5
    """Attempts of one worker in one run, 1 to 100."""
    fruitless_max: int = 2
    """Attempts in a row without a better score, after which the next worker is asked; 1 to 100."""
    gain: float = 0.0
    """Points above its best score so far that an attempt after the first must bring, or it is fruitless; 0 to 100."""
    waits_max: int = 6
    """Times that one worker's quotas and outages are waited for, 0 to 100."""

    def __post_init__(self) -> None:
        for name, least in (("attempts_max", 1), ("fruitless_max", 1), ("waits_max", 0)):
            if not least <= getattr(self, name) <= 100:
                raise CascadeMisused(f"Rule({name}={getattr(self, name)!r:.80})", hint=f"from {least} to 100")
        if not 0 <= self.gain <= 100:
            raise CascadeMisused(f"Rule(gain={self.gain!r:.80})", hint="from 0 to 100")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended. Without `trouble` it was judged: `solved`, or failed with `score`."""

    worker: str
    trouble: str = ""
    solved: bool = False
    score: float = 0.0
    """0 to 100."""
    workspace: str = ""
    """Hash of what it left; the same again from the same worker is no use."""
    until: datetime | None = None
    """With quota or outage: when it is worth trying again, where somebody said so."""
    ended: datetime | None = None
    why: str = ""
    """In words, where there are more."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A worker that is left alone until a moment: its breaker is open, or its provider's quota is used up."""

    until: datetime
    why: str


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the run may still spend; None: no limit."""

    money_microusd: int | None = None
    tokens: int | None = None
    attempts: int | None = None


@dataclass(frozen=True)
class Choice:
    """Ask this one."""

    worker: str
    why: str
    passed_over: Mapping[str, str]
    """Everybody before it in the order, and why not."""
    budget: Budget


@dataclass(frozen=True)
class Ended:
    """Ask nobody now."""

    why: str
    until: datetime | None
    """When asking again is worth it: the run waits until then, without a worker. None: never."""
    passed_over: Mapping[str, str]
    solved: bool = False


@dataclass(frozen=True)
class _Bar:
    """Why somebody is not asked."""

    why: str
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """The state of a cascade before one attempt. Names in `order` that come twice count once."""

    order: tuple[str, ...]
    found: Mapping[str, Found]
    now: datetime
    """Aware."""
    outcomes: tuple[Outcome, ...] = ()
    """Of this run's attempts so far, in order."""
    held: Mapping[str, Held] = field(default_factory=dict)
    """By worker."""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Workers that cannot do this task, and why: the embedded builder says so before it is asked."""
    left: Left = field(default_factory=Left)
    reasons: Mapping[str, str] = field(default_factory=dict)
    """By worker: why it stands where it does in the order; routing knows."""
    rule: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise CascadeMisused(f"Cascade(now={self.now!r})", hint="a moment with a time zone")
        for one in self.outcomes:
            if one.trouble and one.trouble not in TROUBLES:
                raise CascadeMisused(f"trouble {one.trouble!r:.80}", hint=f"one of {', '.join(sorted(TROUBLES))}")
            if one.trouble in WAITING and one.until is None and one.ended is None:
                raise CascadeMisused(
                    f"{one.trouble} of {one.worker:.80} at no time", hint="say when it ended, or until"
                )
        moments = [moment for one in self.outcomes for moment in (one.until, one.ended)]
        moments += [held.until for held in self.held.values()]
        if any(moment is not None and moment.tzinfo is None for moment in moments):
            raise CascadeMisused("a moment without a time zone", hint="moments are aware")

    def after(self, outcome: Outcome, now: datetime) -> Cascade:
        """The same after one more attempt."""
        attempts = self.left.attempts
        spent = attempts is not None and outcome.trouble not in WAITING
        left = replace(self.left, attempts=max(0, (attempts or 0) - 1)) if spent else self.left
        ended = replace(outcome, ended=outcome.ended or now)
        return replace(self, outcomes=(*self.outcomes, ended), now=now, left=left)

    def next(self) -> Choice | Ended:
        """Who is asked now, or why nobody is. Whoever is passed over has a reason; nobody who is, is chosen."""
        names = tuple(dict.fromkeys(self.order))
        if any(one.solved for one in self.outcomes):
            return Ended("it is solved", None, {}, solved=True)
        bars = {name: bar for name in names if (bar := self._bar(name)) is not None}
        if self.left.attempts is not None and self.left.attempts <= 0:
            bars = {name: bars.get(name, _Bar("no attempts are left in the budget")) for name in names}
            return Ended("no attempts are left in the budget", None, _whys(bars))
        free = [name for name in names if name not in bars]
        if free:
            last = self.outcomes[-1] if self.outcomes else None
            if last is not None and not last.trouble and last.worker in free:
                return self._chosen(last.worker, names, bars)  # rework goes before the order
            return self._chosen(free[0], names, bars)
        waits = [bar.until for bar in bars.values() if bar.until is not None]
        until = min(waits) if waits else None
        return Ended(_nobody(bars, until), until, _whys(bars))

    # -- inside

    def _chosen(self, name: str, names: tuple[str, ...], bars: Mapping[str, _Bar]) -> Choice:
        before = names[: names.index(name)]
        reworking = "stays free: rework is under way"
        passed = {one: bars[one].why if one in bars else reworking for one in before}
        return Choice(name, self._why(name, before, passed), passed, self.found[name].budget)

    def _why(self, name: str, before: tuple[str, ...], passed: Mapping[str, str]) -> str:
        mine = self._of(name)
        last = self.outcomes[-1] if self.outcomes else None
        if last is not None and last.worker == name and not last.trouble:
            return f"rework: its last attempt scored {last.score:.0f}"
        told = []
        if mine:
            told.append(f"asked again after {mine[-1].trouble or 'a failed verification'}")
        elif last is not None and last.worker in passed:
            told.append(f"steps down from {last.worker}: {passed[last.worker]}")
        elif before:
            told.append(f"{len(before)} before it cannot be asked")
        else:
            told.append("first in the order")
        if self.reasons.get(name):
            told.append(self.reasons[name])
        return _cut("; ".join(told))

    def _of(self, name: str) -> list[Outcome]:
        return [one for one in self.outcomes if one.worker == name]

    def _bar(self, name: str) -> _Bar | None:
        """Why `name` is not asked now; None where it can be. What is for ever goes before what passes."""
        found = self.found.get(name)
        if found is None:
            return _Bar("nobody has looked whether it is there")
        if found.missing:
            return _Bar(_cut(found.missing))
        if self.refuses.get(name):
            return _Bar(_cut(f"it cannot do this: {self.refuses[name]}"))
        if found.budget != "none" and (what := self._used_up()):
            return _Bar(f"no {what} is left in the budget" if what == "money" else f"no {what} are left in the budget")
        mine = self._of(name)
        return self._done_with(mine) or self._waiting(mine) or self._held(name)

    def _used_up(self) -> str:
        amounts = (("money", self.left.money_microusd), ("tokens", self.left.tokens))
        return next((name for name, amount in amounts if amount is not None and amount <= 0), "")

    def _done_with(self, mine: list[Outcome]) -> _Bar | None:
        """Why a worker is not asked again in this run."""
        ended = next((one for one in mine if one.trouble and one.trouble not in WAITING), None)
        if ended is not None:
            return _Bar(_cut(": ".join(filter(None, [_SAID[ended.trouble], ended.why]))))
        tries = [one for one in mine if not one.trouble]
        if len(tries) >= self.rule.attempts_max:
            return _Bar(f"not verified in {len(tries)} attempts")
        if fruitless := self._fruitless(tries):
            return _Bar(fruitless)
        waits = [one for one in mine if one.trouble]
        if len(waits) > self.rule.waits_max:
            return _Bar(f"{waits[-1].trouble}, and it was waited for {self.rule.waits_max} times already")
        return None

    def _fruitless(self, tries: list[Outcome]) -> str:
        best, fruitless = 0.0, 0
        seen: set[str] = set()
        for one in tries:
            if one.workspace and one.workspace in seen:
                return "not verified, and it made the same thing again"
            seen.add(one.workspace)
            wanted = best + (self.rule.gain if one is not tries[0] else 0.0)
            fruitless = 0 if one.score > best and one.score >= wanted else fruitless + 1
            best = max(best, one.score)
        if fruitless < self.rule.fruitless_max:
            return ""
        if self.rule.gain:
            return f"not verified: its last attempt brought less than {self.rule.gain:g} points over {best:.0f}"
        return f"not verified: {fruitless} attempts in a row without a better score than {best:.0f}"

    def _waiting(self, mine: list[Outcome]) -> _Bar | None:
        """The last word of a provider counts; where it did not say until when, waits grow."""
        waits = [one for one in mine if one.trouble in WAITING]
        if not mine or not waits or mine[-1] is not waits[-1]:
            return None
        last, in_a_row = mine[-1], 0
        for one in reversed(mine):
            if one.trouble not in WAITING:
                break
            in_a_row += 1
        until = last.until
        if until is None:
            wait_s = min(WAIT_S_MAX, _WAIT_S[last.trouble] * 2 ** min(in_a_row - 1, 20))
            assert last.ended is not None, "checked when the cascade was made"
            until = last.ended + timedelta(seconds=wait_s)
        if last.ended is not None:
            until = min(until, last.ended + timedelta(seconds=UNTIL_S_MAX))
        return _until(until, last.trouble, last.why) if until > self.now else None

    def _held(self, name: str) -> _Bar | None:
        held = self.held.get(name)
        return _until(held.until, "left alone", held.why) if held is not None and held.until > self.now else None


class _Record(Protocol):
    """What is needed of a ledger record."""

    @property
    def ts(self) -> str: ...
    @property
    def event(self) -> events.Event: ...


def outcomes(records: Iterable[_Record], of: Collection[int] | None = None) -> tuple[Outcome, ...]:
    """Of a run's attempts, or of those with the numbers in `of`, from its events in order.

    An attempt that was claimed and neither judged nor in trouble is
    still under way and has none."""
    claimed: dict[int, Outcome] = {}
    ended: dict[int, Outcome] = {}
    for record in records:
        match record.event:
            case events.AttemptClaimed() as said:
                claimed[said.attempt] = Outcome(
                    worker=said.worker,
                    trouble=_trouble(said),
                    workspace=said.workspace,
                    until=moment(said.until),
                    ended=moment(record.ts),
                    why=said.summary[:WHY_CHARS_MAX],
                )
                if claimed[said.attempt].trouble:
                    ended[said.attempt] = claimed[said.attempt]
            case events.AttemptJudged() as judged:
                before = claimed.get(judged.attempt, Outcome(worker=judged.worker, ended=moment(record.ts)))
                ended[judged.attempt] = replace(
                    before,
                    worker=judged.worker,
                    trouble=judged.trouble if judged.trouble in TROUBLES else "",
                    solved=judged.solved,
                    score=judged.score,
                )
    return tuple(ended[number] for number in sorted(ended) if of is None or number in of)


def _trouble(said: events.AttemptClaimed) -> str:
    if said.trouble in TROUBLES:
        return said.trouble
    return said.outcome if said.outcome in ("refused", "crashed") else ""


def moment(text: str) -> datetime | None:
    """RFC 3339 as a worker or a provider said it; None where it is none. Without a zone it is UTC."""
    try:
        told = datetime.fromisoformat(text)
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _until(until: datetime, what: str, why: str) -> _Bar:
    return _Bar(_cut(f"{what} until {until:%Y-%m-%d %H:%M:%S} UTC" + (f": {why}" if why else "")), until)


def _nobody(bars: Mapping[str, _Bar], until: datetime | None) -> str:
    if not bars:
        return "the order names nobody"
    if until is not None:
        return f"nobody can be asked before {until:%Y-%m-%d %H:%M:%S} UTC"
    return "nobody is left: " + "; ".join(f"{name}: {bar.why}" for name, bar in bars.items())


def _whys(bars: Mapping[str, _Bar]) -> dict[str, str]:
    return {name: bar.why for name, bar in bars.items()}


def _cut(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= WHY_CHARS_MAX else whole[: WHY_CHARS_MAX - 1] + "…"
