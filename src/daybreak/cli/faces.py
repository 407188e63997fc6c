"""How every command speaks: results to standard output, talk to standard error, errors in one shape."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from daybreak.clock import stamp
from daybreak.errors import DaybreakError, SpecError, UsageError
from daybreak.report.saying import say as say
from daybreak.report.shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

EXIT_VERIFIED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PARKED = 3
EXIT_INTERRUPTED = 130
TYPED_WRONG = frozenset({"H222", "H226", "H228", "L149", "P115", "P141"})
"""Codes of floors below for what only a person can have typed: names that nothing has, folders that are taken. There
they say that something is not; here it is wrong usage."""


def result(text: str) -> None:
    """A result, on standard output."""
    print(shown(text), flush=True)  # noqa: T201 - this is the face


def result_json(value: Any) -> None:
    """One JSON document. Every moment in it has the form that the ledger has: `2026-11-21T04:30:00.000000Z`."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain)
    print(text.encode("utf-8", "backslashreplace").decode(), flush=True)  # noqa: T201 - this is the face


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def moment(value: datetime | str) -> str:
    """A moment for people, in UTC, to the second: `2026-11-21 04:30:00Z`. A text is one that `stamp` made."""
    told = stamp(value) if isinstance(value, datetime) else value
    return f"{told[:10]} {told[11:19]}Z"


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def stages() -> Callable[[str, int, int], None] | None:
    """How far something is that may take long, and at what, in events; on a terminal, once it has taken a second. None
    elsewhere."""
    if not sys.stderr.isatty():
        return None
    began_s = time.monotonic()

    def tell(doing: str, done: int, total: int) -> None:
        if time.monotonic() - began_s > 1:
            end = "" if done < total else "\n"
            print(f"\r{doing}: {done:,} of {total:,} events", end=end, file=sys.stderr, flush=True)  # noqa: T201

    return tell


def counter(doing: str) -> Callable[[int, int], None] | None:
    """As `stages`, of something that has but one."""
    tell = stages()
    return None if tell is None else partial(tell, doing)


def show_error(error: DaybreakError, *, as_json: bool = False) -> int:
    """Print the error and return the exit status it stands for."""
    if as_json:
        result_json({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
    else:
        say(f"daybreak: {error.code} {error.message}")
        more = _more(error)
        if error.hint or more:
            say(f"  {error.hint} {more}".rstrip())
    return exit_status(error)


def _more(error: DaybreakError) -> str:
    """Where more is to be read about it: for a person at a terminal, and once."""
    return "" if "daybreak explain" in error.hint or not sys.stderr.isatty() else f"(daybreak explain {error.code})"


def exit_status(error: DaybreakError) -> int:
    typed_wrong = isinstance(error, UsageError | SpecError) or error.code in TYPED_WRONG
    return EXIT_USAGE if typed_wrong else EXIT_FAILED
