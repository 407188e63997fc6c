"""From a path to text: everything that can be wrong with a file before its content is looked at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args

from daybreak.factory.spec.problems import Problems, listed

Format = Literal["md", "yaml", "toml", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
BYTES_MAX = 10_485_760
"""10 MiB; a specification is read by people."""

BY_SUFFIX: dict[str, Format] = {
    ".md": "md",
    ".markdown": "md",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".json": "json",
}
LINES_MAX = 50_000

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


def format_of(path: Path) -> Format | None:
    """The format that the file's name stands for."""
    return BY_SUFFIX.get(path.suffix.lower())


def read(path: Path, problems: Problems) -> str | None:
    """The file's text as `clean` gives it, or None with the problems told."""
    data = _bytes(path, problems)
    if data is None:
        return None
    if format_of(path) is None:
        problems.add(
            1,
            "S117",
            f"the format of {path.name} is unknown",
            f"give the file one of the endings {listed(sorted(BY_SUFFIX))}",
        )
        return None
    text = _decoded(data, problems)
    return None if text is None else clean(text, problems)


def _bytes(path: Path, problems: Problems) -> bytes | None:
    try:
        if path.is_dir():
            problems.add(1, "S111", f"{path} is a folder", "name the specification's file in it, such as spec.md")
            return None
        if path.exists() and not path.is_file():
            problems.add(1, "S111", f"{path} is not an ordinary file", "copy its content into a file and name that")
            return None
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        problems.add(1, "S110", f"there is no file {path}", "check the path, or begin with `daybreak spec new NAME`")
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problems.add(1, "S112", f"{path} cannot be read: {reason}", "make it readable for you, then try again")
        return None
    if len(data) > BYTES_MAX:
        problems.add(
            1,
            "S113",
            f"{path.name} is larger than 10 MiB ({BYTES_MAX} bytes)",
            "a specification is text that people read: move data and pictures to files of their own",
        )
        return None
    return data


def _decoded(data: bytes, problems: Problems) -> str | None:
    if data.startswith(_UTF16):
        problems.add(1, "S115", "the text is UTF-16", "save the file as UTF-8")
        return None
    if (at := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, at) + 1
        problems.add(
            line,
            "S116",
            f"this is not text: there is a NUL at byte {at}",
            "name a text file; if it should be one, save it as UTF-8",
        )
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(
            line,
            "S115",
            f"the text is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            "save the file as UTF-8",
        )
        return None


def clean(text: str, problems: Problems) -> str | None:
    """Without byte order mark, with `\\n` as line end. None with a problem where nothing readable is left."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if found := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        problems.add(
            line,
            "S116",
            f"the text holds the control character U+{ord(found[0]):04X}",
            "remove it; in examples write it as an escape that the shell or JSON knows",
        )
        return None
    if text.count("\n") > LINES_MAX:
        problems.add(
            LINES_MAX,
            "S113",
            f"the specification has more than {LINES_MAX} lines",
            "a specification is text that people read: move data to files of their own",
        )
        return None
    if not text.strip():
        what = "holds only white space" if text else "is empty"
        problems.add(1, "S114", f"the specification {what}", "begin with `daybreak spec new NAME`")
        return None
    return text
