"""Messages to people, beside a night or a server: a thread of its own that looks what is due and sends it.

It never keeps anything waiting: it asks the views, and only when something was appended that matters or every few
seconds. Of several processes that share a home, and of several homes that share a ledger, one sends at a time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from daybreak.errors import DaybreakError, LedgerStopped

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.config import Places
    from daybreak.home.opening import Home
    from daybreak.ledger import Ledger, Record
    from daybreak.ledger.seats import Turn
    from daybreak.report.notify.rounds import Rounds
    from daybreak.settings import Settings

LOCK = "notifier"
LOOK_S = 5.0
"""How often it looks by itself: for what waits, and for what other processes append."""
REST_S = 0.5
"""Between two looks, however much is appended."""
WARN_EVERY = 12
"""Looks after which budgets are looked at although nothing was settled here."""
CLOSING_S = 15.0
"""How long the end of a night waits for its last messages."""
BEHIND_S = 5.0
"""So long it waits to have heard what another home has sent."""
_log = logging.getLogger(__name__)


def rounds(ledger: Ledger, told: Settings, where: Places, clock: Clock) -> Rounds:
    """What sends for a home."""
    from daybreak.home.opening import rules
    from daybreak.policy.circuits import LedgerCircuits
    from daybreak.report.notify.asking import Asking
    from daybreak.report.notify.rounds import Rounds
    from daybreak.report.notify.sending import Sender

    return Rounds(
        log=ledger,
        told=told.notify,
        sender=Sender(Asking(ledger, where.keys, clock).may, os.environ),
        circuits=LedgerCircuits(ledger, clock),
        clock=clock,
        rules=rules(told),
    )


@contextmanager
def beside(home: Home) -> Iterator[None]:
    """Within the block, and shortly after it, what happens is told on the channels of the settings; nothing at all
    where there are none. What was due before goes first."""
    if home.problem is not None or not home.settings.notify.channels:
        yield
        return
    from daybreak.clock import SystemClock
    from daybreak.host.locks import FileLocks

    clock = SystemClock()
    locks = FileLocks(home.places.locks, clock)
    hold = partial(in_turn, home, locks.hold)
    notifier = Notifier(home.ledger, rounds(home.ledger, home.settings, home.places, clock), hold)
    notifier.start()
    try:
        yield
    finally:
        notifier.close()


@contextmanager
def _held(home: Home, held: AbstractContextManager[object], turn: Turn) -> Iterator[None]:
    """With what others did in their turn in the mirror, so that nothing of it is done again."""
    from daybreak.errors import LedgerBusy

    try:
        with held:
            waited = threading.Event()
            for _ in range(int(BEHIND_S / 0.02)):
                if home.ledger.newest().size >= turn.size:
                    break
                waited.wait(0.02)
            else:
                raise LedgerBusy("the mirror is behind its Postgres", hint="nothing was sent; it is tried again.")
            yield
    finally:
        turn.release()


def in_turn(
    home: Home, hold: Callable[[str], AbstractContextManager[object]], name: str
) -> AbstractContextManager[object]:
    """The lock of that name, of this home and, where several share the ledger, among all of them. Raises LockHeld."""
    held = hold(name)
    seats = home.engine.seats
    if seats is None:
        return held
    try:
        turn = seats.turn(name)
    except BaseException:
        with held:
            raise
    return _held(home, held, turn)


class Notifier:
    """The thread. Raises nothing into whoever it works beside."""

    def __init__(self, ledger: Ledger, work: Rounds, hold: Callable[[str], AbstractContextManager[object]]) -> None:
        from daybreak import events
        from daybreak.report.notify.view import NOTICES

        self._ledger = ledger
        self._rounds = work
        self._hold = hold
        self._heard = frozenset(kind.type for kind in NOTICES.of)
        self._settled = events.BudgetSettled.type
        self._wake = threading.Event()
        self._spent = True
        self._closing = threading.Event()
        self._told = ""
        self._ends_s = inf
        """When whoever it works beside waits no longer, by the monotonic clock of `work`."""
        work.left = lambda: self._ends_s - work.clock.monotonic()
        self._thread = threading.Thread(target=self._work, name="daybreak-notifier", daemon=True)

    def start(self) -> None:
        """From here on nothing is missed. What the ledger refuses is logged."""
        try:
            self._rounds.open_channels()
        except DaybreakError as error:
            self._complain(error)
        self._forget = self._ledger.subscribe(self._hear)
        self._thread.start()

    def close(self) -> None:
        """Send what is due, for a short while, and end. Ctrl-C ends the waiting; what is left goes another time."""
        try:
            self._forget()
            self._ends_s = self._rounds.clock.monotonic() + CLOSING_S / 2
            self._closing.set()
            self._wake.set()
            self._thread.join(CLOSING_S + 1)
        except KeyboardInterrupt:
            self._ends_s = 0.0
            self._closing.set()
            self._wake.set()
            _log.warning("messages that have not gone are sent the next time")

    def _hear(self, records: list[Record]) -> None:
        """Called for every commit of this process: it only looks at names."""
        for record in records:
            if record.type == self._settled:
                self._spent = True
            elif record.type in self._heard:
                self._wake.set()

    def _work(self) -> None:
        looks = 0
        while not self._closing.is_set():
            if looks % WARN_EVERY == 0:
                self._spent = True
            if not self._look():
                return
            looks += 1
            self._closing.wait(REST_S)
            self._wake.wait(LOOK_S)
            self._wake.clear()
        self._spent = True
        self._ends_s += CLOSING_S / 2
        self._look(limit_s=CLOSING_S / 2, patient=True)

    def _look(self, limit_s: float | None = None, *, patient: bool = False) -> bool:
        """Once; False where the ledger is closed."""
        try:
            if self._spent:
                self._spent = False
                self._rounds.warn()
            if self._rounds.due():
                send(self._rounds, self._hold, limit_s=limit_s, wait_s=CLOSING_S / 3 if patient else 0.0)
        except LedgerStopped:
            return False
        except DaybreakError as error:
            self._complain(error)
        except Exception as error:  # noqa: BLE001 - it serves the night, and never ends it
            if self._complain(error):
                _log.exception("messages are not sent")
        else:
            self._told = ""
        return True

    def _complain(self, error: Exception) -> bool:
        """Once, however often it comes; was it new?"""
        said = f"{getattr(error, 'code', type(error).__name__)}"
        new = said != self._told
        if new:
            self._told = said
            _log.warning("messages are not sent: %s", said)
        return new


def send(
    work: Rounds,
    hold: Callable[[str], AbstractContextManager[object]],
    *,
    failed: bool = False,
    limit_s: float | None = None,
    wait_s: float = 0.0,
) -> int:
    """Send what is due, while nobody else does; the number of messages that went. Where somebody else does, that is
    left to him, after `wait_s`. Raises what the ledger raises."""
    from daybreak.host.locks import LockHeld
    from daybreak.report.notify.sending import SEND_S

    waited = threading.Event()
    left_s = wait_s
    while True:
        try:
            held = hold(LOCK)
        except LockHeld:
            if left_s <= 0:
                return 0
            waited.wait(0.2)
            left_s -= 0.2
            continue
        with held:
            return work.work(failed=failed, limit_s=limit_s or SEND_S)


def test(work: Rounds, names: Sequence[str]) -> dict[str, DaybreakError | None]:
    """Send a message to each of these channels, now; what went wrong with it, or None. It stands in the ledger."""
    from daybreak import events
    from daybreak.events import NOTICES
    from daybreak.ledger import Draft
    from daybreak.report.notify.view import WORTH_A_LOOK
    from daybreak.report.notify.wording import Message, clean

    work.open_channels()
    found: dict[str, DaybreakError | None] = {}
    for name in names:
        message = Message(
            "Daybreak: a test", f"This is channel {name}. Nothing happened; somebody asked for this.", WORTH_A_LOOK
        )
        try:
            work.sender.send(name, work.told.channels[name], message)
        except DaybreakError as error:
            found[name] = error
        else:
            found[name] = None
        problem = found[name]
        what = "" if problem is None else clean(f"{problem.code} {problem.message}", 300)
        tested = events.ChannelTested(channel=name, ok=problem is None, what=what)
        work.log.append([Draft(NOTICES, tested, actor="person")])
    return found
