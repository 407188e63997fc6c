"""Where the logs of every process that opens a home are written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from daybreak.config import Places
from daybreak.report.saying import say


@contextmanager
def writing(where: Places) -> Iterator[None]:
    """Within the block, logs go to the files of these places; with --verbose to the terminal as well. The level is that
    of DAYBREAK_LOG (debug, info, warning, error, off). Raises LevelUnknown."""
    from daybreak import logs
    from daybreak.engine import trail

    verbose = logs.asked_for_more()
    level = logs.wanted(os.environ, verbose=verbose)

    def show(line: Mapping[str, Any]) -> None:
        from daybreak.report import logbook

        say(logbook.for_people(dict(line)))

    with logs.logging_to(
        where.logs, redact=_redacted, trail=trail.current, level=level, show=show if verbose else None
    ):
        yield


def _redacted(text: str) -> str:
    from daybreak.policy.redaction import redact

    return redact(text).text
