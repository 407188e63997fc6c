"""`daybreak snapshot`, through the front door: a home with a real run, copies of it, and the way back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest
from tests import starter

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import RUNS
from daybreak.events import KEYS, LeaseGranted, RunMoved, StepDone, TaskAdded, run_stream
from daybreak.host import locks
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.exchange import TOKEN_KEYS
from daybreak.policy import rootkey

PROGRAM = Path(__file__).with_name("snapshot_program.py")


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """State lies in `folder/home` unless said otherwise."""

    folder: Path
    home: Path

    @property
    def places(self) -> Places:
        return Places.below(self.home, "a test")

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "DAYBREAK_SNAPSHOTS"}
        return {**kept, "DAYBREAK_HOME": str(self.home), "COLUMNS": "200"}

    def __call__(self, *arguments: str | Path) -> Ran:
        words = [str(PROGRAM), *map(str, arguments)]
        ran = Ran(*starter.run(words, folder=self.folder, environment=self.environment(), timeout_s=120))
        assert "Traceback" not in ran.err
        return ran

    def open(self) -> Ledger:
        where = self.places
        return Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=SystemClock(), views=[RUNS])

    def start(self, run: str) -> None:
        """A run that is under way, whose owner is dead."""
        stream = run_stream(run)
        with self.open() as ledger:
            ledger.append(
                [
                    Draft("queue", TaskAdded(task="task-1", run=run, kind="other", title="a task", args={})),
                    Draft(stream, RunMoved(run=run, old="queued", new="queued"), epoch=0),
                    Draft(stream, LeaseGranted(run=run, owner="o", host="elsewhere", pid=1), epoch=1),
                    Draft(stream, RunMoved(run=run, old="queued", new="running"), epoch=1),
                ]
            )

    def go_on(self, run: str) -> None:
        step = StepDone(run=run, branch="", name="step", nth=0, args="", result="x" * 100_000)
        with self.open() as ledger:
            ledger.append([Draft(run_stream(run), step, epoch=1)])

    def types(self, stream: str = KEYS) -> list[str]:
        with self.open() as ledger:
            return [record.type for record in ledger.read(stream)]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(tmp_path, tmp_path / "home")
    made.start("run-one")
    return made


def test_a_copy_is_made_listed_checked_and_remembered(cli: Cli) -> None:
    """Each command says what it did, in words and as JSON, and the ledger remembers."""
    # shows: N15
    made = cli("snapshot", "create", "--json")
    assert made.status == 0, made.err
    told = made.json()
    assert told["ledger"]["size"] == 5
    assert told["keys"] is False
    assert (Path(told["folder"]) / "SHA256SUMS").is_file()
    assert Path(told["folder"]).parent == cli.home / "snapshots"
    words = cli("snapshot", "create")
    assert "6 events" in words.out
    assert "keep a copy of" in words.err
    listed = cli("snapshot", "list", "--json").json()
    assert [one["name"] for one in listed][1] == told["name"]
    checked = cli("snapshot", "verify", told["name"], "--json")
    assert checked.status == 0
    assert checked.json()[0]["ok"] is True
    assert cli("snapshot", "verify", "--all", "--quick").status == 0
    assert cli("snapshot", "restore", "newest", "--check").status == 0
    assert cli.types()[1:] == ["snapshot.created", "snapshot.created", "snapshot.verified", "snapshot.verified"]
    assert cli("ledger", "verify").status == 0


def test_a_damaged_snapshot_is_named_and_never_restored(cli: Cli) -> None:
    """By every command, with exit status 1; and that is remembered too."""
    # shows: N15
    folder = Path(cli("snapshot", "create", "--json").json()["folder"])
    path = folder / "state.tar.zst"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 2
    path.write_bytes(data)
    checked = cli("snapshot", "verify")
    assert checked.status == 1
    assert "NOT usable" in checked.out
    quick = cli("snapshot", "verify", "--quick", "--json")
    assert (quick.status, quick.json()[0]["code"]) == (1, "H221")
    refused = cli("snapshot", "restore", "newest", "--to", cli.folder / "new")
    assert refused.status == 1
    assert "H221" in refused.err
    assert folder.name in refused.err
    assert not (cli.folder / "new").exists()
    assert cli("snapshot", "restore", "newest", "--in-place").status == 1
    (folder / "SHA256SUMS").unlink()
    assert cli("snapshot", "list").status == 1
    assert "DAMAGED" in cli("snapshot", "list").out
    assert cli.types()[-1] == "snapshot.verified"


def test_a_new_home_is_restored_and_works(cli: Cli) -> None:
    """The run waits with its question; resuming it without an answer is refused."""
    # shows: N15
    cli("snapshot", "create", "--store", cli.folder / "elsewhere")
    cli.go_on("run-one")
    new = cli.folder / "new"
    done = cli("snapshot", "restore", "newest", "--to", new, "--store", cli.folder / "elsewhere")
    assert done.status == 0, done.err
    assert "run-one waits for you" in done.err
    assert f"DAYBREAK_HOME={new}" in done.err
    other = Cli(cli.folder, new)
    assert other("ledger", "verify").status == 0
    (row,) = other("runs", "--json").json()
    assert (row["run"], row["state"]) == ("run-one", "parked")
    assert "restored from a copy" in row["question"]
    refused = other("resume", "run-one")
    assert refused.status == 1
    assert "L162" in refused.err
    assert '--answer "go on"' in refused.err
    assert cli("ledger", "verify").status == 0


def test_in_place_keeps_what_was_there(cli: Cli) -> None:
    """A lock of a living supervisor refuses it; then the present is moved aside and the copy takes its place."""
    # shows: N15
    cli("snapshot", "create")
    cli.go_on("run-one")
    with locks.FileLocks(cli.places.locks, SystemClock()).hold("run-one"):
        refused = cli("snapshot", "restore", "newest", "--in-place")
        assert refused.status == 1
        assert "L161" in refused.err
    done = cli("snapshot", "restore", "newest", "--in-place", "--json")
    assert done.status == 0, done.err
    told = done.json()
    assert told["held"] == ["run-one"]
    assert (Path(told["safety"]) / "ledger.db").is_file()
    assert told["known"] == 7
    assert cli("ledger", "verify").status == 0
    assert cli("snapshot", "create").status == 0
    assert cli("snapshot", "verify").status == 0


def test_an_interrupted_restore_is_finished_by_the_next_command(cli: Cli) -> None:
    """Killed at the move of the ledger: no command takes the place for an empty one; the next one completes it."""
    # shows: N15
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    cli("snapshot", "create")
    cli.go_on("run-one")
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=rename"]
    command += ["-P", str(cli.home / "ledger"), "-e", "inject=rename:signal=SIGKILL:when=1"]
    program = [sys.executable, str(PROGRAM), "snapshot", "restore", "newest", "--in-place"]
    killed = subprocess.run([*command, *program], env=cli.environment(), capture_output=True, text=True, check=False)
    assert killed.returncode in (-9, 137), killed.stderr
    listed = cli("runs")
    assert listed.status == 0
    assert "has been finished" in listed.err
    assert cli("ledger", "verify").status == 0
    assert cli("runs", "--json").json()[0]["state"] == "parked"


def test_a_cut_archive_is_listed_as_what_it_is(cli: Cli) -> None:
    """Looking at its size costs nothing; exit 1."""
    # shows: N15
    folder = Path(cli("snapshot", "create", "--json").json()["folder"])
    (folder / "state.tar.zst").write_bytes(b"")
    listed = cli("snapshot", "list")
    assert listed.status == 1
    assert "0 bytes" in listed.out + listed.err


def test_no_token_outlives_a_restore(cli: Cli, tmp_path: Path) -> None:
    """What was revoked after the copy is not known to the new log, so the key that signed it goes."""
    # shows: N9 N15
    assert set(TOKEN_KEYS) == {rootkey.SECRET, rootkey.PUBLIC}
    cli("snapshot", "create")
    work = tmp_path / "work"
    work.mkdir()
    mint = (
        "token",
        "mint",
        "--run",
        "run-1",
        "--attempt",
        "1",
        "--tier",
        "work",
        "--workspace",
        str(work),
        "--for",
        "1h",
    )
    text = cli(*mint).out.strip()
    assert cli("token", "show", text).status == 0
    assert cli("snapshot", "restore", "newest", "--in-place").status == 0
    assert not (cli.home / "keys" / rootkey.SECRET).exists()
    assert cli("token", "show", text).status != 0


def test_pruning_shows_its_plan_and_asks(cli: Cli) -> None:
    """Without a terminal nobody can be asked, so it takes --yes; the newest that is good stays."""
    # shows: N15
    names = [cli("snapshot", "create", "--json").json()["name"] for _ in range(3)]
    dry = cli("snapshot", "prune", "--keep-daily", "1", "--dry-run", "--json")
    assert sorted(dry.json()["to_remove"]) == sorted(names[:2])
    refused = cli("snapshot", "prune", "--keep-daily", "1")
    assert refused.status == 2
    assert "nobody can be asked" in refused.err
    assert len(cli("snapshot", "list", "--json").json()) == 3
    done = cli("snapshot", "prune", "--keep-daily", "1", "--yes")
    assert done.status == 0
    assert f"keep    {names[2]}" in done.out
    assert cli.types()[-1] == "snapshots.pruned"
    assert [one["name"] for one in cli("snapshot", "list", "--json").json()] == [names[2]]
    rotated = cli("snapshot", "create", "--prune", "--json")
    assert rotated.json()["pruned"] == [names[2]], "two of one day"


def test_pruning_on_a_terminal_takes_no_for_an_answer(cli: Cli) -> None:
    """The question is asked after the plan was shown."""
    for _ in range(2):
        cli("snapshot", "create")
    child = pexpect.spawn(
        sys.executable,
        [str(PROGRAM), "snapshot", "prune", "--keep-daily", "1"],
        env=cli.environment(),
        cwd=str(cli.folder),
        timeout=30,
        encoding="utf-8",
    )
    child.expect("remove  2")
    child.expect(r"remove 1\?")
    child.sendline("n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    assert len(cli("snapshot", "list", "--json").json()) == 2


def test_wrong_usage_is_named(cli: Cli, tmp_path: Path) -> None:
    """No place to restore to, two of them, no such snapshot, no ledger, an unwritable store."""
    assert cli("snapshot", "restore", "newest").status == 2
    assert cli("snapshot", "restore", "newest", "--to", "x", "--in-place").status == 2
    missing = cli("snapshot", "restore", "newest", "--to", "x")
    assert (missing.status, "H222" in missing.err) == (2, True)
    unknown = cli("snapshot", "verify", "--json")
    assert (unknown.status, unknown.json()["error"]["code"]) == (2, "H222")
    empty = Cli(tmp_path, tmp_path / "empty")
    assert "U112" in empty("snapshot", "create").err
    assert not (tmp_path / "empty").exists()
    unusable = cli("snapshot", "create", "--store", "/proc/daybreak", "--json")
    assert unusable.json()["error"]["code"] == "H223"


def test_keys_are_in_it_only_when_asked_for(cli: Cli) -> None:
    """With a warning; then everything else may be lost."""
    # shows: N15
    made = cli("snapshot", "create", "--with-keys", "--store", cli.folder / "elsewhere")
    assert "can forge the log" in made.err
    shutil.rmtree(cli.home)
    fresh = Cli(cli.folder, cli.folder / "fresh")
    done = fresh("snapshot", "restore", "newest", "--to", fresh.home, "--store", cli.folder / "elsewhere")
    assert done.status == 0, done.err
    assert fresh("ledger", "verify").status == 0
    without = cli("snapshot", "restore", "newest", "--to", "x", "--store", cli.folder / "elsewhere", "--without-key")
    assert without.status == 0


def test_help_has_examples(cli: Cli) -> None:
    """Each command shows how it is used."""
    for command in ("create", "list", "verify", "restore", "prune"):
        shown = cli("snapshot", command, "--help")
        assert shown.status == 0
        assert f"daybreak snapshot {command}" in shown.out
