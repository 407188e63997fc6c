"""Why a file is refused.

FileRefused              H170  path, line, column where they are known
├── FileMissing          H171  nothing is there
├── NotAFile             H172  a folder, a pipe, a device, a socket, or a path that cannot name a file
├── KindUnknown          H173  no handler for this extension, or none that can do this
├── FileUnreadable       H174  the system refused to open or to read it
├── FileEmpty            H175  no bytes
├── FileTooLarge         H176  more bytes than the limit
├── WrongKind            H178  the content is not what the extension says
├── NotText              H179  the bytes are no text in the encoding named or found
├── Malformed            H180  the content breaks the rules of its format
├── DuplicateKey         H181  one key twice in one table
├── ContentForbidden     H182  NaN and infinity, NUL, tags, document types, entities
├── TooComplex           H183  deeper, or of more values, than the limits allow
├── Bomb                 H184  small on disk, huge in memory
├── ArchiveUnsafe        H186  members that would land, or point, outside
├── NotWritable          H187  a value that this format cannot hold; nothing was written
├── ReadBackDiffers      H188  the disk gives other bytes than were written
└── WrongShape           H189  the content is not of the type asked for
HandlerRefused (Usage)   H177  a handler that cannot be registered
LimitsRefused  (Usage)   H185  limits or options outside their range
"""

from __future__ import annotations

from typing import Self

from daybreak.errors import HostError, UsageError

_NAME_CHARACTERS = 80
_PATH_CHARACTERS = 200
"""A path that is cut cannot be copied, so it may be longer; `path` always has all of it."""
SENTENCE = 300
"""Characters of what a parser said."""


class FileRefused(HostError):
    """A file cannot be used as what it should be; nothing was done with it.

    `path` is the file as given, `line` and `column` count from 1 and are None where the format gives no place.
    """

    code = "H170"

    def __init__(
        self, message: str, *, hint: str, path: str = "", line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.path, self.line, self.column = path, line, column

    @classmethod
    def at(cls, path: str, what: str, *, hint: str, line: int | None = None, column: int | None = None) -> Self:
        """The same, with the place in front of the message: `a.json:3:7: what`."""
        place = shown(path, _PATH_CHARACTERS) + "".join(f":{number}" for number in (line, column) if number is not None)
        return cls(f"{place}: {what}", hint=hint, path=path, line=line, column=column)


class FileMissing(FileRefused):
    """Nothing has this name."""

    code = "H171"


class NotAFile(FileRefused):
    """The path names something else than an ordinary file, or cannot name anything."""

    code = "H172"


class KindUnknown(FileRefused):
    """No handler is registered for this, or the one there is cannot do what was asked."""

    code = "H173"


class FileUnreadable(FileRefused):
    """The system did not let us read."""

    code = "H174"


class FileEmpty(FileRefused):
    """The file holds no bytes."""

    code = "H175"


class FileTooLarge(FileRefused):
    """The file holds more bytes than the limit; no more than the limit was read."""

    code = "H176"


class HandlerRefused(UsageError):
    """A handler's extension is taken, or no extension."""

    code = "H177"


class WrongKind(FileRefused):
    """The content is of another kind than the extension says."""

    code = "H178"


class NotText(FileRefused):
    """The bytes are no text."""

    code = "H179"


class Malformed(FileRefused):
    """The content breaks the rules of its format."""

    code = "H180"


class DuplicateKey(FileRefused):
    """A key stands twice in one table; readers would disagree about which one counts."""

    code = "H181"


class ContentForbidden(FileRefused):
    """The format allows it, we do not: NaN, infinity, NUL, YAML tags, XML document types and entities."""

    code = "H182"


class TooComplex(FileRefused):
    """Nested deeper, or of more values, than the limits allow."""

    code = "H183"


class Bomb(FileRefused):
    """Would grow beyond all proportion when it is expanded; it was not."""

    code = "H184"


class LimitsRefused(UsageError):
    """Limits or options outside their range."""

    code = "H185"


class ArchiveUnsafe(FileRefused):
    """A member's name or link leads outside, or two members have one name."""

    code = "H186"


class NotWritable(FileRefused):
    """The format cannot hold this value so that the same is read back; nothing was written."""

    code = "H187"


class ReadBackDiffers(FileRefused):
    """The file was written, and then held something else."""

    code = "H188"


class WrongShape(FileRefused):
    """The content is well formed, but not of the type asked for."""

    code = "H189"


def shown(text: str, most: int = _NAME_CHARACTERS) -> str:
    """Any text on one line of printable characters, cut in the middle where it is long."""
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[-(most // 2) :]}"
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode("ascii") for one in text
    )
