"""What waits for replicas: a delivery, and a step that must happen once; and what people are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine_desk import Counting, Desk
from tests.unit.ledger_home import step
from typer.testing import CliRunner

from daybreak.cli.main import app
from daybreak.config import Places
from daybreak.engine.flow import Waiting
from daybreak.factory import trust
from daybreak.factory.health import copies
from daybreak.factory.warden import UNREPLICATED, Warden
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.replicas import NotReplicated, Replication
from daybreak.policy.journal import VIEWS
from daybreak.settings import SettingsWrong, read
from daybreak.testing.clock import FakeClock


@pytest.mark.anyio
async def test_a_once_step_begins_only_when_its_intent_is_replicated() -> None:
    """Without enough replicas nothing happens outside: the intent is taken back, the run waits without a worker and
    without an attempt, and later the effect happens once."""
    # shows: N18, N1
    effect = Counting("sent")
    short = [True]

    async def code(ctx: Any, _: Any) -> Any:
        return await ctx.step("send", effect, effect="once")

    desk = Desk(code)

    async def secure() -> None:
        if short[0]:
            raise NotReplicated("0 of 2 replicas hold it", hint="mend them")

    desk.ledger.secure_async = secure  # type: ignore[method-assign]
    for turn in range(1, 3):
        waiting = await desk.resume()
        assert (waiting.state, effect.calls) == ("waiting", 0)
        assert "0 of 2 replicas" in waiting.why
        tried = desk.events("step.tried")[-1]
        assert (tried.kind, tried.tries["attempts"], tried.tries["outages"]) == ("outage", 0, turn)
        assert waiting.until is not None
        await desk.clock.sleep((waiting.until - desk.clock.now()).total_seconds())
    short[0] = False
    done = await desk.resume()
    assert (done.state, done.value, effect.calls) == ("done", "sent", 1)
    assert len(desk.events("step.intended")) == 3


def test_a_delivery_gives_way_while_there_are_too_few_replicas(tmp_path: Path) -> None:
    """The warden says no for a minute, and yes as soon as the replicas have everything."""
    # shows: N18
    places, clock = Places.below(tmp_path / "home", "a test"), FakeClock()
    replica = tmp_path / "gone" / "replica"
    with Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=clock, views=[*VIEWS]) as ledger:
        warden = Warden("run-1", ledger, places, clock)
        ledger.replicate(Replication([str(replica)], deliveries="replicated", wait_s=0.01))
        with pytest.raises(Waiting, match="nothing is delivered: 0 of 1") as held:
            warden.may_deliver(1, tmp_path / "out")
        assert held.value.until == clock.now() + UNREPLICATED
        replica.parent.mkdir()
        ledger.wait_replicated(timeout_s=30)
        assert ledger.replicas is not None
        ledger.replicas.rule = Replication([str(replica)], deliveries="replicated", wait_s=30)
        warden.may_deliver(2, tmp_path / "out")


def test_the_settings_name_targets_and_nobody_elses_file_may(tmp_path: Path) -> None:
    """Folders count from the file; more acknowledgements than targets, and passwords, are refused; a file that came
    with a clone is not obeyed before somebody said yes."""
    # shows: N18, N9
    path = tmp_path / "daybreak.toml"
    path.write_text('[replicas]\ntargets = ["copies", "s3://bucket/x"]\nacknowledge = 2\ndeliveries = "replicated"\n')
    told = read(path)
    assert told.replicas.targets == (str(tmp_path / "copies"), "s3://bucket/x")
    assert [risk for risk in trust.risks(told) if "s3://bucket/x" in risk]
    for wrong, why in [
        ('targets = ["a"]\nacknowledge = 2', "2 of 1"),
        ('deliveries = "replicated"', "without targets"),
        ('targets = ["a", "a"]', "more than once"),
        ('targets = ["a", "s3://a", "./b/../a/"]', r"a is named more than once \(as ./b"),
        (f'targets = ["a", "file://{tmp_path}/a"]', "more than once"),
        ('targets = ["s3://a/b", "s3://a/b/"]', "more than once"),
        ('targets = ["sftp://me:secret@host/x"]', "password"),
        ('target = ["a"]', "did you mean targets"),
    ]:
        path.write_text(f"[replicas]\n{wrong}\n")
        with pytest.raises(SettingsWrong, match=why) as refused:
            read(path)
        assert "secret" not in refused.value.message


def test_the_commands_show_check_and_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`list` exits 1 below the quorum, `check` names what is wrong, `restore` makes a folder that is not there yet."""
    # shows: N18
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*words: str) -> tuple[int, Any]:
        done = runner.invoke(app, ["ledger", "replicas", *words, "--json"])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, json.loads(done.stdout)

    (tmp_path / "disks").mkdir()
    names = [str(tmp_path / "disks" / name) for name in "abc"]
    (tmp_path / "daybreak.toml").write_text(f"[replicas]\ntargets = {json.dumps(names)}\n")
    where = Places.below(tmp_path, "a test")
    with Ledger.open(where.ledger, keys=where.keys, witness=where.witness, clock=FakeClock()) as ledger:
        ledger.replicate(Replication(names, 3))
        ledger.append([Draft("control:a", step(n)) for n in range(9)])
        ledger.wait_replicated(timeout_s=30)
    status, listed = run("list")
    assert (status, listed["replicated"], [one["size"] for one in listed["targets"]]) == (0, True, [10, 10, 10])
    status, checked = run("check")
    assert (status, [one["ok"] for one in checked]) == (0, [True] * 3)
    status, made = run("restore", names[0], str(tmp_path / "back" / "ledger"))
    assert (status, made["events"], made["root"]) == (0, 10, checked[0]["root"])
    (Path(names[1]) / "payload" / "000.p" / "10").write_bytes(b"")
    (Path(names[2]) / "checkpoint").unlink()
    status, checked = run("check")
    assert (status, [one["ok"] for one in checked]) == (1, [True, False, False])
    assert "payload/000.p/10" in checked[1]["problems"][0]["message"]
    (Path(names[1]) / "checkpoint").unlink()
    status, listed = run("list")
    assert (status, listed["replicated"]) == (1, False)
    levels = {finding.name: finding.level for finding in copies.look(where, lambda: read(tmp_path / "daybreak.toml"))}
    assert levels == {"replica": "note", "replicas": "note"}
