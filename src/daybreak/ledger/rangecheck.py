"""Checks ranges of events, of which it says one thing only: that nothing in them is wrong. Part of `verification`.

A range is checked without those before it. So what its streams had come to where it begins is taken from their first
events in it, and told: whoever knows it compares. Of a range in which anything is not as it should be nothing is said.
It is checked again where all of it can be said, so that findings are the same whoever checked first.

As a program it does this for another process: jobs come in, answers go out, until there are no more jobs.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import IO, Any

import apsw
import msgspec

from daybreak.errors import DaybreakError
from daybreak.ledger import database
from daybreak.ledger.admission import Tip
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.chaincheck import ChainCheck
from daybreak.ledger.references import References, named
from daybreak.ledger.sealing import Subjects
from daybreak.ledger.subjects import SubjectKeys
from daybreak.ledger.tiles import WIDTH
from daybreak.ledger.tree import fold

RANGE = 32 * WIDTH
"""Events in a range: whole tiles, and a twentieth of a second."""
PAGE = 2 * WIDTH
"""Rows at once; with many more, they do not stay in the processor's cache."""
COLUMNS = "leaf, stream, seq, gen, idem, header, payload"
_BROKEN = (DaybreakError, apsw.Error, msgspec.MsgspecError, UnicodeDecodeError, OSError, ValueError, TypeError)


class Place(msgspec.Struct):
    """What is checked, and what it is checked with."""

    database: str
    blobs: str
    keys: str | None
    witness: str | None
    blobs_of: str
    """Who says what blobs a record refers to (`references.name_of`); empty where nobody is asked."""
    path: list[str]
    """Where modules are looked for by who asks."""
    range: int = RANGE
    """Events in a range: a multiple of `PAGE`."""


class Job(msgspec.Struct):
    """The range that begins with event `start`, or all pages and indexes of the file where that is None."""

    start: int | None
    key: str | None = None
    """The id of the key that each of its headers must name."""


class Answer(msgspec.Struct):
    """What was found of a job."""

    whole: bool
    """Nothing is wrong in the range; otherwise the rest is empty."""
    begins: dict[str, Tip] = {}
    """How the streams in it must stand where it begins."""
    ends: dict[str, Tip] = {}
    """And where it ends."""
    subtrees: list[bytes] = []
    """The hash over each tile."""
    lines: list[str] = []
    """Of the file: what SQLite says."""


class RangeCheck:
    """Checks ranges through one connection."""

    def __init__(
        self,
        connection: apsw.Connection,
        blobs: BlobStore,
        subjects: Subjects | None,
        references: References | None = None,
        length: int = RANGE,
    ) -> None:
        """`length`: events in a range."""
        self._length = length
        self._connection = connection
        self._blobs = blobs
        self._subjects = subjects
        self._references = references

    def answer(self, job: Job) -> Answer:
        """Never raises for what is on disk."""
        try:
            return self._structure() if job.start is None else self._range(job.start, job.key)
        except _BROKEN:
            return Answer(False)

    def _structure(self) -> Answer:
        return Answer(True, lines=structure(self._connection))

    def _range(self, start: int, key: str | None) -> Answer:
        problems: list[str] = []
        chain = ChainCheck(
            lambda leaves: [key] * len(leaves),
            self._blobs,
            lambda where, _: problems.append(where),
            self._subjects,
            start,
        )
        subtrees = []
        for first in range(start, start + self._length, PAGE):
            rows: list[Any] = self._connection.execute(
                f"SELECT {COLUMNS} FROM event WHERE leaf >= ? AND leaf < ? ORDER BY leaf", (first, first + PAGE)
            ).fetchall()
            hashes = chain.page(rows := chain.readable(rows))
            if problems or len(hashes) != PAGE:
                return Answer(False)
            if self._references is not None and self._references.missing(rows, chain.headers, hashes):
                return Answer(False)
            for at in range(0, PAGE, WIDTH):
                tile = b"".join(hashes[at : at + WIDTH])
                if self._tile((first + at) // WIDTH) != tile:
                    return Answer(False)
                subtrees.append(fold(tile))
        return Answer(True, chain.assumed, chain.tips, subtrees)

    def _tile(self, number: int) -> object:
        row = self._connection.execute("SELECT hashes FROM tile WHERE level = 0 AND n = ?", (number,)).fetchone()
        return None if row is None else row[0]


def structure(connection: apsw.Connection) -> list[str]:
    """What SQLite's own check says of pages, cells, and indexes against their tables; nothing where all is well."""
    found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(100)")]
    return [line for line in found if line != "ok"]


# -- the program


def send(pipe: IO[bytes], message: msgspec.Struct) -> None:
    data = msgspec.msgpack.encode(message)
    pipe.write(len(data).to_bytes(4, "big") + data)
    pipe.flush()


def receive(pipe: IO[bytes], kind: type[Any]) -> Any:
    """The next message; None where there is none, or only a part of one."""
    length = pipe.read(4)
    if len(length) < 4:
        return None
    wanted = int.from_bytes(length, "big")
    data = pipe.read(wanted)
    return msgspec.msgpack.decode(data, type=kind) if len(data) == wanted else None


def main(jobs: IO[bytes], answers: IO[bytes]) -> None:
    place = receive(jobs, Place)
    if place is None:
        return
    keys, witness = (None if folder is None else Path(folder) for folder in (place.keys, place.witness))
    subjects, blobs = None if keys is None else SubjectKeys(keys, witness), BlobStore(Path(place.blobs))
    sys.path[:] = place.path
    references = References(named(place.blobs_of), blobs) if place.blobs_of else None
    connection = database.connect_reader(Path(place.database))
    try:
        check = RangeCheck(connection, blobs, subjects, references, place.range)
        while (job := receive(jobs, Job)) is not None:
            send(answers, check.answer(job))
    finally:
        connection.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):  # who asked has gone
        main(sys.stdin.buffer, sys.stdout.buffer)
