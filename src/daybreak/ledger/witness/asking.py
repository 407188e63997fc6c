"""One question over HTTP to a witness that may be slow, dead or hostile: bounded in time and size, never redirected.

This is the only place from which witnesses are reached over a network.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from daybreak.ledger.witness.statement import WitnessSilent

if TYPE_CHECKING:
    import httpx

ANSWER_BYTES_MAX = 256 * 1024


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


def ask(method: str, url: str, timeout_s: float, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """The whole answer, whatever its status. Raises WitnessSilent: no connection, nothing within `timeout_s` in all,
    more than ANSWER_BYTES_MAX, or what is no HTTP.

    Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`) are used, except for this machine's own addresses."""
    import httpx  # late: whoever has no witness over a network need not load it

    tls = _tls(secure=urlsplit(url).scheme == "https")
    ends = time.monotonic() + timeout_s
    taken = bytearray()
    try:
        with (
            httpx.Client(verify=tls, timeout=timeout_s, follow_redirects=False, trust_env=not _is_here(url)) as client,
            _ended(client, timeout_s),
            client.stream(method, url, content=body, headers=dict(headers or {})) as response,
        ):
            for piece in response.iter_bytes():
                taken += piece
                if len(taken) > ANSWER_BYTES_MAX:
                    raise _silent(url, f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
                if time.monotonic() > ends:
                    raise _silent(url, f"its answer took longer than {timeout_s:g} s")
            return Answer(response.status_code, response.headers.get("content-type", ""), bytes(taken))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RuntimeError) as error:  # the last: it was ended
        raise _silent(url, str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _ended(client: httpx.Client, after_s: float) -> Iterator[None]:
    """One that sends its headers byte by byte is never silent for long: after that time the connection goes."""
    timer = threading.Timer(after_s, client.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@lru_cache(2)
def _tls(*, secure: bool) -> ssl.SSLContext:
    """Made once, because that takes longer than to ask. Where no TLS is spoken nobody is believed, so that
    nobody is by mistake."""
    import httpx

    return httpx.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _silent(url: str, why: str) -> WitnessSilent:
    return WitnessSilent(
        f"{urlsplit(url).netloc} did not answer: {why[:300]}", hint="it is asked again later; look at that machine."
    )
