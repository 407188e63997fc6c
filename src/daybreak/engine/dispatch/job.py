"""What a job is, what a doer gets, and what comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from daybreak.engine.dispatch.problems import JobFailed
from daybreak.errors import DaybreakError

OnLine = Callable[[bytes], None]
"""Gets what a doer tells while it works, as it comes, in the thread that called `run`."""


@dataclass(frozen=True, slots=True)
class Key:
    """Names one try of one job; no two ever have the same."""

    run: str
    step: str
    """The step's stable key (`engine.step_key`)."""
    epoch: int
    """Of the run's owner."""
    nth: int
    """Which try, from 1."""

    def __str__(self) -> str:
        return f"{self.run}/{self.step[:12]}/{self.epoch}/{self.nth}"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a machine must have for a job."""

    cpus: float = 1.0
    memory_bytes: int = 0
    """0: as much as a sandbox has by itself."""
    labels: tuple[str, ...] = ()
    """`docker`, or `gpu=a100`."""

    def __str__(self) -> str:
        memory = [f"{self.memory_bytes / 2**30:.1f} GiB of memory"] if self.memory_bytes else []
        labels = [f"label {one}" for one in self.labels]
        return ", ".join([f"{self.cpus:g} processors", *memory, *labels])


NO_NEEDS = Needs()


@dataclass(frozen=True, slots=True)
class Packed:
    """A tree as bytes (`host.tree`)."""

    hash: str
    """Of the tree, 64 hexadecimal digits."""
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that does jobs."""

    name: str
    """Its id in the cluster; empty: this machine."""
    host: str = ""
    sandbox: str = ""
    """How much of a sandbox it can make, in words."""


@dataclass(frozen=True, kw_only=True)
class Job:
    key: Key
    doer: str
    """`module:function`, a function of ours that takes a `Doing` and returns JSON."""
    body: Mapping[str, Any]
    """JSON."""
    scratch: Path
    """A folder of the caller's where a doer that runs here may work. On a node it has one there."""
    trees: Mapping[str, Packed] = field(default_factory=dict)
    lent: Mapping[str, Path] = field(default_factory=dict)
    """Folders that the doer may change. Afterwards they hold what it left, links included, as `host.tree` takes it.
    What no tree takes (caches, `.git`) does not travel: on a node it is not there, and here it stays as it was."""
    given: Mapping[str, Path] = field(default_factory=dict)
    """Files and folders that it may read. On a node folders hold what `host.tree` takes of them."""
    whole: Collection[str] = ()
    """Names of given folders that travel as they are, caches and environments too; only a `.git` does not."""
    needs: Needs = NO_NEEDS
    time_s: float
    """A job that is not over after that, and a minute, is lost."""
    bench: str = ""
    """Jobs with the same name share, on each machine, a scratch folder and what `Doing.kept` holds, for as long as
    there is room; empty: nothing is shared."""
    avoid: tuple[str, ...] = ()
    """Names of nodes that shall not do it."""


@dataclass(frozen=True, slots=True)
class Answer:
    body: Any
    """JSON."""
    node: Node


@dataclass(frozen=True, kw_only=True)
class Doing:
    """What a doer gets. All paths are real, and of the machine where it runs."""

    body: Mapping[str, Any]
    scratch: Path
    kept: dict[str, Any]
    """What this machine keeps of a bench; several doers of one bench may run at a time."""
    lock: threading.Lock
    """Of that bench."""
    cancelled: threading.Event
    tell: OnLine
    here: bool
    """In the coordinator's own process."""
    cache: Path | None = None
    """On a node: a folder that its jobs share and that stays."""
    trees: Mapping[str, Packed] = field(default_factory=dict)
    lent: Mapping[str, Path] = field(default_factory=dict)
    given: Mapping[str, Path] = field(default_factory=dict)


class Dispatch(Protocol):
    """What has jobs done. Methods may be called from any thread."""

    @property
    def remote(self) -> bool:
        """On other machines, or as if it were."""
        ...

    @property
    def at_a_time(self) -> int:
        """How many jobs of one run it is worth to hand in side by side."""
        ...

    def run(
        self,
        job: Job,
        *,
        cancelled: threading.Event,
        on_line: OnLine,
        on_node: Callable[[Node], None] | None = None,
    ) -> Answer:
        """Have one try done; blocks. `on_node` hears where it is done.

        Raises what the doer raised, Paused where it was cancelled (then nothing of it runs any more, or is cut off and
        will end by itself), JobNotSent, JobLost, NeedsUnmet, NodeRefused, ClusterUnreachable, AnswerFalse; and
        JobTooLarge and NotATree where what was left in a lent folder cannot come back."""
        ...

    def late(self, run: str) -> list[tuple[Key, Node]]:
        """Answers of tries of that run that were given up and came all the same, since this was asked last: refused,
        not read."""
        ...

    def over(self, bench: str) -> None:
        """Nothing more will be asked of that bench."""
        ...

    def close(self) -> None: ...


def rebuilt(code: str, message: str, hint: str) -> DaybreakError:
    """An error that crossed a border between processes as its code and words; JobFailed where its class is not known
    here."""
    waiting: list[type[DaybreakError]] = [DaybreakError]
    while waiting:
        kind = waiting.pop(0)
        if vars(kind).get("code") == code and kind.__init__ is DaybreakError.__init__:
            return kind(message, hint=hint)
        waiting.extend(kind.__subclasses__())
    return JobFailed(f"{code}: {message}", hint=hint or "see what the node's log says")
