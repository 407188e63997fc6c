"""The members of an archive, and what is wrong with their names on any system that may unpack them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from daybreak.host.typed.refusals import shown

What = Literal["file", "folder", "link", "special"]

NAME_BYTES_MAX = 4096
_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS_DEVICES = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")


@dataclass(frozen=True, slots=True)
class Member:
    """One entry."""

    name: str
    """As the archive says it, unchecked."""
    what: What
    size: int
    """Bytes when unpacked."""
    target: str | None = None
    """Of a link."""


def problems(members: Sequence[Member]) -> Iterator[str]:
    """What speaks against unpacking them, in their order."""
    places = [_place(member.name) for member in members]
    inside: dict[str, str] = {}
    """Folder that some member needs → the first one that does."""
    for member, place in zip(members, places, strict=True):
        for folder in _folders(place):
            inside.setdefault(folder, member.name)
    seen: dict[str, Member] = {}
    for member, place in zip(members, places, strict=True):
        name = shown(member.name)
        if why := _outside(member.name):
            yield f"member {name!r} {why}"
        if member.what == "link":
            yield f"member {name!r} is a link to {shown(member.target or '')!r}"
        elif member.what == "special":
            yield f"member {name!r} is a device, a pipe or a sparse file"
        first = seen.setdefault(place, member)
        if first is not member and not first.what == member.what == "folder":
            same = "" if first.name == member.name else f": it is one name with {shown(first.name)!r} on some systems"
            yield f"member {name!r} is there twice{same}"
        if member.what != "folder" and place in inside:
            yield f"member {name!r} is a file, and the folder of {shown(inside[place])!r}"


def _place(name: str) -> str:
    """The same text for all names that may be one place: systems that fold case, compose accents, take a backslash for
    a separator, or leave out blanks and dots at the end of a part."""
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    parts = (part if part == ".." else part.rstrip(" .") for part in folded.replace("\\", "/").split("/"))
    return "/".join(part for part in parts if part)


def _folders(place: str) -> Iterator[str]:
    """Every folder above; no more than a name that is too long anyway would need."""
    at = place.find("/")
    while 0 < at <= NAME_BYTES_MAX:
        yield place[:at]
        at = place.find("/", at + 1)


def _outside(name: str) -> str | None:
    """Why this name would not land inside the folder that is unpacked into, or not at the same place everywhere."""
    if not name.rstrip("/"):
        return "has no name"
    if len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES_MAX:
        return f"has a name of more than {NAME_BYTES_MAX} bytes"
    if any(ord(one) < 32 or one == "\x7f" for one in name):
        return "has a control character in its name"
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or _DRIVE.match(name):
        return "has an absolute name"
    if ".." in parts:
        return "leads outside by .."
    if any(_WINDOWS_DEVICES.fullmatch(part) or ":" in part for part in parts):
        return "names a device on Windows"
    if "\\" in name:
        return "has a backslash in its name, which is a separator on some systems"
    return None
