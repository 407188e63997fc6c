"""Hears of commits of other homes, on a thread and a connection of its own.

Postgres announces each commit (NOTIFY) with the number of events; nothing is asked in between but one question every
`KEEPALIVE_S`, which shows that the connection lives and makes good for an announcement that got lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable

import psycopg

from daybreak.errors import LedgerError, LedgerStopped
from daybreak.ledger.postgres.address import Address
from daybreak.ledger.postgres.connection import Link, connect, said
from daybreak.ledger.postgres.store import channel

KEEPALIVE_S = 30.0
CLOSE_S = 2.0
"""So long a ledger that is closed waits for it."""
_PAUSE_S, _PAUSE_MOST_S = 0.2, 10.0

_log = logging.getLogger("daybreak.ledger")


class Listener:
    """The thread. It connects again by itself, as often as needed; who waits for news meanwhile waits."""

    def __init__(self, address: Address, heard: Callable[[int, int], None]) -> None:
        """`heard` is called with the number of events there and the server's process that announced them (0 where
        nobody did), at the start, too, and again until it takes that without a LedgerError; LedgerStopped ends the
        listening."""
        self._address = address
        self._heard = heard
        self._reading, self._writing = os.pipe()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        os.write(self._writing, b"\0")
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():  # else it waits for a server that does not answer, and ends by itself
            os.close(self._reading)
            os.close(self._writing)

    def _run(self) -> None:
        pause_s, told = _PAUSE_S, False
        while not self._closing.is_set():
            try:
                with connect(self._address, name="daybreak listener") as link:
                    link.execute(f'LISTEN "{channel(self._address)}"', prepare=False)
                    self._look(link)
                    pause_s, told = _PAUSE_S, False
                    self._listen(link)
            except psycopg.Error as error:
                why = said(self._address, error)
            except LedgerStopped:
                return  # or closed: whoever appends hears why
            except LedgerError as error:
                why = error.message
            else:
                return
            if not told and not self._closing.is_set():
                _log.warning("commits of other homes are not heard of: %s; trying again", why)
                told = True
            self._wait([], pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MOST_S)

    def _listen(self, link: Link) -> None:
        while not self._closing.is_set():
            self._announcements(link)  # some may have come with an answer
            while self._wait([link.pgconn.socket], KEEPALIVE_S):
                if self._closing.is_set():
                    return
                link.pgconn.consume_input()
                self._announcements(link)
            self._look(link)

    def _look(self, link: Link) -> None:
        row = link.execute("SELECT size FROM head WHERE one = 1").fetchone()
        if row is not None:
            self._heard(int(row[0]), 0)

    def _announcements(self, link: Link) -> None:
        newest, by = -1, 0
        while (notice := link.pgconn.notifies()) is not None:
            with contextlib.suppress(ValueError):  # somebody else's word
                size = int(notice.extra)
                if size > newest:
                    newest, by = size, notice.be_pid
        if newest >= 0:
            self._heard(newest, by)

    def _wait(self, sockets: list[int], seconds: float) -> bool:
        """Until something comes; False after that time."""
        waiting = select.poll()
        for handle in (self._reading, *sockets):
            waiting.register(handle, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))
