"""From a path to text: everything that can be wrong with a file before its content is looked at."""

from __future__ import annotations

import re
from pathlib import Path

from daybreak.factory.imports.refusals import ImportEmpty, ImportNoText, ImportRefused, ImportTooLarge
from daybreak.factory.spec.problems import Problems
from daybreak.factory.spec.source import BYTES_MAX, LINES_MAX, clean

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_INVISIBLE = re.compile("[\x80-\x9f\u2028\u2029]")
"""Control characters that the reader of specifications lets pass; what is made of them would stand there unseen."""
_SAVE = "save the file as UTF-8"


def read(path: Path) -> str:
    """The text, with `\\n` as line end and without byte order mark. Raises ImportRefused and its kinds."""
    data = _bytes(path)
    if data.startswith(_UTF16):
        raise ImportNoText(f"{path} is UTF-16", hint=_SAVE)
    if (at := data.find(b"\0")) >= 0:
        raise ImportNoText(f"{path}:{data.count(10, 0, at) + 1}: this is not text: a NUL at byte {at}", hint=_SAVE)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(10, 0, error.start) + 1
        raise ImportNoText(
            f"{path}:{line}: the text is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}", hint=_SAVE
        ) from error
    return cleaned(text, str(path))


def cleaned(text: str, name: str) -> str:
    """The text as the reader of specifications wants it. Raises ImportEmpty, ImportNoText, ImportTooLarge."""
    if not text.strip("\ufeff \t\r\n"):
        raise ImportEmpty(f"{name} holds nothing", hint="name the file that holds the requirements")
    problems = Problems(name)
    found = clean(text, problems)
    if found is not None:
        return _INVISIBLE.sub(" ", found)
    first = problems.found[0]
    kind = {"S113": ImportTooLarge, "S114": ImportEmpty}.get(first.code, ImportNoText)
    if first.code == "S113":
        raise kind(f"{name} has more than {LINES_MAX} lines", hint="import the part that is to be built")
    raise kind(f"{name}:{first.line}: {first.message}", hint=first.remedy)


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ImportRefused(f"{path} is a folder", hint="name the file in it that holds the requirements")
        if path.exists() and not path.is_file():
            raise ImportRefused(f"{path} is no ordinary file", hint="copy its content into a file and name that")
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise ImportRefused(f"there is no file {path}", hint="check the path") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImportRefused(f"{path} cannot be read: {reason}", hint="make it readable for you") from error
    if len(data) > BYTES_MAX:
        raise ImportTooLarge(
            f"{path} is larger than {BYTES_MAX // 2**20} MiB", hint="import the part that is to be built"
        )
    return data
