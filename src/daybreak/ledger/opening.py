"""How a ledger is opened: its key, its file and the head known outside have to fit before anything is done with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import apsw

from daybreak import ids
from daybreak.clock import Clock
from daybreak.errors import LedgerMissing, LedgerStopped, LedgerTampered, WitnessMissing
from daybreak.host.durable import make_folder
from daybreak.ledger import database, keyfile, rotation, rows
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.files import locked
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.log import Log
from daybreak.ledger.migration import migrate
from daybreak.ledger.note import Checkpoint, Signer
from daybreak.ledger.views import Views
from daybreak.ledger.witness import Witness


class Opened(NamedTuple):
    """A log that may be appended to."""

    log: Log
    keyring: Keyring
    witness: Witness


@dataclass(frozen=True)
class Opening:
    """Where everything is; `opened` does it. The errors are those of `Ledger.open`."""

    directory: Path
    keys: Path
    witness: Path
    clock: Clock
    views: Views
    entropy: ids.Entropy

    @property
    def path(self) -> Path:
        """The database."""
        return self.directory / database.FILE

    def opened(self) -> Opened:
        """The log, checked; made where there has never been one."""
        for folder in (self.directory, self.keys, self.witness):
            make_folder(folder)
        outside = Witness(self.witness)
        with locked(outside.lock):
            signer = self._signer(outside)
            known = keyfile.with_history(self.keys, signer.verifier)
            keyring = Keyring(known.history, rotation.source(self.path))
            head = outside.read(keyring)
        if head is None:
            raise WitnessMissing(
                f"there is no head at {outside.path} to compare the ledger with",
                hint="put the witness file back. Without it a cut or an old copy could not be noticed.",
            )
        log = self._log(head, signer, keyring)
        outside.raise_to(log.head, keyring)
        keyfile.settle(self.keys, keyring, log.catch_up)
        return Opened(log, keyring, outside)

    def _signer(self, witness: Witness) -> Signer:
        """The key; made, with a witness of the empty tree, where there has never been anything.

        The witness of size 0 is written before the key and the key before the database, so a crash in between
        leaves what the next call recognises as a beginning.
        """
        if keyfile.exists(self.keys) or self._exists():
            return keyfile.load(self.keys)
        if witness.exists() and not _is_beginning(witness):
            return keyfile.load(self.keys)  # raises KeyMissing: events were witnessed once
        origin = f"daybreak.local/{ids.new('ledger', self.clock.now(), self.entropy)}"
        signer = Signer(origin, self.entropy(32))
        witness.start(signer)
        keyfile.save(self.keys, signer)
        return signer

    def _exists(self) -> bool:
        """Is there a ledger already?"""
        return _holds_something(self.path)

    def _log(self, outside: Checkpoint, signer: Signer, keyring: Keyring) -> Log:
        """Created where nothing was ever witnessed."""
        if outside.size and not _holds_something(self.path):
            raise self._missing(outside)
        with rows.readable(self.path):
            connection = database.connect_writer(self.path)
        try:
            with rows.readable(self.path):
                return self._checked(connection, outside, signer, keyring)
        except apsw.FullError as error:
            connection.close()
            raise LedgerStopped(f"{self.path} cannot be opened: {error}", hint="make room on its disk.") from error
        except apsw.Error as error:
            connection.close()
            raise LedgerTampered(
                f"{self.path} cannot be opened: {error}", hint="run `daybreak ledger verify`; check rights and space."
            ) from error
        except BaseException:
            connection.close()
            raise

    def _checked(self, connection: apsw.Connection, outside: Checkpoint, signer: Signer, keyring: Keyring) -> Log:
        blank = database.is_blank(connection)
        if blank and outside.size:
            raise self._missing(outside)
        if not blank:
            database.check_format(connection, self.path, mirror=False)
        database.make_durable(connection, self.path)
        if not blank:
            migrate(connection, self.path)
        log = Log(
            connection,
            path=self.path,
            signer=signer,
            keyring=keyring,
            keys=self.keys,
            blobs=BlobStore(self.directory / database.BLOBS),
            clock=self.clock,
            views=self.views,
            entropy=self.entropy,
        )
        return log.begin(outside, blank=blank)

    def _missing(self, outside: Checkpoint) -> LedgerMissing:
        return LedgerMissing(
            f"{self.path} holds no events, but {outside.size} were known outside",
            hint="put the ledger back from a copy. To start anew, move its key and witness away too.",
        )


def _is_beginning(witness: Witness) -> bool:
    """Does the witness speak of no event? Its signature cannot be checked when the key was never saved."""
    return witness.path.read_text("utf-8", errors="replace").split("\n")[1:2] == ["0"]


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
