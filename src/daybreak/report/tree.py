"""The tree of what is under way: runs, below them their parts, attempts and steps. Made of events, the same beside a
run and from another process; cut to the lines that there are, what is over first."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from daybreak import events
from daybreak.clock import Clock
from daybreak.engine.live import RESERVED
from daybreak.engine.view import UNDER_WAY
from daybreak.ledger.record import Record
from daybreak.report.progress import Progress

OVER = frozenset({"done", "passed", "finished", "failed", "cancelled", "not begun", "given up"})
PARTS_MAX = 2_000
"""Parts of a run beyond these are counted, not named."""


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    state: str
    """A word: running, done, failed …"""
    note: str = ""
    children: tuple[Node, ...] = ()
    id: str = ""
    """What commands call it; empty where they cannot name it."""


@dataclass(frozen=True, slots=True)
class Twig:
    """A node as a line: how deep it stands, and for each depth whether more follows there."""

    node: Node
    more: tuple[bool, ...]


@dataclass
class Growth:
    """One run as its events make it. Feed its stream to `take`, in order."""

    run: str
    clock: Clock
    title: str = ""
    kind: str = ""
    progress: Progress = field(init=False)
    began: str = ""
    """Since when it has its worker; empty while it has none."""
    border: str = ""
    """When the last outcome was kept, or since when it has its worker."""
    steps: int = 0
    """Outcomes of its own steps that are kept."""
    attempts: dict[int, Node] = field(default_factory=dict)
    parts: dict[str, Node] = field(default_factory=dict)
    """By path."""
    seen: int = -1
    """Place in its stream of the last event that was taken."""
    hidden: int = 0
    """Parts that are not named because there are too many."""

    def __post_init__(self) -> None:
        self.progress = Progress(self.clock)
        self._kept = array("Q")
        """Places in the ledger of the outcomes that count."""

    def take(self, record: Record) -> str | None:
        """As `Progress.take`. An event that was taken before changes nothing."""
        if record.stream == events.run_stream(self.run):
            if record.seq <= self.seen:
                return None
            self.seen = record.seq
        match record.event:
            case events.StepDone() | events.StepFailed() as step:
                if not step.name.startswith(RESERVED):
                    self.border = record.ts
                    self._kept.append(record.index)
                    self.steps = len(self._kept)
            case events.RunRolledBack() as back:
                self._kept = array("Q", (index for index in self._kept if index < back.index))
                self.steps = len(self._kept)
            case events.TaskAdded() as added:
                self.title, self.kind = added.title, added.kind
            case events.LeaseGranted():
                self.began = self.border = record.ts
            case events.StepTried():
                self.border = record.ts
            case events.RunMoved() as moved if moved.new not in UNDER_WAY:
                self.began = self.border = ""
                self.progress.under_way.clear()
            case events.TaskDivided() as divided:
                for part in divided.parts:
                    path = f"{divided.path}/{part['name']}".removeprefix("/")
                    self._part(path, Node(str(part["name"]), "not over"))
            case events.PartEnded() as ended:
                name = ended.path.rpartition("/")[2]
                self._part(ended.path, Node(name, ended.verdict, ended.why))
            case events.AttemptBegan() as began:
                role = f" as {began.role}" if began.role else ""
                phase = f", {began.phase}" if began.phase else ""
                self.attempts[began.attempt] = Node(f"attempt {began.attempt}: {began.worker}{role}{phase}", "running")
            case events.AttemptClaimed() as claimed if claimed.attempt in self.attempts:
                known = self.attempts[claimed.attempt]
                self.attempts[claimed.attempt] = replace(known, state="claims", note=claimed.outcome)
            case events.GateDecided() as decided if decided.attempt in self.attempts:
                known = self.attempts[decided.attempt]
                self.attempts[decided.attempt] = replace(known, state=decided.verdict, note="")
            case _:
                pass
        return self.progress.take(record.event)

    def _part(self, path: str, node: Node) -> None:
        if path in self.parts or len(self.parts) < PARTS_MAX:
            self.parts[path] = node
        else:
            self.hidden += 1

    def node(self, now: datetime, *, step: str = "", note: str = "") -> Node:
        """`step`: what another process says that the run does."""
        told = [step] if step and self.began else []
        going = sorted(self.progress.under_way) or told
        children = [*self._parts(), *self.attempts.values(), *(Node(name, "running") for name in going)]
        kept = f"{self.steps} steps kept" if self.steps > 1 else ""
        notes = ", ".join(one for one in (note, kept) if one)
        return Node(self.title or self.kind, self.progress.state, notes, tuple(children), self.run)

    def _parts(self) -> list[Node]:
        """Nested as their paths say."""
        below: dict[str, list[str]] = {}
        for path in self.parts:
            below.setdefault(path.rpartition("/")[0], []).append(path)
        known = set(self.parts)
        roots = [path for path in self.parts if path.rpartition("/")[0] not in known]
        found = [self._nested(path, below, 0) for path in roots]
        return [*found, *([Node(f"and {self.hidden} more parts", "not over")] if self.hidden else [])]

    def _nested(self, path: str, below: dict[str, list[str]], depth: int) -> Node:
        if depth > 20:  # paths are as deep as a task was divided
            return self.parts[path]
        return replace(
            self.parts[path], children=tuple(self._nested(one, below, depth + 1) for one in below.get(path, []))
        )


# -- as many lines as there are


def fit(nodes: Sequence[Node], lines: int) -> list[Twig]:
    """At most so many lines. Where they are too few: what is over is counted and not named, then nothing below a run
    is named, then the first runs are and the others counted."""
    if lines <= 0:
        return []
    for how in (tuple, _counted, _bare):
        found = _flat(how(nodes), lines)
        if found is not None:
            return found
    bare = _bare(nodes)
    kept = bare[: lines - 1]
    rest = Node(f"and {len(bare) - len(kept)} more", "")
    return [Twig(node, ()) for node in (*kept, rest)]


def _counted(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """What is over and stands below something as one line: `3 done, 1 failed`."""
    return tuple(replace(node, children=_few(node.children)) for node in nodes)


def _few(children: Sequence[Node]) -> tuple[Node, ...]:
    over = Counter(child.state for child in children if child.state in OVER)
    going = _counted(child for child in children if child.state not in OVER)
    if not over:
        return going
    told = Node(", ".join(f"{number} {state}" for state, number in over.items()), "")
    return (told, *going)


def _bare(nodes: Iterable[Node]) -> tuple[Node, ...]:
    return tuple(replace(node, children=()) for node in nodes)


def _flat(nodes: Sequence[Node], lines: int) -> list[Twig] | None:
    """None where they are more."""
    found: list[Twig] = []
    for twig in _walk(nodes, ()):
        if len(found) == lines:
            return None
        found.append(twig)
    return found


def _walk(nodes: Sequence[Node], more: tuple[bool, ...]) -> Iterator[Twig]:
    for place, node in enumerate(nodes):
        follows = place + 1 < len(nodes)
        yield Twig(node, (*more, follows))
        yield from _walk(node.children, (*more, follows))
