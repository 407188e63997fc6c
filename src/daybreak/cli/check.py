"""`daybreak ledger check`: check a proof with nothing but the public key. Needs no ledger, no home and no network."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.cli.prove import FileUnusable, read_file, read_text

if TYPE_CHECKING:
    from daybreak.ledger import Checkpoint, Proven, ProvenEvent, Verifier
    from daybreak.ledger.proofcheck import ProvenLink
    from daybreak.ledger.witness.cosigning import Cosignature, CosignerKey

EXAMPLES = (
    "Examples:  daybreak ledger check event.proof --key ledger.vkey\n\n"
    "daybreak ledger check event.proof --key ledger.vkey --head head-kept-elsewhere"
)
_SHOWN = 400
"""Characters of a payload on the screen."""


def check(
    bundle: Annotated[str, typer.Argument(help="The proof; - reads standard input.")],
    key: Annotated[
        list[str],
        typer.Option(
            "--key",
            "-k",
            help="The log's public key, the first or a later one: a file (ledger.vkey, or `ledger keys export --json`) "
            "or its text. Repeatable.",
            metavar="KEY",
        ),
    ],
    head: Annotated[
        list[Path] | None,
        typer.Option(
            "--head",
            help="A checkpoint that you know from elsewhere: must be of the same history.",
            metavar="CHECKPOINT",
        ),
    ] = None,
    witness_key: Annotated[
        list[str] | None,
        typer.Option(
            "--witness-key",
            help="A witness's public key, a file or its text: the checkpoint must be cosigned by it. Repeatable.",
            metavar="KEY",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a proof offline, with nothing but the file and the public key. Exit 1 if anything is not as signed."""
    from daybreak.ledger import check_proof
    from daybreak.ledger.witness.proving import check_cosigned

    keys = [read_key(text) for text in key]
    heads = [read_text(path, "the head") for path in head or []]
    witnesses = [_witness_key(text) for text in witness_key or []]
    proven = check_proof(_bytes(bundle), keys, heads)
    cosigned = check_cosigned(proven.checkpoint, witnesses)
    if as_json:
        seen = [{"name": one.name, "key": one.key_id, "at": one.at} for one in cosigned]
        faces.result_json({**_as_json(bundle, proven), "witnesses": seen})
        return
    _tell_proven(bundle, proven, cosigned)


def _bytes(name: str) -> bytes:
    """At most as much as a proof may have, and one byte more."""
    from daybreak.ledger.bundle import BUNDLE_BYTES

    if name == "-":
        return sys.stdin.buffer.read(BUNDLE_BYTES + 1)
    return read_file(arguments.path(name), BUNDLE_BYTES + 1, "the proof")


def read_key(told: str) -> Verifier:
    """A verification key, from a file or from the text itself. Raises FileUnusable."""
    from daybreak.ledger import Verifier
    from daybreak.ledger.keyring import KeyHistory, Keyring
    from daybreak.ledger.note import NoteError

    is_file = os.path.lexists(told) or "+" not in told
    text = read_text(arguments.path(told), "the key") if is_file else told
    where = f"in {told}" if is_file else "given"
    if text.startswith("PRIVATE+KEY+"):
        raise FileUnusable(
            f"the key {where} is the secret one",
            hint="give ledger.vkey, beside it; never hand this one out.",
        )
    try:
        return Keyring(KeyHistory.parse(text)) if text.lstrip().startswith("{") else Verifier.parse(text)
    except NoteError as error:
        raise FileUnusable(
            f"the key {where} cannot be used: {error}", hint="give the log's ledger.vkey, as its owner published it."
        ) from error


def _witness_key(told: str) -> CosignerKey:
    """From a file or from the text itself."""
    from daybreak.ledger.note import NoteError
    from daybreak.ledger.witness.cosigning import CosignerKey

    text = read_text(arguments.path(told), "the key") if os.path.lexists(told) or "+" not in told else told
    try:
        return CosignerKey.parse(text)
    except NoteError as error:
        raise FileUnusable(
            f"the witness's key {arguments.cut(told)} cannot be used: {error}",
            hint="give the public key that the witness's operator publishes: name+id+base64.",
        ) from error


def _tell_proven(name: str, proven: Proven, cosigned: tuple[Cosignature, ...]) -> None:
    checkpoint = proven.checkpoint
    faces.result(f"{name}: true, signed by the key {proven.key_id} of {checkpoint.origin}")
    faces.result(f"checkpoint  {checkpoint.size:,} events, root {checkpoint.root.hex()}")
    if proven.older is not None:
        faces.result(f"continues   the checkpoint of {proven.older.size:,} events, root {proven.older.root.hex()}")
    if proven.heads:
        faces.result(f"agrees      with {proven.heads} known from elsewhere")
    for one in cosigned:
        faces.result(f"witnessed   by {one.name} (key {one.key_id}), {faces.moment(one.at)}")
    for event in proven.events:
        _tell_event(event)
    if not proven.heads and not cosigned:
        faces.say("whoever holds the secret key could show others another history: --head compares with one you know")


def _tell_event(proven: ProvenEvent) -> None:
    header = proven.event.header
    by = f" by {header.actor}" if header.actor else ""
    faces.result(f"event {proven.index}  {header.ts}  {header.stream}#{header.seq}  {header.type}{by}  ({header.id})")
    if header.commit is None:
        faces.result(f"  payload   {_shown(proven.event.payload)}")
    elif proven.event.disclosed is None:
        faces.result("  payload   secret, and not disclosed")
    else:
        faces.result(f"  disclosed {_shown(proven.event.disclosed)}")
    if proven.chain:
        since = "the whole stream before it" if proven.complete else f"since #{proven.chain[0].header.seq}"
        faces.result(f"  chain     {len(proven.chain):,} events of {header.stream}, {since}")


def _shown(payload: bytes | None) -> str:
    if payload is None:
        return "withheld"
    body = payload.decode(errors="replace")
    return body if len(body) <= _SHOWN else f"{body[:_SHOWN]}… ({len(payload):,} bytes; --json shows all)"


def _as_json(name: str, proven: Proven) -> dict[str, Any]:
    return {
        "bundle": name,
        "ok": True,
        "origin": proven.checkpoint.origin,
        "key": proven.key_id,
        "checkpoint": _head_json(proven.checkpoint),
        "older": None if proven.older is None else _head_json(proven.older),
        "heads": proven.heads,
        "events": [
            {
                "index": event.index,
                **_link_json(event.event),
                "complete": event.complete,
                "chain": [_link_json(link) for link in event.chain],
            }
            for event in proven.events
        ],
    }


def _head_json(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"size": checkpoint.size, "root": checkpoint.root.hex()}


def _link_json(link: ProvenLink) -> dict[str, Any]:
    header = link.header
    return {
        "stream": header.stream,
        "seq": header.seq,
        "id": header.id,
        "type": header.type,
        "ts": header.ts,
        "actor": header.actor,
        "epoch": header.epoch,
        "hash": link.hash.hex(),
        "withheld": link.payload is None,
        **_payload_json(link.payload),
        **({} if header.commit is None else {"secret": True, "disclosed": _payload_json(link.disclosed)["payload"]}),
    }


def _payload_json(payload: bytes | None) -> dict[str, Any]:
    """Its value where it is JSON, its bytes where it is not."""
    import base64

    import msgspec

    if payload is None:
        return {"payload": None}
    try:
        return {"payload": msgspec.json.decode(payload)}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {"payload_base64": base64.b64encode(payload).decode()}
