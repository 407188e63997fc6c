"""How a ledger on Postgres is opened: the key, the head known outside, Postgres and the mirror have to fit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import psycopg

from daybreak.errors import KeyMissing, LedgerMissing, LedgerTampered, WitnessMissing
from daybreak.ledger import database, keyfile, rows
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.log import Log
from daybreak.ledger.migration import migrate
from daybreak.ledger.note import Checkpoint, Signer
from daybreak.ledger.opening import Opened, Opening, _holds_something
from daybreak.ledger.postgres import schema
from daybreak.ledger.postgres.blobs import SharedBlobs
from daybreak.ledger.postgres.connection import connect, unusable
from daybreak.ledger.postgres.listening import Listener
from daybreak.ledger.postgres.log import PostgresLog
from daybreak.ledger.postgres.problems import ConnectionLost
from daybreak.ledger.postgres.store import Store
from daybreak.ledger.witness import Witness

_DAMAGED = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
_BESIDE = ("", "-wal", "-shm")

_log = logging.getLogger("daybreak.ledger")


@dataclass(frozen=True)
class PostgresOpening(Opening):
    """As `Opening`, where the ledger is in Postgres. The errors are those of `Ledger.open`."""

    postgres: str = field(default="", repr=False)
    stopped_s: float = database.STOPPED_S
    """After how much silence one who has the ledger's lock is cut off by those who wait for it."""
    _reached: list[tuple[Store, SharedBlobs]] = field(default_factory=list, repr=False)

    def opened(self) -> Opened:
        store = Store(connect(self.postgres, appends=True), stopped_s=self.stopped_s)  # before anything is made here
        blobs = SharedBlobs(self.directory / database.BLOBS, store.address)
        self._reached.append((store, blobs))
        try:
            try:
                return super().opened()
            except (psycopg.Error, ConnectionLost) as error:  # what psycopg says may repeat the password
                raise unusable(store.address, error) from None
        except BaseException:
            store.drop()
            blobs.close()
            raise

    @property
    def _store(self) -> Store:
        return self._reached[0][0]

    def _exists(self) -> bool:
        return super()._exists() or not schema.is_blank(self._store.link())

    def _signer(self, witness: Witness) -> Signer:
        address = self._store.address
        if not schema.is_blank(self._store.link()):
            schema.check(self._store.link())
        if not keyfile.exists(self.keys) and not super()._exists() and self._exists():
            raise KeyMissing(
                f"{address} holds a ledger, and its key is not in {self.keys}",
                hint="copy the folders with key and witness from a home that has it; or name another schema in the "
                "address (?schema=NAME).",
            )
        if keyfile.exists(self.keys) and not witness.exists():
            raise WitnessMissing(
                f"there is no head at {witness.path} to compare {address} with",
                hint="put the witness file back, or copy it from a home that has it, as the key. Without it a cut or "
                "an old copy could not be noticed.",
            )
        return super()._signer(witness)

    def _log(self, outside: Checkpoint, signer: Signer, keyring: Keyring) -> Log:
        mirrors_some = self._mirrors_some()
        link = self._store.link()
        blank = schema.is_blank(link)
        if blank and (outside.size or mirrors_some):
            raise self._missing(outside)
        try:
            with rows.readable(self.path):
                try:
                    return self._loaded(outside, signer, keyring, blank=blank)
                except _DAMAGED as error:
                    return self._made_anew(error, outside, signer, keyring)
        except apsw.Error as error:
            raise LedgerTampered(
                f"{self.path} cannot be opened: {error}", hint="check its rights and its disk."
            ) from error

    def _loaded(self, outside: Checkpoint, signer: Signer, keyring: Keyring, *, blank: bool) -> PostgresLog:
        connection = self._mirror()
        try:
            return self._load(connection, outside, signer, keyring, blank=blank)
        except BaseException:
            with contextlib.suppress(apsw.Error):
                connection.close()
            raise

    def _load(
        self, connection: apsw.Connection, outside: Checkpoint, signer: Signer, keyring: Keyring, *, blank: bool
    ) -> PostgresLog:
        log = PostgresLog(
            connection,
            store=self._store,
            path=self.path,
            signer=signer,
            keyring=keyring,
            keys=self.keys,
            blobs=self._reached[0][1],
            clock=self.clock,
            views=self.views,
            entropy=self.entropy,
        )
        return log.begin(outside, blank=blank)

    def _mirror(self) -> apsw.Connection:
        connection = database.connect_writer(self.path)
        try:
            if not database.is_blank(connection):
                database.check_format(connection, self.path, mirror=True)
            database.make_durable(connection, self.path, mirror=True)
            if not database.is_blank(connection):
                migrate(connection, self.path)
        except BaseException:
            with contextlib.suppress(apsw.Error):
                connection.close()
            raise
        return connection

    def _mirrors_some(self) -> bool:
        """Are there events in the mirror? A first start that Postgres refused leaves one without any. What cannot be
        read may hold some, and is a matter of its own. Raises LedgerForeign where a ledger of its own lies there."""
        if not _holds_something(self.path):
            return False
        connection = database.connect_reader(self.path)
        try:
            if database.is_blank(connection):
                return False
            database.check_kind(connection, self.path, mirror=True)
            return connection.execute("SELECT 1 FROM event LIMIT 1").fetchone() is not None
        except _DAMAGED:
            return True
        finally:
            connection.close()

    def _made_anew(self, error: apsw.Error, outside: Checkpoint, signer: Signer, keyring: Keyring) -> PostgresLog:
        """In the place of a mirror that SQLite cannot read any more: nothing is lost with it. Where this fails, too, it
        lies where it lay."""
        aside = self.path.with_name(f"{self.path.name}.damaged-1")
        while aside.exists():
            aside = self.path.with_name(f"{self.path.name}.damaged-{int(aside.name.rpartition('-')[2]) + 1}")
        _move(self.path, aside)
        try:
            log = self._loaded(outside, signer, keyring, blank=False)
        except BaseException:
            for suffix in _BESIDE:
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            _move(aside, self.path)
            raise
        what = "%s, the mirror of %s, is damaged (%s): it was moved to %s, and made again from Postgres"
        _log.warning(what, self.path, self._store.address, error, aside.name)
        return log

    def _missing(self, outside: Checkpoint) -> LedgerMissing:
        known = f"{outside.size} were known outside" if outside.size else f"{self.path} mirrors some"
        return LedgerMissing(
            f"{self._store.address} holds no events, but {known}",
            hint="check the address; put the database back from a copy. To start anew, move the folders with ledger, "
            "key and witness away, too.",
        )


def attend(log: Log, heard: Callable[[int], None]) -> tuple[str, list[Callable[[], None]]]:
    """From now on `heard` is called with the number of events whenever another process has appended. Where the ledger
    is, without a password; what ends that, and what is called at the very end."""
    assert isinstance(log, PostgresLog)
    store, blobs = log.store, log.blobs
    assert isinstance(blobs, SharedBlobs)

    def by_somebody(size: int, backend: int) -> None:
        if not backend or backend != store.backend:
            heard(size)

    def end() -> None:
        store.drop()
        blobs.close()

    return store.address.shown, [Listener(store.address, by_somebody).close, end]


def _move(path: Path, to: Path) -> None:
    """A database with what belongs to it."""
    for suffix in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{to}{suffix}")
