"""A report from its source. Pure: whoever has the source has the report, byte for byte, on any machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daybreak import events
from daybreak.report.morning import facts as said
from daybreak.report.morning import results, telling
from daybreak.report.morning.model import (
    Cost,
    Decision,
    Evidence,
    Fact,
    Failure,
    Frame,
    Morning,
    Open,
    Result,
    Source,
)

_ORDER = ("waits for you", "verified", "claimed", "failed", "under way", "cancelled")
_REPAIRS = frozenset({events.ViewsDrifted.type, events.ViewsRepaired.type, events.ViewsRepairFailed.type})
_LAPSES = frozenset(
    kind.type for kind in (events.ReplicaLapsed, events.ReplicaCaughtUp, events.WitnessLapsed, events.WitnessCaughtUp)
)


def derive(source: Source) -> Morning:
    """The report."""
    frame, by_run = source.frame, _by_run(source.facts)
    decisions: list[Decision] = []
    verified: list[Result] = []
    claimed: list[Result] = []
    failed: list[Failure] = []
    unfinished: list[Open] = []
    counts = dict.fromkeys(_ORDER, 0)
    waiting = frozenset(frame.waiting)
    for run in frame.runs:
        seen = results.Seen(run, by_run.get(run, []))
        if run in waiting and (seen.held or seen.state == "parked"):
            decisions.append(results.decision(seen))
            counts["waits for you"] += 1
        elif seen.state == "done":
            result = results.result(seen)
            (claimed if result.unverified else verified).append(result)
            counts["claimed" if result.unverified else "verified"] += 1
        elif seen.state == "failed":
            failed.append(results.failure(seen))
            counts["failed"] += 1
        elif seen.state == "cancelled":
            counts["cancelled"] += 1
            unfinished.append(results.unfinished(seen))
        else:
            counts["under way"] += 1
            unfinished.append(results.unfinished(seen))
        if seen.skeleton is not None and seen.state != "done":
            claimed.append(results.left(seen))
    state, why, head = _night(frame, source.facts)
    of = [fact for fact in source.facts if fact.type in telling.NOTICES]
    notices = [telling.notice(fact) for fact in of if fact.type == events.NightNoted.type]
    notices += [telling.notice(fact) for fact in of if fact.type == events.WindowSkipped.type]
    notices += telling.lost_jobs(source.facts)
    notices += [telling.left_out(text) for text in frame.cut]
    incidents = telling.incidents(source.facts, frame.incidents)
    found = {name: count for name, count in counts.items() if count}
    return Morning(
        format="daybreak-morning/1",
        made=frame.made,
        since=frame.since,
        until=frame.until,
        zone=frame.zone,
        night=frame.night,
        nights=frame.nights,
        state=state,
        why=why,
        sentence=_sentence(state, why, found, incidents_open=sum(one.open for one in incidents)),
        counts=found,
        evidence=head,
        decisions=decisions,
        verified=verified,
        claimed=claimed,
        failed=failed,
        unfinished=unfinished,
        cost=_cost(frame, source.facts, by_run),
        incidents=incidents,
        breakers=telling.breakers(source.facts),
        repairs=[telling.notice(fact) for fact in of if fact.type in _REPAIRS],
        kept=frame.kept,
        lapses=[telling.notice(fact) for fact in of if fact.type in _LAPSES],
        notices=notices,
        coming=list(frame.coming),
        address=frame.address,
        runs=len(frame.runs),
    )


def _by_run(told: Iterable[Fact]) -> dict[str, list[Fact]]:
    """What belongs to a run, in the ledger's order; what policy says of it stands elsewhere."""
    found: dict[str, list[Fact]] = {}
    for fact in told:
        run = fact.fields.get("run")
        if isinstance(run, str) and run and fact.stream not in (events.POLICY, events.NIGHTS):
            found.setdefault(run, []).append(fact)
    return found


def _night(frame: Frame, told: Sequence[Fact]) -> tuple[str, str, list[Evidence]]:
    """State, why, and the events of its begin and end."""
    if not frame.night:
        return "", "", []
    mine = [fact for fact in told if fact.fields.get("night") == frame.night]
    head = [fact for fact in mine if fact.type in (events.NightBegan.type, events.NightEnded.type)]
    ended = next((fact for fact in reversed(head) if fact.type == events.NightEnded.type), None)
    proof = [fact.evidence for fact in head]
    if ended is None:
        return ("under way" if frame.alive else "died"), "", proof
    why = str(ended.fields.get("why", ""))
    text = str(ended.fields.get("text", "")).partition(":")[0]
    return ("died" if why == "died" else "ended"), text or why, proof


def _sentence(state: str, why: str, counts: Mapping[str, int], *, incidents_open: int) -> str:
    """The verdict in a sentence; what needs a person comes first."""
    parts = []
    if waiting := counts.get("waits for you", 0):
        parts.append(f"{waiting} {'needs' if waiting == 1 else 'need'} your decision")
    names = ("verified", "claimed", "failed", "under way", "cancelled")
    words = {"claimed": "only claimed"}
    parts += [f"{counts[name]} {words.get(name, name)}" for name in names if name in counts]
    if incidents_open:
        parts.append(f"{incidents_open} open {'incident' if incidents_open == 1 else 'incidents'}")
    told = ", ".join(parts) or "nothing was to be done"
    before = {"died": "The night died", "under way": "The night is under way", "ended": "The night ended"}.get(
        state, ""
    )
    if before and why and state == "ended":
        before = f"{before} ({why})"
    return f"{before}: {told}." if before else f"{told[:1].upper()}{told[1:]}."


def _cost(frame: Frame, told: Sequence[Fact], by_run: Mapping[str, Sequence[Fact]]) -> list[Cost]:
    soft = sorted(
        run
        for run, story in by_run.items()
        if any(fact.type == events.AttemptBegan.type and fact.fields.get("budget") == "soft" for fact in story)
    )
    found = []
    for fact in told:
        if fact.type == events.NightEnded.type and fact.fields.get("used") and fact.fields.get("night") in frame.nights:
            began = [one for one in told if one.type == events.NightBegan.type]
            limit: Any = next(
                (one.fields.get("budget") for one in began if one.fields["night"] == fact.fields["night"]), {}
            )
            what = f"night {fact.fields['night']}, as it ended"
            found.append(
                Cost(what=what, used=_amounts(fact.fields["used"]), limit=_amounts(limit), evidence=[fact.evidence])
            )
    found += [Cost(what=one.what, used=one.used, limit=one.limit, soft=bool(soft)) for one in frame.accounts]
    if soft:
        proof = [
            fact.evidence
            for run in soft[: said.LIST_MAX]
            for fact in by_run[run]
            if fact.type == events.AttemptBegan.type and fact.fields.get("budget") == "soft"
        ]
        what = f"{len(soft)} {'run' if len(soft) == 1 else 'runs'} asked a worker that can spend past its budget"
        found.append(Cost(what=what, used={}, soft=True, evidence=proof[: said.LIST_MAX]))
    return found


def _amounts(told: Any) -> dict[str, int]:
    return {name: value for name, value in told.items() if type(value) is int} if isinstance(told, dict) else {}
