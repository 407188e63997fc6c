"""Opens a home: the ledger with its witnesses and replicas beside it, and the engine on top."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.clock import SystemClock
from daybreak.config import POSTGRES, Places, find_places, find_settings, usable_home
from daybreak.errors import LedgerForeign, UsageError
from daybreak.report.saying import say

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.engine import Context, Engine, Listener, TaskFunction
    from daybreak.factory.witnessing import Panel
    from daybreak.ledger import Ledger, Record
    from daybreak.ledger.seats import Seats
    from daybreak.ledger.views import View
    from daybreak.policy.breaker import BreakerRule
    from daybreak.settings import Settings


BOUND = ("command", "issues", "merge", "repository", "validate")
"""Kinds of tasks that work on a folder of the machine on which they were added. A build begins with the text of its
specification, which lies in the ledger."""


def places() -> Places:
    """The folders that apply to this process."""
    return find_places(os.environ, Path.cwd())


def settings() -> Settings:
    """`daybreak.toml` as it applies to this process; without one, the embedded builder behind whatever orchestrators
    are installed. Raises SettingsWrong, SettingsUntrusted."""
    from daybreak import settings
    from daybreak.factory import roster, trust

    where = places()
    told = settings.read(settings.find(os.environ, Path.cwd(), where.settings))
    trust.check(told, where, os.environ)
    return roster.with_plugins(told)


def _settings_or_why_not() -> tuple[Settings, UsageError | None]:
    """To look at the past nobody needs a `daybreak.toml` that can be used."""
    from daybreak.settings import Settings

    try:
        return settings(), None
    except UsageError as problem:
        return Settings(), problem


def _unusable(problem: UsageError) -> TaskFunction:
    """Instead of work that the settings decide about."""
    from daybreak.engine import Parked

    async def park(ctx: Context, args: dict[str, Any]) -> None:
        raise Parked("daybreak.toml cannot be used: is it mended?", f"{problem.code} {problem.message}; {problem.hint}")

    return park


def _do_without(ledger: Ledger, problem: UsageError) -> None:
    """Nobody knows which witnesses and replicas the settings name: what must not be forgotten waits, as it does where
    these have failed."""
    from daybreak.ledger.replicas.problems import NotReplicated

    what = "daybreak.toml cannot be used, so no witness or replica that it names hears of this"
    why = f"{problem.code} {problem.message}"
    say(f"{what}: {why}; {problem.hint}")

    def refuse() -> None:
        raise NotReplicated(f"{what}: {why}", hint=problem.hint)

    ledger.secure_also(refuse)


def rules(told: Settings) -> dict[str, BreakerRule]:
    """Of the breakers that the settings name."""
    from daybreak.policy.breaker import BreakerRule

    return {name: BreakerRule(**rule.model_dump()) for name, rule in told.breakers.items()}


@dataclass(frozen=True)
class Home:
    """An open ledger and the engine on top of it."""

    places: Places
    ledger: Ledger
    engine: Engine
    listeners: list[Listener]
    """Whoever is appended here hears what is under way."""
    settings: Settings
    """Those that apply; the defaults where `problem` keeps them from being used."""
    problem: UsageError | None = None

    def records(self, run: str) -> Iterator[Record]:
        """The run's story: its task, everything in its own stream, in order, and what policy says about it."""
        from daybreak.home import story

        return story.records(self.ledger, run)


def views() -> list[View]:
    """What every ledger of ours is opened with, so that no command leaves a view behind."""
    from daybreak.engine import VIEWS
    from daybreak.engine.nights import NIGHTS
    from daybreak.engine.schedule_view import SCHEDULES
    from daybreak.home.requests import REQUESTS
    from daybreak.memory import VIEWS as MEMORY
    from daybreak.policy import journal
    from daybreak.report.alerts.view import ALERTS
    from daybreak.report.metrics.view import METRICS
    from daybreak.report.notify.view import VIEWS as NOTICES

    return [*VIEWS, SCHEDULES, NIGHTS, *journal.VIEWS, *MEMORY, METRICS, ALERTS, *NOTICES, REQUESTS]


@contextmanager
def opened(
    *, asking: bool = False, looking: bool = False, through: Callable[[Ledger], Ledger] | None = None
) -> Iterator[Home]:
    """The home of this process, closed again at the end. `asking`: work is to be done, so witnesses are asked
    first what they know of the ledger. `looking`: nothing is, so no witness and no replica hears of it. `through`: what
    the home and its engine use in the ledger's place."""
    from daybreak.engine import Engine
    from daybreak.factory.kinds import Kinds
    from daybreak.factory.office import Office
    from daybreak.home import logging

    where, clock = usable_home(places()), SystemClock()
    _finish_restore(where)
    told, problem = _settings_or_why_not()
    with logging.writing(where), open_ledger(where, told, problem, asking=asking, looking=looking) as own:
        ledger = own if through is None else through(own)
        listeners: list[Listener] = []
        office = Office(told, ledger, where, clock, os.environ)
        instead = {} if problem is None else dict.fromkeys(("build", "issues", "repository"), _unusable(problem))
        kinds = Kinds(ledger, where, clock, office, instead)
        seats = _seats(own, where, told)
        engine = Engine(
            ledger, kinds, where.locks, clock, os.urandom, listeners, rules=rules(told), seats=seats, bound=BOUND
        )
        try:
            with _traced(ledger, told, asking=asking):
                yield Home(where, ledger, engine, listeners, told, problem)
        finally:
            if seats is not None:
                seats.stand()
            office.close()


def _seats(ledger: Ledger, where: Places, told: Settings) -> Seats | None:
    """By which other homes on the same ledger see this one; None where the ledger is a file."""
    if ledger.postgres is None or (url := postgres(where, told)) is None:
        return None
    import hashlib
    import socket

    from daybreak.factory import holdout
    from daybreak.ledger.postgres.seats import PostgresSeats

    key = holdout.read_or_make_key(where.keys)  # now, so that it is there when the folder is copied for another home
    mark = hashlib.sha256(b"daybreak: one choice\n" + key).hexdigest()[:32]  # which tells nothing of the key
    return PostgresSeats(url, where.locks, socket.gethostname(), mark=mark)


def _traced(ledger: Ledger, told: Settings, *, asking: bool) -> AbstractContextManager[None]:
    """Only where work is to be done: short commands pay nothing for it."""
    if not (asking and told.traces.endpoint and told.traces.sample):
        return nullcontext()
    from daybreak.home import tracing

    return tracing.beside(ledger, told.traces, os.environ)


@contextmanager
def open_ledger(
    where: Places | None = None,
    told: Settings | None = None,
    problem: UsageError | None = None,
    *,
    asking: bool = False,
    looking: bool = False,
) -> Iterator[Ledger]:
    """The ledger of this home alone, with its witnesses and replicas beside it, as `opened` has it. `problem`: why the
    settings cannot be used; that is said, and nothing is secured meanwhile."""
    from daybreak.ledger import Ledger

    where, clock = where or usable_home(places()), SystemClock()
    if told is None and find_settings(os.environ, Path.cwd(), where.settings) is not None:
        told, problem = _settings_or_why_not()  # reading them takes longer than a short command
    if problem is not None and not database_is_known(where):
        raise problem
    try:
        ledger = Ledger.open(
            where.ledger,
            keys=where.keys,
            witness=where.witness,
            clock=clock,
            views=views(),
            postgres=postgres(where, told),
        )
    except LedgerForeign as error:
        if problem is None:
            raise
        raise problem from error  # a mirror, whose Postgres these settings do not name only because of that
    with ledger, witnessed(ledger, told, where, clock, asking=asking, looking=looking):
        if problem is not None:
            _do_without(ledger, problem)
        if told is not None and told.replicas.targets and not looking:
            from daybreak.home import replicating

            replicating.begin(ledger, told)
        yield ledger


def postgres(where: Places, told: Settings | None = None) -> str | None:
    """The address of the Postgres that holds this home's ledger; None where that is a file. `told`: the settings,
    where they were read already. Raises SettingsWrong, SettingsUntrusted where they say it and cannot be used."""
    if told is None:  # reading them takes longer than a short command
        if named := os.environ.get(POSTGRES):
            return named
        if find_settings(os.environ, Path.cwd(), where.settings) is None:
            return None
        told = settings()
    from daybreak.settings import postgres as chosen

    return chosen(os.environ, told)


def database_is_known(where: Places) -> bool:
    """Where the settings cannot be used: is it clear all the same what holds the ledger? A new home must not begin one
    in a file while settings that only need mending speak of Postgres; one that has a file goes on with it, or is told
    that it is a mirror."""
    found = find_settings(os.environ, Path.cwd(), where.settings)
    if os.environ.get(POSTGRES) or found is None or (where.ledger / "ledger.db").exists():
        return True
    try:
        return "postgres" not in found.read_text("utf-8", errors="replace")
    except OSError:
        return False


@contextmanager
def witnessed(
    ledger: Ledger, told: Settings | None, where: Places, clock: Clock, *, asking: bool, looking: bool = False
) -> Iterator[Panel | None]:
    """The witnesses of the settings beside an open ledger; None where there are none."""
    if told is None or not told.witnesses:
        yield None
        return
    from daybreak.factory.witnessing import beside

    panel = beside(ledger, told, where.witness, clock, os.environ)
    try:
        panel.compare(asking=asking)
        if not looking:
            panel.start()
        yield panel
    finally:
        panel.close()


def _finish_restore(where: Places) -> None:
    """Complete a restore in place that a crash interrupted; there is nothing to import where there was none."""
    if where.ledger.with_name(f".{where.ledger.name}.restore").exists():
        from daybreak.ledger import restore

        if restore.finish(where):
            say("an interrupted restore has been finished")
