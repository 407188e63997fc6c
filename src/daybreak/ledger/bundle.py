"""A proof on its way to somebody else: one file, in two forms, read strictly. Knows no ledger.

The bundle is one line of canonical JSON (RFC 8785) and a line end, so one content has one form, byte for byte:

    {"checkpoint": NOTE,          the signed checkpoint (C2SP signed note), as it was signed
     "events": [                  at most EVENTS_MAX; each is in the checkpoint's tree
       {"chain": [{"header": TEXT, "payload": TEXT}, …],   the events before it in its stream, oldest first
        "header": TEXT,           the canonical header, whose RFC 6962 leaf hash is in the tree
        "index": NUMBER,          its place in the tree, from 0
        "path": [BASE64, …],      the RFC 6962 inclusion proof, the leaf's sibling first
        "payload": TEXT}, …],     the bytes whose SHA-256 the header names
     "format": "daybreak-proof/1",
     "keys": {"first": KEY, "handovers": [{"path": [BASE64, …], "rotation": {…}}, …], "revocations": [{…}, …]},
     "older": {"checkpoint": NOTE, "path": [BASE64, …]}}   an earlier checkpoint and the RFC 6962 consistency proof

`older` and `keys` may be absent. `keys` tells of a log whose key was rotated: the statements that both keys of each
rotation signed, each with the consistency proof between its tree and the checkpoint's (`keyring`). A payload that is
not UTF-8 stands as base64 under `payload_base64`; one that is withheld is absent. What was sealed for a subject stands
there as it is stored; where it is disclosed, the event also has `"disclosed": {"payload": TEXT, "salt": BASE64}`,
which the header commits to (`sealing`). Or, for one event, a C2SP tlog-proof (https://c2sp.org/tlog-proof), which
other programs can check; its `extra` line holds `{"chain", "disclosed", "header", "payload"}` in the same form.
Whether anything of it is true is for `proofcheck`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from daybreak.errors import LedgerError
from daybreak.events import KeyRevoked, KeyRotated
from daybreak.ledger.keyring import FORMAT as HISTORY_FORMAT
from daybreak.ledger.keyring import KeyHistory

FORMAT: Final = "daybreak-proof/1"
MAGIC = b"c2sp.org/tlog-proof@v1\n"
"""How a tlog-proof begins."""

BUNDLE_BYTES = 64 * 1024 * 1024
"""The longest file that is read or written."""

EVENTS_MAX = 10_000
EXTRA_BYTES = 60_000
"""The longest `extra` line of a tlog-proof: readers are known that take no longer line than 64 KiB."""

_PATH_MAX = 64
_NODE_TEXT = 44
_INDEX = re.compile(r"0|[1-9][0-9]{0,15}")

Index = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Nodes = Annotated[list[Annotated[str, msgspec.Meta(max_length=_NODE_TEXT)]], msgspec.Meta(max_length=_PATH_MAX)]


class ProofUnreadable(LedgerError):
    """The file is no proof: cut short, too long, not in canonical form, of another version."""

    code = "L141"


class ProofTooLarge(LedgerError):
    """What was asked for does not fit into a proof."""

    code = "L142"


class Disclosed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sealed payload says, and the salt with which its header commits to that."""

    payload: str
    salt: str

    @property
    def salt_bytes(self) -> bytes:
        """Raises ProofUnreadable."""
        return from_base64(self.salt, "a salt")


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event without its place: the canonical header and, unless it is withheld, the payload."""

    header: str
    payload: str | None = None
    payload_base64: str | None = None
    disclosed: Disclosed | None = None

    @property
    def payload_bytes(self) -> bytes | None:
        """None where the payload is withheld. Raises ProofUnreadable."""
        if self.payload_base64 is not None:
            return from_base64(self.payload_base64, "a payload")
        return None if self.payload is None else self.payload.encode()


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event, its place in the tree and the part of its stream before it."""

    header: str
    index: Index
    path: Nodes
    chain: list[Link] = []
    payload: str | None = None
    payload_base64: str | None = None
    disclosed: Disclosed | None = None

    @property
    def link(self) -> Link:
        return Link(self.header, self.payload, self.payload_base64, self.disclosed)


class Older(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An earlier checkpoint, and that the tree continues it."""

    checkpoint: str
    path: Nodes


class Handover(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key handed over to the next: the statement, and that it speaks of the checkpoint's log."""

    rotation: KeyRotated
    path: Nodes
    """Consistency proof between the tree of `rotation.size` events and that of the checkpoint, whichever is newer."""


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All keys of the log, so that whoever trusts any one of them can tell the others."""

    first: str
    handovers: list[Handover] = []
    revocations: list[KeyRevoked] = []

    @property
    def history(self) -> KeyHistory:
        rotations = tuple(handover.rotation for handover in self.handovers)
        return KeyHistory(HISTORY_FORMAT, self.first, rotations, tuple(self.revocations))


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that somebody needs who has the verification key and nothing else."""

    checkpoint: str
    format: Literal["daybreak-proof/1"]
    events: Annotated[list[Entry], msgspec.Meta(max_length=EVENTS_MAX)] = []
    older: Older | None = None
    keys: Keys | None = None


class _Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a tlog-proof carries beside the proof."""

    header: str
    chain: list[Link] = []
    payload: str | None = None
    payload_base64: str | None = None
    disclosed: Disclosed | None = None
    keys: Keys | None = None


_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(Bundle).decode
_decode_extra = msgspec.json.Decoder(_Extra).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def link(header: bytes, payload: bytes | None) -> Link:
    """From the stored bytes. Raises ProofTooLarge where they alone are longer than a proof may be."""
    if payload is not None and len(payload) > BUNDLE_BYTES:
        raise too_large()
    text, encoded = None, None
    if payload is not None:
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            encoded = to_base64(payload)
    return Link(header.decode(), text, encoded)


def too_large() -> ProofTooLarge:
    return ProofTooLarge(
        f"the proof would be longer than {BUNDLE_BYTES >> 20} MiB",
        hint="prove fewer events, with a shorter chain or without payloads.",
    )


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: str, what: str) -> bytes:
    """Strictly: what encodes to the same text again. Raises ProofUnreadable."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unreadable(f"{what} is not base64") from error
    if to_base64(data) != text:
        raise _unreadable(f"{what} is base64 in an odd form: its last character has bits that mean nothing")
    return data


def nodes(path: Iterable[str], what: str) -> list[bytes]:
    """The hashes of a path. Raises ProofUnreadable."""
    found = []
    for number, text in enumerate(path):
        node = from_base64(text, f"hash {number} of {what}")
        if len(node) != 32:
            raise _unreadable(f"hash {number} of {what} has {len(node)} bytes, not 32")
        found.append(node)
    return found


# -- the bundle


def write_bundle(bundle: Bundle) -> bytes:
    """The file. Raises ProofTooLarge."""
    data = _encode(bundle) + b"\n"
    if len(data) > BUNDLE_BYTES:
        raise too_large()
    return data


def read_proof(data: bytes) -> Bundle:
    """From a file of either form. Raises ProofUnreadable, which says where it stops being one."""
    if len(data) > BUNDLE_BYTES:
        raise _unreadable(f"it is longer than {BUNDLE_BYTES >> 20} MiB")
    if not data:
        raise _unreadable("it is empty")
    return _read_tlog(data) if data.startswith(MAGIC) else _read_bundle(data)


def _read_bundle(data: bytes) -> Bundle:
    try:
        bundle = _decode(data)
    except _UNREADABLE as error:
        raise _unreadable(str(error) or type(error).__name__) from error
    _check_form(data, _encode(bundle) + b"\n")
    return bundle


def _check_form(data: bytes, canonical: bytes) -> None:
    """A second form of the same content would be a place to hide something in."""
    if data == canonical:
        return
    repeated = _repeated_key(data)
    if repeated is not None:
        raise _unreadable(f"the key {repeated!r} stands in it twice")
    if data + b"\n" == canonical:
        raise _unreadable("its last line end is missing: it was cut short")
    at = _first_difference(data, canonical)
    raise _unreadable(f"it is not in canonical form (RFC 8785) from byte {at} on: somebody wrote it anew")


def _first_difference(one: bytes, other: bytes) -> int:
    """The first byte that is not the same in both, by halves: a file may be long."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _repeated_key(data: bytes) -> str | None:
    """The first one, of text that is JSON."""
    found: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen and not found:
                found.append(name)
            seen.add(name)

    json.loads(data, object_pairs_hook=note)
    return found[0] if found else None


# -- the tlog-proof


def write_tlog(bundle: Bundle) -> bytes:
    """The same as a C2SP tlog-proof. Raises ProofTooLarge where it holds more than one event can say there."""
    if len(bundle.events) != 1 or bundle.older is not None:
        raise ProofTooLarge(
            "a tlog-proof holds one event and one checkpoint", hint="leave --tlog away, or prove one event alone."
        )
    entry = bundle.events[0]
    inside = _Extra(entry.header, entry.chain, entry.payload, entry.payload_base64, entry.disclosed, bundle.keys)
    extra = to_base64(_encode(inside))
    if len(extra) > EXTRA_BYTES:
        raise ProofTooLarge(
            f"event {entry.index} with what goes with it is too long for a tlog-proof",
            hint="try --chain 0, then --without-payload; a bundle may be longer.",
        )
    lines = [f"extra {extra}", f"index {entry.index}", *entry.path, "", ""]
    return MAGIC + "\n".join(lines).encode() + bundle.checkpoint.encode()


def _read_tlog(data: bytes) -> Bundle:
    try:
        head, gap, checkpoint = data[len(MAGIC) :].decode().partition("\n\n")
    except UnicodeDecodeError as error:
        raise _unreadable("it is not UTF-8") from error
    if not gap:
        raise _unreadable("it ends before its checkpoint: it was cut short")
    lines = head.split("\n")
    if not lines[0].startswith("extra ") or len(lines) < 2:
        raise _unreadable("it holds no event of ours: the line `extra` is missing")
    number = lines[1].removeprefix("index ")
    if number == lines[1] or not _INDEX.fullmatch(number) or int(number) >= 2**53:
        raise _unreadable("its third line does not give an index")
    raw = from_base64(lines[0].removeprefix("extra "), "the line `extra`")
    try:
        extra = _decode_extra(raw)
    except _UNREADABLE as error:
        raise _unreadable(f"in the line `extra`: {error}") from error
    _check_form(raw, _encode(extra))
    if len(lines) - 2 > _PATH_MAX:
        raise _unreadable(f"its path is longer than {_PATH_MAX} hashes")
    said = (extra.payload, extra.payload_base64, extra.disclosed)
    return Bundle(
        checkpoint, FORMAT, [Entry(extra.header, int(number), lines[2:], extra.chain, *said)], keys=extra.keys
    )


def schema_text() -> str:
    """JSON Schema of a bundle, as published in `schema/proof.schema.json`."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A proof from a ledger of Daybreak"}
    return json.dumps({**head, **msgspec.json.schema(Bundle)}, indent=2, ensure_ascii=False) + "\n"


def _unreadable(why: str) -> ProofUnreadable:
    return ProofUnreadable(
        f"this is no proof: {why}", hint="ask for the file again, unchanged; nothing is proved by it."
    )


if __name__ == "__main__":
    sys.stdout.write(schema_text())
