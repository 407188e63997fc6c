"""The report of one run, collected from its events; every line names the event it stands on."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any, Literal, Protocol

from pydantic import BaseModel, PrivateAttr

from daybreak import events
from daybreak.report import needed, sharing, verdicts, widening


class _Record(Protocol):
    """What the report needs of a ledger record."""

    @property
    def actor(self) -> str: ...

    @property
    def stream(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def ts(self) -> str: ...
    @property
    def event(self) -> events.Event: ...


Verdict = Literal["shown", "failed", "not shown"]


class Line(BaseModel):
    """One thing that happened, and the event that says so (`stream#seq`)."""

    what: str
    outcome: str
    summary: str
    held_out: bool = False
    attempt: int = 0
    marks: list[str] = []
    command: str = ""
    output: str = ""
    event: str = ""


class RequirementLine(BaseModel):
    id: str
    text: str
    must: bool
    verdict: Verdict
    evidence: list[str] = []
    """Events of the evidence."""


class ScoreRow(BaseModel):
    """What one kind of check has added to a score."""

    kind: str
    points: float
    of: float
    failed: list[str] = []
    unseen: list[str] = []
    """Could not look, and need not: they count nothing."""
    evidence: list[str] = []
    """Events of the evidence."""


class Use(BaseModel):
    """What was used of a model."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money_microusd: int = 0
    troubles: dict[str, int] = {}
    """Requests that went wrong, by why."""

    def plus(self, call: events.ModelCalled) -> Use:
        troubles = dict(self.troubles)
        if call.trouble:
            troubles[call.trouble] = troubles.get(call.trouble, 0) + 1
        return Use(
            requests=self.requests + 1,
            input_tokens=self.input_tokens + call.input_tokens,
            output_tokens=self.output_tokens + call.output_tokens,
            money_microusd=self.money_microusd + call.money_microusd,
            troubles=troubles,
        )

    @property
    def words(self) -> str:
        money = f", {self.money_microusd / 1_000_000:.4f} USD" if self.money_microusd else ""
        wrong = "".join(f", {count} times {trouble}" for trouble, count in sorted(self.troubles.items()))
        return f"{self.requests} requests, {self.input_tokens} tokens in, {self.output_tokens} out{money}{wrong}"


class RunReport(BaseModel):
    run: str
    title: str = ""
    kind: str = ""
    state: str = "queued"
    why: str = ""
    code: str = ""
    hint: str = ""
    question: str = ""
    began: str = ""
    ended: str = ""
    owners: int = 0
    """How many times a process took the run up; more than one means that it was resumed."""
    plan: dict[str, Any] = {}
    needs: list[str] = []
    """What a machine must have on which attempts and checks are done; empty where the settings alone say it."""
    paradigm: Line | None = None
    """How workers shared it, as the outcome, and why."""
    taken_over: Line | None = None
    """What an earlier build had left, and where the ledger says that it passed there."""
    requirements: list[RequirementLine] = []
    proves_nothing: list[Line] = []
    before: list[Line] = []
    """What each check said of the repository before any work."""
    asked: list[Line] = []
    """Who was asked for each attempt, why, and who was passed over."""
    models: dict[str, Use] = {}
    """By the gateway's count, for each provider and model."""
    attempts: list[Line] = []
    checks: list[Line] = []
    gates: list[Line] = []
    score: list[ScoreRow] = []
    """What the last score is made of."""
    _looked: dict[tuple[str, str], str] = PrivateAttr(default_factory=dict)
    """Event of what was seen, by workspace and check."""
    incidents: list[Line] = []
    delivered: Line | None = None
    skeleton: Line | None = None
    """What was left where nothing could be built, and was asked for."""
    verdicts: list[Line] = []
    """What people said of the result, the newest last."""

    @property
    def shared(self) -> list[Line]:
        """How the work was shared among workers and builds."""
        return [one for one in (self.paradigm, self.taken_over) if one is not None]

    @property
    def asked_beyond_builder(self) -> bool:
        """Was there any choice of workers worth telling?"""
        return any(line.outcome != "builder" or line.marks for line in self.asked)

    @property
    def sandbox(self) -> str:
        """What the workers and the checks ran in, as it was found before the work; empty where that is not known."""
        return str(self.plan.get("machine", {}).get("sandbox_words", ""))

    @property
    def next_steps(self) -> list[str]:
        """What the user can do now."""
        match self.state:
            case "done" if self.delivered:
                said = (
                    []
                    if self.verdicts
                    else [f"daybreak accept {self.run}, or daybreak reject {self.run} --because ..."]
                )
                return [f"look at {self.delivered.summary}", *self.delivered.marks, *said]
            case "parked":
                return [f"answer: {self.question}", f"then: {self.hint or f'daybreak resume {self.run}'}"]
            case "failed":
                return [self.hint] if self.hint else []
            case "cancelled" | "done":
                return []
        return [f"daybreak resume {self.run}"]


def collect(records: Iterable[_Record]) -> RunReport:
    """The report of the run whose events `records` are, in order: the task's own, those of its run stream, what
    policy has to say about it, and what people have said in its control stream."""
    report = RunReport(run="")
    for record in records:
        place = f"{record.stream}#{record.seq}"
        _take(report, record.event, place, record.ts)
        if (said := verdicts.line(record.event, record.actor, record.ts)) is not None:
            report.verdicts.append(Line(**said, event=place))
    _settle_requirements(report)
    return report


def _take(report: RunReport, event: events.Event, place: str, ts: str) -> None:
    match event:
        case events.TaskAdded():
            report.run, report.kind, report.title = event.run, event.kind, event.title
            report.began = ts
            report.needs = needed.words(event.args.get("needs"))
        case events.LeaseGranted():
            report.owners += 1
        case events.RunMoved():
            report.state, report.why, report.code = event.new, event.why, event.code
            report.hint, report.question, report.ended = event.hint, event.question, ts
        case events.PlanMade():
            report.plan = event.plan
            report.needs = report.needs or needed.words(event.plan.get("needs"))
            if chosen := sharing.paradigm(event.plan):
                report.paradigm = Line(what="paradigm", outcome=chosen, summary=sharing.why(event.plan), event=place)
        case events.WorkTakenOver():
            report.taken_over = Line(
                what="taken over",
                outcome=f"begins with {event.begin}",
                summary=sharing.taken(event),
                marks=sharing.proofs(event),
                event=place,
            )
        case events.ExampleProved(proves=False):
            report.proves_nothing.append(
                Line(
                    what=_example_title(report, event.example),
                    outcome="unusable",
                    summary=event.why,
                    event=place,
                )
            )
        case events.CheckProved():
            report.before.append(
                Line(
                    what=event.check,
                    outcome="guards" if event.passed else "to be mended",
                    summary=event.summary,
                    event=place,
                )
            )
        case events.AttemptBegan():
            soft = ["its budget is soft: it can spend past the gateway"] if event.budget == "soft" else []
            report.asked.append(
                Line(
                    what=f"attempt {event.attempt}",
                    outcome=event.worker,
                    summary=event.why,
                    attempt=event.attempt,
                    marks=[*(f"not {name}: {why}" for name, why in event.passed_over.items()), *soft],
                    event=place,
                )
            )
        case events.AttemptAwaited():
            report.asked.append(
                Line(
                    what=f"attempt {event.attempt}",
                    outcome="waits",
                    summary=event.why,
                    attempt=event.attempt,
                    marks=[f"not {name}: {why}" for name, why in event.passed_over.items()],
                    event=place,
                )
            )
        case events.JobPlaced(node=""):
            report.asked.append(_job(event.job, "placed", f"on the coordinator's machine, {event.host}", place))
        case events.JobPlaced() if ":attempt " in event.job:
            report.asked.append(_job(event.job, "placed", f"on node {event.host}, sandbox {event.sandbox}", place))
        case events.JobLost():
            why = event.why + ("; it is done again" if event.again and not event.refused else "")
            report.asked.append(_job(event.job, "passed over" if event.refused else "lost", why, place))
        case events.JobLate():
            report.asked.append(_job(event.job, "refused", "it answered after it was given up", place))
        case events.StepDone(name="skeleton", result={"files": int() as files, "output": str() as output}):
            outcome = "not built" if files else "not put there"
            why = event.result.get("why", "")
            summary = f"{files} files that say NOT BUILT in {output}" if files else f"{output}: {why}"
            report.skeleton = Line(what="skeleton", outcome=outcome, summary=summary, event=place)
        case events.ModelCalled():
            name = f"{event.provider}/{event.model}"
            report.models[name] = report.models.get(name, Use()).plus(event)
        case events.AttemptClaimed():
            missing = [f"not built: {what}" for what in event.not_built]
            report.attempts.append(
                Line(
                    what=f"attempt {event.attempt} by {event.worker}",
                    outcome=f"claims {event.outcome}{_trouble(event)}",
                    summary=event.summary,
                    attempt=event.attempt,
                    marks=missing,
                    event=place,
                )
            )
        case events.CheckLooked():
            report.checks.append(_check_line(report, event, place))
            report._looked[event.evidence.get("workspace", ""), event.evidence["check"]] = place
        case events.GateDecided():
            report.score = [_score_row(report, event.workspace, row) for row in event.table] or report.score
            report.gates.append(
                Line(
                    what=_gate_name(event),
                    outcome=event.verdict,
                    summary=_gate_summary(event),
                    attempt=event.attempt,
                    marks=list(event.reasons),
                    event=place,
                )
            )
        case events.CandidatesCompared():
            told = [f"attempt {name} does not count: {why}" for name, why in event.disqualified.items()]
            report.gates.append(
                Line(
                    what=f"{event.candidates} candidates, compared in {event.probes} probes",
                    outcome=event.verdict,
                    summary=f"attempt {event.winner} wins" if event.winner else "nobody wins",
                    marks=[*event.reasons, *told, *map(_split, event.splits)],
                    event=place,
                )
            )
        case events.ConsensusWidened():
            report.gates.append(
                Line(
                    what=f"{event.candidates} candidates split {event.split}",
                    outcome="one more is asked" if event.attempt else "nobody more is asked",
                    summary=widening.told(event),
                    attempt=event.attempt,
                    marks=list(map(_split, event.splits)),
                    event=place,
                )
            )
        case events.ReviewMade():
            report.gates.append(_review_line(event, place))
        case events.IncidentRaised():
            report.incidents.append(
                Line(
                    what=f"level {event.level}: {event.kind.replace('_', ' ')}",
                    outcome=("logged", "task paused", "stopped")[event.level - 1],
                    summary=event.what,
                    attempt=event.attempt,
                    event=place,
                )
            )
        case events.Delivered():
            signed = [f"daybreak provenance verify {shlex.quote(event.output)}"] if event.provenance else []
            report.delivered = Line(what="delivered", outcome="done", summary=event.output, marks=signed, event=place)


def _job(job: str, outcome: str, summary: str, place: str) -> Line:
    return Line(what=job.partition(":")[2] or job, outcome=outcome, summary=summary, event=place)


def _trouble(claim: events.AttemptClaimed) -> str:
    return f" ({claim.trouble})" if claim.trouble not in ("", claim.outcome) else ""


def _split(split: dict[str, Any]) -> str:
    """An ambiguous clause in one line."""
    asked = "; ".join(" ".join(filter(None, (ask["line"], ask["body"]))) for ask in split["input"])
    answers = "; ".join(f"{', '.join(one['candidates'])}: {one['text']!r:.120}" for one in split["answers"])
    named = f" ({', '.join(split['requirements'])})" if split["requirements"] else ""
    return f"ambiguous clause{named}: `{asked:.300}`: {answers}"


def _review_line(event: events.ReviewMade, place: str) -> Line:
    who = f"{event.role} {event.worker}".strip()
    own = ", who reviews work of its own" if event.same else ""
    found = [f"{one['severity']}: {_place(one)}: {' '.join(one['reason'].split())}" for one in event.findings]
    return Line(
        what=f"review of attempt {event.reviewed}",
        outcome=event.outcome,
        summary=f"{who}{own}" + (f": {event.why}" if event.why else ""),
        attempt=event.reviewed,
        marks=[*found, *(f"does not count: {one}" for one in event.left_out)],
        event=place,
    )


def _place(finding: dict[str, Any]) -> str:
    return f"{finding['file']}:{finding['line']}" if finding["line"] else str(finding["file"])


def _gate_name(event: events.GateDecided) -> str:
    if not event.phase:
        return f"gate of attempt {event.attempt}"
    return f"gate of {event.phase}" + (f", iteration {event.iteration}" if event.iteration > 1 else "")


def _gate_summary(event: events.GateDecided) -> str:
    score = f"score {event.score:.0f} of 100"
    if not event.phase:
        return score
    best = f"; best before {event.best:.0f}" if event.best and event.iteration > 1 else ""
    return f"{score}, {event.threshold:.0f} asked for{best}"


def _score_row(report: RunReport, workspace: str, row: dict[str, Any]) -> ScoreRow:
    seen = [report._looked.get((workspace, check), "") for check in row["checks"]]
    return ScoreRow(
        kind=row["kind"],
        points=row["points"],
        of=row["weight"],
        failed=[_example_title(report, one[8:]) if one.startswith("example:") else one for one in row["failed"]],
        unseen=list(row.get("unseen", ())),
        evidence=[place for place in seen if place],
    )


def _check_line(report: RunReport, event: events.CheckLooked, place: str) -> Line:
    seen = event.evidence
    check: str = seen["check"]
    is_example = check.startswith("example:")
    return Line(
        what=_example_title(report, check.removeprefix("example:")) if is_example else check,
        outcome=seen["outcome"],
        summary=seen["summary"],
        held_out=event.held_out,
        attempt=event.attempt,
        marks=[f"{mark['place']}: {mark['message']}" if mark["place"] else mark["message"] for mark in seen["marks"]],
        command=seen["command"],
        output=seen["output"],
        event=place,
    )


def _example_title(report: RunReport, example: str) -> str:
    for known in report.plan.get("shown_by", []):
        if known["id"] == example:
            return f"{known['title']} ({known['kind']}, line {known['line']})"
    return f"example {example}"


def _settle_requirements(report: RunReport) -> None:
    """A requirement is shown when every example that names it passed on the last attempt's result."""
    last = max((line.attempt for line in report.checks), default=0)
    by_title = {line.what: line for line in report.checks if line.attempt == last}
    for known in report.plan.get("requirements", []):
        examples = [example for example in report.plan["shown_by"] if known["id"] in example["requirements"]]
        lines = [by_title[title] for e in examples if (title := _example_title(report, e["id"])) in by_title]
        if not examples or not lines:
            verdict: Verdict = "not shown"
        else:
            complete = len(lines) == len(examples) and all(line.outcome == "passed" for line in lines)
            verdict = "shown" if complete else "failed"
        report.requirements.append(
            RequirementLine(
                id=known["id"],
                text=known["text"],
                must=known["must"],
                verdict=verdict,
                evidence=[line.event for line in lines],
            )
        )
