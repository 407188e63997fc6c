"""One connection of a client: reads requests, finds their API, and tells what the turn says, or breaks as it says."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import zlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import parse_qs, urlsplit

from daybreak.testing.modelserver import listing
from daybreak.testing.modelserver.answers import Answer, Failure, answer, input_tokens
from daybreak.testing.modelserver.anthropic_messages import AnthropicMessages
from daybreak.testing.modelserver.asking import Api, Content, Operation, Outcome, Request
from daybreak.testing.modelserver.frames import encode
from daybreak.testing.modelserver.gemini_generate import GeminiGenerate
from daybreak.testing.modelserver.openai_chat import OpenAIChat
from daybreak.testing.modelserver.openai_responses import OpenAIResponses
from daybreak.testing.modelserver.turns import (
    Broken,
    ContextTooLong,
    Dropped,
    Failing,
    Html,
    Pace,
    Say,
    Slow,
    Stalled,
    Unauthorized,
)

if TYPE_CHECKING:
    from datetime import datetime

    from daybreak.testing.modelserver.server import ModelServer


class Dialect(Protocol):
    """How an API puts what it says."""

    def read(self, body: Mapping[str, Any], path: str) -> Content: ...
    def whole(self, answer: Answer, request: Request) -> dict[str, Any]: ...
    def frames(self, answer: Answer, request: Request) -> list[bytes]: ...
    def failure(self, fault: Failing, request: Request, now: datetime) -> Failure: ...
    def failure_frames(self, failure: Failure, request: Request) -> list[bytes]: ...


_CHAT, _RESPONSES, _ANTHROPIC, _GEMINI = OpenAIChat(), OpenAIResponses(), AnthropicMessages(), GeminiGenerate()
_ROUTES: tuple[tuple[str, str, Api, Operation, Dialect], ...] = (
    ("POST", r"/chat/completions$", "openai", "chat", _CHAT),
    ("POST", r"/responses$", "openai", "responses", _RESPONSES),
    ("POST", r"/messages$", "anthropic", "messages", _ANTHROPIC),
    ("POST", r"/messages/count_tokens$", "anthropic", "count", _ANTHROPIC),
    ("POST", r":(generateContent|streamGenerateContent)$", "gemini", "generate", _GEMINI),
    ("POST", r":countTokens$", "gemini", "count", _GEMINI),
)
_BODY_MAX = 64 * 2**20


class _Left(Exception):
    """The client went away, or the server closes."""


class Handler(BaseHTTPRequestHandler):
    """See the module."""

    protocol_version = "HTTP/1.1"
    server_version = "ModelServer"
    sys_version = ""

    @property
    def owner(self) -> ModelServer:
        return cast("ModelServer", self.server.owner)  # type: ignore[attr-defined]

    def setup(self) -> None:
        self.owner.came(self.request)
        if self.request.family != socket.AF_UNIX:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.owner.left(self.request)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: what came is in `server.requests`."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET

    def _serve(self) -> None:
        try:
            request, dialect = self._request()
        except (ValueError, EOFError, zlib.error):
            self.close_connection = True
            self._misunderstood(400, "the body cannot be read")
            return
        completion = dialect is not None and request.operation != "count"
        try:
            self.owner.take(request, completion)
        except Exception:
            self.close_connection = True
            self._fail(dialect or _CHAT, Broken(), request)
            request.end("answered")
            raise  # `__exit__` of the server tells it
        outcome: Outcome = "answered"
        try:
            self._answer(request, dialect, completion)
        except (_Left, OSError):
            self.close_connection = True
            outcome = "server closed" if self.owner.closing.is_set() else "client left"
        except _Cut:
            self.close_connection = True
            outcome = "cut"
        except Exception:
            self.close_connection = True
            raise
        finally:
            request.end(outcome)

    def _request(self) -> tuple[Request, Dialect | None]:
        raw = self._body()
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = json.loads(raw) if raw else {}
        except (ValueError, RecursionError):
            body = raw
        api, operation, dialect = _route(self.command, parts.path, headers)
        good = isinstance(body, dict)
        content = dialect.read(body, self.path) if dialect and good else Content()
        key = _key(headers, parts.query)
        made = Request(-1, api, operation, self.command, self.path, headers, body, key, content)
        return made, dialect if good else None

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            raw = b"".join(self._chunks())
        else:
            raw = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _BODY_MAX))
        match self.headers.get("Content-Encoding", "").lower():
            case "gzip":
                return zlib.decompress(raw, zlib.MAX_WBITS | 16)
            case "deflate":
                return zlib.decompress(raw)
            case "zstd":
                return _unpacked(raw)
            case _:
                return raw

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _answer(self, request: Request, dialect: Dialect | None, completion: bool) -> None:
        if not self.owner.admits(request):
            self._fail(dialect or _of(request.api), Unauthorized(), request)
        elif completion and dialect:
            self._play(request.turn, dialect, request)
        elif request.operation == "count":
            counted = input_tokens(request.content)
            name = "input_tokens" if request.api == "anthropic" else "totalTokens"
            self._send(200, encode({name: counted}))
        elif request.operation == "models":
            status, body = listing.models(request, self.owner.models)
            self._send(status, encode(body))
        elif not isinstance(request.body, dict):
            self._misunderstood(400, "the body is no JSON object")
        else:
            self._misunderstood(404, f"Unknown request URL: {request.method} {request.path:.200}")

    def _misunderstood(self, status: int, told: str) -> None:
        self._send(status, encode({"error": {"message": told, "type": "invalid_request_error", "code": status}}))

    def _play(self, turn: Any, dialect: Dialect, request: Request) -> None:
        """Does what `turn` says. Raises _Cut and _Left where the connection is over with that."""
        if isinstance(turn, Failing):
            self._fail(dialect, turn, request)
            return
        match turn:
            case Html(status=status):
                self._send(status, listing.page(turn).encode(), kind="text/html; charset=utf-8")
            case Slow(turn=inner, pace=pace):
                self.owner.wakes(pace.wake)
                self._tell(inner, dialect, request, pace=pace)
            case Dropped(turn=inner, after=after, clean=clean):
                self._tell(inner, dialect, request, after=after, cut=True)
                if not clean:
                    raise _Cut
                self._end_stream(request)
            case Stalled(turn=inner, after=after, opened=opened):
                if opened:
                    self._tell(inner, dialect, request, after=after, cut=True)
                self._silence()
            case _:
                self._tell(turn, dialect, request)

    def _tell(
        self,
        turn: Any,
        dialect: Dialect,
        request: Request,
        *,
        pace: Pace | None = None,
        after: int | None = None,
        cut: bool = False,
    ) -> None:
        """An answer, whole or streamed; with `cut` only `after` frames of it (half of it where that is None)."""
        told = answer(turn, request)
        if not request.stream:
            body = encode(dialect.whole(told, request))
            self._wait(pace)
            self._send(200, body, sent=len(body) // 2 if cut else len(body))
            self._sent(pace)
            return
        frames = dialect.frames(told, request)
        kept = frames[: len(frames) // 2 if after is None else after] if cut else frames
        self._open_stream(request)
        for frame in kept:
            self._wait(pace)
            self._chunk(frame)
            self._sent(pace)
        if not cut:
            self._end_stream(request)

    def _fail(self, dialect: Dialect, fault: Failing, request: Request) -> None:
        failure = dialect.failure(fault, request, self.owner.clock.now())
        midway = fault.midway
        if midway is None and isinstance(fault, ContextTooLong):
            midway = request.operation == "responses"
        if not (midway and request.stream):
            self._send(failure.status, encode(failure.body), headers=failure.headers)
            return
        begun = dialect.frames(answer(Say("I will begin with"), request), request)
        self._open_stream(request)
        for frame in [*begun[: len(begun) // 2], *dialect.failure_frames(failure, request)]:
            self._chunk(frame)
        self._end_stream(request)

    def _send(
        self,
        status: int,
        body: bytes,
        *,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
        sent: int | None = None,
    ) -> None:
        """An answer of known length, of which only `sent` bytes may go."""
        self._head(status, {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body if sent is None else body[:sent])

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        """Without a date, so that the bytes are the same on any day."""
        phrase = {529: "Overloaded"}.get(status) or HTTPStatus(status).phrase
        self.send_response_only(status, phrase)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:  # said, so that no client begins its next request in the moment before it goes
            self.send_header("Connection", "close")
        self.end_headers()

    def _open_stream(self, request: Request) -> None:
        sse = request.api != "gemini" or "alt=sse" in request.path
        kind = "text/event-stream; charset=utf-8" if sse else "application/json"
        headers = {"Content-Type": kind, "Cache-Control": "no-cache", "Transfer-Encoding": "chunked"}
        self._head(200, headers)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _end_stream(self, request: Request) -> None:
        if request.stream:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def _wait(self, pace: Pace | None) -> None:
        if pace and not pace.take(self.owner.closing):
            raise _Left

    def _sent(self, pace: Pace | None) -> None:
        if pace:
            pace.was_sent()

    def _silence(self) -> None:
        """Until the other side is gone; closing the server ends the connection, so that this ends as well."""
        with contextlib.suppress(OSError):
            self.connection.recv(1, socket.MSG_PEEK)
        raise _Left


class _Cut(Exception):
    """The turn ends the connection here."""


def _unpacked(raw: bytes) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    except zstandard.ZstdError as problem:
        raise ValueError(str(problem)) from problem


def _of(api: Api) -> Dialect:
    known: dict[Api, Dialect] = {"openai": _CHAT, "anthropic": _ANTHROPIC, "gemini": _GEMINI}
    return known[api]


def _route(method: str, path: str, headers: Mapping[str, str]) -> tuple[Api, Operation, Dialect | None]:
    trimmed = path.rstrip("/")
    for wanted, pattern, api, operation, dialect in _ROUTES:
        if method == wanted and re.search(pattern, trimmed):
            return api, operation, dialect
    guessed: Api = "openai"
    if "x-goog-api-key" in headers or trimmed.startswith("/gemini") or "/v1beta" in trimmed:
        guessed = "gemini"
    elif "anthropic-version" in headers or "x-api-key" in headers or trimmed.startswith("/anthropic"):
        guessed = "anthropic"
    known = method in ("GET", "HEAD") and re.search(r"/models(/.+)?$", trimmed)
    return guessed, "models" if known else "unknown", None


def _key(headers: Mapping[str, str], query: str) -> str:
    for name in ("x-api-key", "x-goog-api-key"):
        if name in headers:
            return headers[name]
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    return next(iter(parse_qs(query).get("key", [])), "")
