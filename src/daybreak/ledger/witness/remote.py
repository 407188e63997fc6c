"""Asks a C2SP tlog-witness for its cosignature: the client's half of the protocol.

The witness says what it has only by refusing: 409 and a size, or 422. Such an answer is nobody's signature. Where the
witness also serves its last cosigned checkpoint (ours does, as the field's others do), that is: it is signed by the
ledger's own key, and proves what the ledger lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from daybreak.clock import Clock
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.witness import asking, cosigning, wire
from daybreak.ledger.witness.asking import Answer
from daybreak.ledger.witness.cosigning import CosignerKey
from daybreak.ledger.witness.statement import (
    Log,
    Statement,
    WitnessContradicts,
    WitnessFalse,
    WitnessRefuses,
    WitnessSilent,
)

LEEWAY = timedelta(minutes=10)
"""The witness's clock may be ahead of ours by so much."""
TRIES = 3
"""A witness that is told of heads by several processes may know a newer one each time."""


class Remote:
    """A witness at an address."""

    kind = "tlog"

    def __init__(
        self, name: str, address: str, key: CosignerKey, verifier: Verifier, clock: Clock, *, timeout_s: float
    ) -> None:
        self.name = name
        self.address = address.rstrip("/")
        self.where = f"{self.address} {key.key_id}"
        self._key = key
        self._verifier = verifier
        self._clock = clock
        self._timeout_s = timeout_s
        self.known = 0
        """The size that the witness has, as far as is known; wrong is harmless."""

    def show(self, head: Checkpoint, log: Log) -> Statement:
        for _ in range(TRIES):
            if self.known > head.size:  # another process has shown it a newer one
                head = log.newest()
            old = min(self.known, head.size)
            answer = self._ask(old, head, log)
            if answer.status == 200:
                self.known = head.size
                return self._cosigned(head, answer)
            if answer.status == 422:
                raise self._contradicted(f"the ledger does not continue the {old} events that it has", log)
            if answer.status != 409:
                raise self._refused(answer)
            size = wire.number(answer.body.decode("ascii", "replace").removesuffix("\n"))
            if size is None:
                raise self._false("a conflict without a size")
            if size == old:
                raise self._contradicted(f"it has {size} other events", log)
            if size < old:
                self.known = size
                raise self._false(f"it had cosigned {old} events and knows of {size}: it has lost its memory")
            if size > head.size and size > (newest := log.newest().size):
                raise self._contradicted(f"it has {size} events, and the ledger {newest}", log)
            self.known = size
        raise WitnessSilent(f"{self.name} names another size each time", hint="it is asked again later.")

    def highest(self, log: Log) -> Checkpoint | None:
        """The last checkpoint that it cosigned; None where it serves none."""
        url = f"{self.address}/{wire.origin_hash(self._verifier.origin)}/checkpoint"
        answer = asking.ask("GET", url, self._timeout_s)
        if answer.status != 200:
            return None
        try:
            found = self._verifier.open(answer.body.decode())
            if self._key.find(found.text) is None:
                raise NoteError("it is not cosigned by the witness")
        except (NoteError, ValueError) as error:
            raise self._false(f"its last checkpoint: {error}") from error
        self.known = found.size
        return found

    def worth(self) -> Sequence[str]:
        parts = urlsplit(self.address)
        words = [f"{parts.hostname} remembers; nobody here can take it back"]
        if parts.hostname in ("127.0.0.1", "::1", "localhost"):
            words = [
                "it is on this machine: worth as much as its user and its files are out of the ledger's user's reach"
            ]
        elif parts.scheme == "http":
            words.append("http: somebody on the way can keep answers back, not forge them")
        return words

    def _ask(self, old: int, head: Checkpoint, log: Log) -> Answer:
        body = wire.write(old, log.proof_between(old, head.size), head.text)
        return asking.ask("POST", self.address + wire.PATH, self._timeout_s, body, {"Content-Type": "text/plain"})

    def _cosigned(self, head: Checkpoint, answer: Answer) -> Statement:
        try:
            note = cosigning.joined(head.text, f"{cosigning.body(head.text)}\n{answer.body.decode()}")
            found = self._key.find(note)
        except (NoteError, UnicodeDecodeError) as error:
            raise self._false(str(error)) from error
        if found is None:
            raise self._false(f"no cosignature by the key {self._key.key_id} of {self._key.name}")
        if found.at > self._clock.now() + LEEWAY:
            raise self._false(f"its cosignature is of {found.at:%Y-%m-%d %H:%M:%SZ}, which is yet to come")
        return Statement(head.size, found.at, note=f"{head.text}{found.line}")

    def _contradicted(self, what: str, log: Log) -> Exception:
        """Proved by a checkpoint of our own key, or only said. Raises LedgerBehind, LedgerForked where it is proved."""
        try:
            shown = self.highest(log)
        except WitnessSilent:
            shown = None
        if shown is not None:
            log.compare(shown)
        return WitnessContradicts(
            f"witness {self.name} says that {what}, and shows no proof",
            hint="compare with other witnesses. If it is right, the ledger was cut or rewritten, or is an old copy.",
        )

    def _false(self, what: str) -> WitnessFalse:
        return WitnessFalse(
            f"witness {self.name} answered what is not true: {what}"[:500],
            hint="its cosignatures are not kept; look at its key and at that machine.",
        )

    def _refused(self, answer: Answer) -> Exception:
        said = " ".join(answer.body[:200].decode("utf-8", "replace").split())
        if answer.status >= 500 or answer.status in (408, 429):
            return WitnessSilent(
                f"witness {self.name} cannot sign now ({answer.status}): {said}", hint="asked again later."
            )
        hints = {
            404: "give its operator this ledger's public key (ledger.vkey); or the address is not that of a witness.",
            403: "it knows another key of this ledger: give its operator the present ledger.vkey.",
        }
        return WitnessRefuses(
            f"witness {self.name} refuses this ledger's heads ({answer.status}): {said}",
            hint=hints.get(answer.status, "look at its address and at what it says."),
        )
