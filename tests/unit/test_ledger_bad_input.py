"""Bad input and bad luck: values that JSON cannot carry, sizes, an old SQLite, a network disk, a clock that jumps, a
disk that fails anywhere."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit import ledger_home as shelf

from daybreak import events
from daybreak.errors import BlobDamaged, DraftRefused, LedgerForeign, LedgerStopped, LedgerTampered
from daybreak.host import disks
from daybreak.ledger import Draft, blobs, database, exact, record
from daybreak.ledger.record import Submission
from daybreak.testing.clock import FakeClock

pytestmark = pytest.mark.on_disk

Home, step = shelf.Home, shelf.step


@pytest.fixture
def home(tmp_path: Path) -> Any:
    return Home(tmp_path / "home")


# -- values


class Grade(StrEnum):
    GOOD = "good"


class Level(IntEnum):
    HIGH = 3


class Note(msgspec.Struct):
    text: Any


LOOP: dict[str, Any] = {}
LOOP["again"] = [LOOP]

INEXACT = {
    "not a number": (math.nan, "result: not a number"),
    "infinity": ({"a": [1, {"b": -math.inf}]}, "result.a[1].b: infinity"),
    "a large integer": ([0, 2**64], "result[1]: an integer beyond 64 bits"),
    "a small integer": ({"n": -(2**63) - 1}, "result.n: an integer beyond 64 bits"),
    "half a surrogate pair": (["\udc80"], "result[0]: half of a surrogate pair"),
    "half a surrogate pair as a key": ({"a": {"\ud800": 1}}, "result.a: the key '\\ud800': half of a surrogate pair"),
    "bytes": ({"raw": b"x"}, "result.raw: bytes"),
    "more bytes": ((bytearray(b"x"),), "result[0]: bytes"),
    "a number as a key": ({"by": {1: "x"}}, "result.by: the key 1 is no text"),
    "a set": ([{1}], "result[0]: set is no value"),
    "a moment": ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "result.at: datetime is no value"),
    "a complex number": (1j, "result: complex is no value"),
    "an object": (Note(object()), "result.text: object is no value"),
    "a class": (int, "result: type is no value"),
    "a value within itself": (LOOP, "result.again[0]: contains itself"),
}


@pytest.mark.parametrize(("value", "path"), INEXACT.values(), ids=INEXACT.keys())
def test_what_json_cannot_carry_is_refused_with_its_path(home: Any, value: Any, path: str) -> None:
    """Before anything is written, of any draft of the call; encoders would write null, text or another number."""
    # shows: N16 P8
    with home.open() as ledger:
        before = ledger.head()
        with pytest.raises(DraftRefused) as caught:
            ledger.append([Draft("queue", step(1)), Draft("queue", step(2, value))])
        assert path in caught.value.message
        assert ledger.head() == before
        assert ledger.append([Draft("queue", step(3))])[0].index == 1
    assert not list((home.ledger / "blobs").rglob("*")) if (home.ledger / "blobs").exists() else True


def test_every_way_in_refuses_it(home: Any) -> None:
    """At once, from a coroutine and from a thread that does not wait; alone and between others."""
    # shows: N16 P8
    drafts = [Draft("queue", step(1)), Draft("queue", step(2, {"a": [math.nan]}))]
    with home.open() as ledger:
        for enter in (ledger.append, ledger.submit, lambda given: asyncio.run(ledger.append_async(given))):
            for given in (drafts, drafts[1:]):
                with pytest.raises(DraftRefused, match=r"result.a\[0\]: not a number"):
                    enter(given)
        assert ledger.head().size == 1


def test_a_long_path_is_told_by_its_ends() -> None:
    """A message is for reading."""
    deep: Any = math.nan
    for _ in range(900):
        deep = [deep]
    with pytest.raises(DraftRefused) as caught:
        Submission([Draft("queue", step(1, deep))])
    assert len(caught.value.message) < 400
    assert caught.value.message.endswith("[0]: not a number")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(exact.INTEGER_MIN, exact.INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inside, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_what_is_taken_comes_back_the_same(value: Any) -> None:
    """Every value of JSON, to the last bit; so numbers keep their type."""
    # shows: N3
    payload = Submission([Draft("queue", step(1, value))]).payloads[0]
    back = msgspec.json.decode(payload, type=events.StepDone).result
    assert back == value
    assert repr(back) == repr(value)
    assert exact.why_not(value) == ""


def test_members_of_enumerations_are_what_they_stand_for() -> None:
    """They equal what is read back; so do tuples, apart from being lists then."""
    payload = Submission([Draft("queue", step(1, [Grade.GOOD, Level.HIGH, (1, 2)]))]).payloads[0]
    assert msgspec.json.decode(payload)["result"] == [Grade.GOOD, Level.HIGH, [1, 2]]


# -- sizes


def test_the_largest_payload_is_taken_and_a_larger_one_refused(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB to the byte; one more says what to do instead. Nothing is left of what was refused."""
    # shows: N16 P8
    assert record.PAYLOAD_MAX == 64 * 2**20
    frame = len(Submission([Draft("queue", step(1, ""))]).payloads[0])
    with home.open() as ledger:
        largest = "x" * (record.PAYLOAD_MAX - frame)
        ledger.append([Draft("queue", step(1, largest))])
        with pytest.raises(DraftRefused, match="67,108,865 bytes, and 67,108,864 are the most") as caught:
            ledger.append([Draft("queue", step(1, largest + "x"))])
        assert "put_blob" in caught.value.hint
        (back,) = ledger.read("queue")
        assert back.event == step(1, largest)
    assert home.verify().problems == []
    assert sum(path.is_file() for path in (home.ledger / "blobs").rglob("*")) == 1


class Bare(events.Event, frozen=True, kw_only=True):
    """Says nothing beside that it happened."""

    type = "test.bare"


def test_nothing_at_all_can_be_kept_and_missing_is_not_empty(home: Any) -> None:
    """An event without fields, a blob of 0 bytes; a payload or blob that was emptied is noticed."""
    # shows: N3 N16
    with home.open() as ledger:
        (bare,) = ledger.append([Draft("queue", Bare())])
        assert bare.payload == b"{}"
        empty = ledger.put_blob(b"")
        assert empty == sha256(b"").hexdigest()
        assert (ledger.get_blob(empty), ledger.has_blob(empty)) == (b"", True)
        ledger.append([Draft("queue", step(1, "x" * 70_000))])
        (large,) = (path for path in (home.ledger / "blobs").rglob("*") if path.is_file() and path.name != empty)
        large.write_bytes(b"")
        with pytest.raises(BlobDamaged):
            list(ledger.read("queue"))
    home.sql("UPDATE event SET payload = x'' WHERE leaf = 1")
    with home.open() as ledger, pytest.raises(LedgerTampered, match="event 1"):
        list(ledger.read("queue"))


# -- surroundings


def test_an_old_sqlite_is_refused_with_the_reason(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can lose a write-ahead log; nothing is opened, and nothing made."""
    # shows: N4
    for version, refused in (("3.51.2", True), ("3.7.0", True), ("3.51.3", False), ("3.100.0", False)):
        monkeypatch.setattr(apsw, "sqlite_lib_version", lambda version=version: version)
        if refused:
            with pytest.raises(LedgerForeign, match=f"SQLite {version} can lose a write-ahead log") as caught:
                home.open()
            assert "3.51.3" in caught.value.hint
            assert not home.database.exists()
        else:
            home.open().close()


@pytest.mark.parametrize(
    ("kind", "told"),
    [("nfs", 1), ("nfs4", 1), ("cifs", 1), ("9p", 1), ("fuse.sshfs", 1), ("ext4", 0), ("tmpfs", 0), ("overlay", 0)],
)
def test_a_network_file_system_is_warned_of_once(
    home: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, told: int
) -> None:
    """It is detected and named, and not refused: it may be all that there is."""
    # shows: N14
    mounts = home.root.parent / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / {home.root.resolve()} rw - {kind} there rw\n")
    monkeypatch.setattr(disks, "MOUNTS", mounts)
    disks._network.cache_clear()
    database.warn_of_network.cache_clear()
    with caplog.at_level(logging.WARNING, "daybreak.ledger"):
        for _ in range(2):
            home.open().close()
    disks._network.cache_clear()
    database.warn_of_network.cache_clear()
    assert [kind in entry.getMessage() for entry in caplog.records] == [True] * told


def test_a_clock_that_jumps_back_changes_no_order(home: Any) -> None:
    """Events say the time that there was; what came after what, chains, leases and proofs go by positions."""
    # shows: N13 N14
    clock = FakeClock()
    with home.open(clock=clock) as ledger:
        for hours in (0, 5, -30, -9000, 40):
            clock.start += timedelta(hours=hours)
            ledger.append([Draft("queue", step(hours))])
        stamps = [one.ts for one in ledger.read("queue")]
        assert [one.event.nth for one in ledger.read("queue")] == [0, 5, -30, -9000, 40]
    assert stamps != sorted(stamps)
    assert home.verify().problems == []


# -- a disk that fails anywhere


class Failing(apsw.VFS):
    """The system's disk, on which the n-th write, sync or truncation of any file fails, and all after it."""

    def __init__(self) -> None:
        super().__init__("failing", "unix", makedefault=True)
        self.calls = 0
        self.last = 10**9
        self.error: tuple[type[Exception], str] = (apsw.IOError, "")

    def count(self) -> None:
        self.calls += 1
        if self.calls > self.last:
            kind, words = self.error
            raise kind(words)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Failing, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk

    def xLock(self, level: int) -> None:
        """A reading connection tries for the last lock when it closes, which the system refuses it: no error."""
        try:
            super().xLock(level)
        except apsw.IOError as error:
            raise apsw.BusyError from error

    def xWrite(self, data: Any, offset: int) -> None:
        self._disk.count()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.count()
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:
        self._disk.count()
        super().xTruncate(size)


@pytest.fixture
def failing() -> Iterator[Failing]:
    failing = Failing()
    yield failing
    failing.unregister()


ERRORS = {"EIO": (apsw.IOError, "the disk is broken"), "ENOSPC": (apsw.FullError, "the disk is full")}


def worked(home: Any) -> tuple[int, Exception | None]:
    """The last acknowledged event, and what ended the work, which folds the log in several times."""
    acknowledged = 0
    try:
        with home.open() as ledger:
            for number in range(14):
                (one,) = ledger.append([Draft("queue", step(number, "x" * 6000))])
                acknowledged = one.index
    except Exception as error:  # noqa: BLE001 - judged by the caller
        return acknowledged, error
    return acknowledged, None


def sweep(
    home: Any, failing: Failing, monkeypatch: pytest.MonkeyPatch, error: tuple[type[Exception], str], every: int
) -> int:
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 10)
    home.fill(3)
    whole = home.copy("whole")
    failing.calls = 0
    assert worked(whole)[1] is None
    points = range(0, failing.calls, every)
    for point in points:
        home_now = home.copy(f"at-{point}")
        failing.calls, failing.last, failing.error = 0, point, error
        acknowledged, ended = worked(home_now)
        failing.last = 10**9
        if ended is not None:  # folding in may fail after everything was acknowledged, which costs nothing
            assert isinstance(ended, LedgerStopped), f"at {point}: {ended!r}"
            assert ended.hint
        found = home_now.verify()
        assert found.problems == [], f"at {point}"
        with home_now.open() as ledger:
            assert ledger.head().size > acknowledged, f"at {point}"
            ledger.append([Draft("queue", step(99))])
        assert home_now.verify().problems == [], f"at {point}"
    return len(points)


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_a_disk_that_fails_at_some_write_stops_the_writer(
    home: Any, failing: Failing, monkeypatch: pytest.MonkeyPatch, error: tuple[type[Exception], str]
) -> None:
    """The short form: at every 13th call. It says so, loses nothing acknowledged, and goes on after opening again."""
    # shows: N4 N14 F16
    assert sweep(home, failing, monkeypatch, error, 13) >= 5


@pytest.mark.chaos
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_a_disk_that_fails_at_any_write_stops_the_writer(
    home: Any, failing: Failing, monkeypatch: pytest.MonkeyPatch, error: tuple[type[Exception], str]
) -> None:
    """The full form: at every call."""
    # shows: N4 N14 F16
    assert sweep(home, failing, monkeypatch, error, 1) >= 70


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_a_disk_that_fails_while_a_definition_is_mended_leaves_it_as_it_was_or_mended_and_told(
    home: Any, failing: Failing, error: tuple[type[Exception], str]
) -> None:
    """At any write of opening: it says so; the next one mends it, once, and the log has it once."""
    # shows: N4 N7 N14
    home.views = [shelf.STEPS]
    home.fill(3)
    home.sql("DROP TABLE view_steps")
    whole = home.copy("whole")
    failing.calls = 0
    whole.open().close()
    calls = failing.calls
    assert calls > 3
    for point in range(calls):
        home_now = home.copy(f"at-{point}")
        failing.calls, failing.last, failing.error = 0, point, error
        with suppress(LedgerStopped):  # what fails after the commit costs nothing
            home_now.open().close()
        failing.last = 10**9
        with home_now.open() as ledger:
            told = [one.type for one in ledger.read(events.KEYS)]
            assert told == ["ledger.created", "views.drifted", "views.repaired"], f"at {point}"
            assert ledger.compare_views() == []
        assert home_now.verify().problems == [], f"at {point}"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_a_large_payload_that_the_disk_refuses_is_told_and_stops_nobody_else(
    home: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """What lies beside the database comes before the event; where it cannot be written, there is no event."""
    # shows: N4 N14 N16

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    large = "x" * 70_000
    with home.open() as ledger:
        monkeypatch.setattr(blobs, "write_synced", refuse)
        for enter in (ledger.append, ledger.submit, lambda given: asyncio.run(ledger.append_async(given))):
            with pytest.raises(blobs.BlobRefused, match="the disk refused 70,") as caught:
                enter([Draft("queue", step(1, large))])
            assert "try again" in caught.value.hint
        ledger.append([Draft("queue", step(2))])
        monkeypatch.undo()
        ledger.append([Draft("queue", step(1, large))])
        assert [one.event for one in ledger.read("queue")] == [step(2), step(1, large)]
    assert home.verify().problems == []
