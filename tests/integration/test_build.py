"""`daybreak build` through the front door: what is promised to the person who hands over a specification."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from daybreak.host.sandbox import detect

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


daybreak_cli = _module("daybreak_cli")
Cli = daybreak_cli.Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A small specification, built once; tests that change it work on a copy."""
    cli = Cli(tmp_path_factory.mktemp("built"))
    ran = cli("build", cli.spec(), "--output", "result", "--json")
    assert ran.status == 0, ran.out + ran.err
    return cli


@pytest.fixture
def copy(built: Cli, tmp_path: Path) -> Cli:
    copied = Cli(tmp_path / "copy")
    shutil.copytree(built.folder, copied.folder)
    shutil.copytree(built.home, copied.home)
    return copied


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
    report = built("report", "--json").json()
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
        if path.is_file() and path.name != "daybreak.manifest.json"
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
    ["library", pytest.param("todo", marks=pytest.mark.chaos), pytest.param("expenses", marks=pytest.mark.chaos)],
)
def test_the_example_specifications_are_built_and_verified(name: str, cli: Cli) -> None:
    """Each specification that we ship becomes a verified project."""
    ran = cli("build", ROOT / "examples" / name / "spec.md", "--output", "out", "--json")
    assert ran.status == 0, ran.out[-3000:] + ran.err
    report = ran.json()
    assert all(line["verdict"] == "shown" for line in report["requirements"] if line["must"])
    assert (cli.folder / "out" / "README.md").exists()


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


@pytest.mark.parametrize(
    ("liar", "says"),
    [
        ("ClaimsOnly", "structure"),
        ("WritesAnEmptyShell", "FR-001"),
        ("DropsItsTests", "tests"),
        ("Crashes", "fell over"),
        ("Vanishes", "without a claim"),
        ("ForgesOurLines", "only the forged line"),
        ("LinksOutside", "README.md"),
    ],
)
def test_a_lying_worker_fails_the_build(liar: str, says: str, cli: Cli) -> None:
    """Whatever a worker claims, the build fails, says why, and delivers nothing."""
    # shows: F1 X6
    worker = f"{HERE / 'workers' / 'liars.py'}:{liar}"
    ran = cli("build", cli.spec(), "--output", "result", "--worker", worker)
    assert ran.status == 1, ran.out + ran.err
    assert says in ran.out + ran.err
    assert not (cli.folder / "result").exists()


@pytest.mark.parametrize(
    ("liar", "says"),
    [
        ("SwapsItsWorkspace", ""),
        ("SpeaksToTheTerminal", r"\x1b[32mverified and delivered"),
        ("SpeaksGibberish", "no claim"),
        ("BringsItsOwnManifest", "belongs to the delivery"),
    ],
)
def test_a_hostile_worker_reaches_neither_the_factory_nor_the_terminal(liar: str, says: str, cli: Cli) -> None:
    """Nothing of ours is taken for its result, nothing it says steers a terminal or floods one, and no run breaks."""
    # shows: N9 F1
    shutil.copy(HERE / "workers" / "liars.py", cli.folder / "liars.py")
    ran = cli("build", cli.spec(), "--output", "result", "--worker", f"liars.py:{liar}")
    assert ran.status == (0 if liar == "SwapsItsWorkspace" else 1), ran.out + ran.err
    assert says in "".join((ran.out + ran.err).split("\n"))
    assert "\x1b" not in ran.out + ran.err
    assert len(ran.out + ran.err) < 20_000
    assert "X000" not in ran.err
    kept = [path for path in (cli.home / "ledger").rglob("*") if path.is_file()]
    secrets = [path.read_bytes() for path in (cli.home / "keys").iterdir() if path.suffix == ".key"]
    assert secrets
    assert not [path for path in kept for secret in secrets if secret in path.read_bytes()]


def test_orders_in_what_a_worker_left_behind_are_an_incident(cli: Cli) -> None:
    """What its tests print enters the next brief, so it is looked at first; the report tells it."""
    # shows: N9
    worker = f"{HERE / 'workers' / 'liars.py'}:InjectsIntoItsFindings"
    ran = cli("build", cli.spec(), "--output", "result", "--worker", worker)
    assert ran.status == 1, ran.out + ran.err
    incidents = cli("incidents", "list", "--json").json()
    assert {one["kind"] for one in incidents} == {"injection_marked"}
    assert "injection marked" in cli("report").out


def test_held_out_examples_are_nowhere_that_a_worker_can_look(cli: Cli) -> None:
    """Neither the brief nor the delivered project holds a held-out example."""
    shutil.copy(HERE / "workers" / "liars.py", cli.folder / "liars.py")
    spec = cli.spec(holdout=0.67)
    ran = cli("build", spec, "--output", "result", "--worker", "liars.py:KeepsItsBrief", "--json")
    assert ran.status == 0, ran.out + ran.err
    brief = json.loads((cli.folder / "result" / "brief.json").read_text())["specification"]
    titles = ["### FR-001 adding", "### FR-002 listing", "### FR-003 deleting"]
    held_out = [line for line in ran.json()["checks"] if line["held_out"]]
    assert len(held_out) == 2
    assert sum(title in brief for title in titles) == 1
    for line in held_out:
        title = line["what"].partition(" (")[0]
        assert title not in brief
    for path in (cli.folder / "result").rglob("*"):
        if path.is_file():
            assert "goodbye" not in path.read_text() or "goodbye" in brief


def test_a_worker_reaches_nothing_but_its_brief_and_its_workspace(cli: Cli) -> None:
    """Not the ledger, its key, the specification with the held-out examples, another workspace, or a server here."""
    # shows: N9
    if detect().mode().strength != "full":
        pytest.skip(f"no full sandbox here: {detect().mode().words}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = (HERE / "workers" / "liars.py").read_text().replace("PORT = 9", f"PORT = {server.getsockname()[1]}")
        (cli.folder / "liars.py").write_text(worker)
        ran = cli("build", cli.spec(), "--output", "result", "--worker", "liars.py:LooksAround", "--sandbox", "full")
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


def test_without_bubblewrap_a_project_is_built_in_a_weaker_sandbox_that_is_named(cli: Cli) -> None:
    """The kernel's own means are used, and the plan says what they do not cover."""
    # shows: N9
    ran = without_bubblewrap(cli, "build", cli.spec(), "--output", "result")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "sandbox degraded" in " ".join(ran.stderr.split())
    assert "not covered" in ran.stderr
    assert (cli.folder / "result" / "daybreak.manifest.json").is_file()


# -- questions


def test_an_unshown_must_parks_the_build_until_it_is_accepted(cli: Cli) -> None:
    """A MUST without an example ends in a question; the answer costs only the delivery."""
    unshown = "- **FR-004**: System MUST be pleasant\n- **FR-001**"
    spec = cli.spec(daybreak_cli.SMALL_SPEC.replace("{holdout}", "0").replace("- **FR-001**", unshown))
    ran = cli("build", spec, "--output", "result")
    assert ran.status == 3, ran.out + ran.err
    assert "FR-004" in ran.out
    assert not (cli.folder / "result").exists()
    kept = [event for event in cli("ledger", "show", "--json").json() if event["type"] == "step.done"]
    ran = cli("resume", "--accept-unshown")
    assert ran.status == 0, ran.out + ran.err
    assert (cli.folder / "result" / "daybreak.manifest.json").exists()
    after = [event for event in cli("ledger", "show", "--json").json() if event["type"] == "step.done"]
    assert after[: len(kept)] == kept
    assert not [event for event in after[len(kept) :] if event["payload"]["name"].startswith(("check", "attempt"))]


def test_an_open_question_parks_the_build_before_any_work(cli: Cli) -> None:
    """[NEEDS CLARIFICATION] is asked; with --assume the build goes on and the assumption is reported."""
    text = daybreak_cli.SMALL_SPEC.replace("{holdout}", "0").replace(
        "Short texts", "[NEEDS CLARIFICATION: how short?] Short texts"
    )
    ran = cli("build", cli.spec(text), "--output", "result")
    assert ran.status == 3, ran.out + ran.err
    assert "how short?" in ran.out
    ran = cli("build", cli.spec(text), "--output", "result", "--assume", "--json")
    assert ran.status == 0, ran.out + ran.err
    assert "how short?" in ran.json()["plan"]["assumptions"][0]


def test_an_example_that_proves_nothing_is_named_and_fails_the_build(cli: Cli) -> None:
    """An example that a program which does nothing passes is no proof."""
    vacuous = "```console\n$ notes note list > /dev/null\n```\n\n### FR-002"
    ran = cli("build", cli.spec(daybreak_cli.SMALL_SPEC.replace("{holdout}", "0").replace("### FR-002", vacuous)))
    assert ran.status == 1, ran.out + ran.err
    assert "FR-001 adding" in ran.out + ran.err
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


def test_an_unchanged_delivery_is_replaced(copy: Cli) -> None:
    """What we delivered and nobody touched may be swapped for the new result."""
    ran = copy("build", copy.folder / "notes.md", "--output", "result", "--json")
    assert ran.status == 0, ran.out + ran.err


# -- the log cannot be changed quietly


def test_yesterdays_copy_of_the_database_is_refused_at_start(copy: Cli) -> None:
    """An old copy put back is noticed by what is known outside."""
    # shows: N3
    database = copy.home / "ledger"
    old = copy.folder / "yesterday"
    shutil.copytree(database, old)
    assert copy("build", copy.folder / "notes.md", "--output", "again").status == 0
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


def test_ctrl_c_loses_nothing(cli: Cli) -> None:
    """Interrupted in the middle, resumed, done; kept steps stay."""
    process = subprocess.Popen(
        cli.command("build", cli.spec(), "--output", "result"),
        cwd=cli.folder,
        env=cli.environment(),
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
    [row] = cli("runs", "--json").json()
    assert row["state"] == "paused"
    assert cli("resume").status == 0
    assert (cli.folder / "result" / "daybreak.manifest.json").exists()


def test_wrong_usage_is_exit_2_and_an_unknown_run_is_named(built: Cli) -> None:
    """Errors have a code and a way on, and no traceback."""
    ran = built("show", "run-none")
    assert ran.status == 2
    assert "U111" in ran.err
    assert "Traceback" not in ran.err
    assert built("build").status == 2
    assert built("build", "missing.md").status == 2


def test_a_worker_that_learns_is_delivered_only_when_it_is_right(cli: Cli) -> None:
    """It lies, then breaks what it builds, then does it right: three attempts, one delivery, and the reasons kept."""
    # shows: X6
    worker = f"{HERE / 'workers' / 'scripted.py'}:Learns"
    ran = cli("build", cli.spec(), "--output", "result", "--worker", worker, "--json")
    assert ran.status == 0, ran.err
    assert (cli.folder / "result" / "daybreak.manifest.json").exists()
    steps = cli("steps", "--json").json()
    assert [step["nth"] for step in steps if step["name"] == "attempt"] == [0, 1, 2]
