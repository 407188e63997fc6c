"""The page of notes: lessons that briefs are given, and Markdown notes of the folder that the server was begun in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from daybreak.errors import DaybreakError
from daybreak.memory import lessons, notehistory
from daybreak.memory import notes as keeping
from daybreak.memory.lessons import Lesson
from daybreak.memory.notehistory import Change
from daybreak.memory.notes import Note
from daybreak.web import forms
from daybreak.web.desk import Here
from daybreak.web.pages import explain
from daybreak.web.pages.base import Pager, back, page, pager, refused
from daybreak.web.problems import NotThere
from daybreak.web.who import Asker, Looker, may

router = APIRouter()

PAGE = "/notes"
FOLDER = "notes"
LESSONS_A_PAGE = 30
NOTES_MAX = 300
"""Files that are read for one page."""
SEARCH_MAX = 200
HISTORY_MOST = 30
WHY_MAX = 300
Form = Annotated[dict[str, str], Depends(forms.fields)]


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A note as the page shows it."""

    name: str
    """Its path below the folder."""
    note: Note
    stale: str
    """Why it is to be held against the world again; empty where it is not."""


@dataclass(frozen=True, slots=True)
class Notes:
    folder: str
    lines: tuple[NoteLine, ...]
    """Those that are due first, then by name."""
    problems: tuple[tuple[str, str], ...]
    """Files that are no right notes: name and why."""
    more: int
    """Files beyond those read."""
    there: bool
    """Is there a folder of notes at all?"""


def folder() -> Path | None:
    """None where the folder that the server was begun in is gone."""
    try:
        return Path.cwd() / FOLDER
    except OSError:
        return None


def notes_in(where: Path | None, today: date, words: Sequence[str] = ()) -> Notes:
    """Notes of a folder that hold all these words. Versions are not compared with commits: that asks git."""
    if where is None or not where.is_dir():
        return Notes(FOLDER if where is None else str(where), (), (), 0, there=False)
    try:
        paths = keeping.find(where)
    except DaybreakError as error:  # there are too many
        return Notes(str(where), (), ((FOLDER, error.message),), 0, there=True)
    found: list[Note] = []
    problems: list[tuple[str, str]] = []
    for path in paths[:NOTES_MAX]:
        name = str(path.relative_to(where))
        if not name.isprintable():
            problems.append((ascii(name), "its name cannot be printed, so no link leads to it"))
            continue
        try:
            note = keeping.read(path)
        except DaybreakError as error:
            problems.append((name, error.message))
        else:
            if _holds(f"{note.title}\n{note.text}", words):
                found.append(note)
    due = {one.note.path: one.why for one in keeping.stale(found, today)}
    lines = [NoteLine(str(one.path.relative_to(where)), one, due.get(one.path, "")) for one in found]
    lines.sort(key=lambda one: (not one.stale, one.name))
    return Notes(str(where), tuple(lines), tuple(problems), max(0, len(paths) - NOTES_MAX), there=True)


def lessons_with(log: Any, words: Sequence[str], *, forgotten: bool = False) -> list[Lesson]:
    """The newest first, those that hold all these words."""
    found = lessons.all_lessons(log, forgotten=forgotten)
    return [one for one in found if _holds(f"{one.text} {one.task} {one.check} {one.worker} {one.lesson}", words)]


def _holds(text: str, words: Sequence[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def words_of(searched: str) -> list[str]:
    return searched.casefold().split()[:20]


@router.get(PAGE, response_class=HTMLResponse, include_in_schema=False)
def notes(
    request: Request,
    desk: Here,
    asker: Looker,
    q: Annotated[str, Query(max_length=SEARCH_MAX)] = "",
    forgotten: bool = False,
    page_number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
) -> HTMLResponse:
    """What workers have said stands in lessons and in notes: whoever may not see that sees how many there are."""
    sees = asker.has("evidence")
    found = lessons_with(desk.home.ledger, words_of(q) if sees else (), forgotten=forgotten)
    turn: Pager = pager(request, page_number, len(found), LESSONS_A_PAGE)
    first = (turn.page - 1) * LESSONS_A_PAGE
    return page(
        request,
        "notes.html",
        q=q,
        forgotten=forgotten,
        count=len(found),
        lessons=found[first : first + LESSONS_A_PAGE] if sees else [],
        pager=turn,
        notes=notes_in(folder(), desk.clock.now().date(), words_of(q) if sees else ()),
        sees=sees,
        may_steer=asker.has("steer"),
        text_max=lessons.TEXT_MAX,
        linked=explain.linked,
    )


@router.post(PAGE + "/lessons", include_in_schema=False)
def add(desk: Here, asker: Annotated[Asker, may("steer")], form: Form) -> Response:
    """Keep a lesson of a person's."""
    try:
        kept = lessons.add(
            desk.home.ledger,
            form.get("text", ""),
            task=form.get("task", "").strip(),
            anyway=form.get("anyway") == "1",
            actor=asker.actor,
        )
    except DaybreakError as error:
        return refused(form, error, to=PAGE)
    return back(form, f"Lesson {kept.lesson} is kept.", to=PAGE)


@router.post(PAGE + "/lessons/{lesson}/forget", include_in_schema=False)
def forget(desk: Here, asker: Annotated[Asker, may("steer")], lesson: str, form: Form) -> Response:
    """Keep it out of every brief from now on."""
    why = " ".join(form.get("why", "").split())[:WHY_MAX]
    try:
        gone = lessons.forget(desk.home.ledger, lesson, why=why, actor=asker.actor)
    except DaybreakError as error:
        return refused(form, error, to=PAGE)
    return back(form, f"Lesson {gone.lesson} is forgotten: no brief is given it any more.", to=PAGE)


@router.get(PAGE + "/history", response_class=HTMLResponse, include_in_schema=False)
def history(request: Request, desk: Here, asker: Annotated[Asker, may("evidence")], of: str) -> HTMLResponse:
    """One note, and the commits that changed it."""
    path = named(folder(), of)
    note, wrong = None, ""
    try:
        note = keeping.read(path)
    except DaybreakError as error:
        wrong = f"{error.code} {error.message}"
    changes, why = changes_of(path)
    return page(
        request,
        "note.html",
        current="notes",
        name=of,
        note=note,
        wrong=wrong,
        changes=changes,
        why=why,
        linked=explain.linked,
    )


def named(where: Path | None, name: str) -> Path:
    """The note of that name in the folder; nothing else, whatever the name says. Raises NotThere."""
    try:
        paths = keeping.find(where) if where is not None and where.is_dir() else []
    except DaybreakError:  # there are too many
        paths = []
    for path in paths:
        if where is not None and str(path.relative_to(where)) == name:
            return path
    raise NotThere(f"there is no note {name[:80]!a}", hint="the page of notes names them")


def changes_of(path: Path) -> tuple[list[tuple[Change, Note | None]], str]:
    """The newest first, each with the note as it was; or why that is not known."""
    try:
        found = notehistory.changes(path)[:HISTORY_MOST]
    except DaybreakError as error:
        return [], f"{error.code} {error.message}"
    return [(one, _then(path, one)) for one in found], ""


def _then(path: Path, one: Change) -> Note | None:
    return None if one.text is None else keeping.parse(path, one.text.decode("utf-8", "replace"))[0]
