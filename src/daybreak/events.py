"""Every fact the ledger may hold.

Each class is one kind of event: frozen, typed, with a stable `type`. The payload in the ledger is the JSON of
its fields. Fields are only ever added, with a default; a change of meaning is a new class with a new `type`.
Streams: `queue` (tasks), `schedules`, `nights`, `memory` (lessons), `notices` (messages to people), `requests` (of
programs, with an idempotency key), `keys` (the ledger about itself), `policy` (tokens, incidents, budgets, breakers,
calls of models), `run:<id>` (written by the run's owner only, fenced by its epoch), `control:<id>` (everybody else
about that run).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

State = Literal[
    "queued", "leased", "running", "waiting", "verifying", "paused", "parked", "done", "failed", "cancelled"
]
FINAL: frozenset[State] = frozenset({"done", "failed", "cancelled"})

QUEUE = "queue"
KEYS = "keys"
POLICY = "policy"
SCHEDULES = "schedules"
NIGHTS = "nights"
MEMORY = "memory"
REQUESTS = "requests"
REPORTS = "reports"
NOTICES = "notices"


def run_stream(run: str) -> str:
    return f"run:{run}"


def control_stream(run: str) -> str:
    return f"control:{run}"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact. Subclasses set `type`, which is what the ledger's header holds."""

    type: ClassVar[str] = ""


# -- the ledger about itself


class LedgerCopy(msgspec.Struct, frozen=True, kw_only=True):
    """The copy of an older log that a log goes on from: its events follow the first one unchanged."""

    origin: str
    """The old log's name."""
    public_key: str
    """The verification key that the old log began with."""
    size: int
    """Events that were copied."""
    head: str
    """The old log's signed head over exactly those."""
    witnessed: str = ""
    """The old log's highest signed head that was known anywhere when it was restored; empty where none was."""
    snapshot: str = ""
    """The name of the snapshot that it came from."""
    consent: str = ""
    """The old key's signature under the new one, in base64; empty where the old key was lost."""
    handovers: list[KeyRotated] = []
    """How the old log's key went on after the copy, up to the one that consents."""


class LedgerCreated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The first event of every ledger."""

    type: ClassVar[str] = "ledger.created"
    origin: str
    """The name in its signed heads."""
    public_key: str
    """Verification key, as a C2SP note verifier key."""
    continues: LedgerCopy | None = None
    """Where this log was restored from a copy of another."""


class KeyRotated(Event, frozen=True, kw_only=True):
    """From this event on the ledger's heads are signed by another key. Both keys sign what stands here."""

    type: ClassVar[str] = "key.rotated"
    origin: str
    """The ledger's name, which stays."""
    old: str
    """The verification key until now."""
    new: str
    """The verification key from now on."""
    size: int
    """Events before this one: the old key signs no head of more."""
    root: str
    """Root over them, in base64."""
    why: str = ""
    by_old: str = ""
    """The old key's signature under all of the above, in base64."""
    by_new: str = ""
    """The new key's signature under the same."""


class KeyRevoked(Event, frozen=True, kw_only=True):
    """An older key is not believed any more where it signed a head of more events than `size`."""

    type: ClassVar[str] = "key.revoked"
    origin: str
    key: str
    """The verification key that is revoked."""
    size: int
    why: str
    by: str
    """The verification key that says so: a later one."""
    signature: str = ""
    """Its signature under all of the above, in base64."""


class RunHeld(Event, frozen=True, kw_only=True):
    """The log was restored from a copy, and the run may have gone on after it. Nobody leases it before the question
    is answered in its control stream, and no `once` step of it begins before a person has named it."""

    type: ClassVar[str] = "run.held"
    run: str
    log: str
    """The name of the log that was begun by the restore."""
    question: str
    size: int
    """Events in the copy."""
    known: int
    """Events of the old log that were known to have been; not less than `size`."""


class SnapshotCreated(Event, frozen=True, kw_only=True):
    """A copy of the state was put away. It holds the events up to `head`, so not this one."""

    type: ClassVar[str] = "snapshot.created"
    name: str
    store: str
    manifest: str
    """SHA-256 of its manifest, which holds that of the archive and of every file."""
    size: int
    """Events of the ledger in it."""
    head: str
    """The signed head over those."""
    bytes: int
    """Of the archive."""
    keys: bool = False
    """Are the signing key and the others in it?"""


class SnapshotVerified(Event, frozen=True, kw_only=True):
    """A snapshot was restored into a temporary place, and the ledger there was checked."""

    type: ClassVar[str] = "snapshot.verified"
    name: str
    manifest: str
    ok: bool
    problems: list[str] = []


class SnapshotRestored(Event, frozen=True, kw_only=True):
    """This log goes on from a snapshot of another; the first word after the copied events."""

    type: ClassVar[str] = "snapshot.restored"
    name: str
    manifest: str
    held: list[str]
    """Runs that wait for a person, because they may have gone on after the copy."""
    safety: str = ""
    """Where the state that was replaced was moved to; empty where it was restored to a new place."""


class SnapshotsPruned(Event, frozen=True, kw_only=True):
    """Snapshots were removed by rule."""

    type: ClassVar[str] = "snapshots.pruned"
    store: str
    removed: list[str]
    verified: str
    """The one that was read back whole before."""


class LedgerArchived(Event, frozen=True, kw_only=True):
    """Events lie in a compressed file, too, which was read back and compared with the tree."""

    type: ClassVar[str] = "ledger.archived"
    log: str
    """The name of the log that counts them so; that of an older log, in one that goes on from it."""
    start: int
    end: int
    """Events from `start` to before `end`."""
    sha256: str
    """Of the file."""
    bytes: int
    name: str
    """The file's name; the folder may change."""


class LedgerPruned(Event, frozen=True, kw_only=True):
    """From here on the database need not hold these events, only their hashes: they are read from their archive. The
    last event of each stream stays, and the stream `keys`."""

    type: ClassVar[str] = "ledger.pruned"
    log: str
    start: int
    end: int
    sha256: str
    """Of the archive, which was read back and compared with the tree just before."""
    witnessed: int
    """Events that were witnessed by the rule of that time."""


class LedgerRefilled(Event, frozen=True, kw_only=True):
    """Events that were pruned are in the database again, each compared with the tree."""

    type: ClassVar[str] = "ledger.refilled"
    log: str
    start: int
    end: int


class ReplicaRestored(Event, frozen=True, kw_only=True):
    """This log goes on from a replica of another; the first word after the copied events."""

    type: ClassVar[str] = "replica.restored"
    target: str
    head: str
    """The signed head over what the replica held."""
    held: list[str]
    """Runs that wait for a person, because they may have gone on after the copy."""
    safety: str = ""
    """Where the state that was replaced was moved to; empty where it was restored to a new place."""


class ReplicaLapsed(Event, frozen=True, kw_only=True):
    """A target of the replicas does not acknowledge any more. What is appended meanwhile is durable all the same."""

    type: ClassVar[str] = "replica.lapsed"
    target: str
    size: int
    """Events that it was known to hold."""
    code: str
    problem: str
    left: int
    """Targets that still acknowledge."""
    wanted: int
    """So many must, for an event to be replicated: with fewer, nothing is."""


class ReplicaCaughtUp(Event, frozen=True, kw_only=True):
    """A target that had lapsed holds everything again."""

    type: ClassVar[str] = "replica.caught_up"
    target: str
    size: int
    left: int
    """Targets that acknowledge, this one included."""
    wanted: int


class WitnessLapsed(Event, frozen=True, kw_only=True):
    """A witness takes no heads any more. Work goes on, unless the rule of witnesses says otherwise."""

    type: ClassVar[str] = "witness.lapsed"
    witness: str
    kind: str
    size: int
    """Events that it has witnessed."""
    state: Literal["failing", "contradicts"]
    """contradicts: it says, and does not prove, that the ledger was cut or rewritten."""
    code: str
    problem: str
    witnessed: int
    """Events that all who are required have witnessed."""


class WitnessCaughtUp(Event, frozen=True, kw_only=True):
    """A witness that had lapsed takes heads again."""

    type: ClassVar[str] = "witness.caught_up"
    witness: str
    kind: str
    size: int
    witnessed: int


class SubjectForgotten(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The key of a subject was destroyed: what was sealed with it cannot be read any more, by anybody. From here on
    nothing is sealed for that subject."""

    type: ClassVar[str] = "subject.forgotten"
    key: str
    """The name of the key, which stands in the header of every event that it sealed. The subject is not named."""
    events: int
    """Events that were sealed with it."""
    streams: int
    """In so many streams."""
    why: str = ""


class ViewDrift(msgspec.Struct, frozen=True, kw_only=True):
    """Where a view's table does not say what the events say. Holds nothing of what stands in it."""

    view: str
    table: str
    kind: Literal["definition", "missing", "unexplained", "unreadable"]
    """definition: it is defined otherwise; missing: rows that events explain are not there; unexplained: rows that no
    event explains; a row that was changed is one of each. unreadable: it holds what is no text."""
    rows: int
    """How many; 0 for a definition."""
    severity: Literal["low", "normal", "critical"]


class ViewsDrifted(Event, frozen=True, kw_only=True):
    """Views did not say what the events say."""

    type: ClassVar[str] = "views.drifted"
    size: int
    """Events that they were compared with."""
    drifts: list[ViewDrift]


class ViewsRepaired(Event, frozen=True, kw_only=True):
    """Views were made again from the events, and compared once more before that was committed."""

    type: ClassVar[str] = "views.repaired"
    size: int
    views: list[str]


class ViewsRepairFailed(Event, frozen=True, kw_only=True):
    """Views that drifted could not be made again; they were left as they were."""

    type: ClassVar[str] = "views.repair_failed"
    views: list[str]
    why: str
    nth: int
    """The how manieth failure since views last agreed."""


class ViewsReconciled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Views were compared with the events. The next comparison may begin here."""

    type: ClassVar[str] = "views.reconciled"
    size: int
    """Events that were replayed, from the first."""
    mode: Literal["full", "incremental"]
    kept: str
    """SHA-256 of the file with the replayed views, which holds a random number too."""
    drifts: int = 0
    """Places where views still differ."""


# -- tasks and runs


class TaskAdded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody asked for something."""

    type: ClassVar[str] = "task.added"
    task: str
    run: str
    kind: str
    title: str
    args: dict[str, Any]
    project: str = ""
    """Projects share the workers fairly."""
    priority: int = 0
    """Within its project; the higher one first."""
    after: list[str] = []
    """Runs that must be done before."""
    not_before: str = ""
    deadline: str = ""
    """Nearer ones go first within a priority; one that has passed before the run began parks it."""
    keys: dict[str, int] = {}
    """Concurrency keys: at most so many runs that hold the key are under way at once."""
    rates: dict[str, str] = {}
    """Rate limits by name, such as `30/hour`: so many runs that name it may begin within that time."""
    dedupe: str = ""
    """No second task with this word is taken while one is not over."""
    budget: dict[str, int] = {}
    """The most that the run may use: fields of `policy.budget.Limit`."""
    schedule: str = ""
    window: str = ""
    """Key of the schedule's window that it belongs to: one task for each, for ever."""


class TaskPlaced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody moved a task in the queue. Fields that are None stay as they are."""

    type: ClassVar[str] = "task.placed"
    run: str
    priority: int | None = None
    not_before: str | None = None
    deadline: str | None = None


class QueuePaused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """No run of the project begins any more; of no project at all where it is empty."""

    type: ClassVar[str] = "queue.paused"
    project: str = ""
    why: str = ""


class QueueResumed(Event, frozen=True, kw_only=True, omit_defaults=True):
    type: ClassVar[str] = "queue.resumed"
    project: str = ""


class LeaseGranted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A new owner has the run. Its header's epoch is one more than the last; older epochs are refused from here on."""

    type: ClassVar[str] = "lease.granted"
    run: str
    owner: str
    """A random token."""
    host: str
    pid: int
    night: str = ""
    """The night that it belongs to, where it does."""
    code: str = ""
    """Fingerprint of the code that goes on with it."""
    seat: str = ""
    """Where several homes share the ledger: the seat of the process (`ledger.seats`), which says whose the host is."""
    read: int = -1
    """Up to this event of the run's stream the new owner has read; refused where it has gone on since. -1: unsaid."""
    in_turn: bool = False
    """Picked from the queue in its turn: refused where a key or a rate of the run has no room."""


class RunMoved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A run went from one state to another."""

    type: ClassVar[str] = "run.moved"
    run: str
    old: State
    new: State
    why: str = ""
    code: str = ""
    """The error's code where `new` is failed."""
    hint: str = ""
    question: str = ""
    """What a person must decide, where `new` is parked."""
    until: str = ""
    """When it goes on, where `new` is waiting; empty where only a signal wakes it."""


class RunForked(Event, frozen=True, kw_only=True):
    """The run began as a copy of another one's kept steps, which follow."""

    type: ClassVar[str] = "run.forked"
    run: str
    source: str
    before: str
    """The step of the source before which the copy ends."""
    index: int
    """Position in the ledger of the first outcome that was not copied."""


class RunRolledBack(Event, frozen=True, kw_only=True):
    """What the run kept from a step on counts no more; the next generation begins."""

    type: ClassVar[str] = "run.rolled_back"
    run: str
    before: str
    """The step before which it goes on."""
    index: int
    """Outcomes and intents from this position in the ledger on are forgotten, those of other branches too."""
    why: str = ""


class StepDone(Event, frozen=True, kw_only=True):
    """A step's result, kept: it is never computed again."""

    type: ClassVar[str] = "step.done"
    run: str
    branch: str
    """Path of concurrent children, `` for the root, `0.2` for the third child of the first."""
    name: str
    nth: int
    """0 for the first use of the name in that branch."""
    args: str
    """SHA-256 of the arguments as canonical JSON."""
    result: Any
    duration_ms: int = 0
    sort: str = ""
    """`plan`: a round of planning."""


class StepFailed(Event, frozen=True, kw_only=True):
    """A step raised; the run's code saw the error and a replay will see the same."""

    type: ClassVar[str] = "step.failed"
    run: str
    branch: str
    name: str
    nth: int
    args: str
    code: str
    message: str
    hint: str = ""
    duration_ms: int = 0


class StepIntended(Event, frozen=True, kw_only=True):
    """A `once` step is about to act outside. Without a later outcome its effect is ambiguous."""

    type: ClassVar[str] = "step.intended"
    run: str
    branch: str
    name: str
    nth: int
    args: str
    key: str
    """The stable idempotency key that the outside was given."""


class StepTried(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A step failed, and will be tried again."""

    type: ClassVar[str] = "step.tried"
    run: str
    branch: str
    name: str
    nth: int
    args: str
    kind: str
    """Of the failure: retryable or outage; `breaker` where it was not tried because a breaker is open."""
    what: str
    again: str
    """When the next try may begin."""
    tries: dict[str, Any]
    """`policy.retry.Tries`, so that a restart goes on counting."""
    adapted: dict[str, Any] = {}
    """Keyword arguments of the next try, where they were changed."""
    duration_ms: int = 0


class CancelAsked(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "cancel.asked"
    run: str
    why: str = ""


class PauseAsked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person wants the run held: its owner honours that before the next step, and nobody leases it."""

    type: ClassVar[str] = "pause.asked"
    run: str
    why: str = ""


class ResumeAsked(Event, frozen=True, kw_only=True):
    """A person lets a held run go on, or asks for a parked or failed one to be tried again."""

    type: ClassVar[str] = "resume.asked"
    run: str


class Signalled(Event, frozen=True, kw_only=True):
    """Something that a run may wait for has happened."""

    type: ClassVar[str] = "signal.given"
    run: str
    name: str
    value: Any = None


class Answered(Event, frozen=True, kw_only=True):
    """A person answered the question that a run was parked with."""

    type: ClassVar[str] = "question.answered"
    run: str
    question: str
    answer: Any


# -- schedules and nights


class ScheduleSet(Event, frozen=True, kw_only=True):
    """A schedule was made or edited. Windows that began before this are nobody's any more."""

    type: ClassVar[str] = "schedule.set"
    name: str
    schedule: dict[str, Any]
    """Fields of `engine.window.Schedule`."""
    task: dict[str, Any]
    """What each window adds: `kind`, `title`, `args` and how it is placed in the queue."""
    since: str
    """Windows that start after this are its own."""


class ScheduleRemoved(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "schedule.removed"
    name: str


class WindowOpened(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A window has come, and its run stands in the queue."""

    type: ClassVar[str] = "window.opened"
    schedule: str
    window: str
    start: str
    run: str
    forced: bool = False
    """A person asked for it beside its time."""


class WindowSkipped(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "window.skipped"
    schedule: str
    window: str
    start: str
    why: str


class NightBegan(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A supervisor took over the state folder and works until its time, its budget or the queue is used up."""

    type: ClassVar[str] = "night.began"
    night: str
    host: str
    pid: int
    workers: int
    until: str = ""
    budget: dict[str, int] = {}
    once: bool = False
    """It ends with the queue."""
    went_before: str = ""
    """The night before it, where that one died without an end."""
    seat: str = ""
    """Where several homes share the ledger: the seat of its process (`ledger.seats`)."""
    joined: str = ""
    """The night of another home beside which it works, and whose budget it shares."""


class NightNoted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Something that the night did beside its work, or found: recovery, stuck work, reconciliation, a snapshot."""

    type: ClassVar[str] = "night.noted"
    night: str
    what: Literal["recovery", "stuck", "takeover", "reconciliation", "snapshot", "preflight", "alert", "deadline"]
    level: int
    """0 for the record, 1 worth a look, 2 somebody must act."""
    text: str
    run: str = ""
    details: dict[str, Any] = {}


class NightEnded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The last word of a night. Written by its supervisor, or by the next one for a night that died."""

    type: ClassVar[str] = "night.ended"
    night: str
    why: Literal["empty", "deadline", "budget", "stopped", "incident", "failed", "died"]
    counts: dict[str, int] = {}
    """Runs that it brought to each state."""
    used: dict[str, int] = {}
    """Fields of `policy.budget.Amounts`."""
    text: str = ""


# -- a build


class PlanMade(Event, frozen=True, kw_only=True):
    type: ClassVar[str] = "plan.made"
    run: str
    plan: dict[str, Any]


class ExampleProved(Event, frozen=True, kw_only=True):
    """An acceptance example was run on nothing and on null programs."""

    type: ClassVar[str] = "example.proved"
    run: str
    example: str
    proves: bool
    why: str = ""
    """Where it proves nothing: what it passed on."""


class CheckProved(Event, frozen=True, kw_only=True):
    """A check was run on the base of a repository, before any work."""

    type: ClassVar[str] = "check.proved"
    run: str
    check: str
    workspace: str
    """Names the base, as evidence does."""
    passed: bool
    """Then it is a guard and shows nothing; otherwise it is to be mended."""
    summary: str


class AttemptBegan(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A worker was chosen for an attempt."""

    type: ClassVar[str] = "attempt.began"
    run: str
    attempt: int
    worker: str
    why: str
    """Why this one."""
    passed_over: dict[str, str] = {}
    """Workers that go before it in the order, and why each was not asked."""
    budget: Literal["hard", "soft", "none"] = "none"
    """hard: all that it spends goes through the gateway; soft: it can spend past it; none: it spends nothing."""
    phase: str = ""
    role: str = ""
    """What it is asked to be; empty where a task has no roles."""


class SpecificationDrafted(Event, frozen=True, kw_only=True):
    """A worker has drafted a specification from what was asked for."""

    type: ClassVar[str] = "specification.drafted"
    run: str
    attempt: int
    worker: str
    blob: str
    """SHA-256 of its text."""
    name: str
    """Of what is to be built; empty where nobody can read it."""
    text: str
    """Its begin, all of it where it is not very long."""
    problems: list[str] = []


class ArtefactMade(Event, frozen=True, kw_only=True):
    """A phase of a build has left an artefact."""

    type: ClassVar[str] = "artefact.made"
    run: str
    phase: str
    name: str
    blob: str
    """SHA-256 of its bytes, which are kept."""


class WorkTakenOver(Event, frozen=True, kw_only=True):
    """A build begins at a later phase, with what an earlier build of the same specification has left."""

    type: ClassVar[str] = "work.taken_over"
    run: str
    source: str
    """The earlier run."""
    begin: str
    """The phase that this one begins with."""
    phases: list[str]
    """Those that passed there, in their order."""
    gates: dict[str, int]
    """For each of them, where in the ledger its gate's decision stands."""
    artefacts: dict[str, str] = {}
    """SHA-256 of each, by name."""
    workspace: str = ""
    """SHA-256 of the tree that passed the last of those gates; empty where none of them is about one."""
    tree: str = ""
    """SHA-256 of that tree packed."""
    worker: str = ""
    """Whose it is."""
    role: str = ""


class TaskDivided(Event, frozen=True, kw_only=True):
    """A task, or a part of one, was divided; or it was not, and why."""

    type: ClassVar[str] = "task.divided"
    run: str
    path: str
    """Names of parts with `/` between them; empty: the whole task."""
    depth: int
    parts: list[dict[str, Any]]
    why: str = ""
    """Why it was not."""


class PartEnded(Event, frozen=True, kw_only=True):
    """A part of a task is over."""

    type: ClassVar[str] = "part.ended"
    run: str
    path: str
    verdict: Literal["done", "failed", "not begun"]
    why: str = ""
    attempt: int = 0


class CandidatesCompared(Event, frozen=True, kw_only=True):
    """Candidates for the same thing were compared by what they do."""

    type: ClassVar[str] = "candidates.compared"
    run: str
    verdict: Literal["agreed", "ambiguous", "none"]
    winner: int
    """Its attempt; 0 where nobody has won."""
    candidates: int
    tolerated: int
    """How many faulty ones would have changed nothing."""
    probes: int
    reasons: list[str]
    splits: list[dict[str, Any]] = []
    """Inputs on which they differ, the smallest first, with the answers."""
    disqualified: dict[str, str] = {}
    """By attempt, and why its word did not count."""
    added: list[int] = []
    """Those of them that were asked for since the ones before split: their attempts."""


class ConsensusWidened(Event, frozen=True, kw_only=True):
    """Candidates split, and one more might decide: it was asked for, or why it was not."""

    type: ClassVar[str] = "consensus.widened"
    run: str
    candidates: int
    """How many had split."""
    split: str
    """How many did the same, the most first: `2:1`."""
    attempt: int
    """The new one's; 0 where none was asked for."""
    worker: str
    """Who was to be asked first; empty where nobody was."""
    tolerated: int
    """How many faulty ones change nothing once there is one more."""
    needed: int
    """How many have to do the same then."""
    why: str
    """Why that worker, or why nobody."""
    splits: list[dict[str, Any]] = []
    """The smallest input on which they differed, with the answers."""


class ReviewMade(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A reviewer was asked about a result that would pass its gate. It can object, and approve nothing."""

    type: ClassVar[str] = "review.made"
    run: str
    reviewed: int
    """Number of the attempt that it is about."""
    workspace: str
    """SHA-256 of the tree that was reviewed."""
    phase: str
    role: str
    outcome: Literal["objects", "no objection", "no review"]
    attempt: int = 0
    """Number of the reviewer's own; 0 where nobody could be asked."""
    worker: str = ""
    why: str = ""
    """Why there is no review."""
    findings: list[dict[str, Any]] = []
    """Fields of `factory.consensus.objecting.Objection`; those of severity `veto` stand against the result."""
    left_out: list[str] = []
    """Findings that do not count, each with why."""
    same: bool = False
    """The reviewer is also an author: nobody else could be asked."""


class AttemptAwaited(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Nobody can be asked for an attempt before some moment: the run waits, without a worker."""

    type: ClassVar[str] = "attempt.awaited"
    run: str
    attempt: int
    why: str
    until: str
    passed_over: dict[str, str] = {}
    """Everybody in the order, and why each cannot be asked now."""


class AttemptTurn(Event, frozen=True, kw_only=True):
    """What a worker wants to be given back should its attempt begin again after a crash."""

    type: ClassVar[str] = "attempt.turn"
    run: str
    attempt: int
    nth: int
    """From 0."""
    data: Any


class AttemptJudged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What an attempt was worth, as far as checks could see: from this routing learns."""

    type: ClassVar[str] = "attempt.judged"
    run: str
    attempt: int
    worker: str
    task: str
    """The kind of task: `build`, `repository`, with a part behind a slash where there is one."""
    solved: bool
    score: float = 0.0
    trouble: str = ""
    money_microusd: int = 0
    duration_ms: int = 0


class ModelCalled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The gateway has passed a request on, and its answer back."""

    type: ClassVar[str] = "model.called"
    run: str
    attempt: int
    provider: str
    model: str
    status: int
    """Of the provider's answer; 0 where there was none."""
    input_tokens: int = 0
    cached_tokens: int = 0
    """Of the input."""
    output_tokens: int = 0
    money_microusd: int = 0
    counted: Literal["told", "estimated"] = "told"
    """estimated: the provider did not say, or the answer was cut; from the characters."""
    ended: str = ""
    """Why the model stopped, in the provider's words."""
    trouble: str = ""
    """Of `agents.protocol.Trouble`; `cut` where the budget ended it."""
    until: str = ""
    """When a quota comes back."""
    duration_ms: int = 0


class AttemptClaimed(Event, frozen=True, kw_only=True):
    """A worker's own word at the end of an attempt; not a verdict."""

    type: ClassVar[str] = "attempt.claimed"
    run: str
    attempt: int
    worker: str
    outcome: str
    summary: str
    workspace: str
    """SHA-256 of the tree it left."""
    not_built: list[str] = []
    trouble: str = ""
    """Why it did not finish: of `agents.protocol.Trouble`."""
    until: str = ""
    """With `quota`: when it comes back."""
    usage: dict[str, int] = {}
    """By its own account: fields of `agents.protocol.Usage`."""


class CheckLooked(Event, frozen=True, kw_only=True):
    """Evidence."""

    type: ClassVar[str] = "check.looked"
    run: str
    attempt: int
    held_out: bool
    evidence: dict[str, Any]


class GateDecided(Event, frozen=True, kw_only=True):
    """A verdict, from evidence only."""

    type: ClassVar[str] = "gate.decided"
    run: str
    attempt: int
    workspace: str
    verdict: Literal["passed", "failed", "parked"]
    score: float
    """0 to 100, from the weights and the evidence named."""
    reasons: list[str] = []
    phase: str = ""
    iteration: int = 0
    """Of the phase, from 1; 0 where a task has no phases."""
    threshold: float = 0.0
    """The score that was asked for."""
    best: float = 0.0
    """The best score of the phase before."""
    table: list[dict[str, Any]] = []
    """What the score is made of: rows of `checks.gate.Row`."""


class Delivered(Event, frozen=True, kw_only=True, omit_defaults=True):
    type: ClassVar[str] = "delivered"
    run: str
    output: str
    workspace: str
    manifest: str
    """SHA-256 of the manifest file."""
    provenance: str = ""
    """SHA-256 of the signed statement beside it; empty where there is none."""


# -- what people say of results; who says it is the event's actor


class ResultAccepted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person takes what a run brought."""

    type: ClassVar[str] = "result.accepted"
    run: str
    about: str
    """Place of the gate's decision that verified it, as `run:ID#7`; without one, of the last event of the run."""
    index: int
    """That event's position in the ledger."""
    unverified: str = ""
    """Why nothing verified it; it was accepted all the same."""
    note: str = ""


class ResultRejected(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person does not want what a run brought."""

    type: ClassVar[str] = "result.rejected"
    run: str
    because: str
    """Redacted, on one line."""
    about: str
    """As in `ResultAccepted`."""
    index: int
    lesson: str = ""
    """The lesson that it became, in the same commit."""
    task: str = ""
    """The run that is to do it again, added in the same commit."""
    alone: str = ""
    """Why there is no such lesson or run."""


class ResultUndoing(Event, frozen=True, kw_only=True):
    """What a run delivered is about to be taken back: the intent, before anything is touched."""

    type: ClassVar[str] = "result.undoing"
    run: str
    effects: list[dict[str, Any]]
    """`kind`, `what` for people, and what each kind needs to go on after a crash."""


class ResultUndone(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What a run delivered has been taken back."""

    type: ClassVar[str] = "result.undone"
    run: str
    effects: list[dict[str, Any]]
    """`kind`, `what`, `done` (what became of it) and `kept` (where it can be got back from)."""
    remains: list[str] = []
    """What cannot be taken back, and is not."""


# -- reports


class ReportMade(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A report was made to be handed on. Whoever has it can show that nothing was left out of it or put into it."""

    type: ClassVar[str] = "report.made"
    report: str
    """Its name."""
    digest: str
    """SHA-256 of what it holds: which events, and what it says beside them (`report.morning.proofs`)."""
    facts: int
    """So many events."""
    since: str
    until: str
    night: str = ""
    """The night that it is about; empty where it is about a time."""


# -- policy


class TokenMinted(Event, frozen=True, kw_only=True):
    """A capability token was made. The token itself is never written anywhere."""

    type: ClassVar[str] = "token.minted"
    token: str
    """Its label."""
    run: str
    attempt: int
    tier: str
    until: str
    revocation: str
    """What revokes it and every narrower token made from it."""
    root: str
    """Public key that verifies it."""
    grant: dict[str, list[str]] = {}
    """What it allows: act to names."""


class TokenRevoked(Event, frozen=True, kw_only=True):
    """A token, and every narrower one made from it, is no longer good."""

    type: ClassVar[str] = "token.revoked"
    revocation: str
    token: str = ""
    why: str = ""


class PolicyRefused(Event, frozen=True, kw_only=True):
    """The door said no."""

    type: ClassVar[str] = "policy.refused"
    run: str
    attempt: int
    act: str
    what: str
    """What was asked for, redacted and cut to 300 characters."""
    code: str
    why: str = ""


class TextAssessed(Event, frozen=True, kw_only=True):
    """Untrusted text was looked at before it entered a brief."""

    type: ClassVar[str] = "text.assessed"
    run: str
    attempt: int
    source: str
    """Where it came from: a path, an address, a tool."""
    text: str
    """SHA-256 of the text as UTF-8."""
    score: float
    """0 to 1."""
    kinds: list[str]
    """Kinds of marks found."""
    private_data: bool
    way_out: bool
    verdict: Literal["clean", "marked", "refused"]
    why: str = ""


class IncidentRaised(Event, frozen=True, kw_only=True):
    """Something happened that the threat model speaks of."""

    type: ClassVar[str] = "incident.raised"
    incident: str
    kind: str
    level: int
    """1 logged, 2 pauses the task, 3 stops the night."""
    run: str = ""
    attempt: int = 0
    what: str = ""
    repeated: int = 1
    """The how manieth of its kind in that run within the window."""


class IncidentClosed(Event, frozen=True, kw_only=True):
    """A person has looked at an incident and says that it is dealt with."""

    type: ClassVar[str] = "incident.closed"
    incident: str
    why: str = ""


class RequestTaken(Event, frozen=True, kw_only=True):
    """A request with an idempotency key: stands in the same commit as what it did, so that a repeat does nothing."""

    type: ClassVar[str] = "request.taken"
    key: str
    """SHA-256 of who asked and the key."""
    request: str
    """SHA-256 of the method, the address and the body."""
    id: str
    """The request's own id: two requests never write the same."""


class RequestAnswered(Event, frozen=True, kw_only=True):
    """What it was answered, for whoever repeats it."""

    type: ClassVar[str] = "request.answered"
    key: str
    status: int
    body: str
    """JSON."""


class WorkersOrdered(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Memory has said in which order workers are to be asked, and what it knew of each."""

    type: ClassVar[str] = "workers.ordered"
    run: str
    task: str
    """As in `AttemptJudged`."""
    choices: list[dict[str, Any]] = []
    """The first one first: fields of `memory.routing.Choice`."""


class LessonLearned(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A short note for later briefs. The same lesson has the same name; learned again, it was seen once more."""

    type: ClassVar[str] = "lesson.learned"
    lesson: str
    text: str
    """Redacted, on one line."""
    source: Literal["repair", "person"]
    """repair: a check failed in one attempt and passed in the next; person: somebody wrote it."""
    task: str = ""
    """Kind of task as in `AttemptJudged`; empty: any."""
    worker: str = ""
    """Whose attempt repaired it."""
    check: str = ""
    run: str = ""


class LessonRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What would have been a lesson looked like an instruction to whoever reads it, and was not kept."""

    type: ClassVar[str] = "lesson.refused"
    text: str
    """SHA-256 of the text as UTF-8."""
    kinds: list[str]
    """Kinds of marks found."""
    score: float
    """0 to 1."""
    check: str = ""
    run: str = ""


class LessonForgotten(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person does not want it in any brief."""

    type: ClassVar[str] = "lesson.forgotten"
    lesson: str
    why: str = ""


class LessonJudged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt went whose brief showed these lessons."""

    type: ClassVar[str] = "lesson.judged"
    lessons: list[str]
    run: str
    attempt: int
    solved: bool


class BudgetOpened(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An account with its limits; again for the same account: other limits, or another account above it."""

    type: ClassVar[str] = "budget.opened"
    account: str
    """`night:<id>`, `run:<id>`, or a name of the user's own."""
    limit: dict[str, int] = {}
    """Fields of `policy.budget.Limit`; absent: no limit of its own."""
    above: str = ""


class BudgetReserved(Event, frozen=True, kw_only=True):
    """The worst case of what is about to start is set aside in its account and in all above it."""

    type: ClassVar[str] = "budget.reserved"
    account: str
    key: str
    """Names the reservation; one step's try."""
    worst: dict[str, int]
    run: str = ""


class BudgetSettled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What was really used, in place of what was reserved."""

    type: ClassVar[str] = "budget.settled"
    key: str
    used: dict[str, int]
    presumed: bool = False
    """Nobody knows: its owner died, and the worst case is taken as used."""
    run: str = ""


class BreakerChanged(Event, frozen=True, kw_only=True):
    """A breaker counted a failure, opened, let a probe pass, or closed. Fields of `policy.breaker.Circuit`."""

    type: ClassVar[str] = "breaker.changed"
    name: str
    version: int
    """Counts its changes from 1; two writers of the same one never both win."""
    state: str
    failures: list[str]
    until: str
    openings: int
    probes: list[str]
    why: str


# -- alerts


class AlertTurned(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The condition of an alert began to hold, or ceased to; it fires or clears once that has lasted long enough."""

    type: ClassVar[str] = "alert.turned"
    alert: str
    version: int
    """Counts the changes of this alert from 1; two writers of the same one never both win."""
    holds: bool
    value: float = 0.0
    threshold: float = 0.0
    rules: str = ""
    """The settings file that the alert's rule stands in: rules of one name in two files are two."""


class AlertFired(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A metric is where nobody wants it, by a rule of the settings."""

    type: ClassVar[str] = "alert.fired"
    alert: str
    """Name of one of `alerts` in the settings."""
    version: int
    """As in `AlertTurned`."""
    metric: str
    severity: str
    """info, warning or critical."""
    value: float
    """Of a trend: the change in percent."""
    threshold: float
    text: str
    """The same in a sentence."""
    begin: str = ""
    """What was measured: from this moment; empty where the metric is of one moment."""
    end: str = ""
    """To this one."""
    samples: int = 0
    """So many cases the value rests on."""
    before: float = 0.0
    """Of a trend: the mean that it is compared with."""
    rules: str = ""
    """As in `AlertTurned`."""


class AlertCleared(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A fired alert is over."""

    type: ClassVar[str] = "alert.cleared"
    alert: str
    version: int
    metric: str
    severity: str
    value: float
    threshold: float
    text: str
    """Why, in a sentence."""
    begin: str = ""
    end: str = ""
    samples: int = 0
    before: float = 0.0
    fired: str = ""
    """When it had fired."""
    rules: str = ""
    """As in `AlertTurned`."""


# -- messages to people


class ChannelOpened(Event, frozen=True, kw_only=True):
    """A channel is known: what of these kinds comes after this event is told there."""

    type: ClassVar[str] = "channel.opened"
    channel: str
    """Name of one of `notify.channels` in the settings; its address is never written down."""
    kinds: list[str] = []
    least: int = 2
    """Nothing less severe."""


class ChannelTested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person had a message sent to see whether it arrives."""

    type: ClassVar[str] = "channel.tested"
    channel: str
    ok: bool
    what: str = ""
    """Why it did not go."""


class BudgetWarned(Event, frozen=True, kw_only=True):
    """An account has used so much of a limit that people should hear of it; once for each account and limit."""

    type: ClassVar[str] = "budget.warned"
    account: str
    amount: str
    """Of `policy.budget.Limit`."""
    most: int
    spent: int


class NoticeSent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A channel's server took a message. A crash before this event has the message sent once more."""

    type: ClassVar[str] = "notice.sent"
    channel: str
    notices: list[str]
    """Their names, each a kind and the place of its event: `question:1234`."""
    tries: int = 1


class NoticeTried(Event, frozen=True, kw_only=True):
    """A message did not go, and is tried again."""

    type: ClassVar[str] = "notice.tried"
    channel: str
    notices: list[str]
    kind: str
    """Of the failure: retryable or outage."""
    what: str
    again: str
    """Not before this."""
    tries: dict[str, Any]
    """`policy.retry.Tries`, so that a restart goes on counting."""


class NoticeFailed(Event, frozen=True, kw_only=True):
    """A message did not go, and is not tried again by itself."""

    type: ClassVar[str] = "notice.failed"
    channel: str
    notices: list[str]
    what: str
    hint: str = ""
    tries: int = 1


class JobPlaced(Event, frozen=True, kw_only=True):
    """A node of a cluster has begun with a job: an attempt, or a check; or the coordinator's machine, since no node has
    what it needs."""

    type: ClassVar[str] = "job.placed"
    run: str
    job: str
    """The key of the step that wants it, and its name in that step."""
    nth: int
    """Which try of it, from 1."""
    epoch: int
    node: str
    """Its id in the cluster; empty: the coordinator's machine."""
    host: str
    sandbox: str
    """How much of a sandbox the node can make, in words."""


class JobLost(Event, frozen=True, kw_only=True):
    """A try of a job came to nothing: its node vanished, fell silent or refused, or its coordinator ended."""

    type: ClassVar[str] = "job.lost"
    run: str
    job: str
    nth: int
    node: str
    """Empty where none had begun."""
    why: str
    again: bool
    """It is done once more."""
    refused: bool = False
    """Nothing went wrong with it: that machine cannot do it, or it cannot go there."""


class JobLate(Event, frozen=True, kw_only=True):
    """A try that was given up has answered all the same: refused, and not read."""

    type: ClassVar[str] = "job.late"
    run: str
    job: str
    nth: int
    epoch: int
    node: str


def _all(base: type[Event]) -> dict[str, type[Event]]:
    return {kind.type: kind for kind in base.__subclasses__()}


BY_TYPE: dict[str, type[Event]] = _all(Event)
"""Every event class by its `type`."""

PERSONAL: dict[str, tuple[str, ...]] = {
    TaskAdded.type: ("title", "args"),
    RunMoved.type: ("why", "hint"),
    StepDone.type: ("result",),
    StepFailed.type: ("message", "hint"),
    StepTried.type: ("what", "tries", "adapted"),
    Signalled.type: ("value",),
    Answered.type: ("answer",),
    ResultRejected.type: ("because",),
}
"""Events that can be sealed for a subject (`Draft.subject`), and their fields that are then secret: text, or any JSON.
The others stay readable, so that a run keeps its order and its states when the subject is forgotten."""
