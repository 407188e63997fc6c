"""`daybreak ledger witness list|check|serve`: who else remembers the log's heads, and being a witness for others."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.cli.prove import FileUnusable, read_text

if TYPE_CHECKING:
    from daybreak.factory.witnessing import Panel
    from daybreak.ledger.note import Verifier
    from daybreak.ledger.witness.cosigning import Cosigner
    from daybreak.ledger.witness.kept import Standing

app = typer.Typer(
    help="Places outside the ledger that remember its heads, so that a cut or a rewriting is noticed.",
    no_args_is_help=True,
)
PORT = 7380


@app.command("list", epilog="Examples:  daybreak ledger witness list    daybreak ledger witness list --json")
def list_witnesses(as_json: Json = False) -> None:
    """Show the witnesses of daybreak.toml and how they stood when they were last asked. Asks nobody."""
    from daybreak import home

    told, where = home.settings(), home.places()
    if not told.witnesses:
        _tell_none(where.witness / "head", as_json=as_json)
        return
    from daybreak.clock import SystemClock
    from daybreak.factory.witnessing import mark, members
    from daybreak.factory.witnessing.watch import new
    from daybreak.ledger import keyfile
    from daybreak.ledger.witness.kept import Kept

    verifier = keyfile.with_history(where.keys, keyfile.load_verifier(where.keys))
    places = members(told, verifier, SystemClock(), os.environ)
    known = Kept(where.witness, verifier).standings()
    standings = []
    for name, place in places.items():
        standing = known.get(name)
        standings.append(standing if standing is not None and standing.where == place.where else new(place))
    witnessed = mark(told.witness, {standing.name: standing.counts for standing in standings})
    worth = {name: list(_worth(place)) for name, place in places.items()}
    if as_json:
        rows = [{**_plain(one, told.witness.required), "worth": worth[one.name]} for one in standings]
        faces.result_json({"origin": verifier.origin, "witnessed": witnessed, "witnesses": rows})
        return
    for standing in standings:
        faces.result(_line(standing, told.witness.required))
        for sentence in worth[standing.name]:
            faces.result(f"    {sentence}")
    _tell_mark(witnessed)


@app.command("check", epilog="Examples:  daybreak ledger witness check    daybreak ledger witness check --json")
def check(as_json: Json = False) -> None:
    """Show every witness the newest head now, and compare the ledger with what each has. Exit 1 if one fails."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.factory.witnessing import beside
    from daybreak.ledger import Ledger, proof

    told, where, clock = home.settings(), home.places(), SystemClock()
    if not told.witnesses:
        _tell_none(where.witness / "head", as_json=as_json)
        return
    proof.find_ledger(where.ledger)
    longest_s = max(place.timeout_s for place in told.witnesses.values()) + 1
    with Ledger.open(
        where.ledger,
        keys=where.keys,
        witness=where.witness,
        clock=clock,
        views=home.views(),
        postgres=home.postgres(where, told),
    ) as ledger:
        panel = beside(ledger, told, where.witness, clock, os.environ)
        try:
            if not as_json:
                faces.say(f"asking {', '.join(told.witnesses)}: up to {longest_s:g} s")
            panel.compare(longest_s)
            panel.sync(longest_s)
            size = ledger.head().size
        finally:
            panel.close()
    _tell_check(panel, told.witness.required, size, as_json=as_json)


@app.command(
    "serve",
    epilog="Example:  daybreak ledger witness serve --key witness.key --log alice.vkey --state witness-state",
)
def serve(
    key: Annotated[
        Path,
        typer.Option(
            "--key",
            help="This witness's signing key; made where there is none. Keep it from the ledger's user.",
            parser=arguments.path,
            metavar="FILE",
        ),
    ],
    log: Annotated[
        list[str],
        typer.Option(
            "--log", help="Public key of a log to witness: a file (ledger.vkey) or its text. Repeatable.", metavar="KEY"
        ),
    ],
    state: Annotated[
        Path,
        typer.Option(
            "--state", help="Folder for what it remembers. Never lose it.", parser=arguments.path, metavar="DIR"
        ),
    ] = Path("daybreak-witness"),
    name: Annotated[
        str | None,
        typer.Option("--name", help="The witness's name, for a key that is made.", show_default="this host's name"),
    ] = None,
    listen: Annotated[
        str,
        typer.Option(
            "--listen",
            help="Where it listens; without TLS, so behind a proxy wherever others reach it.",
            metavar="HOST:PORT",
        ),
    ] = f"127.0.0.1:{PORT}",
    as_json: Json = False,
) -> None:
    """Be a witness for the logs of others (C2SP tlog-witness): cosign heads that continue what was seen, nothing else.

    Until Ctrl-C or SIGTERM. What was cosigned is on disk before it is answered; one state folder signs one history.
    """
    from daybreak.clock import SystemClock
    from daybreak.ledger.witness.register import Register
    from daybreak.ledger.witness.server import WitnessServer

    address = _address(listen)
    cosigner = _cosigner(key, name)
    register = _register(Register, state, cosigner, [_log_key(text) for text in log], SystemClock())
    told = (lambda line: None) if as_json else faces.say
    try:
        server = WitnessServer(address, register, told)
    except OSError as error:
        raise ArgumentWrong(
            f"it cannot listen at {arguments.cut(listen)}: {error.strerror or error}", hint="name another port."
        ) from error
    _until_told(server, cosigner, as_json=as_json)


def _until_told(server: Any, cosigner: Cosigner, *, as_json: bool) -> None:
    """Serve until a signal ends it."""
    host, port = server.server_address[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if as_json:
        faces.result_json({"address": url, "key": cosigner.key.text, "logs": server.register.origins})
    else:
        faces.result(f"witness {cosigner.key.name} at {url}")
        faces.result(f"its public key: {cosigner.key.text}")
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    serving.start()
    over.wait()
    server.shutdown()
    server.server_close()
    if not as_json:
        faces.say("the witness has ended; what it signed is remembered")


def _register(make: Any, state: Path, cosigner: Cosigner, logs: Sequence[Verifier], clock: Any) -> Any:
    try:
        return make(state, cosigner, logs, clock)
    except OSError as error:
        raise arguments.PlaceUnusable(
            f"the folder {state} cannot hold what a witness remembers: {error.strerror}", hint="name another folder."
        ) from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port:
        raise ArgumentWrong(f"{arguments.cut(text)} is no HOST:PORT", hint=f"write 127.0.0.1:{PORT}")
    return host, arguments.whole(0, 65_535)(port)


def _cosigner(path: Path, name: str | None) -> Cosigner:
    """The key in the file; a new one, written for its owner's eyes only, where there is none."""
    import socket
    import stat

    from daybreak.ledger.note import NoteError
    from daybreak.ledger.witness.cosigning import Cosigner

    if not os.path.lexists(path):
        try:
            made = Cosigner(name or f"{socket.gethostname() or 'localhost'}/witness", os.urandom(32))
        except NoteError as error:
            raise ArgumentWrong(
                f"--name: {error}", hint="a name without spaces and +, such as example.org/w1"
            ) from error
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(f"{made.text}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileUnusable(f"the key {path} cannot be made: {error.strerror}", hint="name another file.") from error
        faces.say(f"a new key was made: {path}")
        return made
    text = read_text(path, "the key")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise FileUnusable(
            f"others may use the signing key {path}",
            hint=f"chmod 600 {path}; if somebody may have read it, make a new one",
        )
    try:
        found = Cosigner.parse(text)
    except NoteError as error:
        raise FileUnusable(
            f"the key {path} cannot be used: {error}", hint="name a file that holds the key of a witness, or none yet."
        ) from error
    if name is not None and name != found.key.name:
        raise ArgumentWrong(
            f"the key {path} is that of {found.key.name}", hint="leave --name out, or name another file"
        )
    return found


def _log_key(told: str) -> Verifier:
    """A public key, or a list of a log's keys (ledger.keys), from a file or as text."""
    from daybreak.ledger.keyring import KeyHistory, Keyring
    from daybreak.ledger.note import NoteError, Verifier

    text = read_text(arguments.path(told), "the key") if os.path.lexists(told) or "+" not in told else told
    try:
        return Keyring(KeyHistory.parse(text)) if text.lstrip().startswith("{") else Verifier.parse(text)
    except NoteError as error:
        raise FileUnusable(
            f"the log's key {arguments.cut(told)} cannot be used: {error}", hint="give its ledger.vkey."
        ) from error


# -- telling


def _worth(place: Any) -> Sequence[str]:
    from daybreak.errors import LedgerError

    with contextlib.suppress(LedgerError, OSError):
        found: Sequence[str] = place.worth()
        return found
    return ["it cannot be looked at from here"]


def _tell_none(head: Path, *, as_json: bool) -> None:
    if as_json:
        faces.result_json({"witnessed": None, "witnesses": []})
        return
    faces.result(f"none beside {head}, which this machine's user can rewrite")
    faces.say("`[witnesses.NAME]` in daybreak.toml names more: docs/how-to/witnesses.md")


def _tell_check(panel: Panel, required: Sequence[str], size: int, *, as_json: bool) -> None:
    standings, witnessed = panel.standings, panel.witnessed
    wrong = [one for one in standings if one.state != "well"]
    if as_json:
        rows = [_plain(one, required) for one in standings]
        faces.result_json({"ok": not wrong, "size": size, "witnessed": witnessed, "witnesses": rows})
    else:
        for standing in standings:
            faces.result(_line(standing, required))
        _tell_mark(witnessed)
    raise typer.Exit(faces.EXIT_FAILED if wrong else faces.EXIT_VERIFIED)


def _tell_mark(witnessed: int | None) -> None:
    if witnessed is None:
        faces.result("nobody is required, so nothing is called witnessed (`[witness]` in daybreak.toml)")
    else:
        faces.result(f"{witnessed:,} events are witnessed")


def _plain(standing: Standing, required: Sequence[str]) -> dict[str, Any]:
    return {
        "name": standing.name,
        "kind": standing.kind,
        "required": standing.name in required,
        "state": standing.state,
        "size": standing.size,
        "at": standing.at or None,
        "since": standing.since or None,
        "failures": standing.failures,
        "error": {"code": standing.code, "message": standing.why} if standing.code else None,
    }


def _line(standing: Standing, required: Sequence[str]) -> str:
    must = ", required" if standing.name in required else ""
    seen = f"{standing.size:,} events" + (f", {faces.moment(standing.at)}" if standing.at else "")
    words = {
        "new": "never reached",
        "well": seen,
        "failing": f"failing ({seen})",
        "contradicts": f"CONTRADICTS ({seen})",
    }
    why = f": {standing.code} {standing.why}" if standing.code else ""
    return f"{standing.name} ({standing.kind}{must}): {words[standing.state]}{why}"
