"""Alerts: rules over metrics, told once when they hold and once when that is over. What they do is an event in the
ledger, and nothing else: whoever tells people reads it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.report.alerts.evaluation import evaluate as evaluate
    from daybreak.report.alerts.rules import Look as Look
    from daybreak.report.alerts.rules import Lookout as Lookout
    from daybreak.report.alerts.view import Standing as Standing
    from daybreak.report.alerts.view import standing as standing
    from daybreak.report.alerts.watch import Rules as Rules
    from daybreak.report.alerts.watch import Watch as Watch

_HOMES = {
    "evaluate": "evaluation",
    **dict.fromkeys(("Look", "Lookout"), "rules"),
    **dict.fromkeys(("Standing", "standing"), "view"),
    **dict.fromkeys(("Rules", "Watch"), "watch"),
}


def __getattr__(name: str) -> Any:
    """Imported where somebody asks: every command knows the view, and few want more. (`watch`, `rules` and the others
    are modules.)"""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"daybreak.report.alerts.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
