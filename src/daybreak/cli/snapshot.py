"""`daybreak snapshot`: copies of the state, put away, listed, checked, brought back, pruned by rule."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces, restored
from daybreak.errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from daybreak.config import Places
    from daybreak.events import Event
    from daybreak.host.snapshots import Progress, Pruned, Snapshot, Store
    from daybreak.ledger import Ledger
    from daybreak.ledger.restore import Restorer

STORE_VARIABLE = "DAYBREAK_SNAPSHOTS"
STORE_FOLDER = "snapshots"
KEEP_MAX = 100_000
_LATE_S = 1.0
"""What takes longer shows how far it is."""

app = typer.Typer(help="Copies of the state: make, list, check, restore, prune.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar=STORE_VARIABLE,
        help="Where snapshots lie.",
        show_default="beside the ledger",
        parser=arguments.path,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A snapshot, the beginning of its name, or `newest`.")]
Daily = Annotated[
    int,
    typer.Option(
        "--keep-daily", help="Newest of each of so many days.", parser=arguments.whole(0, KEEP_MAX), metavar="N"
    ),
]
Weekly = Annotated[
    int,
    typer.Option(
        "--keep-weekly", help="Newest of each of so many weeks.", parser=arguments.whole(0, KEEP_MAX), metavar="N"
    ),
]
Monthly = Annotated[
    int,
    typer.Option(
        "--keep-monthly", help="Newest of each of so many months.", parser=arguments.whole(0, KEEP_MAX), metavar="N"
    ),
]


@app.command(
    "create",
    epilog="Examples:  daybreak snapshot create    daybreak snapshot create --store /mnt/backup/daybreak --prune",
)
def create(
    store: StoreFolder = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="With the signing key: whoever reads the snapshot can forge the log.")
    ] = False,
    prune_too: Annotated[
        bool, typer.Option("--prune", help="Afterwards remove what the rule of 7 days does not keep.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a copy of the ledger and its blobs away, verified. Safe while a night is running.

    Keys and workspaces are not in it: keep a copy of the keys elsewhere, because a restore needs them.
    """
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.events import SnapshotsPruned
    from daybreak.ledger import snapshot

    where, place = _begin(store)
    if not (where.ledger / "ledger.db").exists():
        raise home.NoRuns(f"there is no ledger in {where.ledger}", hint="start with `daybreak build SPEC`")
    views, refers = _ledger_parts()
    with _shown() as progress:
        made = snapshot.take(
            place,
            where,
            clock=SystemClock(),
            with_keys=with_keys,
            views=views,
            refers=refers,
            bring=_bring(where),
            progress=progress,
        )
        _append(where, snapshot.event_of(made))
        pruned = place.prune(_rule(7, 0, 0), _now(), progress=progress) if prune_too else None
    if pruned is not None and pruned.removed:
        _append(where, SnapshotsPruned(store=str(place.folder), removed=pruned.removed, verified=pruned.verified))
    if with_keys:
        faces.say(f"this snapshot holds the signing key: whoever reads {made.folder} can forge the log")
    if as_json:
        faces.result_json({**_as_json(made), "pruned": [] if pruned is None else pruned.removed})
        return
    faces.result(f"{made.name}  {_size(made.manifest.archive.size)}  {made.manifest.notes['ledger']['size']} events")
    faces.say(f"in {made.folder}")
    if not with_keys:
        faces.say(f"without keys: keep a copy of {where.keys} in another place; a restore needs it")
    for name in [] if pruned is None else pruned.removed:
        faces.say(f"removed {name}")


@app.command("list", epilog="Example:  daybreak snapshot list --json")
def list_(store: StoreFolder = None, as_json: Json = False) -> None:
    """List the snapshots, the newest first. Exit 1 if one of them cannot be used."""
    from daybreak.host.snapshots import Damaged

    _, place = _begin(store)
    found = place.snapshots()
    broken = [one for one in found if isinstance(one, Damaged)]
    if as_json:
        faces.result_json(
            [
                {"name": one.name, "folder": str(one.folder), "damaged": one.problem.message}
                if isinstance(one, Damaged)
                else _as_json(one)
                for one in found
            ]
        )
    for one in [] if as_json else found:
        if isinstance(one, Damaged):
            faces.result(f"{one.name}  DAMAGED  {one.problem.message}")
        else:
            events = one.manifest.notes.get("ledger", {}).get("size", "no")
            keys = "  with keys" if one.manifest.notes.get("keys") else ""
            faces.result(f"{one.name}  {_size(one.manifest.archive.size):>10}  {events} events{keys}")
    if not found and not as_json:
        faces.say(f"no snapshots in {place.folder}: make one with `daybreak snapshot create`")
    raise typer.Exit(faces.EXIT_FAILED if broken else 0)


@app.command("verify", epilog="Examples:  daybreak snapshot verify    daybreak snapshot verify --all --json")
def verify(
    name: Name = "newest",
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only compare checksums; restore nothing.")] = False,
    store: StoreFolder = None,
    as_json: Json = False,
) -> None:
    """Restore a snapshot into a temporary folder, and verify the ledger there. Exit 1 if anything is wrong."""
    from daybreak.events import SnapshotVerified

    if every and name != "newest":
        raise UsageError("one snapshot or all of them", hint="leave out either NAME or --all")
    where, place = _begin(store)
    if not every:
        name = _named(place, name)
    names = [one.name for one in place.snapshots()] if every else [name]
    results: list[dict[str, Any]] = []
    with _shown() as progress:
        for one in names:
            told = _verify(place, where, one, quick, progress)
            results.append(told)
            if not quick and told["manifest"]:
                problems = [] if told["ok"] else [told["problem"]]
                event = SnapshotVerified(name=told["name"], manifest=told["manifest"], ok=told["ok"], problems=problems)
                _append_if_possible(where, event)
    if as_json:
        faces.result_json(results)
    else:
        for told in results:
            faces.result(f"{told['name']}: {told['done'] if told['ok'] else 'NOT usable: ' + told['problem']}")
    raise typer.Exit(0 if all(told["ok"] for told in results) else faces.EXIT_FAILED)


@app.command(
    "restore",
    epilog="Examples:  daybreak snapshot restore newest --to ~/yesterday    "
    "daybreak snapshot restore 20261121 --in-place    daybreak snapshot restore newest --check",
)
def restore(
    name: Name,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="A new folder, a DAYBREAK_HOME of its own.", parser=arguments.path),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the present ledger, which is moved aside and kept.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only try it, in a temporary folder.")] = False,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="The old key is lost: go on without its signature.")
    ] = False,
    store: StoreFolder = None,
    as_json: Json = False,
) -> None:
    """Bring the ledger back from NAME, as a new log that goes on from the old one.

    Runs that may have gone on after the copy are parked with a question, and nothing of them is done again before it is
    answered. What is there now is never removed.
    """
    if [to is not None, in_place, check].count(True) != 1:
        raise UsageError("say where to restore to", hint="exactly one of --to DIR, --in-place and --check")
    if check:
        verify(name, every=False, quick=False, store=store, as_json=as_json)
    where, place = _begin(store)
    name = _named(place, name)
    if to is None:
        restored.refuse_mirror(where)
    else:
        arguments.usable(to, "the folder to restore into")
    with _shown() as progress:
        restorer = _restorer(place, where, progress, without_key)
        done = restorer.in_place(name) if in_place else restorer.to(name, to or Path())
    if as_json:
        faces.result_json(restored.as_json(done))
        return
    restored.tell(done)
    if to is not None:
        restored.tell_use(done, where)


@app.command(
    "prune",
    epilog="Examples:  daybreak snapshot prune --dry-run    daybreak snapshot prune --keep-weekly 4 --yes",
)
def prune(
    daily: Daily = 7,
    weekly: Weekly = 0,
    monthly: Monthly = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store: StoreFolder = None,
    as_json: Json = False,
) -> None:
    """Remove the snapshots that the rule does not keep, after the newest one that stays was read back whole."""
    from daybreak.events import SnapshotsPruned

    where, place = _begin(store)
    rule = _rule(daily, weekly, monthly)
    with _shown() as progress:
        plan = place.prune(rule, _now(), dry_run=True, progress=progress)
    if not as_json:
        _show_plan(plan)
    removed: list[str] = []
    if plan.removed and not dry_run:
        _ask(yes, len(plan.removed))
        with _shown() as progress:
            removed = place.prune(rule, _now(), progress=progress).removed
        _append_if_possible(where, SnapshotsPruned(store=str(place.folder), removed=removed, verified=plan.verified))
        faces.say(f"removed {len(removed)}")
    if as_json:
        faces.result_json(
            {
                "kept": plan.kept,
                "to_remove": plan.removed,
                "removed": removed,
                "damaged": [one.name for one in plan.damaged],
                "verified": plan.verified,
            }
        )


# -- parts


def _begin(store: Path | None) -> tuple[Places, Store]:
    """Where things are; an interrupted restore is finished before anything else."""
    from daybreak import home
    from daybreak.host.snapshots import Store
    from daybreak.ledger import restore as ledger_restore

    where = arguments.usable_home(home.places())
    folder = _store(store, where)
    if ledger_restore.finish(where):
        faces.say("a restore that was interrupted has been finished; what was there before is beside the ledger")
    return where, Store(folder)


def _store(given: Path | None, where: Places) -> Path:
    """The folder of the snapshots. Raises PlaceUnusable."""
    folder = arguments.usable(given or where.ledger.parent / STORE_FOLDER, "the store")
    for place in (where.ledger, where.keys, where.witness):
        if folder.resolve().is_relative_to(place.resolve()):
            raise arguments.PlaceUnusable(
                f"the store {arguments.cut(folder)} lies in {arguments.cut(place)}", hint="put it elsewhere"
            )
    return folder


def _named(place: Store, name: str) -> str:
    """The snapshot's whole name; that of a damaged one, too. Raises SnapshotMissing."""
    from daybreak.host.snapshots import SnapshotDamaged, SnapshotMissing

    if not name:
        raise arguments.ArgumentWrong("no snapshot was named", hint="`newest`, or a name from `daybreak snapshot list`")
    try:
        return place.find(name).name
    except SnapshotDamaged:
        return name
    except SnapshotMissing as error:
        if name == "newest":
            hint = "make one with `daybreak snapshot create`, or name another --store"
            raise SnapshotMissing(f"there are no snapshots in {place.folder}", hint=hint) from None
        raise error


def _ledger_parts() -> tuple[list[Any], Any]:
    """The views that are kept here, and which blobs a record names."""
    from daybreak import home
    from daybreak.factory.blobs import of_record

    return home.views(), of_record


def _restorer(place: Store, where: Places, progress: Progress | None, without_key: bool = False) -> Restorer:
    from daybreak.clock import SystemClock
    from daybreak.ledger.restore import Restorer

    views, refers = _ledger_parts()
    return Restorer(place, where, SystemClock(), without_key=without_key, views=views, refers=refers, progress=progress)


def _verify(place: Store, where: Places, name: str, quick: bool, progress: Progress | None) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "manifest": "", "ok": True, "problem": "", "hint": ""}
    started = time.perf_counter()
    try:
        found = place.find(name)
        told |= {"name": found.name, "manifest": found.manifest_sha256}
        if quick:
            place.verify(found.name, progress=progress)
            told["done"] = "every byte is as it was written"
        else:
            done = _restorer(place, where, progress).test_restore(found.name)
            told["events"] = done.size
            told["done"] = f"restored and verified, {done.size} events"
    except DaybreakError as error:
        told |= {"ok": False, "code": error.code, "problem": error.message, "hint": error.hint}
    return told | {"seconds": round(time.perf_counter() - started, 3)}


def _append(where: Places, event: Event) -> None:
    """Remember it in the ledger."""
    from daybreak.events import KEYS
    from daybreak.ledger import Draft

    with _opened(where) as ledger:
        ledger.append([Draft(KEYS, event, "snapshot")])


def _bring(where: Places) -> Callable[[], object] | None:
    """What puts the blobs of other homes into the folder; None where the ledger is a file, which has them all."""
    from daybreak import home

    if home.postgres(where) is None:
        return None

    def bring() -> None:
        with _opened(where) as ledger:
            ledger.bring_blobs()

    return bring


def _opened(where: Places) -> Ledger:
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.ledger import Ledger

    return Ledger.open(
        where.ledger,
        keys=where.keys,
        witness=where.witness,
        clock=SystemClock(),
        views=home.views(),
        postgres=home.postgres(where),
    )


def _append_if_possible(where: Places, event: Event) -> None:
    """Snapshots are looked at when the ledger is broken, too; then that is said, and nothing else fails."""
    if not (where.ledger / "ledger.db").exists():
        faces.say(f"not recorded: there is no ledger in {where.ledger}")
        return
    try:
        _append(where, event)
    except DaybreakError as error:
        faces.say(f"not recorded: {error.code} {error.message}")


def _rule(daily: int, weekly: int, monthly: int) -> Any:
    from daybreak.host.snapshots import Rule

    return Rule(daily=daily, weekly=weekly, monthly=monthly)


def _now() -> datetime:
    """In the zone of this machine, whose days and weeks the rule means."""
    from daybreak.clock import SystemClock

    return SystemClock().now().astimezone()


def _show_plan(plan: Pruned) -> None:
    for one in plan.damaged:
        faces.say(f"{one.name} is damaged and left alone: {one.problem.message}")
    for name in plan.kept:
        faces.result(f"keep    {name}")
    for name in plan.removed:
        faces.result(f"remove  {name}")
    if plan.verified:
        faces.say(f"{plan.verified} was read back whole")


def _ask(yes: bool, count: int) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{count} snapshots would be removed and nobody can be asked", hint="--yes or --dry-run")
    if not typer.confirm(f"remove {count}?"):
        raise typer.Exit(faces.EXIT_FAILED)


def _as_json(made: Snapshot) -> dict[str, Any]:
    told = made.manifest
    return {
        "name": made.name,
        "folder": str(made.folder),
        "created": told.created,
        "bytes": told.archive.size,
        "sha256": told.archive.sha256,
        "manifest_sha256": made.manifest_sha256,
        "files": len(told.files),
        "files_bytes": told.total,
        "keys": bool(told.notes.get("keys")),
        "ledger": told.notes.get("ledger"),
    }


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


@contextmanager
def _shown() -> Iterator[Progress | None]:
    """How far it is, on a terminal, once it has taken a second."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=faces.console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=None)
    started = time.monotonic()
    showing = False

    def tell(what: str, done: int, total: int) -> None:
        nonlocal showing
        if not showing and time.monotonic() - started > _LATE_S:
            bar.start()
            showing = True
        bar.update(task, description=what, completed=done, total=total or None)

    try:
        yield tell
    finally:
        if showing:
            bar.stop()
