"""`daybreak schedule`: tasks that come again by the clock, and the timers that begin the nights in which they run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import FromPhase, Json
from daybreak.errors import UsageError
from daybreak.home import queueing

if TYPE_CHECKING:
    from datetime import datetime

    from daybreak.config import Places
    from daybreak.engine.schedule_view import Past, Row
    from daybreak.engine.schedules import Schedules
    from daybreak.engine.window import CatchUp, Schedule, Window
    from daybreak.factory.asked import Asked
    from daybreak.factory.task import BuildTask
    from daybreak.host.timers import Change, Crontab, Night, Systemd
    from daybreak.ledger import Ledger

_KEPT_NAMES = ("PATH", "LANG", "LC_ALL", "DAYBREAK_HOME", "DAYBREAK_SNAPSHOTS", "DAYBREAK_BUNDLE_DIR")
_FOLDER_NAMES = ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
"""What a night sees of this shell; nothing that may be a secret, because units can be read."""
_SESSION_NAMES = ("HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "PATH", "LANG", "LC_ALL")

app = typer.Typer(help="Tasks that come again by the clock, and the timers of the nights.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
SomeName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this schedule.", show_default=False)]
Every = Annotated[str | None, typer.Option("--every", help="hour, day or week.", show_default="as the task says")]
At = Annotated[str | None, typer.Option("--at", help="HH:MM; for every hour :MM.", show_default="00:00")]
On = Annotated[str | None, typer.Option("--on", help="Day of the week, mon to sun.", show_default="mon")]
CronLine = Annotated[str | None, typer.Option("--cron", help="Instead: minute hour day month weekday.")]
Zone = Annotated[
    str | None, typer.Option("--zone", help="Time zone, such as Europe/Berlin.", show_default="this machine's")
]
CatchUpRule = Annotated[
    str | None,
    typer.Option("--catch-up", help="Windows that were missed: skip, once (the newest) or all.", show_default="once"),
]
Late = Annotated[
    float | None,
    typer.Option("--late-s", help="With skip: how late one may begin, in seconds.", show_default="300"),
]
Gap = Annotated[
    str | None,
    typer.Option("--gap", help="A time that the clock skips: after (right behind it) or skip.", show_default="after"),
]
Repeated = Annotated[
    str | None, typer.Option("--repeated", help="A time that comes twice: first or second.", show_default="first")
]
Overlap = Annotated[
    str | None,
    typer.Option(
        "--overlap", help="While an earlier run is not over: skip or queue.", show_default="queue with all, else skip"
    ),
]
WaitingMax = Annotated[
    int | None,
    typer.Option("--waiting-max", help="With queue: runs that are not over, at most.", show_default="100"),
]
Project = Annotated[str | None, typer.Option("--project", help="Projects share the workers fairly.")]
Priority = Annotated[int | None, typer.Option("--priority", help="Within the project; the higher one first.")]
Begin = Annotated[str, typer.Option("--from", metavar="HH:MM", help="When a night begins.")]
Until = Annotated[str, typer.Option("--until", metavar="HH:MM", help="When it ends.")]
NightZone = Annotated[str, typer.Option("--zone", help="Time zone of these times.", show_default="this machine's")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be written, and write nothing.")]
UseSystemd = Annotated[bool, typer.Option("--systemd", help="Units of your own systemd.")]
UseCron = Annotated[bool, typer.Option("--cron", help="Lines in your crontab.")]


class NotDue(UsageError):
    """No window of the schedule is due."""

    code = "U157"


# -- schedules


@app.command(
    "add",
    epilog="Examples:  daybreak schedule add backup --every day --at 02:30 --zone Europe/Berlin -- backup.toml    "
    "daybreak schedule add news --cron '*/20 6-9 * * mon-fri' --catch-up skip -- news.toml    "
    "daybreak schedule add prices --every hour -- shop.tasks:prices town=berlin",
)
def add(
    name: Name,
    task: Annotated[
        list[str],
        typer.Argument(
            metavar="-- TASK",
            help="What each window adds to the queue, as `daybreak add` takes it: a task file, a specification, or a "
            "Python task with NAME=VALUE for its arguments.",
        ),
    ],
    every: Every = None,
    at: At = None,
    on: On = None,
    cron: CronLine = None,
    zone: Zone = None,
    catch_up: CatchUpRule = None,
    late_s: Late = None,
    gap: Gap = None,
    repeated: Repeated = None,
    overlap: Overlap = None,
    waiting_max: WaitingMax = None,
    project: Project = None,
    priority: Priority = None,
    from_phase: FromPhase = None,
    as_json: Json = False,
) -> None:
    """Make schedule NAME, or edit it. Windows that have begun by now are never run because of an edit."""
    from dataclasses import replace

    from daybreak.clock import SystemClock
    from daybreak.factory.asked import Asked
    from daybreak.home import handover

    found = handover.read(task, cwd=Path.cwd(), environment=os.environ, from_phase=from_phase)
    rules: Any = {"catch_up": catch_up, "late_s": late_s, "gap": gap, "repeated": repeated, "overlap": overlap}
    rules["waiting_max"] = waiting_max
    said = {rule: value for rule, value in rules.items() if value is not None}
    own = found.schedule if isinstance(found, Asked) else None
    schedule = replace(_schedule(own, every, at, on, cron, zone, catch_up), **said)
    with queueing.schedules() as (schedules, ledger):
        asked = found if isinstance(found, Asked) else _build(found, ledger)
        made = schedules.set(name, schedule, asked.placed(project=project, priority=priority).template())
        coming = schedules.next(SystemClock().now(), name)
    following = coming[0][1] if coming else None
    if as_json:
        faces.result_json({"name": name, "changed": made, "when": words(schedule), "next": _window_json(following)})
        return
    faces.result(f"{name}: {words(schedule)}; next {_shown(following)}{'' if made else ' (as it was)'}")


@app.command("list", epilog="Example:  daybreak schedule list --json")
def list_(as_json: Json = False) -> None:
    """List the schedules, their next windows, and what became of the last one. Exit 1 if one cannot be followed."""
    from daybreak.clock import SystemClock

    now = SystemClock().now()
    with queueing.schedules() as (schedules, _):
        rows = [_Listed.of(schedules, row, now) for row in schedules.all()]
        broken = schedules.broken()
    if as_json:
        told = [one.as_json() for one in rows]
        faces.result_json(told + [{"name": name, "problem": why} for name, why in broken])
    else:
        for one in rows:
            faces.result(one.as_text())
        for name, why in broken:
            faces.result(f"{name}  CANNOT BE FOLLOWED  {why}")
        if not rows and not broken:
            faces.say("no schedules: make one with `daybreak schedule add NAME --every day --at 02:30 -- TASK`")
    raise typer.Exit(faces.EXIT_FAILED if broken else 0)


@app.command("next", epilog="Examples:  daybreak schedule next    daybreak schedule next backup --count 10")
def next_(
    name: SomeName = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Windows of each.")] = 3,
    as_json: Json = False,
) -> None:
    """Show the windows to come, the nearest first."""
    from daybreak.clock import SystemClock

    with queueing.schedules() as (schedules, _):
        coming = schedules.next(SystemClock().now(), name, count)
    if as_json:
        faces.result_json([{"name": found, **_window_json(window)} for found, window in coming])
        return
    for found, window in coming:
        faces.result(f"{window.key}  {found}")
    if not coming:
        faces.say("no window will come")


@app.command("history", epilog="Example:  daybreak schedule history backup --most 100")
def history(
    name: Name,
    most: Annotated[int, typer.Option("--most", min=1, help="So many windows at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what became of the windows of NAME, the newest first; of a removed schedule too."""
    with queueing.schedules() as (schedules, _):
        past = schedules.history(name, most)
    if as_json:
        faces.result_json([_past_json(one) for one in past])
        return
    for one in past:
        faces.result(_past_text(one))


@app.command("remove", epilog="Example:  daybreak schedule remove backup")
def remove(name: Name, as_json: Json = False) -> None:
    """Remove NAME. Its runs stay in the queue, and its history stays."""
    with queueing.schedules() as (schedules, _):
        under_way = [one.run for one in schedules.not_over(name)]
        schedules.remove(name)
    if as_json:
        faces.result_json({"removed": name, "not_over": under_way})
        return
    faces.result(f"removed {name}")
    for run in under_way:
        faces.say(f"{run} of it is not over and stays: `daybreak cancel {run}` takes it away")


@app.command("run", epilog="Examples:  daybreak schedule run backup    daybreak schedule run backup --force")
def run(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Although its window has run, or has not come.")] = False,
    as_json: Json = False,
) -> None:
    """Put the run of NAME into the queue if its window is due and was not run yet; with --force in any case."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.engine.schedules import Opened, Schedules
    from daybreak.home.waiting import waits

    clock = SystemClock()
    now = clock.now()
    with home.opened() as opened:
        schedules = Schedules(opened.ledger, clock, opened.engine.queue)
        told = [schedules.force(name)] if force else schedules.look(now, name)
        last = schedules.history(name, 1) if not told else []
        coming = schedules.next(now, name)
        waiting = {one.run: waits(opened, one.run) for one in told if isinstance(one, Opened)}
    if not told:
        done = f"; the last one: {_past_text(last[0])}" if last else ""
        following = _shown(coming[0][1] if coming else None)
        raise NotDue(
            f"no window of {name} is due{done}", hint=f"the next one is {following}; --force runs it beside its time"
        )
    if as_json:
        faces.result_json(
            [
                {"window": one.window}
                | ({"run": one.run, "waits": waiting[one.run]} if isinstance(one, Opened) else {"skipped": one.why})
                for one in told
            ]
        )
    for one in [] if as_json else told:
        what = f"{one.run} is in the queue" if isinstance(one, Opened) else f"skipped: {one.why}"
        faces.result(f"{one.window}  {what}")
        if isinstance(one, Opened) and waiting[one.run]:
            faces.say(waiting[one.run])
    raise typer.Exit(0 if any(isinstance(one, Opened) for one in told) else faces.EXIT_FAILED)


# -- timers of the nights


@app.command(
    "install",
    epilog="Examples:  daybreak schedule install --dry-run    "
    "daybreak schedule install --from 23:00 --until 06:30 --zone Europe/Berlin -- --budget 20usd",
)
def install(
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="More options of `daybreak night`.")
    ] = None,
    begin: Begin = "22:00",
    until: Until = "07:00",
    zone: NightZone = "",
    systemd: UseSystemd = False,
    cron: UseCron = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Begin a night every evening, again if it fails, and report every morning, even if the night died.

    With units of your own systemd where there is one, else with lines in your crontab. What is not ours is never
    changed.
    """
    from daybreak import home
    from daybreak.host.timers import Times

    where = home.places()
    night = _night(where, Times(begin=begin, until=until, zone=zone), tuple(options or ()))
    timers, kind = _timers(systemd, cron, dry_run=dry_run)
    changes = _put(timers, night, dry_run=dry_run)
    _tell(changes, dry_run=dry_run, as_json=as_json)
    if as_json:
        return
    needed = any(change.needed for change in changes)
    faces.say("nothing is written" if dry_run else "everything is in place" if needed else "everything is as it was")
    faces.say(f"nights from {begin} until {until}{f' {zone}' * bool(zone)}, a report at {night.times.report}")
    if kind == "systemd":
        _tell_lingering(timers)


@app.command("uninstall", epilog="Example:  daybreak schedule uninstall --dry-run")
def uninstall(
    systemd: UseSystemd = False, cron: UseCron = False, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Take the timers of `install` away. A night that is under way goes on; schedules stay."""
    from daybreak import home

    timers, _ = _timers(systemd, cron, dry_run=dry_run)
    changes = timers.uninstall(_label(home.places()), dry_run=dry_run)
    _tell(changes, dry_run=dry_run, as_json=as_json)
    if not as_json and not changes:
        faces.say("no timers of ours are there")


@app.command("within", hidden=True)
def within(begin: Begin, until: Until, zone: NightZone = "") -> None:
    """Exit 0 between these times of day, 1 otherwise: timers ask before they begin a night."""
    from daybreak.clock import SystemClock
    from daybreak.host.timers import Times

    raise typer.Exit(0 if Times(begin=begin, until=until, zone=zone).within(SystemClock().now()) else 1)


# -- parts


def _build(task: BuildTask, ledger: Ledger) -> Asked:
    """A specification as it is now, which each window builds, from its beginning or from the phase that was named on
    what was left until now. What was delivered before is replaced, unless somebody has changed it.
    Raises NothingToTakeOver."""
    from daybreak.factory.asked import Asked
    from daybreak.factory.kinds import build

    return Asked(kind=build.KIND, title=task.spec.title, args=task.args(ledger).model_dump(mode="json"))


def _schedule(
    own: Schedule | None,
    every: str | None,
    at: str | None,
    on: str | None,
    cron: str | None,
    zone: str | None,
    catch_up: str | None,
) -> Schedule:
    """What the options say, or else the task itself (`own`). Raises ScheduleWrong."""
    from dataclasses import replace

    from daybreak.engine.window import ScheduleWrong
    from daybreak.factory import asked as asking

    caught_up = cast("CatchUp", catch_up or (own.catch_up if own else "once"))
    known = zone or (own.zone if own else _machine_zone() or "UTC")
    made = asking.schedule(every=every, at=at, on=on, cron=cron, zone=known, catch_up=caught_up)
    if made is not None:
        return made
    if own is None:
        raise ScheduleWrong(
            "neither the options nor the task say when it comes",
            hint="--every hour, day or week with --at, or --cron 'MINUTE HOUR DAY MONTH WEEKDAY'",
        )
    return replace(own, zone=known, catch_up=caught_up)


def words(schedule: Schedule) -> str:
    from daybreak.home import scheduling

    return scheduling.words(schedule)


class _Listed(NamedTuple):
    """A schedule as `list` shows it."""

    row: Row
    next: Window | None
    due: int
    last: Past | None
    under_way: list[Past]

    @classmethod
    def of(cls, schedules: Schedules, row: Row, now: datetime) -> _Listed:
        coming = schedules.next(now, row.name)
        past = schedules.history(row.name, 1)
        following = coming[0][1] if coming else None
        due = schedules.due(now, row.name)
        return cls(row, following, due, past[0] if past else None, schedules.not_over(row.name))

    def as_text(self) -> str:
        lines = [f"{self.row.name}  {words(self.row.schedule)}  next {_shown(self.next)}  {self.row.template['title']}"]
        if self.due:
            lines.append(f"    {self.due} windows have come and wait for a night")
        if self.last is not None:
            lines.append(f"    last: {_past_text(self.last)}")
        if len(self.under_way) > 1:
            lines.append(f"    {len(self.under_way)} runs of it are not over")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        return {
            "name": self.row.name,
            "when": words(self.row.schedule),
            "schedule": asdict(self.row.schedule),
            "task": dict(self.row.template),
            "edited": self.row.edited,
            "next": _window_json(self.next),
            "due": self.due,
            "last": None if self.last is None else _past_json(self.last),
            "not_over": [one.run for one in self.under_way],
        }


def _shown(window: Window | None) -> str:
    return "never" if window is None else window.key


def _window_json(window: Window | None) -> dict[str, Any]:
    from daybreak.clock import stamp

    if window is None:
        return {"window": None, "start": None}
    return {"window": window.key, "start": stamp(window.start)}


def _past_json(past: Past) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(past), "skipped": not past.run}


def _past_text(past: Past) -> str:
    if not past.run:
        return f"{past.window}  skipped: {past.why}"
    asks = f": {past.question}" if past.question else ""
    return f"{past.window}  {past.run}  {past.state}{asks}"


def _machine_zone() -> str:
    from daybreak.host.timers import machine_zone

    return machine_zone(environment=os.environ)


def _night(where: Places, times: Any, options: tuple[str, ...]) -> Night:
    from daybreak.host.timers import Night

    environment = {name: os.environ[name] for name in (*_KEPT_NAMES, *_FOLDER_NAMES) if os.environ.get(name)}
    if "DAYBREAK_HOME" in environment:
        environment["DAYBREAK_HOME"] = str(where.ledger.parent)
    project = where.ledger.parent.parent if where.ledger.parent.name == ".daybreak" else Path.home()
    return Night(
        times=times,
        program=_program(),
        options=options,
        folder=project,
        environment=environment,
        label=_label(where),
    )


def _program() -> tuple[str, ...]:
    """What starts Daybreak again. A bundle is started by its file: what it has unpacked may be cleared away."""
    from daybreak.factory.bundling import here

    if (file := here.file(os.environ)) is not None:
        return (os.path.realpath(sys.executable), str(file))
    return (sys.executable, "-m", "daybreak")


def _label(where: Places) -> str:
    """Empty for the user's own folders; each other state has timers of its own."""
    import hashlib

    if where.why == "the user's folders":
        return ""
    return hashlib.sha256(os.fsencode(where.ledger)).hexdigest()[:8]


def _timers(systemd: bool, cron: bool, *, dry_run: bool) -> tuple[Systemd | Crontab, str]:
    from daybreak.host import timers

    if systemd and cron:
        raise UsageError("--systemd or --cron, not both", hint="without either, the one that is there is taken")
    kind = "systemd" if systemd else "cron" if cron else timers.kind_here(os.environ)
    session = {name: os.environ[name] for name in _SESSION_NAMES if name in os.environ}
    run = timers.runner(session, Path.home())
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config").absolute()
    if kind == "systemd":
        return timers.Systemd(config / "systemd" / "user", run), kind
    return timers.Crontab(config / "daybreak" / "timers", run), kind


def _put(timers: Systemd | Crontab, night: Night, *, dry_run: bool) -> list[Change]:
    from daybreak.host.timers import Systemd

    if isinstance(timers, Systemd):
        return timers.plan(night) if dry_run else timers.install(night)
    zone = _machine_zone()
    return timers.plan(night, zone) if dry_run else timers.install(night, zone)


def _tell(changes: list[Change], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        faces.result_json(
            [{"where": one.where, "changes": one.needed, "old": one.old, "new": one.new} for one in changes]
        )
        return
    for one in changes:
        what = "goes" if one.new is None else "is written" if one.needed else "is as it was"
        if dry_run and one.needed:
            what = "would go" if one.new is None else "would be written"
        faces.result(f"{one.where}  {what}")
        if dry_run and one.needed and one.new is not None:
            faces.result("\n".join(f"    {line}" for line in _new_lines(one.old, one.new)))


def _new_lines(old: str | None, new: str) -> list[str]:
    """Of a crontab, only what is ours comes out; of a file, all."""
    known: Mapping[str, bool] = dict.fromkeys((old or "").splitlines(), True)
    return [line for line in new.splitlines() if line not in known or not line]


def _tell_lingering(timers: Any) -> None:
    """Units of a user stop with the user's last session, unless somebody said otherwise."""
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or str(os.getuid())
    if timers.lingers(user) is not True:
        faces.say(f"they run only while you are logged in: `loginctl enable-linger {user}` changes that")
