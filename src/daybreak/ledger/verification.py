"""Checks a whole ledger, which may be broken in any way, without writing to it.

What can be noticed depends on what is known: the database alone (the key named in its own first event), the
verification key, the head kept outside. Each finding is a `Problem` that names the place; nothing here raises for
bytes on disk, whatever they are.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from daybreak.errors import DaybreakError
from daybreak.ledger import database, keyfile
from daybreak.ledger.archive.checking import ArchiveCheck
from daybreak.ledger.beginning import Beginning
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.chaincheck import ChainCheck
from daybreak.ledger.crew import Crew, helpers_for
from daybreak.ledger.findings import Problem, Verification
from daybreak.ledger.keycheck import KeyCheck
from daybreak.ledger.lineage import LineageCheck
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.rangecheck import RANGE, Place, structure
from daybreak.ledger.references import BlobsOf, References, name_of
from daybreak.ledger.rowpages import RowPages
from daybreak.ledger.rows import Rows
from daybreak.ledger.subjects import SubjectKeys
from daybreak.ledger.treecheck import TreeCheck
from daybreak.ledger.verified import VerifiedHead
from daybreak.ledger.viewcheck import ViewCheck
from daybreak.ledger.views import View, Views
from daybreak.ledger.witness import Witness

__all__ = ["Problem", "Verification", "verify"]


def verify(
    directory: Path,
    *,
    keys: Path | None,
    witness: Path | None,
    views: Sequence[View] = (),
    blobs: BlobsOf | None = None,
    progress: Callable[[int, int], None] | None = None,
    archives: Sequence[Path] = (),
    helpers: int | None = None,
    verified: VerifiedHead | None = None,
    incremental: bool = False,
) -> Verification:
    """Check every event, hash, chain, tile, the head, the witness, the database's own rules, and `views`.

    `keys` and `witness` may be None: then less can be noticed (an outsider who has only the database). What is sealed
    for a subject is opened where its key is in `keys`; where it was forgotten, the rest is checked all the same.
    `blobs` gives the digests that a record refers to; payloads kept as blobs are always checked.
    `progress` is called with (events checked, events in all) now and then. What was pruned is read from its archive,
    which is looked for in the folders `archives` first. `helpers`: so many other processes check parts of it meanwhile
    (None: as this machine has processors for, of a large ledger only); what is found does not depend on it.

    `verified` is a head that an earlier check came to (`homecheck` keeps it): the ledger must still begin with it. With
    `incremental` the check begins behind it, and reads what is new: events, their blobs and archives, the last older
    event of each stream that has new ones, and so many tiles as the tree has levels. Not looked at then: older rows and
    tiles, SQLite's own check of its pages, the rows of `views`. A head that the ledger does not begin with is a
    problem, and nothing more is checked.
    """
    started = time.perf_counter()
    result = Verification(since=verified if incremental else None)
    verifier = _key(keys, result)
    path = directory / database.FILE
    kept = Views(views)
    outside = None if witness is None else Witness(witness)
    told = None if outside is None else _told(outside, result)  # before the ledger is looked at, which may grow
    if path.is_file():
        try:
            connection = _connect(path)
        except apsw.Error as error:
            result.add(str(path), f"cannot be opened: {error}")
        else:
            try:
                check = _Check(result, connection, BlobStore(directory / database.BLOBS), verifier, kept, archives)
                check.subjects = None if keys is None else SubjectKeys(keys, witness)
                check.folders, check.helpers = (keys, witness), helpers
                check.verified, check.incremental = verified, incremental and verified is not None
                check.run(blobs, progress, outside, told)
            finally:
                connection.close()
    else:
        result.add(str(path), "is not there")
        if outside is not None and told is not None and verifier is not None:
            _judge(outside, told, verifier, result)
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


def _told(witness: Witness, result: Verification) -> str | None:
    """What is kept outside. Never ahead of a ledger that is whole and is looked at afterwards."""
    try:
        text = witness.text()
    except DaybreakError as error:
        result.add("witness", error.message)
        return None
    if text is None:
        result.add("witness", f"there is no head at {witness.path}")
    return text


def _judge(witness: Witness, told: str, verifier: Verifier, result: Verification) -> Checkpoint | None:
    try:
        head = witness.opened(told, verifier)
    except DaybreakError as error:
        result.add("witness", error.message)
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
        archives: Sequence[Path] = (),
    ) -> None:
        self.result = result
        self.connection = connection
        self.blobs = blobs
        self.rows = Rows(connection, blobs, archives=archives)
        self.archives = ArchiveCheck(connection, self.rows, blobs, result.add)
        self.views = views
        self.subjects: SubjectKeys | None = None
        self.folders: tuple[Path | None, Path | None] = (None, None)
        """Of the keys and of the witness."""
        self.helpers: int | None = None
        self.verified: VerifiedHead | None = None
        self.incremental = False
        """Behind that one."""
        self.keys = KeyCheck(self.rows, verifier, self._ask, result.add)

    def run(
        self,
        blobs: BlobsOf | None,
        progress: Callable[[int, int], None] | None,
        witness: Witness | None,
        told: str | None,
    ) -> None:
        self._ask("database", "BEGIN")
        self._rules()
        noted = len(self.result.problems)
        self.keys.first()
        head = self.keys.head()
        if head is not None:
            self.result.size, self.result.head = head.size, head.text
        outside = None
        if witness is not None and told is not None and self.keys.verifier is not None:
            outside = _judge(witness, told, self.keys.verifier, self.result)
        tree = TreeCheck(self._tile, self.result.add, outside.size if outside else -1)
        keys = self.keys
        lineage = LineageCheck(keys.verifier, keys.created, keys.first_of, keys.history_of, self.result.add)
        beginning = self._beginning()
        if self.incremental and not (beginning and self._begin(beginning, tree, lineage, outside)):
            return
        with self._crew(lineage, blobs, outside) as crew:
            self._events(tree, lineage, crew, blobs, progress, beginning if self.incremental else None)
            if not self.incremental:
                self._structure(crew.structure(), noted)
        tree.finish(self._tiles(tree))
        self._compare(tree, head, outside)
        self._rest(beginning)

    def _rest(self, beginning: Beginning | None) -> None:
        """What stands beside the events."""
        if beginning is not None and not self.incremental:
            self._goes_on(beginning)
        self.archives.table("" if self.keys.created is None else self.keys.created.origin, self.result.taken)
        self._forgotten()
        views = ViewCheck(self.connection, self.rows, self.views, self._ask, self.result.add)
        views.run(compare=not self.archives.lost and not self.incremental)

    # -- what an earlier check came to

    def _beginning(self) -> Beginning | None:
        if self.verified is None:
            return None
        return Beginning(self.connection, self.rows, self.verified, self.result.size, self.result.add)

    def _begin(self, beginning: Beginning, tree: TreeCheck, lineage: LineageCheck, outside: Checkpoint | None) -> bool:
        """Go behind it with everything; False, and it was said, where that is not possible."""
        head = beginning.head(self.keys.verifier)
        edge = None if head is None else beginning.edge(head)
        if head is None or edge is None:
            return False
        tree.begin(edge)
        if outside is not None and outside.size < head.size:
            tree.root_at_stop = beginning.root(outside.size)
        lineage.begin(head.size)
        return True

    def _goes_on(self, beginning: Beginning) -> None:
        """After everything was checked: does the ledger begin with what an earlier check came to?"""
        if self.keys.verifier is None:
            return
        try:
            beginning.edge(beginning.verified.open(self.keys.verifier))
        except NoteError as error:
            self.result.notes.append(f"the verified head that was kept before is not of this ledger: {error}")

    def _tiles(self, tree: TreeCheck) -> list[tuple[Any, ...]]:
        """(level, number) of those that the check was to see."""
        if not self.incremental:
            return self._ask("table tile", "SELECT level, n FROM tile ORDER BY level, n")
        found = []
        for level in range(8):
            sql = "SELECT level, n FROM tile WHERE level = ? AND n >= ? ORDER BY n"
            found += self._ask("table tile", sql, level, tree.first_tile(level))
        return found

    def _crew(self, lineage: LineageCheck, blobs: BlobsOf | None, outside: Checkpoint | None) -> Crew:
        """Those who help."""
        size = self.result.size  # as signed; where fewer are there, nobody says that a range is whole
        asked = "" if blobs is None else name_of(blobs)
        helpers = helpers_for(size) if self.helpers is None else self.helpers
        if self._immutable() or (blobs is not None and not asked):
            helpers = 0  # they could not do what is to be done
        if self.incremental:
            helpers = 0  # there is little to do
        ends = [*self.keys.roots, *([] if outside is None else [outside.size])]

        def key_of(start: int, end: int) -> str | None:
            """None too where somebody wants to know the root inside the range."""
            return None if any(start <= at <= end for at in ends) else lineage.key_over(start, end)

        keys, witness = (None if folder is None else os.fspath(folder) for folder in self.folders)
        place = Place(
            self.connection.filename, os.fspath(self.blobs.folder), keys, witness, asked, list(sys.path), RANGE
        )
        return Crew(place, size, key_of, helpers)

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
            ("user_version", database.FORMAT),
            ("journal_mode", "wal"),
            ("encoding", "UTF-8"),
        ):
            for (value,) in self._ask("database header", f"PRAGMA {name}"):
                if name == "user_version" and value in range(1, database.FORMAT):
                    continue  # an earlier program's, whose rules are checked as such
                if value != expected and not (name == "journal_mode" and self._immutable()):
                    self.result.add("database header", f"{name} is {value!r}, not {expected!r}")
        for (value,) in self._ask("database header", "PRAGMA application_id"):
            if value not in (database.APPLICATION_ID, database.MIRROR_ID):
                self.result.add("database header", f"application_id is {value!r}, not {database.APPLICATION_ID!r}")
        try:
            for problem in database.schema_problems(self.connection):
                self.result.add("schema", problem)
        except (apsw.Error, UnicodeDecodeError) as error:
            self.result.add("schema", f"cannot be read: {error}")

    def _immutable(self) -> bool:
        return self.connection.filename.startswith("file:") or "immutable" in str(self.connection.db_filename("main"))

    def _structure(self, lines: list[str] | None, at: int) -> None:
        """SQLite's own check, unless somebody has asked already. It is told before what was found in events."""
        if lines is None:
            try:
                lines = structure(self.connection)
            except (apsw.Error, UnicodeDecodeError) as error:
                lines = [f"cannot be read: {error}"]
        self.result.problems[at:at] = [Problem("database", line) for line in lines]

    # -- events

    def _events(
        self,
        tree: TreeCheck,
        lineage: LineageCheck,
        crew: Crew,
        blobs: BlobsOf | None,
        progress: Callable[[int, int], None] | None,
        beginning: Beginning | None,
    ) -> None:
        chain = ChainCheck(lineage.keys, self.blobs, self.result.add, self.subjects, self.result.taken)
        references = None if blobs is None else References(blobs, self.blobs)

        def tell() -> None:
            if progress is not None:
                progress(chain.expected, self.result.size)  # as signed: only to say how far the check has come

        def further(after: int) -> int:
            """Behind the ranges that somebody else found whole."""
            while crew.helps and chain.expected == tree.size == after + 1:
                answer = crew.due(after + 1)
                if answer is None or not chain.join(answer.begins, answer.ends, crew.range):
                    break
                tree.join(answer.subtrees)
                after += crew.range
                tell()
            return after

        for page in RowPages(self.connection, self.result.add).read(self.result.taken, further):
            if beginning is not None:
                chain.tips |= beginning.tips({row[1] for row in page} - chain.tips.keys())
            rows, hashes = self.archives.page(chain, chain.readable(page))
            self._extend(tree, hashes)
            lineage.extend(hashes)
            if references is not None:
                for where, what in references.missing(rows, chain.headers, hashes):
                    self.result.add(where, what)
            tell()
        lineage.finish()
        self.result.events = chain.events
        self.result.streams = len(chain.tips)

    def _extend(self, tree: TreeCheck, hashes: list[bytes]) -> None:
        """With a look at the root wherever the key was rotated."""
        for size in [size for size in self.keys.roots if tree.size <= size < tree.size + len(hashes)]:
            before = size - tree.size
            tree.extend(hashes[:before])
            if tree.root() != self.keys.roots[size]:
                self.result.add(f"event {size}", f"hands over to another key after {size} other events than these")
            hashes = hashes[before:]
        tree.extend(hashes)

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
