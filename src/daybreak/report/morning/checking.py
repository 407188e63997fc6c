"""Is a saved page what the ledger says? Needs the file and a key, no ledger, no home and no network.

The events are shown to be in the tree that the ledger signed, the report is made of them again, and the page of the
report: it must be the file, byte for byte. So whatever a person sees in it is what the events say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from daybreak import events
from daybreak.errors import DaybreakError
from daybreak.ledger.bundle import from_base64
from daybreak.ledger.jointproof import joint_root
from daybreak.ledger.note import Checkpoint, Verifier
from daybreak.ledger.proofcheck import NotIncluded, ProofChanged, Proven, check_proof
from daybreak.ledger.record import decode_header
from daybreak.ledger.tree import leaf_hash
from daybreak.report.morning import facts as keep
from daybreak.report.morning import html
from daybreak.report.morning.deriving import derive
from daybreak.report.morning.model import Fact, Morning, Source
from daybreak.report.morning.proofs import Proof, Told, digest, unpack, unreadable

FILE_MAX = 256 * 2**20
"""The longest file that is read."""
_HINT = "do not believe it; ask for the report again, or for the reason."


class ReportChanged(ProofChanged):
    """What the page shows is not what the events in it say."""

    code = "L301"


class ReportOfAnotherPage(DaybreakError):
    """The page was made by a version whose pages look otherwise, so it cannot be made again here."""

    code = "L302"


@dataclass(frozen=True)
class Checked:
    """What a page is known to be."""

    report: Morning
    checkpoint: Checkpoint
    """The signed head that all of it is in."""
    key_id: str
    events: int
    whole: int
    """Of these events, so many with their payloads. Of the others the header is proved, and what the page says of them
    is vouched for by the ledger's own event about the report."""
    heads: int
    key: str
    """The verification key that the page brought."""


def key_of(page: bytes) -> str:
    """The verification key that a page says it was made under: worth as much as the way on which the page came. Raises
    ReportUnreadable."""
    return _opened(page)[0].key


def check(page: bytes, keys: Sequence[Verifier], heads: Sequence[str] = ()) -> Checked:
    """Raises ReportUnreadable, ReportChanged, ReportOfAnotherPage, and what `proofcheck.check_proof` does. keys, heads:
    as there."""
    proof, seal, text = _opened(page)
    if proof.page != html.PAGE:
        raise ReportOfAnotherPage(
            f"the page is of version {proof.page}, this program makes version {html.PAGE}",
            hint="check it with the version of Daybreak that made it; nothing is wrong with the proof.",
        )
    proven = check_proof(seal, keys, heads)
    told = _facts(proof, proven.checkpoint)
    sealed = _seal(proof, proven)
    report, again = _again(proof, told, sealed, text)
    _compare(page, again)
    whole = sum(1 for one in proof.facts if one.payload is not None)
    return Checked(report, proven.checkpoint, proven.key_id, len(told) + 1, whole + 1, proven.heads, proof.key)


def is_ours(page: bytes) -> bool:
    """Was this file, or an older one of it, made here? Then it may be written over."""
    return page.startswith(b'<!doctype html>\n<html lang="en" data-page="') and b'class="brand">Daybreak<' in page


def _opened(page: bytes) -> tuple[Proof, Any, str]:
    if len(page) > FILE_MAX:
        raise unreadable(f"it is longer than {FILE_MAX >> 20} MiB")
    try:
        whole = page.decode()
    except UnicodeDecodeError as error:
        raise unreadable(f"byte {error.start} is not UTF-8") from error
    before, begin, rest = whole.partition(html.BEGIN)
    text, end, _ = rest.partition(html.END)
    if not begin or not end:
        raise unreadable("there is no proof in it" if before else "it is empty")
    proof, seal = unpack(text)
    return proof, seal, text


def _facts(proof: Proof, checkpoint: Checkpoint) -> list[Fact]:
    """The events, each shown to be in the tree. Raises NotIncluded, ProofChanged."""
    leaves = {one.index: leaf_hash(one.header.encode()) for one in proof.facts}
    if len(leaves) != len(proof.facts):
        raise ReportChanged("an event stands in it twice", hint=_HINT)
    nodes = [from_base64(node, "a hash of the proof") for node in proof.nodes]
    if any(len(node) != 32 for node in nodes) or joint_root(leaves, checkpoint.size, nodes) != checkpoint.root:
        raise NotIncluded(
            f"its events are not those of the {checkpoint.size} that were signed: one was changed, moved or made up",
            hint=_HINT,
        )
    return [_fact(one) for one in proof.facts]


def _fact(one: Told) -> Fact:
    try:
        header = decode_header(one.header.encode())
        if one.payload is None:
            return keep.of_header(one.index, header, one.said or {})
        if sha256(one.payload.encode()).hexdigest() != header.payload:
            raise ReportChanged(f"the payload of event {one.index} is not the one that was signed", hint=_HINT)
        return keep.of_header(one.index, header, keep.excerpt(header.type, msgspec.json.decode(one.payload)))
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ReportChanged(f"event {one.index} cannot be read: {error}", hint=_HINT) from error


def _seal(proof: Proof, proven: Proven) -> Fact:
    """The ledger's own word about the report. Raises ReportChanged."""
    if len(proven.events) != 1 or (found := proven.events[0]).event.payload is None:
        raise ReportChanged("the ledger's own event about the report is missing", hint=_HINT)
    header = found.event.header
    fields = keep.excerpt(header.type, msgspec.json.decode(found.event.payload))
    ours = (header.type, header.stream) == (keep.MADE, events.REPORTS)
    if not ours or fields.get("digest") != digest(proof.frame, proof.facts):
        raise ReportChanged(
            "the ledger vouched for another report: something was left out of this one, or put into it", hint=_HINT
        )
    return keep.of_header(found.index, header, fields)


def _again(proof: Proof, told: list[Fact], sealed: Fact, text: str) -> tuple[Morning, bytes]:
    """The report and its page, of what the proof says. Raises ReportChanged where that makes no sense: whoever has a
    key can sign anything."""
    try:
        report = derive(Source(frame=proof.frame, facts=told))
        return report, html.render(report, [*told, sealed], text).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, AttributeError, KeyError, ArithmeticError, RecursionError) as error:
        raise ReportChanged(f"no report can be made of what it says: {error}", hint=_HINT) from error


def _compare(page: bytes, again: bytes) -> None:
    """Raises ReportChanged, with the first line that differs."""
    if page == again:
        return
    ours, theirs = again.split(b"\n"), page.split(b"\n")
    number = next(
        (at for at, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other),
        min(len(ours), len(theirs)),
    )
    raise ReportChanged(
        f"line {number + 1} of the page is not what its events say; somebody changed the page",
        hint="the proof in it is sound: `daybreak report check FILE --json` shows what the events say.",
    )
