"""Reconciliation: the views are made again from the events, beside the ledger, and compared with what it holds.

    found = ledger.reconcile()           # what is new since the last time; full=True: from the first event
    if not found.ok: …                   # drift that is left: it was not to be repaired, or could not be

Nothing of this needs the views to be right: what was found, repaired or not, stands in the log as events that name
views, tables and numbers of rows, and never what stands in them. Views that cannot be repaired three times raise an
incident.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import apsw

from daybreak.errors import DraftRefused, IdemConflict, LedgerBusy, LedgerError
from daybreak.events import (
    KEYS,
    POLICY,
    Event,
    IncidentRaised,
    ViewDrift,
    ViewsDrifted,
    ViewsReconciled,
    ViewsRepaired,
    ViewsRepairFailed,
)
from daybreak.host.durable import make_folder
from daybreak.ledger import database, rows
from daybreak.ledger.drift import differences
from daybreak.ledger.files import locked
from daybreak.ledger.log import Log
from daybreak.ledger.record import Draft, Record
from daybreak.ledger.replay import LOCK, Replay, folder_of, tidy
from daybreak.ledger.views import Weight, kept_views

if TYPE_CHECKING:
    from daybreak.ledger.ledger import Ledger

REPAIRS = 3
"""So many failures in a row raise an incident, whoever tried and whenever."""
ACTOR = "reconciliation"
INCIDENT, INCIDENT_LEVEL = "views_unrepaired", 2
OWN = (ViewsDrifted.type, ViewsRepaired.type, ViewsRepairFailed.type, ViewsReconciled.type)
"""No view hears them."""
_ORDER: tuple[Weight, ...] = ("low", "normal", "critical")

Progress = Callable[[int, int], None]
"""Called with (events replayed, events in all) now and then."""


class ViewsUnclear(LedgerError):
    """A view does not take the events that the ledger holds, so that nothing can be compared."""

    code = "L151"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one comparison found and did."""

    mode: Literal["full", "incremental"]
    size: int
    """Events that the views were compared with."""
    replayed: int
    """Of those, the ones that were read for it."""
    seconds: float
    drifts: list[ViewDrift] = field(default_factory=list)
    """Where views differed."""
    repaired: list[str] = field(default_factory=list)
    """Views that were made again and agree now."""
    left: list[ViewDrift] = field(default_factory=list)
    """Where they differ still."""
    failures: list[str] = field(default_factory=list)
    """Why each try at a repair failed."""
    incident: str = ""
    """The incident that was raised, where it was."""

    @property
    def ok(self) -> bool:
        """Do all views say now what the events say?"""
        return not self.left

    @property
    def severity(self) -> Weight | Literal["none"]:
        """Of the worst drift that was found."""
        return max((drift.severity for drift in self.drifts), key=_ORDER.index, default="none")


def reconcile(
    ledger: Ledger, *, full: bool = False, repair: bool = True, progress: Progress | None = None
) -> Reconciliation:
    """Compare all views of an open ledger with its events, and repair those that differ.

    Reads what is new since the last comparison, or from the first event where `full` is asked for, nothing was kept,
    or what was kept was changed. Others may append and read meanwhile; a repair is one transaction, which takes as long
    as reading all events does. Blocks: call it in a thread of a coroutine.

    Drift that stays is no exception. Raises ViewsUnclear, LedgerTampered, LedgerBusy, LedgerStopped, and OSError where
    nothing can be kept beside the ledger.
    """
    folder = folder_of(ledger.directory)
    make_folder(folder)
    with locked(folder / LOCK):
        return _Reconciler(ledger, full, progress).work(repair=repair)


class _Reconciler:
    """One comparison."""

    def __init__(self, ledger: Ledger, full: bool, progress: Progress | None) -> None:
        self._ledger = ledger
        self._folder = folder_of(ledger.directory)
        self._views = ledger.views
        self._progress = progress
        self._began = time.perf_counter()
        self._past = _Past.read(ledger)
        mark = None if full else self._past.mark
        found = None if mark is None else Replay.go_on(self._views, self._folder, mark.kept, mark.size)
        self.mode: Literal["full", "incremental"] = "full" if found is None else "incremental"
        self._replay = found or Replay.begin(self._views, self._folder)
        self._from = self._replay.size
        self._new = False
        """Was anything replayed that others wrote?"""

    def work(self, *, repair: bool) -> Reconciliation:
        try:
            mended = self._ledger.on_writer(_settled) if repair else []
            drifts = self._compare(settled=repair)
            done = self._treat(drifts, repair=repair) if drifts else self._result([])
            if mended:
                done = _with_mended(done, mended)
            self._keep(done)
        finally:
            self._replay.close()
        return done

    # -- compare

    def _compare(self, *, settled: bool) -> list[ViewDrift]:
        """Views that are not settled are compared as they are: one that others left behind by appending without it as
        far as it is said to be."""
        connection = database.connect_reader(self._ledger.directory / database.FILE)
        try:
            with rows.readable(self._ledger.directory / database.FILE):
                reading = self._ledger.rows_of(connection)
                if settled:
                    self._extend(reading)  # nearly all of it, without keeping the write-ahead log from being folded in
                connection.execute("BEGIN")
                behind = {} if settled else self._behind(connection)
                found: list[ViewDrift] = []
                for size in sorted(set(behind.values())):
                    self._extend(reading, size)
                    names = [name for name in behind if behind[name] == size]
                    found += differences(self._views, connection, self._replay.connection, names)
                self._extend(reading)
                rest = [view.name for view in self._views.all if view.name not in behind]
                return found + differences(self._views, connection, self._replay.connection, rest)
        finally:
            connection.close()

    def _behind(self, connection: apsw.Connection) -> dict[str, int]:
        """The views that are said to lack events of those that are still to be replayed, and which is the first."""
        kept = kept_views(connection, loosely=True)
        said = {name: kept[name].behind for name in self._views.objects if name in kept}
        return {name: leaf for name, leaf in said.items() if leaf is not None and leaf >= self._replay.size}

    def _extend(self, reading: rows.Rows, size: int | None = None) -> None:
        """With all events, or until there are so many."""
        try:
            self._replay.extend(self._told(reading, size))
        except (apsw.ConstraintError, apsw.SQLError, apsw.MismatchError, ArithmeticError, LookupError, TypeError) as no:
            raise ViewsUnclear(
                f"the views cannot be made again from the events: after event {self._replay.size - 1}, "
                f"{type(no).__name__}",
                hint="`daybreak ledger verify` says whether the events are whole; if they are, please report this",
            ) from no

    def _told(self, reading: rows.Rows, size: int | None) -> Iterator[Record]:
        total = self._ledger.head().size
        for record in reading.all(self._replay.size - 1):
            if record.index == size:
                return
            self._new = self._new or record.type not in OWN
            if self._progress is not None and record.index % 1000 == 0:
                self._progress(record.index, max(total, record.index))
            yield record

    # -- repair

    def _treat(self, drifts: list[ViewDrift], *, repair: bool) -> Reconciliation:
        self._append(ViewsDrifted(size=self._replay.size, drifts=drifts))
        if not repair:
            return self._result(drifts, left=drifts)
        wrong = sorted({drift.view for drift in drifts})
        repaired: list[str] = []
        failures: list[str] = []
        incident = ""
        while wrong and not incident and len(failures) < REPAIRS:
            problem = self._remake(wrong)
            made = wrong if not problem else self._one_by_one(wrong)
            if made:
                self._append(ViewsRepaired(size=self._replay.size, views=made))
                repaired += made
                wrong = [name for name in wrong if name not in made]
            if not wrong:
                break
            failures.append(problem)
            nth = self._past.failures + len(failures)
            self._append(ViewsRepairFailed(views=wrong, why=problem, nth=nth))
            if nth >= REPAIRS:
                incident = self._alert(wrong, nth)
                break
        left = [drift for drift in drifts if drift.view in wrong]
        return self._result(drifts, repaired=repaired, left=left, failures=failures, incident=incident)

    def _one_by_one(self, views: list[str]) -> list[str]:
        """Where not all can be made again: those that can. One that cannot keeps no other from being right."""
        return [name for name in views if not self._remake([name])] if len(views) > 1 else []

    def _remake(self, views: list[str]) -> str:
        """Why it failed; empty where it did not."""

        def differs(connection: apsw.Connection, reading: rows.Rows) -> str:
            self._extend(reading)
            left = differences(self._views, connection, self._replay.connection, views)
            return f"{len(left)} places differ even after that" if left else ""

        try:
            return str(self._ledger.on_writer(lambda log: log.remake_views(views, differs)))
        except LedgerBusy as error:
            return f"{error.code} {type(error).__name__}"

    def _alert(self, views: list[str], nth: int) -> str:
        """Once for each row of failures."""
        name = self._ledger.on_writer(lambda log: log.label("inc"))
        what = f"{nth} repairs of {', '.join(views)} failed: `daybreak reconcile --full` says where they differ"
        raised = IncidentRaised(incident=name, kind=INCIDENT, level=INCIDENT_LEVEL, what=what[:300])
        draft = Draft(POLICY, raised, ACTOR, idem=f"{INCIDENT}/{self._past.agreed}")
        try:
            self._ledger.append([draft])
        except IdemConflict:  # it has been raised
            return ""
        except DraftRefused:  # the view of incidents is what cannot be repaired; the log tells of it all the same
            return ""
        return str(name)

    # -- end

    def _keep(self, done: Reconciliation) -> None:
        """Let the next comparison begin here."""
        mark = self._past.mark
        said = mark is not None and not mark.drifts and not self._past.failures
        if said and self.mode == "incremental" and not self._new and not done.drifts:
            return  # nothing to say that was not said
        size = self._replay.size
        kept = self._replay.keep()
        self._append(ViewsReconciled(size=size, mode=self.mode, kept=kept, drifts=len(done.left)))
        tidy(self._folder, kept)

    def _append(self, event: Event) -> None:
        self._ledger.append([Draft(KEYS, event, ACTOR)])

    def _result(
        self,
        drifts: list[ViewDrift],
        *,
        repaired: list[str] | None = None,
        left: list[ViewDrift] | None = None,
        failures: list[str] | None = None,
        incident: str = "",
    ) -> Reconciliation:
        size = self._replay.size
        seconds = time.perf_counter() - self._began
        return Reconciliation(
            self.mode, size, size - self._from, seconds, drifts, repaired or [], left or [], failures or [], incident
        )


def _settled(log: Log) -> list[ViewDrift]:
    log.settle_views()
    return log.take_mended()


def _with_mended(done: Reconciliation, mended: list[ViewDrift]) -> Reconciliation:
    """With definitions that the ledger has made again by itself, and has said so, because nothing can be appended
    without them."""
    drifts = [*(drift for drift in mended if drift not in done.drifts), *done.drifts]
    left = {drift.view for drift in done.left}
    repaired = {drift.view for drift in mended} | set(done.repaired)
    return replace(done, drifts=drifts, repaired=sorted(repaired - left))


@dataclass(frozen=True, slots=True)
class _Past:
    """What the log says of comparisons before."""

    mark: ViewsReconciled | None
    """The last one."""
    failures: int
    """Repairs that failed since views last agreed."""
    agreed: int
    """Index of the event that says that they last agreed; -1 where there is none."""

    @classmethod
    def read(cls, ledger: Ledger) -> _Past:
        mark, failures, agreed = None, 0, -1
        for record in ledger.read(KEYS):
            if record.type not in OWN:
                continue
            match record.event:
                case ViewsReconciled() as told:
                    mark = told
                    if not told.drifts:
                        failures, agreed = 0, record.index
                case ViewsRepairFailed() as failed:
                    failures = failed.nth
                case _:
                    pass
        return cls(mark, failures, agreed)
