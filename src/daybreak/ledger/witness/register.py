"""What a witness remembers of each log, and the one rule by which it signs: never two histories.

A folder holds one file for each log: the last checkpoint that was cosigned, with the cosignature. Under a lock that
the kernel frees at death, a request is compared with it, the new one is synced in its place, and only then is the
cosignature given out. So a crash at any moment loses an answer, never the memory of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path

from daybreak.clock import Clock
from daybreak.errors import LedgerError
from daybreak.host.durable import make_folder, write_synced
from daybreak.ledger.files import locked
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.tree import EMPTY_ROOT, verify_consistency
from daybreak.ledger.witness import cosigning, wire
from daybreak.ledger.witness.cosigning import Cosigner


class RegisterBroken(LedgerError):
    """What the witness remembers cannot be read, or is not signed as it was left: it signs nothing."""

    code = "L186"


class Declined(Exception):
    """The answer to a request that is not granted: a status and a body, as the protocol says."""

    def __init__(self, status: HTTPStatus, body: str, content_type: str = "text/plain; charset=utf-8") -> None:
        super().__init__(body)
        self.status, self.body, self.content_type = status, body, content_type


class Register:
    """The memory of one witness. Several processes may share the folder."""

    def __init__(self, folder: Path, cosigner: Cosigner, logs: Sequence[Verifier], clock: Clock) -> None:
        """`logs`: the public keys of the logs that are witnessed; several of one name count alike.
        Raises OSError, RegisterBroken where a file of the folder is not as this witness left it."""
        self._folder = folder
        self._cosigner = cosigner
        self._clock = clock
        self._logs: dict[str, list[Verifier]] = {}
        for log in logs:
            self._logs.setdefault(log.origin, []).append(log)
        make_folder(folder)
        for origin in self._logs:
            self.last(origin)

    @property
    def origins(self) -> list[str]:
        return list(self._logs)

    def add(self, data: bytes) -> str:
        """The cosignature, a line of a note, for the checkpoint in a request; it is remembered, on disk, before.

        Raises Declined, RegisterBroken, OSError: then nothing was signed.
        """
        request, head = self._understood(data)
        with self._locked(head.origin):
            last = self.last(head.origin)
            self._compare(request, head, last)
            line = self._cosigner.sign(head.text, self._clock.now())
            write_synced(self._file(head.origin), f"{head.text}{line}".encode(), mode=0o644)
        return line

    def last(self, origin: str) -> Checkpoint | None:
        """The last checkpoint of that log that was cosigned; its text has the cosignature. Raises RegisterBroken."""
        path = self._file(origin)
        try:
            text = path.read_text("utf-8")
            if self._cosigner.key.find(text) is None:
                raise NoteError("it is not cosigned by this witness's key")
            head = self._opened(text, self._logs[origin])
            return Checkpoint(head.origin, head.size, head.root, text)
        except FileNotFoundError:
            return None
        except (NoteError, UnicodeDecodeError, OSError) as error:
            raise RegisterBroken(
                f"what the witness remembers of {origin} cannot be used ({path}): {error}",
                hint="put the file back from a copy, and the log's old key to the others. Never remove it: the witness "
                "would sign another history.",
            ) from error

    def by_hash(self, name: str) -> Checkpoint | None:
        """The last one of the log with that hash of its name. Raises RegisterBroken."""
        return next((self.last(origin) for origin in self._logs if wire.origin_hash(origin) == name), None)

    def _understood(self, data: bytes) -> tuple[wire.AddCheckpoint, Checkpoint]:
        try:
            request = wire.read(data)
        except wire.RequestMalformed as error:
            raise Declined(HTTPStatus.BAD_REQUEST, f"{error}\n") from error
        origin = request.note.partition("\n")[0]
        keys = self._logs.get(origin)
        if keys is None:
            raise Declined(HTTPStatus.NOT_FOUND, "this log is not known here\n")
        try:
            head = self._opened(request.note, keys)
        except NoteError as error:
            raise Declined(HTTPStatus.FORBIDDEN, f"the checkpoint: {error}\n") from error
        if request.old > head.size:
            raise Declined(HTTPStatus.BAD_REQUEST, "the old size is larger than the checkpoint's\n")
        return request, head

    @staticmethod
    def _opened(note: str, keys: Sequence[Verifier]) -> Checkpoint:
        """With the signature of the log alone: what strangers signed beside it is not kept. Raises NoteError."""
        problem = NoteError("it is not signed")
        for key in keys:
            try:
                head = key.open(note)
            except (NoteError, ValueError) as error:
                problem = NoteError(str(error))
                continue
            return Checkpoint(head.origin, head.size, head.root, _alone(note, key))
        raise problem

    @staticmethod
    def _compare(request: wire.AddCheckpoint, head: Checkpoint, last: Checkpoint | None) -> None:
        """Raises Declined unless the checkpoint continues the last one."""
        size, root = (0, EMPTY_ROOT) if last is None else (last.size, last.root)
        known = Declined(HTTPStatus.CONFLICT, f"{size}\n", wire.SIZE_TYPE)
        if request.old != size:
            raise known
        if request.old == head.size and root != head.root:
            raise known
        if not verify_consistency(size, head.size, root, head.root, request.proof):
            raise Declined(
                HTTPStatus.UNPROCESSABLE_ENTITY, "the proof does not lead from the last checkpoint to this\n"
            )

    def _file(self, origin: str) -> Path:
        return self._folder / f"{wire.origin_hash(origin)}.note"

    def _locked(self, origin: str) -> AbstractContextManager[None]:
        return locked(self._folder / f"{wire.origin_hash(origin)}.lock")


def _alone(note: str, key: Verifier) -> str:
    """The note with no signatures but those by this name; the text is what was signed."""
    text = cosigning.body(note)
    ours = [line for line in note[len(text) + 1 :].splitlines(keepends=True) if line.startswith(f"— {key.origin} ")]
    return f"{text}\n{''.join(ours)}"
