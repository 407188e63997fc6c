"""The list inside a bundle: which distributions, which files, with their hashes; and whether a file agrees with it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from daybreak.errors import UsageError, cut

NAME = "DAYBREAK-BUNDLE.json"
FORMAT = "daybreak-bundle/1"
DIGEST = "@LISTING-SHA256@" + "0" * 48
"""Stands in the starting program for the SHA-256 of the list, in hexadecimal digits, until that is known."""


SEAL = 64
"""Digits at the end of the file, its comment as a zip file: the SHA-256 of all that comes before."""


class NotABundle(UsageError):
    """A file is no bundle of Daybreak, or not as it was made."""

    code = "U394"


@dataclass(frozen=True, slots=True)
class Distribution:
    name: str
    version: str
    files: int
    bytes: int
    """Of its files, unpacked."""
    sha256: str
    """Of the lines `SHA256␠␠PATH` of its files, in the order of their paths."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What no part of Daybreak uses on this platform."""

    distribution: str
    path: str
    files: int
    why: str


@dataclass(frozen=True, slots=True)
class Contents:
    daybreak: str
    """Its version."""
    python: str
    """`3.11`: the only one that it runs with."""
    implementation: str
    abiflags: str
    system: str
    machine: str
    libc: tuple[int, int] | None
    """The oldest GNU C library that will do."""
    extras: tuple[str, ...]
    distributions: tuple[Distribution, ...]
    left_out: tuple[LeftOut, ...]
    files: Mapping[str, str]
    """Path below the folder of packages → SHA-256."""

    @property
    def platform(self) -> str:
        """In words: what it runs on."""
        libc = "" if self.libc is None else f", GNU C library {self.libc[0]}.{self.libc[1]} or newer"
        name = {"cpython": "CPython"}.get(self.implementation, self.implementation)
        return f"{name} {self.python}{self.abiflags} on {self.system.capitalize()} {self.machine}{libc}"

    def encoded(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, separators=(",", ":")).encode()


def distribution(name: str, version: str, files: Mapping[str, tuple[str, int]]) -> Distribution:
    """`files`: path → SHA-256 and length."""
    lines = "".join(f"{files[path][0]}  {path}\n" for path in sorted(files))
    size = sum(length for _, length in files.values())
    return Distribution(name, version, len(files), size, hashlib.sha256(lines.encode()).hexdigest())


def decoded(data: bytes) -> Contents:
    """Raises ValueError, KeyError or TypeError where it is no such list."""
    told: dict[str, Any] = json.loads(data)
    if told.pop("format") != FORMAT:
        raise ValueError("another format")
    libc = told.pop("libc")
    return Contents(
        libc=None if libc is None else (int(libc[0]), int(libc[1])),
        extras=tuple(told.pop("extras")),
        distributions=tuple(Distribution(**one) for one in told.pop("distributions")),
        left_out=tuple(LeftOut(**one) for one in told.pop("left_out")),
        **told,
    )


def read(file: Path) -> Contents:
    """The list of a bundle, after every file in it was compared with its hash. Raises NotABundle."""
    try:
        with zipfile.ZipFile(file) as packed:
            data = packed.read(NAME)
            contents = decoded(data)
            if hashlib.sha256(data).hexdigest().encode() not in packed.read("__main__.py"):
                raise _damaged(file, NAME)
            _compare(file, contents, packed)
    except (zipfile.BadZipFile, OSError, KeyError, TypeError, ValueError, EOFError, NotImplementedError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no bundle, or damaged"
        raise NotABundle(
            f"{cut(file)} cannot be read: {why}", hint="name a file that `daybreak bundle` has made"
        ) from error
    return contents


def _compare(file: Path, contents: Contents, packed: zipfile.ZipFile) -> None:
    found = {}
    for name in packed.namelist():
        if (path := installed_as(name)) is not None:
            found[path] = hashlib.sha256(packed.read(name)).hexdigest()
    if found != dict(contents.files):
        differing = sorted(path for path in {*found, *contents.files} if found.get(path) != contents.files.get(path))
        raise _damaged(file, differing[0])


def _damaged(file: Path, path: str) -> NotABundle:
    return NotABundle(f"{cut(file)} is not as it was made: {cut(path)}", hint="make it again, or fetch it again")


def installed_as(name: str) -> str | None:
    """The path of an entry of the file below the folder of packages; None: it is not installed there unchanged."""
    from daybreak.factory.bundling.packing import DEPENDENCIES, OF_PEX

    if name == NAME or name.startswith(OF_PEX) or name.endswith("/"):
        return None
    path = name.split("/", 2)[2] if name.startswith(DEPENDENCIES) else name
    first, _, rest = path.partition("/")
    unlike = path.startswith(".") or (first.endswith(".dist-info") and rest == "RECORD")
    return None if unlike else path


def total(distributions: Iterable[Distribution]) -> int:
    return sum(one.bytes for one in distributions)
