"""Asks an RFC 3161 server to stamp the signed head: it then existed at that moment, whatever this machine's clock says.

Such a server remembers nothing: what it said is kept here (`kept`), and whoever removes that has removed it. It bounds
when something was, and shows nobody that the log was cut; other witnesses do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from daybreak.clock import Clock
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.witness import asking
from daybreak.ledger.witness.statement import Log, Statement, WitnessFalse, WitnessRefuses, WitnessSilent

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

LEEWAY = timedelta(minutes=10)
"""Its clock and ours may differ by so much."""


class TimestampServer:
    """An RFC 3161 server at an address."""

    kind = "timestamp"

    def __init__(
        self,
        name: str,
        address: str,
        certificates: Path,
        clock: Clock,
        *,
        timeout_s: float,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.name = name
        self.address = address
        self.where = address
        self.certificates = certificates
        self._clock = clock
        self._timeout_s = timeout_s
        self._entropy = entropy

    def show(self, head: Checkpoint, log: Log) -> Statement:
        from daybreak.ledger.witness import tsp  # late: half of it is X.509

        trusted = self._trusted()
        digest = hashlib.sha256(head.text.encode()).digest()
        nonce = int.from_bytes(self._entropy(8), "big") | 1 << 63  # of one length, whatever it is
        answer = asking.ask(
            "POST", self.address, self._timeout_s, tsp.request(digest, nonce), {"Content-Type": tsp.REQUEST_TYPE}
        )
        if answer.status != 200:
            raise self._not_stamped(answer.status)
        try:
            stamp = tsp.check(answer.body, digest, trusted, nonce)
        except tsp.StampDenied as error:
            raise WitnessRefuses(
                f"witness {self.name} did not stamp the head: {error}", hint="look at what its operator asks for."
            ) from error
        except tsp.StampWrong as error:
            raise WitnessFalse(
                f"witness {self.name} answered what is no time stamp of the head: {error}",
                hint=f"look at its certificates in {self.certificates}; what it answered is not kept.",
            ) from error
        if abs(stamp.at - self._clock.now()) > LEEWAY:
            raise WitnessFalse(
                f"witness {self.name} says that it is {stamp.at:%Y-%m-%d %H:%M:%SZ}, and the clock here differs",
                hint="put the clock of this machine right; if it is, do not trust that server.",
            )
        return Statement(head.size, stamp.at, note=head.text, token=answer.body)

    def highest(self, log: Log) -> Checkpoint | None:
        """None: such a server remembers nothing."""
        return None

    def worth(self) -> Sequence[str]:
        return [
            f"{urlsplit(self.address).hostname} says when a head existed, which no clock here can change",
            "what it said is kept on this machine, and can be removed there",
        ]

    def _trusted(self) -> list[Certificate]:
        from cryptography import x509

        try:
            return x509.load_pem_x509_certificates(self.certificates.read_bytes())
        except (OSError, ValueError) as error:
            raise WitnessRefuses(
                f"witness {self.name}: the certificates in {self.certificates} cannot be used: {error}",
                hint="put the certificates of the server's authority there, in PEM form.",
            ) from error

    def _not_stamped(self, status: int) -> WitnessSilent | WitnessRefuses:
        text = f"witness {self.name} answered with status {status}"
        if status >= 500 or status in (408, 429):
            return WitnessSilent(text, hint="it is asked again later.")
        return WitnessRefuses(text, hint="look at the address: it is that of no time stamp server.")
