"""A stream of bytes as lines, as they come, however long they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LINE_BYTES_MAX = 8 * 1024 * 1024
"""A longer line is not kept: its beginning is told, the rest is dropped."""
HEAD_BYTES = 4096
"""How much of a line that is too long is told."""


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    """Without its end; what is not UTF-8 is replaced."""
    cut: bool = False
    """It was longer than is kept: `text` is its beginning."""


class Lines:
    """Takes bytes, gives lines. Holds at most one line, and never more than `line_bytes_max` of it."""

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._most = line_bytes_max
        self._part = bytearray()
        self._cut = False

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that `data` completes, without empty ones."""
        begin = 0
        while (end := data.find(b"\n", begin)) >= 0:
            self._keep(data[begin:end])
            yield from self._line()
            begin = end + 1
        self._keep(data[begin:])

    def end(self) -> Iterator[Line]:
        """The last line, where the stream ended without an end of line."""
        yield from self._line()

    def _keep(self, data: bytes) -> None:
        if self._cut:
            return
        self._part += data
        if len(self._part) > self._most:
            del self._part[HEAD_BYTES:]
            self._cut = True

    def _line(self) -> Iterator[Line]:
        text, cut = self._part.decode("utf-8", "replace").rstrip("\r"), self._cut
        self._part.clear()
        self._cut = False
        if text.strip():
            yield Line(text, cut)


class Ends:
    """The beginning and the end of a stream, for messages; what lies between is dropped."""

    def __init__(self, head_bytes: int = 16 * 1024, tail_bytes: int = 64 * 1024) -> None:
        self._head_most, self._tail_most = head_bytes, tail_bytes
        self._head, self._tail = bytearray(), bytearray()

    def feed(self, data: bytes) -> None:
        room = self._head_most - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._tail_most:
            del self._tail[: -self._tail_most]

    @property
    def text(self) -> str:
        return (bytes(self._head) + bytes(self._tail[-self._tail_most :])).decode("utf-8", "replace")
