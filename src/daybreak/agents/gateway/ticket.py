"""A ticket: who may ask which model, for how much; and what it has spent."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote_plus

import anyio

from daybreak.agents.gateway import troubles
from daybreak.agents.gateway.way import Way
from daybreak.agents.protocol import Trouble, Usage
from daybreak.clock import stamp
from daybreak.settings import Price, Provider

TOKEN_PREFIX = "dbg-"
_TOKEN_CHARS_MAX = 200
AT_ONCE_MAX = 16
"""Requests of one attempt."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What an attempt has used by the gateway's count, which goes before what the worker says."""

    usage: Usage = field(default_factory=Usage)
    trouble: Trouble = ""
    """The worst that was seen, whether the worker got over it or not."""
    last: Trouble = ""
    """Of its last request: empty where that went well."""
    until: str = ""
    """With `quota` and `outage`: when it is worth trying again, as RFC 3339; empty where nobody said."""
    estimated: int = 0
    """Requests whose tokens nobody told."""
    unpriced: int = 0
    """Requests to a model without a price in the configuration: they cost nothing that is known."""
    refused: int = 0
    """Requests that the gateway did not pass on."""


@dataclass(slots=True)
class Ticket:
    """Belongs to the gateway's thread once it is known there. Amounts are whole numbers as in `policy.budget`."""

    run: str
    attempt: int
    provider_name: str
    provider: Provider
    model: str
    account: str
    money_microusd: int | None
    tokens: int | None
    requests: int
    key: str = field(repr=False)
    network: bool = False
    """It may use tools of the provider's that reach others."""
    digest: bytes = field(repr=False, default=b"")
    closed: bool = False
    places: anyio.CapacityLimiter = field(repr=False, default_factory=lambda: anyio.CapacityLimiter(AT_ONCE_MAX))
    """For requests at once; further ones wait, so that no attempt can take all connections, or fill our memory."""
    scopes: set[anyio.CancelScope] = field(default_factory=set)
    """Of the requests under way."""
    way: Way | None = None
    """From another machine to the gateway's socket."""
    idle: anyio.Event | None = None
    """Set when the last of them is over, once it is closed."""

    money_reserved: int = 0
    tokens_reserved: int = 0
    asked: int = 0
    """Requests that were passed on."""
    usage: Usage = field(default_factory=Usage)
    trouble: Trouble = ""
    last: Trouble = ""
    until: datetime | None = None
    estimated: int = 0
    unpriced: int = 0
    refused: int = 0
    told: set[str] = field(default_factory=set)
    """Kinds of refusals that the ledger knows of."""

    def price(self, model: str) -> Price | None:
        prices = self.provider.prices
        return prices.get(model) or prices.get("*")

    @property
    def money_left(self) -> int | None:
        """Neither spent nor set aside; None: no limit of its own."""
        if self.money_microusd is None:
            return None
        return max(0, self.money_microusd - self.usage.money_microusd - self.money_reserved)

    @property
    def tokens_left(self) -> int | None:
        if self.tokens is None:
            return None
        used = self.usage.input_tokens + self.usage.output_tokens
        return max(0, self.tokens - used - self.tokens_reserved)

    def note(self, trouble: Trouble, until: datetime | None) -> None:
        """How a request went."""
        self.last = trouble
        if troubles.worse(trouble, self.trouble) == trouble != self.trouble:
            self.trouble, self.until = trouble, until
        elif trouble == self.trouble and until is not None:
            self.until = until if self.until is None else max(until, self.until)

    @property
    def spent(self) -> Spent:
        return Spent(
            usage=self.usage,
            trouble=self.trouble,
            last=self.last,
            until=stamp(self.until) if self.until is not None else "",
            estimated=self.estimated,
            unpriced=self.unpriced,
            refused=self.refused,
        )


def new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Tickets:
    """Those that are open, by token."""

    def __init__(self) -> None:
        self._open: dict[bytes, Ticket] = {}

    def add(self, ticket: Ticket, token: str) -> None:
        ticket.digest = digest(token)
        self._open[ticket.digest] = ticket

    def get(self, token: str) -> Ticket | None:
        return self._open.get(digest(token))

    def take(self, token: str) -> Ticket | None:
        """Closed from here on."""
        ticket = self._open.pop(digest(token), None)
        if ticket is not None:
            ticket.closed = True
        return ticket

    def remove(self, ticket: Ticket) -> None:
        self._open.pop(ticket.digest, None)
        ticket.closed = True

    def all(self) -> list[Ticket]:
        return list(self._open.values())

    def find(self, scope_headers: list[tuple[bytes, bytes]], query: bytes) -> Ticket | None:
        """The ticket whose token a request carries, in the header (or, for Gemini, the query) of any of the APIs.

        What is looked up are hashes, so that how long it takes says nothing about tokens."""
        for token in _tokens(scope_headers, query):
            if len(token) <= _TOKEN_CHARS_MAX:
                found = self._open.get(wanted := digest(token))
                if found is not None and hmac.compare_digest(found.digest, wanted):
                    return found
        return None


def _tokens(headers: list[tuple[bytes, bytes]], query: bytes) -> Iterator[str]:
    for name, value in headers:
        if name in (b"x-api-key", b"x-goog-api-key", b"api-key"):
            yield value.decode("latin-1").strip()
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            yield value[7:].decode("latin-1").strip()
    for part in query.split(b"&"):
        if part.startswith(b"key="):
            yield unquote_plus(part[4:].decode("latin-1"))
