"""`daybreak ledger replicas list|check|restore`: the copies of the ledger in other places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.errors import DaybreakError, UsageError

if TYPE_CHECKING:
    from daybreak.config import Places
    from daybreak.ledger import Verifier
    from daybreak.ledger.replicas.reading import Checked

app = typer.Typer(help="The copies of the ledger in other places: how far they are, and whether they are whole.")
LIST = "Examples:  daybreak ledger replicas list    daybreak ledger replicas list --json"
CHECK = (
    "Examples:  daybreak ledger replicas check    daybreak ledger replicas check /mnt/backup/replica\n\n"
    "daybreak ledger replicas check s3://bucket/replica --key ledger.vkey"
)
RESTORE = (
    "Examples:  daybreak ledger replicas restore /mnt/backup/replica ~/restored/ledger\n\n"
    "daybreak ledger replicas restore /mnt/backup/replica --to ~/restored\n\n"
    "daybreak ledger replicas restore /mnt/backup/replica --in-place"
)


class NoTargets(UsageError):
    """There are no replicas to look at."""

    code = "U261"


class KeyUnusable(UsageError):
    """What was named as the key is none."""

    code = "U262"


Key = Annotated[
    Path | None,
    typer.Option("--key", help="File with the verification key.", show_default="that of this ledger", metavar="FILE"),
]


@app.command("list", epilog=LIST)
def show(as_json: Json = False) -> None:
    """Show each target, how many events it holds, and what is wrong with it. Exit 1 where too few hold everything."""
    from daybreak import home
    from daybreak.home.replicating import rule
    from daybreak.ledger.replicas.looking import look

    where, told = home.places(), home.settings()
    found = rule(told)
    seen = look(where.ledger, where.keys, found) if found is not None else None
    if as_json:
        faces.result_json({"targets": [], "wanted": 0} if seen is None else seen.as_json())
    elif seen is None:
        faces.result("no replicas: name targets in `[replicas]` of daybreak.toml")
    else:
        faces.result(
            f"the ledger holds {seen.size} events; {seen.wanted} of {len(seen.targets)} targets must have them"
        )
        for one in seen.targets:
            state = one.problem or ("whole" if one.size >= seen.size else f"{seen.size - one.size} events behind")
            faces.result(f"  {one.target}: {one.size} events, {state}")
            if one.problem and one.hint:
                faces.result(f"    {one.hint}")
        if not seen.held:
            faces.result("what came last is durable here, and NOT replicated")
    raise typer.Exit(0 if seen is None or seen.held else faces.EXIT_FAILED)


@app.command("check", epilog=CHECK)
def check(
    target: Annotated[
        str | None, typer.Argument(help="A target: folder or URL.", show_default="all of daybreak.toml", metavar="FROM")
    ] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Read everything that a replica holds back and check it against the key and the signed root."""
    from daybreak import home
    from daybreak.factory.blobs import of_record
    from daybreak.ledger.replicas import reading
    from daybreak.ledger.replicas.target import open_target

    where = home.places()
    verifier = _verifier(where, key)
    names = [_name(target)] if target is not None else list(home.settings().replicas.targets)
    if not names:
        raise NoTargets("there are no replicas to check", hint="name one, or set `[replicas] targets` in daybreak.toml")
    results: list[Checked | tuple[str, DaybreakError | OSError]] = []
    for name in names:
        try:
            opened = open_target(name, where.ledger)
            results.append(reading.check(opened, verifier, refers=of_record, progress=faces.counter("read")))
        except (DaybreakError, OSError) as error:
            results.append((name, error))
    plain = [_plain(one) for one in results]
    if as_json:
        faces.result_json(plain)
    else:
        for one in plain:
            for problem in one["problems"]:
                faces.result(f"{problem['place']}: {problem['message']}")
            faces.result(f"{one['target']}: {one['size']} events, {'whole' if one['ok'] else 'NOT whole'}")
    raise typer.Exit(faces.EXIT_VERIFIED if all(one["ok"] for one in plain) else faces.EXIT_FAILED)


@app.command("restore", epilog=RESTORE)
def restore(
    target: Annotated[str, typer.Argument(help="A target: folder or URL.", metavar="FROM", show_default=False)],
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="The same log: the ledger's new folder, not there yet or empty.",
            metavar="[TO_DIR]",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            help="A new log that goes on from it: a new folder, a DAYBREAK_HOME of its own.",
            parser=arguments.path,
        ),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="A new log in place of the present ledger, which is moved aside and kept."),
    ] = False,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="The old key is lost: go on without its signature.")
    ] = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Make a ledger out of one replica, checked against the key and the signed root on the way.

    TO_DIR gets the same log, which goes on if the replica holds all that was witnessed. If it does not, --to or
    --in-place begins a new log that goes on from it, as after a snapshot: what is missing is named, and runs that may
    have gone on after it are parked with a question.
    """
    from daybreak import home
    from daybreak.factory.blobs import of_record
    from daybreak.ledger.replicas import recovery
    from daybreak.ledger.replicas.target import open_target

    if [folder is not None, to is not None, in_place].count(True) != 1:
        raise UsageError("say where to restore to", hint="exactly one of TO_DIR, --to DIR and --in-place")
    where = home.places()
    if folder is None:
        _go_on(where, _name(target), to, key, without_key=without_key, as_json=as_json)
        return
    if without_key:
        raise UsageError("the same log needs its key", hint="--without-key goes with --to or --in-place")
    verifier = _verifier(where, key)
    made = recovery.restore(
        open_target(_name(target), where.ledger),
        verifier,
        arguments.path(folder).absolute(),
        refers=of_record,
        progress=faces.counter("read"),
    )
    missing = max(0, _known(where, verifier) - made.size)
    if as_json:
        faces.result_json(
            {
                "ledger": str(made.ledger),
                "events": made.size,
                "root": made.root,
                "blobs": made.blobs,
                "missing_blobs": made.missing,
                "missing_events": missing,
            }
        )
        return
    faces.result(f"{made.ledger}: {made.size} events, root {made.root}, {made.blobs} files beside them")
    if made.missing:
        faces.result(f"{made.missing} files that events refer to are not in the replica: `daybreak ledger verify`")
    if missing:
        faces.say(f"{missing} events more are known outside, so it will not open as the same log: --to or --in-place")
    else:
        faces.say("it is the same log: with its key and witness it goes on, where nothing after this was witnessed")


def _go_on(where: Places, target: str, to: Path | None, key: Path | None, *, without_key: bool, as_json: bool) -> None:
    """A new log, in a new place or in that of the present one."""
    from daybreak import home
    from daybreak.cli import restored
    from daybreak.clock import SystemClock
    from daybreak.factory.blobs import of_record
    from daybreak.ledger.continuation import Continuation, finish
    from daybreak.ledger.replicas.continuing import ReplicaCopy
    from daybreak.ledger.replicas.target import open_target

    arguments.usable_home(where)
    if to is None:
        restored.refuse_mirror(where)
    else:
        arguments.usable(to, "the folder to restore into")
    if finish(where):
        faces.say("a restore that was interrupted has been finished; what was there before is beside the ledger")
    copy = ReplicaCopy(open_target(target, where.ledger), _verifier(where, key), of_record)
    tell = faces.counter("read")
    continuation = Continuation(
        where,
        SystemClock(),
        without_key=without_key,
        views=home.views(),
        refers=of_record,
        progress=None if tell is None else lambda _, done, total: tell(done, total),
    )
    done = continuation.in_place(copy) if to is None else continuation.to(copy, to)
    if as_json:
        faces.result_json(restored.as_json(done))
        return
    restored.tell(done)
    if to is not None:
        restored.tell_use(done, where)
    faces.say("its replicas begin anew: name new folders in `[replicas] targets`, the old ones hold the old log")


def _known(where: Places, verifier: Verifier) -> int:
    """Events that the head outside speaks of; 0 where it does not, or is another log's."""
    from daybreak.ledger.note import NoteError
    from daybreak.ledger.witness import FILE

    try:
        return verifier.open((where.witness / FILE).read_text("utf-8")).size
    except (OSError, UnicodeDecodeError, NoteError):
        return 0


def _plain(one: Checked | tuple[str, DaybreakError | OSError]) -> dict[str, Any]:
    if isinstance(one, tuple):
        name, error = one
        message = f"{error.code} {error.message}; {error.hint}" if isinstance(error, DaybreakError) else str(error)
        return {
            "target": name,
            "ok": False,
            "size": 0,
            "root": "",
            "problems": [{"place": name, "message": message}],
            "more": 0,
        }
    problems = [{"place": place, "message": what} for place, what in one.problems]
    return {
        "target": one.target,
        "ok": one.ok,
        "size": one.size,
        "root": one.root,
        "problems": problems,
        "more": one.more,
    }


def _name(text: str) -> str:
    return text if "://" in text else str(arguments.path(text).expanduser().absolute())


def _verifier(where: Places, key: Path | None) -> Verifier:
    from daybreak.ledger import keyfile
    from daybreak.ledger.keyring import KeyHistory, Keyring
    from daybreak.ledger.note import NoteError, Verifier

    if key is None:
        arguments.usable_home(where)
        return keyfile.with_history(where.keys, keyfile.load_verifier(where.keys))
    try:
        text = arguments.path(key).read_text("ascii")
        return Keyring(KeyHistory.parse(text)) if text.lstrip().startswith("{") else Verifier.parse(text)
    except (OSError, UnicodeDecodeError, NoteError) as error:
        raise KeyUnusable(
            f"{key} holds no verification key: {error}",
            hint="it is the file ledger.vkey, or the list of keys ledger.keys",
        ) from error
