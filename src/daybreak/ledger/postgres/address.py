"""What is written down of a Postgres: a libpq URL, whose password is never shown.

    postgresql://user@host:5432/database?sslmode=verify-full&schema=daybreak

`schema` is ours: the SQL schema with the ledger's tables, so that one database can hold several ledgers. All else is
libpq's; what is not in the URL comes from its own places (PGPASSFILE, PGSERVICEFILE, PGHOST, …).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from daybreak.errors import UsageError

SCHEMA = "daybreak"
_SCHEMES = ("postgresql", "postgres")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SECRET = ("password", "sslpassword", "oauth_client_secret")
_OPEN = ("host", "hostaddr", "port", "dbname", "user", "schema", "sslmode", "connect_timeout", "target_session_attrs")
"""Parameters whose values are shown; of all others only that they are there."""
HIDDEN = "…"


class PostgresAddressWrong(UsageError):
    """What should be the URL of a Postgres is none."""

    code = "U199"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ledger is. `repr` and `str` hold no password."""

    url: str = field(repr=False)
    """For libpq: without what is ours."""
    shown: str
    """For people."""
    schema: str
    secrets: tuple[str, ...] = field(repr=False)
    """What must not appear in any message."""

    def __str__(self) -> str:
        return self.shown

    def masked(self, text: str) -> str:
        """The text without any of our secrets; nothing of it where one is too short to be told from other text."""
        for secret in self.secrets:
            if secret and len(secret) < 4 and secret in text:
                return HIDDEN
            text = text.replace(secret, HIDDEN)
        return text


def parse(text: str) -> Address:
    """Raises PostgresAddressWrong, which repeats nothing of the text."""
    try:
        parts = urlsplit(text)
        query = parts.query.replace("+", "%2B")  # to libpq it is no space
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _wrong("it cannot be read as one") from None
    if parts.scheme not in _SCHEMES or not text.startswith(f"{parts.scheme}://"):
        raise _wrong("it does not begin with postgresql://")
    if not text.isprintable() or " " in text or parts.fragment:
        raise _wrong("it holds a space, a fragment or characters that cannot be seen")
    schema = SCHEMA
    for name, value in pairs:
        if name == "schema":
            schema = value
    if not _NAME.fullmatch(schema) or schema.startswith("pg_") or schema == "public":
        raise _wrong("its schema is not a name of small letters, digits and _ (and neither public nor pg_…)")
    theirs = [pair for pair in pairs if pair[0] != "schema"]
    before, at, host = parts.netloc.rpartition("@")
    user, colon, password = before.partition(":")
    secrets = {password, unquote(password)} | {value for name, value in theirs if name in _SECRET}
    secrets |= {quote(secret, safe="") for secret in secrets}
    shown = urlencode(
        [(name, value if name in _OPEN else HIDDEN) for name, value in pairs], safe=f"/{HIDDEN}", quote_via=quote
    )
    shown_place = f"{user}:{HIDDEN}{at}{host}" if colon else parts.netloc
    return Address(
        url=_joined(parts.scheme, parts.netloc, parts.path, urlencode(theirs, quote_via=quote)),
        shown=_joined(parts.scheme, shown_place, parts.path, shown),
        schema=schema,
        secrets=tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True)),
    )


def _joined(scheme: str, netloc: str, path: str, query: str) -> str:
    """`urlunsplit` leaves the slashes out where there is no host."""
    return f"{scheme}://{netloc}{path}" + (f"?{query}" if query else "")


def holds_password(text: str) -> bool:
    """Is there a password in it? True also of what cannot be read and could hold one."""
    try:
        return bool(parse(text).secrets)
    except PostgresAddressWrong:
        return "@" in text or "password" in text


def _wrong(why: str) -> PostgresAddressWrong:
    return PostgresAddressWrong(
        f"what should be the address of a Postgres is none: {why}",
        hint="write postgresql://user@host/database; special characters in it are percent-encoded.",
    )
