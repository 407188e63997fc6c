"""The night that the whole idea came from, in one command.

    python run.py --listings 200 --kills 10 --seed 1

A shop opens (`shop.py`, a process of its own), tasks go into the queue (`listings.py`), and `daybreak night` works them
off. While it does, it is killed with SIGKILL again and again, at random moments, and started anew as a service would
be. In the morning the shop's own journal is counted. Exit status 0: everything is exactly as it must be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DAYBREAK = shlex.split(os.environ.get("DAYBREAK", "")) or [sys.executable, "-m", "daybreak"]
RESTART_S = 0.2
"""How soon a service manager starts it again."""
TROUBLE = {
    "refused": "refused with 429",
    "error": "answered with 500",
    "hang": "hung and did nothing",
    "taken and hangs": "were taken, then hung",
    "taken and cut": "were taken, then cut off",
}


# -- the outside: what the shop has written down itself


@dataclass
class Books:
    """The shop's journal, read by somebody who trusts nobody else."""

    calls: int = 0
    charged_microusd: int = 0
    published: Counter[str] = field(default_factory=Counter)
    trouble: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, journal: Path) -> Books:
        books = cls()
        for line in map(json.loads, journal.read_text().split("\n")[:-1]):  # the last one may be under way
            books.calls += 1
            books.charged_microusd += line["charged"]
            if line["what"] == "published":
                books.published[line["sku"]] += 1
                if line["fate"] != "fine":
                    books.trouble[line["fate"]] += 1
            else:
                books.trouble[line["what"]] += 1
        return books


@contextmanager
def open_shop(journal: Path, seed: int, honours_keys: bool = False) -> Iterator[str]:
    """Its address, for as long as it is open."""
    words = [sys.executable, str(HERE / "shop.py"), "--journal", str(journal), "--seed", str(seed)]
    words += ["--honours-keys"] if honours_keys else []
    shop = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert shop.stdout is not None, "it was asked for"
    try:
        yield shop.stdout.readline().strip()
    finally:
        shop.kill()
        shop.communicate()


# -- the evening


def fill_queue(shop: str, listings: int, batch: int) -> int:
    """What `daybreak add listings.py:publish --arg shop=... --arg first=1 --arg last=5` does, for each batch, in one
    process; how many tasks there are now."""
    from daybreak import home
    from daybreak.factory import pythontask

    with home.opened() as opened:
        for first in range(1, listings + 1, batch):
            args = {"shop": shop, "first": first, "last": min(first + batch - 1, listings)}
            asked = pythontask.asked("listings.py:publish", HERE, args=args)
            opened.engine.queue.add(asked.kind, asked.title, asked.args, asked.placement)
    return -(-listings // batch)


# -- the night


@dataclass
class Night:
    """`daybreak night`, with somebody who pulls the plug."""

    folder: Path
    journal: Path
    listings: int
    kills: int
    budget: str
    draw: random.Random
    until: str
    """The same end for every life, so that it is one night with one budget, however often it is killed."""
    killed: int = 0

    def work(self) -> int:
        """Until it ends by itself; its exit status then."""
        while True:
            with (self.folder / "night.log").open("a") as log:
                words = [*DAYBREAK, "night", "--once", "--until", self.until, "--budget", self.budget]
                night = subprocess.Popen(words, cwd=HERE, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                if self.killed == self.kills or not self._reaches(night, self._plug()):
                    return night.wait()
            finally:
                night.kill()
                night.wait()
            self.killed += 1
            books = Books.read(self.journal)
            say(f"kill {self.killed:2}: after {books.calls} calls {books.published.total()} listings are in the shop")
            time.sleep(RESTART_S)

    def _plug(self) -> int:
        """After which call to the shop it is pulled: a random one of those that this life may expect."""
        books = Books.read(self.journal)
        left = self.listings - books.published.total()
        share = left / (self.kills - self.killed + 1)
        return books.calls + (self.draw.randint(1, max(1, int(1.5 * share))) if left else 0)

    def _reaches(self, night: subprocess.Popen[bytes], calls: int) -> bool:
        """Wait for that call, and for a moment longer; False where the night ends before."""
        while self.journal.read_bytes().count(b"\n") < calls:
            if night.poll() is not None:
                return False
            time.sleep(0.02)
        time.sleep(self.draw.random() * 0.1)
        return night.poll() is None


# -- the morning


def audit(folder: Path, journal: Path, listings: int, kills: tuple[int, int], budget: str) -> list[str]:
    """Print how it went; what is not as it must be, in words."""
    from daybreak import Amounts

    books, told = Books.read(journal), ledger_says()
    verified, report = daybreak("ledger", "verify"), daybreak("report", "--night")
    (folder / "morning.txt").write_text(report.stdout)
    ledger = (verified.stdout or verified.stderr).split(": ")[-1].split("(")[0].strip()
    limit = Amounts.parse(budget).money_microusd
    wanted = {f"MUG-{number:04}" for number in range(1, listings + 1)}
    twice = sorted(sku for sku, times in books.published.items() if times > 1)
    rows = [
        ("listings in the shop", len(books.published), listings, wanted == set(books.published)),
        ("listings published twice", len(twice), 0, not twice),
        ("killed", kills[0], kills[1], kills[0] == kills[1]),
        ("tasks done and checked", told["done"], told["tasks"], told["done"] == told["tasks"]),
        ("charged by the shop", usd(books.charged_microusd), f"at most {usd(limit)}", books.charged_microusd <= limit),
        (
            "spent by our own account",
            usd(told["spent_microusd"]),
            "no less than that",
            books.charged_microusd <= told["spent_microusd"] <= limit,
        ),
        ("ledger", ledger, "whole", verified.returncode == 0),
        ("report", "morning.txt", "is there", report.returncode == 0 and " verified" in report.stdout.partition("\n")[0]),
    ]
    say("")
    say(f"calls to the shop: {books.calls}")
    for what, words in TROUBLE.items():
        say(f"  {books.trouble[what]:3} {words}")
    say("")
    for what, found, must, fine in rows:
        say(f"  {'ok ' if fine else 'NO '} {what:26} {found!s:>24}   {must}")
    return [f"{what}: {found}, must be: {must}" for what, found, must, fine in rows if not fine]


def ledger_says() -> dict[str, int]:
    """What Daybreak has written down: how many tasks are done, and what they have spent."""
    from daybreak import home
    from daybreak.policy.accounts import Accounts

    with home.opened() as opened:
        states = Counter(row.state for row in home.rows(opened))
        nights = [row for row in Accounts(opened.ledger).accounts() if row.account.startswith("night:")]
        spent = sum(row.spent.money_microusd for row in nights)
    return {"tasks": states.total(), "done": states["done"], "spent_microusd": spent}


def daybreak(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DAYBREAK, *words], cwd=HERE, text=True, capture_output=True, check=False)


def usd(microusd: int) -> str:
    return f"{microusd / 1_000_000:.2f} usd"


def say(text: str) -> None:
    print(text, flush=True)


def main(words: list[str] | None = None) -> int:
    told = arguments(words)
    folder: Path = told.folder or Path(tempfile.mkdtemp(prefix="shop-night-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["DAYBREAK_HOME"] = str(folder / "home")
    journal = folder / "shop.jsonl"
    budget = told.budget or f"{told.listings * 0.015:.2f}usd"
    with open_shop(journal, told.seed, told.honours_keys) as shop:
        say(f"the shop is open: {shop}; it writes {journal}")
        tasks = fill_queue(shop, told.listings, told.batch)
        say(f"the queue: {tasks} tasks of up to {told.batch} listings; the night may spend {budget}")
        until = (datetime.now(UTC) + timedelta(hours=8)).isoformat(timespec="minutes")
        night = Night(folder, journal, told.listings, told.kills, budget, random.Random(told.seed), until)
        status = night.work()
        say(f"the night ended by itself with status {status}; what it said is in {folder / 'night.log'}")
        wrong = audit(folder, journal, told.listings, (night.killed, told.kills), budget)
    say("")
    say("NOT as it must be: " + "; ".join(wrong) if wrong else "every listing exactly once; the books agree")
    return 1 if wrong or status else 0


def arguments(words: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listings", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10, help="how often the night is killed")
    parser.add_argument("--seed", type=int, default=1, help="of what goes wrong in the shop, and of the kills")
    parser.add_argument("--batch", type=int, default=5, help="listings in one task")
    parser.add_argument("--budget", help="of the night, such as 3usd; default: 1.5 cents for each listing")
    parser.add_argument("--folder", type=Path, help="an empty one, where everything is kept; default: a temporary one")
    parser.add_argument("--honours-keys", action="store_true", help="a better shop, which knows a call that it has had")
    return parser.parse_args(words)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # close the shop, and leave no night behind
    sys.exit(main())
