"""The recall pack: where a task stands, for a worker whose memory of it was lost, made from the ledger alone.

After a crash, or where an agent's context was cut, the next brief tells the state of the task, what was decided, what
checks found last, what is verified and on which workspace, and where a worker's word was contradicted. Held-out
examples stay held out: of them only the requirement's id is told, as in every brief.

What programs and workers printed is in here as they printed it: it is fenced as data in the prompt, and whoever puts
it there has it looked at (`Warden.untrusted`) like findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import ValidationError

from daybreak import events
from daybreak.checks.evidence import Evidence
from daybreak.factory import brief as briefs

CHARS_MAX = 6_000
LINE_CHARS_MAX = 300
_MORE = "… and {} more"


class _Record(Protocol):
    """What is needed of a ledger record."""

    @property
    def index(self) -> int: ...
    @property
    def event(self) -> events.Event: ...


@dataclass
class _Attempt:
    """What the log knows about one attempt."""

    number: int
    worker: str = ""
    why: str = ""
    turns: int = 0
    role: str = ""
    interrupted: bool = False
    """Another owner took the run up while it was under way."""
    claim: events.AttemptClaimed | None = None
    seen: list[events.CheckLooked] = field(default_factory=list)
    gate: events.GateDecided | None = None

    @property
    def tried(self) -> bool:
        """Anything to tell; the attempt that a brief is made for has only begun."""
        return self.claim is not None or bool(self.seen or self.gate or self.turns or self.interrupted)

    @property
    def passed(self) -> list[str]:
        """Checks that passed and may be named."""
        return [one.evidence["check"] for one in self.seen if not one.held_out and _outcome(one) == "passed"]

    @property
    def failed(self) -> list[events.CheckLooked]:
        return [one for one in self.seen if _outcome(one) != "passed"]


@dataclass
class _Story:
    title: str = ""
    owners: int = 0
    answers: list[tuple[str, str]] = field(default_factory=list)
    attempts: dict[int, _Attempt] = field(default_factory=dict)

    def attempt(self, number: int) -> _Attempt:
        return self.attempts.setdefault(number, _Attempt(number))


def pack(records: Iterable[_Record], *, chars_max: int = CHARS_MAX, lessons: Sequence[str] = (), role: str = "") -> str:
    """At most `chars_max` characters for `Brief.recall`; `` where nothing has been tried yet.

    `records` are the run's own, in order: its task, its stream, and its control stream where answers of people are to
    be told. What was rolled back is left out. The same records give the same text. With `role` the words of workers in
    other roles are left out: a tester is not to believe what the implementer says.
    """
    story = _read(records)
    attempts = [one for _, one in sorted(story.attempts.items()) if one.tried]
    if not attempts:
        return ""
    own = [one for one in attempts if not role or one.role in ("", role)]
    told = {
        "State": _state(story, attempts),
        "Decided": _decided(story, attempts),
        "Verified": _verified(attempts),
        "Found in the last attempt that was looked at": _found(attempts),
        "Claimed, and contradicted by checks": _contradicted(own),
        "Lessons": list(lessons),
    }
    return _fitted(told, chars_max)


# -- reading


def _read(records: Iterable[_Record]) -> _Story:
    story = _Story()
    for record in _counting([record for record in records if type(record.event) in _TELLING]):
        _take(story, record.event)
    return story


def _counting(records: list[_Record]) -> list[_Record]:
    """Without the attempts that were rolled back; answers of people stay."""
    for record in records:
        if isinstance(record.event, events.RunRolledBack):
            first, end = record.event.index, record.index
            records = [one for one in records if not (first <= one.index < end and hasattr(one.event, "attempt"))]
    return records


def _take(story: _Story, event: events.Event) -> None:
    match event:
        case events.TaskAdded():
            story.title = event.title
        case events.LeaseGranted():
            story.owners += 1
            for attempt in story.attempts.values():
                attempt.interrupted = attempt.interrupted or attempt.claim is None
        case events.Answered():
            story.answers.append((event.question, str(event.answer)))
        case events.AttemptBegan():
            attempt = story.attempt(event.attempt)
            attempt.worker, attempt.why, attempt.role = event.worker, event.why, event.role
        case events.AttemptTurn():
            story.attempt(event.attempt).turns += 1
        case events.AttemptClaimed():
            attempt = story.attempt(event.attempt)
            attempt.worker, attempt.claim = event.worker, event
        case events.CheckLooked() if event.attempt:  # the others are about artefacts of ours
            story.attempt(event.attempt).seen.append(event)
        case events.GateDecided() if event.attempt:
            story.attempt(event.attempt).gate = event


_TELLING = frozenset(
    (
        events.TaskAdded,
        events.LeaseGranted,
        events.Answered,
        events.AttemptBegan,
        events.AttemptTurn,
        events.AttemptClaimed,
        events.CheckLooked,
        events.GateDecided,
        events.RunRolledBack,
    )
)
"""What is looked at; the most of a long run is something else."""


def _outcome(looked: events.CheckLooked) -> str:
    return str(looked.evidence.get("outcome", ""))


# -- telling


def _state(story: _Story, attempts: list[_Attempt]) -> list[str]:
    lines = [f"task: {story.title}"] if story.title else []
    lines.append(f"{len(attempts)} attempt{'s' if len(attempts) > 1 else ''} so far")
    if story.owners > 1:
        lines.append(f"taken up {story.owners} times: what was under way when the run was interrupted is lost")
    last = attempts[-1]
    if last.claim is None:
        turns = f"; {last.turns} turns of it are kept" if last.turns else ""
        who = f" by {last.worker}" if last.worker else ""
        lines.append(f"attempt {last.number}{who} began and did not end; its workspace is gone{turns}")
    best = _best(attempts)
    if best is not None and best.gate is not None and best.claim is not None:
        lines.append(
            f"best so far: attempt {best.number} by {best.worker}, score {best.gate.score:.0f} of 100, "
            f"workspace {best.gate.workspace[:12]}"
        )
    return lines


def _best(attempts: list[_Attempt]) -> _Attempt | None:
    judged = [one for one in attempts if one.gate is not None]
    return max(judged, key=lambda one: (one.gate.score if one.gate else 0.0, one.number), default=None)


def _decided(story: _Story, attempts: list[_Attempt]) -> list[str]:
    """Verdicts, the newest first, and answers of people. The gate's reasons are not told: they name examples by
    their headings, also those that are held out. What failed stands among the findings."""
    lines = [f"a person was asked {question!r} and said {answer!r}" for question, answer in story.answers]
    for one in reversed(attempts):
        if one.gate is not None:
            lines.append(f"attempt {one.number} by {one.worker}: {one.gate.verdict}, score {one.gate.score:.0f} of 100")
        elif one.claim is not None and (one.claim.trouble or one.claim.outcome in ("refused", "crashed")):
            trouble = one.claim.trouble or one.claim.outcome
            lines.append(f"attempt {one.number} by {one.worker} ended with trouble: {trouble}")
    return lines


def _verified(attempts: list[_Attempt]) -> list[str]:
    """What passed, on the newest workspace that was looked at, and on the best one where that is another."""
    looked = [one for one in attempts if one.seen]
    if not looked:
        return ["nothing: no check has looked yet"]
    best = _best(attempts)
    shown = [looked[-1]] + ([best] if best is not None and best is not looked[-1] and best.seen else [])
    lines = []
    for one in shown:
        workspace = str(one.seen[-1].evidence.get("workspace", ""))[:12]
        hidden = sum(1 for each in one.seen if each.held_out and _outcome(each) == "passed")
        names = ", ".join(dict.fromkeys(one.passed)) or "nothing"
        more = f", and {hidden} that you do not see" if hidden else ""
        lines.append(f"on workspace {workspace} (attempt {one.number}) passed: {names}{more}")
    return lines


def _found(attempts: list[_Attempt]) -> list[str]:
    looked = [one for one in attempts if one.seen]
    if not looked:
        return []
    evidence, held_out, unreadable = [], set(), 0
    for one in looked[-1].seen:
        try:
            evidence.append(Evidence.model_validate(one.evidence))
        except ValidationError:
            unreadable += 1  # of another version: what is held out of it cannot be told apart
            continue
        if one.held_out:
            held_out.add(evidence[-1].check.removeprefix("example:"))
    found = briefs.findings(evidence, frozenset(held_out))
    lines = [f"{one.check}{f' ({one.requirement})' if one.requirement else ''}: {one.message}" for one in found]
    lines += [f"{unreadable} pieces of evidence are of another version and not shown"] if unreadable else []
    return list(dict.fromkeys(lines))


def _contradicted(attempts: list[_Attempt]) -> list[str]:
    lines = []
    for one in reversed(attempts):
        if one.claim is None or one.claim.outcome != "finished" or not one.failed:
            continue
        visible = [f"{each.evidence['check']} {_outcome(each)}" for each in one.failed if not each.held_out]
        hidden = len(one.failed) - len(visible)
        seen = visible[:8] + ([f"{len(visible) - 8} more"] if len(visible) > 8 else [])
        seen += [f"{hidden} that you do not see"] if hidden else []
        lines.append(f"attempt {one.number}: {one.worker} said {_cut(one.claim.summary, 120)!r}; but {', '.join(seen)}")
    return lines


# -- fitting

_MATTERS = (
    "State",
    "Found in the last attempt that was looked at",
    "Verified",
    "Decided",
    "Claimed, and contradicted by checks",
    "Lessons",
)
"""The sections by what matters most; where room ends, the later ones go without."""


def _fitted(told: dict[str, list[str]], chars_max: int) -> str:
    """The sections in the order of `told`; room is given by what matters, and no section takes more than half of what
    is left when its turn comes."""
    room, taken = chars_max, dict[str, str]()
    for name in _MATTERS:
        share = room if name == _MATTERS[0] else room // 2
        section = _section(name, told[name], share)
        taken[name] = section
        room -= len(section) + (1 if section else 0)
    return "\n".join(taken[name] for name in told if taken[name])


def _section(name: str, lines: list[str], room: int) -> str:
    """Heading and lines within `room` characters; `` where not even one line fits."""
    if not lines:
        return ""
    text, end = f"{name}:", len(_MORE) + 8
    for number, line in enumerate(lines):
        added = f"\n- {_cut(line, LINE_CHARS_MAX)}"
        reserve = end if number + 1 < len(lines) else 0
        if len(text) + len(added) + reserve > room:
            return f"{text}\n- {_MORE.format(len(lines) - number)}" if number else ""
        text += added
    return text


def _cut(text: str, most: int) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= most else whole[: most - 1] + "…"
