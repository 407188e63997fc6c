"""Whoever stands still with the lock of a ledger on Postgres is cut off by those who wait for it; nobody else is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.unit import ledger_home as shelf

from daybreak.errors import LedgerBusy
from daybreak.events import POLICY, IncidentRaised
from daybreak.host.locks import LockHeld
from daybreak.ledger import Draft, Ledger
from daybreak.ledger.postgres import connection, seats
from daybreak.ledger.postgres.connection import Link
from daybreak.ledger.postgres.log import INCIDENT, INCIDENT_LEVEL
from daybreak.ledger.postgres.seats import PostgresSeats
from daybreak.ledger.postgres.stopped import Ended, Watch
from daybreak.ledger.postgres.store import Batch, Store, lock_key
from daybreak.ledger.record import Record
from daybreak.policy import journal
from daybreak.policy.incident import RULES

Home, step = shelf.Home, shelf.step
LIMIT_S = 0.4
LONGER_S = 1.0
"""Where nobody may be cut off although this machine is busy."""
SOON_S = 20.0


@pytest.fixture
def home(tmp_path: Path, postgres_url: str) -> Any:
    return Home(tmp_path, [shelf.STEPS, *journal.VIEWS], postgres_url)


@contextmanager
def holding(url: str, *, key: int | None = None) -> Iterator[Link]:
    """Somebody who has the lock, in a transaction."""
    with connection.connect(url, name="a test") as link:
        link.execute("BEGIN")
        link.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(link.address) if key is None else key])
        yield link


def speak(link: Link, sql: str) -> None:
    """Say the first half of something, as a client does that is stopped in the middle of a pipeline."""
    link.pgconn.enter_pipeline_mode()
    link.pgconn.send_query_params(sql.encode(), None)
    link.pgconn.send_flush_request()
    link.pgconn.flush()


def state(url: str, link: Link) -> tuple[str, str] | None:
    """Of that connection, as the server has it: what it does, and what for it waits; None where it is gone."""
    with psycopg.connect(url, autocommit=True) as admin:
        asked = "SELECT state, wait_event FROM pg_stat_activity WHERE pid = %s"
        return admin.execute(asked, [link.pgconn.backend_pid]).fetchone()


def until_state(url: str, link: Link, wanted: tuple[str, str] | None) -> None:
    end_s = time.monotonic() + SOON_S
    while (found := state(url, link)) != wanted:
        assert time.monotonic() < end_s, found
        time.sleep(0.01)


def incidents(ledger: Ledger) -> list[IncidentRaised]:
    return [one.event for one in ledger.read(POLICY) if isinstance(one.event, IncidentRaised)]


def kept(ledger: Ledger) -> list[int]:
    return [record.event.nth for record in ledger.read("queue")]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT 1", ("active", "ClientRead")),
        ("SELECT repeat('x', 1000) FROM generate_series(1, 100000)", ("active", "ClientWrite")),
        ("", ("idle in transaction", "ClientRead")),
    ],
    ids=["says-no-more", "hears-no-more", "idle"],
)
def test_whoever_stands_still_with_the_lock_is_cut_off(home: Any, sql: str, wanted: tuple[str, str]) -> None:
    """In the middle of what it says, or of what it is told, no timeout of the server counts. Who waited goes on soon
    after the limit, its own connection keeps, and the ledger has an incident in the same commit."""
    # shows: N14, N16
    with home.open(stopped_s=LIMIT_S) as ledger:
        ledger.append([Draft("queue", step(0))])
        heard: list[Record] = []
        ledger.subscribe(heard.extend)
        with holding(home.postgres) as other:
            if sql:
                speak(other, sql)
            until_state(home.postgres, other, wanted)
            began_s = time.monotonic()
            (record,) = ledger.append([Draft("queue", step(1))])
            assert LIMIT_S * 0.5 < time.monotonic() - began_s < LIMIT_S + 5
            until_state(home.postgres, other, None)
        (raised,) = incidents(ledger)
        assert (raised.kind, raised.level) == (INCIDENT, INCIDENT_LEVEL)
        assert "its connection was ended" in raised.what
        assert [one.index for one in heard] == [record.index, record.index + 1]
        ledger.append([Draft("queue", step(2))])
        assert kept(ledger) == [0, 1, 2]
        assert len(incidents(ledger)) == 1
        assert [row for (row,) in ledger.query("SELECT kind FROM view_incidents")] == [INCIDENT]
    assert home.verify().ok


def test_the_kind_of_incident_is_a_known_one() -> None:
    rule = RULES[INCIDENT]  # type: ignore[index]
    assert rule.level == INCIDENT_LEVEL


def test_the_process_that_was_cut_off_does_nothing_twice_and_loses_nothing(home: Any) -> None:
    """Its commit had been sent but for the last word. When it goes on, its events go in behind those of whoever did not
    wait for it, once."""
    # shows: N4, N14
    home.open().close()
    with home.open(stopped_s=LIMIT_S) as ledger, home.beside("other").open(stopped_s=LIMIT_S) as second:
        ledger.append([Draft("queue", step(0))])
        here, on = threading.Event(), threading.Event()
        execute = Link.execute

        def stands_still(link: Link, query: Any, *more: Any, **given: Any) -> Any:
            if query == "COMMIT" and threading.current_thread() is writer and not here.is_set():
                link.pgconn.flush()
                here.set()
                assert on.wait(SOON_S)
            return execute(link, query, *more, **given)

        writer = ledger._writer._thread
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Link, "execute", stands_still)
            future = ledger.submit([Draft("queue", step(1), idem="one")])
            assert here.wait(SOON_S)
            assert second.append([Draft("queue", step(2))])[0].seq == 1
            on.set()
            assert future.result(SOON_S)[0].seq == 2
        assert kept(ledger) == [0, 2, 1]
        assert len(incidents(ledger)) == 1
    assert home.verify().ok


def test_several_who_waited_and_looked_at_once_tell_of_it_once(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server lets each of them end it, until it has ended."""
    # shows: N14
    home.open().close()
    ledgers = [one.open(stopped_s=LIMIT_S) for one in (home, home.beside("two"), home.beside("three"))]
    together, look = threading.Barrier(3, timeout=SOON_S), Watch._end

    def at_once(watch: Watch, link: Link, holder: Ended, changed: str | None) -> None:
        together.wait()
        look(watch, link, holder, changed)
        if not watch.ended:  # too late by a moment, which the server decides
            watch.ended.append(holder)

    monkeypatch.setattr(Watch, "_end", at_once)
    try:
        with holding(home.postgres) as other:
            speak(other, "SELECT 1")
            until_state(home.postgres, other, ("active", "ClientRead"))
            futures = [one.submit([Draft("queue", step(nth))]) for nth, one in enumerate(ledgers)]
            assert sorted(future.result(SOON_S)[0].seq for future in futures) == [0, 1, 2]
        ledgers[0].append([Draft("queue", step(3))])
        assert len(incidents(ledgers[0])) == 1
        assert sorted(kept(ledgers[0])) == [0, 1, 2, 3]
    finally:
        for ledger in ledgers:
            ledger.close()


@pytest.mark.parametrize("how", ["speaks", "works"])
def test_whoever_is_at_work_is_waited_for(home: Any, how: str) -> None:
    """One that says something now and then, for longer than the limit; and one for whom the server itself is busy."""
    # shows: N14
    with home.open(stopped_s=LONGER_S) as ledger:
        ledger.append([Draft("queue", step(0))])
        with holding(home.postgres) as other:
            future = ledger.submit([Draft("queue", step(1))])
            for _ in range(22 if how == "speaks" else 1):
                other.execute("SELECT pg_sleep(%s)", [0.1 if how == "speaks" else 2.2 * LONGER_S])
            assert not future.done()
            other.execute("COMMIT")
        assert future.result(SOON_S)[0].seq == 1
        assert incidents(ledger) == []


def test_a_long_wait_for_the_lock_is_no_standing_still(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several wait for longer than the limit. Whoever gets the lock then has had it for a moment, although its
    transaction is old: nobody who waits behind it ends it, although it says nothing for a while."""
    # shows: N14
    commit = Store.commit

    def slowly(store: Store, batch: Batch) -> None:
        time.sleep(0.6 * LONGER_S)
        commit(store, batch)

    home.open().close()
    homes = [home, *(home.beside(name) for name in ("two", "three"))]
    ledgers = [one.open(stopped_s=LONGER_S) for one in homes]
    monkeypatch.setattr(Store, "commit", slowly)
    try:
        with holding(home.postgres) as other:
            futures = [one.submit([Draft("queue", step(nth))]) for nth, one in enumerate(ledgers)]
            other.execute("SELECT pg_sleep(%s)", [1.7 * LONGER_S])
            other.execute("COMMIT")
        assert sorted(future.result(SOON_S)[0].seq for future in futures) == [0, 1, 2]
        assert incidents(ledgers[0]) == []
    finally:
        for ledger in ledgers:
            ledger.close()


def test_only_who_has_this_very_lock_is_cut_off(home: Any) -> None:
    """Another ledger's lock in the same database, another one of ours, and the same number as two halves."""
    # shows: N14
    with home.open(stopped_s=LIMIT_S) as ledger:
        ledger.append([Draft("queue", step(0))])
        with holding(home.postgres) as stopped, holding(home.postgres, key=7) as other:
            halves = [(lock_key(other.address) >> shift) & 0xFFFFFFFF for shift in (32, 0)]
            signed = [half - (half >> 31 << 32) for half in halves]
            other.execute("SELECT pg_advisory_xact_lock(%s, %s)", signed, prepare=False)
            for one in (stopped, other):
                speak(one, "SELECT 1")
                until_state(home.postgres, one, ("active", "ClientRead"))
            ledger.append([Draft("queue", step(1))])
            until_state(home.postgres, stopped, None)
            assert state(home.postgres, other) == ("active", "ClientRead")


@pytest.mark.parametrize(("may_look", "told"), [(False, "cannot be seen from here"), (True, "is not ours to end")])
def test_one_that_is_not_ours_to_end_is_named_with_what_to_do(
    home: Any, monkeypatch: pytest.MonkeyPatch, may_look: bool, told: str
) -> None:
    """Of another user: who waits is told which connection it is and who can end it, and nothing was written."""
    # shows: N14
    monkeypatch.setitem(connection._SESSION, "lock_timeout", "900ms")
    name = home.postgres.partition("@/")[2].partition("?")[0]
    with psycopg.connect(home.postgres, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE plain_{name} LOGIN")
        admin.execute(f"GRANT CREATE ON DATABASE {name} TO plain_{name}")
        if may_look:
            admin.execute(f"GRANT pg_read_all_stats TO plain_{name}")
        plain = Home(home.root, home.views, home.postgres.replace("//daybreak@", f"//plain_{name}@"))
        with plain.open(stopped_s=LIMIT_S) as ledger:
            with holding(home.postgres) as other:
                speak(other, "SELECT 1")
                until_state(home.postgres, other, ("active", "ClientRead"))
                with pytest.raises(LedgerBusy, match="somebody has held") as caught:
                    ledger.append([Draft("queue", step(0))])
                assert state(home.postgres, other) is not None
                pid = other.pgconn.backend_pid
            assert told in caught.value.hint
            assert f"pg_terminate_backend({pid})" in caught.value.hint
            assert ledger.append([Draft("queue", step(0))])[0].seq == 0
            assert incidents(ledger) == []
        admin.execute(f"DROP OWNED BY plain_{name}")
        admin.execute(f"DROP ROLE plain_{name}")


def test_what_could_not_be_said_with_the_commit_is_said_with_the_next(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit with which it was to be said is refused: the incident is not lost."""
    # shows: N14
    monkeypatch.setitem(connection._SESSION, "lock_timeout", "1s")
    with home.open(stopped_s=LIMIT_S) as ledger:
        ledger.append([Draft("queue", step(0))])
        with holding(home.postgres) as other:
            speak(other, "SELECT 1")
            until_state(home.postgres, other, ("active", "ClientRead"))
            with psycopg.connect(home.postgres) as somebody:
                somebody.execute("LOCK TABLE daybreak.event IN SHARE MODE")
                with pytest.raises(LedgerBusy):
                    ledger.append([Draft("queue", step(1))])
        assert incidents(ledger) == []
        ledger.append([Draft("queue", step(1))])
        assert len(incidents(ledger)) == 1
        assert kept(ledger) == [0, 1]


def test_a_newer_server_ends_such_transactions_by_itself_too(home: Any) -> None:
    """Said to those that know the setting, and for connections that append alone: reading takes as long as it takes."""
    assert connection.timed(150_018) == connection.timed(169_999) == []
    assert connection.timed(170_000) == ["SET transaction_timeout = '90s'"]
    with connection.connect(home.postgres, appends=True) as link:
        row = link.execute("SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'").fetchone()
        assert row == (int(link.info.server_version >= connection.TIMED),)


def test_whoever_stands_still_with_a_turn_has_lost_it_after_a_while(
    home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of who tells people: others take it; what it does when it goes on is no error."""
    # shows: N14
    home.open().close()
    monkeypatch.setattr(seats, "TURN_S", LIMIT_S)
    one, two = (PostgresSeats(home.postgres, tmp_path / name, name) for name in ("one", "two"))
    try:
        turn, began_s, taken = one.turn("notifier"), time.monotonic(), None
        with pytest.raises(LockHeld):
            two.turn("notifier")
        while taken is None:
            assert time.monotonic() - began_s < SOON_S
            time.sleep(0.05)
            with contextlib.suppress(LockHeld):
                taken = two.turn("notifier")
        assert time.monotonic() - began_s >= LIMIT_S
        taken.release()
        turn.release()
    finally:
        one.stand()
        two.stand()
