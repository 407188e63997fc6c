"""What is due is sent, tried again, given up. Everything that becomes of a notice is in the ledger; in between nothing
is kept, so that whoever comes next goes on: another process, after a crash, tomorrow.

A message is sent first and recorded then. A crash between the two has it sent once more; none is lost.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol

from daybreak import events
from daybreak.clock import Clock, stamp
from daybreak.engine.log import Log as Reading
from daybreak.errors import DaybreakError, IdemConflict
from daybreak.events import NOTICES
from daybreak.ledger.record import Draft, Record
from daybreak.policy.breaker import Breaker, BreakerOpen, BreakerRule, Circuits
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
TOGETHER_MAX = 500
"""Notices that one message may tell of."""
MESSAGES_MAX = 10
"""Messages to one channel in one round."""


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

    def open_channels(self) -> None:
        """From here on what happens is told on every channel of the settings. Appends for those that are new only."""
        known = {str(name) for (name,) in self.log.query("SELECT channel FROM view_channels")}
        drafts = [
            Draft(NOTICES, events.ChannelOpened(channel=name), actor=ACTOR, idem=f"channel:{name}")
            for name in self.told.channels
            if name not in known
        ]
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
        if found.again is not None and now < found.again and not failed:
            return [], found.again
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
        since = self.log.query("SELECT since FROM view_channels WHERE channel = ?", (name,))
        begin = max(since[0][0] if since else last, -1 if failed else self._settled.get(name, -1))
        rows = self.log.query(
            f"""SELECT notice, place, kind, severity, at FROM view_notices AS one
            WHERE place > ? AND kind IN ({kinds}) AND severity >= ? AND about <> ?
              AND NOT EXISTS (SELECT 1 FROM view_channels_done WHERE channel = ? AND notice = one.notice AND {settled})
            ORDER BY place, kind LIMIT {TOGETHER_MAX * 2}""",
            (begin, *channel.kinds, channel.least, breaker_name(name), name),
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

    def _noted(self, key: str) -> bool:
        """Was it warned of already?"""
        if not self._warned:
            self._warned.add("")
            for record in self.log.read(NOTICES):
                if isinstance(event := record.event, events.BudgetWarned):
                    self._warned.add(f"budget:{event.account}:{event.amount}:{event.most}")
        return key in self._warned

    def _healthy_first(self) -> list[str]:
        """One that hangs must not keep others waiting."""
        standings = {name: self.standing(name) for name in self.told.channels}
        return sorted(standings, key=lambda name: (found := standings[name]) is not None and found.tries is not None)

    def _channel(self, name: str, *, failed: bool, limit_s: float) -> int:
        went = 0
        for _ in range(MESSAGES_MAX):
            due, _ = self.plan(name, failed=failed)
            if not due or not self._message(name, self._parted(name, due), limit_s):
                break
            went += 1
        return went

    def _parted(self, name: str, due: Sequence[Waiting]) -> list[Waiting]:
        """What goes in the next message: all that was held together, or the first."""
        rule, found = self.rule(name), self.standing(name)
        held = any(timing.is_quiet(rule, one.at) for one in due) and not timing.is_quiet(rule, self.clock.now())
        tried = found is not None and found.tries is not None
        if rule.digests or held or tried or len(due) > wording.FEW:
            return list(due[:TOGETHER_MAX])
        return list(due[:1])

    def _message(self, name: str, due: Sequence[Waiting], limit_s: float) -> bool:
        """Send one; False where it did not go."""
        breaker = self.breaker(name)
        message = wording.message([self._worded(one) for one in due])
        try:
            mark = breaker.passed()
        except BreakerOpen:
            return False
        names = [one.name for one in due]
        try:
            self.sender.send(name, self.told.channels[name], message, limit_s)
        except DaybreakError as error:
            breaker.ended(mark, error)
            self._failed(name, names, error)
            return False
        found = self.standing(name)
        tries = 1 + (found.tries.attempts + found.tries.outages if found is not None and found.tries is not None else 0)
        self._append(events.NoticeSent(channel=name, notices=names, tries=tries))
        breaker.ended(mark, None)
        return True

    def _failed(self, name: str, names: list[str], error: DaybreakError) -> None:
        now = self.clock.now()
        found = self.standing(name)
        before = found.tries if found is not None and found.tries is not None else Tries(now)
        failure = classified(error, now)
        what = wording.clean(f"{error.code} {error.message}", 300)
        decision = RETRY.decide(before, failure, now, self.draw)
        if isinstance(decision, Again):
            at, tries = stamp(decision.at), _plain(decision.tries)
            self._append(
                events.NoticeTried(channel=name, notices=names, kind=failure.kind, what=what, again=at, tries=tries)
            )
            return
        tried = decision.tries.attempts + decision.tries.outages or 1
        hint = wording.clean(error.hint, 300)
        self._append(events.NoticeFailed(channel=name, notices=names, what=what, hint=hint, tries=tried))

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

    def _append(self, event: events.Event, idem: str | None = None) -> None:
        self.log.append([Draft(NOTICES, event, actor=ACTOR, idem=idem)])


def breaker_name(channel: str) -> str:
    return f"notify:{channel}"


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
