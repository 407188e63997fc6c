"""The part of an event that a report shows: free of secrets, of examples that are held out, and of a bounded length."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from daybreak import events
from daybreak.ledger.record import Header, Record
from daybreak.policy.redaction import redact
from daybreak.report.morning.model import Fact

TEXT_MAX = 2_000
"""Characters of one text that are shown; what is cut says so."""
PAYLOAD_MAX = 4_096
"""Bytes of a payload that travels whole."""
LIST_MAX = 200
SKELETON = "skeleton"
OUTCOME = "outcome"
"""Steps whose results say what was left, and what became of a merge."""


KEEP: Mapping[str, tuple[str, ...]] = {
    events.TaskAdded.type: ("run", "kind", "title", "project", "deadline", "budget", "schedule", "window"),
    events.TaskPlaced.type: ("run", "deadline"),
    events.RunMoved.type: ("run", "old", "new", "why", "code", "hint", "question", "until"),
    events.RunHeld.type: ("run", "question"),
    events.PlanMade.type: ("run", "plan"),
    events.AttemptBegan.type: ("run", "attempt", "worker", "why", "budget", "phase", "role"),
    events.AttemptAwaited.type: ("run", "attempt", "why", "until"),
    events.AttemptClaimed.type: ("run", "attempt", "worker", "outcome", "summary", "not_built", "trouble"),
    events.CheckLooked.type: ("run", "attempt", "held_out", "evidence"),
    events.JobLost.type: ("run", "node", "again", "refused"),
    events.GateDecided.type: ("run", "attempt", "verdict", "score", "reasons", "phase", "iteration", "table"),
    events.Delivered.type: ("run", "output", "workspace", "manifest", "provenance"),
    events.StepDone.type: ("run", "name", "result"),
    events.ResultAccepted.type: ("run", "about", "unverified", "note"),
    events.ResultRejected.type: ("run", "because", "about", "lesson", "task", "alone"),
    events.ResultUndoing.type: ("run",),
    events.ResultUndone.type: ("run", "remains"),
    events.NightBegan.type: ("night", "host", "workers", "until", "budget", "once", "went_before"),
    events.NightNoted.type: ("night", "what", "level", "text", "run"),
    events.NightEnded.type: ("night", "why", "counts", "used", "text"),
    events.IncidentRaised.type: ("incident", "kind", "level", "run", "attempt", "what", "repeated"),
    events.IncidentClosed.type: ("incident", "why"),
    events.BreakerChanged.type: ("name", "state", "until", "why", "openings"),
    events.ViewsDrifted.type: ("size", "drifts"),
    events.ViewsRepaired.type: ("size", "views"),
    events.ViewsRepairFailed.type: ("views", "why", "nth"),
    events.ReplicaLapsed.type: ("target", "size", "code", "problem", "left", "wanted"),
    events.ReplicaCaughtUp.type: ("target", "size", "left", "wanted"),
    events.WitnessLapsed.type: ("witness", "kind", "size", "state", "code", "problem", "witnessed"),
    events.WitnessCaughtUp.type: ("witness", "kind", "size", "witnessed"),
    events.WindowSkipped.type: ("schedule", "window", "start", "why"),
    events.ReportMade.type: ("report", "digest", "facts", "since", "until", "night"),
}
"""The events that a report is made of, and what it shows of each."""

MADE = events.ReportMade.type
_PRIVATE = frozenset(
    {events.TaskAdded.type, events.PlanMade.type, events.CheckLooked.type, events.StepDone.type, events.NightNoted.type}
)
"""Events that hold more than a report tells."""

_NAMES = frozenset({"run", "old", "new", "verdict", "workspace", "manifest", "provenance", "night", "digest"})
"""Fields that Daybreak makes itself, of these letters; looking for secrets in them would be most of the work."""
_made_here = re.compile(r"(?:[a-z]{1,12}-[0-9a-z]{1,24}|[a-z]{1,12}|[0-9a-f]{64})", re.A).fullmatch

_HIDDEN = re.compile(
    r"(?P<name>example:[^\s:;,]{1,80}(?: (?:failed|could not look))?): .*?(?=; [a-z]+(?::\S{1,80})? "
    r"(?:failed|could not look)|; score \d|$)",
    re.S,
)
"""What a check said of an example. It may be one that no worker has seen, and then it is told to nobody who passes the
report on."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode


def of_record(record: Record) -> Fact:
    """Raises LedgerTampered where the payload is not what such an event says."""
    return Fact(
        record.index,
        record.stream,
        record.seq,
        record.type,
        record.ts,
        record.actor,
        excerpt(record.type, _plain(record.closed.words)),
    )


def of_header(index: int, header: Header, fields: dict[str, Any]) -> Fact:
    return Fact(index, header.stream, header.seq, header.type, header.ts, header.actor, fields)


def travels(record: Record) -> bool:
    """May the whole payload be handed out with the report? Then it says no more than the report may."""
    if record.type in _PRIVATE or record.secret is not None or len(record.payload) > PAYLOAD_MAX:
        return False
    told = _plain(record.payload)
    return bool(_encode(_shown(told)) == _encode(told))


def excerpt(kind: str, told: dict[str, Any]) -> dict[str, Any]:
    """The fields of such an event that may be shown, as they may be shown."""
    kept = {name: told[name] for name in KEEP.get(kind, ()) if name in told}
    if (narrow := _NARROW.get(kind)) is not None:
        kept = narrow(kept)
    return {name: value if name in _NAMES and _is_ours(value) else _shown(value) for name, value in kept.items()}


def _plain(payload: bytes) -> dict[str, Any]:
    told = _decode(payload)
    return told if isinstance(told, dict) else {}


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [_shown(one) for one in value[:LIST_MAX]]
    if isinstance(value, dict):
        return {
            text(str(name)): one if name in _NAMES and _is_ours(one) else _shown(one)
            for name, one in list(value.items())[:LIST_MAX]
        }
    return value


@lru_cache(8192)
def text(told: str) -> str:
    """Without secrets, without what was said of examples, not too long."""
    if len(told) > 2 * TEXT_MAX:
        told = told[: 2 * TEXT_MAX]
    if "example:" in told:
        told = _HIDDEN.sub(r"\g<name>", told)
    told = redact(told).text if len(told) > 7 else told
    return told if len(told) <= TEXT_MAX else told[: TEXT_MAX - 4] + " […]"


def _is_ours(value: Any) -> bool:
    return isinstance(value, str) and _made_here(value) is not None


def _plan(kept: dict[str, Any]) -> dict[str, Any]:
    """Which requirements there are and which examples show each; never what an example says."""
    plan = kept.get("plan") or {}
    asked = [
        {"id": one.get("id", ""), "must": bool(one.get("must"))}
        for one in plan.get("requirements", [])
        if isinstance(one, dict)
    ]
    shown = [
        {"id": one.get("id", ""), "requirements": list(one.get("requirements", []))}
        for one in plan.get("shown_by", [])
        if isinstance(one, dict)
    ]
    return {**kept, "plan": {"requirements": asked, "shown_by": shown, "held_out": plan.get("held_out", 0)}}


def _looked(kept: dict[str, Any]) -> dict[str, Any]:
    seen = kept.get("evidence") or {}
    return {**kept, "evidence": {"check": seen.get("check", ""), "outcome": seen.get("outcome", "")}}


def _gate(kept: dict[str, Any]) -> dict[str, Any]:
    table = [
        {name: row.get(name, ()) for name in ("kind", "checks", "failed") if name in row}
        for row in kept.get("table", [])
        if isinstance(row, dict) and (row.get("kind") == "example" or row.get("failed"))
    ]
    return {**kept, "table": table}


def _step(kept: dict[str, Any]) -> dict[str, Any]:
    result = kept.get("result")
    if not isinstance(result, dict):
        return {**kept, "result": {}}
    if kept.get("name") == SKELETON:
        return {**kept, "result": {name: result[name] for name in ("files", "output", "why") if name in result}}
    left = [{"branch": str(one.get("branch", ""))} for one in result.get("left_out", []) if isinstance(one, dict)]
    return {**kept, "result": {"left_out": left} if "left_out" in result else {}}


_NARROW = {
    events.PlanMade.type: _plan,
    events.CheckLooked.type: _looked,
    events.GateDecided.type: _gate,
    events.StepDone.type: _step,
}
