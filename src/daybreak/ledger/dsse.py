"""DSSE envelopes: something that is no head, signed with the ledger's key, in a form that other programs read.

What is signed is not the file but `pae(type, payload)`: `DSSEv1 LEN TYPE LEN PAYLOAD`. The same key signs heads and
statements about keys, and none of these can be taken for one of the others: a head's first line is the name of a log,
which has no space and is not `DSSEv1 …`; the statements begin with `daybreak: `; and the type stands inside what is
signed, so an envelope of one type is none of another. Format: https://github.com/secure-systems-lab/dsse, version 1.

An envelope has one signature and one form of its bytes: written in any other way it is refused, so that no two readers
read two things and its SHA-256 names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from daybreak.errors import LedgerError
from daybreak.ledger.bundle import ProofUnreadable, from_base64, to_base64
from daybreak.ledger.keyring import Keyring, Span
from daybreak.ledger.note import Verifier

ENVELOPE_BYTES = 32 * 1024 * 1024
"""The longest envelope that is read; one of a delivery of 20,000 files has about 6 MiB."""

_HINT = "ask for the file again, unchanged; believe nothing that it says meanwhile."


class EnvelopeUnreadable(LedgerError):
    """It is no envelope, or not in the one form in which it is written."""

    code = "L310"


class EnvelopeByAnother(LedgerError):
    """It is signed by no key that is known here."""

    code = "L311"


class EnvelopeChanged(LedgerError):
    """The signature does not fit what is in it."""

    code = "L312"


class EnvelopeByEndedKey(LedgerError):
    """It is signed by a key of the log that had handed over by then, or was revoked."""

    code = "L313"


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: str
    """`ORIGIN+ID` of a ledger's key. A hint and no more: nothing signs it."""
    sig: str
    """Base64."""


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """As it stands in a file. Means nothing before `opened`."""

    payload_type: str
    payload: str
    """Base64."""
    signatures: list[Signature]

    @property
    def data(self) -> bytes:
        """One line of JSON and a line end."""
        return msgspec.json.encode(self) + b"\n"


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope whose signature was checked."""

    payload: bytes
    span: Span
    """The key that signed it, and for which sizes of the ledger it is to be believed."""
    digest: str
    """SHA-256 of the file."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed; lengths are of bytes, so no two pairs give the same."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sealed(payload_type: str, payload: bytes, vouch: Callable[[bytes], tuple[str, Verifier]]) -> bytes:
    """The file. `vouch` signs (`Ledger.vouch`). Ed25519 is deterministic: the same payload and key give the same."""
    signature, verifier = vouch(pae(payload_type, payload))
    data = Envelope(payload_type, to_base64(payload), [Signature(keyid_of(verifier), signature)]).data
    if len(data) > ENVELOPE_BYTES:
        raise _unreadable(f"it would be longer than {ENVELOPE_BYTES} bytes")  # nobody could check it
    return data


def keyid_of(verifier: Verifier) -> str:
    return f"{verifier.origin}+{verifier.key_id}"


def read(data: bytes, payload_type: str) -> tuple[Envelope, bytes]:
    """The envelope in a file and what is in it, of which nothing is known yet. Raises EnvelopeUnreadable."""
    if len(data) > ENVELOPE_BYTES:
        raise _unreadable(f"it is longer than {ENVELOPE_BYTES} bytes")
    try:
        envelope = msgspec.json.decode(data, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(f"{error}"[:200]) from error
    if envelope.data != data:
        raise _unreadable("it is not in the form in which it is written")
    if envelope.payload_type != payload_type:
        raise _unreadable(f"it holds {envelope.payload_type[:100]!r} and not {payload_type!r}")
    if len(envelope.signatures) != 1:
        raise _unreadable(f"it has {len(envelope.signatures)} signatures and not one")
    try:
        payload = from_base64(envelope.payload, "what is in it")
    except ProofUnreadable as error:
        raise _unreadable(error.message) from error
    return envelope, payload


def opened(data: bytes, payload_type: str, keys: Sequence[Verifier]) -> Opened:
    """Is it signed by one of these keys (of a `Keyring`: by any of its log's)? Whether that key was to be believed
    then, `refuse_ended` says. Raises EnvelopeUnreadable, EnvelopeByAnother, EnvelopeChanged."""
    envelope, payload = read(data, payload_type)
    (signature,) = envelope.signatures
    statement = pae(payload_type, payload)
    spans = [span for key in keys for span in Keyring.of(key).spans]
    for span in spans:
        if span.verifier.stands_for(statement, signature.sig):
            return Opened(payload, span, sha256(data).hexdigest())
    if signature.keyid in (keyid_of(span.verifier) for span in spans):
        raise EnvelopeChanged(f"the signature that names the key {signature.keyid} does not fit", hint=_HINT)
    raise EnvelopeByAnother(
        f"it is not signed by a key that is known here; it names {signature.keyid[:200]!r}",
        hint="give the public key of the log that it comes from, or ask who made it.",
    )


def refuse_ended(span: Span, size: int, index: int | None = None) -> None:
    """`size`: so many events the ledger held when it was signed, by its own word. `index`: the event that vouches for
    it, where that was seen. Raises EnvelopeByEndedKey.

    A stolen key can write any `size`, so a revoked one is believed only where the ledger has an event from before the
    revocation that names the very envelope. A key that has merely handed over was destroyed, and what it signed until
    then stays good; the event may come a little later."""
    who = f"it is signed by the key {span.verifier.key_id}, which"
    if span.revoked is not None and (index is None or index >= span.revoked):
        why = f" ({span.why})" if span.why else ""
        seen = "no event from before that names it here" if index is None else f"event {index} came after that"
        raise EnvelopeByEndedKey(
            f"{who} was revoked from {span.revoked} events on{why}; {seen}",
            hint="check it where the ledger is, or with --proof of the event `delivered`; else do not believe it.",
        )
    if span.end is not None and size > span.end:
        raise EnvelopeByEndedKey(f"{who} handed over at {span.end} events; it says it is of {size}", hint=_HINT)
    if index is not None and index <= span.start:
        raise EnvelopeByEndedKey(f"{who} signs from event {span.start + 1} on; event {index} names it", hint=_HINT)


def _unreadable(why: str) -> EnvelopeUnreadable:
    return EnvelopeUnreadable(f"this is no envelope of ours: {why}", hint=_HINT)
