"""`daybreak doctor`: what is wrong here, what can be done about it, and that nothing else is touched."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
import typer
from tests.unit.engine_desk import Crash
from typer.testing import CliRunner

from daybreak import events, home
from daybreak.checks.examples import console
from daybreak.cli import doctor
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import Engine, Placement
from daybreak.engine.nights import NIGHTS
from daybreak.factory import health, machine
from daybreak.factory.health import Finding, clock, disk, glance, keys, leftovers, processes, state, tools
from daybreak.factory.health.processes import Process
from daybreak.factory.health.state import Looking
from daybreak.host import files, locks
from daybreak.host.files.paths import WORK
from daybreak.host.locks import FileLocks
from daybreak.host.programs import Platform
from daybreak.host.sandbox import Machine
from daybreak.host.workspaces import Workspaces
from daybreak.ledger import Draft, Ledger
from daybreak.policy.budget import Amounts, Limit

RUN = "run-0123456789abcdef"


class Scene:
    """A home in a temporary folder, with real locks and a real ledger."""

    def __init__(self, root: Path) -> None:
        self.where = Places.below(root, "a test")
        self.views = [*home.views(), *([] if NIGHTS in home.views() else [NIGHTS])]
        self.at = Looking(self.where, SystemClock(), self.views)
        self.locks = FileLocks(self.where.locks, SystemClock())

    @property
    def database(self) -> Path:
        return self.where.ledger / "ledger.db"

    def open(self, views: list[Any] | None = None) -> Ledger:
        where, given = self.where, self.views if views is None else views
        return Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=SystemClock(), views=given)

    def fill(self, count: int = 3) -> None:
        with self.open() as ledger:
            for number in range(count):
                ledger.append([Draft("policy", events.BudgetOpened(account=f"a{number}", limit={"attempts": 1}))])

    def engine(self, ledger: Ledger, code: Any) -> Engine:
        return Engine(ledger, {"kind": code}, self.locks, SystemClock(), os.urandom)

    def state(self) -> dict[str, Finding]:
        """The last finding of each name, and the log's own."""
        return {finding.name: finding for finding in state.look(self.at)}

    def leftovers(self, *roots: Path) -> dict[str, Finding]:
        """Of each name the worst."""
        ranks = ("good", "note", "bad")
        found: dict[str, Finding] = {}
        for finding in leftovers.look(self.at, roots):
            known = found.get(finding.name)
            if known is None or ranks.index(finding.level) > ranks.index(known.level):
                found[finding.name] = finding
        return found

    def sql(self, statement: str) -> None:
        """As somebody with write access to the file."""
        connection = apsw.Connection(str(self.database))
        connection.execute(statement)
        connection.close()

    def tree(self) -> dict[str, bytes]:
        """Every file, but what SQLite keeps beside a database that is open."""
        root = self.where.ledger.parent
        paths = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "home")


def fixed(finding: Finding) -> str:
    """What its repair says that it did."""
    assert finding.fix is not None
    return finding.fix()


# -- the log


def test_where_there_is_nothing_yet_nothing_is_wrong_and_nothing_is_made(scene: Scene) -> None:
    """A first look at a new machine leaves no trace."""
    # shows: N13
    assert scene.state()["log"].level == "note"
    assert not any(finding.level == "bad" for finding in scene.leftovers().values())
    list(disk.look(scene.where))
    list(keys.look(scene.where))
    assert not scene.where.ledger.parent.exists()


def test_a_sound_ledger_is_called_so_and_not_changed(scene: Scene) -> None:
    """Looking writes nothing that stays."""
    # shows: N13
    scene.fill()
    before = scene.tree()
    found = scene.state()
    assert found["log"].level == "good"
    assert "4 events" in found["log"].text
    assert (found["views"].level, found["clock"].level != "bad") == ("good", True)
    list(disk.look(scene.where))
    assert scene.tree() == before


def test_a_look_waits_for_no_running_night(scene: Scene) -> None:
    """Another process is in the middle of a transaction, and more comes in meanwhile: what was committed is told."""
    # shows: N13
    scene.fill()
    with scene.open() as ledger:
        ledger.append([Draft("policy", events.BudgetOpened(account="more", limit={"attempts": 1}))])
        other = apsw.Connection(str(scene.database))
        other.execute("BEGIN IMMEDIATE")
        found = scene.state()
        other.close()
    assert found["log"].level == "good"
    assert "5 events" in found["log"].text


def test_a_disk_that_does_not_let_the_ledger_be_read_is_not_called_damage(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk SQLite cannot make what it needs beside a write-ahead log; without one, it needs nothing."""
    # shows: N13, N14
    scene.fill()

    def refuse(_: Path) -> apsw.Connection:
        raise apsw.IOError("disk I/O error")

    monkeypatch.setattr(glance.database, "connect_reader", refuse)
    assert scene.state()["log"].level == "good"
    Path(f"{scene.database}-wal").write_text("acknowledged events")
    found = scene.state()["log"]
    assert (found.level, found.text[:4]) == ("bad", "L118")
    assert "make room" in found.hint


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_told_and_never_breaks_the_look(scene: Scene, seed: int) -> None:
    """Bytes anywhere in the file are overwritten, or its end is cut off."""
    # shows: N13, N14
    scene.fill(40)
    random, data = Random(seed), bytearray(scene.database.read_bytes())
    if seed % 4 == 0:
        del data[random.randrange(len(data)) :]
    else:
        for _ in range(200):
            data[random.randrange(len(data))] = random.randrange(256)
    scene.database.write_bytes(bytes(data))
    found = list(state.look(scene.at))
    assert any(finding.name in ("log", "views") and finding.level == "bad" for finding in found)
    assert all(finding.hint for finding in found if finding.level == "bad")


def test_a_changed_event_of_late_is_noticed(scene: Scene) -> None:
    """A payload that is not what was signed, in a file that is otherwise whole."""
    scene.fill()
    connection = apsw.Connection(str(scene.database))
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'event%'"):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE event SET payload = CAST('{}' AS BLOB) WHERE leaf = 2")
    connection.close()
    found = scene.state()["log"]
    assert (found.level, found.text[:4]) == ("bad", "L110")


def test_an_old_copy_is_noticed(scene: Scene, tmp_path: Path) -> None:
    """It holds less than was known outside."""
    scene.fill()
    shutil.copytree(scene.where.ledger, tmp_path / "old")
    scene.fill(5)
    shutil.rmtree(scene.where.ledger)
    (tmp_path / "old").rename(scene.where.ledger)
    found = scene.state()["log"]
    assert (found.level, found.text[:4]) == ("bad", "L108")


def test_a_ledger_that_is_gone_is_noticed(scene: Scene) -> None:
    """Its key and its witness tell that there was one."""
    scene.fill()
    shutil.rmtree(scene.where.ledger)
    assert scene.state()["log"].level == "bad"


def test_a_ledger_without_its_witness_is_noticed(scene: Scene) -> None:
    """Without the head kept outside, a cut could not be seen."""
    scene.fill()
    shutil.rmtree(scene.where.witness)
    found = scene.state()["log"]
    assert (found.level, found.text[:4]) == ("bad", "L106")


def test_something_else_in_place_of_the_ledger_is_noticed(scene: Scene) -> None:
    """A database of somebody else's, and a file that is none."""
    scene.fill()
    scene.database.unlink()
    scene.sql("CREATE TABLE mine (x)")
    assert scene.state()["log"].text.startswith("L102")
    scene.database.write_text("dear diary")
    assert scene.state()["log"].level == "bad"


# -- views


def test_views_that_are_behind_are_caught_up(scene: Scene) -> None:
    """Another program appended without them."""
    # shows: N13
    scene.fill()
    with scene.open(views=[]) as ledger:
        ledger.append([Draft("policy", events.BudgetOpened(account="late", limit={"attempts": 1}))])
    found = scene.state()["views"]
    assert found.level == "note"
    assert "accounts" in found.text
    assert "made again" in fixed(found)
    assert scene.state()["views"].level == "good"


def test_a_view_that_somebody_changed_is_made_again(scene: Scene) -> None:
    """It says what no event explains."""
    # shows: N13
    scene.fill()
    scene.sql("UPDATE view_accounts SET attempts_spent = 0, attempts_most = 99 WHERE account = 'a1'")
    found = scene.state()["views"]
    assert (found.level, "accounts" in found.text) == ("bad", True)
    fixed(found)
    assert scene.state()["views"].level == "good"


def test_a_view_of_a_newer_version_is_left_alone(scene: Scene) -> None:
    """Whoever keeps it knows more than we do."""
    scene.fill()
    scene.sql("UPDATE view SET version = 999 WHERE name = 'runs'")
    found = scene.state()["views"]
    assert (found.level, found.fix) == ("bad", None)


# -- what owners left


@pytest.mark.anyio
async def test_a_run_whose_owner_died_is_told_with_what_it_had_set_aside(scene: Scene) -> None:
    """It is no failure: the next night goes on with it."""
    # shows: N13

    def die() -> None:
        raise Crash

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("spend", die, cost=Amounts(attempts=2))

    with scene.open() as ledger:
        engine = scene.engine(ledger, code)
        run = engine.submit("kind", "a task", {}, Placement(budget=Limit(attempts=10)))
        ledger_append = ledger.append_async

        async def append(drafts: Any) -> Any:
            if any(getattr(draft.event, "new", "") == "paused" for draft in drafts):
                raise Crash  # a process that was killed says nothing
            return await ledger_append(drafts)

        ledger.append_async = append  # type: ignore[method-assign]
        with pytest.raises(Crash):
            await engine.supervise(run)
    found = scene.state()
    assert found["run"].level == "note"
    assert "its owner died" in found["run"].text
    assert run in found["run"].hint
    assert (found["budget"].level, run in found["budget"].text) == ("note", True)
    with scene.locks.hold(run):
        held = scene.state()
    assert "run" not in held
    assert "budget" not in held


def test_a_night_that_died_is_told_and_one_that_lives_is_not_disturbed(scene: Scene) -> None:
    """By its lock, which the kernel frees."""
    # shows: N13
    began = events.NightBegan(night="night-1", host=scene.locks.me.host, pid=1, workers=1)
    with scene.open() as ledger:
        ledger.append([Draft("nights", began)])
    with scene.locks.hold("night-1"):
        assert scene.state()["night"].level == "good"
    found = scene.state()["night"]
    assert (found.level, "died without a word" in found.text) == ("note", True)


def test_an_owner_that_ends_during_the_look_is_not_called_dead(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its night was open in the ledger, its lock is free a moment later, and then its end is there."""
    # shows: N13
    began = events.NightBegan(night="night-1", host=scene.locks.me.host, pid=1, workers=1)
    with scene.open() as ledger:
        ledger.append([Draft("nights", began)])
        real = FileLocks.owner

        def ending(self: FileLocks, name: str) -> Any:
            if not ledger.query("SELECT 1 FROM view_nights WHERE ended <> ''"):
                ledger.append([Draft("nights", events.NightEnded(night="night-1", why="empty"))])
            return real(self, name)

        monkeypatch.setattr(FileLocks, "owner", ending)
        assert "night" not in scene.state()


def test_a_supervisor_that_promised_to_beat_and_is_silent_is_bad(scene: Scene) -> None:
    """It holds everything up and does nothing."""
    scene.fill()
    with scene.locks.hold("supervisor") as held:
        held.beat()
        assert "supervisor" not in scene.state()
        os.utime(held.path, (0, 0))
        found = scene.state()["supervisor"]
    assert (found.level, "unlock" in found.hint) == ("bad", True)


# -- leftovers


def test_free_locks_are_removed_and_held_ones_are_not(scene: Scene) -> None:
    """Who had held them is told."""
    # shows: N13
    scene.where.locks.mkdir(parents=True)
    (scene.where.locks / "supervisor.lock").write_text(json.dumps({"pid": 4711, "host": "h", "started": "2026-01-01"}))
    (scene.where.locks / "notes.txt").write_text("mine")
    with scene.locks.hold(RUN):
        found = scene.leftovers()["locks"]
        assert (found.level, "1 lock files" in found.text) == ("note", True)
        assert "process 4711 on h" in fixed(found)
        assert scene.locks.names() == [RUN]
    assert (scene.where.locks / "notes.txt").exists()


def test_folders_of_runs_are_removed_unless_somebody_works_in_them(scene: Scene) -> None:
    """Only folders with a run's name, and never while the run's lock is held."""
    # shows: N13
    other = "run-" + "0" * 16
    for name in (RUN, other, "run-mine", "notes"):
        (scene.where.workspaces / name / "deep").mkdir(parents=True)
    with scene.locks.hold(other):
        found = scene.leftovers()["workspaces"]
        assert RUN in found.text
        with scene.locks.hold(RUN):  # it was taken up between the look and the repair
            assert "0 runs" in fixed(found)
        assert (scene.where.workspaces / RUN).exists()
        assert RUN in fixed(found)
    assert sorted(path.name for path in scene.where.workspaces.iterdir()) == ["notes", other, "run-mine"]


def test_workspaces_of_dead_owners_are_kept_like_failures(scene: Scene, tmp_path: Path) -> None:
    """By the rule of the workspaces; one that is held stays as it is."""
    # shows: N13
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("x")
    spaces = Workspaces(scene.where.workspaces)
    dead, alive = spaces.from_folder(tmp_path / "source"), spaces.from_folder(tmp_path / "source")
    dead.held.release()
    found = scene.leftovers()["workspaces"]
    assert (found.level, dead.id in found.text, alive.id in found.text) == ("note", True, False)
    assert dead.id in fixed(found)
    assert scene.leftovers()["workspaces"].level == "good"
    alive.discard("succeeded")


_INTERRUPTED = """
import os, sys
from daybreak.host.files import Transaction
with Transaction(sys.argv[1], refuse=lambda _: os._exit(9)) as files:
    files.write("one", "new")
    files.write("two", "new")
"""


def test_an_interrupted_change_of_files_is_finished(scene: Scene, tmp_path: Path) -> None:
    """In a folder of the user's, where it had begun: all of it or nothing."""
    # shows: N13, N14
    root = tmp_path / "project"
    root.mkdir()
    for name in ("one", "two", "three"):
        (root / name).write_text("old")
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED, str(root)], timeout=60)
    assert done.returncode == 9
    found = scene.leftovers(root)["transactions"]
    assert (found.level, str(root) in found.text) == ("bad", True)
    assert "completed: one, two" in fixed(found)
    assert [(root / name).read_text() for name in ("one", "two", "three")] == ["new", "new", "old"]
    assert scene.leftovers(root)["transactions"].level == "good"


def test_a_change_of_files_that_is_under_way_is_no_leftover(scene: Scene, tmp_path: Path) -> None:
    """Its lock is seen without being taken."""
    with files.transaction(tmp_path) as change:
        change.write("a", "b")
        found = list(leftovers.look(scene.at, [tmp_path]))
        assert any("under way" in finding.text for finding in found)
        assert not any(finding.level == "bad" for finding in found)
    assert (tmp_path / "a").read_text() == "b"


def test_a_link_in_place_of_the_work_folder_is_left_alone(scene: Scene, tmp_path: Path) -> None:
    """Somebody else has put it there."""
    (tmp_path / "precious").mkdir()
    (tmp_path / WORK).symlink_to(tmp_path / "precious")
    found = scene.leftovers(tmp_path)["transactions"]
    assert (found.level, found.fix) == ("bad", None)


def test_half_written_files_of_dead_writers_are_removed(scene: Scene) -> None:
    """Old ones with exactly our naming; a writer of this moment keeps his."""
    keys_folder = scene.where.keys
    keys_folder.mkdir(parents=True)
    old, new, mine = ".ledger.key.daybreak-0123456789ab", ".x.daybreak-0123456789ab", ".x.daybreak-backup"
    for name in (old, new, mine):
        (keys_folder / name).write_text("x")
    for name in (old, mine):
        os.utime(keys_folder / name, (0, 0))
    fixed(scene.leftovers()["leftovers"])
    assert sorted(path.name for path in keys_folder.iterdir()) == sorted([new, mine])
    assert "leftovers" not in scene.leftovers()


def test_an_interrupted_restore_is_told(scene: Scene) -> None:
    """And where it cannot be completed, that is told and nothing is changed."""
    scene.fill()
    (scene.where.ledger.with_name(".ledger.restore")).write_text("torn")
    found = scene.leftovers()["restore"]
    assert found.level == "bad"
    (repaired,) = health.repair([found])
    assert "restore" in repaired.failed
    assert scene.state()["log"].level == "good"


# -- keys


def test_keys_that_others_may_read_are_closed(scene: Scene) -> None:
    """What they were before is told."""
    # shows: N13
    scene.fill()
    key = scene.where.keys / "ledger.key"
    key.chmod(0o644)
    scene.where.keys.chmod(0o755)
    found = [finding for finding in keys.look(scene.where) if finding.level == "bad"]
    assert len(found) == 2
    assert all("0644 and has 0600" in text or "0755 and has 0700" in text for text in map(fixed, found))
    assert key.stat().st_mode & 0o777 == 0o600
    assert not any(finding.level == "bad" for finding in keys.look(scene.where))


def test_a_link_in_place_of_a_key_is_not_followed(scene: Scene, tmp_path: Path) -> None:
    """Closing it would change somebody else's file."""
    scene.fill()
    precious = tmp_path / "precious"
    precious.write_text("x")
    precious.chmod(0o644)
    key = scene.where.keys / "ledger.key"
    key.unlink()
    key.symlink_to(precious)
    health.repair(keys.look(scene.where))
    assert precious.stat().st_mode & 0o777 == 0o644


def test_a_missing_key_and_a_torn_one_are_told(scene: Scene) -> None:
    """Nothing of a key's text appears."""
    scene.fill()
    key = scene.where.keys / "ledger.key"
    text = key.read_text()
    key.write_text(text[:-9])
    torn = next(finding for finding in keys.look(scene.where) if finding.level == "bad")
    assert text[20:40] not in torn.text
    key.unlink()
    missing = next(finding for finding in keys.look(scene.where) if finding.level == "bad")
    assert "the key that signs it is not" in missing.text


# -- disk and clock


def test_a_full_disk_is_told_and_ends_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for bytes, none for files, none for a probe; the ledger is still read."""
    # shows: N13, N14
    scene.fill()
    real = os.statvfs(scene.where.ledger)
    values = list(real)
    values[4] = values[7] = 10  # f_bavail, f_favail
    monkeypatch.setattr(disk.os, "statvfs", lambda _: os.statvfs_result(values))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk.durable, "write_synced", full)
    bad = [finding.text for finding in disk.look(scene.where) if finding.level == "bad"]
    assert any(text.startswith("only 0 MiB free") for text in bad)
    assert any("more files" in text for text in bad)
    assert any("No space left" in text for text in bad)
    assert scene.state()["log"].level == "good"


def test_a_network_file_system_is_told(tmp_path: Path) -> None:
    """By the mount that lies on top, whatever its name has in it."""
    mounts = tmp_path / "mountinfo"
    place = (tmp_path / "a b").resolve()
    place.mkdir()
    escaped = str(place).replace(" ", "\\040")
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / {escaped} rw,relatime shared:1 - nfs4 host:/x rw\n")
    assert disk.file_system(place, mounts) == "nfs4"
    assert disk.file_system(tmp_path, mounts) == "ext4"
    assert disk.file_system(tmp_path, tmp_path / "none") == ""


def test_a_clock_that_went_back_is_told() -> None:
    """Behind the newest event: a little is worth a note, far is bad."""
    # shows: N13, N14
    now = SystemClock().now()
    levels = [next(clock.look(SystemClock(), (now + timedelta(seconds=by)).isoformat())).level for by in (20, 9999)]
    assert levels == ["note", "bad"]
    assert next(clock.look(SystemClock(), now.isoformat())).level != "bad"
    assert clock.synchronised() in (True, False, None)


# -- processes

_GUARD_ARGV = ("python", "-I", "-S", "-c", "import guard; guard.main(1)", "/x/site-packages/daybreak/host", "3")


def test_only_a_guard_whose_owner_is_gone_is_stranded() -> None:
    """One with an owner, one that has only just lost it and other programs are not."""
    # shows: N13
    guard = Process(7, 1, "python3", _GUARD_ARGV, 500.0)
    init = Process(1, 0, "systemd", ("/sbin/init",), 9e9)
    owner = Process(5, 1, "daybreak", ("python", "-m", "daybreak"), 9e9)
    others = [
        replace(guard, pid=8, parent=5),
        replace(guard, pid=9, age_s=3.0),
        replace(guard, pid=10, argv=("python", "-c", "guard.main(")),
        replace(guard, pid=11, parent=99),
    ]
    found = {process.pid: process for process in (guard, init, owner, *others)}
    assert [process.pid for process in processes.stranded(found)] == [7]


def test_the_guards_of_this_machine_are_recognised(tmp_path: Path) -> None:
    """A real one, as it runs now, has an owner, and bears the mark that is looked for."""
    from daybreak.host.process import DEFAULT_PATH, Guarded

    guarded = Guarded(["/bin/sleep", "30"], cwd=tmp_path, env={"PATH": DEFAULT_PATH}, timeout_s=30)
    try:
        found = {process.pid: process for process in processes.processes()}
        mine = [one for one in found.values() if one.parent == os.getpid() and processes._is_guard(one)]
        assert len(mine) == 1
        assert processes.stranded(found) == []
    finally:
        guarded.close()


def test_processes_in_a_group_of_a_dead_maker_are_found(tmp_path: Path) -> None:
    """A group bears the number of the process that made it; groups of the living are left alone."""
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    child = subprocess.Popen(["/bin/sleep", "60"])
    try:
        for maker in (dead.pid, os.getpid(), "odd"):
            folder = tmp_path / f"daybreak-{maker}-0123456789ab"
            folder.mkdir()
            (folder / "cgroup.procs").write_text(f"{child.pid}\n")
        old = {child.pid: Process(child.pid, 1, "sleep", ("sleep",), 500.0)}
        (found,) = processes.orphan_groups([tmp_path], old)
        assert found == (tmp_path / f"daybreak-{dead.pid}-0123456789ab", [child.pid])
        young = {child.pid: replace(old[child.pid], age_s=1.0)}
        assert list(processes.orphan_groups([tmp_path], young)) == []
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


# -- everything


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without looking for programs, which is shown below and takes a second."""
    monkeypatch.setattr(tools, "look", list)
    monkeypatch.setattr(tools, "sandbox", lambda: Finding("sandbox", "good", "of a test"))


@pytest.mark.usefixtures("quick")
def test_one_look_that_breaks_hides_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even an error of ours becomes a finding."""
    # shows: N13

    def broken(_: object) -> Iterator[Finding]:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(disk, "look", broken)
    found = health.examine(scene.where, SystemClock(), scene.views)
    assert any(finding.text == "could not be looked at: ZeroDivisionError: ours" for finding in found)
    assert {"machine", "mode", "credentials", "log", "locks", "processes"} - {"credentials"} <= {
        finding.name for finding in found
    }


@pytest.mark.usefixtures("quick")
def test_a_night_notes_what_is_not_good(scene: Scene) -> None:
    """What must be acted on with the highest level."""
    scene.fill()
    (scene.where.keys / "ledger.key").chmod(0o644)
    noted = health.for_night(health.examine(scene.where, SystemClock(), scene.views))
    exposed = next(found for found in noted if "signs the ledger" in found.text)
    assert (exposed.level, "chmod 600" in exposed.details["hint"]) == (2, True)
    assert all(found.level in (1, 2) for found in noted)


def test_a_repair_that_fails_is_told_and_the_others_go_on() -> None:
    """Each for itself."""

    def fails() -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    def held() -> str:
        raise locks.LockHeld(Path("x"), None)

    told = health.repair(
        Finding(name, "bad", "x", fix=fix)
        for name, fix in (("a", fails), ("b", held), ("c", lambda: "done"), ("d", None))
    )
    assert [(one.finding.name, one.done, bool(one.failed)) for one in told] == [
        ("a", "", True),
        ("b", "", True),
        ("c", "done", False),
    ]


@pytest.fixture
def cli(scene: Scene, monkeypatch: pytest.MonkeyPatch, quick: None) -> Callable[..., Any]:
    monkeypatch.setenv("DAYBREAK_HOME", str(scene.where.ledger.parent))
    monkeypatch.setattr(machine, "DISK_BYTES_MIN", 0)
    app = typer.Typer()
    app.command()(doctor.doctor)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_the_exit_status_says_whether_something_is_still_wrong(scene: Scene, cli: Callable[..., Any]) -> None:
    """1 until it is repaired; then 0, and each repair is told."""
    # shows: N13
    scene.fill()
    assert cli().exit_code == 0
    (scene.where.keys / "ledger.key").chmod(0o640)
    assert cli().exit_code == 1
    told = json.loads(cli("--json").stdout)
    exposed = [one for one in told if one["level"] == "bad"]
    assert [(one["name"], one["fixable"], one["repaired"]) for one in exposed] == [("credentials", True, None)] * len(
        exposed
    )
    done = cli("--fix", "--json")
    assert done.exit_code == 0
    assert any("had mode 0640" in (one["repaired"] or "") for one in json.loads(done.stdout))
    assert cli("--fix").exit_code == 0


def test_what_is_shown_steers_no_terminal(scene: Scene, cli: Callable[..., Any]) -> None:
    """Names of files may hold anything."""
    name = "x\x1b[2J"
    scene.where.locks.mkdir(parents=True)
    (scene.where.locks / f"{name}.lock").write_text("")
    told = cli("--fix")
    assert told.exit_code == 0
    assert "\x1b[2J" not in told.stdout
    assert not (scene.where.locks / f"{name}.lock").exists()


# -- programs


@pytest.fixture
def bare(tmp_path: Path) -> Platform:
    """A machine that has nothing but apt."""
    return Platform("linux", str(tmp_path), ("apt",), root=True)


def test_every_program_that_we_run_has_a_row() -> None:
    """What is run and not imported can be missing, so it is looked at."""
    # shows: X3
    rows = {finding.name: finding for finding in tools.look()}
    assert {"python", "sqlite", "pytest", "ruff", "mypy", "sh", "git", "bwrap", "strace"} <= rows.keys()
    for name in ("pytest", "ruff", "mypy"):
        assert rows[name].level == "good"
        assert rows[name].text.startswith(f"{name} ")
        assert "wanted >=" in rows[name].text


def test_a_missing_optional_program_is_a_note_with_the_command_that_installs_it(bare: Platform) -> None:
    """Worth knowing, not a failure."""
    git = next(need for need in tools.NEEDS if need.program.startswith("git"))
    found = tools._look_for(git, bare)
    assert (found.name, found.level) == ("git", "note")
    assert found.text.startswith("missing: ")
    assert "apt-get install git" in found.hint


def test_bubblewrap_is_the_one_that_the_sandbox_uses(
    bare: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One on PATH that the sandbox does not look at is no bubblewrap, and one that it uses need not be on PATH."""
    # shows: F15
    shadow = tmp_path / "bwrap"
    shadow.write_text("#!/bin/sh\necho bubblewrap 9.9.9\n")
    shadow.chmod(0o755)
    absent = tools._bubblewrap(Machine(), bare)
    assert (absent.name, absent.level) == ("bwrap", "note")
    assert absent.text.startswith("not installed: ")
    assert "/usr/bin" in absent.text
    assert str(shadow) in absent.text
    assert "apt-get install bubblewrap" in absent.hint
    monkeypatch.setenv("PATH", "/nowhere")
    used = tmp_path / "elsewhere" / "bwrap"
    used.parent.mkdir()
    used.write_text("#!/bin/sh\necho bubblewrap 0.8.1\n")
    used.chmod(0o755)
    found = tools._bubblewrap(Machine(bwrap=str(used)), bare)
    assert (found.level, found.text) == ("good", f"{used}, version 0.8.1")


def test_a_bubblewrap_that_failed_its_trial_is_not_called_good(bare: Platform) -> None:
    """It is there, in a version that fits, and the sandbox cannot use it; then the reason is what counts."""
    # shows: F15
    found = tools._bubblewrap(Machine(bwrap="", bwrap_why="a trial failed: exit 1 no permission"), bare)
    assert found.level == "note"
    assert "no permission" in found.text
    assert "apt-get" not in found.hint


def test_a_missing_needed_program_is_bad(bare: Platform) -> None:
    """Without sh no console example runs."""
    found = tools._look_for(tools.Need("sh", "console examples run in it", needed=True), bare)
    assert found.level == "bad"


def test_a_program_out_of_its_range_is_named_with_both_numbers(bare: Platform, tmp_path: Path) -> None:
    """Too old is said with what is there and what is wanted."""
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 1.8.3\n")
    old.chmod(0o755)
    found = tools._look_for(tools.Need("git>=2.30", "worktrees"), bare)
    assert found.level == "note"
    assert "1.8.3" in found.text
    assert ">=2.30" in found.text


def test_the_sandbox_is_shown_with_what_it_lacks() -> None:
    """Full is good; less is said, layer by layer, with what is then not covered."""
    # shows: F15
    full = tools.sandbox(Machine(bwrap="/usr/bin/bwrap", landlock_abi=6, seccomp=True, own_user=True).mode())
    assert (full.name, full.level) == ("sandbox", "good")
    assert "bubblewrap" in full.text
    less = tools.sandbox(Machine(landlock_abi=3, seccomp=True, groups={"pids": Path("/sys/fs/cgroup/pids")}).mode())
    assert less.level == "note"
    assert "degraded" in less.text
    assert "bubblewrap: not installed" in less.text
    assert "signals" in less.hint


def test_a_module_that_does_not_start_is_bad(bare: Platform) -> None:
    """It comes with Daybreak, so the remedy is to install that again."""
    found = tools._look_for(tools.Need("nonesuch_module", "nothing", needed=True, module=True), bare)
    assert found.level == "bad"
    assert "install Daybreak again" in found.hint


def test_the_shell_is_the_one_that_examples_run_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever PATH says: examples name it by its full path."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert machine.measure(tmp_path).shell == machine.SHELL == console.SHELL
    monkeypatch.setattr(machine, "SHELL", str(tmp_path / "sh"))
    assert any("/bin/sh" in lack for lack in machine.measure(tmp_path).shortages())
