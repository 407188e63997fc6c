"""Checks a whole ledger, which may be broken in any way, without writing to it.

What can be noticed depends on what is known: the database alone (the key named in its own first event), the
verification key, the head kept outside. Each finding is a `Problem` that names the place; nothing here raises for
bytes on disk, whatever they are.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from daybreak.errors import DaybreakError
from daybreak.events import LedgerCreated
from daybreak.ledger import database, keyfile, rotation
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.chaincheck import ChainCheck, Row
from daybreak.ledger.keyring import KeyHistory, Keyring, root_of
from daybreak.ledger.lineage import LineageCheck
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.record import Record, decode_header, place
from daybreak.ledger.rows import Rows
from daybreak.ledger.subjects import SubjectKeys
from daybreak.ledger.treecheck import TreeCheck
from daybreak.ledger.views import View, Views, stored_objects
from daybreak.ledger.witness import Witness

PROBLEMS_MAX = 1000
"""Findings listed; further ones are counted."""

_PAGE = 1024
_COLUMNS = "leaf, stream, seq, gen, idem, header, payload"


class Problem(NamedTuple):
    """One thing that is not as it should be."""

    place: str
    """Table, stream, seq, event index, tile or file."""
    what: str


@dataclass(slots=True)
class Verification:
    """What a whole-ledger check found. `ok` means: nothing."""

    problems: list[Problem] = field(default_factory=list)
    more: int = 0
    """Problems beyond those listed."""
    events: int = 0
    """Events read and checked."""
    streams: int = 0
    size: int = 0
    """Events that the signed head covers; 0 where there is none that can be read."""
    root: str = ""
    """Root over the events read, in hex."""
    witnessed: int | None = None
    """Size of the head known outside; None where there is none or it was not asked for."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds if self.seconds else 0.0

    def add(self, where: str, what: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(where, what))
        else:
            self.more += 1


def verify(
    directory: Path,
    *,
    keys: Path | None,
    witness: Path | None,
    views: Sequence[View] = (),
    blobs: Callable[[Record], Iterable[str]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Check every event, hash, chain, tile, the head, the witness, the database's own rules, and `views`.

    `keys` and `witness` may be None: then less can be noticed (an outsider who has only the database). What is sealed
    for a subject is opened where its key is in `keys`; where it was forgotten, the rest is checked all the same.
    `blobs` gives the digests that a record refers to; payloads kept as blobs are always checked.
    `progress` is called with (events checked, events in all) now and then.
    """
    started = time.perf_counter()
    result = Verification()
    verifier = _key(keys, result)
    path = directory / database.FILE
    kept = Views(views)
    if path.is_file():
        try:
            connection = _connect(path)
        except apsw.Error as error:
            result.add(str(path), f"cannot be opened: {error}")
        else:
            try:
                check = _Check(result, connection, BlobStore(directory / database.BLOBS), verifier, kept)
                check.subjects = None if keys is None else SubjectKeys(keys, witness)
                check.run(blobs, progress, None if witness is None else Witness(witness))
            finally:
                connection.close()
    else:
        result.add(str(path), "is not there")
        if witness is not None and verifier is not None:
            _read_witness(Witness(witness), verifier, result)
    result.seconds = time.perf_counter() - started
    return result


def _key(keys: Path | None, result: Verification) -> Verifier | None:
    if keys is None:
        return None
    try:
        return keyfile.with_history(keys, keyfile.load_verifier(keys))
    except DaybreakError as error:
        result.add("key", error.message)
    except OSError as error:
        result.add("key", str(error))
    return None


def _connect(path: Path) -> apsw.Connection:
    """Read-only; where not even the shared memory beside the file can be made, as an unchanging file."""
    try:
        connection = database.connect_reader(path)
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        if Path(f"{path}-wal").exists():
            raise
        name = f"file:{os.fspath(path).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?immutable=1"
        connection = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError):
        return database.connect_reader(path)
    return connection


def _read_witness(witness: Witness, verifier: Verifier, result: Verification) -> Checkpoint | None:
    try:
        head = witness.read(verifier)
    except DaybreakError as error:
        result.add("witness", error.message)
        return None
    if head is None:
        result.add("witness", f"there is no head at {witness.path}")
        return None
    result.witnessed = head.size
    if head.size > result.size:
        result.add(
            "witness",
            f"{head.size} events were known outside, the ledger holds {result.size}: "
            "it was cut short, or an old copy was put back",
        )
    return head


class _Check:
    """One run over one database, inside one read transaction."""

    def __init__(
        self,
        result: Verification,
        connection: apsw.Connection,
        blobs: BlobStore,
        verifier: Verifier | None,
        views: Views,
    ) -> None:
        self.result = result
        self.connection = connection
        self.blobs = blobs
        self.rows = Rows(connection, blobs)
        self.verifier = verifier
        self.views = views
        self.subjects: SubjectKeys | None = None
        self.roots: dict[int, bytes] = {}
        """What the rotations of the key say of the tree: size -> root."""
        self.created: LedgerCreated | None = None

    def run(
        self,
        blobs: Callable[[Record], Iterable[str]] | None,
        progress: Callable[[int, int], None] | None,
        witness: Witness | None,
    ) -> None:
        self._ask("database", "BEGIN")
        self._rules()
        self._structure()
        self._first()
        head = self._head()
        self.result.size = head.size if head else 0
        outside = _read_witness(witness, self.verifier, self.result) if witness and self.verifier else None
        tree = TreeCheck(self._tile, self.result.add, outside.size if outside else -1)
        self._events(tree, blobs, progress)
        tree.finish(self._ask("table tile", "SELECT level, n FROM tile ORDER BY level, n"))
        self._compare(tree, head, outside)
        self._forgotten()
        self._views()

    def _ask(self, where: str, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """All rows, or a problem and none."""
        try:
            return self.connection.execute(sql, params).fetchall()
        except (apsw.Error, UnicodeDecodeError) as error:
            self.result.add(where, f"cannot be read: {error}")
            return []

    # -- the database's own rules

    def _rules(self) -> None:
        for name, expected in (
            ("application_id", database.APPLICATION_ID),
            ("user_version", database.FORMAT),
            ("journal_mode", "wal"),
            ("encoding", "UTF-8"),
        ):
            for (value,) in self._ask("database header", f"PRAGMA {name}"):
                if value != expected and not (name == "journal_mode" and self._immutable()):
                    self.result.add("database header", f"{name} is {value!r}, not {expected!r}")
        try:
            for problem in database.schema_problems(self.connection):
                self.result.add("schema", problem)
        except (apsw.Error, UnicodeDecodeError) as error:
            self.result.add("schema", f"cannot be read: {error}")

    def _immutable(self) -> bool:
        return self.connection.filename.startswith("file:") or "immutable" in str(self.connection.db_filename("main"))

    def _structure(self) -> None:
        """SQLite's own check: pages, cells, indexes against their tables."""
        for (line,) in self._ask("database", "PRAGMA integrity_check(100)"):
            if line != "ok":
                self.result.add("database", str(line))

    def _first(self) -> None:
        """The key that the ledger itself names; with no other known, the one to check with."""
        for header, payload in self._ask("table event, event 0", "SELECT header, payload FROM event WHERE leaf = 0"):
            try:
                if not isinstance(header, bytes) or decode_header(header).type != LedgerCreated.type:
                    raise NoteError("it is not ledger.created")
                created = msgspec.json.decode(payload if isinstance(payload, bytes) else b"", type=LedgerCreated)
                named = Verifier.parse(created.public_key)
                if named.origin != created.origin:
                    raise NoteError("its origin is not its key's")
            except (msgspec.MsgspecError, NoteError, UnicodeDecodeError) as error:
                self.result.add("event 0", f"does not name the ledger's key: {error}")
                return
            self.created = created
            self._keys(created, named)
            return
        self.result.add("event 0", "is not there: the ledger does not say whose it is")

    def _keys(self, created: LedgerCreated, named: Verifier) -> None:
        """All keys that the ledger had. Whichever of them is known, the others are vouched for by it."""
        try:
            history = self._history_of(created, 0)
        except NoteError as error:
            self.result.add("stream keys", str(error))
            history = Keyring.of(named).history
        known = Keyring.of(self.verifier or named)
        before = known.history
        if not known.learn(history):
            self.result.add("event 0", f"names the key {named.text}, the ledger's key is {known.text}")
            return
        if known.history.rotations != history.rotations:
            self.result.add("stream keys", "does not know of a rotation of the key that is known outside")
        elif not set(before.revocations) <= set(history.revocations):
            self.result.add("stream keys", "does not know of a revocation that is known outside")
        self.verifier = known
        self.roots = {rotated.size: root_of(rotated) for rotated in history.rotations}

    def _history_of(self, created: LedgerCreated, start: int) -> KeyHistory:
        """Raises NoteError."""
        try:
            return rotation.read(self.rows, created, start)
        except (DaybreakError, msgspec.MsgspecError, apsw.Error, UnicodeDecodeError, OSError) as error:
            raise NoteError(f"what it says of the keys cannot be used: {error}") from error

    def _first_of(self, leaf: int) -> LedgerCreated | None:
        """The first event of an older log that this one goes on from; None where there is none that can be read."""
        for row in self._ask(f"event {leaf}", "SELECT leaf, header, payload FROM event WHERE leaf = ?", leaf):
            try:
                event = self.rows.record(*row)[0].event
            except (DaybreakError, msgspec.MsgspecError, UnicodeDecodeError, OSError):
                return None  # reported with the event
            return event if isinstance(event, LedgerCreated) else None
        return None

    def _head(self) -> Checkpoint | None:
        rows = self._ask("table head", "SELECT one, size, note FROM head")
        if len(rows) != 1:
            self.result.add("table head", f"holds {len(rows)} signed heads, not 1")
            return None
        one, size, note = rows[0]
        if self.verifier is None:
            self.result.add("table head", "cannot be checked: no key is known")
            return None
        try:
            head = self.verifier.open(str(note))
        except NoteError as error:
            self.result.add("table head", f"is not signed as it should be: {error}")
            return None
        if head.size != size or one != 1:
            self.result.add("table head", f"row {one!r} says {size!r} events, {head.size} were signed")
        return head

    # -- events

    def _events(
        self,
        tree: TreeCheck,
        blobs: Callable[[Record], Iterable[str]] | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        last = self.result.size - 1  # as signed: only to say how far the check has come
        lineage = LineageCheck(self.verifier, self.created, self._first_of, self._history_of, self.result.add)
        chain = ChainCheck(lineage.keys, self.blobs, self.result.add, self.subjects)
        for page in self._pages():
            rows = chain.readable(page)
            hashes = chain.page(rows)
            self._extend(tree, hashes)
            lineage.extend(hashes)
            if blobs is not None:
                self._referred(rows, blobs)
            if progress is not None:
                progress(chain.expected, last + 1)
        lineage.finish()
        self.result.events = chain.events
        self.result.streams = len(chain.tips)

    def _extend(self, tree: TreeCheck, hashes: list[bytes]) -> None:
        """With a look at the root wherever the key was rotated."""
        for size in [size for size in self.roots if tree.size <= size < tree.size + len(hashes)]:
            before = size - tree.size
            tree.extend(hashes[:before])
            if tree.root() != self.roots[size]:
                self.result.add(f"event {size}", f"hands over to another key after {size} other events than these")
            hashes = hashes[before:]
        tree.extend(hashes)

    def _pages(self) -> Iterator[list[Row]]:
        """All rows that can be read, by leaf. Ends, whatever the file's pages point at."""
        after: int | None = -1
        while after is not None:
            try:
                rows: list[Any] = self.connection.execute(
                    f"SELECT {_COLUMNS} FROM event WHERE leaf > ? ORDER BY leaf LIMIT ?", (after, _PAGE)
                ).fetchall()
            except (apsw.Error, UnicodeDecodeError):
                rows = self._one_by_one(after + 1, after + _PAGE)
                following = self._after(after + _PAGE)
            else:
                following = rows[-1][0] if rows else None
            if rows:
                yield rows
            if following is not None and following <= after:
                self.result.add("table event", f"its rows behind event {after} are not in order")
                return
            after = following

    def _after(self, leaf: int) -> int | None:
        """The leaf before the next row that can be found behind this one."""
        for (found,) in self._ask("table event", "SELECT min(leaf) FROM event WHERE leaf > ?", leaf):
            return None if found is None else int(found) - 1
        return None

    def _one_by_one(self, start: int, end: int) -> list[Any]:
        """Where a page cannot be read: whatever events of it can be. Neighbours that cannot are named together."""
        found: list[Any] = []
        broken: list[tuple[int, str]] = []
        for leaf in range(start, end + 1):
            try:
                found += self.connection.execute(f"SELECT {_COLUMNS} FROM event WHERE leaf = ?", (leaf,)).fetchall()
            except (apsw.Error, UnicodeDecodeError) as error:
                broken.append((leaf, str(error)))
        for _, run in groupby(enumerate(broken), key=lambda pair: pair[1][0] - pair[0]):
            leaves = [entry for _, entry in run]
            which = f"event {leaves[0][0]}" if len(leaves) == 1 else f"events {leaves[0][0]} to {leaves[-1][0]}"
            self.result.add(f"table event, {which}", f"cannot be read: {leaves[0][1]}")
        return found

    def _referred(self, rows: list[Row], blobs: Callable[[Record], Iterable[str]]) -> None:
        """The blobs that events name."""
        for leaf, stream, seq, _, _, raw, payload in rows:
            try:
                wanted = list(blobs(self.rows.record(leaf, raw, payload)[0]))
            except (DaybreakError, msgspec.MsgspecError, UnicodeDecodeError, OSError):
                continue  # the event itself was reported
            for digest in wanted:
                try:
                    self.blobs.get(digest)
                except (DaybreakError, OSError) as error:
                    self.result.add(place(leaf, stream, seq), f"refers to what is not as it was: {error}")

    def _tile(self, level: int, number: int) -> object:
        """The stored hashes, None where there are none."""
        where = f"table tile, tile {number} of level {level}"
        rows = self._ask(where, "SELECT hashes FROM tile WHERE level = ? AND n = ?", level, number)
        return rows[0][0] if rows else None

    def _compare(self, tree: TreeCheck, head: Checkpoint | None, outside: Checkpoint | None) -> None:
        """The signed heads, inside and outside, with the events."""
        size, root = tree.size, tree.root()
        self.result.root = root.hex()
        if head is not None:
            if head.size != size:
                self.result.add("table head", f"covers {head.size} events, {size} are there")
            elif head.root != root:
                self.result.add("table head", f"its root over {size} events is not that of the events")
        if outside is not None and outside.size <= size and tree.root_at_stop != outside.root:
            self.result.add("witness", f"the first {outside.size} events are not those that were known outside")

    def _forgotten(self) -> None:
        """No subject that was forgotten has its key here."""
        if self.subjects is None or not self.subjects.concern():
            return
        try:
            gone = {*self.subjects.buried(), *self.rows.forgotten()}
            for key in self.subjects.all():
                if key in gone:
                    self.result.add("keys", f"the subject key {key} is here, although its subject was forgotten")
        except (DaybreakError, apsw.Error, OSError) as error:
            self.result.add("keys", f"the keys of subjects cannot be looked at: {error}")

    # -- views

    def _views(self) -> None:
        rows = self._ask("table view", "SELECT name, version, tables, behind FROM view")
        names: set[str] = set()
        mine = {view.name: view for view in self.views.all}
        behind = set()
        for name, version, tables, late in rows:
            try:
                names |= set(json.loads(tables))
            except (ValueError, TypeError):
                self.result.add(f"table view, {name}", "its list of tables cannot be read")
            if name in mine and version != mine[name].version:
                behind.add(name)  # an older one is rebuilt by whoever opens the ledger next
                if version > mine[name].version:
                    older = f"is kept in version {version}, this program has {mine[name].version}"
                    self.result.add(f"view {name}", older)
            if late is not None:
                behind.add(name)
        try:
            stored = stored_objects(self.connection)
        except (apsw.Error, UnicodeDecodeError):
            return  # reported with the schema
        for name in stored:
            if name.startswith("view_") and name not in names:
                self.result.add("schema", f"{name} belongs to no view")
        kept = {row[0] for row in rows}
        for view in self.views.all:
            if view.name in kept and view.name not in behind:
                self._compare_view(view)

    def _compare_view(self, view: View) -> None:
        try:
            for difference in Views([view]).compare(self.connection, self.rows.all()):
                self.result.add(f"view {difference.view}, table {difference.table}", difference.what)
        except (DaybreakError, apsw.Error, msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
            self.result.add(f"view {view.name}", f"cannot be rebuilt and compared: {error}")
