"""Puts pictures and lines on a stream: in place, without flicker, on a terminal; and gives a stream up that is gone.

Two ways in place. `Whole` takes the terminal's other screen, as long as it watches. `Below` keeps the lines of what
happened where they are, so that a person can scroll back to them, and draws its picture below the last one.
Each picture is one write that overwrites the last one cell by cell, so that nothing is ever empty in between. Lines are
never wrapped: that is switched off while drawing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol, TextIO

from daybreak.cli.screen import look as looks
from daybreak.cli.screen.columns import width
from daybreak.cli.screen.look import Look
from daybreak.cli.screen.page import Line, painted, plain
from daybreak.report.shown import shown

_log = logging.getLogger(__name__)

_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_OTHER_SCREEN, _OWN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Place(Protocol):
    """Where a picture goes."""

    def room(self) -> tuple[int, int]:
        """Columns and lines."""
        ...

    def begin(self) -> None: ...
    def draw(self, lines: Sequence[Line]) -> None: ...
    def say(self, text: str, style: str = "") -> None: ...
    def end(self, last: Sequence[Line]) -> None: ...


class Stream:
    """Writes; a stream that fails once is not tried again, which is logged, and nothing is raised."""

    def __init__(self, stream: TextIO) -> None:
        self.file = stream
        self.gone = False

    def put(self, text: str) -> None:
        if self.gone:
            return
        try:
            encoding = self.file.encoding or "utf-8"
            self.file.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self.file.flush()
        except (OSError, ValueError) as error:
            self.gone = True
            _log.warning("nothing more can be shown: %s; the work goes on", error)


class Lines:
    """No picture: one plain line for each thing that happens."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def room(self) -> tuple[int, int]:
        return looks.COLUMNS, looks.LINES

    def begin(self) -> None:
        pass

    def draw(self, lines: Sequence[Line]) -> None:
        pass

    def say(self, text: str, style: str = "") -> None:
        self._stream.put(shown(text) + "\n")

    def end(self, last: Sequence[Line]) -> None:
        pass


class Whole:
    """The terminal's other screen. At the end the last picture is printed on its own one, and stays."""

    def __init__(self, stream: Stream, look: Look) -> None:
        self._stream = stream
        self._look = look
        self._drawn: tuple[str, ...] = ()
        self._size = (0, 0)

    def room(self) -> tuple[int, int]:
        return tuple(looks.size(self._stream.file))  # type: ignore[return-value] # it is two numbers

    def begin(self) -> None:
        self._stream.put(_OTHER_SCREEN + _HIDE + _NO_WRAP + _HOME + _REST_OF_SCREEN)

    def draw(self, lines: Sequence[Line]) -> None:
        texts, size = tuple(painted(line, self._look) for line in lines), self.room()
        if (texts, size) == (self._drawn, self._size):
            return
        put = [_HOME]
        if size != self._size:
            put.append(_REST_OF_SCREEN)
        for text in texts:
            put.append(f"{text}{_REST_OF_LINE}\r\n")
        put[-1] = put[-1].removesuffix("\r\n")
        self._stream.put("".join(put) + _REST_OF_SCREEN)
        self._drawn, self._size = texts, size

    def say(self, text: str, style: str = "") -> None:
        pass  # everything that is said here stands in the picture

    def forget(self) -> None:
        """Somebody else has written there: the next picture is drawn whole."""
        self._drawn, self._size = (), (0, 0)

    def end(self, last: Sequence[Line]) -> None:
        self._stream.put(_WRAP + _SHOW + _OWN_SCREEN)
        self._stream.put("".join(f"{painted(line, self._look)}\n" for line in last))


class Below:
    """A picture below the lines of what happened."""

    def __init__(self, stream: Stream, look: Look) -> None:
        self._stream = stream
        self._look = look
        self._widths: list[int] = []
        """Columns of each line of the picture that is there."""
        self._drawn: tuple[str, ...] = ()
        self._size: tuple[int, ...] = (0, 0)

    def room(self) -> tuple[int, int]:
        """Not the last column, where terminals differ; and half of the lines for what happened."""
        columns, lines = looks.size(self._stream.file)
        return max(1, columns - 1), max(2, lines // 2)

    def begin(self) -> None:
        self._stream.put(_HIDE)

    def draw(self, lines: Sequence[Line]) -> None:
        texts = tuple(painted(line, self._look) for line in lines)
        size = tuple(looks.size(self._stream.file))
        if texts == self._drawn and size == self._size:
            return
        # What was broken by a resize is wiped first: a terminal would join those lines again when it becomes wider.
        wipe = _REST_OF_SCREEN if size != self._size else ""
        self._size = size
        self._stream.put(self._back() + wipe + self._picture(lines, texts))

    def say(self, text: str, style: str = "") -> None:
        from daybreak.cli.screen.page import Span

        wrapped = painted([Span(shown(text), style)], self._look)
        self._stream.put(f"{self._back()}{_REST_OF_SCREEN}{wrapped}\r\n{self._again()}")

    def end(self, last: Sequence[Line]) -> None:
        self._stream.put(self._back() + _REST_OF_SCREEN + _SHOW)
        self._widths, self._drawn = [], ()

    def _picture(self, lines: Sequence[Line], texts: tuple[str, ...]) -> str:
        self._widths, self._drawn = [width(plain(line)) for line in lines], texts
        return self._again()

    def _again(self) -> str:
        body = "".join(f"{text}{_REST_OF_LINE}\r\n" for text in self._drawn)
        return f"{_NO_WRAP}{body}{_REST_OF_SCREEN}{_WRAP}"

    def _back(self) -> str:
        """To its first line. A terminal that became narrower may have broken the lines that are there."""
        columns = looks.size(self._stream.file).columns
        rows = sum(max(1, -(-cells // columns)) for cells in self._widths)
        return f"\r\x1b[{rows}A" if rows else "\r"
