"""Runs `http` blocks against one server on 127.0.0.1, and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import httpx

from daybreak.checks.examples import exchange, pattern
from daybreak.checks.examples.exchange import Answer, Exchange, Request

BODY_BYTES_MAX = 5_000_000
LOCAL_NAMES = ("127.0.0.1", "localhost")
_SHOWN_CHARS_MAX = 2_000
_VISIBLE = "".join(map(chr, range(33, 127)))


@dataclass(frozen=True, slots=True)
class Got:
    """An answer as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class Talk:
    """What was said, and what was not as expected: (line in the block, message)."""

    problems: list[tuple[int, str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    caught: dict[str, str] = field(default_factory=dict)


class _NoAnswer(Exception):
    """No whole answer came; the message says why."""


def hold(exchanges: Sequence[Exchange], port: int, *, timeout_s: float, stop_early: bool = False) -> Talk:
    """Send each request in order and compare its answer. Goes on after a difference unless `stop_early`."""
    talk = Talk()
    deadline = time.monotonic() + timeout_s
    for one in exchanges:
        _hold_one(one, port, deadline, talk)
        if stop_early and talk.problems:
            break
    return talk


def _hold_one(one: Exchange, port: int, deadline: float, talk: Talk) -> None:
    try:
        request = _filled(one.request, talk.caught)
        target = local_target(request.target, port)
    except KeyError as missing:
        talk.problems.append((one.request.line, f"not sent: nothing was caught as {missing.args[0]!r}"))
        return
    except ValueError as elsewhere:
        talk.problems.append((one.request.line, f"not sent: {elsewhere}"))
        return
    said = f"{request.method} {request.target}"
    talk.log += [said, *_shown(request.body), ""]
    try:
        got = send(request, target, port, deadline)
    except _NoAnswer as why:
        talk.log += [f"({why})", ""]
        talk.problems.append((one.request.line, f"{said}: {why}"))
        return
    headers = [f"{name}: {value}" for name, value in got.headers]
    talk.log += [str(got.status), *headers, *_shown(got.text), ""]
    try:
        problems = _compare(one.answer, got, talk.caught)
    except KeyError as missing:
        problems = [f"nothing was caught as {missing.args[0]!r}, which the expected answer needs"]
    talk.problems += [(one.answer.line, f"{said}: {problem}") for problem in problems]


def _shown(body: str) -> list[str]:
    return [body if len(body) <= _SHOWN_CHARS_MAX else body[:_SHOWN_CHARS_MAX] + "…"] if body else []


def _filled(request: Request, caught: dict[str, str]) -> Request:
    return Request(
        request.method,
        exchange.fill(request.target, caught),
        tuple((name, exchange.fill(value, caught)) for name, value in request.headers),
        exchange.fill(request.body, caught),
        request.line,
    )


def local_target(target: str, port: int) -> str:
    """The path and query to ask for. Raises ValueError for a URL that leads anywhere but to this server."""
    if target.startswith("/"):
        return target
    parts = urlsplit(target)
    if parts.scheme != "http" or parts.hostname not in LOCAL_NAMES or parts.port != port:
        raise ValueError(f"{target!r} does not lead to the server at http://127.0.0.1:{port}")
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def send(request: Request, target: str, port: int, deadline: float) -> Got:
    """The whole answer. Raises _NoAnswer."""
    headers = [(name.encode(), value.encode()) for name, value in request.headers]
    if request.body and exchange.header(request.headers, "Content-Type") is None:
        headers.append((b"Content-Type", b"application/json"))
    if exchange.header(request.headers, "Accept-Encoding") is None:
        headers.append((b"Accept-Encoding", b"identity"))
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise _NoAnswer("the block's time is over")
    try:
        with (
            # A connection for each request: none can be closed by the server just as we use it again.
            httpx.Client(trust_env=False, timeout=left_s, limits=httpx.Limits(max_keepalive_connections=0)) as client,
            client.stream(
                request.method,
                f"http://127.0.0.1:{port}/",
                headers=headers,
                content=request.body.encode() if request.body else None,
                follow_redirects=False,
                extensions={"target": quote(target, safe=_VISIBLE).encode()},
            ) as response,
        ):
            return Got(response.status_code, _headers(response), _read(response, deadline))
    except httpx.TimeoutException:
        raise _NoAnswer("no answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise _NoAnswer(f"no answer: {str(error) or type(error).__name__}") from None


def _headers(response: httpx.Response) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("latin-1"), value.decode("utf-8", "backslashreplace"))
        for name, value in response.headers.raw
    )


def _read(response: httpx.Response, deadline: float) -> bytes:
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise _NoAnswer(f"the answer is longer than {BODY_BYTES_MAX} bytes")
        if time.monotonic() > deadline:
            raise _NoAnswer("no whole answer in time")
    return bytes(body)


# -- comparing


def _compare(answer: Answer, got: Got, caught: dict[str, str]) -> list[str]:
    """What differs. Catches what fits. Raises KeyError for a name that nothing caught."""
    known = dict(caught)  # what this answer catches is known only afterwards
    problems = []
    if got.status != answer.status:
        told = f": {got.text[:300]}" if got.body else ""
        problems.append(f"expected status {answer.status}, got {got.status}{told}")
    for name, expected in answer.headers:
        problems += _compare_header(name, exchange.fill(expected, known), got, caught)
    if answer.body and not (problems and got.status != answer.status):
        problems += _compare_body(answer, exchange.fill(answer.body, known), got, caught)
    return problems


def _compare_header(name: str, expected: str, got: Got, caught: dict[str, str]) -> list[str]:
    values = [value for found, value in got.headers if found.lower() == name.lower()]
    kind = pattern.kind_of(expected)
    for value in values:
        if kind is None and value == expected:
            return []
        if kind is not None and pattern.from_text(kind, value):
            if kind.name:
                caught[kind.name] = value
            return []
    shown = " and ".join(values) if values else "none"
    return [f"header {name}: expected {expected}, got {shown}"]


def _compare_body(answer: Answer, expected: str, got: Got, caught: dict[str, str]) -> list[str]:
    if not answer.is_json:
        kind = pattern.kind_of(expected.strip())
        if kind is not None and kind.kind in ("any", "text"):
            fits = True
            if kind.name:
                caught[kind.name] = got.text
        else:
            fits = got.text.removesuffix("\n") == expected.removesuffix("\n")
        return [] if fits else [f"body: expected {expected[:300]!r}, got {got.text[:300]!r}"]
    try:
        wanted = pattern.read(expected)
    except pattern.NotAPattern as problem:
        return [f"the expected body is not JSON once the caught values are in it: {problem.message}"]
    try:
        value = pattern.read_value(got.body.decode("utf-8"))
    except (pattern.NotJson, UnicodeDecodeError) as problem:
        return [f"the body is not JSON ({problem}): {got.text[:300]!r}"]
    match = pattern.match(wanted, value)
    caught.update(match.caught)
    return list(match.differences)
