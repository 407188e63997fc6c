"""One spelling for each thing that can be asked for, so that comparing text is comparing things.

A name that has no one meaning (`..`, a host in letters that only look like ASCII, `127.1`) is refused, never repaired:
what a check repairs and what the system then opens may differ. Names that went through here hold only characters
that are harmless inside a token's Datalog; everything else is percent-encoded as UTF-8 (or the raw bytes of a file
name that is not UTF-8).
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import PurePath, PurePosixPath
from typing import Literal, get_args
from urllib.parse import quote, unquote

from daybreak.errors import DaybreakError
from daybreak.policy.refusal import AskMalformed

Act = Literal["read", "write", "run", "connect", "deliver", "secret", "api"]
"""What a token can allow: read and write files below a folder, run a program, open a connection to a host,
put a result into a folder, be given a secret; and for a person's token, a scope of the API."""

Scope = Literal["look", "evidence", "hand-over", "steer", "answer", "verdict", "undo", "incidents", "held-out", "admin"]
"""What `api` can be granted for; `policy.bearer.MEANS` says what each is."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

ACTS: tuple[Act, ...] = get_args(Act)
PATH_ACTS: frozenset[Act] = frozenset({"read", "write", "deliver"})

ANY = "*"
"""Of programs only: whatever the sandbox lets start."""

NAME_MAX = 4096
"""Characters of any name."""

HTTPS = 443

_SAFE = "/._-+@~:*=,[]()!#$&' "
_DRIVE = re.compile(r"[A-Za-z]:/")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PROGRAM = re.compile(r"[A-Za-z0-9_+.-]{1,255}")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}")


def normal(act: Act, name: str | PurePath, *, pattern: bool = False, windows: bool = os.name == "nt") -> str:
    """The one spelling of `name` as `act` means it, percent-encoded.

    read, write, deliver: an absolute path. run: a program's name or absolute path. connect: `host` (port 443),
    `host:port`, `[v6]:port`. secret: a name as of an environment variable. api: one of SCOPES.
    `pattern` allows what only a grant may say: `*` for any program, `*.example.org` for the hosts below a name.
    `windows` treats `\\` as a separator and letters of both cases as equal. Raises AskMalformed.
    """
    text: object = str(name) if isinstance(name, PurePath) else name
    if act not in ACTS:
        raise AskMalformed(f"{act!r} is nothing that can be asked for", hint=f"ask for one of {', '.join(ACTS)}.")
    if not isinstance(text, str) or not 0 < len(text) <= NAME_MAX:
        raise _malformed(act, text, f"a name has 1 to {NAME_MAX} characters")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise _malformed(act, text, "it holds a control character")
    if act in PATH_ACTS:
        return _path(act, text, windows)
    if act == "run":
        return _program(text, pattern, windows)
    if act == "connect":
        return _host(text, pattern)
    if act == "api":
        return _scope(text)
    if not _SECRET.fullmatch(text):
        raise _malformed(act, text, "a secret is named by ASCII letters, digits, `_`, `.` and `-`")
    return text


def exact(name: str) -> str:
    """What a normal name stands for, character by character: to open it, or to look at its parts."""
    return unquote(name, errors="surrogateescape")


def shown(name: str) -> str:
    """A normal name as a person reads it."""
    return unquote(name, errors="backslashreplace")


def _malformed(act: str, name: object, why: str) -> DaybreakError:
    cut = ascii(name)
    cut = cut if len(cut) <= 120 else f"{cut[:120]}…"
    return AskMalformed(f"{act} {cut} is refused: {why}", hint="ask with the resolved, absolute, plain name.")


def _path(act: str, text: str, windows: bool) -> str:
    plain = text.replace("\\", "/").lower() if windows else text
    if not (_DRIVE.match(plain) if windows else plain.startswith("/")):
        raise _malformed(act, text, "the path is not absolute")
    if ".." in plain.split("/"):
        raise _malformed(act, text, "`..` may lead anywhere once a symbolic link is on the way")
    if windows and plain.count(":") > 1:
        raise _malformed(act, text, "it names an alternate stream")
    path = str(PurePosixPath(plain))
    return _encoded(act, f"/{path.lstrip('/')}" if path.startswith("/") else path)


def _encoded(act: str, text: str) -> str:
    try:
        return quote(text, safe=_SAFE, errors="surrogateescape")
    except UnicodeEncodeError:
        raise _malformed(act, text, "it holds half of a surrogate pair") from None


def _program(text: str, pattern: bool, windows: bool) -> str:
    if text == ANY and pattern:
        return ANY
    if _PROGRAM.fullmatch(text) and text not in (".", ".."):
        return text.lower() if windows else text
    if "/" in text or (windows and "\\" in text):
        return _path("run", text, windows)
    raise _malformed("run", text, "a program is a plain name (letters, digits, `_+.-`) or an absolute path")


def _scope(text: str) -> str:
    if text not in SCOPES:
        raise _malformed("api", text, f"a scope is one of {', '.join(SCOPES)}")
    return text


def _host(text: str, pattern: bool) -> str:
    if not text.isascii():
        raise _malformed("connect", text, "the host is not ASCII; letters of other scripts may look like others")
    name, port = _split_port(text)
    below = pattern and name.startswith("*.")
    host = _one_host(text, name[2:] if below else name)
    if below and ("." not in host or host.startswith("[") or host.replace(".", "").isdigit()):
        raise _malformed("connect", text, "`*.` stands before a name with a dot in it")
    return f"{'*.' if below else ''}{host}:{port}"


def _split_port(text: str) -> tuple[str, int]:
    name, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (text.count(":") > 1 and not text.startswith("[")):
        return text, HTTPS
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise _malformed("connect", text, "the port is not a number from 1 to 65535")
    return name, int(port)


def _one_host(text: str, name: str) -> str:
    if ":" in name or name.startswith("["):
        return _address_v6(text, name.removeprefix("[").removesuffix("]"))
    host = name.lower().removesuffix(".")
    if not _HOST.fullmatch(host):
        raise _malformed("connect", text, "the host is no name of letters, digits, `-` and `.`")
    last = host.rpartition(".")[2]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):  # `127.1`, `0x7f.1`, `2130706433` are addresses to some
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _malformed("connect", text, "it is read as a number, but is no dotted IPv4 address") from None
    return host


def _address_v6(text: str, name: str) -> str:
    try:
        address = ipaddress.IPv6Address(name)
    except ValueError:
        raise _malformed("connect", text, "the address is no IPv6 address") from None
    if "%" in name or address.ipv4_mapped is not None:
        raise _malformed("connect", text, "an address with a zone, or an IPv4 address in IPv6 dress, has two names")
    return f"[{address.compressed}]"
