"""What a durable budget adds: reserve and settle on a chain of three accounts, against the same commits without.

    python -m benchmarks budget_reserve

Both ledgers write the same number of transactions with the same number of events; only one looks before and keeps the
accounts' view. The steps take turns, because a disk may change its speed from one second to the next.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
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


def plain_s(ledger: Ledger, key: str) -> float:
    """Seconds for one step's two commits, without a view."""
    started = time.perf_counter()
    ledger.append([Draft(POLICY, BudgetReserved(account="child", key=key, worst=WORST.by_name, run="r"))])
    ledger.append([Draft(POLICY, BudgetSettled(key=key, used=USED.by_name, run="r"))])
    return time.perf_counter() - started


def kept_s(ledger: Ledger, accounts: Accounts, key: str) -> float:
    """The same, asked before and kept in the accounts."""
    started = time.perf_counter()
    ledger.append([Draft(POLICY, accounts.reserve(key, "child", WORST, "r"))])
    ledger.append([Draft(POLICY, accounts.settle(key, USED, "r")[0])])
    return time.perf_counter() - started


def asking_s(accounts: Accounts, key: str) -> float:
    """Seconds to ask and make one event, without the commit."""
    started = time.perf_counter()
    accounts.reserve(key, "child", WORST, "r")
    return time.perf_counter() - started


def measure(folder: Path | None = None) -> dict[str, float]:
    """Medians over the steps, which take turns, in microseconds; `adds_us` is what the budget adds to a step."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home, rounds = Path(name), []
        with _open(home, "plain", ()) as plain, _open(home, "kept", (ACCOUNTS,)) as kept:
            accounts = Accounts(kept)
            for account, above in (("night", ""), ("run", "night"), ("child", "run")):
                opened = accounts.open(account, Limit(money_microusd=10**12, tokens=10**12), above)
                assert opened is not None
                kept.append([Draft(POLICY, opened)])
            for number in range(STEPS):
                key = f"step {number}"
                rounds.append((plain_s(plain, key), kept_s(kept, accounts, key), asking_s(accounts, f"ask {number}")))
    alone, together, asking = (median(column) * 1e6 for column in zip(*rounds, strict=True))
    return {
        "alone_us": alone,
        "together_us": together,
        "ratio": together / alone,
        "adds_us": together - alone,
        "asking_us": asking,
    }


def take(quick: bool = False) -> Iterator[Figure]:
    found = measure(Path(folder) if (folder := os.environ.get("FOLDER")) else None)
    alone, bare = found["alone_us"], "the two commits alone"
    yield lower("reserve and settle on three levels", found["together_us"], "µs", bare, alone, aim=GOAL)
    yield lower("a question before a reservation", found["asking_us"], "µs", bare, alone)
