"""What the attempts and commands of a run said and printed, as far as the ledger keeps it: step by step, paged, without
secrets. Only for the scope `evidence`. What checks saw is on the run's page, held-out examples are not here at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from daybreak import events
from daybreak.ledger import Ledger
from daybreak.policy.redaction import redact
from daybreak.web.desk import Desk, Here
from daybreak.web.pages import story
from daybreak.web.pages.base import page, pager
from daybreak.web.problems import NotThere
from daybreak.web.who import Asker, may

router = APIRouter(include_in_schema=False)

STEPS = 10
"""On one page."""
STEPS_MAX = 2_000
"""The newest of a run that are looked through."""
CHARS = 60_000
"""Of a whole output on one page."""
BYTES_MAX = 4_000_000
"""Of a whole output; secrets are looked for in all of it, so that none is shown in two halves."""
STREAMS = ("output", "errors")


class Part(NamedTuple):
    """One text that a step keeps."""

    name: str
    text: str
    blob: str
    """Where all of it is; empty where the text is all of it."""


class Said(NamedTuple):
    place: int
    at: str
    step: str
    who: str
    words: str
    """How it ended, in short."""
    parts: list[Part]


@router.get("/runs/{run}/transcript")
def transcript(
    request: Request,
    desk: Here,
    asker: Annotated[Asker, may("evidence")],
    run: Annotated[str, Path(max_length=200)],
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
    step: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    of: Annotated[str, Query(max_length=10)] = "output",
) -> HTMLResponse:
    """All steps that keep something; with `step`, its place in the ledger, the whole of what it printed."""
    row = story.row_of(desk.home, run)
    if row is None:
        raise NotThere(f"there is no run {run[:80]!a}", hint="the page Runs lists them")
    found = list(said(desk.home.ledger, run))
    if step is None:
        pages = pager(request, number, len(found), STEPS)
        shown = found[(pages.page - 1) * STEPS : pages.page * STEPS]
        return page(
            request, "transcript.html", current="runs", run=run, row=row, shown=shown, pager=pages, whole=None, part=""
        )
    text, left = _whole(desk, found, step, of)
    pages = pager(request, number, len(text), CHARS)
    piece = text[(pages.page - 1) * CHARS : pages.page * CHARS]
    return page(
        request, "transcript.html", current="runs", run=run, row=row, shown=[], pager=pages, whole=piece, part=of,
        left=left, most=CHARS,
    )  # fmt: skip


def said(log: Ledger, run: str) -> Iterator[Said]:
    """The oldest first."""
    stream = events.run_stream(run)
    ((last,),) = log.query("SELECT ifnull(max(seq), -1) FROM event WHERE stream = ?", (stream,))
    for record in log.read(stream, after=max(-1, last - STEPS_MAX)):
        event = record.event
        match event:
            case events.StepDone(result=dict() as result) if parts := _parts(result):
                claim = result.get("claim")
                outcome = f"claims {claim.get('outcome', '')}" if isinstance(claim, dict) else ""
                words = f"exit status {result['exit']}" if "exit" in result else outcome
                yield Said(record.index, record.ts, event.name, str(result.get("worker", "")), words, parts)
            case events.StepFailed():
                part = Part("message", event.message, "")
                yield Said(record.index, record.ts, event.name, "", f"failed {event.code}", [part])
            case events.AttemptClaimed():
                text = "\n".join([event.summary, *(f"not built: {what}" for what in event.not_built)])
                part = Part("claim", text, "")
                yield Said(
                    record.index, record.ts, f"attempt {event.attempt}", event.worker, f"claims {event.outcome}", [part]
                )
            case _:
                pass


def _parts(result: dict[str, Any]) -> list[Part]:
    """Of a command, which alone keeps an exit status: evidence of checks has outputs as well, some of them held out."""
    if "exit" not in result:
        return []
    return [
        Part(name, text, _blob(result.get(f"{name}_blob")))
        for name in STREAMS
        if isinstance(text := result.get(name), str) and text
    ]


def _blob(name: object) -> str:
    return name if isinstance(name, str) and len(name) == 64 else ""


def _whole(desk: Desk, found: list[Said], index: int, of: str) -> tuple[str, int]:
    """A text without secrets, and how many bytes are left out. Raises NotThere, and what reading a blob raises."""
    part = next((part for one in found if one.place == index for part in one.parts if part.name == of), None)
    if part is None:
        raise NotThere(f"event {index} keeps no {of[:10]!a} of this run", hint="look at the run's transcript")
    if not part.blob:
        return redact(part.text).text, 0
    raw = desk.home.ledger.get_blob(part.blob)
    return redact(raw[:BYTES_MAX].decode("utf-8", "replace")).text, max(0, len(raw) - BYTES_MAX)
