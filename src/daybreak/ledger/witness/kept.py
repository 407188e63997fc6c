"""What witnesses have said about a ledger's heads, kept beside the head file, outside of the ledger.

    kept/<hash of the ledger's name>/cosigned/<size>.note        signed heads with the cosignatures of witnesses
                                     stamps/<size>-<witness>.note and .tsr   stamped heads and their RFC 3161 answers
                                     standing/<witness>.json     how each witness stands

Every head among it is signed by the ledger's own key, so each is one more that the ledger is compared with at start.
What lies here can be removed by whoever may write here; it can be forged by nobody without the keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from daybreak.clock import stamp
from daybreak.host.durable import make_folder, write_synced
from daybreak.ledger.files import locked
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.witness import cosigning, wire
from daybreak.ledger.witness.statement import Statement

COSIGNED_MAX = 64
STAMPS_MAX = 4096
"""So many are kept, the newest."""
_DIGITS = 16
_NOTE = re.compile(r"([0-9]{16})(?:-([a-z][a-z0-9_-]{0,40}))?\.note")
State = Literal["new", "well", "failing", "contradicts"]
"""new: it was never reached. contradicts: it says that the ledger was cut or rewritten."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a witness stands."""

    name: str
    kind: str
    where: str = ""
    """A witness of the same name elsewhere is another one."""
    size: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Events that it has witnessed."""
    head: str = ""
    """The signed head of those."""
    at: str = ""
    """When, by the witness's own clock where it says so."""
    state: State = "new"
    since: str = ""
    """Since when it is in this state."""
    why: str = ""
    code: str = ""
    """Of the last error."""
    failures: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Tries in a row that failed."""
    told: bool = False
    """The log says that it lapsed, and not yet that it came back."""

    @property
    def counts(self) -> int:
        """Events that it vouches for: none where it says that the ledger was cut or rewritten."""
        return 0 if self.state == "contradicts" else self.size


class Kept:
    """The files of one ledger. Several processes may use them."""

    def __init__(self, folder: Path, verifier: Verifier) -> None:
        """`folder`: that of the head file. Makes nothing before there is something to keep."""
        self._verifier = verifier
        self.folder = folder / "kept" / wire.origin_hash(verifier.origin)[:32]

    # -- what they said

    def put(self, name: str, said: Statement) -> None:
        """On disk. Raises OSError."""
        if said.token:
            self._put(self.folder / "stamps", f"{said.size:0{_DIGITS}}-{name}", said.note, said.token, STAMPS_MAX)
        elif said.note:
            self._put(self.folder / "cosigned", f"{said.size:0{_DIGITS}}", said.note, b"", COSIGNED_MAX)

    def _put(self, folder: Path, stem: str, note: str, token: bytes, most: int) -> None:
        make_folder(folder)
        with locked(folder / "lock"):
            path = folder / f"{stem}.note"
            if token:
                write_synced(path.with_suffix(".tsr"), token, mode=0o644)
            elif path.exists():
                note = _joined(path, note)
            write_synced(path, note.encode(), mode=0o644)
            for old in sorted(folder.glob("*.note"))[:-most]:
                old.with_suffix(".tsr").unlink(missing_ok=True)
                old.unlink()

    def highest(self) -> Checkpoint | None:
        """The highest head that any witness was shown and that is signed by the ledger's key."""
        heads = [self._opened(one.head) for one in self.standings().values() if one.head]
        for name in ("cosigned", "stamps"):
            heads.append(next((head for path in self._newest(name) if (head := self._read(path)) is not None), None))
        return max((head for head in heads if head is not None), key=lambda head: head.size, default=None)

    def cosigned(self) -> Iterator[Checkpoint]:
        """Heads with cosignatures in their text, the newest first. Whose they are was checked when they came."""
        yield from (head for path in self._newest("cosigned") if (head := self._read(path)) is not None)

    def stamps(self) -> list[Path]:
        """The answers of time stamp servers, the newest first; beside each the head, with `.note` for `.tsr`."""
        return [path.with_suffix(".tsr") for path in self._newest("stamps")]

    def head_of(self, stamp: Path) -> Checkpoint | None:
        """The head that this answer of a time stamp server is about; None where it cannot be read."""
        return self._read(stamp.with_suffix(".note"))

    def _newest(self, name: str) -> list[Path]:
        folder = self.folder / name
        return sorted((path for path in folder.glob("*.note") if _NOTE.fullmatch(path.name)), reverse=True)

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            return self._opened(path.read_text("utf-8"))
        except (FileNotFoundError, UnicodeDecodeError):  # pruned meanwhile, or damaged: it says nothing
            return None

    def _opened(self, note: str) -> Checkpoint | None:
        """None for one that this key did not sign: it proves nothing about this ledger."""
        try:
            return self._verifier.open(note)
        except (NoteError, ValueError):
            return None

    # -- how they stand

    def standings(self) -> dict[str, Standing]:
        """By name. A file that cannot be read counts as none: asking the witness makes it again."""
        found = {}
        for path in sorted((self.folder / "standing").glob("*.json")):
            try:
                standing = msgspec.json.decode(path.read_bytes(), type=Standing)
                _check_moment(standing.at)
                _check_moment(standing.since)
            except (OSError, msgspec.MsgspecError, ValueError, OverflowError):
                continue
            found[standing.name] = standing
        return found

    def stand(self, standing: Standing, *, lower: bool = False) -> Standing:
        """On disk; what is there now is given back: `told` stays, and the larger size that another process may have
        written, unless the witness itself has shown less (`lower`). Raises OSError."""
        with self._standing(standing) as present:
            if present is not None:
                standing = msgspec.structs.replace(standing, told=present.told)
                if present.size > standing.size and not lower:
                    standing = msgspec.structs.replace(standing, size=present.size, head=present.head, at=present.at)
            self._write(standing)
        return standing

    def tell(self, standing: Standing, *, told: bool) -> None:
        """That its lapse, or that it came back, is in the log. Raises OSError."""
        with self._standing(standing) as present:
            self._write(msgspec.structs.replace(present or standing, told=told))

    @contextmanager
    def _standing(self, standing: Standing) -> Iterator[Standing | None]:
        """What the last process wrote of the same witness, while nobody else writes."""
        folder = self.folder / "standing"
        make_folder(folder)
        with locked(folder / "lock"):
            present = self.standings().get(standing.name)
            yield present if present is not None and present.where == standing.where else None

    def _write(self, standing: Standing) -> None:
        path = self.folder / "standing" / f"{standing.name}.json"
        write_synced(path, msgspec.json.encode(standing), mode=0o644)


def said(before: Standing, head: Checkpoint, statement: Statement, now: str) -> Standing:
    """After the witness took a head."""
    newer = statement.size >= before.size
    return msgspec.structs.replace(
        before,
        size=max(before.size, statement.size),
        head=head.text if newer and statement.size == head.size else before.head,
        at=stamp(statement.at),
        state="well",
        since=before.since if before.state == "well" else now,
        why="",
        code="",
        failures=0,
    )


def _check_moment(text: str) -> None:
    """Raises ValueError, OverflowError for what is no moment that `stamp` wrote, or cannot be shown."""
    if text:
        moment = datetime.fromisoformat(text)
        moment.astimezone()
        if stamp(moment) != text:
            raise ValueError(text)


def _joined(path: Path, note: str) -> str:
    """With what other witnesses have signed already; of one that signed it twice the newer one stays."""
    try:
        return cosigning.joined(path.read_text("utf-8"), note)
    except (
        NoteError,
        UnicodeDecodeError,
    ):  # damaged, or of another head of this size: the newer one is the checked one
        return note
