"""Blobs of a ledger on Postgres: in the home that put them or needed them once, and in Postgres for all others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

from daybreak.errors import BlobDamaged, BlobMissing, DraftRefused, LedgerBusy
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.database import BUSY_S
from daybreak.ledger.postgres.address import Address
from daybreak.ledger.postgres.connection import Link, connect, is_lost, said, unusable
from daybreak.ledger.postgres.problems import ConnectionLost, PostgresUnusable

LARGEST = 512 * 1024 * 1024
"""Bytes of the largest blob: Postgres takes less than 1 GiB in one value."""

_PUT = (
    "INSERT INTO blob VALUES (%b, %b)"
    " ON CONFLICT (digest) DO UPDATE SET data = excluded.data WHERE blob.data <> excluded.data"
)
_GET = "SELECT data FROM blob WHERE digest = %b"
_HAS = "SELECT 1 FROM blob WHERE digest = %b"
_PAGE = "SELECT digest FROM blob WHERE digest > %b ORDER BY digest LIMIT 10000"
_PAUSE_S, _PAUSE_MOST_S = 0.05, 1.0


class SharedBlobs(BlobStore):
    """A folder as `BlobStore` has it, and the table `blob`. On a connection of its own, made when first needed."""

    def __init__(self, folder: Path, address: Address) -> None:
        super().__init__(folder)
        self._address = address
        self._link: Link | None = None
        self._linking = threading.Lock()

    def put(self, data: bytes) -> str:
        """As `BlobStore.put`; durable in both places before this returns. Raises DraftRefused, and as `_asked`."""
        if len(data) > LARGEST:
            raise DraftRefused(
                f"a blob of {len(data):,} bytes is too large for {self._address}, which takes {LARGEST:,}",
                hint="put it in pieces.",
            )
        digest = super().put(data)
        self._asked(lambda link: link.execute(_PUT, [digest, data]))
        return digest

    def get(self, digest: str) -> bytes:
        """As `BlobStore.get`; from Postgres where it is not here, and kept. Raises as `_asked`, too."""
        try:
            return super().get(digest)
        except BlobMissing:
            row = self._asked(lambda link: link.execute(_GET, [digest], binary=True).fetchone())
        if row is None:
            raise BlobMissing(
                f"blob {digest} is neither in {self.folder} nor in {self._address}",
                hint="restore it from a copy; `daybreak ledger verify` lists the events that need it.",
            )
        data = bytes(row[0])
        if sha256(data).hexdigest() != digest:
            raise BlobDamaged(
                f"blob {digest} in {self._address} holds other bytes than were put there",
                hint="restore it from a copy; what it said is no longer known here.",
            )
        super().put(data)
        return data

    def has(self, digest: str) -> bool:
        return super().has(digest) or self._asked(lambda link: link.execute(_HAS, [digest]).fetchone()) is not None

    def bring(self) -> int:
        """What other homes put there, one at a time. Raises BlobDamaged, and as `_asked`."""
        brought, last = 0, ""
        while page := self._page(last):
            for digest in page:
                if not super().has(digest):
                    self.get(digest)
                    brought += 1
            last = page[-1]
        return brought

    def _page(self, after: str) -> list[str]:
        rows = self._asked(lambda link: link.execute(_PAGE, [after]).fetchall())
        return [str(digest) for (digest,) in rows]

    def close(self) -> None:
        with self._linking:
            if self._link is not None:
                self._link.close()
                self._link = None

    def _asked(self, work: Callable[[Link], Any]) -> Any:
        """What it gives; asked again, on another connection, where one was lost or cannot be made, for `BUSY_S`. Each
        question may be repeated. Raises LedgerBusy, PostgresUnusable."""
        end_s, pause_s = time.monotonic() + BUSY_S, _PAUSE_S
        while True:
            try:
                with self._linking:
                    return self._ask(work)
            except ConnectionLost as lost:
                if time.monotonic() + pause_s > end_s:
                    raise LedgerBusy(
                        f"the ledger's Postgres {self._address} cannot be reached: {lost.why}",
                        hint="nothing was written; see that the server runs, then try again.",
                    ) from lost
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MOST_S)

    def _ask(self, work: Callable[[Link], Any]) -> Any:
        if self._link is None:
            try:
                self._link = connect(self._address)
            except PostgresUnusable as error:
                raise ConnectionLost(error.message) from error
        try:
            return work(self._link)
        except psycopg.Error as error:
            if not is_lost(self._link, error):
                raise unusable(self._address, error) from None
            self._link.close()
            self._link = None
            raise ConnectionLost(said(self._address, error)) from None
