"""A ledger on Postgres whose connection breaks, at any place: nothing acknowledged is lost, nothing is there twice, and
whoever waits is answered rightly."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from tests.unit import ledger_home as shelf
from tests.unit import postgres_server
from tests.unit.postgres_proxy import Proxy, Where

from daybreak.errors import LedgerBusy, LedgerStopped
from daybreak.events import KEYS, ViewsDrifted, ViewsRepaired
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.postgres import connection, listening
from daybreak.ledger.postgres import log as postgres_log
from daybreak.ledger.postgres.blobs import SharedBlobs
from daybreak.ledger.postgres.problems import PostgresUnusable
from daybreak.ledger.postgres.store import Store, lock_key

Home, step = shelf.Home, shelf.step


@pytest.fixture
def home(tmp_path: Path, postgres_url: str) -> Any:
    return Home(tmp_path, [shelf.STEPS], postgres_url)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(postgres_server.server().root) as proxy:
        yield proxy


@pytest.fixture
def behind(home: Any, proxy: Proxy) -> Any:
    """The same home, with the proxy in between."""
    name = home.postgres.partition("@/")[2].partition("?")[0]
    return Home(home.root, home.views, proxy.url(name))


def numbers(ledger: Ledger) -> list[int]:
    return [record.event.nth for record in ledger.read("queue")]  # type: ignore[attr-defined]


def truth(url: str) -> list[tuple[Any, ...]]:
    """What Postgres itself holds."""
    with psycopg.connect(url) as link:
        return link.execute("SELECT leaf, seq FROM daybreak.event WHERE stream = 'queue' ORDER BY leaf").fetchall()


@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_a_connection_that_breaks_in_a_commit_is_answered_rightly(
    home: Any, behind: Any, proxy: Proxy, where: Where
) -> None:
    """Whether the commit was passed on or not: the event is there once, and its position is the one that was told."""
    # shows: N4, N16
    with behind.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        for number in range(1, 4):
            proxy.cut(where, f'"nth":{number}'.encode())
            (record,) = ledger.append([Draft("queue", step(number))])
            assert (record.index, record.seq) == (number + 1, number)
            assert proxy.has_cut.is_set()
        assert numbers(ledger) == list(range(4))
        assert ledger.query("SELECT nth FROM view_steps ORDER BY leaf") == [(n,) for n in range(4)]
    assert truth(home.postgres) == [(n + 1, n) for n in range(4)]
    assert home.verify().ok


@pytest.mark.parametrize("where", ["inside", "after"])
def test_a_commit_that_nobody_can_ask_about_stops_the_ledger(
    home: Any, behind: Any, proxy: Proxy, where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told that it is not known; opening again shows what happened, and a key makes a repeat harmless."""
    # shows: N4, F16
    monkeypatch.setattr(postgres_log, "BUSY_S", 0.3)
    with behind.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        proxy.refuse_then = True
        proxy.cut(where, b'"nth":1')
        with pytest.raises(LedgerStopped, match="could not be asked"):
            ledger.append([Draft("queue", step(1), idem="one")])
        with pytest.raises(LedgerStopped):
            ledger.append([Draft("queue", step(2))])
    with home.open() as ledger:
        assert numbers(ledger) == ([0] if where == "inside" else [0, 1])
        (record,) = ledger.append([Draft("queue", step(1), idem="one")])
        assert record.seq == 1
    assert home.verify().ok


def test_a_postgres_out_of_reach_takes_nothing_and_loses_nothing(
    home: Any, behind: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append says that nothing was written and may be repeated; reading goes on; afterwards so does appending."""
    # shows: N4
    monkeypatch.setattr(postgres_log, "BUSY_S", 0.3)
    with behind.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        proxy.refusing = True
        proxy.hang_up()
        for _ in range(2):
            with pytest.raises(LedgerBusy, match="cannot be reached"):
                ledger.append([Draft("queue", step(1))])
        assert numbers(ledger) == [0]
        proxy.refusing = False
        ledger.append([Draft("queue", step(1))])
        assert numbers(ledger) == [0, 1]
    proxy.refusing = True
    with pytest.raises(PostgresUnusable):
        behind.open()
    assert home.verify().ok


def test_backends_and_servers_that_end_are_followed_by_others(home: Any) -> None:
    """Terminated by an administrator, killed with signal 9 (so that the server recovers), stopped and started again,
    crashed: the append that comes next waits for it, and says the truth."""
    # shows: N4, F16
    server = postgres_server.server()

    def terminate() -> None:
        with psycopg.connect(home.postgres, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^daybreak'")

    def kill_one() -> None:
        with psycopg.connect(home.postgres, autocommit=True) as admin:
            rows = admin.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'daybreak'").fetchall()
        os.kill(rows[0][0], signal.SIGKILL)

    def restart() -> None:
        server.stop()
        server.start()

    def crash() -> None:
        server.kill()
        server.start()

    with home.open() as ledger:
        for number, disturb in enumerate([terminate, kill_one, restart, crash]):
            disturb()
            future = ledger.submit([Draft("queue", step(2 * number))])
            assert future.result(timeout=60)[0].seq == 2 * number
            assert ledger.append([Draft("queue", step(2 * number + 1))])[0].seq == 2 * number + 1
        assert numbers(ledger) == list(range(8))
    assert truth(home.postgres) == [(n + 1, n) for n in range(8)]
    assert home.verify().ok


def test_appends_under_way_survive_a_crash_of_the_server(home: Any) -> None:
    """What was acknowledged before, during and after it is there, each once, in the order of the answers."""
    # shows: N4
    server = postgres_server.server()
    half = threading.Event()
    told: list[int] = []

    def write(ledger: Ledger) -> None:
        for number in range(60):
            told.append(ledger.append([Draft("queue", step(number))])[0].event.nth)  # type: ignore[attr-defined]
            if number == 20:
                half.set()

    with home.open() as ledger:
        writer = threading.Thread(target=write, args=(ledger,))
        writer.start()
        half.wait(60)
        server.kill()
        server.start()
        writer.join(60)
        assert told == numbers(ledger) == list(range(60))
    assert len(truth(home.postgres)) == 60
    assert home.verify().ok


def test_whoever_holds_the_lock_and_does_nothing_is_ended(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends a transaction whose process stands still; who waited goes on. One that is at work is waited for,
    and then it is said that somebody holds it."""
    # shows: N16
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        with connection.connect(home.postgres) as other:
            other.execute("SET idle_in_transaction_session_timeout = '300ms'")
            other.execute("BEGIN")
            other.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(other.address)])
            ledger.append([Draft("queue", step(1))])  # waits until the server has ended that transaction
        monkeypatch.setitem(connection._SESSION, "lock_timeout", "200ms")
    with home.open() as ledger, connection.connect(home.postgres) as other:
        other.execute("BEGIN")
        other.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(other.address)])
        with pytest.raises(LedgerBusy, match="somebody has held"):
            ledger.append([Draft("queue", step(2))])
        other.execute("ROLLBACK")
        assert ledger.append([Draft("queue", step(2))])[0].seq == 2


def test_who_was_told_that_it_is_busy_may_try_again(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused when the tree had grown already, or in the middle of what other homes appended: it is as it was before,
    and the same append succeeds."""
    # shows: N4, N16
    monkeypatch.setitem(connection._SESSION, "lock_timeout", "200ms")
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        with psycopg.connect(home.postgres) as somebody:
            somebody.execute("LOCK TABLE daybreak.event IN SHARE MODE")
            with pytest.raises(LedgerBusy, match="somebody has held"):
                ledger.append([Draft("queue", step(1))])
        assert ledger.append([Draft("queue", step(1))])[0].index == 2
        other = home.beside("other")
        with other.open() as second:
            rows, refusing = Store.rows, [True]

            def page_by_page(store: Store, after: int, end: int) -> Iterator[Any]:
                for page in rows(store, after, end):
                    yield page
                    if refusing[0]:
                        raise LedgerBusy("canceled by the administrator", hint="try again")

            monkeypatch.setattr(Store, "rows", page_by_page)
            ledger.append([Draft("queue", step(2)), Draft("queue", step(3))])
            with pytest.raises(LedgerBusy, match="canceled"):
                second.append([Draft("queue", step(4))])
            with pytest.raises(LedgerBusy, match="canceled"):
                second.on_writer(lambda log: log.catch_up())
            refusing[0] = False
            assert second.append([Draft("queue", step(4))])[0].index == 5
            assert numbers(second) == list(range(5))
    assert home.verify().ok
    assert other.verify().ok


def test_a_report_that_cannot_be_made_now_is_made_later(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view of the mirror was mended while Postgres took nothing: the ledger opens, and says so with what is appended
    next."""
    # shows: F26
    home.open().close()
    home.sql("DROP TABLE view_steps", "CREATE TABLE view_steps (leaf INTEGER PRIMARY KEY, nth INTEGER) STRICT")
    monkeypatch.setitem(connection._SESSION, "lock_timeout", "200ms")
    with psycopg.connect(home.postgres) as somebody:
        somebody.execute("LOCK TABLE daybreak.event IN SHARE MODE")
        ledger = home.open()
    with ledger:
        assert [record.type for record in ledger.read(KEYS)] == ["ledger.created"]
        ledger.append([Draft("queue", step(0))])
        assert [record.type for record in ledger.read(KEYS)][1:] == [ViewsDrifted.type, ViewsRepaired.type]


def test_a_server_that_stands_still_is_given_up(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that was stopped says nothing, not even that it is gone: after a while another one is asked."""
    # shows: N4
    monkeypatch.setattr(Store, "answer_s", 0.3)
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        with psycopg.connect(home.postgres, autocommit=True) as admin:
            rows = admin.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'daybreak'").fetchall()
        stopped = rows[0][0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert ledger.append([Draft("queue", step(1))])[0].seq == 1
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert ledger.append([Draft("queue", step(2))])[0].seq == 2
    assert truth(home.postgres) == [(1, 0), (2, 1), (3, 2)]


def test_news_come_again_after_the_connection_for_them_broke(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener connects again by itself, and asks what it missed."""
    # shows: F23
    monkeypatch.setattr(listening, "_PAUSE_S", 0.01)
    with home.open() as ledger:
        ledger.append([Draft("queue", step(0))])
        other = home.beside("other")
        with other.open() as second, second.follow() as news:
            with psycopg.connect(home.postgres, autocommit=True) as admin:
                who = "FROM pg_stat_activity WHERE application_name = 'daybreak listener'"
                admin.execute(f"SELECT pg_terminate_backend(pid) {who}")
            ledger.append([Draft("queue", step(1))])
            assert next(news).event == step(1)
            ledger.append([Draft("queue", step(2))])
            assert next(news).event == step(2)


def test_a_home_that_is_busy_hears_of_the_next_commits(
    home: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a ledger that has stopped ends the listening; about anything else it warns once, and listens on."""
    # shows: F23
    monkeypatch.setattr(listening, "_PAUSE_S", 0.01)
    heard, busy = Ledger._heard, [0]

    def sometimes(ledger: Ledger, size: int) -> None:
        if size > ledger.head().size and busy[0]:
            busy[0] -= 1
            raise LedgerBusy("another process holds it", hint="try again")
        heard(ledger, size)

    monkeypatch.setattr(Ledger, "_heard", sometimes)
    with home.open() as ledger:
        other = home.beside("other")
        with other.open() as second, second.follow() as news, caplog.at_level(logging.WARNING):
            for number in range(2):
                busy[0] = 3
                ledger.append([Draft("queue", step(number))])
                assert next(news).event == step(number)
                assert caplog.text.count("are not heard of: another process holds it") == number + 1


def test_a_loop_goes_on_while_postgres_takes_a_blob(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be waited for for a minute; other tasks, heartbeats among them, go on."""
    # shows: N1
    put, moved = SharedBlobs.put, threading.Event()

    def slowly(blobs: SharedBlobs, data: bytes) -> str:
        assert moved.wait(20)
        return put(blobs, data)

    monkeypatch.setattr(SharedBlobs, "put", slowly)

    async def main(ledger: Ledger) -> None:
        async with anyio.create_task_group() as group:

            async def keep() -> None:
                assert ledger.get_blob(await ledger.put_blob_async(b"bytes")) == b"bytes"

            group.start_soon(keep)
            await anyio.lowlevel.checkpoint()
            moved.set()

    with home.open() as ledger:
        anyio.run(main, ledger)
