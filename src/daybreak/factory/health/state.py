"""What the ledger says: can it be read, are its views right, and what did owners that died leave in it?"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import apsw

from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine import nights, states
from daybreak.engine.supervisor import LOCK
from daybreak.errors import LedgerError
from daybreak.events import FINAL
from daybreak.factory.health import clock as clocks
from daybreak.factory.health import glance
from daybreak.factory.health.finding import Finding, trouble
from daybreak.factory.health.glance import Glance
from daybreak.host.locks import FileLocks
from daybreak.ledger import Ledger, database, keyfile
from daybreak.ledger.seats import is_here, name_of
from daybreak.ledger.views import View, Views, kept_views
from daybreak.ledger.witness import Witness

COMPARE_EVENTS_MAX = 20_000
"""Views over more events are not compared here: that takes seconds."""
NAMED_MAX = 20
"""Runs that are named one by one."""
SILENT_S = 120
"""An owner that promised to beat every few seconds and has not for so long does nothing."""


@dataclass(frozen=True)
class Looking:
    """What a look at the state needs."""

    where: Places
    clock: Clock
    views: Sequence[View]
    postgres: Callable[[], str | None] = lambda: None
    """The address of the Postgres that holds the ledger."""

    @property
    def locks(self) -> FileLocks:
        return FileLocks(self.where.locks, self.clock)


def look(at: Looking) -> Iterator[Finding]:
    """Never raises what the ledger has to say against itself: that is what it tells."""
    where = at.where
    if not (where.ledger / database.FILE).exists():
        yield from _absent(at)
        return
    try:
        outside = glance.known_outside(where)
        with glance.opened(where) as seen:
            size, last = seen.tail(where.keys, outside)
            text = f"{size} events; the newest {min(size, glance.TAIL)} are as they were signed and witnessed"
            yield Finding("log", "good", text, "`daybreak ledger verify` checks every one")
            yield from clocks.look(at.clock, last)
            views = list(_views(at, seen, size))
            yield from views
            if any(_keeps_from_asking(one) for one in views):
                return
            first = list(_owners(at, seen))
        yield from _confirmed(at, first)
    except (LedgerError, OSError) as problem:
        yield trouble("log", problem)
    except apsw.Error as problem:
        yield Finding(
            "log", "bad", f"it cannot be read: {problem}", "run `daybreak ledger verify`, then restore a copy"
        )


def _absent(at: Looking) -> Iterator[Finding]:
    yield from clocks.look(at.clock)
    if at.postgres() is not None:  # what is missing is no more than a mirror, and what Postgres has is told elsewhere
        yield Finding("log", "note", "it is in Postgres; the next command makes the mirror of it in this home")
    elif keyfile.exists(at.where.keys) and Witness(at.where.witness).exists():
        path = at.where.ledger / database.FILE
        text = f"there is no ledger at {path}, but a key and a witness of one"
        yield Finding("log", "bad", text, "put the ledger back from a copy, or move its key and witness away too")
    else:
        yield Finding("log", "note", "none yet; the first task makes it")


# -- views


def _keeps_from_asking(finding: Finding) -> bool:
    """What the views say about runs would be wrong, or nothing."""
    return finding.level != "good"


def _views(at: Looking, seen: Glance, size: int) -> Iterator[Finding]:
    try:
        kept = kept_views(seen.connection)
    except (ValueError, TypeError) as problem:
        yield Finding("views", "bad", f"their list cannot be read: {problem}", "run `daybreak ledger verify`")
        return
    mine = {view.name: view for view in at.views}
    newer = [name for name, view in mine.items() if name in kept and kept[name].version > view.version]
    if newer:
        text = f"{', '.join(newer)}: kept by a newer version of Daybreak"
        yield Finding("views", "bad", text, "use that version")
        return
    objects = Views(at.views).objects
    old = [
        name
        for name, view in mine.items()
        if name not in kept or kept[name].version != view.version or kept[name].objects != objects[name]
    ]
    late = [name for name in mine if name in kept and name not in old and kept[name].behind is not None]
    if old or late:
        fix = partial(_rebuild, at, [*old, *late])
        yield Finding("views", "note", f"behind: {', '.join([*old, *late])}", "the next command makes them again", fix)
        return
    if size > COMPARE_EVENTS_MAX:
        yield Finding("views", "good", "up to date; not compared with so many events", "`daybreak ledger verify` does")
        return
    differences = Views(at.views).compare(seen.connection, seen.rows.all())
    if differences:
        names = sorted({one.view for one in differences})
        text = f"{', '.join(names)}: not what the events say ({len(differences)} differences)"
        hint = "`daybreak doctor --fix` makes them again from the events; find out who changed the file"
        yield Finding("views", "bad", text, hint, partial(_rebuild, at, names))
        return
    yield Finding("views", "good", "what the events say")


def _rebuild(at: Looking, names: Sequence[str]) -> str:
    where = at.where
    with Ledger.open(
        where.ledger,
        keys=where.keys,
        witness=where.witness,
        clock=at.clock,
        views=at.views,
        postgres=at.postgres(),
    ) as ledger:
        ledger.rebuild_views()
        left = ledger.compare_views()
    if left:
        raise LedgerError(
            f"views still differ from the events: {left[0].what:.200}", hint="run `daybreak ledger verify`"
        )
    return f"the views {', '.join(names)} were made again from the events"


# -- what owners left


def _confirmed(at: Looking, first: Sequence[Finding]) -> Iterator[Finding]:
    """An owner that comes to its end between the look at the ledger and that at its lock has not died: whatever is
    wrong is so still, at a second look."""
    if all(finding.level == "good" for finding in first):
        yield from first
        return
    with glance.opened(at.where) as again:
        for finding in _owners(at, again):
            if finding.level == "good" or finding in first or finding.name == "supervisor":
                yield finding


def _owners(at: Looking, seen: Glance) -> Iterator[Finding]:
    yield from _runs(at, seen)
    yield from _reservations(at, seen)
    yield from _nights(at, seen)
    yield from _supervisor(at)


def _runs(at: Looking, seen: Glance) -> Iterator[Finding]:
    counts = seen.query("SELECT state, count(*) FROM view_runs GROUP BY state ORDER BY state")
    if counts:
        yield Finding("runs", "good", ", ".join(f"{number} {state}" for state, number in counts))
    active = ", ".join(f"'{state}'" for state in sorted(states.ACTIVE))
    rows = seen.query(f"SELECT run, state, host, seat FROM view_runs WHERE state IN ({active}) ORDER BY place")
    left = 0
    for run, state, host, seat in rows:
        if not _is_here(at, seat, host):
            where = "in another home" if host == socket.gethostname() else f"on host {host}"
            yield Finding("run", "note", f"{run} is {state} {where}, which cannot be seen from here")
        elif at.locks.owner(run) is None:
            left += 1
            if left <= NAMED_MAX:
                hint = f"nothing is lost: the next night goes on with it, or `daybreak resume {run}`"
                yield Finding("run", "note", f"{run} is {state}, but its owner died", hint)
    if left > NAMED_MAX:
        yield Finding("run", "note", f"and {left - NAMED_MAX} more runs whose owners died")
    parked = seen.query(
        "SELECT run, question FROM view_runs WHERE state = 'parked' AND NOT answered ORDER BY place LIMIT ?",
        (NAMED_MAX,),
    )
    for run, question in parked:
        yield Finding("run", "note", f"{run} is parked: {question:.200}", f"daybreak answer {run}")


def _reservations(at: Looking, seen: Glance) -> Iterator[Finding]:
    """Amounts set aside for what nobody is doing."""
    rows = seen.query(
        "SELECT r.run, count(*), coalesce((SELECT state FROM view_runs AS v WHERE v.run = r.run), '') "
        "FROM view_accounts_reserved AS r WHERE r.run <> '' GROUP BY r.run ORDER BY r.run"
    )
    for run, number, state in rows:
        if at.locks.owner(run) is not None:
            continue
        text = f"{number} reservations of {run} ({state or 'no run of this ledger'}) are not settled, and nobody has it"
        if state in FINAL or not state:
            yield Finding("budget", "bad", text, "an error in Daybreak: report it; a higher budget makes up for it")
        else:
            hint = f"whoever goes on with it settles them at their worst: `daybreak resume {run}`"
            yield Finding("budget", "note", text, hint)


def _nights(at: Looking, seen: Glance) -> Iterator[Finding]:
    for row in nights.open_nights(cast(Any, seen)) if _has_nights(seen) else ():
        if not _is_here(at, row.seat, row.host):
            where = "in another home" if row.host == socket.gethostname() else f"on host {row.host}"
            yield Finding("night", "note", f"{row.night} is under way {where}, not to be seen from here")
        elif at.locks.owner(row.night) is None:
            text = f"{row.night} (process {row.pid}, begun {row.began[:19]}Z) died without a word"
            yield Finding("night", "note", text, "the next night closes it and goes on; `daybreak report` tells of it")
        else:
            yield Finding("night", "good", f"{row.night} is under way in process {row.pid}")


def _is_here(at: Looking, seat: str, host: str) -> bool:
    """Was that a process of this home?"""
    return is_here(seat, host, name_of(at.where.locks), socket.gethostname())


def _supervisor(at: Looking) -> Iterator[Finding]:
    """Does it do anything?"""
    beat = at.locks.beat_of(LOCK)
    if beat is not None and beat.owner.beats:
        silent_s = at.clock.now().timestamp() - beat.changed_ns / 1e9
        if silent_s > SILENT_S:
            text = f"the supervisor ({beat.owner}) has done nothing for {silent_s:.0f} s"
            yield Finding("supervisor", "bad", text, "`daybreak unlock` ends it; what it had can then go on")


def _has_nights(seen: Glance) -> bool:
    return bool(seen.query("SELECT 1 FROM sqlite_schema WHERE name = 'view_nights'"))
