"""Trends as a table of plain values: CSV (RFC 4180) that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daybreak.report.metrics.daily import Day, Trends
from daybreak.report.metrics.leagues import Line

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the begin of a formula, or passes on its way to one."""
HEADER = ("table", "day", "name", "label", "value")
_COUNTS = ("tasks", "success_share", "parked", "answered", "money_microusd", "requests", "input_tokens",
           "cached_tokens", "output_tokens", "attempts", "attempts_solved", "retries", "deliveries", "refusals",
           "breaker_openings", "nights", "alerts")  # fmt: skip
_LABELLED = ("ended", "money", "gates", "failures", "results", "incidents", "nights_ended")
_SPREADS = ("run_duration", "attempt_duration")
_OF_WORKER = ("attempts", "counted", "solved", "share", "low", "high", "money_microusd", "money_per_solved_microusd")

Row = tuple[str, str, str, str, str]


def as_csv(told: Trends, league: Sequence[Line]) -> str:
    """One value in each line, so that columns never change: which table, which day, what, of what, how much. An empty
    value: not known. Lines end with CR LF."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER)
    for row in (*(row for day in told.days for row in _of_day(day)), *(row for line in league for row in _of(line))):
        writer.writerow([harmless(cell) for cell in row])
    return out.getvalue()


def harmless(cell: str) -> str:
    """The cell with an apostrophe before what a spreadsheet would run. Numbers of ours are never negative."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _of_day(day: Day) -> Iterator[Row]:
    for name in _COUNTS:
        yield "day", day.day, name, "", _value(getattr(day, name))
    for name in _LABELLED:
        found: Mapping[str, int] = getattr(day, name)
        for label, value in found.items():
            yield "day", day.day, name, label, _value(value)
    for name in _SPREADS:
        spread = getattr(day, name)
        for which in ("p50", "p95") if spread is not None else ():
            yield "day", day.day, f"{name}_{which}_ms", "", _value(getattr(spread, which).value)


def _of(line: Line) -> Iterator[Row]:
    for name in _OF_WORKER:
        yield "worker", "", name, line.worker, _value(getattr(line, name))
    if line.duration is not None:
        yield "worker", "", "duration_p50_ms", line.worker, _value(line.duration.p50.value)


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
