"""How every command speaks: results to standard output, talk to standard error, errors in one shape."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from daybreak.errors import DaybreakError, SpecError, UsageError
from daybreak.report.shown import shown

if TYPE_CHECKING:
    from rich.console import Console

EXIT_VERIFIED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PARKED = 3
EXIT_INTERRUPTED = 130


def say(text: str) -> None:
    """Talk, on standard error."""
    print(shown(text), file=sys.stderr, flush=True)  # noqa: T201 - this is the face


def result(text: str) -> None:
    """A result, on standard output."""
    print(shown(text), flush=True)  # noqa: T201 - this is the face


def result_json(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    print(text.encode("utf-8", "backslashreplace").decode(), flush=True)  # noqa: T201 - this is the face


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def show_error(error: DaybreakError, *, as_json: bool = False) -> int:
    """Print the error and return the exit status it stands for."""
    if as_json:
        result_json({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
    else:
        say(f"daybreak: {error.code} {error.message}")
        if error.hint:
            say(f"  {error.hint}")
    return exit_status(error)


def exit_status(error: DaybreakError) -> int:
    return EXIT_USAGE if isinstance(error, UsageError | SpecError) else EXIT_FAILED
