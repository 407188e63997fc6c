"""What is due is sent, tried again, given up. Everything that becomes of a notice is in the ledger; in between nothing
is kept, so that whoever comes next goes on: another process, after a crash, tomorrow.

A message is sent first and recorded then. A crash between the two has it sent once more; none is lost.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import Any, Protocol

from daybreak import events
from daybreak.clock import Clock, stamp
from daybreak.engine.log import Log as Reading
from daybreak.errors import DaybreakError, IdemConflict, UsageError
from daybreak.events import NOTICES
from daybreak.ledger.record import Draft, Record
from daybreak.policy.breaker import Breaker, BreakerOpen, BreakerRule, Circuit, Circuits
from daybreak.policy.budget import NAMES, WARN_PERCENT
from daybreak.policy.retry import Again, Draw, Retry, Tries
from daybreak.report.notify import timing, wording
from daybreak.report.notify.sending import SEND_S, Sender, classified
from daybreak.settings import Notify

RETRY = Retry(attempts=12, first_s=5.0, most_s=900.0, outage_s=3 * 86_400.0, identical=1000, classify=classified)
"""Servers that answer wrongly are tried a dozen times; those that do not answer, for three days."""
BREAKER = BreakerRule(failures=3, within_s=900.0, open_s=60.0, most_s=900.0)
ACTOR = "notify"
ATTEMPTS_MIN = 5
"""Of fewer attempts a share says nothing."""
TOGETHER_MAX = 100_000
"""Notices that one message may tell of."""
RECORDED_MAX = 1_000
"""Notices that one event names."""
MESSAGES_MAX = 10
"""Messages to one channel in one round."""
AGAIN_MAX = timedelta(hours=2)
"""No try is put off for longer. A moment beyond that was set by a clock that was wrong."""
UNREADY_S = 60.0
"""How long a process that has no address for a channel leaves it to others."""


class Log(Reading, Protocol):
    """The part of a ledger that is needed here."""

    def at(self, indexes: Sequence[int]) -> list[Record]:
        """The events at these places, in this order."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that a channel has not had."""

    name: str
    place: int
    kind: str
    severity: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """A channel as the ledger has it."""

    since: int
    sent: str
    again: datetime | None
    tries: Tries | None
    failed: str
    what: str
    tested: str
    test: str


@dataclass
class Rounds:
    """Works for one process; in one thread at a time."""

    log: Log
    told: Notify
    sender: Sender
    circuits: Circuits
    clock: Clock
    rules: Mapping[str, BreakerRule] = field(default_factory=dict)
    """Of breakers by name, where the settings name them."""
    draw: Draw = random.random
    left: Callable[[], float] = lambda: inf
    """Seconds for everything that is still to be sent; asked before each message."""

    def open_channels(self) -> None:
        """From here on what happens is told on every channel of the settings. Appends for those alone that are new, or
        are told more than before: of what they are told from now on, the past is not sent."""
        drafts = []
        for name, channel in self.told.channels.items():
            least = "SELECT kind, min(least) FROM view_channels_kinds WHERE channel = ? GROUP BY kind"
            known: dict[str, int] = dict(self.log.query(least, (name,)))
            new: list[str] = [kind for kind in channel.kinds if channel.least < known.get(kind, 4)]
            if new:
                opened = events.ChannelOpened(channel=name, kinds=new, least=channel.least)
                key = f"channel:{name}:{channel.least}:{' '.join(new)}"
                drafts.append(Draft(NOTICES, opened, actor=ACTOR, idem=key))
        if drafts:
            self.log.append(drafts)

    def warn(self) -> None:
        """Note every account that has used WARN_PERCENT of a limit; once for each account and limit."""
        sums = ", ".join(f"{name}_most, {name}_spent" for name in NAMES)
        drafts = []
        for account, warned, *amounts in self.log.query(
            f"SELECT account, warned, {sums} FROM view_accounts WHERE warned <> 0"
        ):
            for at, name in enumerate(NAMES):
                most, spent = amounts[at * 2 : at * 2 + 2]
                few = name == "attempts" and most is not None and most < ATTEMPTS_MIN
                if not warned >> at & 1 or most is None or spent * 100 < most * WARN_PERCENT or few:
                    continue
                key = f"budget:{account}:{name}:{most}"
                if not self._noted(key):
                    event = events.BudgetWarned(account=account, amount=name, most=most, spent=spent)
                    drafts.append((key, event))
        for key, event in drafts:
            with suppress(IdemConflict):  # another process was first, and saw another sum
                self._append(event, idem=key)
            self._warned.add(key)

    def work(self, *, failed: bool = False, limit_s: float = SEND_S) -> int:
        """Send what is due now; the number of messages that went. `failed`: those that were given up as well. The
        caller holds the lock. Raises what the ledger raises; what a channel raises is recorded."""
        return sum(self._channel(name, failed=failed, limit_s=limit_s) for name in self._healthy_first())

    def due(self, *, failed: bool = False) -> bool:
        """Is something to be sent now? Asked before the lock is taken."""
        return any(self.plan(name, failed=failed)[0] for name in self.told.channels)

    def plan(self, name: str, *, failed: bool = False) -> tuple[list[Waiting], datetime | None]:
        """What a channel is to be told now, and when it is to be told what waits; None where nothing waits."""
        found = self.standing(name)
        waiting = self.waiting(name, failed=failed)
        if found is None or not waiting:
            return [], None
        now = self.clock.now()
        held = max(filter(None, (found.again, self._unready.get(name))), default=now)
        if now < held <= now + AGAIN_MAX and not failed:
            return [], held
        rule = self.rule(name)
        urgent = [one for one in waiting if one.severity >= rule.through]
        moment = timing.may_be_told(rule, waiting[0].at, now)
        if failed or moment <= now:
            return waiting, now
        return urgent, now if urgent else moment

    def waiting(self, name: str, *, failed: bool = False) -> list[Waiting]:
        """What a channel has not had, the oldest first. `failed`: what was given up as well."""
        channel = self.told.channels[name]
        settled = "outcome = 'sent'" if failed else "1"
        ((last,),) = self.log.query("SELECT coalesce(max(place), -1) FROM view_notices")
        kinds = ", ".join("?" for _ in channel.kinds)
        begin = -1 if failed else self._settled.get(name, -1)
        rows = self.log.query(
            f"""SELECT notice, place, kind, severity, at FROM view_notices AS one
            WHERE place > ? AND kind IN ({kinds}) AND severity >= ? AND about <> ?
              AND EXISTS (SELECT 1 FROM view_channels_kinds AS told WHERE told.channel = ? AND told.kind = one.kind
                          AND told.least <= one.severity AND told.since < one.place)
              AND NOT EXISTS (SELECT 1 FROM view_channels_done WHERE channel = ? AND notice = one.notice AND {settled})
            ORDER BY place, kind LIMIT {TOGETHER_MAX}""",
            (begin, *channel.kinds, channel.least, breaker_name(name), name, name),
        )
        if not failed:
            self._settled[name] = rows[0][1] - 1 if rows else last
        return [Waiting(notice, place, kind, severity, _moment(at)) for notice, place, kind, severity, at in rows]

    def rule(self, name: str) -> timing.Rule:
        one = self.told.channels[name]
        return timing.rule(one.quiet, one.digest, one.through, self.told.zone)

    def standing(self, name: str) -> Standing | None:
        """None where nobody has opened it yet."""
        rows = self.log.query("SELECT * FROM view_channels WHERE channel = ?", (name,))
        if not rows:
            return None
        _, since, sent, again, tries, failed, what, tested, test = rows[0]
        return Standing(
            since, sent, _moment(again) if again else None, _tries(tries) if tries else None, failed, what, tested, test
        )

    def breaker(self, name: str) -> Breaker:
        known = breaker_name(name)
        rule = self.rules.get(known, BREAKER)
        return Breaker(known, rule, circuits=self.circuits, classify=classified, clock=self.clock)

    # -- inside

    def __post_init__(self) -> None:
        self._warned: set[str] = set()
        self._settled: dict[str, int] = {}
        """By channel: nothing waits up to that place."""
        self._unready: dict[str, datetime] = {}
        """By channel: until when this process leaves it to others."""

    def _noted(self, key: str) -> bool:
        """Was it warned of already?"""
        if not self._warned:
            known = self.log.query("SELECT account, amount, most FROM view_notices_warned")
            self._warned = {"", *(f"budget:{account}:{amount}:{most}" for account, amount, most in known)}
        return key in self._warned

    def _healthy_first(self) -> list[str]:
        """One that hangs must not keep others waiting."""
        standings = {name: self.standing(name) for name in self.told.channels}
        return sorted(standings, key=lambda name: (found := standings[name]) is not None and found.tries is not None)

    def _channel(self, name: str, *, failed: bool, limit_s: float) -> int:
        went = 0
        for _ in range(MESSAGES_MAX):
            due, _ = self.plan(name, failed=failed)
            within_s = min(limit_s, self.left())
            if not due or within_s <= 0 or not self._message(name, self._parted(name, due), within_s):
                break
            went += 1
        return went

    def _parted(self, name: str, due: Sequence[Waiting]) -> list[Waiting]:
        """What goes in the next message: all that was held together, or the first."""
        rule, found = self.rule(name), self.standing(name)
        held = any(timing.is_quiet(rule, one.at) for one in due) and not timing.is_quiet(rule, self.clock.now())
        tried = found is not None and found.tries is not None
        if rule.digests or held or tried or len(due) > wording.FEW:
            return list(due)
        return list(due[:1])

    def _message(self, name: str, due: Sequence[Waiting], limit_s: float) -> bool:
        """Send one; False where it did not go."""
        names = [one.name for one in due]
        try:
            self.sender.ready(name, self.told.channels[name])
        except UsageError as error:
            self._leave(name, names, error)
            return False
        except DaybreakError:
            pass  # it comes again below, where it counts
        breaker = self.breaker(name)
        mark = self._passed(breaker)
        if mark is None:
            return False
        first = sorted(due, key=lambda one: wording.rank(one.kind, one.severity, one.at))[: wording.NAMED_MAX]
        message = wording.message([self._worded(one) for one in first], Counter(one.kind for one in due))
        try:
            self.sender.send(name, self.told.channels[name], message, limit_s, self.left)
        except DaybreakError as error:
            breaker.ended(mark, error)
            self._failed(name, names, error)
            return False
        found = self.standing(name)
        tries = 1 + (found.tries.attempts + found.tries.outages if found is not None and found.tries is not None else 0)
        self._append(*(events.NoticeSent(channel=name, notices=part, tries=tries) for part in _parts(names)))
        breaker.ended(mark, None)
        return True

    def _passed(self, breaker: Breaker) -> datetime | None:
        """The mark of a call that may pass; None where none may."""
        try:
            return breaker.passed()
        except BreakerOpen as error:
            if error.until <= self.clock.now() + max(AGAIN_MAX, timedelta(seconds=breaker.rule.most_s)):
                return None
        self.circuits.change(breaker.name, lambda _: (Circuit(), None))  # opened by a clock that was wrong
        return breaker.passed()

    def _leave(self, name: str, names: Sequence[str], error: UsageError) -> None:
        """This process cannot reach the channel: its environment lacks a variable, or apprise. Another one may, so
        nothing keeps that one from it; that it failed here is noted once."""
        now = self.clock.now()
        self._unready[name] = now + timedelta(seconds=UNREADY_S)
        found = self.standing(name)
        if found is None or found.tries is None:
            what = wording.clean(f"{error.code} {error.message}", 300)
            tries = _plain(Tries(now, outages=1))
            part = list(names[:RECORDED_MAX])
            self._append(
                events.NoticeTried(channel=name, notices=part, kind="outage", what=what, again=stamp(now), tries=tries)
            )

    def _failed(self, name: str, names: list[str], error: DaybreakError) -> None:
        now = self.clock.now()
        found = self.standing(name)
        before = found.tries if found is not None and found.tries is not None else Tries(now)
        failure = classified(error, now)
        what = wording.clean(f"{error.code} {error.message}", 300)
        decision = RETRY.decide(before, failure, now, self.draw)
        if isinstance(decision, Again):
            at, tries = stamp(decision.at), _plain(decision.tries)
            part = names[:RECORDED_MAX]
            self._append(
                events.NoticeTried(channel=name, notices=part, kind=failure.kind, what=what, again=at, tries=tries)
            )
            return
        tried = decision.tries.attempts + decision.tries.outages or 1
        hint = wording.clean(error.hint, 300)
        self._append(
            *(
                events.NoticeFailed(channel=name, notices=part, what=what, hint=hint, tries=tried)
                for part in _parts(names)
            )
        )

    def _worded(self, one: Waiting) -> wording.Notice:
        try:
            record = self._record(one.place)
            return wording.notice(one.name, one.kind, one.severity, record.ts, record.event, self.log, self.told.pages)
        except DaybreakError as error:  # it is told all the same, and keeps nothing else from being told
            body = f"Event {one.place} cannot be read ({error.code}): daybreak ledger verify"
            return wording.Notice(one.name, one.kind, one.severity, stamp(one.at), f"a {one.kind}", body)

    def _record(self, place: int) -> Record:
        """Without what is secret in it."""
        return self.log.at([place])[0].closed

    def _append(self, *told: events.Event, idem: str | None = None) -> None:
        self.log.append([Draft(NOTICES, event, actor=ACTOR, idem=idem) for event in told])


def breaker_name(channel: str) -> str:
    return f"notify:{channel}"


def _parts(names: Sequence[str]) -> Iterator[list[str]]:
    return (list(names[at : at + RECORDED_MAX]) for at in range(0, len(names), RECORDED_MAX))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _tries(text: str) -> Tries:
    kept = json.loads(text)
    since = kept["out_since"]
    return Tries(
        began=_moment(kept["began"]),
        attempts=kept["attempts"],
        outages=kept["outages"],
        out_since=_moment(since) if since else None,
        fingerprint=kept["fingerprint"],
        identical=kept["identical"],
    )


def _plain(tries: Tries) -> dict[str, Any]:
    kept = asdict(tries)
    for name in ("began", "out_since"):
        kept[name] = stamp(kept[name]) if kept[name] is not None else None
    return kept
