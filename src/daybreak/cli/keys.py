"""`daybreak ledger keys list|export|rotate|revoke`: the keys that sign the log's heads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json

if TYPE_CHECKING:
    from daybreak.ledger import Ledger, Record
    from daybreak.ledger.keyring import Keyring, Span

app = typer.Typer(help="List, hand out, rotate and revoke the keys that sign the log.", no_args_is_help=True)


@app.command("list", epilog="Examples:  daybreak ledger keys list    daybreak ledger keys list --json")
def list_keys(as_json: Json = False) -> None:
    """Show every key that the log had, from which size to which it signed, and what was revoked."""
    where, keyring = _known()
    if as_json:
        faces.result_json({"folder": where, **_as_json(keyring)})
        return
    for span in keyring.spans:
        faces.result(_line(span))


@app.command(
    "export",
    epilog="Examples:  daybreak ledger keys export    daybreak ledger keys export --json --output keys.json",
)
def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file that is not there yet.", show_default="the screen")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hand out the public keys, one a line (C2SP verification keys, the present one last).

    --json: with the sizes from which to which each signed, what was revoked, and the signatures with which each key
    handed over to the next: for `daybreak ledger check --key FILE`.
    """
    from daybreak.cli.prove import write_new

    _, keyring = _known()
    text = keyring.history.text if as_json else "".join(f"{span.verifier.text}\n" for span in keyring.spans)
    if output is None:
        faces.result(text.removesuffix("\n"))
        return
    write_new(output, text.encode())
    faces.result(f"{output}: {len(keyring.spans)} public keys of {keyring.origin}")


@app.command(
    "rotate",
    epilog='Examples:  daybreak ledger keys rotate    daybreak ledger keys rotate --keep-old --why "a year is over"',
)
def rotate(
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Keep the old secret beside the new one instead of destroying it.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="Stands in the log.", metavar="TEXT", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """Give the log a new signing key, which both keys sign, and destroy the old secret.

    A running night takes the new key up with its next event. Everything signed before stays good.
    """
    with _opened() as (folder, ledger):
        record = ledger.rotate_key(why=why, keep_old=keep_old)
        _tell_changed(record, ledger.verifier, as_json=as_json)
        before, now = ledger.verifier.spans[-2:]
        kept = folder / f"old-{before.verifier.key_id}.key"
    if not as_json:
        faces.result(f"the key {now.verifier.key_id} signs from event {now.start} on")
        if keep_old:
            faces.result(f"the old secret is at {kept}; it can still sign what was before, so keep it safe")
        else:
            faces.result("the old secret was overwritten and removed here; destroy your own copies of it too")
        faces.say(
            f"publish {folder / 'ledger.vkey'}: whoever trusts an older key can derive it, but should not have to"
        )


@app.command(
    "revoke",
    epilog='Example:  daybreak ledger keys revoke 5f2a91c0 --at 4711 --reason "stolen with the laptop"',
)
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, or the beginning of it (`ledger keys list`).")],
    reason: Annotated[str, typer.Option("--reason", help="Stands in the log and in every proof.", metavar="TEXT")],
    at: Annotated[
        int | None,
        typer.Option(
            "--at",
            parser=arguments.whole(0, 2**53 - 1),
            help="Heads of more events than this are refused.",
            metavar="SIZE",
            show_default="where it handed over",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say that an earlier key is not to be believed for heads of more than SIZE events.

    What the log holds stays in it, vouched for by the later keys.
    """
    with _opened() as (_, ledger):
        record = ledger.revoke_key(key, size=at, why=reason)
        _tell_changed(record, ledger.verifier, as_json=as_json)
        if not as_json:
            for span in ledger.verifier.spans:
                if span.revoked is not None:
                    faces.result(_line(span))


@contextmanager
def _opened() -> Iterator[tuple[Path, Ledger]]:
    """The folder of keys, and the ledger, which must be there. Raises LedgerMissing."""
    from daybreak import home
    from daybreak.ledger.proof import find_ledger

    where = arguments.usable_home(home.places())
    find_ledger(where.ledger)
    with home.open_ledger(where) as ledger:
        yield where.keys, ledger


def _known() -> tuple[Path, Keyring]:
    """All public keys, from the folder of keys and from the ledger; no secret is needed. Raises KeyMissing, KeyWrong,
    LedgerMissing."""
    from daybreak import home
    from daybreak.ledger import keyfile, rotation
    from daybreak.ledger.database import FILE
    from daybreak.ledger.keyring import Keyring
    from daybreak.ledger.proof import find_ledger

    where = home.places()
    find_ledger(where.ledger)
    known = keyfile.with_history(where.keys, keyfile.load_verifier(where.keys))
    keyring = Keyring.of(known, rotation.source(where.ledger / FILE))
    if not keyring.learn_more():
        faces.say("the ledger cannot be asked now: this is what the folder of keys knows")
    return where.keys, keyring


def _tell_changed(record: Record, keyring: Keyring, *, as_json: bool) -> None:
    if as_json:
        faces.result_json({"event": record.index, "type": record.type, **_as_json(keyring)})


def _as_json(keyring: Keyring) -> dict[str, Any]:
    return {
        "origin": keyring.origin,
        "keys": [
            {
                "id": span.verifier.key_id,
                "key": span.verifier.text,
                "from": span.start + 1,
                "to": span.end,
                "revoked": span.revoked,
                "reason": span.why,
            }
            for span in keyring.spans
        ],
    }


def _line(span: Span) -> str:
    until = "now" if span.end is None else f"{span.end:,}"
    ended = "" if span.revoked is None else f"  REVOKED beyond {span.revoked:,}" + (f": {span.why}" if span.why else "")
    return f"{span.verifier.key_id}  heads of {span.start + 1:,} to {until} events  {span.verifier.text}{ended}"
