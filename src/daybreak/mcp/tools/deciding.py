"""Tools that decide: answers, verdicts, cancelling and trying again."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Annotated, Any

from pydantic import Field

from daybreak.mcp.desk import Desk
from daybreak.mcp.refusals import QuestionChanged
from daybreak.mcp.tools.looking import Nothing, Run, WhichRun
from daybreak.mcp.tools.tool import Gives, Takes, Tool
from daybreak.mcp.words import Outside, Speaking

QUESTIONS_MAX = 50
_ASKED = """SELECT run, kind, title, question, why, hint, updated FROM view_runs
  WHERE state = 'parked' AND NOT answered ORDER BY updated, run LIMIT ?"""
Reason = Annotated[str, Field(max_length=1_000, description="Why, for the log.")]


# -- questions


class Question(Gives):
    run: str
    kind: str
    since: str
    question_id: str
    """To be given with the answer, so that it answers this question and no later one."""
    title: Outside
    question: Outside | None
    why: Outside | None
    hint: Outside | None


class Questions(Gives):
    """Runs that wait for an answer, the oldest first."""

    questions: list[Question]
    more: bool


def _questions(desk: Desk, _: Nothing) -> Questions:
    told = Speaking(words=True, examples=desk.asker.has("held-out"))  # who may answer must know what is asked
    found = desk.home.ledger.query(_ASKED, (QUESTIONS_MAX + 1,))
    return Questions(
        questions=[
            Question(
                run=run, kind=kind, since=since, question_id=_id(run, question, since), title=told.title(title),
                question=told.word(question), why=told.word(why), hint=told.word(hint),
            )
            for run, kind, title, question, why, hint, since in found[:QUESTIONS_MAX]
        ],
        more=len(found) > QUESTIONS_MAX,
    )  # fmt: skip


class Answer(Takes):
    run: Run
    question_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$", description="As `questions` gave it.")]
    answer: Annotated[
        str, Field(min_length=1, max_length=1_000, description="The answer: yes, no, or whatever is asked for.")
    ]


class Answered(Gives):
    run: str
    answered: bool


def _answer(desk: Desk, given: Answer) -> Answered:
    run = desk.run(given.run)
    found = desk.home.ledger.query("SELECT state, question, answered, updated FROM view_runs WHERE run = ?", (run,))
    ((state, question, answered, since),) = found
    if state != "parked" or answered:
        raise QuestionChanged(f"run {run} asks nothing", hint="`questions` has those that do")
    if _id(run, question, since) != given.question_id:
        raise QuestionChanged(f"run {run} asks something else now", hint="read `questions` again, then answer")
    desk.home.engine.answer(run, question, _read(given.answer))
    return Answered(run=run, answered=True)


def _id(run: str, question: str, since: str) -> str:
    """The same words asked a second time are another question."""
    return hashlib.sha256(f"{run}\0{since}\0{question}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _read(words: str) -> Any:
    """JSON where it is JSON, as `daybreak answer` reads it."""
    try:
        return json.loads(words)
    except (ValueError, RecursionError):
        return words


# -- runs


class Cancel(Takes):
    run: Run
    why: Reason = ""


class Steered(Gives):
    run: str
    state: str
    """Before it hears of it: one that is under way stops before its next step."""


def _cancel(desk: Desk, given: Cancel) -> Steered:
    run = desk.run(given.run)
    desk.home.engine.queue.cancel(run, given.why)
    return Steered(run=run, state=_state(desk, run))


def _retry(desk: Desk, given: WhichRun) -> Steered:
    run = desk.run(given.run)
    desk.home.engine.queue.retry(run)
    return Steered(run=run, state=_state(desk, run))


def _state(desk: Desk, run: str) -> str:
    ((state,),) = desk.home.ledger.query("SELECT state FROM view_runs WHERE run = ?", (run,))
    return str(state)


# -- verdicts


class Accept(Takes):
    run: Run
    note: Reason = ""


class Accepted(Gives):
    run: str
    changed: bool
    """False where it was accepted before."""
    about: str
    """The event that it is about."""


def _accept(desk: Desk, given: Accept) -> Accepted:
    from daybreak.factory import verdicts

    told = verdicts.accept(desk.home.ledger, desk.run(given.run), actor=desk.asker.actor, note=given.note)
    return Accepted(run=told.run, changed=told.changed, about=told.about)


class Reject(Takes):
    run: Run
    because: Annotated[str, Field(min_length=1, max_length=1_000, description="What is wrong with it, in a sentence.")]
    again: Annotated[bool, Field(description="Have it done again, with the reason.")] = True


class Rejected(Gives):
    run: str
    changed: bool
    lesson: str
    task: str
    """The run that does it again."""


def _reject(desk: Desk, given: Reject) -> Rejected:
    from daybreak.factory import verdicts

    told = verdicts.reject(
        desk.home.ledger,
        desk.run(given.run),
        given.because,
        actor=desk.asker.actor,
        clock=desk.clock,
        entropy=os.urandom,
        locks=desk.home.places.locks,
        task=given.again,
    )
    return Rejected(run=told.run, changed=told.changed, lesson=told.lesson, task=told.task)


class Undo(Takes):
    run: Run
    dry_run: Annotated[
        bool, Field(description="Only say what would be done. Show that to the person before you say false.")
    ] = True


class Part(Gives):
    what: Outside
    done: Outside
    kept: Outside
    """Where it lies now."""


class Undone(Gives):
    run: str
    dry_run: bool
    undone: bool
    """False for a plan, and while a task must revert what was merged."""
    changed: bool
    parts: list[Part]
    remains: list[Outside]
    """What is outside, and is not undone."""
    waits: list[str]
    """Runs that must be over first; call again then."""


def _undo(desk: Desk, given: Undo) -> Undone:
    from daybreak.factory import verdicts

    ledger, run, told = desk.home.ledger, desk.run(given.run), desk.speaking
    around: dict[str, Any] = {
        "places": desk.home.places, "clock": desk.clock, "entropy": os.urandom, "environment": desk.environment,
    }  # fmt: skip
    if given.dry_run:
        found = verdicts.plan(ledger, run, **around)
    else:
        found = verdicts.undo(ledger, run, actor=desk.asker.actor, **around)
    return Undone(
        run=run,
        dry_run=given.dry_run,
        undone=found.undone,
        changed=found.changed,
        parts=[
            Part(what=told.title(one.what), done=told.title(one.done), kept=told.title(one.kept)) for one in found.parts
        ],
        remains=[told.title(one) for one in found.remains],
        waits=list(found.waits),
    )


TOOLS = (
    Tool("questions", "Parked questions", "Runs that are parked and wait for an answer, with everything needed to give "
         "one.", "answer", Nothing, Questions, _questions, repeats=True),
    Tool("answer", "Answer a question", "Answer the question that a run is parked with. Ask the person you work for "
         "unless they told you what to answer.", "answer", Answer, Answered, _answer, changes=True),
    Tool("cancel", "Cancel a run", "Cancel a run. One that is under way stops before its next step; what it has done "
         "outside stays done.", "steer", Cancel, Steered, _cancel, changes=True, destroys=True),
    Tool("retry", "Try a run again", "Ask for a failed or parked run to be tried again.", "steer", WhichRun, Steered,
         _retry, changes=True),
    Tool("accept", "Accept a result", "Accept what a run brought, for the person you work for. Only a verified result "
         "is accepted; twice is once.", "verdict", Accept, Accepted, _accept, changes=True, repeats=True),
    Tool("reject", "Reject a result", "Reject what a run brought. The reason becomes a lesson and, unless `again` is "
         "false, the same task once more. What was delivered stays.", "verdict", Reject, Rejected, _reject,
         changes=True, repeats=True),
    Tool("undo", "Undo a result", "Take back what a run delivered, unless somebody changed it since. Says only what it "
         "would do, until `dry_run` is false. Nothing is deleted: it names where everything lies then.", "undo", Undo,
         Undone, _undo, changes=True, destroys=True, repeats=True),
)  # fmt: skip
