"""Tonight: what waits for a person, what is under way, how long and how much is left, what comes next."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from daybreak.engine import nights
from daybreak.home import standing
from daybreak.home.opening import Home
from daybreak.policy.accounts import AccountRow, Accounts
from daybreak.policy.amounts import words
from daybreak.report.standing import NightLine, WorkLine
from daybreak.web.desk import Desk, Here
from daybreak.web.fresh import size
from daybreak.web.pages import asking, happened
from daybreak.web.pages.base import page
from daybreak.web.pages.moving import Followers, Moving
from daybreak.web.who import Looker

router = APIRouter(include_in_schema=False)

ASKED_MAX = 20
WORK_MAX = 40
COMING_MAX = 6
LINES_MAX = 14
AMOUNTS = {"money_microusd": "money", "tokens": "tokens", "attempts": "attempts", "time_ms": "time"}

_followers: WeakKeyDictionary[Any, Followers] = WeakKeyDictionary()
_guard = threading.Lock()


class Bar(NamedTuple):
    """One amount of a budget, in thousandths of its limit."""

    name: str
    spent: int
    reserved: int
    limit_words: str
    spent_words: str
    kind: str
    """`near` from 80 %, `over` where it is used up."""
    label: str


@dataclass(frozen=True, slots=True)
class Work:
    """A run that is under way, as a line of the page."""

    line: WorkLine
    done: float | None
    left: str
    attempt: int
    worker: str
    role: str
    step: str


def followers(desk: Desk) -> Followers:
    """One set for each open ledger."""
    with _guard:
        found = _followers.get(desk.home.ledger)
        if found is None:
            found = _followers[desk.home.ledger] = Followers(desk.home.ledger, desk.clock)
        return found


@router.get("/")
def tonight(request: Request, desk: Here, asker: Looker) -> HTMLResponse:
    home, now = desk.home, desk.clock.now()
    told = desk.kept.of("status", size(desk), lambda: standing.look(home))
    ledger, known = home.ledger, followers(desk)
    moving = {one.run: known.of(one.run) for one in told.work[:WORK_MAX]}
    return page(
        request,
        "tonight.html",
        told=told,
        left=known.left_of_all(told, moving, now) if len(moving) == len(told.work) else None,
        asked=asking.asked(ledger, ASKED_MAX),
        nights=[(night, bars(home, night)) for night in told.nights],
        work=[_work(desk, one, moving[one.run]) for one in told.work[:WORK_MAX]],
        more_work=max(0, len(told.work) - WORK_MAX),
        coming=home.engine.queue.next(now, most=COMING_MAX),
        paused=home.engine.queue.paused(),
        lines=happened.newest(ledger, LINES_MAX, held_out=asker.has("held-out"), words=asker.has("evidence")),
        last=_last_night(home) if not told.nights else None,
    )


def _last_night(home: Home) -> nights.NightRow | None:
    return next(iter(nights.nights(home.ledger, 1)), None)


def _work(desk: Desk, line: WorkLine, found: Moving) -> Work:
    known, now = followers(desk), desk.clock.now()
    left = None if line.orphaned else known.left(found, now)
    return Work(
        line,
        known.fraction(found, left, now),
        f"time left: {left.words()}" if left else "",
        found.attempt,
        found.worker,
        found.role,
        line.step or found.growth.progress.phase or found.step,
    )


def bars(home: Home, night: NightLine) -> Sequence[Bar]:
    """Of the night's budget; none where it has none."""
    return bars_of(home, nights.account_of(home.ledger, night.night)) if night.budget else ()


def bars_of(home: Home, account: str) -> list[Bar]:
    """One for each amount that the account limits."""
    found = next((one for one in Accounts(home.ledger).accounts() if one.account == account), None)
    return [] if found is None else [_bar(found, name, most) for name, most in found.limit.by_name.items()]


def _bar(account: AccountRow, name: str, most: int) -> Bar:
    spent, reserved = getattr(account.spent, name), getattr(account.reserved, name)
    share = 1000 if most == 0 else min(1000, spent * 1000 // most)
    aside = 0 if most == 0 else min(1000 - share, reserved * 1000 // most)
    kind = "over" if share >= 1000 else "near" if share >= 800 else ""
    spent_words, limit_words = words({name: spent}) or "nothing", words({name: most}) or "0"
    label = f"{AMOUNTS.get(name, name)}: {spent_words} used"
    if reserved:
        label += f", {words({name: reserved})} set aside"
    return Bar(AMOUNTS.get(name, name), share, aside, limit_words, spent_words, kind, f"{label}, of {limit_words}")
