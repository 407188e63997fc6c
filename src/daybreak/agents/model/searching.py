"""A search of its own process: a regular expression of somebody else may take for ever, and then it is ended.

`python searching.py` reads `{"root", "start", "pattern", "files", "skipped", "most"}` as JSON and prints a JSON object:
`{"found": [[path, line, text], ...], "more": bool}` or `{"wrong": why}`. Standard library only.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

LINE_CHARS_MAX = 2_000
SHOWN_CHARS = 240
FILE_BYTES_MAX = 4_000_000


def main() -> None:
    order = json.load(sys.stdin)
    try:
        pattern = re.compile(order["pattern"])
    except (re.error, RecursionError, OverflowError) as problem:
        print(json.dumps({"wrong": f"{problem}"[:300]}))  # noqa: T201 - its answer
        return
    found: list[tuple[str, int, str]] = []
    more = False
    for hit in _hits(order, pattern):
        if len(found) == order["most"]:
            more = True
            break
        found.append(hit)
    print(json.dumps({"found": found, "more": more}))  # noqa: T201 - its answer


def _hits(order: dict[str, Any], pattern: re.Pattern[str]) -> Iterator[tuple[str, int, str]]:
    for path in _files(order):
        relative = os.path.relpath(path, order["root"])
        if order["files"] and not any(
            fnmatch.fnmatchcase(one, order["files"]) for one in (relative, os.path.basename(path))
        ):
            continue
        for number, line in enumerate(_lines(path), 1):
            if (match := pattern.search(line[:LINE_CHARS_MAX])) is not None:
                start = max(0, match.start() - SHOWN_CHARS // 2)
                yield relative, number, line[start : start + SHOWN_CHARS]


def _files(order: dict[str, Any]) -> Iterator[str]:
    if os.path.isfile(order["start"]):
        yield order["start"]
        return
    for folder, folders, names in os.walk(order["start"]):
        folders[:] = sorted(one for one in folders if one not in order["skipped"])
        yield from (os.path.join(folder, name) for name in sorted(names))


def _lines(path: str) -> list[str]:
    """None where it is no text, a link, or too large."""
    if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > FILE_BYTES_MAX:
        return []
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


if __name__ == "__main__":
    main()
