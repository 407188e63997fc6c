"""`daybreak schedule`: the same guarantees from the command line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
import typer
from typer.testing import CliRunner

from daybreak import home as homes
from daybreak.cli import main, schedule
from daybreak.errors import DaybreakError
from daybreak.events import QUEUE, TaskAdded
from daybreak.factory.spec import template

TASK = """title = "Back up"

[[step]]
name = "copy"
run = ["true"]

[[check]]
name = "there"
run = ["true"]
"""
PRICES = """
import daybreak

@daybreak.task(title="fetch the prices", project="shop")
async def fetch(ctx, town: str = "berlin"):
    return town

@daybreak.task(every="day", at="04:15", zone="UTC")
async def nightly(ctx):
    return 1
"""
CLOCKED = f'every = "week"\non = "sun"\nat = "03:00"\nzone = "Asia/Tokyo"\n{TASK}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for each test, with two task files and no system tools."""
    for name in ("HOME", "DAYBREAK_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("TZ", "Europe/Berlin")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backup.toml").write_text(TASK)
    (tmp_path / "weekly.toml").write_text(CLOCKED)
    (tmp_path / "prices.py").write_text(PRICES)
    (tmp_path / "bad.md").write_text("# Nothing\n")
    return tmp_path


def run(*words: str, status: int = 0) -> str:
    """Standard output. Raises what the command raised."""
    result = CliRunner().invoke(schedule.app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.stdout


def run_json(*words: str, status: int = 0) -> Any:
    end = words.index("--") if "--" in words else len(words)
    return json.loads(run(*words[:end], "--json", *words[end:], status=status))


def add(*words: str) -> Any:
    return run_json("add", "backup", *words, "--", "backup.toml")


def test_a_schedule_is_made_shown_and_removed() -> None:
    """Its life, in words and as JSON."""
    # shows: N6
    told = run("add", "backup", "--every", "day", "--at", "02:30", "--zone", "Europe/Berlin", "--", "backup.toml")
    assert told.startswith("backup: every day at 02:30 Europe/Berlin; next 20")
    assert "T02:30+0" in told
    assert "as it was" in run("add", "backup", "--every", "day", "--at", "02:30", "--", "backup.toml")
    [listed] = run_json("list")
    assert (listed["name"], listed["due"], listed["last"], listed["not_over"]) == ("backup", 0, None, [])
    assert listed["task"]["title"] == "Back up"
    assert "backup  every day at 02:30 Europe/Berlin  next " in run("list")
    coming = run_json("next", "backup", "--count", "4")
    assert len({window["window"] for window in coming}) == 4
    assert len(run("next").splitlines()) == 3
    assert run("remove", "backup") == "removed backup\n"
    assert run_json("list") == []


@pytest.mark.parametrize(
    ("options", "cron", "zone"),
    [
        (["--every", "hour", "--at", ":20"], "20 * * * *", "Europe/Berlin"),
        (["--every", "day"], "0 0 * * *", "Europe/Berlin"),
        (["--every", "week", "--on", "fri", "--at", "06:00", "--zone", "UTC"], "0 6 * * FRI", "UTC"),
        (["--cron", "*/5 6-9 * * mon-fri"], "*/5 6-9 * * mon-fri", "Europe/Berlin"),
    ],
)
def test_each_way_to_say_when_is_understood(options: list[str], cron: str, zone: str) -> None:
    """Without --zone it is the clock of this machine, which is then written down by name."""
    # shows: N6
    add(*options)
    [listed] = run_json("list")
    assert (listed["schedule"]["cron"], listed["schedule"]["zone"]) == (cron, zone)


def test_a_task_file_may_say_itself_when_it_comes() -> None:
    """Options go before it, one by one."""
    run("add", "weekly", "--", "weekly.toml")
    run("add", "late", "--zone", "UTC", "--catch-up", "all", "--", "weekly.toml")
    late, weekly = run_json("list")
    assert weekly["when"] == "every Sun at 03:00 Asia/Tokyo"
    assert (late["when"], late["schedule"]["catch_up"]) == ("every Sun at 03:00 UTC", "all")


def test_a_python_task_comes_again_with_its_arguments(home: Path) -> None:
    """Found as `daybreak add` finds it; its decorator may say when."""
    # shows: N6 N16
    run("add", "prices", "--every", "hour", "--", "prices.py:fetch", "town=paris")
    run("add", "nightly", "--", "prices.py:nightly")
    nightly, prices = run_json("list")
    assert nightly["when"] == "every day at 04:15 UTC"
    assert (prices["task"]["title"], prices["task"]["place"]) == ("fetch the prices", {"project": "shop"})
    assert prices["task"]["args"] == {
        "function": f"{home}/prices.py:fetch", "folder": str(home), "args": {"town": "paris"}
    }  # fmt: skip
    [forced] = run_json("run", "prices", "--force")
    with homes.opened() as opened:
        done = anyio.run(opened.engine.supervise, forced["run"])
    assert done.value["value"] == "paris"


def test_a_specification_is_built_again_by_each_window(home: Path) -> None:
    """As it was when the schedule was made; the run that a window adds is that of `daybreak add`."""
    # shows: N6
    (home / "shelf.md").write_text(template("shelf"))
    run("add", "shelf", "--every", "week", "--project", "books", "--", "shelf.md")
    (home / "shelf.md").write_text("# Something else\n")
    [forced] = run_json("run", "shelf", "--force")
    (home / "shelf.md").write_text(template("shelf"))
    assert CliRunner().invoke(main.app, ["add", "shelf.md", "--project", "books"]).exit_code == 0
    with homes.opened() as opened:
        scheduled, direct = (one.event for one in opened.ledger.read(QUEUE) if isinstance(one.event, TaskAdded))
    assert scheduled.run == forced["run"]
    assert (scheduled.kind, scheduled.title, scheduled.args) == (direct.kind, direct.title, direct.args)
    assert scheduled.project == "books"


def test_the_rules_arrive_as_they_are_said() -> None:
    """Each option in its field."""
    add(
        "--every", "day", "--catch-up", "skip", "--late-s", "60", "--gap", "skip", "--repeated", "second",
        "--overlap", "queue", "--waiting-max", "7", "--project", "shop", "--priority", "3",
    )  # fmt: skip
    [listed] = run_json("list")
    kept = listed["schedule"]
    assert (kept["catch_up"], kept["late_s"], kept["gap"], kept["repeated"]) == ("skip", 60.0, "skip", "second")
    assert (kept["overlap"], kept["waiting_max"]) == ("queue", 7)
    assert listed["task"]["place"] == {"project": "shop", "priority": 3}


def test_a_window_that_is_not_due_runs_only_when_forced() -> None:
    """The refusal says when it comes and how to run it now; the forced run stands in history."""
    # shows: N6
    add("--every", "day")
    with pytest.raises(DaybreakError, match="no window of backup is due") as caught:
        run("run", "backup")
    assert "--force" in caught.value.hint
    [forced] = run_json("run", "backup", "--force")
    [past] = run_json("history", "backup")
    assert (past["run"], past["forced"], past["state"]) == (forced["run"], True, "queued")
    assert forced["run"] in run("history", "backup")
    assert f"last: forced-1  {forced['run']}  queued" in run("list")
    assert run_json("remove", "backup")["not_over"] == [forced["run"]]
    assert len(run_json("history", "backup")) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["add", "backup", "--", "backup.toml"], "U133"),
        (["add", "backup", "--every", "day", "--cron", "* * * * *", "--", "backup.toml"], "U133"),
        (["add", "backup", "--every", "fortnight", "--", "backup.toml"], "U133"),
        (["add", "backup", "--every", "day", "--at", "25:00", "--", "backup.toml"], "U133"),
        (["add", "backup", "--every", "day", "--on", "mon", "--", "backup.toml"], "U133"),
        (["add", "backup", "--cron", "x", "--", "backup.toml"], "U133"),
        (["add", "backup", "--every", "day", "--zone", "Mars/Olympus", "--", "backup.toml"], "U133"),
        (["add", "backup", "--every", "day", "--catch-up", "some", "--", "backup.toml"], "U133"),
        (["add", "../etc", "--every", "day", "--", "backup.toml"], "U152"),
        (["add", "backup", "--every", "day", "--", "missing.toml"], "S201"),
        (["add", "backup", "--every", "day", "--", "backup.toml", "more"], "U178"),
        (["add", "backup", "--every", "day", "--", "backup.txt"], "U178"),
        (["add", "prices", "--every", "day", "--", "prices.py:nothing"], "U175"),
        (["add", "prices", "--every", "day", "--", "prices.py:fetch", "twon=x"], "U176"),
        (["add", "prices", "--every", "day", "--", "prices.py:fetch", "town"], "U178"),
        (["add", "prices", "--", "prices.py:fetch"], "U133"),
        (["add", "shelf", "--every", "day", "--", "bad.md"], "S101"),
        (["add", "backup", "--every", "day", "--priority", "5000", "--", "backup.toml"], "U161"),
        (["next", "nobody"], "U151"),
        (["history", "nobody"], "U151"),
        (["remove", "nobody"], "U151"),
        (["run", "nobody", "--force"], "U151"),
        (["install", "--from", "7"], "U154"),
        (["install", "--systemd", "--cron"], "U100"),
        (["within", "--from", "07:00", "--until", "07:00"], "U154"),
    ],
)
def test_what_is_wrong_is_said_with_a_code_and_a_hint(words: list[str], code: str) -> None:
    """Never a traceback from the depths, and nothing is recorded."""
    # shows: P8
    with pytest.raises(DaybreakError) as caught:
        run(*words)
    assert caught.value.code == code
    assert caught.value.hint
    assert run_json("list") == []


# -- timers


def program(home: Path, name: str, text: str) -> None:
    (home / "bin").mkdir(exist_ok=True)
    (home / "bin" / name).write_text(f"#!/bin/sh\n{text}")
    (home / "bin" / name).chmod(0o755)


CRONTAB = 'case "$1" in -l) cat "$HOME/table" 2>/dev/null || { echo "no crontab for me" >&2; exit 1; } ;; '
CRONTAB += '-) cat > "$HOME/table" ;; esac\n'


def test_units_are_shown_then_written_then_taken_away(home: Path) -> None:
    """With --dry-run nothing is written and everything is shown."""
    program(home, "systemctl", 'echo "$*" >> "$HOME/calls"\n')
    program(home, "loginctl", "echo yes\n")
    folder = home / "xdg_config_home" / "systemd" / "user"
    shown = run("install", "--systemd", "--dry-run", "--zone", "Europe/Berlin", "--", "--budget", "20usd")
    assert "    OnCalendar=*-*-* 22:00:00 Europe/Berlin" in shown
    assert not folder.exists()
    assert not (home / "home" / "calls").exists()
    run("install", "--systemd", "--", "--budget", "20usd")
    [night] = folder.glob("daybreak-night-*.service")
    text = night.read_text()
    assert f'ExecStart="{sys.executable}" "-m" "daybreak" "night" "--until" "07:00" "--budget" "20usd"' in text
    assert f'Environment="DAYBREAK_HOME={home}/daybreak_home"' in text
    assert f"WorkingDirectory={home}/home" in text
    assert "enable --now" in (home / "home" / "calls").read_text()
    assert all(not one["changes"] for one in run_json("install", "--systemd", "--", "--budget", "20usd"))
    assert len(run_json("uninstall", "--systemd", "--dry-run")) == 4
    run("uninstall", "--systemd")
    assert list(folder.iterdir()) == []


def test_crontab_lines_are_written_where_there_is_no_systemd(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user has there stays."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    program(home, "crontab", CRONTAB)
    table = home / "home" / "table"
    table.write_text("1 2 * * * mine\n")
    shown = run("install", "--dry-run")
    assert "    0 22 * * * " in shown
    assert "mine" not in shown
    assert table.read_text() == "1 2 * * * mine\n"
    run("install", "--from", "23:15")
    assert "\n15 23 * * * " in table.read_text()
    with pytest.raises(DaybreakError) as caught:
        run("install", "--zone", "Asia/Tokyo")
    assert caught.value.code == "U154"
    run("uninstall")
    assert table.read_text() == "1 2 * * * mine\n"


def test_no_secret_of_the_shell_goes_into_a_unit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units can be read by others; credentials come from elsewhere."""
    # shows: N9
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("DAYBREAK_TOKEN", "dbt-secret")
    shown = run("install", "--systemd", "--dry-run")
    assert "DAYBREAK_HOME" in shown
    assert "sk-secret" not in shown
    assert "dbt-secret" not in shown


def test_timers_ask_whether_it_is_time() -> None:
    """Exactly one of a time and its opposite holds."""
    statuses = []
    for begin, until in (("06:00", "18:00"), ("18:00", "06:00")):
        result = CliRunner().invoke(schedule.app, ["within", "--from", begin, "--until", until, "--zone", "UTC"])
        statuses.append(result.exit_code)
    assert sorted(statuses) == [0, 1]


def test_every_command_has_an_example_and_words() -> None:
    """What `--help` shows."""
    group = typer.main.get_command(schedule.app)
    for name, command in getattr(group, "commands").items():  # noqa: B009 - of click's group
        assert command.help, name
        assert command.hidden or "xample" in command.epilog, name


# -- the how-to page

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "schedules.md"
EXAMPLE = re.compile(r"^```python\n(?P<code>.*?)^```\n\n^```text\n(?P<prints>.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_print_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them, and no block of code is without its output."""
    text = PAGE.read_text()
    examples = list(EXAMPLE.finditer(text))
    assert len(examples) == text.count("```python\n") == 3
    for example in examples:
        exec(example["code"], {})  # noqa: S102 - the page's own examples
        assert capsys.readouterr().out == example["prints"]


def test_the_commands_of_the_page_are_taken(home: Path) -> None:
    """Every `daybreak schedule` line of it, in order."""
    program(home, "systemctl", "exit 0\n")
    program(home, "loginctl", "echo yes\n")
    program(home, "crontab", CRONTAB)
    lines = [
        line.partition("#")[0].split() for line in PAGE.read_text().splitlines() if line.startswith("    daybreak ")
    ]
    assert len(lines) == 8
    for words in lines:
        assert words[:2] == ["daybreak", "schedule"]
        if words[2:] == ["run", "backup"]:
            with pytest.raises(schedule.NotDue):
                run(*words[2:])
        else:
            run(*words[2:])
