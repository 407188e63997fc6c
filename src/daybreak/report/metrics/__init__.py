"""What nights add up to: how many runs were verified, what they cost, how long they took, what failed, who is good at
what. Answered from the view `metrics`, by day, however long the ledger is.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.report.metrics.asking import Asked as Asked
    from daybreak.report.metrics.asking import DaysWrong as DaysWrong
    from daybreak.report.metrics.daily import Day as Day
    from daybreak.report.metrics.daily import Trends as Trends
    from daybreak.report.metrics.daily import as_json as as_json
    from daybreak.report.metrics.daily import trends as trends
    from daybreak.report.metrics.exposition import CONTENT_TYPE as CONTENT_TYPE
    from daybreak.report.metrics.exposition import prometheus as prometheus
    from daybreak.report.metrics.gauges import Gauges as Gauges
    from daybreak.report.metrics.gauges import now as now
    from daybreak.report.metrics.leagues import Line as Line
    from daybreak.report.metrics.leagues import league as league
    from daybreak.report.metrics.spread import Quantile as Quantile
    from daybreak.report.metrics.spread import Spread as Spread
    from daybreak.report.metrics.tables import as_csv as as_csv

_HOMES = {
    **dict.fromkeys(("Asked", "DaysWrong"), "asking"),
    **dict.fromkeys(("Day", "Trends", "as_json", "trends"), "daily"),
    **dict.fromkeys(("CONTENT_TYPE", "prometheus"), "exposition"),
    **dict.fromkeys(("Gauges", "now"), "gauges"),
    **dict.fromkeys(("Line", "league"), "leagues"),
    **dict.fromkeys(("Quantile", "Spread"), "spread"),
    "as_csv": "tables",
}


def __getattr__(name: str) -> Any:
    """Imported where somebody asks: every command knows the view, and few want more."""
    if name in _HOMES:
        return getattr(import_module(f"daybreak.report.metrics.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
