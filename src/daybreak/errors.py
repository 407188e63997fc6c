"""Every error that a caller may handle.

    DaybreakError            code, message, hint
    ├── UsageError      U1xx  the command or configuration is wrong            (exit 2)
    ├── SpecError       S1xx  the specification is wrong; carries all Problems (exit 2)
    ├── HostError       H1xx  this machine: files, space, programs, processes
    ├── LedgerError     L1xx  the log: refused, tampered with, older than what is known outside
    │   ├── LedgerMissing     the key or the witness knows a ledger that is not there
    │   ├── LedgerForeign     not a ledger, or of a format that this version does not know
    │   ├── KeyMissing · KeyExposed · KeyWrong     the signing key: absent, readable by others, another one
    │   ├── KeyRefused · RevocationRefused · ProofByEndedKey   L125 to L127: a key that handed over or was revoked
    │   ├── KeysUnmovable     L128  the folder of keys has no hard links, so no key can be rotated there
    │   ├── WitnessMissing · WitnessBroken         the head kept outside: absent, unreadable or not writable
    │   ├── LedgerBehind      the ledger holds less than was known outside: cut, or an old copy
    │   ├── LedgerForked      the ledger holds something else than was known outside
    │   ├── LedgerTampered    what is stored is not what was signed
    │   ├── BlobMissing · BlobDamaged · BlobRefused   content-addressed bytes beside the ledger
    │   ├── DraftRefused      this event may not be appended (shape, view constraint)
    │   │   ├── FenceMissing  a fenced stream needs an epoch
    │   │   ├── SubjectGone   L171  its subject was forgotten
    │   │   └── IdemConflict  the same idempotency key was used with another payload
    │   ├── ViewsUnclear      L151  a view does not take the events that the ledger holds
    │   ├── FollowedAnother   L152  another file lies where the followed ledger was
    │   ├── SubjectUnknown    L172  nothing was ever sealed for a subject of that name
    │   ├── SubjectKeysBroken L173  the keys of subjects, or the list of those destroyed, cannot be used
    │   ├── NothingToDisclose L174  the event is not sealed, or nobody can open it any more
    │   ├── WitnessSilent · WitnessRefuses · WitnessFalse · WitnessContradicts   L181 to L184, elsewhere
    │   ├── ReplicaLost       L191  a replica cannot be reached or written
    │   ├── ReplicaDamaged    L192  what a replica holds is not what was signed
    │   ├── NotReplicated     L193  too few replicas have it, and the policy wants them to
    │   ├── RestoreTaken      L194  there is something in the place that a ledger is to be restored to
    │   ├── TargetUnknown     L195  no replica has that name
    │   ├── CopyTaken · CopyUnsound · CopyArchived   L196 to L198: a ledger cannot be copied to or from there
    │   ├── PostgresUnusable  L201  the Postgres cannot be reached, refuses, or its driver is missing
    │   ├── ArchiveMissing · ArchiveDamaged · ArchiveTaken · ArchiveUnwritable   L211 to L214: files of archived events
    │   ├── PruneRefused · ShrinkRefused · RangeUnknown   L215 to L217: what may not, or cannot, be taken out
    │   ├── LedgerBusy        another process held the ledger too long; nothing was written
    │   └── LedgerStopped     the disk failed or the ledger is closed; reopen it
    ├── PolicyError     P1xx  it may not happen
    │   ├── NotAllowed      P101  the token does not cover what was asked; every refusal of the door is one
    │   │   ├── TokenForged     P102  not signed by this root key, cut short, or no token at all
    │   │   ├── TokenExpired    P103  its time is over, or has not begun
    │   │   ├── TokenRevoked    P104  somebody took it back
    │   │   ├── TokenElsewhere  P105  it was minted for another attempt
    │   │   ├── AskMalformed    P106  what was asked for has no one meaning: `..`, a host in odd letters
    │   │   └── ProtectedAsked  P107  the protected list names it
    │   ├── GrantRefused    P111  a token that may not be minted: malformed, or more than its tier has
    │   ├── GrantWidened    P112  a child's token would reach further than its parent's
    │   ├── RootKeyExposed  P113  others may use the key that signs tokens
    │   ├── RootKeyWrong    P114  that key cannot be read
    │   ├── TokenUnknown    P115  no token of that name was minted here
    │   ├── PathRefused     P121  a path that no question about protection can be answered for
    │   ├── TextRefused     P131  a text that is too long to be scanned, or no text
    │   ├── InjectionRefused P132 untrusted text, private data and a way out may not meet
    │   ├── IncidentUnknown P141  no open incident has that name
    │   ├── GaveUp          P201  trying again was of no use, or not allowed
    │   ├── BreakerOpen     P202  what fails again and again is left alone for a while
    │   ├── CircuitsBusy    P203  too many changed one breaker at the same moment
    │   ├── BudgetSpent     P211  it could cost more than is left
    │   ├── PlanningLoop    P212  planning, again and again, and nothing carried out
    │   ├── ScopeMissing    P310  the token for the API does not have the scope
    │   ├── CsrfRefused     P311  a browser's request did not come from a page of ours
    │   ├── HostRefused     P312  the Host header names another server
    │   ├── HomeMoved       P355  another home applies than the one that the assistant's server was started for
    │   ├── TokenFileExposed P356 others may use the file with an assistant's token
    │   └── TokenNeeded     P357  the assistant's server was started with --require-token, and got none
    ├── EngineError     E1xx  runs, steps, leases
    │   ├── TaskCrashed     E199  a task's code raised something that is not a DaybreakError
    │   ├── LeaseLost       E201  another owner has the run now
    │   ├── HistoryDiverged E202  the code asks for what history does not hold
    │   ├── StepError       E203  a step raised something that is not a DaybreakError
    │   ├── RunBusy         E204  another process has the run
    │   ├── NotPlain        E205  arguments or a result are not JSON
    │   ├── UnknownKind     E206  no task function has that name
    │   ├── UnknownRun      E207  no run has that id
    │   ├── ContextMisused  E208  two steps at once in one branch, a reserved name
    │   ├── StepTimeout     E210  a step took longer than it may
    │   ├── SignalMissing   E211  what a run waited for did not come in time
    │   ├── OnceDone        E212  going back would do again what must happen once
    │   ├── PastForgotten   E213  what a run was given or has kept was forgotten with its subject
    │   ├── SupervisorBusy  E221  another supervisor works on this state folder
    │   ├── NoRoom          E261  others were quicker: a key or a rate of the run is used up by now
    │   ├── OtherHomeBusy   E262  another home's night is at work on the same ledger
    │   ├── SeatLost        E263  others took this night for dead, and closed it
    │   ├── HomeCopied · HomeNameBroken · KeysDiffer   E264, E265, E267: homes on one ledger that do not fit
    │   ├── KeyElsewhere    E266  a run is about somebody whose key lies in another home
    │   ├── ScheduleBusy    E231  too many changed one schedule at the same moment
    │   ├── RayMissing      E240  the extra `ray` is not installed
    │   ├── ClusterUnreachable E241  the Ray cluster cannot be reached, or could not be started
    │   ├── ClusterOpen     E242  the cluster is on a network, and nothing says that it asks for a token
    │   ├── NeedsUnmet      E243  no machine of those there are can ever do the job
    │   ├── JobLost         E244  the node vanished or fell silent
    │   ├── NodeRefused     E245  every node that could have done it refused
    │   ├── JobBroken       E246  a doer raised something that is none of our errors
    │   ├── AnswerFalse     E247  what came back is not what its hash says
    │   ├── JobTooLarge     E248  a job is more than may travel
    │   ├── JobFailed       E249  a doer failed with one of our errors that this process does not know
    │   └── JobNotSent      E250  what a job holds cannot travel to a node
    ├── WorkerError     W1xx  a worker could not do its work
    ├── CheckError      C1xx  a check could not look (not: saw a failure, which is evidence)
    └── DeliveryError   D1xx  the result could not be put in its place

A code never changes its meaning. Broken invariants of our own are assertions, never one of these.
"""

from __future__ import annotations

from typing import ClassVar


class DaybreakError(Exception):
    """An error that nobody foresaw, which is a fault of Daybreak; each that was foreseen has a class below this one.

    `message` says what happened, to what; `hint` what to do next; `code` is stable for machines.
    """

    code: ClassVar[str] = "X000"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DaybreakError):
    """A command, an option or the configuration is wrong."""

    code = "U100"


class SpecError(DaybreakError):
    """A specification cannot be used."""

    code = "S100"


class HostError(DaybreakError):
    """This machine cannot do what was asked."""

    code = "H100"


class LedgerError(DaybreakError):
    """The ledger refuses."""

    code = "L100"


class LedgerMissing(LedgerError):
    """The key or the witness knows a ledger that is not there."""

    code = "L101"


class LedgerForeign(LedgerError):
    """The file is not a ledger, or of a format that this version does not know."""

    code = "L102"


class KeyMissing(LedgerError):
    """The key that signs the ledger's heads is not there."""

    code = "L103"


class KeyExposed(LedgerError):
    """Others may read the signing key."""

    code = "L104"


class KeyWrong(LedgerError):
    """The key cannot be read, or is not the one that signed this ledger."""

    code = "L105"


class WitnessMissing(LedgerError):
    """The ledger is there, but not the head kept outside of it."""

    code = "L106"


class WitnessBroken(LedgerError):
    """The head kept outside cannot be read, is not signed by this ledger's key, or cannot be written."""

    code = "L107"


class LedgerBehind(LedgerError):
    """The ledger holds fewer events than were known outside: it was cut, or an old copy was put back."""

    code = "L108"


class LedgerForked(LedgerError):
    """The ledger holds other events than were known outside."""

    code = "L109"


class LedgerTampered(LedgerError):
    """What is stored is not what was signed."""

    code = "L110"


class BlobMissing(LedgerError):
    """Content-addressed bytes are not where they were put."""

    code = "L111"


class BlobDamaged(LedgerError):
    """Content-addressed bytes are not those that were put."""

    code = "L112"


class DraftRefused(LedgerError):
    """An event may not be appended; nothing of its submission was."""

    code = "L113"


class FenceMissing(DraftRefused):
    """A fenced stream (`run:*`, or any that ever had a lease) takes no event without an epoch."""

    code = "L114"


class IdemConflict(DraftRefused):
    """The same idempotency key was used before with another type or payload."""

    code = "L115"


class LedgerBusy(LedgerError):
    """Another process held the ledger too long; nothing was written and a repeat is safe."""

    code = "L116"


class LedgerStopped(LedgerError):
    """The ledger takes nothing more on this handle: the disk failed, or it was closed."""

    code = "L117"


class PolicyError(DaybreakError):
    """It may not happen."""

    code = "P100"


class EngineError(DaybreakError):
    """A run cannot go on."""

    code = "E100"


class LeaseLost(EngineError):
    """Another owner has the run now; nothing of the late submission was appended."""

    code = "E201"


class HistoryDiverged(EngineError):
    """The code asks for what history does not hold, or no longer asks for what it holds."""

    code = "E202"


class StepError(EngineError):
    """A step raised something that is not a DaybreakError; on replay the same is raised again."""

    code = "E203"

    def __init__(self, message: str, *, hint: str, cause: str = "E203") -> None:
        """`cause` is the code that the step failed with: E203 unless it was a DaybreakError that cannot be rebuilt."""
        super().__init__(message, hint=hint)
        self.cause = cause


class RunBusy(EngineError):
    """Another process, or another supervisor in this one, has the run."""

    code = "E204"


class NotPlain(EngineError):
    """Arguments or a result are not JSON."""

    code = "E205"


class UnknownKind(EngineError):
    """No task function has that name."""

    code = "E206"


class UnknownRun(EngineError):
    """No run has that id."""

    code = "E207"


class ContextMisused(EngineError):
    """Two steps at once in one branch, a reserved name, an event where none may be."""

    code = "E208"


class WorkerError(DaybreakError):
    """A worker could not do its work."""

    code = "W100"


class CheckError(DaybreakError):
    """A check could not look."""

    code = "C100"


class DeliveryError(DaybreakError):
    """A result could not be put in its place."""

    code = "D100"


_CUT_AT = 80


def cut(text: object) -> str:
    """What somebody typed, quoted, printable, and not longer than a line."""
    quoted = ascii(str(text))
    return quoted if len(quoted) <= _CUT_AT else f"{quoted[: _CUT_AT - 4]}...'"
