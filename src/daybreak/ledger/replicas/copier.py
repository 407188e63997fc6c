"""Brings one target up to the ledger: everything that is new, then the checkpoint. Without threads.

The order is what makes it safe to be killed anywhere: payloads and blobs, the entries that name them, the tiles over
those, and only then the checkpoint that counts. What is there already and says the same is passed over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from daybreak.errors import BlobDamaged, BlobMissing, LedgerBehind, LedgerForked, LedgerTampered
from daybreak.host.durable import make_folder
from daybreak.ledger.files import locked
from daybreak.ledger.note import Checkpoint
from daybreak.ledger.replicas import layout
from daybreak.ledger.replicas.layout import Claim
from daybreak.ledger.replicas.problems import Conflict, ReplicaDamaged
from daybreak.ledger.replicas.source import Leaf, Source
from daybreak.ledger.replicas.target import Target
from daybreak.ledger.tiles import WIDTH, Edge, TileRow
from daybreak.ledger.tree import EMPTY_ROOT

CHUNK = 64 * WIDTH
"""Events that are held in memory at once while much is caught up."""

_log = logging.getLogger("daybreak.ledger.replicas")
_STOP = "nothing on it was changed: find out which history is right; a replica goes to an empty place."


class Copier:
    """One target. Several processes may copy to it at once: they take turns at `lock`, a file beside the ledger."""

    def __init__(self, target: Target, lock: Path) -> None:
        self.target = target
        self._lock = lock
        self.moved_s = 0.0
        """When the target last took something, by the monotonic clock."""
        self._edge: Edge | None = None
        """Of what the target holds, where this process has put it there."""
        self._root = EMPTY_ROOT
        self._tail: list[Leaf] = []
        """The events of its tile that is not full."""

    def sync(self, source: Source, *, had: bool, apart: bool) -> tuple[int, bool]:
        """The size that the target holds now, for good, and whether it lies on another disk.

        Raises ReplicaLost, OSError (the target); LedgerForked, LedgerBehind, ReplicaDamaged (what it holds: left as it
        is); LedgerTampered, LedgerBusy, BlobMissing (the ledger).
        """
        make_folder(self._lock.parent)
        with locked(self._lock), source.reading():
            apart_now = self.target.ready(had=had, apart=apart)
            present = self._present()
            head = source.head()  # after that: the target may not be ahead of it
            held = 0 if present is None else present.size
            edge = self._edge_of(source, present, head)
            if held < head.size:
                self._edge = None
                try:
                    self._copy(source, edge, held, head)
                except Conflict as conflict:
                    raise LedgerForked(
                        f"the replica {self.target.name} holds another history: {conflict.path}", hint=_STOP
                    ) from conflict
                self._drop_partials(held, head.size)
            self._edge, self._root = edge, head.root
            return head.size, apart_now

    def _present(self) -> Claim | None:
        data = self.target.read(layout.CHECKPOINT)
        if data is None:
            return None
        found = layout.claim(data)
        if found is None:
            raise ReplicaDamaged(
                f"the checkpoint of the replica {self.target.name} cannot be read",
                hint="look at its disk; move what is there away, and an empty place is filled anew.",
            )
        return found

    def _edge_of(self, source: Source, present: Claim | None, head: Checkpoint) -> Edge:
        """The tree that the target holds, which must be the beginning of ours."""
        if present is None:
            return Edge()
        if present.origin == head.origin and present.size > head.size:
            raise LedgerBehind(
                f"the replica {self.target.name} holds {present.size} events, the ledger {head.size}",
                hint="the ledger was cut short or is an old copy: `daybreak ledger verify`, then restore the replica.",
            )
        if self._edge is not None and (self._edge.size, self._root) == (present.size, present.root):
            return self._edge
        self._tail = []
        if present.origin == head.origin:
            edge = source.edge(present.size, head.size)
            if edge.root() == present.root:
                return edge
        raise LedgerForked(
            f"the replica {self.target.name} holds {present.size} events of {present.origin} that are not ours",
            hint=_STOP,
        )

    def _copy(self, source: Source, edge: Edge, held: int, head: Checkpoint) -> None:
        if head.size - held > CHUNK:
            self._foresee(source, held, head)
        cuts = [held, *range((held // CHUNK + 1) * CHUNK, head.size, CHUNK), head.size]
        for start, end in pairwise(cuts):
            tail, self._tail = self._tail, []
            if len(tail) != start % WIDTH or (tail and tail[-1].at != start - 1):
                tail = source.leaves(start - start % WIDTH, start)
            leaves = tail + source.leaves(start, end)
            tiles = edge.extend([leaf.hash for leaf in leaves[start % WIDTH :]])
            if end == head.size:
                _check(edge, head)
            self._put(source, leaves, tiles, start, edge.partials() if end == head.size else ())
            self._tail = leaves[len(leaves) - end % WIDTH :] if end % WIDTH else []
        self.target.replace(layout.CHECKPOINT, head.text.encode())

    def _foresee(self, source: Source, held: int, head: Checkpoint) -> None:
        """That the events add up to the head, before much of them is written anywhere."""
        edge = source.edge(held, head.size)
        while edge.size < head.size:
            edge.extend(source.hashes(edge.size, min(head.size, edge.size + CHUNK)))
        _check(edge, head)

    def _put(
        self, source: Source, leaves: Sequence[Leaf], tiles: Sequence[TileRow], new: int, partials: Sequence[TileRow]
    ) -> None:
        """`leaves` begin with a tile. `partials`: what is not full at the end, where the checkpoint follows."""
        first = leaves[0].at
        full = {n: hashes for level, n, hashes in tiles if level == 0}
        for at in range(0, len(leaves), WIDTH):
            n, part = (first + at) // WIDTH, leaves[at : at + WIDTH]
            if n not in full and not partials:
                continue
            if n in full and n * WIDTH >= new and self._has(layout.tile(0, n), full[n]):
                continue  # somebody came so far before
            self._put_blobs(source, part, new)
            self.moved_s = time.monotonic()
            self.target.put(layout.payloads(n, len(part)), layout.pack_payloads([leaf.payload for leaf in part]))
            self.target.put(layout.entries(n, len(part)), layout.pack_entries([leaf.header for leaf in part]))
            if n in full:
                self.target.put(layout.tile(0, n), full[n])
        for level, n, hashes in tiles:
            if level and len(hashes) == WIDTH * 32:
                self.target.put(layout.tile(level, n), hashes)
        for level, n, hashes in partials:
            self.target.put(layout.tile(level, n, len(hashes) // 32), hashes)

    def _put_blobs(self, source: Source, leaves: Sequence[Leaf], new: int) -> None:
        for leaf in leaves:
            if leaf.at < new:
                continue  # it was there before, and what it names
            if len(leaf.header) > layout.HEADER_MAX:
                self.target.put(layout.header(leaf.hash), leaf.header)
            if leaf.payload is None:
                self._put_blob(leaf.digest, source.payload(leaf))
            for digest in leaf.named:
                try:
                    data = source.blobs.get(digest)
                except (BlobMissing, BlobDamaged) as error:  # `ledger verify` reports it; the events can be copied
                    _log.warning("event %d names a blob that cannot be copied: %s", leaf.at, error.message)
                else:
                    self._put_blob(digest, data)

    def _put_blob(self, digest: str, data: bytes) -> None:
        try:
            self.target.put(layout.blob(digest), data)
        except Conflict:  # its name is the hash of its bytes: a damaged one, and no other history
            self.target.replace(layout.blob(digest), data)

    def _has(self, path: str, data: bytes) -> bool:
        present = self.target.read(path)
        if present is not None and present != data:
            raise Conflict(path)
        return present is not None

    def _drop_partials(self, old: int, size: int) -> None:
        """Those of the old size whose full file the new checkpoint covers."""
        remaining = {path for path, _ in layout.partials(size)}
        for path, _ in layout.partials(old):
            if path not in remaining:
                self.target.drop(f"{path}.p")


def _check(edge: Edge, head: Checkpoint) -> None:
    if edge.root() != head.root:
        raise LedgerTampered(
            f"the events of the ledger do not add up to its signed head of {head.size}",
            hint="nothing of them is copied: run `daybreak ledger verify`, then restore from a replica.",
        )
