"""`daybreak ledger archive|archives|prune|refill`: closed ranges of events in compressed files."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.config import Places
    from daybreak.ledger import Ledger
    from daybreak.ledger.archive.pruning import Standing
    from daybreak.ledger.archive.shelf import Entry
    from daybreak.settings import Settings

_RANGE = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


class ArchiveMisnamed(UsageError):
    """Which events are meant cannot be told, or the folder is none for archives."""

    code = "U263"


def archive(
    before: Annotated[
        str | None,
        typer.Option(
            "--before", help="Events before this day or moment: 2026-06-01, 2026-06-01T04:30.", metavar="DATE"
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", help="All but the newest so many.", parser=arguments.whole(0, 10**15), metavar="EVENTS"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that can be. [default]")] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="The folder for the files.", metavar="DIR", show_default="[ledger] archive of daybreak.toml"
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Files that are missing are lost: make them again where that can be.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write closed ranges of events into compressed files, each read back and compared with the tree.

    Nothing is taken out of the ledger: `daybreak ledger prune` does that.
    """
    from daybreak import home
    from daybreak.ledger.archive import archiving

    if [before is not None, keep is not None, everything].count(True) > 1:
        raise ArchiveMisnamed("--before, --keep and --all exclude each other", hint="say which events are meant once")
    moment = None if before is None else _moment(before)
    told, where = home.settings(), arguments.usable_home(home.places())
    folder = _folder(to, told, where)
    done = []
    with home.open_ledger(where, told) as ledger:
        end = ledger.head().size if moment is None else archiving.before(ledger, moment)
        if keep is not None:
            end = max(0, end - keep)
        for one in archiving.archive(ledger, folder, end=end, again=again, progress=faces.counter("archiving")):
            done.append(one)
            if not as_json:
                entry = one.entry
                faces.result(f"{entry.which}: {Path(entry.folder) / entry.name}, {_size(entry.bytes)}")
    if as_json:
        faces.result_json([_plain(one.entry) | {"new": one.new} for one in done])
    elif not done:
        faces.say("nothing to archive: events are archived in tiles of 256, and the last one is not full yet")


def archives(
    check: Annotated[
        bool, typer.Option("--check", help="Read every file and compare it with its checksum and the tree.")
    ] = False,
    now_in: Annotated[
        Path | None,
        typer.Option("--in", help="From now on the files are in this folder.", metavar="DIR", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what is archived: which events, in which file, whether it is there, and how much of it was pruned.

    Exit 1 where a file that is needed is missing, one cannot be reached, or where --check finds that one is not whole.
    """
    from daybreak import home
    from daybreak.ledger.archive import pruning

    told, where = home.settings(), arguments.usable_home(home.places())
    with home.open_ledger(where, told) as ledger:
        if now_in is not None:
            moved = pruning.move(ledger, _folder(now_in, told, where))
            faces.say(f"{len(moved)} files are in {now_in} now")
        found = pruning.standings(ledger, check=check, progress=faces.counter("looking"))
    ok = all(not one.problem and (one.path is not None or not one.blank) for one in found)
    if as_json:
        faces.result_json([_stands(one) for one in found])
    elif not found:
        faces.result("nothing is archived: `daybreak ledger archive`")
    for one in [] if as_json else found:
        pruned = f"{one.blank} pruned" if one.blank else "not pruned"
        state = one.problem or (("whole" if one.checked else "there") if one.path else "MISSING")
        faces.result(f"{one.entry.which}: {one.path or one.entry.name}, {_size(one.entry.bytes)}, {pruned}, {state}")
    raise typer.Exit(0 if ok else faces.EXIT_FAILED)


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check, and say what would go.")] = False,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Then give the space back; nobody else may have the ledger open.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take archived events out of the database, once their files were read back whole and they are witnessed.

    Their hashes stay in the tree, and whoever asks for one is given it from its archive. Files of large payloads stay:
    other events may refer to them.
    """
    from daybreak import home
    from daybreak.ledger.archive import pruning

    told, where = home.settings(), arguments.usable_home(home.places())
    done = []
    with home.open_ledger(where, told, asking=True) as ledger:
        covered = _witnessed(ledger, told, where)
        progress = faces.counter("reading archives back")
        for one in pruning.prune(ledger, witnessed=covered, dry_run=dry_run, progress=progress):
            done.append(one)
            if not as_json:
                words = "would be pruned" if dry_run else "pruned"
                faces.result(f"{one.entry.which}: {one.events} {words}")
    sizes = pruning.shrink(where.ledger) if shrink and not dry_run else None
    if as_json:
        faces.result_json(
            {
                "witnessed": covered,
                "ranges": [_plain(one.entry) | {"events": one.events} for one in done],
                "dry_run": dry_run,
                "bytes_before": sizes and sizes[0],
                "bytes_after": sizes and sizes[1],
            }
        )
        return
    if not done:
        faces.say("nothing to prune: all that is archived was pruned")
    if sizes is not None:
        faces.result(f"the database took {_size(sizes[0])} and takes {_size(sizes[1])}")
    elif done and not dry_run:
        faces.say("the file is as large as before; `--shrink` gives the space back")


def refill(
    which: Annotated[
        str | None,
        typer.Argument(help="Events from START to before END, as START-END.", metavar="RANGE", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that was pruned.")] = False,
    as_json: Json = False,
) -> None:
    """Put pruned events back into the database, whole files at a time, each event compared with the tree."""
    from daybreak import home
    from daybreak.ledger.archive import pruning

    if (which is None) is not everything:
        raise ArchiveMisnamed("say which events are meant", hint="either RANGE, as in 0-65536, or --all")
    start, end = _range(which) if which is not None else (0, 10**15)
    told, where = home.settings(), arguments.usable_home(home.places())
    done = []
    with home.open_ledger(where, told) as ledger:
        for one in pruning.refill(ledger, start, end, progress=faces.counter("reading archives")):
            done.append(one)
            if not as_json:
                faces.result(f"{one.entry.which}: {one.events} are in the database again")
    if as_json:
        faces.result_json([_plain(one.entry) | {"events": one.events} for one in done])
    elif not done:
        faces.say("nothing of that was pruned")


# -- parts


def _witnessed(ledger: Ledger, told: Settings, where: Places) -> int | None:
    """Events that are witnessed by the rule of the settings, as those say who answer now; None where it requires
    nobody."""
    import os

    from daybreak.clock import SystemClock
    from daybreak.factory.witnessing import beside

    panel = beside(ledger, told, where.witness, SystemClock(), os.environ)
    try:
        return panel.sure(told.witness.wait_s)
    finally:
        panel.close()


def _folder(given: Path | None, told: Settings, where: Places) -> Path:
    """Raises PlaceUnusable, ArchiveMisnamed."""
    from daybreak.ledger.archive.shelf import default_folder

    if given is not None:
        given = arguments.path(given)
    folder = given or (Path(told.ledger.archive) if told.ledger.archive else default_folder(where.ledger))
    folder = arguments.usable(folder.absolute(), "the folder for archives")
    for place in (where.ledger, where.keys, where.witness):
        if folder.resolve().is_relative_to(place.resolve()):
            raise ArchiveMisnamed(
                f"{arguments.cut(folder)} lies in {arguments.cut(place)}",
                hint="archives belong elsewhere, best on another disk",
            )
    return folder


def _moment(text: str) -> str:
    """As the log has it; without a zone it is that of this machine."""
    from daybreak.clock import stamp

    try:
        return stamp(datetime.fromisoformat(text).astimezone())
    except (ValueError, OverflowError) as error:
        raise ArchiveMisnamed(
            f"{arguments.cut(text)} is no day and no moment", hint="write 2026-06-01, or 2026-06-01T04:30"
        ) from error


def _range(text: str) -> tuple[int, int]:
    parts = _RANGE.fullmatch(text)
    if parts is None or int(parts[1]) >= int(parts[2]):
        raise ArchiveMisnamed(
            f"{arguments.cut(text)} is no range of events", hint="write START-END, as in 0-65536; END is not part of it"
        )
    return int(parts[1]), int(parts[2])


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "start": entry.start,
        "end": entry.end,
        "file": str(Path(entry.folder) / entry.name),
        "sha256": entry.sha256,
        "bytes": entry.bytes,
    }


def _stands(one: Standing) -> dict[str, Any]:
    return _plain(one.entry) | {
        "file": None if one.path is None else str(one.path),
        "name": one.entry.name,
        "pruned": one.blank,
        "checked": one.checked,
        "problem": one.problem or (None if one.path else "missing"),
    }


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
