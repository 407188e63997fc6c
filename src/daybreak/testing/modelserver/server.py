"""A model behind HTTP that does as its script says, for every client that speaks OpenAI, Anthropic or Gemini."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from daybreak.clock import Clock, SystemClock
from daybreak.testing.agent import ScriptWrong
from daybreak.testing.modelserver.answers import check
from daybreak.testing.modelserver.asking import Api, Request
from daybreak.testing.modelserver.handler import Handler
from daybreak.testing.modelserver.turns import Injection, Say, Turn

Script = Turn | Sequence[Any] | Callable[[Request], Any]
"""A turn; turns in order, of which the last one stays; or a function that is asked for each request's turn."""

_PREFIXES = {"": "", "openai": "/openai/v1", "anthropic": "/anthropic", "gemini": "/gemini"}


class _Line:
    """A script that is under way."""

    def __init__(self, script: Any) -> None:
        self.asks = script if callable(script) else None
        listed = isinstance(script, Sequence) and not isinstance(script, str)
        self.turns = list(script) if listed else [] if self.asks else [script]
        if not self.asks and not self.turns:
            raise ScriptWrong("an empty script", hint="give at least one turn; the last one stays")
        for turn in self.turns:
            check(turn)
        self.place = 0

    def next(self, request: Request) -> Any:
        if self.asks:
            turn = self.asks(request)
            check(turn)
            return turn
        turn = self.turns[min(self.place, len(self.turns) - 1)]
        if isinstance(turn, Injection):
            if not any(turn.text in output for output in request.tool_outputs):
                return turn.until
            turn = turn.obeyed
        self.place += 1
        return turn


class ModelServer:
    """Listens on a loopback port (and on the socket `unix`, if given) from `with` to its end.

        with ModelServer([Call("write", {"path": "a.py", "text": "x = 1\\n"}), Say("Done.")]) as server:
            client = openai.OpenAI(base_url=server.url("openai"), api_key="any")
            ...
        assert server.requests[1].tool_outputs == ("written",)

    `script` serves whoever has none of their own in `scripts`, whose names are keys of clients, models, operations
    (`chat`, `responses`, `messages`, `generate`) or apis (`openai`, `anthropic`, `gemini`), looked up in this order.
    `keys`: whoever comes with another key is told so, without a turn being used. `aside`: what requests that offer no
    tools are told, without a turn being used; agents make such ones for titles and summaries. `models`: what the lists
    of models name; any name is served.

    Same script, same requests in the same order: same bytes. The one exception is the absolute time in Anthropic's
    headers of a rate limit, which is `clock`'s. Safe to be asked from many threads; each script is then used up in the
    order in which requests come.

    `__exit__` raises what a script function raised, when nothing else is under way; its client saw a 500.
    """

    def __init__(
        self,
        script: Script = Say("Hello."),  # noqa: B008 - frozen
        *,
        scripts: Mapping[str, Script] | None = None,
        keys: Collection[str] | None = None,
        aside: Any = None,
        models: Sequence[str] = ("scripted-1",),
        unix: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._lines = {name: _Line(given) for name, given in (scripts or {}).items()}
        self._line = _Line(script)
        self.keys = keys
        self._aside = aside
        if aside is not None:
            check(aside)
        self.models = tuple(models)
        self.clock = clock or SystemClock()
        self.requests: list[Request] = []
        """Completions, in the order in which they came."""
        self.others: list[Request] = []
        """Lists of models, counts of tokens, and what nobody here understands."""
        self.closing = threading.Event()
        self._unix = unix
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        self._wakes: list[Callable[[], None]] = []
        self._problems: list[BaseException] = []
        self._listeners: list[_Listener] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if problem is None:
            for behind in self._problems:
                raise behind
            return
        for behind in self._problems:
            problem.add_note(f"in the model server: {type(behind).__name__}: {behind}")

    def start(self) -> None:
        """Listen. Raises OSError where the socket's path cannot be used."""
        self._listeners.append(_Listener(self, ("127.0.0.1", 0)))
        if self._unix:
            self._listeners.append(_UnixListener(self, self._unix))
        for listener in self._listeners:
            thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True, name="model server")
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Stop at once: whoever is connected is cut off. May be called twice."""
        self.closing.set()
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()
        with self._changed:
            open_now, wakes = list(self._connections), list(self._wakes)
        for wake in wakes:
            wake()
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._changed.wait_for(lambda: not self._connections, timeout=5)
        for thread in self._threads:
            thread.join(timeout=5)
        self._listeners, self._threads = [], []
        if self._unix:
            self._unix.unlink(missing_ok=True)

    @property
    def port(self) -> int:
        if not self._listeners:
            raise ScriptWrong("the model server is not listening", hint="use it in a `with` statement")
        return int(self._listeners[0].server_address[1])

    def url(self, api: Api | str = "") -> str:
        """What the API's client takes as base URL; without `api` the address with no path.

        `openai`: with `/v1`, as its clients want it; `anthropic`, `gemini`: without, as theirs add it.
        """
        if api not in _PREFIXES:
            raise ScriptWrong(f"no api is called {api!r:.80}", hint="openai, anthropic or gemini")
        return f"http://127.0.0.1:{self.port}{_PREFIXES[api]}"

    def wait_for(self, requests: int, timeout_s: float = 10.0) -> bool:
        """Until so many completions were asked for in all; False when that did not come about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= requests, timeout_s)

    # For the handler of a connection.

    def take(self, request: Request, completion: bool) -> None:
        """Records `request`; a completion gets its number and its turn."""
        with self._changed:
            request.number = len(self.requests) if completion else len(self.others)
            (self.requests if completion else self.others).append(request)
            if completion and self.admits(request):
                request.turn = self._turn(request)
            self._changed.notify_all()

    def admits(self, request: Request) -> bool:
        return self.keys is None or request.key in self.keys

    def _turn(self, request: Request) -> Any:
        if self._aside is not None and not request.tools:
            return self._aside
        names = (request.key, request.model, request.operation, request.api)
        line = next((self._lines[name] for name in names if name in self._lines), self._line)
        return line.next(request)

    def came(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.add(connection)
            if self.closing.is_set():
                connection.shutdown(socket.SHUT_RDWR)

    def left(self, connection: socket.socket) -> None:
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def wakes(self, wake: Callable[[], None]) -> None:
        """`wake` is called when the server closes."""
        with self._changed:
            self._wakes.append(wake)

    def went_wrong(self, problem: BaseException) -> None:
        with self._changed:
            self._problems.append(problem)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, owner: ModelServer, address: Any) -> None:
        self.owner = owner
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's name, which may ask the network."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's business; anything else is told at the end."""
        import sys

        problem = sys.exc_info()[1]
        if problem is not None and not isinstance(problem, OSError):
            self.owner.went_wrong(problem)


class _UnixListener(_Listener):
    address_family = socket.AF_UNIX

    def __init__(self, owner: ModelServer, path: Path) -> None:
        super().__init__(owner, str(path))

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, _ = self.socket.accept()
        return connection, ("", 0)
