"""What a person does from a page: answer, move, pause, resume, retry, cancel, accept, reject, undo. Each is a form
of its own, leads back to the page that it stood on, and says there what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from daybreak.engine.view import PRIORITY_MAX
from daybreak.errors import DaybreakError, UsageError
from daybreak.factory import verdicts
from daybreak.home.acting import Hand, writing
from daybreak.web import forms
from daybreak.web.desk import Desk, Here
from daybreak.web.pages import asking, kept
from daybreak.web.pages.base import back, refused
from daybreak.web.who import Asker, may

router = APIRouter(include_in_schema=False)

Form = Annotated[dict[str, str], Depends(forms.fields)]
Answering = Annotated[Asker, may("answer")]
Steering = Annotated[Asker, may("steer")]
Judging = Annotated[Asker, may("verdict")]
Undoing = Annotated[Asker, may("undo")]
TEXT_MAX = 1_000


class QuestionGone(UsageError):
    """The question was answered already, or is another one by now."""

    code = "U340"


class FieldWrong(UsageError):
    """A form's field says nothing that can be used."""

    code = "U341"


def _back(desk: Desk, form: dict[str, str], asker: Asker, run: str, work: Callable[[], str]) -> Response:
    """Do it in the asker's name, and say what came of it on the page where the form was."""
    to = f"/runs/{quote(run, safe='')}" if run else "/queue"
    try:
        with writing(Hand(asker.actor)):
            said = work()
        kept.drop(desk)
        return back(form, said, to=to)
    except DaybreakError as error:
        return refused(form, error, to=to)


@router.post("/runs/{run}/answer")
def answer(run: str, desk: Here, asker: Answering, form: Form) -> Response:
    """The answer to the question that was on the screen, and to no other one."""

    def work() -> str:
        given = _text(form, "answer", "the answer")
        found = asking.of_run(desk.home.ledger, run)
        if found is None or form.get("question", found.question_id) != found.question_id:
            raise QuestionGone(
                f"run {run} does not ask that any more, so nothing was answered", hint="look what it asks now"
            )
        desk.home.engine.queue.answer(run, given)
        return f"Answered: {given}"

    return _back(desk, form, asker, run, work)


@router.post("/runs/{run}/move")
def move(run: str, desk: Here, asker: Steering, form: Form) -> Response:
    """Another priority."""

    def work() -> str:
        given = form.get("priority", "").strip()
        if not given.removeprefix("-").isascii() or not given.removeprefix("-").isdigit() or len(given) > 6:
            raise FieldWrong("the priority is no whole number", hint=f"from -{PRIORITY_MAX} to {PRIORITY_MAX}")
        desk.home.engine.queue.move(run, priority=int(given))
        return f"Its priority is {int(given)} now."

    return _back(desk, form, asker, run, work)


@router.post("/runs/{run}/pause")
def pause(run: str, desk: Here, asker: Steering, form: Form) -> Response:
    def work() -> str:
        changed = desk.home.engine.queue.pause(run, why=form.get("why", "")[:TEXT_MAX])
        return "Paused: it stops before its next step." if changed else "It was paused already."

    return _back(desk, form, asker, run, work)


@router.post("/runs/{run}/resume")
def resume(run: str, desk: Here, asker: Steering, form: Form) -> Response:
    def work() -> str:
        desk.home.engine.queue.resume(run)
        return "It may go on: the night picks it up."

    return _back(desk, form, asker, run, work)


@router.post("/runs/{run}/retry")
def retry(run: str, desk: Here, asker: Steering, form: Form) -> Response:
    def work() -> str:
        desk.home.engine.queue.retry(run)
        return "It is tried again: the night picks it up."

    return _back(desk, form, asker, run, work)


@router.post("/runs/{run}/cancel")
def cancel(run: str, desk: Here, asker: Steering, form: Form) -> Response:
    def work() -> str:
        desk.home.engine.queue.cancel(run, form.get("why", "").strip()[:TEXT_MAX])
        return "It will be cancelled before its next step."

    return _back(desk, form, asker, run, work)


@router.post("/queue/pause")
def pause_queue(desk: Here, asker: Steering, form: Form) -> Response:
    """A project, or the whole queue where none is named."""
    return _back(desk, form, asker, "", lambda: _paused(desk, form.get("project", ""), form.get("why", "")))


def _paused(desk: Desk, project: str, why: str) -> str:
    what = f"Project {project}" if project else "The queue"
    changed = desk.home.engine.queue.pause(project=project, why=why[:TEXT_MAX])
    return f"{what} is paused: nothing of it begins." if changed else f"{what} was paused already."


@router.post("/queue/resume")
def resume_queue(desk: Here, asker: Steering, form: Form) -> Response:
    def work() -> str:
        project = form.get("project", "")
        what = f"Project {project}" if project else "The queue"
        changed = desk.home.engine.queue.resume(project=project)
        return f"{what} goes on." if changed else f"{what} was not paused."

    return _back(desk, form, asker, "", work)


# -- verdicts


@router.post("/runs/{run}/accept")
def accept(run: str, desk: Here, asker: Judging, form: Form) -> Response:
    """`unverified` takes what nothing verified, and the log says so."""

    def work() -> str:
        told = verdicts.accept(
            desk.home.ledger,
            run,
            actor=asker.actor,
            unverified=form.get("unverified") == "yes",
            note=form.get("note", "").strip()[:TEXT_MAX],
        )
        return "Accepted." if told.changed else "It was accepted already."

    return _back(desk, form, asker, run, work)


@router.post("/runs/{run}/reject")
def reject(run: str, desk: Here, asker: Judging, form: Form) -> Response:
    """The reason becomes a lesson and, unless `task` is no, the same task again."""

    def work() -> str:
        told = verdicts.reject(
            desk.home.ledger,
            run,
            _text(form, "because", "the reason"),
            actor=asker.actor,
            clock=desk.clock,
            entropy=desk.entropy,
            locks=desk.home.places.locks,
            task=form.get("task") != "no",
        )
        again = f" The same task is in the queue again, with the reason, as {told.task}." if told.task else ""
        return f"Rejected.{again}" if told.changed else "It was rejected for that already."

    return _back(desk, form, asker, run, work)


@router.post("/runs/{run}/undo")
def undo(run: str, desk: Here, asker: Undoing, form: Form) -> Response:
    def work() -> str:
        told = verdicts.undo(desk.home.ledger, run, actor=asker.actor, **around(desk))
        if told.waits:
            return f"Not undone yet: {', '.join(told.waits)} must revert what was merged first; then undo it once more."
        kept = "; ".join(f"{part.what}: {part.done}" for part in told.parts)
        return f"Undone. {kept}" if told.changed else f"It was undone already. {kept}"

    return _back(desk, form, asker, run, work)


def around(desk: Desk) -> dict[str, Any]:
    """What undoing needs of this machine."""
    import os

    return {"places": desk.home.places, "clock": desk.clock, "entropy": desk.entropy, "environment": os.environ}


def _text(form: dict[str, str], name: str, what: str) -> str:
    """Raises FieldWrong."""
    given = form.get(name, "").strip()
    if not given or len(given) > TEXT_MAX:
        why = "empty" if not given else f"longer than {TEXT_MAX} characters"
        raise FieldWrong(f"{what} is {why}", hint=f"write 1 to {TEXT_MAX} characters")
    return given
