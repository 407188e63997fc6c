"""Checks event rows one after the other: headers, payloads, each stream's chain and epochs. Part of `verification`.

Works on whole pages, because one call per page costs half of one call per row. A page that is not perfect is
looked at again row by row, so that what is found has its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import cast

import msgspec

from daybreak.errors import DaybreakError
from daybreak.events import LeaseGranted
from daybreak.ledger import sealing
from daybreak.ledger.admission import START, Tip, fenced
from daybreak.ledger.blobs import BlobStore
from daybreak.ledger.record import FORMAT, Header, decode_header, encode_header, place
from daybreak.ledger.sealing import Subjects
from daybreak.ledger.tree import leaf_hashes

Row = tuple[int, str, int, int, str | None, bytes, bytes | None]
"""leaf, stream, seq, gen, idem, header, payload"""

_GRANT = LeaseGranted.type
_END = f',"v":{FORMAT}}}'.encode()
_decode_page = msgspec.json.Decoder(list[Header]).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)
_hasher = sha256().copy
"""Copying a hash costs less than making one."""


def _digests(payloads: Sequence[bytes | None]) -> list[str | None]:
    """SHA-256 of each that is there."""
    digests: list[str | None] = []
    for payload in payloads:
        if payload is None:
            digests.append(None)
        else:
            hasher = _hasher()
            hasher.update(payload)
            digests.append(hasher.hexdigest())
    return digests


class ChainCheck:
    """Give it pages in leaf order. `add(place, what)` takes each finding."""

    def __init__(
        self,
        keys: Callable[[Sequence[int]], list[str | None]],
        blobs: BlobStore,
        add: Callable[[str, str], None],
        subjects: Subjects | None = None,
        start: int = 0,
    ) -> None:
        """`keys` gives the id of the key that each of some leaves must name. With `subjects` what is sealed and was not
        forgotten is opened and compared with its commitment. The first page begins at leaf `start`."""
        self.tips: dict[str, Tip] = {}
        self.assumed: dict[str, Tip] = {}
        """How streams must have stood before leaf `start`."""
        self.expected = start
        """The leaf that comes next."""
        self.events = 0
        self.headers: Sequence[Header | None] = ()
        """Those of the last page; None for what cannot be read."""
        self._whole_log = start == 0
        self._keys = keys
        self._blobs = blobs
        self._add = add
        self._subjects = subjects

    def readable(self, rows: list[Row]) -> list[Row]:
        """The rows that hold bytes where bytes belong: in a damaged file a STRICT column can hold anything."""
        if {type(row[5]) for row in rows} == {bytes} and {type(row[6]) for row in rows} <= {bytes, type(None)}:
            return rows
        whole = []
        for row in rows:
            header, payload = cast(tuple[object, object], row[5:])
            if isinstance(header, bytes) and isinstance(payload, bytes | None):
                whole.append(row)
            else:
                self._add(place(row[0], row[1], row[2]), "its header or payload is not of the type that was stored")
        return whole

    def page(self, rows: list[Row]) -> list[bytes]:
        """Check these readable rows; returns their leaf hashes."""
        self._leaves([row[0] for row in rows])
        self.events += len(rows)
        raws = [row[5] for row in rows]
        hashes = leaf_hashes(raws)
        self.headers = headers = self._headers(raws) or [self._header(row) for row in rows]
        self._links(rows, headers, _digests([row[6] for row in rows]), [leaf.hex() for leaf in hashes])
        return hashes

    def join(self, assumed: dict[str, Tip], tips: dict[str, Tip], events: int) -> bool:
        """Go on behind so many events that somebody found right who assumed that. False, and nothing is changed, where
        it is not so."""
        if any(self.tips.get(stream, START) != tip for stream, tip in assumed.items()):
            return False
        self.tips.update(tips)
        self.expected += events
        self.events += events
        return True

    def skip(self, rows: list[Row], hashes: list[bytes], epoch: Callable[[str, int], int]) -> None:
        """Go on behind rows of which nothing is known but their places and hashes. `epoch` gives the one that was
        current in a stream after an event of it."""
        self._leaves([row[0] for row in rows])
        for row, leaf in zip(rows, hashes, strict=True):
            stream, seq = row[1], row[2]
            if seq != self.tips.get(stream, START)[0] + 1:
                self._add(place(row[0], stream, seq), "does not follow the event before it in its stream")
            self.tips[stream] = (seq, leaf.hex(), 0)
        for stream in {row[1] for row in rows}:
            seq, prev, _ = self.tips[stream]
            self.tips[stream] = (seq, prev, epoch(stream, seq))

    def _leaves(self, leaves: list[int]) -> None:
        """Are they numbered without gaps?"""
        if leaves == list(range(self.expected, self.expected + len(leaves))):
            self.expected += len(leaves)
            return
        for leaf in leaves:
            if leaf != self.expected:
                gap = leaf - self.expected
                which = f"event {self.expected} is" if gap == 1 else f"events {self.expected} to {leaf - 1} are"
                self._add("table event", f"{which} missing")
            self.expected = leaf + 1

    def _headers(self, raws: list[bytes]) -> list[Header | None] | None:
        """All headers at once if all are canonical, else None.

        No header can hide in two rows or two in one: text that encodes to itself is canonical, in such text the
        bytes of `_END` stand only at the end of a header (a quote inside a string would be escaped), every row
        ends with them, and there are as many headers as rows.
        """
        text = b"[" + b",".join(raws) + b"]"
        try:
            headers = _decode_page(text)
        except _UNREADABLE:
            return None
        whole = len(headers) == len(raws) == [raw[-len(_END) :] for raw in raws].count(_END)
        return list(headers) if whole and msgspec.json.encode(headers) == text else None

    def _header(self, row: Row) -> Header | None:
        leaf, stream, seq, _, _, raw, _ = row
        try:
            header = decode_header(raw)
        except _UNREADABLE as error:
            self._add(place(leaf, stream, seq), f"its header cannot be read: {error}")
            return None
        if encode_header(header) != raw:
            self._add(place(leaf, stream, seq), "its header is not in canonical form")
        return header

    def _links(
        self, rows: list[Row], headers: list[Header | None], digests: list[str | None], hashes: list[str]
    ) -> None:
        """Each header with the columns beside it, its payload and the event before it. The hot loop."""
        tips, keys = self.tips, self._keys([row[0] for row in rows])
        for row, header, digest, leaf, key_id in zip(rows, headers, digests, hashes, keys, strict=True):
            if header is None:
                continue
            stream = header.stream
            tip = tips.get(stream)
            seq, prev, current = before = self._begun(header) if tip is None else tip
            epoch = header.epoch
            if (
                stream != row[1]
                or header.seq != row[2]
                or header.gen != row[3]
                or header.idem != row[4]
                or header.payload != digest
                or header.seq != seq + 1
                or header.prev != prev
                or (
                    fenced(stream, current)
                    if epoch is None and (current or stream[:1] == "r")  # most streams need not be asked
                    else epoch is not None and epoch != current + (header.type == _GRANT)
                )
                or header.key != key_id
                or header.v != FORMAT
                or header.commit is not None
            ):
                self._name(row, header, digest, before, key_id)
            tips[stream] = (header.seq, leaf, current if epoch is None else epoch)

    def _begun(self, header: Header) -> Tip:
        """How a stream stands that had no event here yet."""
        if self._whole_log:
            return START
        current = 0 if header.epoch is None else header.epoch - (header.type == _GRANT)
        tip = self.assumed[header.stream] = (header.seq - 1, header.prev, current)
        return tip

    def _name(self, row: Row, header: Header, digest: str | None, before: Tip, key_id: str | None) -> None:
        """Everything that is wrong with an event."""
        leaf, stream, seq, gen, idem, _, _ = row
        where = place(leaf, stream, seq)
        if (header.stream, header.seq, header.gen, header.idem) != (stream, seq, gen, idem):
            self._add(
                where, f"its header says {header.stream}, seq {header.seq}, gen {header.gen}, idem {header.idem!r}"
            )
        if digest is None:
            self._blob(where, header.payload)
        elif digest != header.payload:
            self._add(where, "its payload is not the one that its header names")
        if header.seq != before[0] + 1 or header.prev != before[1]:
            self._add(where, f"does not follow the event before it in its stream (seq {before[0]})")
        if header.epoch is None:
            if fenced(header.stream, before[2]):
                self._add(where, "has no epoch on a stream that has an owner")
        elif header.epoch != before[2] + (header.type == _GRANT):
            self._add(where, f"has epoch {header.epoch}, but {before[2]} was current")
        if header.key != key_id:
            self._add(where, f"names the signing key {header.key}, the ledger's is {key_id}")
        if header.v != FORMAT:
            self._add(where, f"its header has version {header.v}, this program knows {FORMAT}")
        if header.commit is not None:  # nothing may be wrong: who has a commitment is only looked at more closely
            self._sealed(where, header.commit, header.payload, row[6])

    def _sealed(self, where: str, commit: str, digest: str, stored: bytes | None) -> None:
        """Is a sealed payload what its header commits to, as far as that can be seen here?"""
        try:
            payload = self._blobs.get(digest) if stored is None else stored
        except (DaybreakError, OSError):
            return  # which `_blob` says
        if problem := sealing.problem(commit, payload):
            self._add(where, problem)
            return
        try:
            box = None if self._subjects is None else self._subjects.find(sealing.key_of(commit))
            opened = None if box is None else box.open(payload)
        except (DaybreakError, OSError) as error:
            self._add(where, f"its sealed payload: {error}")
            return
        # Without the key it was forgotten, or the key is elsewhere: what was signed is whole all the same.
        if opened is not None and not sealing.commits_to(commit, opened.salt, opened.payload):
            self._add(where, "what is sealed in it is not what its header commits to")

    def _blob(self, where: str, digest: str) -> None:
        try:
            self._blobs.get(digest)
        except (DaybreakError, OSError) as error:
            self._add(where, f"its payload: {error}")
