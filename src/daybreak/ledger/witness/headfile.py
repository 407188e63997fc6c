"""The highest head known outside the database.

A file in another folder holds the last signed checkpoint. It follows the ledger within a second, never leads it
(it is written only after the commit), and is never lowered. Writing it costs one fsync per half second while
events come in, on a thread of its own, none per commit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from daybreak.errors import LedgerError, LedgerForked, WitnessBroken
from daybreak.host.durable import replace_at, write_synced
from daybreak.ledger.files import locked
from daybreak.ledger.note import Checkpoint, NoteError, Signer, Verifier
from daybreak.ledger.tree import EMPTY_ROOT

FILE = "head"
LOCK = "lock"
INTERVAL_S = 0.5


class Witness:
    """The file. Several processes may raise it."""

    def __init__(self, folder: Path, owner: tuple[int, int] | None = None) -> None:
        """`owner`: user and group that root gives the file to, in a folder where nobody else may put anything."""
        self.path = folder / FILE
        self.lock = folder / LOCK
        self._owner = owner

    def exists(self) -> bool:
        return self.path.exists()

    def read(self, verifier: Verifier) -> Checkpoint | None:
        """None where there is none. Raises WitnessBroken where it cannot be read or is not by this key."""
        text = self.text()
        return None if text is None else self.opened(text, verifier)

    def text(self) -> str | None:
        """As it is there, not yet believed; None where there is none. Raises WitnessBroken."""
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (UnicodeDecodeError, OSError) as error:
            raise self._broken(error) from error

    def opened(self, text: str, verifier: Verifier) -> Checkpoint:
        """A text that was read here. Raises WitnessBroken."""
        try:
            return verifier.open(text)
        except NoteError as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> WitnessBroken:
        return WitnessBroken(
            f"the head kept outside at {self.path} cannot be used: {error}",
            hint="somebody changed it or the key; put both back, or start a new ledger from a copy.",
        )

    def start(self, signer: Signer) -> None:
        """The head of the empty tree, for a ledger that is about to be made; the caller holds the lock."""
        write_synced(self.path, signer.sign(0, EMPTY_ROOT).text.encode(), mode=0o644)

    def raise_to(self, head: Checkpoint, verifier: Verifier) -> None:
        """On disk: at least this head. Raises LedgerForked for another root of the same size, WitnessBroken."""
        try:
            with locked(self.lock):
                present = self.read(verifier)
                if present is not None and present.size == head.size and present.root != head.root:
                    raise LedgerForked(
                        f"two histories of {head.size} events: the witness {self.path} holds another root",
                        hint="stop; two copies of this ledger are being written. Keep the witnessed one.",
                    )
                if present is None or present.size < head.size:
                    self._write(head.text.encode())
        except OSError as error:
            raise WitnessBroken(
                f"the head kept outside at {self.path} cannot be written: {error}",
                hint="make room or correct the folder's rights, then open the ledger again.",
            ) from error

    def _write(self, data: bytes) -> None:
        if self._owner is None:
            write_synced(self.path, data, mode=0o644)
            return
        owner = self._owner

        def fill(descriptor: int) -> None:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.fchown(descriptor, *owner)  # before it has its name: nothing is given away by a name

        replace_at(self.path.parent, self.path.name, fill, 0o644)


class Keeper:
    """Raises the witness in the background, at most `INTERVAL_S` after a commit."""

    def __init__(self, witness: Witness, verifier: Verifier, failed: Callable[[LedgerError], None]) -> None:
        """`failed` is called once, from the keeper's thread, when the witness can no longer be written."""
        self._witness = witness
        self._verifier = verifier
        self._failed = failed
        self._latest: Checkpoint | None = None
        self._written: Checkpoint | None = None
        self._news = threading.Event()
        self._closing = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ledger-witness", daemon=True)
        self._thread.start()

    def tell(self, head: Checkpoint) -> None:
        """A commit is durable."""
        self._latest = head
        if not self._news.is_set():
            self._news.set()

    def sync(self) -> None:
        """Returns when the witness holds the last head that was told. Raises WitnessBroken, LedgerForked."""
        with self._writing:
            head = self._latest
            if head is not None and head is not self._written:
                self._witness.raise_to(head, self._verifier)
                self._written = head

    def close(self) -> None:
        """Ends the thread; does not sync."""
        self._closing.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._news.wait()
            if self._closing.wait(INTERVAL_S):
                return
            self._news.clear()
            try:
                self.sync()
            except LedgerError as error:
                self._failed(error)
                return
