"""Breakers that survive: circuits in the ledger, over the rules of `breaker`.

Every change of a circuit is one `BreakerChanged` with the next version. Its idempotency key is that version, so that of
two writers of the same one (threads, tasks, processes) exactly one wins; the other reads again and decides anew. What
changes nothing (a success while closed, a question while open) is read from the view and appends nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar, get_args

import msgspec

from daybreak import events, ids
from daybreak.clock import Clock, stamp
from daybreak.errors import DraftRefused, PolicyError
from daybreak.ledger.record import Draft, Record
from daybreak.ledger.views import Statement, View
from daybreak.policy.breaker import NAME_CHARS_MAX, BreakerMisused, Circuit, CircuitState

T = TypeVar("T")
Change = Callable[[Circuit], tuple[Circuit, T]]

TRIES_MAX = 1000
"""Somebody wins every time, so that one who lost so often is not crowded out: something is wrong."""
WHY_CHARS_MAX = 500


class CircuitsBusy(PolicyError):
    """A breaker's state was changed by others each time that it was to be changed here."""

    code = "P203"


# -- the view

_STATES = ", ".join(f"'{state}'" for state in get_args(CircuitState))
_SCHEMA = f"""
CREATE TABLE view_circuits (
  name     TEXT PRIMARY KEY,
  version  INTEGER NOT NULL,
  state    TEXT NOT NULL CHECK (state IN ({_STATES})),
  failures TEXT NOT NULL,
  until    TEXT NOT NULL,
  openings INTEGER NOT NULL CHECK (openings >= 0),
  probes   TEXT NOT NULL,
  why      TEXT NOT NULL,
  changed  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER view_circuits_first AFTER INSERT ON view_circuits WHEN NEW.version <> 1 BEGIN
  SELECT RAISE(ABORT, 'breaker changed: version ' || NEW.version || ' of ' || NEW.name || ' cannot be its first');
END;
CREATE TRIGGER view_circuits_next AFTER UPDATE ON view_circuits WHEN NEW.version <> OLD.version + 1 BEGIN
  SELECT RAISE(ABORT, 'breaker changed: version ' || NEW.version || ' of ' || NEW.name || ' after ' || OLD.version);
END;
"""
_PUT = """INSERT INTO view_circuits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
  version = excluded.version, state = excluded.state, failures = excluded.failures, until = excluded.until,
  openings = excluded.openings, probes = excluded.probes, why = excluded.why, changed = excluded.changed"""


def _apply(record: Record) -> Iterable[Statement]:
    if isinstance(changed := record.event, events.BreakerChanged):
        moments = [*changed.failures, *changed.probes, *([changed.until] if changed.until else [])]
        if any(datetime.fromisoformat(moment).tzinfo is None for moment in moments):
            raise ValueError(f"a moment of breaker {changed.name:.80} has no time zone")
        lists = (_list(changed.failures), changed.until, changed.openings, _list(changed.probes))
        yield Statement(_PUT, (changed.name, changed.version, changed.state, *lists, changed.why, record.ts))


CIRCUITS = View(name="circuits", version=1, schema=_SCHEMA, apply=_apply, of=(events.BreakerChanged,))
"""Register it where the ledger is opened."""


# -- changing and asking


class Log(Protocol):
    """The part of a ledger that is needed here."""

    def append(self, drafts: Sequence[Draft]) -> Sequence[Record]: ...
    async def append_async(self, drafts: Sequence[Draft]) -> Sequence[Record]: ...
    def query(self, sql: str, params: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]: ...


class CircuitRow(NamedTuple):
    """A breaker as it is now."""

    name: str
    version: int
    circuit: Circuit
    changed: str
    """When it last changed."""


class LedgerCircuits:
    """Keeps breakers' states in the ledger (`policy.breaker.Circuits`): one breaker for all who share the ledger, over
    restarts. The ledger must have been opened with `CIRCUITS`. For any number of threads and tasks."""

    def __init__(self, log: Log, clock: Clock, entropy: ids.Entropy = os.urandom) -> None:
        self._log = log
        self._clock = clock
        self._entropy = entropy

    def change(self, name: str, change: Change[T]) -> T:
        """Read the state, append the changed one, give the other half of what `change` gave; durable when it returns.

        `change` is pure: it is called again where somebody else came first. Raises what it and the ledger raise,
        BreakerMisused for a name that cannot be, CircuitsBusy."""
        for version, circuit in self._tries(name):
            after, told = change(circuit)
            if after == circuit:
                return told
            draft = self._draft(name, version + 1, after)
            try:
                if self._won(draft, self._log.append([draft])):
                    return told
            except DraftRefused:
                if not self._overtaken(name, version):
                    raise
        raise _busy(name)

    async def change_async(self, name: str, change: Change[T]) -> T:
        """As `change`, without blocking the event loop."""
        for version, circuit in self._tries(name):
            after, told = change(circuit)
            if after == circuit:
                return told
            draft = self._draft(name, version + 1, after)
            try:
                if self._won(draft, await self._log.append_async([draft])):
                    return told
            except DraftRefused:
                if not self._overtaken(name, version):
                    raise
        raise _busy(name)

    def all(self) -> list[CircuitRow]:
        """Every breaker that ever changed, by name."""
        return [_row(row) for row in self._log.query("SELECT * FROM view_circuits ORDER BY name")]

    async def forget_probes(self) -> None:
        """Whoever had probes under way is dead: others may probe at once."""
        for row in self.all():
            if row.circuit.probes:
                await self.change_async(row.name, lambda circuit: (replace(circuit, probes=()), None))

    # -- inside

    def _tries(self, name: str) -> Iterator[tuple[int, Circuit]]:
        given: object = name
        if not isinstance(given, str) or not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
            raise BreakerMisused(f"a breaker named {name!r:.80}", hint=f"1 to {NAME_CHARS_MAX} printable characters")
        for _ in range(TRIES_MAX):
            yield self._read(name)

    def _read(self, name: str) -> tuple[int, Circuit]:
        rows = self._log.query("SELECT * FROM view_circuits WHERE name = ?", (name,))
        if not rows:
            return 0, Circuit()
        row = _row(rows[0])
        return row.version, row.circuit

    def _draft(self, name: str, version: int, circuit: Circuit) -> Draft:
        event = events.BreakerChanged(
            name=name,
            version=version,
            state=circuit.state,
            failures=[stamp(moment) for moment in circuit.failures],
            until="" if circuit.until is None else stamp(circuit.until),
            openings=circuit.openings,
            probes=[stamp(moment) for moment in circuit.probes],
            why=_plain(circuit.why),
        )
        # Two writers may say the same at the same moment: who appended it is seen by the actor.
        actor = ids.new("breaker", self._clock.now(), self._entropy)
        return Draft(events.POLICY, event, actor=actor, idem=f"breaker:{name}:{version}")

    @staticmethod
    def _won(draft: Draft, records: Sequence[Record]) -> bool:
        return records[0].actor == draft.actor

    def _overtaken(self, name: str, version: int) -> bool:
        """Does somebody else's change explain the refusal?"""
        return self._read(name)[0] > version


def _busy(name: str) -> CircuitsBusy:
    return CircuitsBusy(
        f"breaker {name:.80} was changed by others {TRIES_MAX} times in a row", hint="find out who changes it so often"
    )


def _plain(why: str) -> str:
    """As an event can hold it: half surrogate pairs, which a failure's text may have, are none."""
    return why[:WHY_CHARS_MAX].encode("utf-8", "backslashreplace").decode()


def _list(moments: Sequence[str]) -> str:
    return msgspec.json.encode(moments).decode()


def _moments(text: str) -> tuple[datetime, ...]:
    return tuple(datetime.fromisoformat(moment) for moment in msgspec.json.decode(text, type=list[str]))


def _row(row: Sequence[Any]) -> CircuitRow:
    name, version, state, failures, until, openings, probes, why, changed = row
    circuit = Circuit(
        state=state,
        failures=_moments(failures),
        until=datetime.fromisoformat(until) if until else None,
        openings=openings,
        probes=_moments(probes),
        why=why,
    )
    return CircuitRow(name, version, circuit, changed)
