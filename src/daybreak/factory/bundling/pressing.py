"""From what pex has packed to the final file: the same bytes whenever and wherever, small, with the list inside."""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from daybreak.factory.bundling import listing
from daybreak.factory.bundling.listing import Contents, Distribution, LeftOut
from daybreak.factory.bundling.packing import DEPENDENCIES

LEVEL = 5
"""Six takes nearly twice the time for one percent."""
_DATE = (1980, 1, 1, 0, 0, 0)
"""The oldest that the format can say."""
_UNIX = 3

UNUSED = (
    ("mypy", "mypy/test/*", "mypy's own tests"),
    ("mypy", "mypyc/*", "a compiler that mypy is made with"),
    ("apsw", "apsw/tests/*", "apsw's own tests"),
    ("libcst", "libcst/*/tests/*", "libcst's own tests"),
    ("libcst", "libcst/tests/*", "libcst's own tests"),
    ("zstandard", "zstandard/_cffi.*", "for other Pythons than CPython"),
    ("zstandard", "zstandard/backend_cffi.py", "for other Pythons than CPython"),
    ("installer", "installer/_scripts/*.exe", "for Windows"),
)
"""(distribution, files, why): what is left out, since nothing of Daybreak uses it here."""


@dataclass(frozen=True)
class _Entry:
    name: str
    executable: bool
    content: bytes


def press(packed: Path, out: Path, about: Contents) -> Contents:
    """Write `out` from `packed`; gives `about` with distributions, files and what was left out.

    Order, dates, modes and compression follow from the content alone. Raises OSError."""
    with zipfile.ZipFile(packed) as source:
        shebang = _shebang(packed)
        found, left = _sorted_out(source)
        contents = _described(about, found, left)
        data = contents.encoded()
        digest = hashlib.sha256(data).hexdigest()
        with out.open("w+b") as file:
            file.write(shebang)
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as target:
                target.comment = b"0" * listing.SEAL
                for entry in _entries(source, left):
                    if entry.name == "__main__.py":
                        entry = replace(entry, content=_with_digest(entry.content, digest))
                    _write(target, entry)
                _write(target, _Entry(listing.NAME, False, data))
            _seal(file)
    out.chmod(0o755)
    return contents


def _seal(file: BinaryIO) -> None:
    """The hash of all that comes before it ends the file: so the first start need not decompress it all to see that a
    download is whole."""
    length = file.seek(-listing.SEAL, os.SEEK_END)
    file.seek(0)
    found = hashlib.sha256()
    while part := file.read(min(length - file.tell(), 1 << 20)):
        found.update(part)
    file.seek(length)
    file.write(found.hexdigest().encode())


def _shebang(packed: Path) -> bytes:
    with packed.open("rb") as file:
        line = file.readline(200)
    return line if line.startswith(b"#!") else b""


def _with_digest(content: bytes, digest: str) -> bytes:
    if content.count(listing.DIGEST.encode()) != 1:
        raise RuntimeError("the starting program has no place for the list's hash")
    return content.replace(listing.DIGEST.encode(), digest.encode())


def _entries(source: zipfile.ZipFile, left: dict[str, tuple[str, str, str]]) -> Iterator[_Entry]:
    """In the order of their names, without folders and without what is left out."""
    for info in sorted(source.infolist(), key=lambda one: one.filename):
        if info.is_dir() or info.filename in left:
            continue
        content = source.read(info)
        if info.filename.startswith(DEPENDENCIES) and info.filename.endswith(".dist-info/RECORD"):
            content = _record(content, info.filename, left)
        yield _Entry(info.filename, bool(info.external_attr >> 16 & 0o100), content)


def _record(content: bytes, name: str, left: dict[str, tuple[str, str, str]]) -> bytes:
    """Without the lines of what is left out, so that it is true."""
    root = "/".join(name.split("/")[:2])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in csv.reader(io.StringIO(content.decode())):
        if row and f"{root}/{row[0]}" not in left:
            writer.writerow(row)
    return out.getvalue().encode()


def _write(target: zipfile.ZipFile, entry: _Entry) -> None:
    info = zipfile.ZipInfo(entry.name, _DATE)
    info.create_system = _UNIX
    info.external_attr = (0o100755 if entry.executable else 0o100644) << 16
    target.writestr(info, entry.content, zipfile.ZIP_DEFLATED, LEVEL)


def _wheel(name: str) -> tuple[str, str]:
    """Name and version of the distribution that an entry belongs to."""
    words = name.removeprefix(DEPENDENCIES).split("-", 2)
    return words[0], words[1]


def _sorted_out(
    source: zipfile.ZipFile,
) -> tuple[dict[tuple[str, str], dict[str, tuple[str, int]]], dict[str, tuple[str, str, str]]]:
    """Each distribution's files with hash and length; and the entries that are left out, each with its rule."""
    found: dict[tuple[str, str], dict[str, tuple[str, int]]] = {}
    left: dict[str, tuple[str, str, str]] = {}
    for info in source.infolist():
        path = listing.installed_as(info.filename)
        if info.is_dir() or path is None:
            continue
        of = _wheel(info.filename) if info.filename.startswith(DEPENDENCIES) else ("daybreak", "")
        rule = next((one for one in UNUSED if one[0] == of[0] and fnmatch.fnmatchcase(path, one[1])), None)
        if rule is not None:
            left[info.filename] = rule
            continue
        content = source.read(info)
        found.setdefault(of, {})[path] = (hashlib.sha256(content).hexdigest(), len(content))
    return found, left


def _described(
    about: Contents,
    found: dict[tuple[str, str], dict[str, tuple[str, int]]],
    left: dict[str, tuple[str, str, str]],
) -> Contents:
    distributions: list[Distribution] = [
        listing.distribution(name, version or about.daybreak, files) for (name, version), files in found.items()
    ]
    return replace(
        about,
        distributions=tuple(sorted(distributions, key=lambda one: one.name.lower())),
        left_out=tuple(_left(left, rule) for rule in UNUSED if rule in left.values()),
        files={path: digest for files in found.values() for path, (digest, _) in sorted(files.items())},
    )


def _left(left: dict[str, tuple[str, str, str]], rule: tuple[str, str, str]) -> LeftOut:
    return LeftOut(rule[0], rule[1], sum(one == rule for one in left.values()), rule[2])
