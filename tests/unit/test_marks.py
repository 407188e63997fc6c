"""*Witnessed* and *replicated*, as status and reports show them: from what is kept here, nobody being asked."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.ledger_home import step
from tests.unit.witness_desk import cosigner, register
from typer.testing import CliRunner

from daybreak import home as homes
from daybreak.cli.main import app
from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.events import POLICY, IncidentRaised, TaskAdded
from daybreak.factory.health import witnesses
from daybreak.factory.witnessing import beside
from daybreak.home import marks
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.witness.kept import Kept
from daybreak.ledger.witness.server import WitnessServer
from daybreak.report import marks as marking


class Desk:
    """A home with a `daybreak.toml`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places.below(root, "a test")

    def say(self, text: str) -> None:
        (self.root / "daybreak.toml").write_text(text)

    def append(self, count: int) -> None:
        """Behind the back of witnesses and replicas."""
        where = self.places
        with Ledger.open(
            where.ledger, keys=where.keys, witness=where.witness, clock=SystemClock(), views=homes.views()
        ) as ledger:
            ledger.append([Draft("control:x", step(n)) for n in range(count)])

    def ask(self) -> int:
        """Show the newest head to all witnesses, and copy to all replicas; the size."""
        with homes.opened() as opened:
            panel = beside(opened.ledger, opened.settings, self.places.witness, SystemClock(), {})
            panel.sync(30)
            panel.close()
            if opened.ledger.replicas is not None:
                opened.ledger.wait_replicated(timeout_s=30)
            return opened.ledger.head().size

    def run(self, *words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    def status(self) -> tuple[dict[str, Any], str]:
        return json.loads(self.run("status", "--json"))["marks"], self.run("status")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def test_nothing_is_said_where_nothing_is_configured(desk: Desk) -> None:
    """No line about witnesses and replicas that nobody has named."""
    # shows: N3 N18
    desk.append(3)
    told, text = desk.status()
    assert (told["witnessed"], told["replicated"]) == (None, None)
    assert "witnessed" not in text
    assert "replicated" not in text


def test_a_head_file_and_a_replica_that_lie_behind_are_told_with_how_far(desk: Desk) -> None:
    """By whom, when, how many events behind; the head file signs nothing, so nothing of it is called proved."""
    # shows: N3 N18
    task = TaskAdded(task="t", run="run-1", kind="command", title="one", args={})
    desk.say(
        '[witnesses.vault]\nkind = "file"\npath = "vault"\n[witness]\nrequired = ["vault"]\n'
        '[replicas]\ntargets = ["one", "two"]\nacknowledge = 1\n'
    )
    (desk.root / "vault").mkdir()
    with homes.opened() as opened:
        opened.ledger.append([Draft("queue", task)])
    size = desk.ask()
    told, text = desk.status()
    assert told["size"] == size
    assert (told["witnessed"]["remembered"], told["witnessed"]["behind"], told["witnessed"]["proved"]) == (size, 0, 0)
    assert (told["replicated"]["size"], told["replicated"]["behind"]) == (size, 0)
    assert f"witnessed: {size} of {size} events (everything), as remembered of vault, last asked 20" in text
    assert f"replicated: {size} of {size} events (everything), as acknowledged; 2 of 2 targets hold, 1 must" in text
    report = json.loads(desk.run("report", "run-1", "--json"))["marks"]
    assert (report["witnessed"]["covered"], report["replicated"]["covered"]) == (True, True)

    desk.append(4)
    shutil.rmtree(desk.root / "two")
    with homes.open_ledger(looking=True) as ledger:
        raised = IncidentRaised(incident="i", kind="k", level=1, what="w", run="run-1")
        ledger.append([Draft(POLICY, raised)])
    told, text = desk.status()
    assert (told["witnessed"]["remembered"], told["witnessed"]["behind"]) == (size, 5)
    assert (told["replicated"]["size"], told["replicated"]["behind"]) == (size, 5)
    assert f"{size} of {size + 5} events (5 behind)" in text
    assert f"replica {desk.root / 'two'} is not whole" in text
    assert "1 of 2 targets hold, 1 must" in text
    lines = desk.run("report", "run-1").replace("\n", " ")
    assert lines.count(f"this report ends at event {size + 4}, NOT covered") == 2
    assert "## Kept elsewhere" in desk.run("report", "run-1", "--markdown")
    assert sorted(path.name for path in desk.root.iterdir() if path.name == "two") == [], "looking copies nothing"


def test_a_signature_is_proved_and_what_was_only_written_down_is_not(desk: Desk) -> None:
    """The file that says how a witness stands can be changed by anybody; its cosignature cannot, and is checked."""
    # shows: N3
    desk.append(5)
    with homes.open_ledger() as ledger:
        verifier = ledger.verifier
    server = WitnessServer(("127.0.0.1", 0), register(desk.root / "w", verifier))
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        desk.say(
            f'[witnesses.far]\nkind = "tlog"\naddress = "http://127.0.0.1:{server.server_address[1]}"\n'
            f'key = "{cosigner().key.text}"\n[witness]\nrequired = ["far"]\n'
        )
        size = desk.ask()
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    told, text = desk.status()  # nobody answers there any more
    assert (told["witnessed"]["remembered"], told["witnessed"]["proved"]) == (size, size)
    assert f"proved by signatures kept here: {size}" in text
    kept = Kept(desk.places.witness, verifier)
    kept.stand(msgspec.structs.replace(kept.standings()["far"], size=9_999))
    (note,) = (kept.folder / "cosigned").glob("*.note")
    told, text = desk.status()
    assert (told["witnessed"]["remembered"], told["witnessed"]["proved"]) == (9_999, size)
    changed = note.read_text().replace("— w.example/1 ", "— w.example/1 AAAA")
    note.write_text(changed)
    told, text = desk.status()
    assert told["witnessed"]["proved"] == 0
    assert "proved by signatures kept here: 0" in text
    kept.stand(msgspec.structs.replace(kept.standings()["far"], size=2, state="failing", code="L181", why="silence"))
    _, text = desk.status()
    assert "witness far (tlog, required): failing: L181 silence" in text


def test_a_hostile_standing_is_none_and_one_that_contradicts_counts_for_nothing(desk: Desk) -> None:
    """Whoever may write beside the head file breaks no command by it; a witness that says that the ledger was cut
    witnesses nothing, whatever it had before, wherever that is told."""
    # shows: N3 N8
    desk.say('[witnesses.vault]\nkind = "file"\npath = "vault"\n[witness]\nrequired = ["vault"]\n')
    (desk.root / "vault").mkdir()
    desk.append(3)
    size = desk.ask()
    with homes.open_ledger(looking=True) as ledger:
        kept = Kept(desk.places.witness, ledger.verifier)
    path, well = kept.folder / "standing" / "vault.json", kept.standings()["vault"]
    for change in (
        {"at": "yesterday"}, {"at": "0001-01-01T00:00:00+14:00"}, {"at": "2026-11-21"}, {"since": "\x1b[2J"},
        {"size": -5}, {"failures": -1},
    ):  # fmt: skip
        path.write_bytes(msgspec.json.encode({**msgspec.structs.asdict(well), **change}))
        assert kept.standings() == {}, change
        told, text = desk.status()
        assert told["witnessed"]["remembered"] == 0, change
        assert "was never reached" in text
    kept.stand(msgspec.structs.replace(well, state="contradicts", code="L182", why="it was cut"))
    told, text = desk.status()
    assert (told["witnessed"]["remembered"], told["witnessed"]["at"]) == (0, "")
    assert "contradicts: L182 it was cut" in text
    with homes.opened(looking=True) as opened:
        panel = beside(opened.ledger, opened.settings, desk.places.witness, SystemClock(), {})
        assert panel.witnessed == 0
        assert [one.size for one in panel.standings] == [size], "what it had is still known"
        findings = list(witnesses.look(desk.places, SystemClock(), lambda: opened.settings))
        panel.close()
    assert [one.text for one in findings if one.level == "good"] == [
        "0 events are witnessed by the rule of daybreak.toml"
    ]
    assert json.loads(desk.run("ledger", "witness", "list", "--json"))["witnessed"] == 0


def test_status_opens_no_connection_and_starts_no_thread(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Witnesses and targets that are far away are told of from memory, in the time that a file takes."""
    # shows: N3 N18
    desk.say(
        f'[witnesses.far]\nkind = "tlog"\naddress = "http://192.0.2.1:9"\nkey = "{cosigner().key.text}"\n'
        '[witness]\nrequired = ["far"]\n[replicas]\ntargets = ["s3://bucket/x"]\n'
    )
    desk.append(2)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("DAYBREAK_TRUST", "all")
    with homes.opened(looking=True) as opened:
        assert opened.problem is None, opened.problem
        seen = marks.look(opened)
        assert [thread.name for thread in threading.enumerate() if thread.name[:8] in ("witness-", "ledger-r")] == []
        assert opened.ledger.replicas is None
    assert seen.witnessed is not None
    assert seen.replicated is not None
    assert (seen.witnessed.remembered, seen.witnessed.witnesses[0].problem) == (0, "was never reached")
    assert seen.replicated.targets[0].problem == "was never copied to"
    assert marking.lines(seen)[0].startswith("witnessed: 0 of ")
