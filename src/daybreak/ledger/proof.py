"""Makes proofs from a ledger's folder: reads only, needs no signing key, and disturbs nobody who appends.

A proof that does not check is never handed out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import apsw
import msgspec

from daybreak.errors import LedgerError, LedgerForked, LedgerMissing, LedgerStopped, LedgerTampered
from daybreak.events import LedgerCreated
from daybreak.ledger import bundle, database, rotation, rows, sealing
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.bundle import Bundle, Disclosed, Entry, Handover, Keys, Link, Older
from daybreak.ledger.keyring import Keyring
from daybreak.ledger.note import Checkpoint, Verifier
from daybreak.ledger.proofcheck import NotIncluded, check_order, check_proof, open_checkpoint
from daybreak.ledger.record import Header, decode_header
from daybreak.ledger.sealing import Subjects
from daybreak.ledger.tiles import TileReader
from daybreak.ledger.tree import EMPTY_ROOT, Subtree, consistency_proof, inclusion_proof, remembered

Chain = int | Literal["all", "auto"]
"""How many of the events before it in its stream go with an event: that many, all, or all if they are few."""

CHAIN_AUTO = 1000
"""`auto`: the whole beginning of a stream where it is no longer than this, else nothing of it."""

_PLACE = re.compile(r"(?P<index>[0-9]{1,16})|(?P<stream>[!-~]{1,200})#(?P<seq>[0-9]{1,16})|(?P<id>[!-~]{1,200})")
_STRETCH = 32_768
"""Events that are looked through at once for an id."""


class _State(NamedTuple):
    """The file as one read transaction sees it."""

    head: Checkpoint
    tiles: TileReader
    subtree: Subtree
    """Of `tiles`, remembered: events share most of their paths."""


class _Wish(NamedTuple):
    """What goes with each event."""

    newest: Checkpoint
    """The checkpoint to prove in."""
    chain: Chain
    payloads: bool
    withhold: bool
    disclose: Subjects | None
    """Has the keys of what is sealed, where that is to be disclosed."""


_VERIFY = "stop using it and run `daybreak ledger verify`, which names every place; then restore a copy."


_LEAVE = "leave --disclose away; the event can be proved all the same."


class NothingToDisclose(LedgerError):
    """The event is not sealed, or nobody here can open it."""

    code = "L174"


class EventUnknown(LedgerError):
    """No event has that index, place or id."""

    code = "L149"


def prove(
    directory: Path,
    verifier: Verifier,
    events: Sequence[int | str] = (),
    *,
    chain: Chain = "auto",
    payloads: bool = False,
    withhold: bool = False,
    older: str | None = None,
    at: str | None = None,
    disclose: Subjects | None = None,
) -> Bundle:
    """A proof from the ledger in `directory`; what it takes and raises stands at `Prover.prove` and `Prover.find`."""
    with Prover(directory, verifier) as prover:
        found = [event if isinstance(event, int) else prover.find(event) for event in events]
        return prover.prove(
            found, chain=chain, payloads=payloads, withhold=withhold, older=older, at=at, disclose=disclose
        )


def find_ledger(directory: Path) -> Path:
    """The database in a ledger's folder. Raises LedgerMissing."""
    path = directory / database.FILE
    if not path.is_file():
        raise LedgerMissing(f"there is no ledger at {path}", hint="check DAYBREAK_HOME, or run something first.")
    return path


class Prover:
    """A ledger's folder, open for proofs. One thread at a time; other processes may append meanwhile."""

    def __init__(self, directory: Path, verifier: Verifier) -> None:
        """`verifier`: the ledger's public key. Raises LedgerMissing, LedgerForeign, LedgerTampered."""
        self.path = find_ledger(directory)
        self.verifier = Keyring.of(verifier)
        """Grows to all keys that the ledger had, if the given one is among them."""
        with rows.readable(self.path):
            self._connection = _connect(self.path)
        try:
            with rows.readable(self.path):
                database.check_format(self._connection, self.path)
        except BaseException:
            self._connection.close()
            raise
        self._rows = rows.Rows(self._connection, BlobStore(directory / database.BLOBS))
        self._head = Checkpoint(verifier.origin, 0, EMPTY_ROOT, "")
        """The last one whose signature was checked."""
        self._subtrees: dict[tuple[int, int], bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    # -- which event

    def find(self, name: str, progress: Callable[[int, int], None] | None = None) -> int:
        """The index of the event called `name`: its index, STREAM#SEQ, or its id. Raises EventUnknown.

        An id is looked for in every header (about a second per million events); `progress` hears how far it is.
        """
        parts = _PLACE.fullmatch(name)
        with rows.readable(self.path):
            size = self._rows.last_leaf() + 1
            if parts is None:
                raise _unknown(f"{name[:80]!r} names no event")
            if parts["index"]:
                index = int(parts["index"])
                if index >= size:
                    raise _unknown(f"there is no event {index}: the ledger holds {size}, from 0 on")
                return index
            if parts["stream"]:
                sql = "SELECT leaf FROM event WHERE stream = ? AND seq = ?"
                found = self._leaves(sql, parts["stream"], int(parts["seq"]))
            else:
                found = list(self._with_id(parts["id"], size, progress))
        if len(found) != 1:
            raise _unknown(f"{'no event is' if not found else f'{len(found)} events are'} called {name!r}")
        return found[0]

    def _with_id(self, name: str, size: int, progress: Callable[[int, int], None] | None) -> Iterator[int]:
        sought = b'"id":' + msgspec.json.encode(name)  # no text inside a header reads so: its quotes are escaped
        for start in range(0, size, _STRETCH):
            if progress is not None:
                progress(start, size)
            yield from self._rows.with_text(sought, start, start + _STRETCH)

    def _leaves(self, sql: str, *parameters: int | str) -> list[int]:
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, parameters).fetchall()
        return [int(leaf) for (leaf,) in rows]

    # -- proofs

    def prove(
        self,
        events: Sequence[int] = (),
        *,
        chain: Chain = "auto",
        payloads: bool = False,
        withhold: bool = False,
        older: str | None = None,
        at: str | None = None,
        disclose: Subjects | None = None,
    ) -> Bundle:
        """That these events (by index) are in the log, and that it continues `older`.

        chain: how much of each event's stream before it goes with it, as headers; with `payloads` their payloads too.
        `auto` means nothing where there are several events. withhold: the events' own payloads stay out.
        older, at: signed notes; `at` is proved in instead of the newest head, for somebody who knows that one.
        disclose: of the events that are sealed for a subject, also what they say, with the salt that shows it; the keys
        are taken from there (`subjects.SubjectKeys`). Without it a proof of them shows that they were, and no secret.
        Raises EventUnknown, NothingToDisclose, NotIncluded (the event is newer than `at`), NotContinued, ProofTooLarge,
        ProofByAnother,
        LedgerForked (a checkpoint is not one of this ledger), LedgerTampered, BlobMissing, BlobDamaged.
        """
        if len(events) > bundle.EVENTS_MAX:
            raise bundle.ProofTooLarge(
                f"{len(events)} events do not fit into one proof", hint=f"at most {bundle.EVENTS_MAX} do."
            )
        if len(events) > 1 and chain == "auto":
            chain = 0
        with self._reading() as state:
            newest = state.head if at is None else self._own(at, state, "the checkpoint to prove in")
            continued = None if older is None else self._older(older, newest, state)
            wish, room = _Wish(newest, chain, payloads, withhold, disclose), _Room()
            entries = [self._entry(index, state, wish, room) for index in events]
            made = Bundle(newest.text, bundle.FORMAT, entries, continued, self._keys(newest, state))
        check_proof(made, [self.verifier])
        return made

    def inclusion_proof(self, index: int) -> tuple[Checkpoint, list[bytes]]:
        """The newest signed head, and the path that shows event `index` in it. Raises EventUnknown, LedgerTampered."""
        with self._reading() as state:
            self._check_index(index, state)
            return state.head, inclusion_proof(index, state.head.size, state.subtree)

    def consistency_proof(self, old: int) -> tuple[Checkpoint, list[bytes]]:
        """The newest signed head, and the path that shows that it continues the tree of `old` events.

        Raises EventUnknown where there are fewer, LedgerTampered.
        """
        with self._reading() as state:
            if old != state.head.size:
                self._check_index(old, state)
            return state.head, consistency_proof(old, state.head.size, state.subtree)

    def head(self) -> Checkpoint:
        """The newest signed head in the file. Raises LedgerTampered, ProofByAnother, ProofChanged."""
        with self._reading() as state:
            return state.head

    @contextmanager
    def _reading(self) -> Iterator[_State]:
        with rows.readable(self.path):
            self._connection.execute("BEGIN")
            try:
                stored = self._rows.head()
                if stored is None:
                    raise LedgerTampered(f"{self.path} has no signed head", hint=_VERIFY)
                if stored[1] != self._head.text:
                    self._learn()
                    self._head, _ = open_checkpoint(stored[1], [self.verifier], f"the signed head of {self.path}")
                head = self._head
                tiles = TileReader(head.size, lru_cache(64)(self._rows.tile), self._rows.leaf_hashes)
                yield _State(head, tiles, remembered(tiles.subtree, self._subtrees))
            except LookupError as error:
                raise LedgerTampered(f"{self.path}: {error}", hint=_VERIFY) from error
            finally:
                self._connection.execute("COMMIT")

    def _learn(self) -> None:
        """The ledger's keys may have changed."""
        first = next(iter(self._rows.page(-1, 1)), None)
        if first is not None and isinstance(first.event, LedgerCreated):
            self.verifier.learn(rotation.read(self._rows, first.event))

    def _keys(self, newest: Checkpoint, state: _State) -> Keys | None:
        """What tells the keys from one another; None where there has only been one."""
        history = self.verifier.history
        if not history.rotations:
            return None
        handovers = []
        for rotated in history.rotations:
            path = consistency_proof(min(rotated.size, newest.size), max(rotated.size, newest.size), state.subtree)
            handovers.append(Handover(rotated, [bundle.to_base64(node) for node in path]))
        return Keys(history.first, handovers, list(history.revocations))

    def _own(self, text: str, state: _State, what: str) -> Checkpoint:
        """A signed note that is one of this ledger's heads."""
        found, _ = open_checkpoint(text, [self.verifier], what)
        if found.size > state.head.size:
            raise LedgerForked(
                f"{what} is of {found.size} events, the ledger holds {state.head.size}",
                hint="the ledger was cut short, or an old copy was put back: run `daybreak ledger verify`.",
            )
        if state.tiles.root(found.size) != found.root:
            raise LedgerForked(
                f"{what} is not one of this ledger: its first {found.size} events have another root",
                hint="two histories were signed: keep the checkpoint and run `daybreak ledger verify`.",
            )
        return found

    def _older(self, text: str, newest: Checkpoint, state: _State) -> Older:
        before = self._own(text, state, "the older checkpoint")
        check_order(before, newest)
        path = consistency_proof(before.size, newest.size, state.subtree)
        return Older(text, [bundle.to_base64(node) for node in path])

    def _entry(self, index: int, state: _State, wish: _Wish, room: _Room) -> Entry:
        self._check_index(index, state)
        if index >= wish.newest.size:
            raise NotIncluded(
                f"event {index} is newer than the checkpoint of {wish.newest.size} events",
                hint="prove it in a newer one, or leave `--at` away.",
            )
        link = self._link(index, with_payload=not wish.withhold)
        header = decode_header(link.header)
        room.take(link)
        before = self._chain(header.stream, header.seq, wish, room)
        path = [bundle.to_base64(node) for node in inclusion_proof(index, wish.newest.size, state.subtree)]
        disclosed = None
        if wish.disclose is not None:
            disclosed = self._disclosed(index, header, wish.disclose)
            room.take(Link("", disclosed.payload))
        return Entry(link.header, index, path, before, link.payload, link.payload_base64, disclosed)

    def _disclosed(self, index: int, header: Header, subjects: Subjects) -> Disclosed:
        if header.commit is None:
            raise NothingToDisclose(f"event {index} is not sealed: what it says stands in its payload", hint=_LEAVE)
        box = subjects.find(sealing.key_of(header.commit))
        if box is None:
            raise NothingToDisclose(f"what event {index} said was forgotten, or its key is not here", hint=_LEAVE)
        opened = box.open(self._rows.page(index - 1, 1)[0].payload)
        return Disclosed(opened.payload.decode(), bundle.to_base64(opened.salt))

    def _check_index(self, index: int, state: _State) -> None:
        if not 0 <= index < state.head.size:
            raise _unknown(f"there is no event {index}: the ledger holds {state.head.size}, from 0 on")

    def _chain(self, stream: str, seq: int, wish: _Wish, room: _Room) -> list[Link]:
        """What goes with it of its stream before `seq`, oldest first."""
        if wish.chain == "auto":
            count = seq if seq <= CHAIN_AUTO else 0
        else:
            count = seq if wish.chain == "all" else wish.chain
        sql = "SELECT leaf FROM event WHERE stream = ? AND seq >= ? AND seq < ? ORDER BY seq"
        links = []
        for leaf in self._leaves(sql, stream, max(0, seq - count), seq):
            link = self._link(leaf, with_payload=wish.payloads)
            room.take(link)
            links.append(link)
        return links

    def _link(self, leaf: int, *, with_payload: bool) -> Link:
        """The stored bytes, checked to belong together where the payload is among them."""
        if with_payload:
            for record in self._rows.page(leaf - 1, 1):
                return bundle.link(record.header, record.payload)
        for (header,) in self._connection.execute("SELECT header FROM event WHERE leaf = ?", (leaf,)):
            try:
                header = header or self._rows.header(leaf)
                decode_header(header)
                return bundle.link(header, None)
            except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, AttributeError) as error:
                raise LedgerTampered(f"the header of event {leaf} cannot be read: {error}", hint=_VERIFY) from error
        raise LedgerTampered(f"event {leaf} is missing", hint=_VERIFY)


class _Room:
    """Counts what goes into a proof, so that one that cannot be written is given up early."""

    def __init__(self) -> None:
        self._left = bundle.BUNDLE_BYTES

    def take(self, link: Link) -> None:
        """Raises ProofTooLarge."""
        self._left -= len(link.header) + len(link.payload or link.payload_base64 or "")
        if self._left < 0:
            raise bundle.too_large()


def _connect(path: Path) -> apsw.Connection:
    """Read-only; a copy on a medium that cannot be written is read as a file that does not change."""
    try:
        connection = database.connect_reader(path)
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    except (apsw.CantOpenError, apsw.ReadOnlyError) as error:
        log = Path(f"{path}-wal")
        if log.exists() and log.stat().st_size:
            raise LedgerStopped(
                f"{path} cannot be opened here, and {log.name} beside it holds events: {error}",
                hint="copy both to a folder that can be written, and prove from there.",
            ) from error
        name = f"file:{str(path).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?immutable=1"
        connection = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    return connection


def _unknown(what: str) -> EventUnknown:
    return EventUnknown(
        what,
        hint="name it by its index, STREAM#SEQ or its id, as `daybreak ledger show --json` gives them.",
    )
