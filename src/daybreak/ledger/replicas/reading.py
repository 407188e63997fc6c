"""Reads a replica back and checks it, with nothing but the verification key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple, TypeVar

import msgspec

from daybreak.errors import DaybreakError
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.record import BLOB_BYTES, Record, decode_header, record_of
from daybreak.ledger.replicas import layout
from daybreak.ledger.replicas.problems import ReplicaDamaged
from daybreak.ledger.replicas.target import Target
from daybreak.ledger.tiles import HASH, WIDTH, Edge, TileRow
from daybreak.ledger.tree import leaf_hash

PROBLEMS_MAX = 100
"""Findings listed; further ones are counted."""

T = TypeVar("T")

Refers = Callable[[Record], Iterable[str]]
"""The digests of the blobs that a record names."""

Progress = Callable[[int, int], None]
"""(events read, events in all)"""

_HINT = "look at the target's disk; move what is there away and it is filled anew, or use another replica."


class Part(NamedTuple):
    """Up to 256 events, each as it was signed: headers with their leaf hashes, and the payloads that they name."""

    first: int
    headers: list[bytes]
    hashes: list[bytes]
    payloads: list[bytes]


@dataclass(slots=True)
class Checked:
    """What is wrong with a replica: nothing, if `ok`."""

    target: str
    size: int
    root: str
    """In hex, as signed."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """(file, what)"""
    more: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems

    def add(self, path: str, what: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append((path, what))
        else:
            self.more += 1


def damaged(target: Target, path: str, what: str) -> ReplicaDamaged:
    return ReplicaDamaged(f"the replica {target.name}: {path} {what}", hint=_HINT)


def head(target: Target, verifier: Verifier) -> Checkpoint:
    """The signed one. Raises ReplicaDamaged where there is none, or none by this key; ReplicaLost, OSError."""
    data = target.read(layout.CHECKPOINT)
    if data is None:
        raise damaged(target, layout.CHECKPOINT, "is not there")
    try:
        return verifier.open(data.decode())
    except (NoteError, UnicodeDecodeError) as error:
        raise damaged(target, layout.CHECKPOINT, f"is not signed as it should be: {error}") from error


class Reader:
    """The files of one replica, as of one size."""

    def __init__(self, target: Target, size: int) -> None:
        self.target = target
        self.size = size

    def parts(self) -> Iterator[int]:
        """Numbers of the tiles of level 0, the partial one too."""
        return iter(range((self.size + WIDTH - 1) // WIDTH))

    def part(self, n: int) -> Part:
        """Raises ReplicaDamaged, naming the first file of it that is not as it should be."""
        width = min(WIDTH, self.size - n * WIDTH)
        name = layout.entries(n, width)
        headers = self._bundle(name, layout.entries(n), width, layout.unpack_entries)
        hashes = self.tile(0, n, width)
        found: list[bytes] = []
        for at, header in enumerate(headers):
            leaf = hashes[at * HASH : (at + 1) * HASH]
            if not header:
                header = self._file(layout.header(leaf))
            if leaf_hash(header) != leaf:
                raise damaged(self.target, name, f"does not hold event {n * WIDTH + at} as it is in the tree")
            found.append(header)
        payloads = self._payloads(n, width, found)
        return Part(n * WIDTH, found, [hashes[at : at + HASH] for at in range(0, width * HASH, HASH)], payloads)

    def _payloads(self, n: int, width: int, headers: list[bytes]) -> list[bytes]:
        name = layout.payloads(n, width)
        found = []
        inline = self._bundle(name, layout.payloads(n), width, layout.unpack_payloads)
        for at, (raw, payload) in enumerate(zip(headers, inline, strict=True)):
            try:
                digest = decode_header(raw).payload
            except msgspec.MsgspecError as error:
                raise damaged(self.target, name, f"belongs to a header that cannot be read: {error}") from error
            if payload is None:
                payload = self.blob(digest)
            elif sha256(payload).hexdigest() != digest:
                raise damaged(self.target, name, f"does not hold the payload of event {n * WIDTH + at} that was signed")
            found.append(payload)
        return found

    def tile(self, level: int, n: int, width: int) -> bytes:
        """Hashes of a level. Raises ReplicaDamaged where they are not so many."""
        data = self._read(layout.tile(level, n, width), layout.tile(level, n))[: width * HASH]
        if len(data) != width * HASH:
            raise damaged(self.target, layout.tile(level, n, width), "is cut short")
        return data

    def blob(self, digest: str) -> bytes:
        """Raises ReplicaDamaged where it is missing or other bytes."""
        path = layout.blob(digest)
        data = self._file(path)
        if sha256(data).hexdigest() != digest:
            raise damaged(self.target, path, "holds other bytes than its name says")
        return data

    def _file(self, path: str) -> bytes:
        data = self.target.read(path)
        if data is None:
            raise damaged(self.target, path, "is not there")
        return data

    def _read(self, path: str, full: str) -> bytes:
        """The partial file, or the full one that has taken its place since."""
        data = None if path == full else self.target.read(path)
        return self._file(full) if data is None else data

    def _bundle(self, path: str, full: str, width: int, unpack: Callable[[bytes], list[T]]) -> list[T]:
        try:
            found = unpack(self._read(path, full))
        except ValueError as error:
            raise damaged(self.target, path, f"cannot be read: {error}") from error
        if len(found) < width or (path == full and len(found) > width):
            raise damaged(self.target, path, f"holds {len(found)} events, not {width}")
        return found[:width]


def check(
    target: Target, verifier: Verifier, *, refers: Refers | None = None, progress: Progress | None = None
) -> Checked:
    """Every file that the checkpoint covers: entries, payloads, tiles, root; with `refers` (the blobs that a record
    names) those too. Changes nothing. Raises ReplicaDamaged where there is no signed checkpoint; ReplicaLost, OSError.
    """
    signed = head(target, verifier)
    result, reader, edge = Checked(target.name, signed.size, signed.root.hex()), Reader(target, signed.size), Edge()
    for n in reader.parts():
        try:
            part = reader.part(n)
            _compare(reader, edge.extend(part.hashes), result, lowest=1)
            if refers is not None:
                _check_blobs(reader, part, refers, result)
        except ReplicaDamaged as problem:
            result.add(layout.entries(n), problem.message)
            if not _go_on(reader, edge, n):
                return result
        if progress is not None:
            progress(min(signed.size, (n + 1) * WIDTH), signed.size)
    _compare(reader, edge.partials(), result, lowest=0)
    if edge.root() != signed.root:
        result.add(layout.CHECKPOINT, f"its root over {signed.size} events is not that of the entries")
    return result


def _go_on(reader: Reader, edge: Edge, n: int) -> bool:
    """Past a part that is damaged, by its tile: the others can be looked at all the same, where that is there."""
    width = min(WIDTH, reader.size - n * WIDTH)
    if edge.size > n * WIDTH:
        return True  # only what came after its hashes was wrong
    try:
        hashes = reader.tile(0, n, width)
    except ReplicaDamaged:
        return False
    edge.extend([hashes[at : at + HASH] for at in range(0, len(hashes), HASH)])
    return True


def _compare(reader: Reader, rows: list[TileRow], result: Checked, *, lowest: int) -> None:
    """Tiles that are full at this size (those that grow on are looked at when they are), or all at the end."""
    for level, n, hashes in rows:
        width = len(hashes) // HASH
        if level < lowest or (lowest and width < WIDTH):
            continue
        try:
            stored = reader.tile(level, n, width)
        except ReplicaDamaged as problem:
            result.add(layout.tile(level, n, width), problem.message)
        else:
            if stored != hashes:
                result.add(layout.tile(level, n, width), "does not hold the hashes of the entries")


def _check_blobs(reader: Reader, part: Part, refers: Refers, result: Checked) -> None:
    for at, (raw, leaf, payload) in enumerate(zip(part.headers, part.hashes, part.payloads, strict=True)):
        for digest in referred(part.first + at, raw, leaf, payload, refers):
            try:
                reader.blob(digest)
            except ReplicaDamaged as problem:
                result.add(f"event {part.first + at}", problem.message)


def referred(index: int, raw: bytes, leaf: bytes, payload: bytes, refers: Refers) -> list[str]:
    """What an event names; nothing where it is sealed, or of a shape that this version does not know."""
    record = record_of(index, decode_header(raw), raw, payload, leaf)
    if record.redacted:
        return []
    try:
        return list(refers(record))
    except DaybreakError:
        return []


def is_blob(payload: bytes) -> bool:
    """Does a ledger keep it beside its events?"""
    return len(payload) > BLOB_BYTES
