"""One connection to a Postgres, with a limit on everything that could hang: connecting, a lock, a statement, an answer.

Commits are synced before they are acknowledged, whatever the server's default is.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol, Self

from daybreak.ledger.database import BUSY_S
from daybreak.ledger.postgres.address import Address, parse
from daybreak.ledger.postgres.problems import PostgresUnusable

try:
    import psycopg
    from psycopg import errors
    from psycopg.rows import TupleRow
except ImportError as error:
    raise PostgresUnusable(
        f"a ledger on Postgres needs the library psycopg, which cannot be loaded ({error})",
        hint="install daybreak[postgres].",
    ) from error

if TYPE_CHECKING:
    from psycopg.abc import PQGen

OLDEST = 150_000
"""`server_version_num` of Postgres 15."""

CONNECT_S = 10
ANSWER_S = BUSY_S + 15.0
"""So long an answer may take; the server gives up before."""
HELD_S = BUSY_S / 2
"""A transaction whose client says nothing for so long is ended by the server, and its lock is free. That does not count
in the middle of what a client says; for that, see `stopped`."""
TIMED = 170_000
"""From this Postgres on, the server ends transactions that last too long, wherever they stand still."""
WHOLE_S = BUSY_S + HELD_S
"""So long a transaction that appends may last, with its wait for the lock."""

_KEEPALIVES: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "target_session_attrs": "read-write",
    "application_name": "daybreak",
}
"""Unless the URL says otherwise."""

_SESSION = {
    "client_encoding": "UTF8",
    "default_transaction_isolation": "read committed",
    "lock_timeout": f"{BUSY_S:.0f}s",
    "statement_timeout": f"{BUSY_S + 5:.0f}s",
    "idle_in_transaction_session_timeout": f"{HELD_S:.0f}s",
}

_LOST = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.IdleSessionTimeout,
    *([errors.TransactionTimeout] if hasattr(errors, "TransactionTimeout") else []),
    errors.ReadOnlySqlTransaction,
)
_BUSY = (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected, errors.SerializationFailure)


def _is_news(record: logging.LogRecord) -> bool:
    """psycopg warns of a pipeline that ended with a lost connection, of which the caller hears by an error anyway."""
    return not str(record.msg).startswith("error ignored terminating")


logging.getLogger("psycopg").addFilter(_is_news)


class Watching(Protocol):
    """Something to be done while an answer is waited for."""

    next_s: float
    """After how much more of that."""

    def look(self) -> None: ...


class Link(psycopg.Connection[TupleRow]):
    """A connection in autocommit, to be used by one thread at a time. Transactions are begun by hand."""

    address: Address
    answer_s = ANSWER_S
    """How long to wait for an answer before the connection is given up."""
    watch: Watching | None = None

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        end_s = time.monotonic() + self.answer_s
        while True:
            left_s, watch = end_s - time.monotonic(), self.watch
            try:
                return super().wait(gen, interval, left_s if watch is None else min(left_s, watch.next_s))
            except errors._WaitTimeout:
                if watch is None or watch.next_s >= left_s:
                    self.pgconn.finish()  # the answer may come at any time and would be taken for that to another
                    raise psycopg.OperationalError(f"no answer within {self.answer_s:.0f} s") from None
            watch.look()  # and go on waiting, at our place in the queue

    @property
    def schema(self) -> str:
        """The name of the SQL schema, quoted."""
        return f'"{self.address.schema}"'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()  # psycopg's own would commit


def connect(url: str | Address, *, name: str = "daybreak", appends: bool = False) -> Link:
    """A connection to the ledger's Postgres, whose search path is the ledger's schema. `name` is what the server shows
    of it; `appends`: its transactions have the ledger's lock. Changes nothing there.

    Raises PostgresAddressWrong; PostgresUnusable where it cannot be reached, is older than 15, no UTF-8 or read-only.
    """
    address = url if isinstance(url, Address) else parse(url)
    told = _read(address)
    if told is None:  # what libpq says of it may repeat the password, and is forgotten
        raise PostgresUnusable(
            f"{address} cannot be read by libpq",
            hint="see https://www.postgresql.org/docs/current/libpq-connect.html for what may stand there.",
        )
    try:
        link = Link.connect("", autocommit=True, **{**_KEEPALIVES, "application_name": name, **told})
    except psycopg.Error as error:
        raise unusable(address, error) from None
    link.address = address
    try:
        _settle(link, appends=appends)
    except psycopg.Error as error:
        link.close()
        raise unusable(address, error) from None
    except BaseException:
        link.close()
        raise
    return link


def _read(address: Address) -> dict[str, Any] | None:
    try:
        return psycopg.conninfo.conninfo_to_dict(address.url)
    except psycopg.Error:
        return None


def _settle(link: Link, *, appends: bool) -> None:
    row = link.execute(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery(), "
        + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
        + f", set_config('search_path', '{link.schema}', false)"
        # remote_apply waits for more than `on` does; everything else waits for less
        + ", set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
        " WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
    ).fetchone()
    assert row is not None
    version, encoding, standby = row[:3]
    link.prepare_threshold = 0  # every statement comes again and again
    if version < OLDEST:
        raise PostgresUnusable(
            f"{link.address} is Postgres {version // 10_000}, and 15 is the oldest that can hold a ledger",
            hint="use a newer server.",
        )
    if encoding != "UTF8":
        raise PostgresUnusable(
            f"the database of {link.address} is encoded as {encoding}, and a ledger needs UTF8",
            hint="make another database: CREATE DATABASE daybreak ENCODING 'UTF8' TEMPLATE template0.",
        )
    if standby:
        raise PostgresUnusable(
            f"{link.address} is a standby, which takes nothing", hint="name the primary server in the address."
        )
    if appends:
        for setting in timed(version):
            link.execute(setting, prepare=False)


def timed(version: int) -> list[str]:
    """What else limits transactions that append, on a server of that `server_version_num`."""
    return [f"SET transaction_timeout = '{WHOLE_S:.0f}s'"] if version >= TIMED else []


def unusable(address: Address, error: BaseException) -> PostgresUnusable:
    """What psycopg says, as one of ours, without a password."""
    return PostgresUnusable(
        f"the ledger's Postgres {address} cannot be used: {said(address, error)}",
        hint="check the address, that the server runs, its rights and its log; nothing was changed.",
    )


def said(address: Address, error: BaseException) -> str:
    """The error in one line, without a password."""
    state = getattr(error, "sqlstate", None)
    text = address.masked(" ".join(str(error).split())) or type(error).__name__
    return f"{text} ({state})" if state else text


def is_lost(link: Link, error: psycopg.Error) -> bool:
    """Is the connection of no use any more?"""
    return link.closed or link.broken or isinstance(error, _LOST)


def is_busy(error: psycopg.Error) -> bool:
    """Did somebody hold what we waited for?"""
    return isinstance(error, _BUSY)
