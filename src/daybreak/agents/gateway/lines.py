"""A stream of server-sent events, cut into events without changing a byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

EVENT_BYTES_MAX = 16 * 1024 * 1024


class EventTooLong(Exception):
    """More than EVENT_BYTES_MAX without an end."""


class Events:
    """Gives each event's bytes, its empty line included, together with its data (joined lines of `data:`), or None
    where it has none (a comment that keeps the connection alive)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Raises EventTooLong."""
        whole = self._rest + chunk if self._rest else chunk
        at = 0
        marks = _MARKS if b"\r" in whole else _MARKS[:1]
        while (end := _end(whole, at, marks)) > 0:
            raw = whole[at:end]
            yield raw, _data(raw)
            at = end
        self._rest = whole[at:]
        if len(self._rest) > EVENT_BYTES_MAX:
            raise EventTooLong

    def rest(self) -> tuple[bytes, bytes | None]:
        """What stands after the last empty line, at the end of the stream."""
        raw, self._rest = self._rest, b""
        return raw, _data(raw) if raw else None


_MARKS = ((b"\n\n", 2), (b"\r\n\r\n", 4), (b"\r\r", 2))


def _end(text: bytes, at: int, marks: Sequence[tuple[bytes, int]]) -> int:
    """Behind the next empty line; 0 where there is none."""
    return min((where + size for mark, size in marks if (where := text.find(mark, at)) >= 0), default=0)


def _data(raw: bytes) -> bytes | None:
    if raw.startswith(b"data: ") and raw.count(b"\n") == 2 and raw.endswith(b"\n\n") and b"\r" not in raw:
        return raw[6:-2]  # the usual event, quickly
    found = []
    for line in raw.splitlines():
        if line.startswith(b"data:"):
            found.append(line[6:] if line[5:6] == b" " else line[5:])
    return b"\n".join(found) if found else None
