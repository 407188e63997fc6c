"""A program that is killed in the middle of archiving, pruning and refilling; run by `test_archive_prune`.

    python -m tests.unit.archive_kills FOLDER kill STRIDE     a line of JSON for each step at which it died
    python -m tests.unit.archive_kills FOLDER open COUNT      so many processes open an old ledger at once

Steps are the calls after which something lasts: a sync, a name, an append, a transaction. Each is tried in a process
of its own, which dies before it, and in one that dies after it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.archive_shelf import filled, said
from tests.unit.ledger_home import STEPS, Home

from daybreak.ledger import Ledger
from daybreak.ledger.archive import writing
from daybreak.ledger.archive.archiving import archive
from daybreak.ledger.archive.pruning import prune, refill
from daybreak.ledger.log import Log

MOST = 256


def work(home: Home) -> None:
    """Everything, twice over in part, so that each command meets what the others leave."""
    with home.open() as ledger:
        size = ledger.head().size
        list(archive(ledger, home.root / "archive", end=size, most=MOST))
        list(prune(ledger, witnessed=size))
        list(refill(ledger, 0, 10))
        list(prune(ledger, witnessed=size))


def in_child(do: Callable[[], None]) -> int:
    """The status that it ended with. It is a process without other threads, so it may be doubled."""
    child = os.fork()
    if child == 0:
        try:
            do()
        except BaseException:  # noqa: BLE001 - told to whoever looks at the output
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


class Killer:
    """Counts steps, and ends its own process at one of them."""

    def __init__(self, step: int, *, after: bool) -> None:
        self.count = 0
        self._step = step
        self._after = after

    def at(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def one(*args: Any, **named: Any) -> Any:
            self.count += 1
            here = self.count == self._step
            if here and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            done = do(*args, **named)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return one

    def watch(self) -> None:
        for place, name in (
            (writing, "sync"),
            (os, "link"),
            (writing, "sync_folder"),
            (Ledger, "append"),
            (Log, "change"),
        ):
            setattr(place, name, self.at(getattr(place, name)))


def steps(home: Home) -> int:
    """How many there are."""
    copy, counted = home.copy("counted"), home.root.with_name("count")

    def count() -> None:
        killer = Killer(-1, after=False)
        killer.watch()
        work(copy)
        counted.write_text(str(killer.count))

    assert in_child(count) == 0
    return int(counted.read_text())


def kill(root: Path, stride: int) -> None:
    home = filled(root / "home", [STEPS])
    with home.open() as ledger:
        before = said(ledger)
    points = [(step, after) for step in range(1, steps(home) + 1) for after in (False, True)]
    for step, after in points[::stride]:
        copy = home.copy(f"killed-{step}-{after}")

        def die(copy: Home = copy, step: int = step, after: bool = after) -> None:
            Killer(step, after=after).watch()
            work(copy)

        status = in_child(die)
        told = {"step": step, "after": after, "killed": os.WIFSIGNALED(status)}
        told["verified"] = in_child(lambda copy=copy: _whole(copy, before)) == 0
        told["repeated"] = in_child(lambda copy=copy: _again(copy, before)) == 0
        print(json.dumps(told), flush=True)
        shutil.rmtree(copy.root)


def _whole(copy: Home, before: list[Any]) -> None:
    found = copy.verify()
    assert found.ok, found.problems[:3]
    with copy.open() as ledger:
        assert said(ledger)[: len(before)] == before


def _again(copy: Home, before: list[Any]) -> None:
    work(copy)
    _whole(copy, before)
    left = [path.name for path in (copy.root / "archive").iterdir() if path.suffix != ".dbarchive"]
    assert left == [], left
    for kind, most in (("archived", 2), ("pruned", 6), ("refilled", 4)):
        sql = "SELECT count(*) FROM event WHERE stream = 'keys' AND json_extract(CAST(header AS TEXT), '$.type') = ?"
        assert copy.rows(sql, f"ledger.{kind}")[0][0] <= most, kind


def open_at_once(root: Path, count: int) -> None:
    """Each appends one event to the ledger in `root`."""
    home = Home(root)
    begin, go = os.pipe()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(begin, 1)  # until all are there
            status = 1
            try:
                with home.open():
                    status = 0
            except BaseException:  # noqa: BLE001 - told to whoever looks at the output
                traceback.print_exc()
            os._exit(status)
        children.append(child)
    os.close(go)
    print(json.dumps([os.waitpid(child, 0)[1] for child in children]))


if __name__ == "__main__":
    folder, what, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    (kill if what == "kill" else open_at_once)(folder, number)
