"""What happens, to browsers and programs, as it happens: server-sent events.

One thread follows the ledger for everybody, whichever process appends. It puts what it reads into a ring; each stream
has only a place in that ring and is woken when there is more. So a client costs nothing while it is slow: when the
ring has gone past its place it is told `resync` (load everything anew) and goes on from now. Nothing here ever waits
for a client, and nothing that writes the ledger waits for this.

`GET /live` is for pages: `event: changed`, with the topics that changed as `data:`, separated by spaces, at most four
times a second; `event: resync` where a page has to load itself anew. Topics: `topics.TOPICS`, and the name of a run.
`GET /api/v1/events/stream` (`api.stream`) is for programs: one message for each event, with its index as `id:`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, NamedTuple

from daybreak.errors import LedgerError
from daybreak.events import TokenRevoked
from daybreak.web import topics

if TYPE_CHECKING:
    from daybreak.ledger import Ledger, Record
    from daybreak.ledger.following import Following

RING = 4_096
"""So many events are kept for those who are behind."""
TELL_S = 0.25
"""A page is told at most this often."""
BEAT_S = 10
"""A comment goes out after so long, so that whoever is gone is noticed."""
SEND_S = 15
"""A client that takes nothing for so long is let go."""
STREAMS_MAX = 200
"""Streams at once,"""
STREAMS_EACH = 100
"""and of one token."""
RETRY_MS = 1_000
_log = logging.getLogger("daybreak.web")


class Heard(NamedTuple):
    """An event, as the ring has it."""

    record: Record
    topics: frozenset[str]


class Hub:
    """The one follower. `start` and `close` belong to the server's life."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ring: deque[Heard] = deque(maxlen=RING)
        self._guard = threading.Lock()
        self._following: Following | None = None
        self._thread: threading.Thread | None = None
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.position = -1
        """Index of the newest event that was heard."""
        self.failed: str = ""
        """Why nothing is heard any more; shown with the server's health."""
        self.closed = False
        self.streams: Counter[str] = Counter()
        """Open ones, by whom they are counted for."""
        self._revoked: set[str] = set()
        self.written: dict[tuple[int, frozenset[str]], str] = {}
        """Events as they were sent, by what their readers may see: written once for all of these."""

    def start(self) -> None:
        """Begin to follow, from now."""
        if self._thread is not None:
            return
        self.closed, self.failed = False, ""
        self._ring.clear()  # its indexes have no gap
        self.written.clear()
        self._following = self._ledger.follow()
        self.position = self._following.position
        self._thread = threading.Thread(target=self._follow, name="daybreak-web-hub", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every stream, and the follower. A second call does nothing."""
        self.closed = True
        following, self._following = self._following, None
        if following is not None:
            following.close()
        self._wake()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(5)

    def _follow(self) -> None:
        following = self._following
        assert following is not None
        try:
            for record in following:
                self._put([record, *following.waiting()])
        except LedgerError as error:
            self.failed = f"{error.code} {error.message}"
            _log.error("the ledger can no longer be followed", extra={"code": error.code, "why": error.message})
            self.closed = True
            self._wake()

    def _put(self, records: list[Record]) -> None:
        heard = [Heard(record, topics.of_record(record)) for record in records]
        with self._guard:
            self._ring.extend(heard)
            self.position = records[-1].index
        for record in records:
            if isinstance(record.event, TokenRevoked):
                self._revoked.add(record.event.revocation)
        self._wake()

    def _wake(self) -> None:
        with self._guard:
            waiting = list(self._waiting)
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = {}
        for loop, event in waiting:
            by_loop.setdefault(loop, []).append(event)
        for loop, found in by_loop.items():
            try:
                loop.call_soon_threadsafe(_set_all, found)
            except RuntimeError:  # that loop is closed, and its streams with it
                continue

    def heard_revoked(self, revocations: Iterable[str]) -> bool:
        """Was one of these revoked since the server began? For streams that are open; does not block."""
        return not self._revoked.isdisjoint(revocations)

    def after(self, position: int) -> list[Heard] | None:
        """What was heard behind the event with this index; None where the ring no longer has all of it."""
        with self._guard:
            if position >= self.position:
                return []
            if not self._ring or self._ring[0].record.index > position + 1:
                return None
            first = self._ring[0].record.index
            start = position + 1 - first
            return [self._ring[place] for place in range(start, len(self._ring))]

    async def news(self, position: int, wait_s: float) -> bool:
        """Wait until there is something behind this index; False where there is nothing after so long."""
        mine = (asyncio.get_running_loop(), asyncio.Event())
        with self._guard:
            if self.position > position or self.closed:
                return True
            self._waiting.add(mine)
        try:
            await asyncio.wait_for(mine[1].wait(), wait_s)
        except TimeoutError:
            return False
        finally:
            with self._guard:
                self._waiting.discard(mine)
        return True


def _set_all(found: list[asyncio.Event]) -> None:
    for event in found:
        event.set()


async def changes(hub: Hub, after: int | None) -> AsyncIterator[tuple[str, int, str]]:
    """(event, index, topics) for a page: what changed, until the hub is closed."""
    position = hub.position if after is None else after
    if position > hub.position:  # of another ledger, or another life of this one
        position = hub.position
        yield "resync", position, ""
    else:
        yield "hello", position, ""
    while not hub.closed:
        if not await hub.news(position, 60):
            continue
        heard = hub.after(position)
        if heard is None:
            position = hub.position
            yield "resync", position, ""
        elif heard:
            position = heard[-1].record.index
            yield "changed", position, " ".join(sorted(frozenset().union(*(one.topics for one in heard))))
        await asyncio.sleep(TELL_S)
