"""What was learned: lessons, and notes that say how far they can be trusted."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from daybreak.web.acting import Act, acting
from daybreak.web.api import seeing
from daybreak.web.api.runs import Steers
from daybreak.web.api.seeing import Words
from daybreak.web.desk import Here
from daybreak.web.fresh import Fresh
from daybreak.web.who import Asker, Looker, may

router = APIRouter(tags=["memory"])
Reader = Annotated[Asker, may("evidence")]
Name = Annotated[str, Path(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,60}$", description="A lesson's name.")]


class Lesson(BaseModel):
    lesson: str
    text: str
    source: str
    task: str
    worker: str
    check: str
    run: str
    learned: str
    seen: int
    helped: int
    failed: int
    forgotten: str
    why: str
    confidence: float


class Lessons(BaseModel):
    lessons: list[Lesson]


def _lesson(row: dict[str, Any], asker: Asker) -> Lesson:
    told: dict[str, Any] = {
        name: seeing.text(value, asker) if isinstance(value, str) else value for name, value in row.items()
    }
    return Lesson(**told)


@router.get("/lessons", operation_id="listLessons")
def lessons(
    desk: Here,
    asker: Reader,
    tag: Fresh,
    forgotten: Annotated[bool, Query(description="Also those that were forgotten.")] = False,
) -> Lessons:
    """Lessons, the newest first, with what became of attempts that were shown them."""
    from daybreak.memory import lessons as memory

    rows = memory.exported(memory.all_lessons(desk.home.ledger, forgotten=forgotten)[:1000])
    return Lessons(lessons=[_lesson(row, asker) for row in rows])


class Learning(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=5_000, pattern="^[^\\x00]*$")]
    task: Annotated[str, Field(max_length=100, pattern="^[^\\x00]*$")] = Field(
        default="", description="A kind of task; empty: every kind."
    )
    anyway: bool = Field(default=False, description="Keep it although it looks like an instruction to machines.")


@router.post("/lessons", operation_id="addLesson")
def learn(act: Steers, body: Learning) -> Lesson:
    """Keep a lesson of your own. It enters briefs for that kind of task."""
    from daybreak.memory import lessons as memory

    def work() -> Lesson:
        kept = memory.add(act.desk.home.ledger, body.text, task=body.task, anyway=body.anyway, actor=act.asker.actor)
        return _lesson(memory.exported([kept])[0], act.asker)

    return act.do(work)


class Forgetting(BaseModel):
    why: Words = ""


@router.post("/lessons/{lesson}/forget", operation_id="forgetLesson")
def forget(lesson: Name, act: Annotated[Act, acting("steer")], body: Forgetting | None = None) -> Lesson:
    """Keep it out of every brief from now on."""
    from daybreak.memory import lessons as memory

    def work() -> Lesson:
        gone = memory.forget(act.desk.home.ledger, lesson, why=(body or Forgetting()).why, actor=act.asker.actor)
        return _lesson(memory.exported([gone])[0], act.asker)

    return act.do(work)


class Note(BaseModel):
    path: str
    title: str
    version: str
    updated: str
    verified_on: str
    confidence: float
    stale: str = Field(description="Why it is to be held against the world again; empty where it is not.")


class Notes(BaseModel):
    notes: list[Note]
    problems: list[str] = Field(description="What keeps others out of this list.")


@router.get("/notes", operation_id="listNotes")
def notes(desk: Here, asker: Looker, days: Annotated[int, Query(ge=1, le=36_500)] = 180) -> Notes:
    """The notes in `notes` below the server's folders, and which are stale."""
    from daybreak.memory import notes as memory

    today = desk.clock.now().date()
    places = [place for folder in desk.folders if (place := FilePath(folder) / "notes").is_dir()]
    if not places:
        return Notes(notes=[], problems=[])
    report = memory.check(places, today)
    stale = {one.note.path: one.why for one in memory.stale(report.notes, today, days=days)}
    return Notes(
        notes=[
            Note(
                path=str(one.path),
                title=seeing.text(one.title, asker),
                version=one.version_text,
                updated=one.updated.isoformat(),
                verified_on=one.verified_on.isoformat(),
                confidence=one.confidence,
                stale=stale.get(one.path, ""),
            )
            for one in report.notes[:1000]
        ],
        problems=[seeing.text(str(one), asker) for one in report.problems[:200]],
    )
