"""Notes that say how far they can be trusted: checked, compared with the last commit, stale when they are old."""

from __future__ import annotations

import os
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.memory import notehistory, notes
from daybreak.memory.notes import NoteMissing, NoteUnusable

TODAY = date(2026, 11, 21)


def note(
    text: str = "# Search\nIt answers 429 after 20 requests.\n",
    *,
    version: str = "3",
    updated: str = "2026-11-02",
    verified_on: str = "2026-11-20",
    confidence: str = "0.8",
) -> str:
    head = f"version: {version}\nupdated: {updated}\nverified_on: {verified_on}\nconfidence: {confidence}\n"
    return f"---\n{head}owner: anna\n---\n{text}"


def told(content: str) -> list[str]:
    """Problems as `line: text`."""
    return [f"{one.line}: {one.text}" for one in notes.parse(Path("n.md"), content)[1]]


def git(folder: Path, *words: str) -> None:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=Anna", "-c", "user.email=anna@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, env=environment, check=True, capture_output=True)


def commit(folder: Path, subject: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", subject)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one note in it, committed."""
    git(tmp_path, "init", "-q")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "search.md").write_text(note())
    commit(tmp_path, "What the search does")
    return tmp_path / "notes"


# -- the front matter


@pytest.mark.parametrize("content", [note(), "\ufeff" + note(), note().replace("\n", "\r\n"), note(version="1.4.2")])
def test_a_right_note_is_read(content: str) -> None:
    """With a mark at the beginning or other line ends as well."""
    # shows: N11
    found, problems = notes.parse(Path("n.md"), content)
    assert problems == []
    assert found is not None
    assert (found.title, found.confidence, found.updated) == ("Search", 0.8, date(2026, 11, 2))
    assert found.version in ((3, 0, 0), (1, 4, 2))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# Search\n", ["1: there is no front matter: it begins with --- on the first line and ends so"]),
        ("---\nversion: 1\n", ["1: there is no front matter: it begins with --- on the first line and ends so"]),
        ("---\n---\nx\n", ["1: the front matter lacks version, updated, verified_on, confidence"]),
        ("---\nversion: 1\nconfidence: 1\n---\nx\n", ["1: the front matter lacks updated, verified_on"]),
        (
            "---\n- a\n---\nx\n",
            ["2: the front matter is no list of `key: value`"],
        ),
        (note(version="new"), ["2: version is 'new', not a number as in 3 or 1.4.2"]),
        (note(version="３"), ["2: version is '３', not a number as in 3 or 1.4.2"]),
        (note(updated="yesterday"), ["3: updated is 'yesterday', not a day as in 2026-11-20"]),
        (note(updated="2026-02-30"), ["3: updated is '2026-02-30', not a day as in 2026-11-20"]),
        (note(confidence="high"), ["5: confidence is 'high', not a number from 0 to 1 as in 0.8"]),
        (note(confidence="1.5"), ["5: confidence is '1.5', not a number from 0 to 1 as in 0.8"]),
        (note(confidence="[0.8]"), ["5: confidence is no plain value"]),
        (note(version="3\nversion: 4"), ["3: version stands there twice"]),
        (note("\n \n"), ["8: the note says nothing"]),
        (note(version="*x"), ["2: the front matter is no YAML: found undefined alias 'x'"]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(content: str, expected: list[str]) -> None:
    """The line that a person has to mend."""
    # shows: N11, P8
    assert told(content) == expected


@pytest.mark.parametrize(
    "content",
    [
        "---\n" + "[" * 3_900 + "\n---\nx\n",
        "---\n" + "- " * 1_900 + "\n---\nx\n",
        "---\n" + "? " * 1_900 + "\n---\nx\n",
        "---\n" + "a: &a [1]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(200)) + "---\nx\n",
        "---\n!!python/object/apply:os.system [ls]\n---\nx\n",
        "---\r\n" + "x\r\n" * 100_000,
        "---\n\x00\n---\nx\n",
    ],
    ids=["deep", "deep list", "deep key", "aliases", "python", "never ends", "nul"],
)
def test_a_hostile_front_matter_is_a_problem_and_no_more(content: str) -> None:
    """Nothing is constructed, expanded or run; and it takes no time to say so."""
    assert told(content)


@given(st.text(max_size=300))
def test_any_text_is_a_note_or_has_problems(text: str) -> None:
    """Never an error."""
    for content in (text, f"---\n{text}\n---\n{text}", note(text), note(version=text)):
        found, problems = notes.parse(Path("n.md"), content)
        assert (found is None) == bool(problems)


# -- a folder


def test_a_folder_is_checked_with_file_and_line(tmp_path: Path) -> None:
    """Hidden folders, links and README are no notes; what cannot be read is a problem."""
    # shows: N11
    for name, content in {
        "a.md": note(),
        "b.md": note(verified_on="2026-11-25"),
        "README.md": "# About\n",
        "c.txt": "no",
        ".d/e.md": "no",
        "f/g.md": "no",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "h.md").write_bytes(b"---\n\xff")
    (tmp_path / "i.md").symlink_to("/etc/passwd")
    report = notes.check([tmp_path, tmp_path / "a.md"], TODAY)
    assert [one.path.name for one in report.notes] == ["a.md"]
    assert [str(one).removeprefix(f"{tmp_path}/") for one in report.problems] == [
        "b.md:4: verified_on 2026-11-25 has not come yet",
        "f/g.md:1: there is no front matter: it begins with --- on the first line and ends so",
        "h.md:2: is not UTF-8",
    ]
    assert report.uncompared != []
    with pytest.raises(NoteMissing):
        notes.check([tmp_path / "nowhere"], TODAY)


def test_a_changed_text_needs_a_higher_version(folder: Path) -> None:
    """Against the last commit; a new note, a verified one and a raised version are right."""
    # shows: N11
    path = folder / "search.md"
    (folder / "new.md").write_text(note())
    path.write_text(note(verified_on="2026-11-21", confidence="0.85"))
    assert notes.check([folder], TODAY).problems == []
    path.write_text(note("# Search\nIt answers 429 after 30 requests.\n"))
    [problem] = notes.check([folder], TODAY).problems
    assert (problem.line, problem.text) == (2, "the text changed, and version is still 3")
    path.write_text(note("# Search\nOther.\n", version="3.0", updated="2026-10-01"))
    assert [one.line for one in notes.check([path], TODAY).problems] == [2, 3]
    path.write_text(note(version="2"))
    [problem] = notes.check([folder], TODAY).problems
    assert problem.text == "version 2 is lower than 3, which is committed"
    path.write_text(note("# Search\nOther.\n", version="4"))
    report = notes.check([folder], TODAY)
    assert (report.problems, report.uncompared, len(report.notes)) == ([], [], 2)


def test_a_hostile_repository_runs_nothing(folder: Path, tmp_path: Path) -> None:
    """Monitors, pagers and filters that its configuration names are not asked."""
    trap = tmp_path / "trap"
    for key in ("core.fsmonitor", "core.pager", "diff.external", "filter.x.smudge", "diff.x.textconv"):
        git(tmp_path, "config", key, f"touch {trap}; cat")
    (tmp_path / ".gitattributes").write_text("*.md filter=x diff=x\n")
    assert notes.check([folder], TODAY).uncompared == []
    assert len(notehistory.changes(folder / "search.md")) == 1
    assert not trap.exists()


def test_strange_names_are_compared_like_others(folder: Path) -> None:
    """Spaces, quotes, other letters; one that ends like git's own answer."""
    # shows: N11
    for name in ("a b.md", "ä'\".md", "HEAD missing.md"):
        (folder / name).write_text(note())
    commit(folder.parent, "more")
    for name in ("a b.md", "ä'\".md", "HEAD missing.md"):
        (folder / name).write_text(note("other\n"))
    assert len(notes.check([folder], TODAY).problems) == 3


def test_history_is_that_of_git(folder: Path) -> None:
    """The newest first, with the version that it had then."""
    # shows: N11
    path = folder / "search.md"
    path.write_text(note("# Search\nOther.\n", version="4"))
    commit(folder.parent, "It changed | since")
    newest, oldest = notehistory.changes(path)
    assert (newest.subject, oldest.subject, oldest.author) == ("It changed | since", "What the search does", "Anna")
    versions = [notes.parse(path, (one.text or b"").decode())[0] for one in (newest, oldest)]
    assert [one.version_text for one in versions if one] == ["4", "3"]
    (folder / "new.md").write_text(note())
    assert notehistory.changes(folder / "new.md") == []


# -- how old


def test_a_note_is_stale_the_sooner_the_less_it_is_trusted(tmp_path: Path) -> None:
    """And at once where it changed after it was verified."""
    # shows: N11
    written = {
        "trusted": note(verified_on="2026-07-01", updated="2026-06-01", confidence="1"),
        "doubted": note(verified_on="2026-08-01", updated="2026-06-01", confidence="0.4"),
        "changed": note(updated="2026-11-20", verified_on="2026-11-01"),
        "fresh": note(),
        "hardly": note(updated="2026-01-01", verified_on="2026-11-18", confidence="0"),
    }
    for name, content in written.items():
        (tmp_path / f"{name}.md").write_text(content)
    found = notes.check([tmp_path], TODAY).notes
    assert [one.note.path.stem for one in notes.stale(found, TODAY)] == ["doubted", "changed"]
    assert [one.note.path.stem for one in notes.stale(found, TODAY + timedelta(days=5))][1:] == ["changed", "hardly"]
    assert [one.note.path.stem for one in notes.stale(found, TODAY, days=100)] == ["doubted", "trusted", "changed"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_confidence_follows_what_was_found(tmp_path: Path, newline: str) -> None:
    """Right: verified today, more sure. Wrong: less sure, and as old as before. Nothing else in the file moves."""
    # shows: N11
    path = tmp_path / "a.md"
    before = note(verified_on='"2026-07-01"  # by hand').replace("\n", newline)
    path.write_bytes(before.encode())
    assert notes.verified(path, right=True, today=TODAY).confidence == pytest.approx(0.84)
    after = path.read_bytes().decode()
    assert after == before.replace('"2026-07-01"', "2026-11-21").replace("0.8", "0.84")
    wrong = notes.verified(path, right=False, today=TODAY)
    assert (wrong.confidence, wrong.verified_on) == (0.67, TODAY)
    path.write_text("no note\n")
    with pytest.raises(NoteUnusable):
        notes.verified(path, right=True, today=TODAY)
    assert path.read_text() == "no note\n"
