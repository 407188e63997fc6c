"""What a morning report holds. All of it is made from `Source` by `deriving`, and from nothing else.

Moments are texts as in the ledger (UTC); amounts are fields of `policy.budget.Amounts`. The JSON of a report is exactly
these fields, and `schema_text` says so for programs; fields are only ever added.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a report."""


class Evidence(_Part, frozen=True, kw_only=True):
    """An event that a line stands on."""

    index: int
    """Its leaf in the ledger, from 0."""
    place: str
    """`run:ID#7`: its stream, and its number there."""
    at: str
    what: str
    """The event's type."""


class Try(_Part, frozen=True, kw_only=True):
    """One attempt of one worker."""

    attempt: int
    worker: str
    outcome: str
    """What the worker claimed; `no word` where it said nothing."""
    why: str = ""
    """Why this worker was asked."""
    said: str = ""
    """Its own summary: a claim, never a verdict."""
    found: list[str] = []
    """Why its gate did not let it pass."""
    evidence: list[Evidence] = []


class Decision(_Part, frozen=True, kw_only=True):
    """A run that waits for a person."""

    run: str
    title: str
    question: str
    why: str
    hint: str
    since: str
    deadline: str = ""
    tried: list[Try] = []
    commands: list[str] = []
    """What can be typed, the run filled in; the first one answers."""
    evidence: list[Evidence] = []


class Said(_Part, frozen=True, kw_only=True):
    """What a person said of a result."""

    word: str
    who: str
    at: str
    text: str
    evidence: Evidence


class Result(_Part, frozen=True, kw_only=True):
    """What a run brought."""

    run: str
    title: str
    kind: str
    output: str = ""
    """Where it lies; empty where nothing was delivered."""
    manifest: str = ""
    """SHA-256 of the delivery's manifest."""
    provenance: str = ""
    """SHA-256 of the signed statement beside it; empty where there is none."""
    score: float | None = None
    shown: int = 0
    required: int = 0
    """Requirements that acceptance examples have shown, of all that the specification names."""
    missing: list[str] = []
    """Ids of requirements that are not shown."""
    held_out: int = 0
    held_out_passed: int = 0
    """Examples that no worker has seen, and how many of them passed. Nothing else is told of them."""
    unverified: str = ""
    """Why nothing verified it; empty in the list of what is verified, and never there in the other one."""
    marks: list[str] = []
    said: list[Said] = []
    tried: list[Try] = []
    commands: list[str] = []
    evidence: list[Evidence] = []


class Failure(_Part, frozen=True, kw_only=True):
    run: str
    title: str
    code: str
    why: str
    hint: str
    ended: str
    tried: list[Try] = []
    commands: list[str] = []
    said: list[Said] = []
    evidence: list[Evidence] = []


class Open(_Part, frozen=True, kw_only=True):
    """A run of this night that is not over and asks nothing."""

    run: str
    title: str
    state: str
    why: str
    since: str
    evidence: list[Evidence] = []


class Cost(_Part, frozen=True, kw_only=True):
    """An account: what was used of what it may use."""

    what: str
    used: dict[str, int]
    limit: dict[str, int] = {}
    soft: bool = False
    """A worker could spend past the gateway: the limit is no wall."""
    evidence: list[Evidence] = []
    """The event that says so; none where it is a sum that the ledger's views keep."""


class Notice(_Part, frozen=True, kw_only=True):
    """Something that happened beside the work."""

    what: str
    level: int
    """0 for the record, 1 worth a look, 2 somebody must act."""
    text: str
    run: str = ""
    open: bool = False
    """Nobody has dealt with it yet."""
    evidence: list[Evidence] = []
    """None where it says what the report itself leaves out."""


class Coming(_Part, frozen=True, kw_only=True):
    """What goes on next, as the machine saw it when the report was made."""

    when: str
    """Empty for what may begin at once."""
    what: str
    run: str = ""


class Kept(_Part, frozen=True, kw_only=True):
    """How far the ledger is kept, and where else."""

    size: int
    root: str
    """Base64, of the signed head."""
    lines: list[str] = []
    """About witnesses and replicas."""


class Morning(_Part, frozen=True, kw_only=True):
    """The report. The order of its fields is the order in which it is read."""

    format: Literal["daybreak-morning/1"]
    made: str
    since: str
    until: str
    zone: int
    """Minutes that the clock on the wall was ahead of UTC where it was made; moments are shown in it."""
    night: str = ""
    """Empty where it is about a time and no night."""
    nights: list[str] = []
    state: str = ""
    """Of the night: ended, died, under way; empty without one."""
    why: str = ""
    sentence: str = ""
    counts: dict[str, int] = {}
    evidence: list[Evidence] = []
    """Of the head: the night's begin and end."""
    decisions: list[Decision] = []
    verified: list[Result] = []
    claimed: list[Result] = []
    failed: list[Failure] = []
    unfinished: list[Open] = []
    cost: list[Cost] = []
    incidents: list[Notice] = []
    breakers: list[Notice] = []
    repairs: list[Notice] = []
    """Drift of views, and what was made of it."""
    kept: Kept | None = None
    lapses: list[Notice] = []
    """Of witnesses and replicas."""
    notices: list[Notice] = []
    coming: list[Coming] = []
    address: str = ""
    """Where the browser finds more; empty where nothing was given."""
    runs: int = 0


class Fact(msgspec.Struct, frozen=True):
    """An event, as far as a report may show it."""

    index: int
    stream: str
    seq: int
    type: str
    ts: str
    actor: str
    fields: dict[str, Any]
    """Those of `facts.KEEP`, cut, redacted, and without what is held out."""

    @property
    def evidence(self) -> Evidence:
        return Evidence(index=self.index, place=f"{self.stream}#{self.seq}", at=self.ts, what=self.type)


class Account(_Part, frozen=True, kw_only=True):
    """A budget as the views had it when the report was made."""

    what: str
    used: dict[str, int]
    limit: dict[str, int] = {}


class Frame(_Part, frozen=True, kw_only=True):
    """What a report says that stands in no event, and what it was asked for. The ledger holds a digest of it where the
    report was sealed."""

    made: str
    since: str
    until: str
    zone: int
    night: str = ""
    nights: list[str] = []
    alive: bool = False
    """The night's supervisor held its lock."""
    runs: list[str] = []
    """Those the report is about, in their order."""
    waiting: list[str] = []
    """Those of them that wait for an answer which nobody has given."""
    accounts: list[Account] = []
    incidents: list[str] = []
    """Those that nobody had closed."""
    coming: list[Coming] = []
    kept: Kept | None = None
    address: str = ""
    cut: list[str] = []
    """What was left out because there was too much of it, in sentences."""


class Source(_Part, frozen=True, kw_only=True):
    """All that a report is made of."""

    frame: Frame
    facts: list[Fact]


def as_json(report: Morning) -> dict[str, Any]:
    """Plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


def schema_text() -> str:
    """JSON Schema of a report."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A morning report of Daybreak"}
    return json.dumps({**head, **msgspec.json.schema(Morning)}, indent=2, ensure_ascii=False) + "\n"
