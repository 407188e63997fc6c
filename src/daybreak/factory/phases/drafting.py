"""From one sentence: an analyst drafts a specification, which is read like anybody's and shown before it is built.

A draft is done when our own reader finds nothing wrong with it and every MUST has an acceptance example. It is then a
person's to say yes to, unless the build was told to assume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from daybreak import events
from daybreak.agents.protocol import Brief, Claim, Finding
from daybreak.engine import Kept
from daybreak.errors import SpecError
from daybreak.factory import attempted, hearing, recall
from daybreak.factory.attempting import Attempts
from daybreak.factory.cascading import Course
from daybreak.factory.office import Office
from daybreak.factory.site import Site
from daybreak.factory.spec import not_shown, problems_of_text, template
from daybreak.factory.spec.model import Specification
from daybreak.host.sandbox import Strength
from daybreak.ledger import Ledger

FILE, EXAMPLE = "spec.md", "EXAMPLE.md"
ROLE = "drafter"
TASK = "build/drafter"
ATTEMPTS_MAX = 3
TIME_S = 1_800.0
BYTES_MAX = 1_000_000
SHOWN_CHARS_MAX = 60_000
"""Of a draft, in the ledger's event; the whole of it is kept as a blob."""


class DraftUnwanted(SpecError):
    """A person did not want what was drafted."""

    code = "S102"


@dataclass
class Drafting:
    """Of one run."""

    site: Site
    ledger: Ledger
    office: Office
    attempts: Attempts
    workers: tuple[str, ...]
    as_written: bool
    sandbox: Strength
    requirement: str

    async def go(self, *, assume: bool) -> tuple[str, Specification]:
        """Blob of the draft's text, and what it says. Raises NobodyLeft, DraftUnwanted; parks with a question."""
        course = Course(
            self.site.ctx,
            self.office,
            self.workers,
            TASK,
            ATTEMPTS_MAX,
            refuses=lambda: "the embedded builder builds from a specification, and drafts none",
            as_written=self.as_written,
            phase="requirements",
            role=ROLE,
        )
        found: Sequence[Finding] = ()
        while True:
            number = await self.site.next_number()
            worker = await course.next(number)
            kept = await self.site.ctx.step("attempt", partial(self._attempt, number, worker, found))
            if not kept["draft"]:
                continue
            text = self.ledger.get_blob(kept["draft"]).decode()
            spec, problems = read(text)
            if spec is not None and not problems:
                break
            found = [Finding(check="specification", message=problem) for problem in problems]
        if not assume:
            await self._ask(spec)
        return kept["draft"], spec

    async def _ask(self, spec: Specification) -> None:
        asked = f"{len(spec.requirements)} requirements and {len(spec.examples)} acceptance examples"
        question = f"build the drafted specification of {spec.name} ({asked}; `daybreak report` shows it)?"
        answer = await self.site.ctx.ask(question)
        if str(answer).strip().lower() not in ("yes", "y", "true"):
            raise DraftUnwanted(
                f"the draft of {spec.name} was not wanted",
                hint="say more in the requirement, or write the specification: `daybreak spec new NAME`",
            )

    # -- one attempt, inside its step

    def _attempt(self, number: int, worker: str, found: Sequence[Finding]) -> Kept:
        run = self.site.ctx.run
        with self.site.scratch() as scratch:
            folder = scratch / "workspace"
            folder.mkdir()
            (folder / EXAMPLE).write_text(template("notes"), encoding="utf-8")
            brief = self._brief(number, found)
            result = self.attempts.work(number, worker, brief, folder, scratch, time_s=TIME_S, require=self.sandbox)
            file, draft = folder / FILE, b""
            if result.claim.outcome not in ("refused", "crashed"):
                if file.is_file() and not file.is_symlink() and file.stat().st_size <= BYTES_MAX:
                    draft = file.read_bytes()
                if not draft.strip():
                    summary = hearing.cut(f"it left no {FILE}: {result.claim.summary}")
                    result.claim = Claim(outcome="crashed", summary=summary, trouble="crashed")
        blob = self.ledger.put_blob(_text(draft).encode()) if draft else ""
        kept: dict[str, Any] = {"worker": worker, "draft": blob, "claim": msgspec.to_builtins(result.claim)}
        told = attempted.told(run, number, TASK, worker, result, blob)
        if not blob:
            return Kept(kept, tell=told)
        spec, problems = read(_text(draft))
        drafted = events.SpecificationDrafted(
            run=run,
            attempt=number,
            worker=worker,
            blob=blob,
            name=spec.name if spec is not None else "",
            text=_text(draft)[:SHOWN_CHARS_MAX],
            problems=problems,
        )
        judged = events.AttemptJudged(
            run=run,
            attempt=number,
            worker=worker,
            task=TASK,
            solved=not problems,
            score=0.0 if problems else 100.0,
            money_microusd=result.usage.money_microusd,
            duration_ms=result.duration_ms,
        )
        return Kept(kept, tell=[*told, drafted, judged])

    def _brief(self, number: int, found: Sequence[Finding]) -> Brief:
        return Brief(
            name="specification",
            title="Draft a specification",
            summary=self.requirement,
            role=ROLE,
            constraints=(
                f"Write `{FILE}`, in the format of `{EXAMPLE}`, whose comments explain it.",
                "Every MUST has an acceptance example whose heading names it.",
                "What only the one who asked can know is marked `[NEEDS CLARIFICATION: question]`, not guessed.",
            ),
            checks=("the specification's reader: every problem is told with its line",),
            attempt=number,
            findings=tuple(found),
            recall=recall.pack(self.site.ctx.records(), role=ROLE),
        )


def read(text: str) -> tuple[Specification | None, list[str]]:
    """What a draft says, and all that is wrong with it, in words."""
    spec, problems = problems_of_text(text, name=FILE, format="md")
    found = [f"line {one.line}: {one.message}; {one.remedy}" for one in problems if one.severity == "error"]
    if spec is None and not found:
        found = ["nobody can read it"]
    if spec is not None:
        found += [f"{one.id}: no acceptance example names it in its heading" for one in not_shown(spec) if one.must]
    return spec, found


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
