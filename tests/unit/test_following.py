"""Following the log live: every record once and in order, in any process, whatever happens to writers and files."""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import apsw
import pytest
from tests.unit import ledger_home as shelf
from typer.testing import CliRunner

from daybreak.errors import LedgerBehind, LedgerForeign, LedgerMissing, LedgerStopped, LedgerTampered
from daybreak.ledger import Draft, Ledger, Record, bells, database, following
from daybreak.ledger.bells import Bell, Bells
from daybreak.ledger.following import FollowedAnother, Following, follow

Home, step = shelf.Home, shelf.step


@pytest.fixture
def home(tmp_path: Path) -> Any:
    home = Home(tmp_path / "home")
    home.fill(5)
    return home


def take(records: Iterator[Record], count: int) -> list[int]:
    return [next(records).index for _ in range(count)]


def forked(work: Callable[[], object]) -> int:
    """A process of its own that does this and ends, with 0 where nothing was raised. Fork before a ledger is open."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[None]:
    """Done beside the block, and over at its end."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        thread.join(timeout=60)
        assert not thread.is_alive()
    if raised:
        raise raised[0]


def test_it_begins_where_it_is_told_to(home: Any) -> None:
    """With everything, behind an event, or with what comes from now on."""
    with home.open() as ledger:
        with ledger.follow(after=-1) as everything, ledger.follow(after=3) as rest, ledger.follow() as new:
            assert take(everything, 6) == list(range(6))
            assert take(rest, 2) == [4, 5]
            assert new.waiting() == []
            ledger.append([Draft("queue", step(6))])
            for one in (everything, rest, new):
                record = next(one)
                assert (record.index, record.event, one.position) == (6, step(6), 6)
        assert list(everything) == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_follows_without_keeping_the_loop(home: Any, backend: str) -> None:
    """Each task has its own position; a cancelled one disturbs nobody, and goes on later where it stopped."""

    async def watch() -> None:
        seen: dict[int, list[int]] = {number: [] for number in range(5)}
        with home.open() as ledger, ledger.follow(after=5) as kept:

            async def reader(number: int, until: int) -> None:
                with ledger.follow(after=5) as records:
                    async for record in records:
                        seen[number].append(record.index)
                        if record.index == until:
                            return

            async with anyio.create_task_group() as group:
                for number in range(5):
                    group.start_soon(reader, number, 30)
                with anyio.move_on_after(0.05) as scope:
                    await kept.__anext__()
                assert scope.cancelled_caught
                for number in range(25):
                    await ledger.append_async([Draft("queue", step(number))])
            assert all(indexes == list(range(6, 31)) for indexes in seen.values())
            assert (await kept.__anext__()).index == 6

    anyio.run(watch, backend=backend)


def test_other_processes_are_followed_and_follow(home: Any) -> None:
    """Three processes append, two others follow from the begin: all of it, once, in order."""
    # shows: N14

    def write() -> None:
        with home.open() as ledger:
            for number in range(20):
                ledger.append([Draft("queue", step(number))])

    def read() -> None:
        with follow(home.ledger, after=-1) as records:
            assert take(records, 66) == list(range(66))

    readers = [forked(read) for _ in range(2)]
    with follow(home.ledger) as here:
        assert here.interval_s == following.FALLBACK_S
        writers = [forked(write) for _ in range(3)]
        assert take(here, 60) == list(range(6, 66))
    assert [ended(pid) for pid in [*readers, *writers]] == [0] * 5
    assert list((home.ledger / bells.FOLDER).iterdir()) == []


def test_a_reader_sleeps_until_it_is_woken(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the database once for each wake, and while nobody appends not before its fallback interval is over."""
    waits: list[tuple[float, bool]] = []
    wait = Bell.wait

    def waited(self: Bell, seconds: float) -> bool:
        woken = wait(self, seconds)
        waits.append((seconds, woken))
        return woken

    monkeypatch.setattr(Bell, "wait", waited)
    with home.open() as ledger, ledger.follow() as records:
        for number in range(5):
            started = threading.Event()

            def work(number: int = number, started: threading.Event = started) -> None:
                started.wait(30)
                ledger.append([Draft("queue", step(number))])

            with in_thread(work):
                started.set()
                next(records)
    assert all(waited == (following.FALLBACK_S, True) for waited in waits)
    assert len(waits) <= 10


def test_a_writer_killed_before_it_rings_costs_time_and_no_event(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it committed is durable; the reader finds it by itself."""
    # shows: N14
    monkeypatch.setattr(following, "FALLBACK_S", 0.05)

    def write() -> None:
        def die(_: Bells) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(Bells, "ring", die)
        with home.open() as ledger:
            ledger.append([Draft("queue", step(77))])

    with follow(home.ledger) as records:
        pid = forked(write)
        assert next(records).event == step(77)
        assert ended(pid) == -signal.SIGKILL
        with home.open() as ledger:
            ledger.append([Draft("queue", step(78))])
            assert next(records).event == step(78)


def test_a_reader_that_was_killed_leaves_no_bell_hanging(home: Any) -> None:
    """The next writer takes it away; what else lies in that folder is left alone, and opened by nobody."""
    folder = home.ledger / bells.FOLDER

    def read() -> None:
        with follow(home.ledger):
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(forked(read)) == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 1
    (folder / "note").write_text("mine")
    (folder / "link").symlink_to(home.database)
    with home.open() as ledger:
        ledger.append([Draft("queue", step(1))])
    assert {path.name for path in folder.iterdir()} == {"note", "link"}
    assert (folder / "note").read_text() == "mine"


def test_where_no_bell_can_be_hung_up_it_asks(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of somebody else's: the interval is shorter, and everything still comes."""

    def refuse(*_: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "mkfifo", refuse)
    monkeypatch.setattr(following, "ASK_S", 0.02)
    with home.open() as ledger, ledger.follow() as records:
        assert records.interval_s == 0.02
        with in_thread(lambda: ledger.append([Draft("queue", step(1))])):
            assert next(records).event == step(1)


def test_closing_ends_those_who_wait(home: Any) -> None:
    """Of the reader by another thread, and of the ledger that it came from; nothing stays open."""
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    with home.open() as ledger:
        for own in (True, False):
            records = ledger.follow()
            seen: list[Record] = []
            with in_thread(partial(seen.extend, records)):
                (records if own else ledger).close()
            assert seen == []
            assert list(records) == []
            records.close()
        with pytest.raises(LedgerStopped, match="closed"):
            ledger.follow()
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before
    assert list((home.ledger / bells.FOLDER).iterdir()) == []


def test_a_reader_that_was_forgotten_takes_its_bell_along(home: Any) -> None:
    """Nobody closed it, and nobody has it any more."""
    records = follow(home.ledger)
    assert len(list((home.ledger / bells.FOLDER).iterdir())) == 1
    del records
    assert list((home.ledger / bells.FOLDER).iterdir()) == []


def test_folding_the_write_ahead_log_in_loses_nothing(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While readers are behind, in the middle, and at the end."""
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 8)
    with home.open() as ledger, ledger.follow() as quick, ledger.follow() as slow:
        for number in range(60):
            ledger.append([Draft("queue", step(number))])
            if number % 2:
                assert take(quick, 2) == [number + 5, number + 6]
            if number == 30:
                connection = apsw.Connection(str(home.database))
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                connection.close()
        assert take(slow, 60) == list(range(6, 66))


def test_a_ledger_that_shrank_is_noticed(home: Any, tmp_path: Path) -> None:
    """Cut by hand below a reader, or asked from a position that it does not have."""
    # shows: N3
    with pytest.raises(LedgerBehind, match="holds 6 events"):
        follow(home.ledger, after=6)
    with follow(home.ledger, after=-1) as records:
        take(records, 6)
        home.sql("DELETE FROM event WHERE leaf > 3")
        with pytest.raises(LedgerBehind, match="held 6 events and now holds 4"):
            next(records)
    with follow(home.ledger, after=-1) as records:
        home.sql("UPDATE event SET payload = x'7b7d' WHERE leaf = 2")
        with pytest.raises(LedgerTampered, match="event 2"):
            take(records, 4)


def test_a_truncated_write_ahead_log_is_never_read_as_something_else(home: Any) -> None:
    """Cut below a reader that has not read its end yet: an error, not an event that is not there."""
    # shows: N3 N14
    with home.open() as ledger, follow(home.ledger, after=-1) as records:
        assert take(records, 6) == list(range(6))
        ledger.append([Draft("queue", step(6, "x" * 5000))])
        os.truncate(f"{home.database}-wal", 100)
        with pytest.raises((LedgerTampered, LedgerStopped, LedgerBehind)):
            next(records)


def test_another_file_in_its_place_is_noticed(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore puts a new file there; a reader of the old one would wait for ever."""
    monkeypatch.setattr(following, "FALLBACK_S", 0.02)
    other = home.copy("other")
    for replacement in (other.database, None):
        with follow(home.ledger) as records:
            assert records.waiting() == []
            if replacement is None:
                home.database.rename(home.database.with_name("away"))
            else:
                replacement.replace(home.database)
            with pytest.raises(FollowedAnother, match="event 5"):
                next(records)


def test_what_is_no_ledger_is_not_followed(home: Any, tmp_path: Path) -> None:
    """Nothing there, another database, another file: typed, and nothing is made."""
    with pytest.raises(LedgerMissing):
        follow(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    for content, error in ((b"", LedgerForeign), (b"no database" * 100, LedgerTampered)):
        (tmp_path / database.FILE).write_bytes(content)
        with pytest.raises(error):
            follow(tmp_path)
    assert not (tmp_path / bells.FOLDER).exists()


def test_a_bell_that_nobody_hears_never_keeps_a_writer(tmp_path: Path) -> None:
    """Rung until its pipe is full, and beyond."""
    bell, ringing = Bell(tmp_path), Bells(tmp_path)
    for _ in range(70_000):
        ringing.ring()
    assert bell.wait(0)
    bell.hear()
    assert not bell.wait(0)
    ringing.ring()
    assert bell.wait(1)
    bell.close()
    ringing.ring()
    assert ringing._open == {}
    ringing.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EACCES])
def test_a_bell_that_cannot_be_rung_now_stays_and_is_rung_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A writer without descriptors, or without the right, takes no bell away that somebody hears."""
    bell, ringing = Bell(tmp_path), Bells(tmp_path)
    with monkeypatch.context() as patched:
        for name in ("open", "listdir"):
            patched.setattr(os, name, partial(_refused, number))
            ringing.ring()
            assert bell.rung
            patched.undo()
    assert not bell.wait(0)
    os.utime(tmp_path / bells.FOLDER)
    ringing.ring()
    assert bell.wait(1)
    bell.close()
    ringing.close()


def _refused(number: int, *_: object) -> None:
    raise OSError(number, os.strerror(number))


def test_a_writer_that_has_descriptors_again_rings_what_it_could_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its next commit, though nothing has changed in the folder since."""
    monkeypatch.setattr(bells, "_FRESH_NS", -1)
    bell, ringing = Bell(tmp_path), Bells(tmp_path)
    for name in ("open", "listdir"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, partial(_refused, errno.EMFILE))
            ringing.ring()
        assert not bell.wait(0)
    ringing.ring()
    assert bell.wait(1)
    bell.close()
    ringing.close()


def test_a_reader_whose_bell_was_taken_away_asks_more_often(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody rings it any more, so it must not rely on that."""
    monkeypatch.setattr(following, "ASK_S", 0.02)
    with home.open() as ledger, ledger.follow() as records:
        (path,) = (home.ledger / bells.FOLDER).iterdir()
        path.unlink()
        assert records.interval_s == 0.02
        with in_thread(lambda: ledger.append([Draft("queue", step(1))])):
            assert next(records).event == step(1)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def as_nobody(work: Callable[[], object]) -> int:
    """As `forked`, by another user."""

    def dropped() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        work()

    return forked(dropped)


NOBODY = 65534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@only_root
def test_a_reader_that_is_root_is_rung_by_the_user_who_writes(public: Path) -> None:
    """Its pipe takes bytes from whoever may enter the folder."""
    os.chown(public, NOBODY, NOBODY)
    bell = Bell(public)
    os.chown(public / bells.FOLDER, NOBODY, NOBODY)
    assert ended(as_nobody(lambda: Bells(public).ring())) == 0
    assert bell.rung
    assert bell.wait(0)
    bell.close()


@only_root
def test_a_reader_that_may_not_write_there_is_told_what_it_needs(public: Path) -> None:
    """While the ledger is open somewhere it follows; where it is not, SQLite cannot read it so, and that is said."""
    home = Home(public / "home")
    home.fill(3)

    def allow() -> None:
        for path in (home.root, home.ledger, *home.ledger.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def refused(why: str) -> None:
        with pytest.raises(LedgerStopped) as told:
            follow(home.ledger)
        assert why in told.value.message
        assert str(home.ledger) in (told.value.hint or "")

    def followed() -> None:
        os.read(opened, 1)
        with follow(home.ledger, after=-1) as records:
            assert records.interval_s == following.ASK_S
            assert take(records, 5) == list(range(5))

    allow()
    assert ended(as_nobody(lambda: refused("nobody has it open"))) == 0
    opened, tell = os.pipe()
    reader = as_nobody(followed)
    with home.open() as ledger:
        ledger.append([Draft("queue", step(1))])
        allow()
        os.write(tell, b"!")
        assert ended(reader) == 0
    for end in (opened, tell):
        os.close(end)
    Path(f"{home.database}-wal").touch(0o600)
    assert ended(as_nobody(lambda: refused("all that belongs to it"))) == 0


def test_the_command_prints_events_as_they_come(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a position, live, as text and as one JSON document a line; impossible numbers are refused."""
    # shows: P8
    from daybreak.cli import main

    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))

    def run(*words: str) -> Any:
        return CliRunner().invoke(main.app, ["ledger", "follow", *words])

    told = [json.loads(line) for line in run("--from", "4", "--count", "2", "--json").stdout.splitlines()]
    assert [(one["index"], one["type"]) for one in told] == [(4, "step.done"), (5, "step.done")]
    with home.open() as ledger, in_thread(lambda: appended_when_followed(home, ledger)):
        ran = run("--count", "1")
    assert ran.exit_code == 0
    assert ran.stdout.split()[0] == "6"
    for words in (("--from", "-1"), ("--count", "0"), ("--from", "99")):
        assert run(*words).exit_code != 0


def appended_when_followed(home: Any, ledger: Ledger) -> None:
    """As soon as somebody has hung up a bell."""
    folder = home.ledger / bells.FOLDER
    turn = threading.Event()
    while not (folder.is_dir() and [path for path in folder.iterdir() if not path.name.startswith(".")]):
        turn.wait(0.005)
    ledger.append([Draft("queue", step(1))])


def test_following_can_be_had_without_an_open_ledger() -> None:
    """It is one class for both ways."""
    from daybreak import ledger

    assert ledger.follow is follow
    assert ledger.Following is Following
