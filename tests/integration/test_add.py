"""`daybreak add` through the front door, and the page that says how to use it."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from markdown_it import MarkdownIt
from pydantic import BaseModel
from tests import starter

from daybreak.errors import SpecError, UsageError
from daybreak.factory import taskfile
from daybreak.factory.command import task as commandtask

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DOCS = ROOT / "docs"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


Cli = _module("daybreak_cli").Cli

TASK = """\
title = "count"
{more}
[[step]]
run = "echo 3 > count.txt"
[[check]]
file = "count.txt"
"""


@pytest.fixture
def cli(tmp_path: Path) -> Any:
    folder = tmp_path / "work"
    folder.mkdir()
    return Cli(folder)


def task_file(cli: Any, name: str = "count.toml", more: str = "") -> str:
    (cli.folder / name).write_text(TASK.format(more=more))
    return name


def added(cli: Any) -> list[dict[str, Any]]:
    """What stands in the queue, as the ledger has it."""
    events = cli("ledger", "show", "--json").json()
    return [event["payload"] for event in events if event["type"] == "task.added"]


def test_a_task_file_goes_into_the_queue_and_nothing_runs(cli: Any) -> None:
    """Where the options and the file say different things, the options count."""
    # shows: N1
    ran = cli(
        "add", task_file(cli, more='project = "a"\npriority = 3'), "--project", "b", "--key", "shop=2",
        "--rate", "shop=30/hour", "--budget", "2usd", "--json",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    told = ran.json()
    assert (told["kind"], told["title"], told["existed"]) == ("command", "count", False)
    [task] = added(cli)
    assert (task["run"], task["project"], task["priority"]) == (told["run"], "b", 3)
    assert (task["keys"], task["rates"], task["budget"]) == (
        {"shop": 2},
        {"shop": "30/hour"},
        {"money_microusd": 2_000_000},
    )
    assert not (cli.folder / "count.txt").exists()


def test_what_is_wrong_is_refused_before_anything_is_recorded(cli: Any) -> None:
    """All of it in one answer, with status 2."""
    # shows: N1
    ran = cli("add", "--command", "make", "--key", "x=0", "--rate", "y", "--not-before", "soon", "--budget", "lots")
    assert ran.status == 2
    assert "5 things are wrong" in ran.err
    for text in ("x=0", "nothing decides", "'soon'", "--rate"):
        assert text.removeprefix("x=") in ran.err
    assert not (cli.home / "ledger").exists() or added(cli) == []


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing.toml"],
        ["picture.png"],
        ["no.such:thing"],
        ["count.toml", "--check", "true"],
        ["count.toml", "--arg", "x=1"],
        ["count.toml", "--command", "true"],
        ["count.toml", "--output", "out"],
        ["count.toml", "--priority", "5000"],
        ["count.toml", "--deadline", "2026-01-01T00:00Z", "--not-before", "2026-01-02T00:00Z"],
        ["count.toml", "--after", "run-nobody"],
        ["--command", "true", "--check", "true", "--unchecked"],
        ["--command", "", "--unchecked"],
        ["--command", "true", "--unchecked", "--sandbox", "sand"],
        ["json:loads", "--args", "[1]"],
        ["json:loads", "--args", "{"],
        ["json:loads", "--arg", "x"],
    ],
    ids=" ".join,
)
def test_words_that_make_no_task_are_refused(cli: Any, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with an error that says what to write, and with nothing in the queue."""
    # shows: N1
    from daybreak import home
    from daybreak.cli.main import app

    task_file(cli)
    monkeypatch.chdir(cli.folder)
    monkeypatch.setenv("DAYBREAK_HOME", str(cli.home))
    with pytest.raises((UsageError, SpecError)) as caught:
        app(["add", *words], standalone_mode=False)
    assert caught.value.hint
    if cli.home.exists():
        with home.opened() as opened:
            assert opened.ledger.query("SELECT count(*) FROM view_runs") == [(0,)]


def test_a_word_is_taken_once_while_its_run_is_not_over(cli: Any) -> None:
    """Adding it again gives the run that is there."""
    # shows: N1
    first = cli("add", task_file(cli), "--dedupe", "count", "--json").json()
    again = cli("add", task_file(cli), "--dedupe", "count", "--json").json()
    assert again == {**first, "existed": True}
    assert len(added(cli)) == 1


def test_a_specification_can_be_queued_with_its_place(cli: Any) -> None:
    """It is read and checked now, and built later."""
    # shows: F1
    spec = cli.spec()
    told = cli("add", spec, "--priority", "7", "--dedupe", "notes", "--json").json()
    assert told["kind"] == "build"
    [task] = added(cli)
    assert task["priority"] == 7
    assert cli("add", spec, "--dedupe", "notes", "--json").json()["existed"] is True
    bad = cli.spec("# nothing\n", name="bad.md")
    assert cli("add", bad).status == 2


def test_one_run_can_wait_for_another(cli: Any) -> None:
    """Named by the beginning of its name."""
    # shows: N1
    first = cli("add", task_file(cli), "--json").json()["run"]
    ran = cli("add", task_file(cli), "--after", first[:-2], "--json")
    assert ran.status == 0, ran.err
    assert added(cli)[1]["after"] == [first]


def test_a_task_with_a_schedule_becomes_one(cli: Any) -> None:
    """Once, whatever is added again; `--once` puts a single run into the queue."""
    # shows: N6
    path = task_file(cli, more='every = "day"\nat = "02:30"\nzone = "Europe/Berlin"')
    told = cli("add", path, "--json").json()
    assert (told["schedule"], told["changed"]) == ("count", True)
    assert "T02:30+0" in told["next"]
    assert cli("add", path, "--json").json()["changed"] is False
    assert added(cli) == []
    assert cli("add", path, "--once", "--json").json()["run"] == added(cli)[0]["run"]


def test_a_run_killed_inside_of_a_once_step_does_it_once(cli: Any) -> None:
    """The supervisor is killed after the effect and before its record; the next one looks it up."""
    # shows: N8 N14
    (cli.folder / "sent.toml").write_text("""\
title = "send"
[[step]]
run = "echo $DAYBREAK_STEP_KEY >> sent; echo now > began; sleep 60"
effect = "once"
lookup = "grep -q $DAYBREAK_STEP_KEY sent || exit 1"
[[check]]
run = "test $(wc -l < sent) = 1"
""")
    os.mkfifo(cli.folder / "began")
    run = cli("add", "sent.toml", "--json").json()["run"]
    supervisor = subprocess.Popen(
        cli.command("resume", run),
        cwd=cli.folder,
        env=cli.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert (cli.folder / "began").read_text() == "now\n"  # waits for whoever writes into it
    finally:
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
    ran = cli("resume", run, "--json")
    assert ran.status == 0, ran.out + ran.err
    assert (cli.folder / "sent").read_text().count("\n") == 1


# -- pages


def blocks(page: str) -> list[tuple[str, str]]:
    tokens = MarkdownIt().parse((DOCS / page).read_text("utf-8"))
    return [(one.info, one.content) for one in tokens if one.type == "fence"]


def test_the_page_on_the_queue_does_what_it_says(cli: Any, tmp_path: Path) -> None:
    """Files are written as they stand there, commands run in order and print what the page says."""
    # shows: N1
    (cli.folder / "names.txt").write_text("b\na\n")
    environment = {**cli.environment(), "PATH": f"{starter.programs(tmp_path / 'bin')}:{os.environ['PATH']}"}
    ran = 0
    for kind, text in blocks("how-to/queue.md"):
        if kind in ("toml", "python"):
            name = text.splitlines()[0].removeprefix("# ")
            (cli.folder / name).write_text(text)
            if kind == "toml":
                taskfile.read(cli.folder / name)
            continue
        assert kind == "console"
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            done = subprocess.run(
                ["sh", "-c", f"{{ {command}; }} 2>&1"],
                cwd=cli.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            pattern = re.escape(expected).replace(r"\.\.\.", ".*")
            assert re.fullmatch(pattern, done.stdout), (command, done.stdout)
            ran += 1
    assert ran >= 8


@pytest.mark.parametrize(
    "table",
    [commandtask.CommandTask, commandtask.Step, commandtask.Check, commandtask.Grant, commandtask.Bounds,
     commandtask.RetryTable, commandtask.Expected],
)  # fmt: skip
def test_the_reference_names_everything_that_a_task_file_can_say(table: type[BaseModel]) -> None:
    """Every key of every table, and every code of a problem."""
    page = (DOCS / "reference" / "task-file.md").read_text("utf-8")
    for name, field in table.model_fields.items():
        assert f"`{field.alias or name}`" in page or f"[{name}]" in page, name
    for code in taskfile.CODES:
        assert code in page
