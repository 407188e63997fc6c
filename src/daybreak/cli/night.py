"""`daybreak night`: works through the queue until its time, its budget or the queue is used up, and ends cleanly."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.cli.queue import moment_of
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daybreak.engine.keeper import Takeover
    from daybreak.engine.night import Found, Hooks, NightResult, PingKind, Plan, Status
    from daybreak.engine.supervisor import Supervisor
    from daybreak.home import Home

EXAMPLES = (
    "Examples:  daybreak night --until 07:00 --budget 20usd    daybreak night --once    "
    "daybreak night --for 8h --workers 8 --report-to morning.txt    daybreak night --join --until 07:00"
)
WORKERS = 4
PING_VARIABLE = "DAYBREAK_PING"
SPAN_MAX = timedelta(days=7)
"""A night that lasts longer is a typing error."""
LOW_BYTES, LEAST_BYTES = 5 * 2**30, 2**30
"""Of free disk: worth a look; somebody must act."""
_ENDED = {"empty": 0, "deadline": 0, "budget": 0, "stopped": faces.EXIT_INTERRUPTED, "incident": faces.EXIT_PARKED}


class JoinImpossible(UsageError):
    """There is no ledger that other homes could share."""

    code = "U380"


def night(
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="When it ends: 07:00, +8h, 2026-11-22T07:00Z.")
    ] = None,
    for_: Annotated[str | None, typer.Option("--for", metavar="SPAN", help="How long: 8h, 90min.")] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="AMOUNTS", help="The most that it may use: 20usd, '20usd 1000000tokens'."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to do.")] = False,
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="N", help="Runs at once.", parser=arguments.whole(1, 1000)),
    ] = WORKERS,
    if_busy: Annotated[
        str,
        typer.Option("--if-busy", metavar="WHAT", help="While another night is at work here: refuse, wait or help."),
    ] = "refuse",
    join: Annotated[
        bool,
        typer.Option(
            "--join",
            help="Work beside nights of other machines on the same Postgres ledger, and share the budget of theirs.",
        ),
    ] = False,
    ping: Annotated[
        str | None,
        typer.Option(
            "--ping", metavar="URL", envvar=PING_VARIABLE, help="Asked for at its begin, every few minutes, at its end."
        ),
    ] = None,
    report_to: Annotated[
        Path | None,
        typer.Option(
            "--report-to",
            metavar="FILE",
            help="Write the report there at the end: a page (.html), .md, .json, else text.",
            parser=arguments.path,
        ),
    ] = None,
    plain: arguments.Plain = False,
    as_json: Json = False,
) -> None:
    """Work through the queue while nobody watches. Ctrl-C ends it cleanly, twice at once; nothing is lost.

    What a crash left is gone on with. Exit status: 0 ended as planned, 130 stopped, 3 an incident stopped it, 1 failed.
    """
    from daybreak import home
    from daybreak.clock import SystemClock

    plan = replace(_plan(SystemClock().now(), until, for_, budget, once, workers, if_busy), join=join)
    _check_ping(ping)
    _check_report(report_to)
    told = home.settings()  # a night with a daybreak.toml that cannot be used would only park its builds
    _check_join(plan, home.postgres(home.places(), told))
    taken = _make_way(plan)
    with home.opened(asking=True) as opened:
        result = _Night(opened, plan, ping, report_to, as_json, taken, plain).work()
    if as_json:
        faces.result_json(_as_json(result))
    else:
        faces.result(f"{result.night or 'no night'}: {result.text}")
    raise typer.Exit(_ENDED.get(result.why, faces.EXIT_FAILED))


def _plan(
    now: datetime, until: str | None, for_: str | None, budget: str | None, once: bool, workers: int, if_busy: str
) -> Plan:
    from daybreak.engine.night import Plan
    from daybreak.policy.budget import Limit

    if if_busy not in ("refuse", "wait", "help"):
        raise ArgumentWrong(f"--if-busy {arguments.cut(if_busy)} is none of them", hint="refuse, wait or help")
    limit = None if budget is None else Limit.parse(budget)
    if limit is not None and limit.time_ms is not None:
        raise ArgumentWrong(f"--budget {arguments.cut(budget)} speaks of time", hint="say --for 8h or --until 07:00")
    return Plan(
        workers=workers,
        until=_end(now, until, for_),
        budget=None if limit is None or not limit.by_name else limit,
        once=once,
        if_busy=cast("Literal['refuse', 'wait', 'help']", if_busy),
    )


def _check_join(plan: Plan, postgres: str | None) -> None:
    """Raises JoinImpossible."""
    if plan.join and postgres is None:
        raise JoinImpossible(
            "--join works beside nights of other machines, and the ledger of this home is a file of this machine",
            hint="beside a night of this home: `daybreak night --if-busy help`; to share a ledger among machines, keep "
            'it in Postgres: `[ledger] postgres = "postgresql://…"` in daybreak.toml',
        )


def _end(now: datetime, until: str | None, for_: str | None) -> datetime | None:
    """Raises ArgumentWrong, MomentWrong, AmountsUnclear."""
    if until is not None and for_ is not None:
        raise ArgumentWrong("--until and --for were given", hint="give one of the two")
    if for_ is not None:
        from daybreak.policy import amounts

        found = amounts.parse(for_)
        if set(found) != {"time_ms"} or not found["time_ms"]:
            raise ArgumentWrong(f"--for {arguments.cut(for_)} is no span of time", hint="write 8h or 90min")
        if found["time_ms"] > SPAN_MAX.total_seconds() * 1000:
            raise ArgumentWrong(f"--for {arguments.cut(for_)} is too long", hint=f"at most {SPAN_MAX.days}d")
        return now + timedelta(milliseconds=found["time_ms"])
    if until is None:
        return None
    end = moment_of(until, now)
    if not now < end <= now + SPAN_MAX:
        where = "in the past" if end <= now else f"more than {SPAN_MAX.days} days away"
        raise ArgumentWrong(
            f"--until {arguments.cut(until)} is {where}", hint="07:00 is the next time that it is seven"
        )
    return end


def _check_ping(url: str | None) -> None:
    if url:
        from daybreak.host import vigil

        vigil.check_url(url)


def _check_report(path: Path | None) -> None:
    """Now, and not in the morning. Raises ArgumentWrong."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise ArgumentWrong(
            f"--report-to {arguments.cut(path)} can be no file", hint="name one in a folder that is there"
        )


def _make_way(plan: Plan) -> Sequence[Takeover]:
    """End a supervisor that stands still, before the ledger is opened: one that was stopped in the middle of a commit
    holds the database, and nobody can open it. Only for whoever waits or helps; a night that would be refused ends
    nobody. Who was ended. Raises HostError."""
    if plan.if_busy == "refuse":
        return []
    import anyio

    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.engine.keeper import end_silent
    from daybreak.engine.supervisor import LOCK
    from daybreak.host.locks import FileLocks

    async def watch() -> Takeover | None:
        clock = SystemClock()
        return await end_silent(FileLocks(home.places().locks, clock), LOCK, clock, lease_s=plan.lease_s)

    found = anyio.run(watch)
    if found is None:
        return []
    faces.say(found.words)
    return [found] if found.ended is not None else []  # one that could not be ended is seen and noted by the night


def _as_json(result: NightResult) -> dict[str, Any]:
    return {
        "night": result.night,
        "why": result.why,
        "text": result.text,
        "counts": dict(result.counts),
        "used": dict(result.used),
        "began": result.began,
        "ended": result.ended,
        "went_before": result.went_before,
    }


class _Night:
    """The real hooks around one supervisor."""

    def __init__(
        self,
        home: Home,
        plan: Plan,
        ping: str | None,
        report_to: Path | None,
        as_json: bool,
        taken: Sequence[Takeover] = (),
        plain: bool = False,
    ) -> None:
        from daybreak.clock import SystemClock
        from daybreak.home import alerting

        self._home = home
        self._taken = taken
        self._plan = plan
        self._ping_url = ping
        self._report_to = report_to
        self._silent = as_json
        self._plain = plain
        self._clock = SystemClock()
        self._alerts = alerting.watch(home)
        self._supervisor = self._made()

    def _made(self) -> Supervisor:
        from daybreak.engine.schedules import Schedules
        from daybreak.engine.supervisor import Supervisor
        from daybreak.host.locks import FileLocks

        home = self._home
        return Supervisor(
            home.engine,
            home.ledger,
            self._clock,
            os.urandom,
            FileLocks(home.places.locks, self._clock),
            self._plan,
            schedules=Schedules(home.ledger, self._clock, home.engine.queue),
            hooks=self._hooks(),
            taken=self._taken,
            seats=home.engine.seats,
        )

    def _hooks(self) -> Hooks:
        from daybreak.engine.night import Hooks

        return Hooks(
            preflight=self._preflight,
            reconcile=self._reconcile,
            snapshot=self._snapshot,
            beat=self._beat,
            ping=self._ping if self._ping_url else None,
            report=self._report,
            abandon=self._abandon,
        )

    def work(self) -> NightResult:
        """Until its end. Raises as `Supervisor.work`."""
        import anyio

        from daybreak.cli.screen.beside import Beside
        from daybreak.home import notifying
        from daybreak.host import vigil

        self._screen = Beside(self._home, silent=self._silent, plain=self._plain)
        with ExitStack() as stack:
            awake = stack.enter_context(vigil.awake("daybreak works through the night"))
            if not awake.held:
                self._screen.say(f"the machine is not kept awake: {awake.how}")
            stack.enter_context(notifying.beside(self._home))
            stack.enter_context(self._screen)
            stack.callback(self._remove_status)
            return anyio.run(self._work)

    async def _work(self) -> NightResult:
        import anyio

        result: NightResult | None = None
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_on_signal)
            try:
                result = await self._supervisor.work()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                failure = error
            group.cancel_scope.cancel("the night is over")
        if failure is not None:
            raise failure
        assert result is not None, "there is the one or the other"
        return result

    async def _stop_on_signal(self) -> None:
        import anyio

        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            hasty = False
            async for number in signals:
                how = "what is under way is stopped now" if hasty else "the night ends; once more: at once"
                self._screen.say(f"{number.name}: {how}")
                self._supervisor.stop(hasty=hasty)
                hasty = True

    # -- hooks

    async def _preflight(self) -> Sequence[Found]:
        import anyio

        return await anyio.to_thread.run_sync(_preflight, self._home)

    async def _reconcile(self) -> Sequence[Found]:
        import anyio

        return await anyio.to_thread.run_sync(_reconcile, self._home)

    async def _snapshot(self) -> Sequence[Found]:
        import anyio

        return await anyio.to_thread.run_sync(_snapshot, self._home)

    async def _beat(self, status: Status) -> None:
        """A small file, whole at any moment; not synced, because after a crash it says nothing."""
        from daybreak.home.standing import status_file

        told = {
            "night": status.night,
            "helper": status.helper,
            "ending": status.ending,
            "runs": {run: _stamp(since) for run, since in status.runs.items()},
            "steps": {run: step for run, step in self._screen.steps().items() if run in status.runs},
        }
        path = status_file(self._home.places.locks, status.night)
        fresh = path.with_suffix(".json.new")
        fresh.write_text(json.dumps(told), "utf-8")
        fresh.replace(path)
        await self._look_at_alerts()

    async def _look_at_alerts(self, *, now: bool = False) -> None:
        """With the first beat, about once a minute from then on, and at the end."""
        if now or self._alerts.is_due:
            import anyio

            await anyio.to_thread.run_sync(partial(self._alerts.look, now=now))

    def _remove_status(self) -> None:
        if self._supervisor.night:
            for suffix in (".json", ".json.new"):
                with suppress(FileNotFoundError):
                    (self._home.places.locks / f"{self._supervisor.night}{suffix}").unlink()

    async def _ping(self, kind: PingKind) -> None:
        import anyio

        from daybreak.host import vigil

        assert self._ping_url is not None, "only then is this a hook"
        with anyio.fail_after(vigil.PING_S * 2):
            await anyio.to_thread.run_sync(vigil.ping, self._ping_url, abandon_on_cancel=True)

    async def _report(self, night: str) -> None:
        try:
            await self._look_at_alerts(now=True)
        finally:
            if self._report_to is not None:
                import anyio

                await anyio.to_thread.run_sync(write_report, self._home, night, self._report_to)

    async def _abandon(self, runs: Sequence[str]) -> None:
        """Threads of these hang, and no process ends while a thread of it hangs."""
        told = f"{', '.join(runs)} cannot be stopped; everything is recorded, and this process ends at once"
        if self._silent:
            with suppress(OSError, ValueError):
                faces.say(told)
        self._screen.say(told)
        self._screen.close()  # a terminal that is gone, or takes nothing, keeps nobody here
        self._remove_status()
        with suppress(Exception):
            self._home.ledger.close()
        os._exit(faces.EXIT_PARKED)


def write_report(home: Home, night: str, path: Path) -> None:
    """The report of a night, as a file that is whole at any moment: a page, Markdown or JSON by its name's end, else
    text. Raises FilesError, PageTaken."""
    from daybreak.cli.report import write_page
    from daybreak.clock import SystemClock
    from daybreak.home import mornings
    from daybreak.host.files import write_file
    from daybreak.report import morning
    from daybreak.report.morning.deriving import derive

    source, records = mornings.gather(home, SystemClock().now(), night=night)
    told = derive(source)
    if path.suffix in (".html", ".htm"):
        write_page(home, source, records, told, path)
        return
    if path.suffix == ".json":
        text = json.dumps(morning.as_json(told), ensure_ascii=False, indent=2) + "\n"
    else:
        text = (morning.markdown if path.suffix == ".md" else morning.text).render(told)
    write_file(path, text.encode("utf-8", "backslashreplace"))


def _preflight(home: Home) -> list[Found]:
    """What would spoil the night: the doctor's findings."""
    from daybreak.clock import SystemClock
    from daybreak.factory import health
    from daybreak.home import views

    return health.for_night(health.examine(home.places, SystemClock(), views(), roots=[Path.cwd()]))


def _reconcile(home: Home) -> list[Found]:
    """Do the views say what the events say? They are made again where they do not."""
    from daybreak.cli.reconcile import lines
    from daybreak.engine.night import Found

    found = home.ledger.reconcile()
    if not found.drifts:
        return [Found(0, f"all views agree with {found.size} events ({found.mode}, {found.replayed} read)")]
    level = 2 if found.left or found.severity == "critical" else 1
    return [Found(level, "\n".join(lines(found))[:1000], {"incident": found.incident} if found.incident else {})]


def _snapshot(home: Home) -> list[Found]:
    """A copy of the state, the proof that it can be brought back, and the rotation."""
    from daybreak import home as homes
    from daybreak.cli.snapshot import STORE_FOLDER, STORE_VARIABLE
    from daybreak.clock import SystemClock
    from daybreak.engine.night import Found
    from daybreak.factory.blobs import of_record
    from daybreak.host.snapshots import Store
    from daybreak.ledger.safekeeping import keep_safe

    given = os.environ.get(STORE_VARIABLE)
    store = Store(Path(given) if given else home.places.ledger.parent / STORE_FOLDER)
    done = keep_safe(home.ledger, store, home.places, clock=SystemClock(), views=homes.views(), refers=of_record)
    if not done.ok:
        return [Found(2, f"{done.name}: {done.code} {done.problem} ({done.hint})")]
    found = [Found(0, f"{done.name}: {done.bytes} bytes, {done.events} events, restored on trial")]
    found += [Found(2, f"the older snapshot {name} is damaged") for name in done.damaged]
    return found


def _stamp(moment: datetime) -> str:
    from daybreak.clock import stamp

    return stamp(moment.astimezone(UTC))
