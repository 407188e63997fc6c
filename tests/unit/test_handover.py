"""Handing work over from any face: text instead of files, messages in the words of whoever asks, and what only a person
at this machine may ask for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.notes_spec import NOTES

from daybreak import home
from daybreak.clock import SystemClock
from daybreak.engine.supervisor import LOCK
from daybreak.errors import DaybreakError, SpecError
from daybreak.factory.asked import Asked
from daybreak.factory.task import BuildTask
from daybreak.home import handover
from daybreak.home.handover import AddWrong, NotFromOutside, PlaceWords, Ready, TaskUnclear, Words, keeping
from daybreak.host.locks import FileLocks

SPEC = NOTES
TASK = 'title = "count"\n{more}\n[[step]]\nrun = "echo 3 > count.txt"\n[[check]]\nfile = "count.txt"\n'


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))


def asked(words: Words, place: PlaceWords | None = None, **more: Any) -> Ready:
    told = place or PlaceWords()
    return handover.ask(words, told, cwd=Path.cwd(), environment=os.environ, clock=SystemClock(), **more)


def put(words: Words, place: PlaceWords | None = None, **more: Any) -> dict[str, Any]:
    ready = asked(words, place, **more)
    with home.opened() as opened:
        return ready.put(opened)


# -- text


def test_a_specification_is_taken_as_text_and_no_file_of_it_is_left(tmp_path: Path) -> None:
    """What it says stands in the ledger, under its hash: no file is needed, or could be changed, when it is worked."""
    # shows: N1
    words = Words(text=SPEC, name="notes.md")
    found = asked(words).found
    assert isinstance(found, BuildTask)
    assert (found.spec.name, found.text.decode(), found.path.name) == ("notes", SPEC, "notes.md")
    assert found.output == tmp_path / "work" / "notes"
    run = put(words)["run"]
    with pytest.raises(SpecError):
        asked(Words(text=SPEC.replace("name: notes", "name: 3 3"), name="bad.md"))
    assert list((tmp_path / "home" / "handed").iterdir()) == []
    with home.opened() as opened:
        [(args,)] = opened.ledger.query("SELECT args FROM view_runs WHERE run = ?", (run,))
        assert opened.ledger.get_blob(json.loads(args)["specification"]).decode() == SPEC


def test_while_it_is_read_nobody_else_may_read_it() -> None:
    with (
        keeping.lying(home.places(), SPEC, "notes.md") as file,
        keeping.lying(home.places(), SPEC, "notes.md") as other,
    ):
        assert file != other
        assert file.read_text() == other.read_text() == SPEC
        assert file.parent.stat().st_mode & 0o077 == 0
        assert file.parent.parent.stat().st_mode & 0o077 == 0


def test_no_worker_may_see_what_was_handed_over() -> None:
    """A specification holds the examples that are held out from workers."""
    assert home.places().handed in home.places().private


def test_a_task_file_is_taken_as_text_and_works_in_the_folder_of_whoever_asks(tmp_path: Path) -> None:
    found = asked(Words(text=TASK.format(more=""), name="count.toml")).found
    assert isinstance(found, Asked)
    assert (found.kind, found.title) == ("command", "count")
    assert found.args["folder"] == str(tmp_path / "work")


def test_what_is_wrong_with_a_text_is_told_by_its_name_and_line() -> None:
    with pytest.raises(SpecError, match=r"count\.toml:2: S214"):
        asked(Words(text=TASK.format(more="colour = 3"), name="count.toml"))


@pytest.mark.parametrize(
    "name",
    ["../../notes.md", "/etc/notes.md", "notes", "books.exe", ".md", "", "a/b.md", "b\0.md", "x" * 200 + ".md", "é.md"],
)
def test_a_text_has_a_plain_name_with_a_known_ending(name: str, tmp_path: Path) -> None:
    with pytest.raises(TaskUnclear, match="no name for a text"):
        asked(Words(text=SPEC, name=name))
    assert not (tmp_path / "home" / "handed").exists()


@pytest.mark.parametrize(("text", "why"), [("", "empty"), (" \n", "empty"), ("\ud800", "surrogate")])
def test_a_text_that_cannot_be_kept_is_refused(text: str, why: str) -> None:
    with pytest.raises(TaskUnclear, match=why):
        asked(Words(text=text))


def test_a_text_has_a_limit() -> None:
    with pytest.raises(TaskUnclear, match="bytes"):
        asked(Words(text="x" * 10_485_761))


# -- the words of whoever asks


def test_messages_name_fields_to_a_program_and_options_to_a_shell() -> None:
    with pytest.raises(TaskUnclear) as program:
        asked(Words(command="make"))
    with pytest.raises(TaskUnclear) as shell:
        asked(Words(command="make", spelled="options"))
    assert "--check" in shell.value.hint
    assert "--" not in program.value.hint
    assert "checks" in program.value.hint


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(AddWrong) as error:
        asked(Words(command="make"), PlaceWords(not_before="soon", budget="much"))
    assert error.value.message.startswith("3 things are wrong:")


@pytest.mark.parametrize(
    "words",
    [
        Words(),
        Words(task="a.toml", text="x"),
        Words(command="x", text="y"),
        Words(task="a.toml", name="b.md"),
        Words(command="x", checks=("y",), from_phase="testing"),
        Words(command="x", checks=("y",), labels=("bug",)),
        Words(text=SPEC, arg=("a=b",)),
    ],
)
def test_words_that_do_not_go_together_are_refused(words: Words) -> None:
    with pytest.raises(TaskUnclear):
        asked(words)


def test_keys_and_rates_are_taken_as_tables_or_as_text() -> None:
    table = asked(Words(command="x", unchecked=True), PlaceWords(keys={"shop": 2}, rates={"shop": "3/hour"}))
    text = asked(Words(command="x", unchecked=True), PlaceWords(keys=("shop=2",), rates=("shop=3/hour",)))
    assert table.place == text.place == {"keys": {"shop": 2}, "rates": {"shop": "3/hour"}}


@pytest.mark.parametrize("keys", [{"shop": 0}, {"shop": "2"}, {"": 1}, {"shop": True}])
def test_a_table_of_keys_is_looked_at(keys: Any) -> None:
    with pytest.raises(DaybreakError) as error:
        asked(Words(command="x", unchecked=True), PlaceWords(keys=keys))
    assert error.value.code == "U161"


# -- into the queue


def test_a_command_goes_into_the_queue_once_for_one_word() -> None:
    words, place = Words(command="true", checks=("true",)), PlaceWords(dedupe="nightly", priority=3)
    first, again = put(words, place), put(words, place)
    assert first == {**again, "existed": False}
    assert again["existed"]


def test_a_task_with_a_schedule_becomes_one_unless_it_is_to_run_once() -> None:
    words = Words(text=TASK.format(more='every = "day"'), name="count.toml")
    assert put(words)["schedule"] == "count"
    assert put(words, once=True)["run"].startswith("run-")


# -- what only a person at this machine may ask for


def outside(words: Words) -> Words:
    return handover.check_outside(words, [Path.cwd()])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (Words(task="/etc/passwd.md"), "command line only"),
        (Words(task="os:system"), "command line only"),
        (Words(command="true", unchecked=True, sandbox="none"), "sandbox"),
        (Words(command="true", unchecked=True, sandbox="NONE"), "sandbox"),
        (Words(text=SPEC, workers=("evil.py:work",)), "code of this machine"),
        (Words(text=SPEC, workers=("os:system",)), "code of this machine"),
        (Words(text=SPEC, output=Path("/root/.ssh")), "no folder that is open"),
        (Words(text=SPEC, output=Path("../elsewhere")), "no folder that is open"),
        (Words(task="do it", repo=Path("/")), "no folder that is open"),
        (Words(source="github:a/b", repo=Path("..")), "no folder that is open"),
    ],
)
def test_a_program_that_speaks_for_somebody_may_not_hand_this_over(words: Words, why: str) -> None:
    with pytest.raises(NotFromOutside, match=why):
        outside(words)


def test_a_link_does_not_lead_out_of_the_open_folders(tmp_path: Path) -> None:
    Path("way-out").symlink_to(tmp_path)
    with pytest.raises(NotFromOutside):
        outside(Words(text=SPEC, output=Path("way-out/home")))


def test_what_lies_in_an_open_folder_is_made_absolute(tmp_path: Path) -> None:
    assert outside(Words(task="do it", repo=Path("."))).repo == tmp_path / "work"
    assert outside(Words(text=SPEC, output=Path("out"))).output == tmp_path / "work" / "out"


@pytest.mark.parametrize(
    "more",
    [
        'sandbox = "none"',
        'folder = ".."',
        '[grant]\nsecrets = ["TOKEN"]',
        "[grant]\nnetwork = true",
        '[grant]\nread = ["../home"]',
        '[grant]\nwrite = ["/var/tmp"]',
    ],
)
def test_a_task_file_from_outside_says_nothing_more_than_options_may(more: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    found = asked(Words(text=TASK.format(more=more), name="count.toml")).found
    with pytest.raises(NotFromOutside):
        handover.check_found(found, [Path.cwd()])


def test_an_ordinary_task_file_from_outside_is_fine() -> None:
    found = asked(Words(text=TASK.format(more=""), name="count.toml")).found
    handover.check_found(found, [Path.cwd()])


@pytest.mark.parametrize(
    "more",
    [
        '[[check]]\nfile = "../home/keys/root"\ncontains = "x"',
        '[[check]]\nfile = "/etc/passwd"\nmatches = "root"',
        '[[check]]\nhttp = "http://127.0.0.1:9/"',
        '[[check]]\nrun = "true"\nexpect = {files = ["/etc/passwd"]}',
        '[[step]]\nrun = "true"\nexpect = {files = ["../home/ledger/events.sqlite"]}',
        '[bounds]\nmemory = "900GB"',
        "[bounds]\nprocesses = 100000",
    ],
)
def test_our_own_process_looks_at_nothing_for_somebody_outside_that_a_sandbox_would_not_show(more: str) -> None:
    """Checks of files and addresses are made by us: their answers would tell what is in any file of this user."""
    found = asked(Words(text=TASK.format(more="") + more + "\n", name="count.toml")).found
    with pytest.raises(NotFromOutside):
        handover.check_found(found, [Path.cwd()])


@pytest.mark.parametrize("how", ["file", "link", "alternates"])
def test_a_work_tree_in_an_open_folder_does_not_open_a_repository_elsewhere(how: str, tmp_path: Path) -> None:
    """Whoever may write there can write the file `.git`, too."""
    private = tmp_path / "private"
    subprocess.run(["git", "init", "-q", private], check=True)
    tree = tmp_path / "work" / "tree"
    tree.mkdir()
    if how == "file":
        (tree / ".git").write_text(f"gitdir: {private / '.git'}\n")
    elif how == "link":
        (tree / ".git").symlink_to(private / ".git")
    else:
        subprocess.run(["git", "init", "-q", tree], check=True)
        (tree / ".git" / "objects" / "info" / "alternates").write_text(f"{private / '.git' / 'objects'}\n")
    with pytest.raises(NotFromOutside):
        outside(Words(task="show it", repo=Path("tree")))


def test_who_hands_a_task_with_a_folder_to_a_home_without_a_night_is_told_who_will_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    """Where several homes share a ledger, the others leave it alone all night; builds go anywhere."""
    # shows: N14
    monkeypatch.setenv("DAYBREAK_POSTGRES", postgres_url)
    ready = asked(Words(command="true", checks=("true",)))
    with home.opened() as opened:
        alone = ready.put(opened)
        assert "only a night of this home" in alone["waits"]
        with FileLocks(opened.places.locks, SystemClock()).hold(LOCK):
            assert ready.put(opened)["waits"] == ""
        assert asked(Words(text=SPEC, name="notes.md")).put(opened)["waits"] == ""
    monkeypatch.delenv("DAYBREAK_POSTGRES")
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "a file"))
    with home.opened() as opened:
        assert ready.put(opened)["waits"] == "", "there, whatever night there is, it is this home's"
