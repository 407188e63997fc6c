"""`daybreak build` through the front door: what is promised to the person who hands over a specification."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration import daybreak_cli
from tests.integration.daybreak_cli import Cli, Ran

from daybreak.host.sandbox import detect

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


ONE_EXAMPLE = daybreak_cli.ONE_EXAMPLE.replace("{holdout}", "0")
OURS = ("daybreak.manifest.json", "daybreak.provenance.json")
LIARS, SCRIPTED = HERE / "workers" / "liars.py", HERE / "workers" / "scripted.py"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def builder(cli: Cli, types_cache: Path) -> Cli:
    """For builds that come as far as the types."""
    return cli.knowing(types_cache)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, types_cache: Path) -> Cli:
    """A small specification, built once; tests that change it work on a copy."""
    cli = Cli(tmp_path_factory.mktemp("built")).knowing(types_cache)
    ran = cli("build", cli.spec(), "--output", "result", "--json")
    assert ran.status == 0, ran.out + ran.err
    return cli


@pytest.fixture
def copy(built: Cli, tmp_path: Path) -> Cli:
    copied = Cli(tmp_path / "copy")
    shutil.copytree(built.folder, copied.folder)
    shutil.copytree(built.home, copied.home, symlinks=True)
    return copied


def story(cli: Cli, run: str) -> list[dict[str, Any]]:
    """The events of a run's own stream."""
    return [event for event in cli("ledger", "show", run, "--json").json() if event["stream"] == f"run:{run}"]


# -- the way that goes well


def test_a_specification_becomes_a_program_that_runs(built: Cli) -> None:
    """What is delivered does what the specification says, outside of Daybreak."""
    # shows: F1 P1
    command = [sys.executable, "-c", "import sys; from notes.cli import main; sys.exit(main())"]
    environment = {**os.environ, "PYTHONPATH": str(built.folder / "result" / "src"), "NOTES_DB": ":memory:"}
    ran = subprocess.run([*command, "note", "add", "--text", "x"], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "added note 1\n"), ran.stderr


def test_the_report_names_the_evidence_of_every_requirement(built: Cli) -> None:
    """Each requirement is shown, and by which event."""
    # shows: N2
    (run,) = built("runs", "--json").json()
    report = built("report", run["run"], "--json").json()  # without a run it is the morning report
    assert report["state"] == "done"
    assert [(line["id"], line["verdict"]) for line in report["requirements"]] == [
        ("FR-001", "shown"),
        ("FR-002", "shown"),
        ("FR-003", "shown"),
    ]
    events = {f"{event['stream']}#{event['seq']}": event for event in built("ledger", "show", "--json").json()}
    for line in report["requirements"]:
        for place in line["evidence"]:
            assert line["id"] in events[place]["payload"]["evidence"]["requirements"]


def test_the_manifest_has_the_hash_of_every_delivered_file(built: Cli) -> None:
    """Nothing is delivered that the manifest does not name, and every hash is right."""
    # shows: F12
    result = built.folder / "result"
    manifest = json.loads((result / "daybreak.manifest.json").read_text())
    on_disk = {
        str(path.relative_to(result)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in result.rglob("*")
        if path.is_file() and path.name not in OURS and path.parent.name != "__pycache__"
    }
    assert manifest["files"] == on_disk


def test_the_ledger_of_a_build_is_whole(built: Cli) -> None:
    """`ledger verify` finds nothing wrong after a build."""
    # shows: N3
    ran = built("ledger", "verify", "--json")
    assert ran.status == 0, ran.out
    assert ran.json()["ok"] is True


def test_runs_show_and_doctor_tell_the_same_story(built: Cli) -> None:
    """The run is listed as done, shown with its checks, and the doctor finds nothing unfinished."""
    [row] = built("runs", "--json").json()
    assert row["state"] == "done"
    assert "tests" in built("show", row["run"][:8]).out
    assert all(finding["name"] != "run" for finding in built("doctor", "--json").json())


def test_plan_builds_nothing(cli: Cli) -> None:
    """A plan is shown and nothing is done."""
    # shows: F4
    ran = cli("plan", cli.spec(), "--json")
    assert ran.status == 0, ran.err
    plan = ran.json()
    assert plan["entities"] == ["Note"]
    assert [step["name"] for step in plan["steps"]][-2:] == ["gate", "deliver"]
    assert not (cli.folder / "notes").exists()
    assert not (cli.home / "ledger").exists()


@pytest.mark.parametrize(
    "name",
    ["expenses", *(pytest.param(name, marks=pytest.mark.chaos) for name in ("todo", "library"))],
)
def test_the_example_specifications_are_built_and_verified(name: str, builder: Cli) -> None:
    """Each specification that we ship becomes a verified project."""
    ran = builder("build", ROOT / "examples" / name / "spec.md", "--output", "out", "--json")
    assert ran.status == 0, ran.out[-3000:] + ran.err
    report = ran.json()
    assert all(line["verdict"] == "shown" for line in report["requirements"] if line["must"])
    assert (builder.folder / "out" / "README.md").exists()


def test_the_attempt_and_the_delivery_each_had_a_token(built: Cli) -> None:
    """Minted for them alone, and in the ledger."""
    # shows: N9
    tokens = built("token", "show", "--json").json()
    run = built("runs", "--json").json()[0]["run"]
    assert sorted((one["tier"], one["run"], one["attempt"]) for one in tokens) == [
        ("deliver", run, 1),
        ("work", run, 1),
    ]


# -- workers that are not to be believed

SAYS = {
    "Crashes": "fell over",
    "Vanishes": "without a claim",
    "ForgesOurLines": "only the forged line",
    "SpeaksToTheTerminal": r"\x1b[32mverified and delivered",
    "SpeaksGibberish": "no claim",
    "LinksOutside": "README.md is a symbolic link",
    "BringsItsOwnManifest": "belongs to the delivery",
    "ClaimsOnly": "structure",
    "SwapsItsWorkspace": "structure",
    "InjectsIntoItsFindings": "1 failed: tests/test_order.py",
    "WritesAnEmptyShell": "failed FR-001 adding",
    "DropsItsTests": "no test was executed",
}
"""What is told of each liar."""


@dataclass(frozen=True)
class Gauntlet:
    """A build that asked all liars, one after another."""

    cli: Cli
    ran: Ran
    told: dict[str, str]
    """What was said about each of them, from their claims on."""


@pytest.fixture(scope="module")
def gauntlet(tmp_path_factory: pytest.TempPathFactory, types_cache: Path) -> Gauntlet:
    """One build for all of them: what it costs to begin one is paid once."""
    cli = Cli(tmp_path_factory.mktemp("gauntlet")).knowing(types_cache)
    shutil.copy(LIARS, cli.folder)
    spec = cli.spec(ONE_EXAMPLE.replace("holdout: 0", "holdout: 0\nbudget: {time: 10m, attempts: 20}"))
    workers = [word for liar in SAYS for word in ("--worker", f"liars.py:{liar}")]
    ran = cli("build", spec, "--output", "result", *workers)
    told: dict[str, str] = {}
    for part in re.split(r"^attempt \d+: (?=\S+ claims )", ran.err, flags=re.MULTILINE)[1:]:
        part = re.split(r"^attempt \d+: \S+ is asked|^failed: ", part, flags=re.MULTILINE)[0]
        liar = part.partition(" claims ")[0].rpartition(":")[2]
        told[liar] = f"{told.get(liar, '')} {' '.join(part.split())}"
    return Gauntlet(cli, ran, told)


@pytest.mark.parametrize("liar", SAYS)
def test_a_lying_worker_is_not_believed(liar: str, gauntlet: Gauntlet) -> None:
    """Whatever a worker claims, its attempt fails, and why is told."""
    # shows: F1 X6
    assert SAYS[liar] in gauntlet.told[liar]
    assert "gate: passed" not in gauntlet.told[liar]


def test_a_build_that_only_liars_worked_on_fails_and_delivers_nothing(gauntlet: Gauntlet) -> None:
    """Twelve claims later."""
    # shows: F1 X6
    assert gauntlet.ran.status == 1, gauntlet.ran.out + gauntlet.ran.err
    assert not (gauntlet.cli.folder / "result").exists()


def test_a_hostile_worker_reaches_neither_the_factory_nor_the_terminal(gauntlet: Gauntlet) -> None:
    """Nothing of ours is taken for its result, nothing it says steers a terminal or floods one, and no run breaks."""
    # shows: N9 F1
    said = gauntlet.ran.out + gauntlet.ran.err
    assert "\x1b" not in said
    assert len(gauntlet.told["SpeaksToTheTerminal"]) < 20_000
    assert len(said) < 100_000
    assert "X000" not in said
    home = gauntlet.cli.home
    kept = [path for path in (home / "ledger").rglob("*") if path.is_file()]
    secrets = [path.read_bytes() for path in (home / "keys").iterdir() if path.suffix == ".key"]
    assert secrets
    assert not [path for path in kept for secret in secrets if secret in path.read_bytes()]


def test_orders_in_what_a_worker_left_behind_are_an_incident(gauntlet: Gauntlet) -> None:
    """What its tests print enters the next brief, so it is looked at first; the report tells it."""
    # shows: N9
    incidents = gauntlet.cli("incidents", "list", "--json").json()
    assert {one["kind"] for one in incidents} == {"injection_marked"}
    assert "injection marked" in gauntlet.cli("report").out


def test_a_worker_that_learns_is_delivered_only_when_it_is_right(builder: Cli) -> None:
    """It lies, then breaks what it builds, then does it right: three attempts, one delivery, and the reasons kept.
    Neither what it was given, with what was found before, nor what is delivered holds a held-out example."""
    # shows: X6
    (builder.folder / "daybreak.toml").write_text("[gate]\ngain = 0\n")  # what is broken scores less than nothing
    spec = builder.spec(holdout=0.67)
    worker = f"{SCRIPTED}:LearnsAndKeepsItsBriefs"
    ran = builder("build", spec, "--output", "result", "--worker", worker, "--json")
    assert ran.status == 0, ran.out + ran.err
    result = builder.folder / "result"
    assert (result / "daybreak.manifest.json").exists()
    steps = builder("steps", "--json").json()
    assert [step["nth"] for step in steps if step["name"] == "attempt"] == [0, 1, 2]

    brief = json.loads((result / "brief.json").read_text())
    assert brief["attempt"] == 3
    assert brief["findings"], "of the attempt before"
    titles = ["### FR-001 adding", "### FR-002 listing", "### FR-003 deleting"]
    held_out = {line["what"].partition(" (")[0] for line in ran.json()["checks"] if line["held_out"]}
    assert len(held_out) == 2
    assert sum(title in brief["specification"] for title in titles) == 1
    for title in held_out:
        assert title not in json.dumps(brief)
    for path in result.rglob("*"):
        if path.is_file():
            assert "goodbye" not in path.read_text() or "goodbye" in brief["specification"]


def test_a_worker_reaches_nothing_but_its_brief_and_its_workspace(cli: Cli) -> None:
    """Not the ledger, its key, the specification with the held-out examples, another workspace, or a server here."""
    # shows: N9
    if detect().mode().strength != "full":
        pytest.skip(f"no full sandbox here: {detect().mode().words}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = LIARS.read_text().replace("PORT = 9", f"PORT = {server.getsockname()[1]}")
        (cli.folder / "liars.py").write_text(worker)
        ran = cli(
            "build",
            cli.spec(ONE_EXAMPLE),
            "--output",
            "result",
            "--worker",
            "liars.py:LooksAround",
            "--sandbox",
            "full",
        )
    assert ran.status == 1
    assert "reached: []" in ran.out + ran.err
    assert not list(cli.folder.rglob("footprint"))


def without_bubblewrap(cli: Cli, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line in a mount namespace of the test, where bubblewrap cannot be started."""
    bwrap = shutil.which("bwrap")
    if os.geteuid() != 0 or bwrap is None:
        pytest.skip("root can hide bubblewrap, others cannot" if bwrap else "there is no bubblewrap to hide")
    hidden = f'mount --bind /dev/null {bwrap} && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hidden, "sh", *cli.command(*arguments)]
    return subprocess.run(
        command, cwd=cli.folder, env=cli.environment(), capture_output=True, text=True, timeout=240, check=False
    )


def test_a_sandbox_that_is_not_there_is_not_replaced_by_a_weaker_one(cli: Cli) -> None:
    """Without bubblewrap `--sandbox full` starts nothing, and says what to install."""
    # shows: N9
    spec = cli.spec()
    ran = without_bubblewrap(cli, "build", spec, "--sandbox", "full")
    assert ran.returncode == 1
    assert "a full sandbox is wanted" in ran.stderr
    assert "install bubblewrap" in " ".join(ran.stderr.split())
    assert not (cli.folder / "notes").exists()
    assert cli("build", spec, "--sandbox", "strong").status == 2


def test_without_bubblewrap_a_project_is_built_in_a_weaker_sandbox_that_is_named(builder: Cli) -> None:
    """The kernel's own means are used, and the plan says what they do not cover."""
    # shows: N9
    ran = without_bubblewrap(builder, "build", builder.spec(ONE_EXAMPLE), "--output", "result")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "sandbox degraded" in " ".join(ran.stderr.split())
    assert "not covered" in ran.stderr
    assert (builder.folder / "result" / "daybreak.manifest.json").is_file()


# -- questions


def test_a_build_that_has_questions_parks_until_they_are_answered(builder: Cli) -> None:
    """[NEEDS CLARIFICATION] is asked before any work; with --assume the build goes on and the assumption is reported.
    A MUST without an example is asked about at the end; the answer costs only the delivery."""
    text = ONE_EXAMPLE.replace("- **FR-001**", "- **FR-004**: System MUST be pleasant\n- **FR-001**")
    text = text.replace("Short texts", "[NEEDS CLARIFICATION: how short?] Short texts")
    ran = builder("build", builder.spec(text), "--output", "result")
    assert ran.status == 3, ran.out + ran.err
    assert "how short?" in ran.out
    asked = [event for event in builder("ledger", "show", "--json").json() if event["type"] == "step.done"]
    assert not [event for event in asked if event["payload"]["name"].startswith(("prove", "check", "attempt"))]

    ran = builder("build", builder.spec(text), "--output", "result", "--assume", "--json")
    assert ran.status == 3, ran.out + ran.err
    assert "how short?" in ran.json()["plan"]["assumptions"][0]
    assert "FR-004" in ran.out
    assert not (builder.folder / "result").exists()
    run = ran.json()["run"]
    kept = story(builder, run)
    ran = builder("resume", run, "--accept-unshown")
    assert ran.status == 0, ran.out + ran.err
    assert (builder.folder / "result" / "daybreak.manifest.json").exists()
    after = story(builder, run)
    assert after[: len(kept)] == kept
    more = [event["payload"]["name"] for event in after[len(kept) :] if event["type"] == "step.done"]
    assert "deliver" in more
    assert not [name for name in more if name.startswith(("check", "attempt"))]


def test_an_example_that_proves_nothing_is_named_and_fails_the_build(cli: Cli) -> None:
    """An example that a program which does nothing passes is no proof."""
    vacuous = "\n### FR-001 listing\n```console\n$ notes note list > /dev/null\n```\n"
    ran = cli("build", cli.spec(ONE_EXAMPLE + vacuous))
    assert ran.status == 1, ran.out + ran.err
    assert "FR-001 listing" in ran.out + ran.err
    assert "FR-001 adding" not in ran.out
    assert "prove nothing" in ran.out


# -- what is the user's stays the user's


def test_a_folder_that_is_not_ours_is_never_touched(cli: Cli) -> None:
    """A target with other things in it is refused before any work."""
    # shows: F12
    (cli.folder / "result").mkdir()
    (cli.folder / "result" / "thesis.txt").write_text("mine")
    ran = cli("build", cli.spec(), "--output", "result")
    assert ran.status == 1
    assert "D1" in ran.err
    assert (cli.folder / "result" / "thesis.txt").read_text() == "mine"
    assert not (cli.home / "ledger").exists(), "refused before any work"


def test_a_delivery_that_was_changed_is_not_overwritten(copy: Cli) -> None:
    """A file edited after delivery makes the next build refuse, naming it."""
    readme = copy.folder / "result" / "README.md"
    readme.write_text(readme.read_text() + "\nmy own words\n")
    ran = copy("build", copy.folder / "notes.md", "--output", "result")
    assert ran.status == 1
    assert "README.md" in ran.err
    assert "my own words" in readme.read_text()


# -- the log cannot be changed quietly


def test_yesterdays_copy_of_the_database_is_refused_at_start(copy: Cli) -> None:
    """An old copy put back is noticed by what is known outside."""
    # shows: N3
    database = copy.home / "ledger"
    old = copy.folder / "yesterday"
    shutil.copytree(database, old)
    assert copy("snapshot", "create").status == 0, "an event more"
    shutil.rmtree(database)
    shutil.copytree(old, database)
    ran = copy("runs")
    assert ran.status == 1
    assert "L1" in ran.err
    assert copy("ledger", "verify").status == 1


def test_a_changed_byte_of_an_event_is_named(copy: Cli) -> None:
    """`ledger verify` names the place of a change."""
    # shows: N3
    database = next((copy.home / "ledger").glob("*.db"))
    data = bytearray(database.read_bytes())
    at = data.index(b"added note 1")
    data[at] ^= 1
    database.write_bytes(data)
    ran = copy("ledger", "verify", "--json")
    assert ran.status == 1
    assert any("run:" in problem["place"] for problem in ran.json()["problems"])


# -- bad luck


def test_ctrl_c_loses_nothing_and_what_nobody_touched_is_replaced(copy: Cli) -> None:
    """Interrupted in the middle, resumed, done: kept steps stay, and what was delivered before is swapped for it."""
    manifest = copy.folder / "result" / "daybreak.manifest.json"
    before = json.loads(manifest.read_text())["run"]
    process = subprocess.Popen(
        copy.command("build", copy.spec(ONE_EXAMPLE), "--output", "result"),
        cwd=copy.folder,
        env=copy.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "claims finished" in line:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=60)
    assert process.returncode == 130
    run = copy("runs", "--json").json()[0]
    assert run["state"] == "paused"
    assert json.loads(manifest.read_text())["run"] == before
    kept = story(copy, run["run"])
    assert copy("resume").status == 0
    assert story(copy, run["run"])[: len(kept)] == kept
    assert json.loads(manifest.read_text())["run"] == run["run"]


def test_wrong_usage_is_exit_2_and_an_unknown_run_is_named(built: Cli) -> None:
    """Errors have a code and a way on, and no traceback."""
    ran = built("show", "run-none")
    assert ran.status == 2
    assert "U111" in ran.err
    assert "Traceback" not in ran.err
    assert built("build").status == 2
    assert built("build", "missing.md").status == 2
