"""What a page carries so that others can check it: its source, and the proof that the ledger says so.

The events travel as their canonical headers, and with their payloads where these say no more than the report may;
where they say more, only what the report shows of them travels. That, what the report says beside events, and that
nothing was left out, the ledger vouches for itself: making the report appends `report.made` with a digest of all that,
and the proof is about the tree that has it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, Protocol

import msgspec

from daybreak import events
from daybreak.errors import LedgerError
from daybreak.ledger import Draft
from daybreak.ledger.bundle import Bundle, from_base64, read_proof, to_base64, write_bundle
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.proof import Prover
from daybreak.ledger.record import Record
from daybreak.report.morning import facts as keep
from daybreak.report.morning.html import PAGE
from daybreak.report.morning.model import Fact, Frame, Source

FORMAT = "daybreak-report/1"
UNPACKED_MAX = 256 * 2**20
"""The most bytes that a proof may hold once it is unpacked."""


class ReportUnreadable(LedgerError):
    """The file is no report of ours, or a part of it is missing."""

    code = "L300"


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event: the header, and the payload or what the report says of it."""

    index: int
    header: str
    payload: str | None = None
    said: dict[str, Any] | None = None


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is needed to make the page again, and to believe it."""

    format: Literal["daybreak-report/1"]
    page: int
    key: str
    """The ledger's verification key, for whoever trusts the file that it came with."""
    frame: Frame
    facts: list[Told]
    nodes: list[str]
    """The joint proof of all of `facts`, base64."""
    seal: str
    """A proof of the event `report.made`: a bundle as `daybreak ledger prove` writes it."""


class Sealing(Protocol):
    """What is needed of the ledger that vouches."""

    @property
    def directory(self) -> Any: ...
    @property
    def verifier(self) -> Any: ...
    def append(self, drafts: Sequence[Draft]) -> list[Record]: ...
    def joint_proof(self, indexes: Sequence[int]) -> tuple[Checkpoint, list[bytes]]: ...


_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(Proof).decode


def digest(frame: Frame, told: Sequence[Told]) -> str:
    """Of all that the ledger vouches for: the frame, which events, and what is said of those whose payload stays."""
    return sha256(_encode([FORMAT, frame, [[one.index, one.said] for one in told]])).hexdigest()


def embed(ledger: Sealing, source: Source, records: Mapping[int, Record], *, report: str) -> tuple[list[Fact], str]:
    """The events that the page shows, and the text that goes into it. Appends `report.made`. Raises as `append`, and
    LedgerTampered."""
    told = [_told(records[fact.index], fact) for fact in source.facts]
    frame = source.frame
    made = events.ReportMade(
        report=report,
        digest=digest(frame, told),
        facts=len(told),
        since=frame.since,
        until=frame.until,
        night=frame.night,
    )
    (seal,) = ledger.append([Draft(events.REPORTS, made)])
    head, nodes = ledger.joint_proof([one.index for one in told])
    with Prover(ledger.directory, ledger.verifier) as prover:
        sealed = prover.prove([seal.index], at=head.text)
    proof = Proof(
        "daybreak-report/1",
        PAGE,
        ledger.verifier.text,
        frame,
        told,
        [to_base64(node) for node in nodes],
        write_bundle(sealed).decode(),
    )
    return [*source.facts, keep.of_record(seal)], pack(proof)


def _told(record: Record, fact: Fact) -> Told:
    header = record.header.decode()
    if keep.travels(record):
        return Told(record.index, header, payload=record.payload.decode())
    return Told(record.index, header, said=fact.fields)


def pack(proof: Proof) -> str:
    packed = zlib.compress(_encode(proof), 9)
    return f"{sha256(packed).hexdigest()}.{base64.b64encode(packed).decode()}"


def unpack(text: str) -> tuple[Proof, Bundle]:
    """Raises ReportUnreadable, ProofUnreadable."""
    named, dot, data = text.partition(".")
    packed = from_base64(data, "the proof in the page")
    if not dot or sha256(packed).hexdigest() != named:
        raise unreadable("its proof is not whole: a byte of it was changed")
    try:
        opened = zlib.decompressobj()
        plain = opened.decompress(packed, UNPACKED_MAX)
        if not opened.eof or opened.unconsumed_tail or opened.unused_data:
            raise unreadable("its proof does not end where it should")
        proof = _decode(plain)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(f"its proof cannot be read: {error}") from error
    if _encode(proof) != plain:
        raise unreadable("its proof is not in the form in which it is written")
    return proof, read_proof(proof.seal.encode())


def unreadable(why: str) -> ReportUnreadable:
    return ReportUnreadable(
        f"this is no report that can be checked: {why}",
        hint="ask for the file again, unchanged; believe nothing that it says meanwhile.",
    )
