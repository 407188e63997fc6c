"""Headers between client, gateway and provider."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable

from daybreak.agents.gateway.dialects.dialect import RequestWrong

BODY_BYTES_MAX = 32 * 1024 * 1024
Headers = list[tuple[bytes, bytes]]
_QUERY = re.compile(rb"alt=sse|beta=true|(?:api-version|limit|after|after_id|before_id|pageSize)=[A-Za-z0-9._-]{1,100}")

_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade", b"expect")
)  # fmt: skip
_TO_PROVIDER_NEVER = _HOP | {
    b"host", b"content-length", b"content-encoding", b"accept-encoding",
    b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key", b"cookie",
    b"openai-organization", b"openai-project", b"x-goog-user-project",  # who pays is not the worker's to say
    b"forwarded", b"via", b"referer", b"origin",
    b"x-http-method-override", b"x-http-method", b"x-method-override",  # what was looked at is what is asked
    b"x-goog-fieldmask",  # would leave the usage out of answers
}  # fmt: skip
_TO_CLIENT_NEVER = _HOP | {
    b"content-length", b"content-encoding", b"set-cookie", b"www-authenticate", b"location", b"alt-svc",
    b"strict-transport-security", b"openai-organization", b"openai-project", b"anthropic-organization-id",
}  # fmt: skip
_FORWARDED = re.compile(rb"x-forwarded-|x-real-ip|cf-|sec-|access-control-")


def to_provider(headers: Headers, own: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """What goes along to the provider: no key of the client's, nothing that belongs to one connection; `own` wins."""
    mine = {name.lower().encode("ascii"): value.encode("latin-1") for name, value in own.items()}
    named = _named(headers)
    kept = [
        (name, value)
        for name, value in headers
        if name not in _TO_PROVIDER_NEVER and name not in named and name not in mine and not _FORWARDED.match(name)
    ]
    return [*kept, *mine.items(), (b"accept-encoding", b"identity")]


def to_client(headers: Iterable[tuple[bytes, bytes]], secret: str) -> Headers:
    """What goes back: nothing that holds the key."""
    lower = [(name.lower(), value) for name, value in headers]
    named = _named(lower)
    hidden = secret.encode() if secret else None
    return [
        (name, value)
        for name, value in lower
        if name not in _TO_CLIENT_NEVER and name not in named and (hidden is None or hidden not in value)
    ]


def _named(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Headers that `Connection` says belong to it."""
    return {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")} - {
        b"content-type",
        b"accept",
    }


def query(text: bytes) -> bytes:
    """Without the token, and with nothing else that could change what is asked or what is told of it: a field mask
    would leave the usage out."""
    return b"&".join(part for part in text.split(b"&") if _QUERY.fullmatch(part))


def plain(body: bytes, headers: Headers) -> bytes:
    """A request's body without compression. Raises RequestWrong."""
    encoding = next((value for name, value in headers if name == b"content-encoding"), b"identity").strip().lower()
    if encoding in (b"", b"identity"):
        return body
    try:
        if encoding == b"gzip":
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                unpacked = file.read(BODY_BYTES_MAX + 1)
        elif encoding == b"zstd":
            unpacked = _zstd(body)
        else:
            raise RequestWrong("the body's Content-Encoding is none of gzip, zstd, identity")
    except (OSError, EOFError, zlib.error) as problem:
        raise RequestWrong("the body cannot be unpacked") from problem
    if len(unpacked) > BODY_BYTES_MAX:
        raise RequestWrong("the body is too large when unpacked")
    return unpacked


def _zstd(body: bytes) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=64 * 1024 * 1024).stream_reader(body) as reader:
            return reader.read(BODY_BYTES_MAX + 1)
    except zstandard.ZstdError as problem:
        raise RequestWrong("the body cannot be unpacked") from problem
