"""What an unattended night does for its state: a copy, a trial restore, the rotation, in the order of caution."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from daybreak.config import Places
from daybreak.engine import RUNS
from daybreak.events import KEYS, SnapshotCreated, SnapshotsPruned, SnapshotVerified, TaskAdded
from daybreak.host.snapshots import Rule, Store, StoreBusy, StoreUnusable
from daybreak.ledger import Draft, Ledger, verify
from daybreak.ledger.restore import Restorer
from daybreak.ledger.safekeeping import Safekeeping, keep_safe
from daybreak.ledger.snapshot import SnapshotUnsound
from daybreak.testing.clock import FakeClock

DAY_S = timedelta(days=1).total_seconds()


class Night:
    """A ledger that is open and written to, and a place for copies of it."""

    def __init__(self, root: Path) -> None:
        self.places = Places.below(root / "home", "a test")
        self.store = Store(root / "store")
        self.clock = FakeClock()
        where = self.places
        self.ledger = Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=self.clock, views=[RUNS])
        task = TaskAdded(task="task-1", run="run-1", kind="other", title="a task", args={})
        self.ledger.append([Draft("queue", task)])

    def keep(self, **options: Any) -> Safekeeping:
        self.clock.advance(DAY_S)
        return keep_safe(self.ledger, self.store, self.places, clock=self.clock, zone=UTC, views=[RUNS], **options)

    def told(self) -> list[Any]:
        kinds = SnapshotCreated | SnapshotVerified | SnapshotsPruned
        return [record.event for record in self.ledger.read(KEYS) if isinstance(record.event, kinds)]


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    made = Night(tmp_path)
    yield made
    made.ledger.close()


def test_a_night_takes_a_copy_restores_it_on_trial_and_keeps_seven_days(night: Night) -> None:
    """Each is remembered in the open ledger, which stays whole; the result is plain JSON."""
    # shows: N15
    nights = [night.keep() for _ in range(9)]
    last = nights[-1]
    assert all(one.ok for one in nights)
    assert len(last.kept) == 7
    assert (last.removed, last.damaged) == ([nights[1].name], [])
    assert [one.name for one in night.store.snapshots()] == [one.name for one in reversed(nights[2:])]
    assert json.loads(json.dumps(dataclasses.asdict(last)))["name"] == last.name
    assert last.bytes > 0
    events = night.told()
    assert [type(event) for event in events[-3:]] == [SnapshotCreated, SnapshotVerified, SnapshotsPruned]
    assert events[-2].ok
    assert events[-3].size == last.events
    where = night.places
    assert verify(where.ledger, keys=where.keys, witness=where.witness, views=[RUNS]).problems == []
    assert not list(night.store.folder.glob(".*"))


def test_where_the_copy_cannot_be_restored_nothing_old_goes(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that lies: what was written is not what is read back. It is said, remembered, and older copies stay."""
    # shows: N15
    older = [night.keep(rule=Rule(daily=5)).name for _ in range(3)]
    real = Restorer.test_restore

    def rotten(self: Restorer, name: str) -> Any:
        path = self.store.folder / name / "state.tar.zst"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
        return real(self, name)

    monkeypatch.setattr(Restorer, "test_restore", rotten)
    done = night.keep(rule=Rule(daily=1))
    assert (done.ok, done.code, done.removed) == (False, "H221", [])
    assert done.name in done.problem
    assert done.hint
    assert {one.name for one in night.store.snapshots()} == {*older, done.name}
    last = night.told()[-1]
    assert (last.ok, last.problems) == (False, [done.problem])


def test_a_ledger_that_is_not_whole_is_not_put_away_and_nothing_goes(night: Night) -> None:
    """Then there is an error instead of a result, and the store is as it was."""
    # shows: N15
    night.keep()
    night.ledger.close()
    connection = apsw.Connection(str(night.places.ledger / "ledger.db"))
    connection.execute("DROP TABLE view_runs")
    connection.close()
    before = sorted(night.store.folder.iterdir())
    with pytest.raises(SnapshotUnsound) as caught:
        night.keep(rule=Rule(daily=1))
    assert caught.value.hint
    assert sorted(night.store.folder.iterdir()) == before


def test_a_store_that_somebody_else_uses_or_that_is_no_folder_is_an_error(night: Night, tmp_path: Path) -> None:
    """No copy, no event."""
    from daybreak.host.snapshots.disk import Lock

    night.keep()
    count = len(night.told())
    with Lock(night.store.folder / ".lock"), pytest.raises(StoreBusy):
        night.keep()
    (tmp_path / "file").write_text("")
    night.store = Store(tmp_path / "file")
    with pytest.raises(StoreUnusable):
        night.keep()
    assert len(night.told()) == count


def test_a_failing_rotation_is_said_and_the_copy_counts(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new copy is there and was restored on trial; only the old ones could not be removed."""

    def busy(*_: Any, **__: Any) -> Any:
        raise StoreBusy("another process is at work", hint="wait")

    monkeypatch.setattr(Store, "prune", busy)
    done = night.keep()
    assert (done.ok, done.code) == (False, "H227")
    assert night.told()[-1].ok
    assert night.store.find("newest").name == done.name
