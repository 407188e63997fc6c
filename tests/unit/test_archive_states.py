"""Appending, archiving, pruning and refilling in any order: the ledger always says all that was ever said."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.unit.archive_shelf import blanks
from tests.unit.ledger_home import STEPS, Home, step

from daybreak.ledger import Draft
from daybreak.ledger.archive.archiving import archive, closed
from daybreak.ledger.archive.pruning import prune, refill, shrink, standings


class Archives(RuleBasedStateMachine):
    """`told` is what was appended to each stream, under which keys."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.home = Home(self.root / "home", [STEPS])
        self.told: dict[str, list[Any]] = {}
        self.keys: dict[str, tuple[str, int, Any]] = {}
        self.ledger = self.home.open()
        self.append(count=600, streams=3)  # an archive takes 256 at least

    def teardown(self) -> None:
        self.check()
        self.ledger.close()
        found = self.home.verify()
        assert found.ok, found.problems[:3]
        shutil.rmtree(self.root)

    @rule(count=some.integers(1, 400), streams=some.integers(1, 5))
    def append(self, count: int, streams: int) -> None:
        drafts = []
        for n in range(count):
            stream, key = f"control:{n % streams}", f"key/{len(self.keys)}"
            self.told.setdefault(stream, []).append({"n": n, "nth": len(self.keys)})
            drafts.append(Draft(stream, step(n, self.told[stream][-1]), idem=key))
            self.keys[key] = (stream, n, self.told[stream][-1])
        self.ledger.append(drafts)

    @rule(keep=some.integers(0, 400), most=some.sampled_from([256, 512, 65_536]))
    def archive(self, keep: int, most: int) -> None:
        size = self.ledger.head().size
        list(archive(self.ledger, self.home.root / "archive", end=max(0, size - keep), most=most))
        ends = [one.entry.end for one in standings(self.ledger)]
        assert ends == sorted(ends)
        assert not ends or ends[-1] >= closed(max(0, size - keep))

    @rule(witnessed=some.integers(0, 2000))
    def prune(self, witnessed: int) -> None:
        known = [one.entry.end for one in standings(self.ledger) if not one.entry.pruned]
        least = next((end for end in known if end > witnessed), None)
        list(prune(self.ledger, witnessed=witnessed if least is None else self.ledger.head().size))

    @rule(start=some.integers(0, 2000), count=some.integers(1, 600))
    def refill(self, start: int, count: int) -> None:
        if any(one.entry.start < start + count and start < one.entry.end for one in standings(self.ledger)):
            list(refill(self.ledger, start, start + count))

    @rule(data=some.data())
    def repeat(self, data: some.DataObject) -> None:
        if self.keys:
            key = data.draw(some.sampled_from(sorted(self.keys)))
            stream, n, result = self.keys[key]
            size = self.ledger.head().size
            (record,) = self.ledger.append([Draft(stream, step(n, result), idem=key)])
            assert (record.index < size, record.idem) == (True, key)

    @rule(smaller=some.booleans())
    def reopen(self, smaller: bool) -> None:
        self.ledger.close()
        if smaller:
            shrink(self.home.ledger)
        self.ledger = self.home.open()

    @rule()
    def check(self) -> None:
        for stream, told in self.told.items():
            assert [getattr(one.event, "result", None) for one in self.ledger.read(stream)] == told
        blank = sum(one.blank for one in standings(self.ledger, check=True))
        assert blank == blanks(self.home)
        assert all(not one.problem for one in standings(self.ledger))
        assert self.ledger.compare_views() == []


TestArchives = Archives.TestCase  # shows: N3 N13
TestArchives.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
