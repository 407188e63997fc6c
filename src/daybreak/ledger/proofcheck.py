"""Checks a proof with nothing but the file and the public key: no ledger, no network, no state.

What was checked, from the outside in: the checkpoint is signed by the key; each event's leaf hash is in the signed
tree at its index; its payload is the one that its header names; the events before it in its stream lead to it hash by
hash; the signed tree continues that of the older checkpoint; and all agree with the heads that the caller knows.
What no proof can show alone: that nobody holding the key signed another history too. Heads from elsewhere show that.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from daybreak.errors import LedgerError
from daybreak.ledger import sealing
from daybreak.ledger.bundle import Bundle, Entry, Link, ProofUnreadable, nodes, read_proof
from daybreak.ledger.keyring import KeyEnded, Keyring, root_of
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.record import FORMAT, Header, decode_header, encode_header, place
from daybreak.ledger.tree import leaf_hash, verify_consistency, verify_inclusion

_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIGNATURES_MAX = 64
NOTE_BYTES = 1024 * 1024
"""The longest checkpoint that is read; signatures of witnesses may be some kilobytes each."""


class ProofByAnother(LedgerError):
    """The checkpoint is of another log, or not signed by the key that was given."""

    code = "L143"


class ProofByEndedKey(ProofByAnother):
    """The checkpoint is signed by a key of the log that had handed over by then, or was revoked."""

    code = "L127"


class ProofChanged(LedgerError):
    """Something in it is not what was signed: the checkpoint's text, a payload, a link of the chain."""

    code = "L144"


class NotIncluded(LedgerError):
    """The path does not lead from the event to the signed root: another event, index or tree."""

    code = "L145"


class NotContinued(LedgerError):
    """The proof does not show that the newer tree begins with the older one."""

    code = "L146"


class HeadDiffers(LedgerError):
    """The proof does not agree with a head that the caller knows: two histories."""

    code = "L147"


class HeadUnrelated(LedgerError):
    """The proof says nothing about a head that the caller knows."""

    code = "L148"


@dataclass(frozen=True, slots=True)
class ProvenLink:
    """An event whose bytes are those that were signed. `payload` is None where it was withheld."""

    header: Header
    hash: bytes
    """RFC 6962 leaf hash of the header."""
    payload: bytes | None
    disclosed: bytes | None = None
    """What the payload says, where it is sealed and was disclosed: the very bytes that the header commits to."""


@dataclass(frozen=True, slots=True)
class ProvenEvent:
    """An event that is in the signed tree."""

    index: int
    event: ProvenLink
    chain: tuple[ProvenLink, ...]
    """Events before it in its stream without a gap, oldest first."""

    @property
    def complete(self) -> bool:
        """Does the chain begin where the stream begins? Then nothing before the event was left out."""
        return self.event.header.seq == len(self.chain)


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof proves."""

    checkpoint: Checkpoint
    key_id: str
    """Of the key that signed it, eight hex digits."""
    events: tuple[ProvenEvent, ...]
    older: Checkpoint | None
    """The tree of `checkpoint` begins with this one's."""
    heads: int
    """With how many heads known elsewhere it was compared, and agrees."""


def check_proof(data: bytes | Bundle, keys: Sequence[Verifier], heads: Sequence[str] = ()) -> Proven:
    """Is all of it true? `keys`: one of them must have signed, or be one of the log's keys, the first or any later one,
    if the proof says how they were handed over; a `Keyring` also knows which of them ended where. `heads`: signed
    notes known from elsewhere; each must be of the tree of the proof's checkpoint or of its older one.

    Raises ProofUnreadable, ProofByAnother, ProofByEndedKey, ProofChanged, NotIncluded, NotContinued, HeadDiffers,
    HeadUnrelated.
    """
    bundle = data if isinstance(data, Bundle) else read_proof(data)
    if not bundle.events and bundle.older is None:
        raise ProofUnreadable("there is neither an event nor an older checkpoint in it", hint="it proves nothing.")
    given, keys = keys, _known_keys(bundle, keys)
    checkpoint, verifier = open_checkpoint(bundle.checkpoint, keys, "the checkpoint")
    _check_handovers(bundle, checkpoint)
    _check_known_past(bundle, checkpoint, verifier.key_id, given)
    older = None
    if bundle.older is not None:
        older, _ = open_checkpoint(bundle.older.checkpoint, keys, "the older checkpoint")
        path = nodes(bundle.older.path, "the consistency proof")
        check_continued(older, checkpoint, path)
    events = tuple([_event(entry, checkpoint) for entry in bundle.events])
    for text in heads:
        _compare(open_checkpoint(text, keys, "the head known elsewhere")[0], checkpoint, older)
    return Proven(checkpoint, verifier.key_id, events, older, len(heads))


def _known_keys(bundle: Bundle, keys: Sequence[Verifier]) -> list[Verifier]:
    """The given keys, and the others that the proof derives from them. Raises ProofChanged."""
    if bundle.keys is None:
        return list(keys)
    history = bundle.keys.history
    try:
        history.spans()
        known: list[Verifier] = []
        for key in keys:
            keyring = Keyring.of(key)
            keyring.learn(history)  # or it is of another log: it stays alone
            known.append(keyring)
    except NoteError as error:
        raise ProofChanged(f"what it says of the log's keys is not as it was signed: {error}", hint=_HINT) from error
    return known


def _check_handovers(bundle: Bundle, checkpoint: Checkpoint) -> None:
    """Was each key handed over in this very log? Raises NotContinued."""
    for handover in bundle.keys.handovers if bundle.keys is not None else ():
        size, root = handover.rotation.size, root_of(handover.rotation)
        path = nodes(handover.path, f"the consistency proof of the rotation at {size} events")
        ends = sorted([(size, root), (checkpoint.size, checkpoint.root)])
        if not verify_consistency(ends[0][0], ends[1][0], ends[0][1], ends[1][1], path):
            raise NotContinued(
                f"the tree of {checkpoint.size} events and that of {size}, after which the key was rotated, are not of "
                "one log",
                hint="do not believe it: whoever has one of the keys may have rewritten what was before.",
            )


def _check_known_past(bundle: Bundle, checkpoint: Checkpoint, key_id: str, given: Sequence[Verifier]) -> None:
    """Where it is known that the key was rotated before, the proof must show that what was there then is there still:
    otherwise whoever has the present key could sign another past. Raises NotContinued."""
    shown = [] if bundle.keys is None else [handover.rotation for handover in bundle.keys.handovers]
    unseen: int | None = None
    for key in given:
        if key_id not in _ids(key):
            continue
        known = key.history.rotations if isinstance(key, Keyring) else ()
        missing = [rotated.size for rotated in known if rotated.size < checkpoint.size and rotated not in shown]
        if not missing:
            return
        unseen = missing[-1]
    if unseen is not None:
        raise NotContinued(
            f"it does not show that the first {unseen} of {checkpoint.size} events are those after which the key was "
            "rotated, which is known here",
            hint="ask for a proof made with a present version; a log that cannot show this may have been rewritten.",
        )


def open_checkpoint(text: str, keys: Sequence[Verifier], what: str) -> tuple[Checkpoint, Verifier]:
    """The checkpoint in a signed note and the key that signed it; signatures by keys that nobody asked about are left
    alone. Raises ProofUnreadable where it is no note, ProofByAnother, ProofChanged."""
    origin, signatures = _parts(text, what)
    for verifier in keys:
        if verifier.origin == origin and any((origin, key_id) in signatures for key_id in _ids(verifier)):
            try:
                return verifier.opened(text) if isinstance(verifier, Keyring) else (verifier.open(text), verifier)
            except KeyEnded as error:
                raise ProofByEndedKey(
                    f"{what} is not to be believed: {error}",
                    hint="ask for a proof in a newer checkpoint; if there is none, the key may have been stolen.",
                ) from error
            except (NoteError, ValueError) as error:
                raise ProofChanged(f"{what} was changed: {error}", hint=_HINT) from error
    if origin not in {verifier.origin for verifier in keys}:
        ours = " or ".join(sorted({verifier.origin for verifier in keys}))
        raise ProofByAnother(
            f"{what} is of the log {origin[:200]!r}, the key is that of {ours}",
            hint="check it with the key of that log, if you trust it; or ask for a proof from the right one.",
        )
    theirs = ", ".join(sorted({key for name, key in signatures if name == origin})[:4]) or "none of that name"
    raise ProofByAnother(
        f"{what} is not signed by the key {' or '.join(name for key in keys for name in _ids(key))}, but by {theirs}",
        hint="is this the log's present key? A log that says so under another key may be a forgery.",
    )


def _ids(key: Verifier) -> list[str]:
    return key.key_ids if isinstance(key, Keyring) else [key.key_id]


_HINT = "do not believe it; ask for the proof again, or for the reason."


def _parts(text: str, what: str) -> tuple[str, set[tuple[str, str]]]:
    """The first line of a signed note, and name and key id of each signature. As strict as the format allows."""

    def broken(why: str) -> ProofUnreadable:
        return ProofUnreadable(f"{what} is no signed note: {why}", hint="ask for it again, unchanged.")

    if len(text) > NOTE_BYTES:
        raise broken(f"it is longer than {NOTE_BYTES} characters")
    if any(mark < " " and mark != "\n" for mark in text):
        raise broken("it holds control characters")
    body, gap, signatures = text.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise broken("it is cut short")
    if "\n\n" in body:
        raise broken("a checkpoint has no empty lines")
    lines = signatures[:-1].split("\n")
    if len(lines) > _SIGNATURES_MAX:
        raise broken(f"it has more than {_SIGNATURES_MAX} signatures")
    found = set()
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        try:
            blob = base64.b64decode(match[2], validate=True) if match else b""
        except binascii.Error:
            blob = b""
        if match is None or len(blob) < 5 or base64.b64encode(blob).decode() != match[2]:
            raise broken("a line of its signatures is none")
        found.add((match[1], blob[:4].hex()))
    return body.partition("\n")[0], found


def check_continued(older: Checkpoint, newer: Checkpoint, path: Sequence[bytes]) -> None:
    """Does the tree of `newer` begin with that of `older`? Raises NotContinued."""
    check_order(older, newer)
    if not verify_consistency(older.size, newer.size, older.root, newer.root, path):
        raise NotContinued(
            f"it does not show that the first {older.size} of {newer.size} events are those of the older checkpoint",
            hint="do not believe it: a log that cannot show this may have been rewritten.",
        )


def check_order(older: Checkpoint, newer: Checkpoint) -> None:
    """Raises NotContinued."""
    if older.size > newer.size:
        raise NotContinued(
            f"the older checkpoint is of {older.size} events, the newer one of {newer.size}",
            hint="they were given the wrong way round.",
        )


def _event(entry: Entry, checkpoint: Checkpoint) -> ProvenEvent:
    where = f"event {entry.index}"
    event = _link(entry.link, where)
    where = place(entry.index, event.header.stream, event.header.seq)
    path = nodes(entry.path, f"the path of event {entry.index}")
    if entry.index >= checkpoint.size:
        raise NotIncluded(f"{where} is not among the {checkpoint.size} events of the checkpoint", hint=_HINT)
    if not verify_inclusion(entry.index, checkpoint.size, event.hash, path, checkpoint.root):
        raise NotIncluded(
            f"{where} is not in the tree of {checkpoint.size} events: its header, its index or its path is not "
            "what was signed",
            hint=_HINT,
        )
    return ProvenEvent(entry.index, event, _chain(entry.chain, event, where))


def _chain(links: Sequence[Link], last: ProvenLink, where: str) -> tuple[ProvenLink, ...]:
    """From the proven event back, each names the hash of the one before it."""
    if last.header.seq < len(links):
        raise ProofChanged(
            f"the chain of {where} has {len(links)} events, its stream only {last.header.seq} before it", hint=_HINT
        )
    found: list[ProvenLink] = []
    following = last.header
    for at, link in reversed(list(enumerate(links))):
        what = f"event {at} of the chain of {where}"
        proven = _link(link, what)
        header = proven.header
        if header.stream != following.stream or header.seq != following.seq - 1 or following.prev != proven.hash.hex():
            raise ProofChanged(f"{what} is not the one before the next: it was changed, or one is missing", hint=_HINT)
        found.append(proven)
        following = header
    if (following.prev is None) != (following.seq == 0):
        raise ProofChanged(f"the chain of {where} begins where no stream can begin", hint=_HINT)
    return tuple(reversed(found))


def _link(link: Link, what: str) -> ProvenLink:
    if link.payload is not None and link.payload_base64 is not None:
        raise ProofUnreadable(f"{what} has two payloads", hint="ask for the proof again, unchanged.")
    raw = link.header.encode()
    try:
        header = decode_header(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProofChanged(f"the header of {what} cannot be read: {error}", hint=_HINT) from error
    if header.v != FORMAT:
        raise ProofUnreadable(
            f"the header of {what} has version {header.v}, this program knows {FORMAT}",
            hint="use a newer version of Daybreak.",
        )
    if encode_header(header) != raw:
        raise ProofChanged(f"the header of {what} is not in canonical form", hint=_HINT)
    payload = link.payload_bytes
    if payload is not None and sha256(payload).hexdigest() != header.payload:
        raise ProofChanged(f"the payload of {what} is not the one that its header names", hint=_HINT)
    disclosed = None
    if link.disclosed is not None:
        disclosed = link.disclosed.payload.encode()
        if not sealing.commits_to(header.commit, link.disclosed.salt_bytes, disclosed):
            raise ProofChanged(f"what is disclosed of {what} is not what its header commits to", hint=_HINT)
    return ProvenLink(header, leaf_hash(raw), payload, disclosed)


def _compare(head: Checkpoint, *known: Checkpoint | None) -> None:
    shown = [checkpoint for checkpoint in known if checkpoint is not None]
    for checkpoint in shown:
        if checkpoint.size == head.size:
            if checkpoint.root != head.root:
                raise HeadDiffers(
                    f"two histories of {head.size} events were signed: the head known elsewhere has another root",
                    hint="keep both files: together they prove that the log was rewritten.",
                )
            return
    sizes = " and ".join(str(checkpoint.size) for checkpoint in shown)
    raise HeadUnrelated(
        f"the head known elsewhere is of {head.size} events, the proof is about {sizes}",
        hint="ask for a proof with `--from` or `--at` that head.",
    )
