"""Talk, beside results: on standard error."""

from __future__ import annotations

import sys

from daybreak.report.shown import shown


def say(text: str) -> None:
    """Talk, on standard error."""
    print(shown(text), file=sys.stderr, flush=True)  # noqa: T201 - this is where every process talks
