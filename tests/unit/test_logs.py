"""Logs: one id leads from the night to a file's write, no secret gets in, lines of many processes never mix."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.engine_desk import Desk
from tests.unit.night_scene import Scene
from typer.testing import CliRunner

from daybreak import logs
from daybreak.cli import logs as command
from daybreak.engine import trail
from daybreak.engine.history import Identity
from daybreak.engine.night import Found, Hooks
from daybreak.engine.step import key_of, step_key
from daybreak.home import logging as home_logging
from daybreak.host.files import transaction, write_file
from daybreak.policy.redaction import redact
from daybreak.policy.retry import Retry
from daybreak.report import logbook

SECRET = "sk-ant-" + "a1B2c3D4" * 5
log = logging.getLogger("daybreak.tests")


def redacted(text: str) -> str:
    return redact(text).text


@contextmanager
def written(folder: Path, *, level: int = logging.DEBUG, **changes: Any) -> Iterator[None]:
    with logs.logging_to(folder, redact=redacted, trail=trail.current, level=level, **changes):
        yield


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line of every file, whole; empty ones may stand between them."""
    return [json.loads(line) for path in logs.files(folder) for line in path.read_bytes().splitlines() if line]


# -- one id


def test_one_id_leads_from_the_night_to_the_write_of_a_file(tmp_path: Path) -> None:
    """A thread deep below a step of a night's run writes files; their lines name night, run, step, try and key."""
    # shows: N12
    keys: list[str] = []

    def save() -> None:
        keys.append(step_key())
        write_file(tmp_path / "out.txt", "done")
        with transaction(tmp_path) as files:
            files.write("a/b.txt", "more")

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("save", save)

    async def preflight() -> list[Found]:
        log.info("looking")
        return []

    scene = Scene(save=code)
    (run,) = scene.add("save")
    with written(tmp_path / "logs"):
        night = scene.night(hooks=Hooks(preflight=preflight)).night
    found = lines(tmp_path / "logs")
    wrote = [line for line in found if line["logger"].startswith("daybreak.host.files")]
    assert [line["event"].split()[0] for line in wrote] == ["wrote", "committed"]
    for line in wrote:
        assert (line["night"], line["run"], line["step"], line["try"]) == (night, run, "save", 1)
        assert line["key"] == keys[0]
    (looked,) = [line for line in found if line["event"] == "looking"]
    assert (looked["night"], "run" in looked) == (night, False)
    assert all(logbook.Wanted(night).holds(line) for line in found)


@pytest.mark.anyio
async def test_branches_and_tries_are_told_apart(tmp_path: Path) -> None:
    """Each branch logs under its own path, and each try under its number, also beside others."""
    # shows: N12
    calls: list[int] = []

    async def flaky() -> None:
        log.info("trying")
        calls.append(1)
        if len(calls) == 1:
            raise OSError("connection reset")

    async def child(ctx: Any) -> None:
        await ctx.step("work", lambda: log.info("working"))

    async def code(ctx: Any, args: Any) -> None:
        await ctx.step("call", flaky, retry=Retry(attempts=3, first_s=0.01))
        await ctx.gather(child, child)

    desk = Desk(code)
    with written(tmp_path):
        await desk.engine.finish(desk.run)
    found = lines(tmp_path)
    assert [line["try"] for line in found if line["event"] == "trying"] == [1, 2]
    failed = [line for line in found if line["event"].startswith("failed: OSError")]
    assert [(line["step"], line["try"]) for line in failed] == [("call", 1)]
    branches = {line["branch"] for line in found if line["event"] == "working"}
    assert len(branches) == 2


def test_the_trail_ends_with_its_block() -> None:
    """Nothing of a step clings to what comes after it."""
    identity = Identity("0", "step", 2, "f" * 64)
    with trail.on_night("n"), trail.on_run("r"), trail.on_step(identity, 1):
        told = trail.current()
        assert told == {
            "night": "n",
            "run": "r",
            "branch": "0",
            "step": "step",
            "nth": 2,
            "try": 2,
            "key": key_of("r", identity),
        }
    assert trail.current() == {}


def test_a_thread_of_its_own_has_its_own_trail() -> None:
    """What is set in one place is not seen in another that was not begun from it."""
    seen: list[Mapping[str, object]] = []
    with trail.on_run("r"):
        other = threading.Thread(target=lambda: seen.append(trail.current()))
        other.start()
        other.join()
    assert seen == [{}]


# -- secrets


def test_no_secret_gets_into_a_line(tmp_path: Path) -> None:
    """Wherever it stands: in the text, an argument, a field, a nested field, a field's name, a traceback."""
    # shows: F15
    with written(tmp_path):
        log.info("key %s", SECRET)
        log.info(f"key {SECRET}")
        log.info(f"\x1b[31m{SECRET[:9]}\x1b[0m{SECRET[9:]}")
        log.info("x", extra={"field": SECRET, "deep": [{"er": [SECRET]}], "names": {SECRET: 1}, "raw": SECRET.encode()})
        log.info("y", extra={"api_key": "plain", "shop_token": "words", "headers": {"Authorization": "odd"}})
        try:
            raise ValueError(f"cannot use {SECRET}")
        except ValueError:
            log.exception("it failed")
    text = (tmp_path / logs.FILE).read_text()
    assert SECRET[9:] not in text
    found = lines(tmp_path)
    assert found[4]["api_key"] == found[4]["shop_token"] == found[4]["headers"]["Authorization"] == "[redacted]"
    assert "ValueError: cannot use [redacted anthropic key]" in found[5]["exception"]


def test_a_secret_that_would_be_cut_through_is_taken_out_first(tmp_path: Path) -> None:
    """A text is shortened after its secrets were found, because half of one looks like nothing."""
    with written(tmp_path):
        log.info("x" * (logs.TEXT_CHARS_MAX - 20) + " " + SECRET)
    (line,) = lines(tmp_path)
    assert "a1B2" not in line["event"]
    assert len(line["event"]) < logs.TEXT_CHARS_MAX + 100


def test_lines_from_elsewhere_are_shown_without_their_secrets(tmp_path: Path) -> None:
    """What somebody wrote into the file by hand is not believed to be clean."""
    line = {"ts": "2026-11-21T11:30:47.474315Z", "level": "info", "event": f"\x1b[31m{SECRET}", "x\x1b": [SECRET]}
    shown = logbook.for_people(line)
    assert SECRET not in shown
    assert "\x1b" not in shown
    assert SECRET not in json.dumps(logbook.clean(line))


# -- lines


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


@settings(max_examples=60, deadline=None)
@given(
    event=st.text(max_size=60),
    extra=st.dictionaries(
        st.text(min_size=1, max_size=8).map(lambda name: f"x{name}"),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    ),
)
def test_whatever_is_logged_becomes_one_line_of_ascii(event: str, extra: dict[str, Any]) -> None:
    """Line ends, halves of characters, what steers a terminal, numbers that JSON has not: one object on one line."""
    formatter = logs.Lines(redacted, dict)
    record = logging.getLogger("daybreak.x").makeRecord("daybreak.x", 20, "f", 1, event, (), None, extra=extra)
    text = formatter.format(record)
    assert text.isascii()
    assert text.isprintable()
    told = json.loads(text)
    assert told["level"] == "info"
    assert told["logger"] == "daybreak.x"


def test_a_line_that_cannot_be_made_is_told_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arguments that do not fit and objects that raise cost the line's text, not the program."""
    handler = logs.FileHandler(logs.LogFile(tmp_path), logs.Lines(redacted, dict))
    for text, arguments, extra in (("%d", ("x",), {}), ("x", (), {"thing": Hostile()}), ("fine", (), {})):
        handler.handle(log.makeRecord(log.name, logging.INFO, "f", 1, text, arguments, None, extra=extra))
    handler.close()
    assert [line["event"] for line in lines(tmp_path)] == [
        "a line of daybreak.tests could not be made: TypeError",
        "a line of daybreak.tests could not be made: RuntimeError",
        "fine",
    ]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_fields_of_ours_cannot_be_forged(tmp_path: Path) -> None:
    """A line says itself which run it is about, but never when it was written or by whom."""
    with written(tmp_path):
        log.info("x", extra={"ts": "1999", "level": "none", "logger": "other", "pid": 1, "run": "run-of-another"})
    (line,) = lines(tmp_path)
    assert line["ts"] > "2026"
    assert (line["level"], line["logger"], line["pid"]) == ("info", "daybreak.tests", os.getpid())
    assert line["run"] == "run-of-another"


def test_nothing_appears_on_the_terminal_and_nothing_is_made_before_the_first_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Warnings of other libraries go to the file too; the terminal belongs to the command."""
    with written(tmp_path / "logs", level=logging.INFO):
        log.debug("not wanted")
        assert not (tmp_path / "logs").exists()
        logging.getLogger("other").warning("theirs")
        logging.getLogger("other").info("not theirs")
    assert [line["event"] for line in lines(tmp_path / "logs")] == ["theirs"]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert (tmp_path / "logs").stat().st_mode & 0o077 == 0
    assert (tmp_path / "logs" / logs.FILE).stat().st_mode & 0o077 == 0


def test_off_is_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file, and no warning on the terminal either."""
    with logs.logging_to(tmp_path / "logs", redact=redacted, trail=dict, level=None):
        log.error("nobody hears")
        logging.getLogger("other").warning("nobody hears")
    assert not (tmp_path / "logs").exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("environment", "verbose", "level"),
    [({}, False, 20), ({}, True, 10), ({"DAYBREAK_LOG": "Warning"}, True, 30), ({"DAYBREAK_LOG": "off"}, False, None)],
)
def test_the_level_is_that_of_the_environment_first(
    environment: dict[str, str], verbose: bool, level: int | None
) -> None:
    """DAYBREAK_LOG counts more than --verbose."""
    assert logs.wanted(environment, verbose=verbose) == level


def test_an_unknown_level_is_refused_in_words() -> None:
    """With the words that there are."""
    with pytest.raises(logs.LevelUnknown) as caught:
        logs.wanted({"DAYBREAK_LOG": "loud"})
    assert "debug, info, warning, error" in caught.value.hint


# -- files


def test_full_files_are_put_away_and_the_oldest_goes(tmp_path: Path) -> None:
    """By size and by count; what is kept is in order."""
    with written(tmp_path, file_bytes_max=2_000, files_max=3):
        for number in range(100):
            log.info("line %d", number)
    assert [path.name for path in logs.files(tmp_path)] == [f"{logs.FILE}.2", f"{logs.FILE}.1", logs.FILE]
    assert all(path.stat().st_size <= 2_000 for path in logs.files(tmp_path))
    numbers = [int(line["event"].split()[1]) for line in lines(tmp_path)]
    assert numbers == list(range(numbers[0], 100))


_WRITER = """
import logging, sys
from pathlib import Path
from daybreak import logs
with logs.logging_to(Path(sys.argv[1]), redact=str, trail=dict, file_bytes_max=20_000, files_max=50):
    for number in range(200):
        logging.getLogger("daybreak.x").info("line %s %d %s", sys.argv[2], number, "x" * 50)
"""


def test_lines_of_several_processes_never_mix_and_none_is_lost_while_files_are_put_away(tmp_path: Path) -> None:
    """Three processes write and rename the same files; every line is there once and whole."""
    # shows: N12
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), str(name)]) for name in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = [tuple(line["event"].split()[1:3]) for line in lines(tmp_path)]
    assert sorted(found) == sorted((str(name), str(number)) for name in range(3) for number in range(200))
    assert len(logs.files(tmp_path)) > 3


def test_lost_lines_are_counted_in_the_next_one(tmp_path: Path) -> None:
    """Where the folder is none, code goes on, and later the file says how much is missing."""
    # shows: N14
    place = tmp_path / "logs"
    place.write_text("in the way")
    with written(place):
        log.info("one")
        log.info("two")
        place.unlink()
        log.info("three")
    assert [line["event"] for line in lines(place)] == ["three", "2 lines before this one could not be written"]


def test_half_a_line_of_another_process_spoils_no_line_of_ours(tmp_path: Path) -> None:
    """It was cut short by a full disk; the next whole line begins on a line of its own."""
    # shows: N14
    (tmp_path / logs.FILE).write_bytes(b'{"event": "cut sh')
    with written(tmp_path):
        log.info("whole")
    assert json.loads((tmp_path / logs.FILE).read_bytes().splitlines()[1])["event"] == "whole"


def test_a_full_disk_stops_nothing() -> None:
    """The system's refusal is a lost line, and nothing else."""
    # shows: N14
    file = logs.LogFile(Path("/dev"))
    file.path = Path("/dev/full")
    assert not file.append(b"x\n")
    assert file.lost == 1
    file.close()


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write into the folder cannot have us write elsewhere."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / logs.FILE).symlink_to(tmp_path / "precious")
    with written(tmp_path / "logs"):
        log.info("x")
    assert (tmp_path / "precious").read_text() == "mine"


# -- reading


def test_a_follower_reads_on_through_the_putting_away(tmp_path: Path) -> None:
    """Every line once, in order, although the files are renamed under it."""
    follower = logbook.Follower(tmp_path)
    seen: list[dict[str, Any]] = []
    with written(tmp_path, file_bytes_max=1_500, files_max=50):
        for number in range(60):
            log.info("line %d", number)
            if number % 7 == 0:
                seen += follower.news()
    seen += follower.news()
    follower.close()
    assert [line["event"] for line in seen] == [f"line {number}" for number in range(60)]


def test_torn_and_foreign_lines_are_left_out(tmp_path: Path) -> None:
    """Half a line, a list, bytes that are no text: the others are read all the same."""
    (tmp_path / logs.FILE).write_bytes(b'{"event": "ha\n[1]\n\xff\xfe\n{"event": "whole", "run": "run-1"}\n{"event": ')
    follower = logbook.Follower(tmp_path)
    assert [line["event"] for line in follower.news()] == ["whole"]
    follower.close()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command on a home in a temporary folder, with lines of two runs in it."""
    import typer

    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path))
    with written(tmp_path / "logs"):
        for run in ("run-1a", "run-1b"):
            with trail.on_run(run, "night-7"):
                log.info("of %s\x1b[2J\x07", run, extra={"path": "two words"})
    app = typer.Typer()
    app.command()(command.logs)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_the_command_shows_the_lines_of_one_run(cli: Any) -> None:
    """Escaped, with their fields; all of a night by the night's name."""
    # shows: N12
    result = cli("run-1a")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert r"of run-1a\x07" in result.stdout
    assert 'path="two words" night=night-7 run=run-1a' in result.stdout
    assert len(cli("night-").stdout.splitlines()) == 2
    assert [line["run"] for line in json.loads(cli("--json").stdout)] == ["run-1a", "run-1b"]
    assert len(json.loads(cli("--json", "--lines", "1").stdout)) == 1


def test_a_beginning_of_two_names_and_a_name_of_nothing_are_refused(cli: Any) -> None:
    """With what it could be, or where to look."""
    several = cli("run-1").exception
    assert isinstance(several, command.LogsUnknown)
    assert "run-1a" in several.message
    none = cli("run-9\x1b[2J").exception
    assert isinstance(none, command.LogsUnknown)
    assert "\x1b" not in none.message


def test_commands_write_to_the_folder_beside_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the level of the environment; with --verbose on the terminal too."""
    from daybreak.config import Places

    where = Places.below(tmp_path, "a test")
    monkeypatch.setenv("DAYBREAK_LOG", "error")
    with home_logging.writing(where):
        log.warning("not this")
        log.error("this")
    assert [line["event"] for line in lines(tmp_path / "logs")] == ["this"]


def test_more_is_shown_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, escaped."""
    from daybreak.config import Places

    monkeypatch.delenv("DAYBREAK_LOG", raising=False)
    monkeypatch.setattr(sys, "argv", ["daybreak", "--verbose", "night"])
    with home_logging.writing(Places.below(tmp_path, "a test")):
        log.debug("deep\x1b[2J\x07", extra={"_of_a_library": 7, "step": "one"})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert r"debug   tests: deep\x07  step=one" in captured.err


def test_help_does_not_import_structlog() -> None:
    """What is not logged is not paid for."""
    # shows: X3
    code = (
        "import sys; sys.argv = ['daybreak', '--help']\nfrom daybreak.cli import logs, main\n"
        "try: main.main()\nexcept SystemExit: pass\nprint('structlog' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False"
