"""What a durable budget adds: reserve and settle on a chain of three accounts, against the same commits without.

    python -m benchmarks budget_reserve

Both ledgers write the same number of transactions with the same number of events; only one looks before and keeps the
accounts' view. The steps take turns, because a disk may change its speed from one second to the next.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, lower
from daybreak.clock import SystemClock
from daybreak.events import POLICY, BudgetReserved, BudgetSettled
from daybreak.ledger import Draft, Ledger
from daybreak.policy.accounts import ACCOUNTS, Accounts
from daybreak.policy.budget import Amounts, Limit

STEPS = 400
GOAL = 1.5
"""Times the commits alone."""
WORST = Amounts(time_ms=1000, money_microusd=500_000, tokens=2000, attempts=1)
USED = Amounts(time_ms=300, money_microusd=100_000, tokens=700, attempts=1)
Now = Callable[[], float]


def _open(folder: Path, name: str, views: tuple[object, ...]) -> Ledger:
    home = folder / name
    home.mkdir()
    return Ledger.open(
        home / "ledger",
        keys=home / "keys",
        witness=home / "witness",
        clock=SystemClock(),
        views=views,  # type: ignore[arg-type]
    )


def plain_s(ledger: Ledger, key: str, now: Now) -> float:
    """Seconds for one step's two commits, without a view."""
    started = now()
    ledger.append([Draft(POLICY, BudgetReserved(account="child", key=key, worst=WORST.by_name, run="r"))])
    ledger.append([Draft(POLICY, BudgetSettled(key=key, used=USED.by_name, run="r"))])
    return now() - started


def kept_s(ledger: Ledger, accounts: Accounts, key: str, now: Now) -> float:
    """The same, asked before and kept in the accounts."""
    started = now()
    ledger.append([Draft(POLICY, accounts.reserve(key, "child", WORST, "r"))])
    ledger.append([Draft(POLICY, accounts.settle(key, USED, "r")[0])])
    return now() - started


def asking_s(accounts: Accounts, key: str, now: Now) -> float:
    """Seconds to ask and make one event, without the commit."""
    started = now()
    accounts.reserve(key, "child", WORST, "r")
    return now() - started


def measure(folder: Path | None = None, now: Now = time.perf_counter, steps: int = STEPS) -> dict[str, float]:
    """Medians over the steps, which take turns, in microseconds; `adds_us` is what the budget adds to a step."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home, rounds = Path(name), []
        with _open(home, "plain", ()) as plain, _open(home, "kept", (ACCOUNTS,)) as kept:
            accounts = Accounts(kept)
            for account, above in (("night", ""), ("run", "night"), ("child", "run")):
                opened = accounts.open(account, Limit(money_microusd=10**12, tokens=10**12), above)
                assert opened is not None
                kept.append([Draft(POLICY, opened)])
            for number in range(steps):
                key = f"step {number}"
                took = (
                    plain_s(plain, key, now),
                    kept_s(kept, accounts, key, now),
                    asking_s(accounts, f"ask {number}", now),
                )
                rounds.append(took)
    alone, together, asking = (median(column) * 1e6 for column in zip(*rounds, strict=True))
    return {
        "alone_us": alone,
        "together_us": together,
        "ratio": together / alone,
        "adds_us": together - alone,
        "asking_us": asking,
    }


def take(quick: bool = False) -> Iterator[Figure]:
    """The short form counts the processor's time: of the clock's, the disk decides."""
    now, unit = (time.process_time, "µs of the processor") if quick else (time.perf_counter, "µs")
    folder = Path(name) if (name := os.environ.get("FOLDER")) else None
    found = measure(folder, now, STEPS // 2 if quick else STEPS)
    alone, bare = found["alone_us"], "the two commits alone"
    yield lower("reserve and settle on three levels", found["together_us"], unit, bare, alone, aim=GOAL)
    yield lower("a question before a reservation", found["asking_us"], unit, bare, alone)
