"""The wall: what a request may cost at worst is set aside before it starts, in its ticket and in its account.

In the account that is done by the ledger (`policy.accounts`), so that no number of attempts, threads and processes can
together spend more than it has. A stream whose worst case does not fit gets what is left and is cut there. An answer
that comes in one piece cannot be cut: its request is refused where what it asks for does not fit, and where it names no
limit it is given one that does (`Held.answer_max`). A stream that goes on past what was set aside gets more while there
is some.

Crash windows: between the commit that reserves and the one that settles, the process may die. What was set aside is
then taken as used, by `recover` or by the engine as it takes the run over (`engine.purse`), whichever comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import anyio
import msgspec

from daybreak import events
from daybreak.agents.gateway import count as counting
from daybreak.agents.gateway.count import Count
from daybreak.agents.gateway.dialects.dialect import Asked
from daybreak.agents.gateway.ticket import Ticket
from daybreak.agents.protocol import Usage
from daybreak.errors import DraftRefused
from daybreak.events import run_stream
from daybreak.ledger.record import Draft, Record
from daybreak.policy.accounts import Accounts
from daybreak.policy.amounts import MOST
from daybreak.policy.budget import Amounts, BudgetMisused, BudgetSpent
from daybreak.settings import Price

_log = logging.getLogger("daybreak.gateway")
E = TypeVar("E", bound=events.Event)

OUTPUT_MIN = 64
"""Tokens of an answer that must be payable (or as many as were asked for) for a request to be worth passing on."""
SLICE = 4_096
"""Tokens of an answer that a stream gets more at a time."""
_TRIES_MAX = 5
_KEY = "/model/"
_FIRST = "SELECT leaf FROM event WHERE stream = ? AND seq = 0"
_OF_RUN = (
    "SELECT iif(length(header) = 0, NULL, payload) FROM event WHERE leaf >= ? AND +stream = ?"
    " AND (length(header) = 0 OR (payload IS NOT NULL AND instr(header, ?) AND instr(payload, ?)))"
)
"""By the order of the ledger, from where the run begins: the stream itself may be years long. NULL for what was pruned,
asked at once with the rest, since somebody may prune at any moment."""


class Log(Protocol):
    """The part of a ledger that is needed here."""

    def append(self, drafts: Sequence[Draft]) -> Sequence[Record]: ...
    async def append_async(self, drafts: Sequence[Draft]) -> Sequence[Record]: ...
    def query(self, sql: str, params: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]: ...
    def read_all(self, *, after: int = -1) -> Iterator[Record]: ...


class TooDear(Exception):
    """It cannot be paid; the text says why."""


@dataclass(slots=True)
class Held:
    """What is set aside for one request."""

    ticket: Ticket
    asked: Asked
    price: Price | None
    keys: list[str] = field(default_factory=list)
    """Of reservations in the account."""
    money: int = 0
    tokens: int = 0
    answer_max: int | None = None
    """Tokens that each answer may have, where the request did not say so and somebody must: it comes in one piece, and
    there is a budget."""
    scarce: bool = False
    """That is less than it would have been given with more left."""


class Reserving:
    """For one gateway; `nonce` tells its reservations from those of processes before it."""

    def __init__(self, log: Log, nonce: str) -> None:
        self._log = log
        self._accounts = Accounts(log)
        self._nonce = nonce
        self._count = 0

    def check(self, account: str) -> None:
        """Raises BudgetMisused where there is no such account."""
        if account:
            self._accounts.left(account)

    def recover(self, run: str) -> int:
        """Settle what processes that died have left set aside for a run's requests: the worst case is taken as used.
        How many there were. Only for whoever owns the run."""
        own = f"{_KEY}{self._nonce}/"
        settled = 0
        for row in self._accounts.reserved_by(run):
            if not row.key.startswith(f"{run}{_KEY}") or own in row.key:
                continue
            try:
                event, _ = self._accounts.settle(row.key, row.worst, run=run, presumed=True)
                self._log.append([Draft(events.POLICY, event)])
                settled += 1
            except (BudgetMisused, DraftRefused) as problem:
                if isinstance(problem, DraftRefused) and not isinstance(Accounts.refusal(problem), BudgetMisused):
                    raise
                _log.info("a reservation of run %s was settled by somebody else", run)
        return settled

    def used_by(self, run: str, attempt: int) -> Usage:
        """What the ledger says that an attempt has used so far, by this process and by those before it; where one died
        and an account was reserved in, at the worst case."""
        first = self._log.query(_FIRST, (run_stream(run),))
        start = first[0][0] if first else 0
        used = Usage()
        for call in self._of_run(events.ModelCalled, run, start):
            used = _plus(used, call, run, attempt)
        for settled in self._of_run(events.BudgetSettled, run, start):
            used = _plus(used, settled, run, attempt)
        return used

    def _of_run(self, kind: type[E], run: str, start: int) -> list[E]:
        """Events of that kind with the run's name in them, from a leaf of the ledger on."""
        mark = f'"type":"{kind.type}"'.encode()
        rows = self._log.query(_OF_RUN, (start, events.POLICY, mark, msgspec.json.encode(run)))
        if any(payload is None for (payload,) in rows):  # what is in archives no query sees
            told = [one for one in self._log.read_all(after=start - 1) if one.stream == events.POLICY]
            named = [one.event for one in told if msgspec.json.encode(run) in one.payload]
            return [event for event in named if isinstance(event, kind)]
        return [msgspec.json.decode(payload, type=kind) for (payload,) in rows]

    async def reserve(self, ticket: Ticket, asked: Asked) -> Held:
        """Raises TooDear, and what the ledger raises."""
        if ticket.asked >= ticket.requests:
            raise TooDear(f"all {ticket.requests} requests of this attempt are used")
        held = Held(ticket, asked, ticket.price(asked.model))
        if asked.output_max == 0 and asked.input_tokens == 0:
            ticket.asked += 1
            return held  # asks no model
        ticket.asked += 1
        try:
            unlimited = not asked.stream and not asked.output_said
            few = min(OUTPUT_MIN * asked.answers, asked.output_max)
            least = few if asked.stream or unlimited else asked.output_max
            money = counting.worst_microusd(held.price, asked.input_tokens, 0, asked.input_factor)
            output = await self._more(held, money, asked.input_tokens, asked.output_max, least)
            if unlimited and self._bounded(held):
                held.answer_max, held.scarce = output // asked.answers, output < asked.output_max
        except BaseException:
            ticket.asked -= 1
            raise
        return held

    async def extend(self, held: Held, count: Count) -> bool:
        """A stream has used more than was set aside: is there more? Never raises for a budget."""
        money, tokens = self.used(held, count)
        try:
            await self._more(held, max(0, money - held.money), max(0, tokens - held.tokens), SLICE, 0)
        except TooDear:
            return False
        return True

    def used(self, held: Held, count: Count) -> tuple[int, int]:
        """Money and tokens so far."""
        return counting.money_microusd(held.price, count), count.tokens

    async def settle(self, held: Held, count: Count | None, call: events.ModelCalled) -> None:
        """What was really used in place of what was set aside, in one commit with the call. Without a count: nothing
        was used. The ticket's sums are right at once; raises what the ledger raises."""
        ticket = held.ticket
        money, tokens = self.used(held, count) if count is not None else (0, 0)
        _free(held)
        _spend(ticket, money, count)
        drafts = [Draft(events.POLICY, event) for event in self._settlements(held, money, tokens)]
        try:
            await self._log.append_async([*drafts, Draft(events.POLICY, call)])
        except DraftRefused as problem:
            if not drafts or not isinstance(Accounts.refusal(problem), BudgetMisused):
                raise
            # Somebody else (the end of the run) has settled it at the worst case meanwhile.
            await self._log.append_async([Draft(events.POLICY, call)])

    # -- inside

    def _settlements(self, held: Held, money: int, tokens: int) -> list[events.BudgetSettled]:
        settled = []
        for at, key in enumerate(held.keys):
            used = Amounts(money_microusd=min(money, MOST), tokens=min(tokens, MOST)) if at == 0 else Amounts()
            try:
                event, told = self._accounts.settle(key, used, run=held.ticket.run)
            except BudgetMisused:
                _log.warning("a request of run %s was settled at its worst case before it ended", held.ticket.run)
                continue
            settled.append(event)
            for one in told:
                if not one.overrun:
                    _log.warning("account %s: %d of %d %s are used", one.account, one.used, one.limit, one.amount)
        return settled

    async def _more(self, held: Held, base_money: int, base_tokens: int, output: int, least: int) -> int:
        """Set aside so much money and so many tokens, and beside them as much output as fits between `least` and
        `output`; how much that is. Raises TooDear."""
        ticket, why = held.ticket, ""
        for _ in range(_TRIES_MAX):
            fits = self._fitting(held, base_money, base_tokens, output)
            if fits < least:
                raise TooDear(why or _why(ticket, least))
            money = base_money + counting.worst_microusd(held.price, 0, fits)
            tokens = base_tokens + fits
            _put(held, money, tokens)
            try:
                await self._reserve(held, Amounts(money_microusd=money, tokens=tokens))
            except BudgetSpent as spent:
                _put(held, -money, -tokens)
                why = spent.message  # somebody else was quicker: perhaps less fits
            except BaseException:
                _put(held, -money, -tokens)
                raise
            else:
                return fits
        raise TooDear(why)

    async def _reserve(self, held: Held, worst: Amounts) -> None:
        """Raises BudgetSpent."""
        ticket = held.ticket
        if not ticket.account:
            return
        self._count += 1
        key = f"{ticket.run}{_KEY}{self._nonce}/{ticket.attempt}/{self._count}"
        event = self._accounts.reserve(key, ticket.account, worst, run=ticket.run)
        try:
            with anyio.CancelScope(shield=True):  # a cancelled commit may be there all the same
                await self._log.append_async([Draft(events.POLICY, event)])
        except DraftRefused as problem:
            raise (Accounts.refusal(problem) or problem) from problem
        held.keys.append(key)

    def _left(self, held: Held) -> tuple[list[int | None], list[int | None]]:
        """Money and tokens that ticket and account have; None: they set no limit."""
        money, tokens = [held.ticket.money_left], [held.ticket.tokens_left]
        if held.ticket.account:
            left = self._accounts.left(held.ticket.account)
            money.append(left.money_microusd)
            tokens.append(left.tokens)
        return money, tokens

    def _bounded(self, held: Held) -> bool:
        """Is there a budget that tokens of output use up? Of money only where they have a price."""
        money, tokens = self._left(held)
        paid = held.price is not None and held.price.output > 0
        return any(one is not None for one in tokens) or (paid and any(one is not None for one in money))

    def _fitting(self, held: Held, base_money: int, base_tokens: int, output: int) -> int:
        """Tokens of output, at most `output`, that ticket and account can pay beside the base; -1: not even that."""
        money, tokens = self._left(held)
        fits = output
        for limit in tokens:
            if limit is not None:
                fits = min(fits, limit - base_tokens)
        for limit in money:
            if limit is not None:
                fits = min(fits, counting.affordable(held.price, limit - base_money))
        return max(fits, -1)


def _plus(used: Usage, event: events.ModelCalled | events.BudgetSettled, run: str, attempt: int) -> Usage:
    """With this event, where it is about that attempt."""
    if isinstance(event, events.ModelCalled):
        if (event.run, event.attempt) != (run, attempt) or event.status == 0:
            return used
        return Usage(
            requests=used.requests + 1,
            input_tokens=used.input_tokens + event.input_tokens,
            cached_tokens=used.cached_tokens + event.cached_tokens,
            output_tokens=used.output_tokens + event.output_tokens,
            money_microusd=used.money_microusd + event.money_microusd,
        )
    begin, _, rest = event.key.rpartition(_KEY)
    if not event.presumed or begin != run or rest.split("/")[1:2] != [str(attempt)]:
        return used
    return msgspec.structs.replace(
        used,
        requests=used.requests + 1,
        input_tokens=used.input_tokens + event.used.get("tokens", 0),
        money_microusd=used.money_microusd + event.used.get("money_microusd", 0),
    )


def _put(held: Held, money: int, tokens: int) -> None:
    held.money, held.tokens = held.money + money, held.tokens + tokens
    held.ticket.money_reserved += money
    held.ticket.tokens_reserved += tokens


def _free(held: Held) -> None:
    _put(held, -held.money, -held.tokens)


def _spend(ticket: Ticket, money: int, count: Count | None) -> None:
    before, count = ticket.usage, count or Count()
    ticket.usage = Usage(
        requests=before.requests + 1,
        input_tokens=before.input_tokens + count.input_tokens,
        cached_tokens=before.cached_tokens + count.cached_tokens,
        output_tokens=before.output_tokens + count.output_now,
        money_microusd=before.money_microusd + money,
    )


def _why(ticket: Ticket, least: int) -> str:
    own = ticket.money_left == 0 or ticket.tokens_left == 0
    left = []
    if ticket.money_left is not None:
        left.append(f"{ticket.money_left / 1_000_000:.6f} USD")
    if ticket.tokens_left is not None:
        left.append(f"{ticket.tokens_left} tokens")
    of_ticket = f"; left for this attempt: {', '.join(left)}" if left else ""
    return f"the budget {'is used up' if own else f'cannot pay this request with {least} tokens of answer'}{of_ticket}"
