"""What can be written into a file, as a stream of bytes that never stands in memory whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO

from daybreak.errors import DaybreakError
from daybreak.host.files.disk import Disk
from daybreak.host.files.problems import ContentRefused

CHUNK_BYTES = 1 << 20

Content = bytes | bytearray | memoryview | str | IO[bytes] | Iterable[bytes]
"""Text is written as UTF-8, its line ends untouched. A file object is read from where it stands, in pieces."""

_HINT = "give bytes, text, a file opened with mode 'rb', or an iterable of bytes"


def pieces(content: object) -> Iterator[bytes | memoryview]:
    """The content in pieces. Raises ContentRefused, at the piece that is wrong, and whatever its source raises."""
    if isinstance(content, str):
        try:
            yield content.encode()
        except UnicodeEncodeError as error:
            raise ContentRefused("the text has a lone surrogate, which UTF-8 cannot hold", hint=_HINT) from error
    elif isinstance(content, bytes | bytearray | memoryview):
        yield memoryview(content).cast("B") if memoryview(content).c_contiguous else bytes(content)
    elif callable(read := getattr(content, "read", None)):
        while piece := _bytes(read(CHUNK_BYTES)):
            yield piece
    elif isinstance(content, Iterable) and not isinstance(content, Mapping):
        for piece in content:
            yield _bytes(piece)
    else:
        raise ContentRefused(f"{type(content).__name__} cannot be written to a file", hint=_HINT)


class SourceFailed(Exception):
    """The source of the content raised an OSError, which is not the disk's."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def write_all(descriptor: int, content: object, refused: Callable[[OSError], DaybreakError]) -> None:
    """Write every piece. What the disk refuses becomes `refused(error)`; errors of the source stay its own, but for
    OSErrors, which come as SourceFailed."""
    source = pieces(content)
    while True:
        try:
            piece = next(source, None)
        except OSError as error:
            raise SourceFailed(error) from error
        if piece is None:
            return
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            raise refused(error) from error


def check_mode(mode: object) -> None:
    """Raises ContentRefused where these are no permissions."""
    if mode is not None and (type(mode) is not int or mode not in range(0o10000)):
        raise ContentRefused(f"{mode!r} are no permissions", hint="give a number such as 0o644")


def read_all(disk: Disk, path: str) -> bytes:
    with os.fdopen(disk.open(path), "rb") as file:
        return file.read()


def _bytes(piece: object) -> bytes | memoryview:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, bytearray | memoryview):
        return memoryview(bytes(piece))
    raise ContentRefused(f"a piece of the content is {type(piece).__name__}, not bytes", hint=_HINT)
