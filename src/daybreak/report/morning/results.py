"""What one run brought, asks, or could not do, from its facts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from daybreak import events
from daybreak.report.morning import facts as keep
from daybreak.report.morning.model import Decision, Evidence, Fact, Failure, Open, Result, Said, Try

_WORDS = {
    events.ResultAccepted.type: "accepted",
    events.ResultRejected.type: "rejected",
    events.ResultUndoing.type: "undo begun",
    events.ResultUndone.type: "undone",
}
_EXAMPLE = re.compile(r"example:([^\s:;,]{1,80})")


class Seen:
    """The facts of one run, sorted by what they say."""

    def __init__(self, run: str, story: Sequence[Fact]) -> None:
        self.run = run
        self.story = story
        self.added = self._last(events.TaskAdded.type)
        self.moved = self._last(events.RunMoved.type)
        self.plan = self._last(events.PlanMade.type)
        self.gate = self._last(events.GateDecided.type)
        self.delivered = self._last(events.Delivered.type)
        held = self._last(events.RunHeld.type)
        self.held = held if held is not None and (self.moved is None or self.moved.index < held.index) else None
        steps = [fact for fact in story if fact.type == events.StepDone.type]
        self.skeleton = next((one for one in reversed(steps) if one.fields.get("name") == keep.SKELETON), None)
        self.outcome = next((one for one in reversed(steps) if one.fields.get("name") == keep.OUTCOME), None)

    def _last(self, kind: str) -> Fact | None:
        return next((fact for fact in reversed(self.story) if fact.type == kind), None)

    @property
    def title(self) -> str:
        return str(self.added.fields.get("title", "")) if self.added else ""

    @property
    def kind(self) -> str:
        return str(self.added.fields.get("kind", "")) if self.added else ""

    @property
    def state(self) -> str:
        return _word(self.moved, "new") if self.moved else "queued"

    def named(self, told: str) -> str:
        """With each example by the requirements that it shows: more is told of none, as one may be held out."""
        return _EXAMPLE.sub(lambda found: self._shows(found[1]), told) if "example:" in told else told

    def _shows(self, example: str) -> str:
        plan = (self.plan.fields.get("plan") or {}) if self.plan else {}
        asked = next((one.get("requirements") for one in plan.get("shown_by", []) if one.get("id") == example), None)
        return f"an example of {', '.join(map(str, asked))}" if asked else f"example {example}"

    @property
    def since(self) -> str:
        found = self.moved or self.added
        return found.ts if found else ""


def _word(fact: Fact | None, name: str) -> str:
    """A field that is text."""
    value = fact.fields.get(name, "") if fact else ""
    return value if isinstance(value, str) else ""


def _proof(*told: Fact | None) -> list[Evidence]:
    return [fact.evidence for fact in told if fact is not None]


def decision(seen: Seen) -> Decision:
    asked = seen.held or seen.moved
    return Decision(
        run=seen.run,
        title=seen.title,
        question=seen.named(_word(asked, "question")) or "go on with it?",
        why=seen.named(_word(asked, "why")),
        hint=_word(asked, "hint"),
        since=seen.since,
        deadline=_word(seen.added, "deadline"),
        tried=tries(seen),
        commands=[
            f"daybreak answer {seen.run} ANSWER",
            f"daybreak retry {seen.run}",
            f"daybreak cancel {seen.run}",
        ],
        evidence=_proof(asked, seen.gate, seen.added),
    )


def unverified(seen: Seen) -> str:
    """Why nothing verified it; empty where something did. The same rule by which `daybreak accept` asks."""
    if seen.outcome is not None and "left_out" in (result := seen.outcome.fields.get("result") or {}):
        left = [str(one.get("branch", "")) for one in result["left_out"]]
        return f"{', '.join(left)[:200]} was left out" if left else ""
    if seen.gate is None:
        return "no gate has decided: it is merely claimed"
    verdict = _word(seen.gate, "verdict")
    return "" if verdict == "passed" else f"its gate says {verdict}"


def result(seen: Seen) -> Result:
    """Of a run that is done."""
    why_not = unverified(seen)
    shown, required, missing = _coverage(seen)
    hidden = _held_out(seen)
    score = seen.gate.fields.get("score") if seen.gate else None
    marks = ["its budget was soft"] if _soft(seen) else []
    if hidden:
        marks.append(f"held-out {sum(passed for passed in hidden)} of {len(hidden)}")
    verb = f"daybreak accept {seen.run}" + (" --unverified" if why_not else "")
    return Result(
        run=seen.run,
        title=seen.title,
        kind=seen.kind,
        output=_word(seen.delivered, "output"),
        manifest=_word(seen.delivered, "manifest"),
        provenance=_word(seen.delivered, "provenance"),
        score=float(score) if isinstance(score, (int, float)) and not why_not else None,
        shown=shown,
        required=required,
        missing=missing,
        held_out=len(hidden),
        held_out_passed=sum(hidden),
        unverified=why_not,
        marks=marks,
        said=said(seen),
        tried=tries(seen),
        commands=[verb, f"daybreak reject {seen.run} --because ...", f"daybreak undo {seen.run}"],
        evidence=_proof(seen.gate, seen.delivered, seen.moved, seen.added),
    )


def left(seen: Seen) -> Result:
    """A skeleton that was left where nothing could be built."""
    assert seen.skeleton is not None, "only then"
    told = seen.skeleton.fields.get("result") or {}
    files = told.get("files")
    what = f"a skeleton of {files} files that say NOT BUILT" if files else f"no skeleton: {told.get('why', '')}"
    return Result(
        run=seen.run,
        title=seen.title,
        kind=seen.kind,
        output=str(told.get("output", "")),
        unverified=what,
        marks=["skeleton"],
        said=said(seen),
        commands=[f"daybreak undo {seen.run}"],
        evidence=_proof(seen.skeleton, seen.moved, seen.added),
    )


def failure(seen: Seen) -> Failure:
    return Failure(
        run=seen.run,
        title=seen.title,
        code=_word(seen.moved, "code"),
        why=seen.named(_word(seen.moved, "why")),
        hint=_word(seen.moved, "hint"),
        ended=seen.since,
        tried=tries(seen),
        commands=[f"daybreak retry {seen.run}", f"daybreak report {seen.run}"],
        said=said(seen),
        evidence=_proof(seen.moved, seen.gate, seen.added),
    )


def unfinished(seen: Seen) -> Open:
    return Open(
        run=seen.run,
        title=seen.title,
        state=seen.state,
        why=seen.named(_word(seen.moved, "why")),
        since=seen.since,
        evidence=_proof(seen.moved, seen.added),
    )


def said(seen: Seen) -> list[Said]:
    """What people said of it, the newest last."""
    told = []
    for fact in seen.story:
        if fact.type in _WORDS:
            remains = fact.fields.get("remains") or []
            text = _word(fact, "because") or _word(fact, "note") or "; ".join(str(one) for one in remains)
            again = f" (again as {task})" if (task := _word(fact, "task")) else ""
            told.append(
                Said(
                    word=_WORDS[fact.type],
                    who=fact.actor or "somebody",
                    at=fact.ts,
                    text=f"{text}{again}".strip(),
                    evidence=fact.evidence,
                )
            )
    return told


def tries(seen: Seen) -> list[Try]:
    """The attempts in their order: who was asked and why, what it claimed, what its gate found."""
    numbers: dict[int, list[Fact]] = {}
    for fact in seen.story:
        attempt = fact.fields.get("attempt")
        if fact.type in _OF_TRY and isinstance(attempt, int) and attempt:
            numbers.setdefault(attempt, []).append(fact)
    return [_try(seen, number, numbers[number]) for number in sorted(numbers)]


_OF_TRY = frozenset(kind.type for kind in (events.AttemptBegan, events.AttemptClaimed, events.GateDecided))


def _try(seen: Seen, number: int, story: Sequence[Fact]) -> Try:
    began = next((one for one in story if one.type == events.AttemptBegan.type), None)
    claimed = next((one for one in reversed(story) if one.type == events.AttemptClaimed.type), None)
    gates = [one for one in story if one.type == events.GateDecided.type]
    outcome = "no word"
    if claimed is not None:
        trouble = _word(claimed, "trouble")
        outcome = _word(claimed, "outcome")
        outcome += f" ({trouble})" if trouble not in ("", outcome) else ""
    reasons: list[Any] = [reason for one in gates for reason in one.fields.get("reasons") or []]
    return Try(
        attempt=number,
        worker=_word(claimed, "worker") or _word(began, "worker") or "nobody is named",
        outcome=outcome,
        why=_word(began, "why"),
        said=_word(claimed, "summary"),
        found=[seen.named(str(reason)) for reason in reasons][:20],
        evidence=_proof(began, claimed, *gates),
    )


def _soft(seen: Seen) -> bool:
    return any(one.type == events.AttemptBegan.type and one.fields.get("budget") == "soft" for one in seen.story)


def _held_out(seen: Seen) -> list[bool]:
    """For each example that no worker has seen: did it pass?"""
    found: dict[str, bool] = {}
    for fact in seen.story:
        if fact.type == events.CheckLooked.type and fact.fields.get("held_out"):
            evidence = fact.fields.get("evidence") or {}
            found[str(evidence.get("check", ""))] = evidence.get("outcome") == "passed"
    return list(found.values())


def _coverage(seen: Seen) -> tuple[int, int, list[str]]:
    """Requirements shown, of all, and the ids of the others: one is shown when every example that names it passed."""
    if seen.plan is None:
        return 0, 0, []
    plan = seen.plan.fields.get("plan") or {}
    table = (seen.gate.fields.get("table") or []) if seen.gate else []
    looked = {one for row in table if row.get("kind") == "example" for one in row.get("checks", [])}
    failed = {one for row in table if row.get("kind") == "example" for one in row.get("failed", [])}
    missing = []
    asked = [str(one.get("id", "")) for one in plan.get("requirements", [])]
    for name in asked:
        mine = [f"example:{one['id']}" for one in plan.get("shown_by", []) if name in one.get("requirements", [])]
        if not mine or any(one not in looked or one in failed for one in mine):
            missing.append(name)
    return len(asked) - len(missing), len(asked), missing
