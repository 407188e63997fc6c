"""The gateway: a server on a unix socket, in a thread of its own, one for a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import ssl
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from daybreak.agents import protocol
from daybreak.agents.gateway import keys, sockets
from daybreak.agents.gateway.relay import LISTEN, Relay
from daybreak.agents.gateway.reserving import Log, Reserving
from daybreak.agents.gateway.ticket import Spent, Ticket, Tickets, new_token
from daybreak.agents.gateway.way import Way
from daybreak.clock import Clock
from daybreak.errors import HostError, WorkerError
from daybreak.policy.breaker import Breaker, BreakerRule
from daybreak.policy.circuits import LedgerCircuits
from daybreak.settings import PROVIDER_BREAKER, Price, Settings

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

SOCKET = "gateway.sock"
CONNECT_S, SILENCE_S, WRITE_S = 10.0, 600.0, 60.0
"""How long a provider may take to be reached; to say the next word; to take the next part of a request."""
CONNECTIONS_MAX = 200
_START_S = CLOSE_S = 30.0
_RELAY_MORE_S = 60.0
"""A provider's silence is the gateway's to end, which knows what to tell the worker."""
_NO_PROXY = ("all://127.0.0.1", "all://localhost", "all://[::1]")


class GatewayBroken(HostError):
    """The gateway's server could not be started, or is over."""

    code = "W130"


class TicketUnknown(WorkerError):
    """No open ticket has that token."""

    code = "W142"


class TicketRefused(WorkerError):
    """A ticket that cannot be: a limit below nothing, a model that cannot be one."""

    code = "W143"


class Gateway:
    """The only way from sandboxes to models, inside a `with` block. `ticket`, `close_ticket` and `recover` may be
    called from any thread; they wait for the ledger and for requests that are being ended.

    Keys are looked up in `environment` when a ticket is made, and are in this process' memory only. The socket lies in
    `folder` (made where it is missing), or, where its path would be too long for a socket, in a folder of its own below
    the system's temporary one: `socket.parent` is what a sandbox must be able to read. Nobody gets through without
    a token. Log lines hold neither keys nor bodies. `rule` is for the breakers of providers that the settings name none
    for.

    The ledger must have been opened with `policy.accounts.ACCOUNTS` and `policy.circuits.CIRCUITS`.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Log,
        clock: Clock,
        *,
        folder: Path,
        environment: Mapping[str, str],
        rule: BreakerRule | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._settings, self._ledger, self._clock = settings, ledger, clock
        self._folder, self._environment = folder, environment
        self._silence_s = silence_s
        self._rule = rule or BreakerRule()
        self._circuits = LedgerCircuits(ledger, clock)
        self._breakers: dict[str, Breaker] = {}
        self._tickets = Tickets()
        self._reserving = Reserving(ledger, secrets.token_hex(6))
        self._ready, self._over = threading.Event(), threading.Event()
        self._relay: Relay | None = None
        self._relay_lock = threading.Lock()
        self._problem: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.socket = Path()
        """Where it listens."""

    # -- starting and ending

    def __enter__(self) -> Self:
        self._own = contextlib.ExitStack()
        try:
            self._listener = self._listen()
            self._thread = threading.Thread(target=self._serve, name="gateway", daemon=True)
            self._thread.start()
            if not self._ready.wait(_START_S) or self._problem is not None:
                raise GatewayBroken(f"the gateway did not start: {self._problem!r}", hint="see the log")
        except BaseException:
            self._own.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._over.is_set():
                self._run(self._close_all())
        finally:
            self._server.should_exit = True
            self._thread.join()
            self._own.close()

    def _listen(self) -> socket.socket:
        folder = Path(os.path.realpath(self._folder))  # a sandbox knows real paths only
        if len(os.fsencode(folder / SOCKET)) + 9 > sockets.PATH_BYTES_MAX:
            folder = Path(os.path.realpath(self._own.enter_context(tempfile.TemporaryDirectory(prefix="daybreak-"))))
        self.socket = folder / f"{secrets.token_hex(4)}-{SOCKET}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._own.callback(listener.close)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # The sandbox's user is another one. It sees this folder alone; what keeps others out is the folder above.
            folder.chmod(0o755)
            for left in folder.glob(f"*-{SOCKET}"):  # by gateways that died
                sockets.sweep(left)
            listener.bind(str(self.socket))
            self._own.callback(lambda: self.socket.unlink(missing_ok=True))
            self.socket.chmod(0o666)
            listener.listen(128)
        except OSError as problem:
            raise GatewayBroken(
                f"no socket can be made in {str(folder)[-80:]}: {problem.strerror}",
                hint="give a folder of your own on a local disk",
            ) from problem
        return listener

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as problem:  # noqa: BLE001 - kept for whoever waits
            self._problem = problem
        finally:
            self._over.set()
            self._ready.set()

    async def _main(self) -> None:
        import httpx

        from daybreak.agents.gateway.passage import Desk, Passage
        from daybreak.agents.gateway.serving import quiet, server

        self._loop = asyncio.get_running_loop()
        timeout = httpx.Timeout(connect=CONNECT_S, read=self._silence_s, write=WRITE_S, pool=CONNECT_S)
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=20)
        mounts: dict[str, httpx.AsyncBaseTransport | None] = dict.fromkeys(_NO_PROXY)
        client = httpx.AsyncClient(verify=_tls(), timeout=timeout, limits=limits, mounts=mounts, follow_redirects=False)
        with quiet():
            async with client:
                desk = Desk(self._tickets, self._reserving, client, self._breaker, self._clock, self._ledger)
                self._server = server(Passage(desk), self._ready)
                await self._server.serve(sockets=[self._listener])

    def _breaker(self, provider: str) -> Breaker:
        from daybreak.agents.gateway.passage import as_told

        if provider not in self._breakers:
            name = f"{PROVIDER_BREAKER}{provider}"
            told = self._settings.breakers.get(name)
            rule = self._rule if told is None else BreakerRule(**told.model_dump())
            self._breakers[provider] = Breaker(name, rule, self._circuits, classify=as_told, clock=self._clock)
        return self._breakers[provider]

    # -- tickets

    def ticket(
        self,
        run: str,
        attempt: int,
        *,
        provider: str,
        model: str,
        account: str = "",
        money_microusd: int | None = None,
        tokens: int | None = None,
        requests: int = 200,
        network: bool = False,
    ) -> protocol.Gateway:
        """Let an attempt ask a provider. `model`: the one that it gets, whatever it asks for; empty: any. What it uses
        is reserved in `account` (where there is one) and limited by its own money, tokens (in and out together) and
        requests; without a price in the configuration no money can be counted (`price`). Without `network` no tools
        of the provider that reach others, or cost by the use, can be asked for.

        What an earlier process has left reserved for the run is settled. Raises SettingsWrong for an unknown provider,
        KeyAbsent, BudgetMisused for an unknown account, TicketRefused, GatewayBroken."""
        for name, value in (("money_microusd", money_microusd), ("tokens", tokens), ("requests", requests)):
            if value is not None and (type(value) is not int or value < 0):
                raise TicketRefused(f"a ticket with {name}={value!r:.80}", hint="a whole number that is not negative")
        if len(model) > 200 or not model.isprintable() or any(letter in model for letter in "?#% "):
            raise TicketRefused(f"a ticket for the model {model!r:.80}", hint="a model's name as the provider has it")
        found = self._settings.provider(provider)
        key = keys.resolve(provider, found, self._environment, Path(self._settings.path or ".").parent)
        self._reserving.check(account)
        if self._loop is None or self._over.is_set():
            raise _not_running()
        self.recover(run)
        ticket = Ticket(run, attempt, provider, found, model, account, money_microusd, tokens, requests, key, network)
        token = new_token()
        self._run(_later(lambda: self._tickets.add(ticket, token)))
        return protocol.Gateway(url="", token=token, api=found.api, model=model, socket=str(self.socket))

    def way(self, token: str, *, listen: str = LISTEN, advertise: str = "") -> Way:
        """The way of a ticket's attempt from another machine, where `outpost.Outpost` takes it; it ends with the
        ticket. A ticket has one at a time: the one before is ended, so that a node which was taken for lost and comes
        back spends nothing. The first one of all starts the listener of this process (`relay.Relay`); all others must
        want the same. Raises TicketUnknown, RelayBroken, GatewayBroken."""
        with self._relay_lock:
            if self._loop is None or self._over.is_set():
                raise _not_running()
            if self._relay is None:
                relay = Relay(listen=listen, advertise=advertise, idle_s=self._silence_s + _RELAY_MORE_S)
                self._relay = self._own.enter_context(relay)
            self._relay.must_be(listen, advertise)
            way = self._relay.open(str(self.socket))
        led = False
        try:
            led = self._run(self._lead(token, way))
        finally:
            if not led:
                self._relay.close(way)
        if not led:
            raise _no_ticket()
        return way

    def close_ticket(self, token: str) -> Spent:
        """What it has spent, after its requests under way were ended and settled. Raises TicketUnknown."""
        spent = self._run(self._close(token))
        if spent is None:
            raise _no_ticket()
        return spent

    def recover(self, run: str) -> int:
        """Settle at the worst case what a process that died has left reserved for a run's requests; how many there
        were. Only for whoever owns the run; what the engine settles when it takes a run over is settled already."""
        return self._reserving.recover(run)

    def used(self, run: str, attempt: int) -> protocol.Usage:
        """What the ledger says that an attempt has used so far, with what processes that died have left open."""
        self.recover(run)
        return self._reserving.used_by(run, attempt)

    def price(self, provider: str, model: str) -> Price | None:
        """What a model costs; None where the configuration does not say, so that no limit of money holds for it.
        Raises SettingsWrong."""
        prices = self._settings.provider(provider).prices
        return prices.get(model) or prices.get("*")

    # -- inside

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """In the gateway's thread. Raises GatewayBroken."""
        if self._loop is None or self._over.is_set():
            work.close()
            raise _not_running()
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(CLOSE_S)
        except TimeoutError as late:
            raise GatewayBroken(f"the gateway did not answer within {CLOSE_S:g} s", hint="is the disk full?") from late

    async def _lead(self, token: str, way: Way) -> bool:
        ticket = self._tickets.get(token)
        if ticket is None:
            return False
        self._end_way(ticket)
        ticket.way = way
        return True

    async def _close(self, token: str) -> Spent | None:
        ticket = self._tickets.take(token)
        if ticket is None:
            return None
        await self._end(ticket)
        return ticket.spent

    async def _close_all(self) -> None:
        for ticket in self._tickets.all():
            self._tickets.remove(ticket)
            await self._end(ticket)

    async def _end(self, ticket: Ticket) -> None:
        self._end_way(ticket)
        await _ended(ticket)

    def _end_way(self, ticket: Ticket) -> None:
        if ticket.way is not None and self._relay is not None:
            self._relay.close(ticket.way)


@cache
def _tls() -> ssl.SSLContext:
    """Once for a process: reading the authorities takes longer than all the rest of the start."""
    import httpx

    return httpx.create_ssl_context()


def _no_ticket() -> TicketUnknown:
    return TicketUnknown("there is no open ticket with that token", hint="each ticket is closed once")


def _not_running() -> GatewayBroken:
    return GatewayBroken("the gateway is not running", hint="use it inside its `with` block")


async def _ended(ticket: Ticket) -> None:
    """End its requests and wait until they are settled."""
    import anyio

    if ticket.scopes:
        ticket.idle = anyio.Event()
        for scope in list(ticket.scopes):
            scope.cancel()
        await ticket.idle.wait()


async def _later(do: Any) -> None:
    do()
