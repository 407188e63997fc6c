"""Finds the event of the ledger that names a provenance file: in an open ledger, or in a proof that was handed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from daybreak import events
from daybreak.errors import DeliveryError
from daybreak.factory.deliver import MANIFEST
from daybreak.factory.provenance.checking import Vouched, Vouching
from daybreak.factory.provenance.statement import Statement
from daybreak.ledger import Ledger, Verifier, database, lineage, rotation
from daybreak.ledger.bundle import Bundle
from daybreak.ledger.dsse import Opened
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.proof import Prover, find_ledger
from daybreak.ledger.proofcheck import check_proof


class NotVouched(DeliveryError):
    """No event of the ledger, or of the proof, names this provenance, or it says something else of the build."""

    code = "D173"


def keys_in(ledger: Ledger) -> dict[int, Verifier]:
    """The keys of the ledger and of the older logs that it goes on from, by the index at which each log begins."""
    ledger.verifier.learn_more()
    found: dict[int, Verifier] = {0: ledger.verifier}
    connection = database.connect_reader(find_ledger(ledger.directory))
    try:
        rows = ledger.rows_of(connection)

        def first_of(leaf: int) -> events.LedgerCreated | None:
            event = next((record.event for record in rows.page(leaf - 1, 1)), None)
            return event if isinstance(event, events.LedgerCreated) else None

        created = first_of(0)
        for start, copy in enumerate(lineage.copies(created, first_of) if created is not None else (), 1):
            first = events.LedgerCreated(origin=copy.origin, public_key=copy.public_key)
            found[start] = lineage.keyring_of(copy, rotation.read(rows, first, start))
    finally:
        connection.close()
    return found


def by_ledger(ledger: Ledger, keys: Mapping[int, Verifier]) -> Vouching:
    """The event is looked for in the ledger, proved in its newest head, and the statement's own place in the ledger is
    compared, where no older log signed it. `keys`: of `keys_in`. Raises, when asked, NotVouched, and what reading and
    proving raise."""

    def look(opened: Opened, told: Statement) -> Vouched:
        for record in ledger.read(events.run_stream(told.run)):
            if isinstance(record.event, events.Delivered) and record.event.provenance == opened.digest:
                break
        else:
            raise _not_vouched(
                f"no delivery of the run {told.run[:100]!r} in the ledger {ledger.verifier.origin} has this provenance"
            )
        _agree(record.event, told)
        begins = next(at for at, key in keys.items() if key.origin == opened.span.verifier.origin)
        size, root = told.position
        if size > record.index - begins or (not begins and ledger.root(size).hex() != root):
            raise _not_vouched(f"its first {size} events are not those of the ledger {ledger.verifier.origin}")
        with Prover(ledger.directory, ledger.verifier) as prover:
            head = check_proof(prover.prove([record.index], chain=0), [ledger.verifier]).checkpoint
        place = f"{record.stream}#{record.seq}"
        return Vouched(record.index, place, head.size, "ledger", record.index - begins)

    return look


def by_proof(bundle: Bundle, keys: Sequence[Verifier]) -> Vouching:
    """The event is looked for in a proof, which is checked with these keys. Raises, when asked, NotVouched, and what
    `check_proof` raises."""

    def look(opened: Opened, told: Statement) -> Vouched:
        proven = check_proof(bundle, keys)
        if proven.checkpoint.origin != opened.span.verifier.origin:
            raise _not_vouched("the proof is of another log than the one that signed it")
        _refuse_own_word(opened, proven.key_id, bundle, keys)
        for entry in proven.events:
            header, payload = entry.event.header, entry.event.payload
            if header.type != events.Delivered.type or payload is None:
                continue
            event = msgspec.json.decode(payload, type=events.Delivered)
            if event.provenance == opened.digest and header.stream == events.run_stream(told.run):
                _agree(event, told)
                place = f"{header.stream}#{header.seq}"
                return Vouched(entry.index, place, proven.checkpoint.size, "proof", entry.index)
        raise _not_vouched("the proof holds no event `delivered` that names this provenance")

    return look


def _refuse_own_word(opened: Opened, head: str, bundle: Bundle, keys: Sequence[Verifier]) -> None:
    """Whoever has a key that was revoked can make another past with it, whose head has any size up to then. `head`: id
    of the key that signed the proof's. Raises NotVouched."""
    spans = [span for ring in keys_of(bundle, keys) for span in ring.spans]
    revoked = {span.verifier.key_id for span in spans if span.revoked is not None}
    if {opened.span.verifier.key_id, head} <= revoked:
        raise _not_vouched(
            "the head of the proof is signed by a key that was revoked, as this is",
            "ask for a proof that is made now: its head is signed by the log's present key.",
        )


def keys_of(bundle: Bundle, keys: Sequence[Verifier]) -> list[Keyring]:
    """These keys, and the others of their logs that the proof derives from them; `check_proof` checks how. Raises
    NoteError."""
    found: list[Keyring] = []
    for key in keys:
        keyring = Keyring.of(key)
        if bundle.keys is not None:
            keyring.learn(bundle.keys.history)
        found.append(keyring)
    return found


def _agree(event: events.Event, told: Statement) -> None:
    """Do event and statement speak of one build? Raises NotVouched."""
    assert isinstance(event, events.Delivered)
    manifest = told.files.get(MANIFEST)
    if event.run != told.run or manifest is None or manifest.digest["sha256"] != event.manifest:
        raise _not_vouched("the event that names it speaks of another manifest or run")


def _not_vouched(
    why: str, hint: str = "do not believe it; `daybreak ledger verify` tells whether the ledger is whole."
) -> NotVouched:
    return NotVouched(f"the ledger does not vouch for this provenance: {why}", hint=hint)
