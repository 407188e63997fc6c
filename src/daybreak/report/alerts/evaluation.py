"""What becomes of alerts at a moment: a pure function of the ledger, the time and the rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from daybreak.events import AlertCleared, AlertFired, AlertTurned
from daybreak.report.alerts.rules import Look, Lookout
from daybreak.report.alerts.view import Standing, standing
from daybreak.report.metrics.asking import Asked
from daybreak.settings import Alert, span_s

GONE = "its rule is no longer in the settings"

Change = AlertTurned | AlertFired | AlertCleared


def evaluate(log: Asked, now: datetime, rules: Mapping[str, Alert], file: str = "") -> list[Change]:
    """The events that the rules want, at most one for each alert. Appends nothing.

    `file`: where the rules stand. Alerts of rules in other files are left alone: a process that knows only its own
    settings cannot tell a rule that was taken out from one that another project has.
    """
    known = {one.alert: one for one in standing(log) if one.rules == file}
    lookout = Lookout(log, now)
    found = [_change(name, rule, lookout.look(rule), now, known.get(name)) for name, rule in sorted(rules.items())]
    found += [over(one, GONE) for name, one in sorted(known.items()) if name not in rules and one.state != "clear"]
    return [replace(one, rules=file) for one in found if one is not None]


def _change(name: str, rule: Alert, look: Look, now: datetime, known: Standing | None) -> Change | None:
    state, lasting = (known.state, _lasting(known, now)) if known is not None else ("clear", timedelta())
    long_enough = timedelta(seconds=span_s(rule.for_))
    match state:
        case "clear" if look.holds:
            return _turned(name, look, known, holds=True) if long_enough else _fired(name, rule, look, known)
        case "pending" if look.holds and lasting >= long_enough:
            return _fired(name, rule, look, known)
        case "pending" if not look.holds:
            return _turned(name, look, known, holds=False)
        case "firing" if look.is_over:
            return _turned(name, look, known, holds=False) if long_enough else _cleared(rule, look, known)
        case "clearing" if look.holds:
            return _turned(name, look, known, holds=True)
        case "clearing" if lasting >= long_enough:
            return _cleared(rule, look, known)
    return None


def _lasting(known: Standing, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(known.since)


def _next(known: Standing | None) -> int:
    return 1 if known is None else known.version + 1


def _turned(name: str, look: Look, known: Standing | None, *, holds: bool) -> AlertTurned:
    value = look.value if look.value is not None else 0.0
    return AlertTurned(alert=name, version=_next(known), holds=holds, value=value, threshold=look.threshold)


def _fired(name: str, rule: Alert, look: Look, known: Standing | None) -> AlertFired:
    assert look.value is not None, "what is not known does not hold"
    return AlertFired(
        alert=name,
        version=_next(known),
        metric=rule.metric,
        severity=rule.severity,
        value=look.value,
        threshold=look.threshold,
        text=look.text,
        begin=look.begin,
        end=look.end,
        samples=look.cases,
        before=look.before,
    )


def _cleared(rule: Alert, look: Look, known: Standing | None) -> AlertCleared:
    assert known is not None, "what never changed did not fire"
    return AlertCleared(
        alert=known.alert,
        version=_next(known),
        metric=rule.metric,
        severity=rule.severity,
        value=look.value if look.value is not None else known.value,
        threshold=look.threshold,
        text=look.text,
        begin=look.begin,
        end=look.end,
        samples=look.cases,
        before=look.before,
        fired=known.fired,
    )


def over(known: Standing, why: str) -> Change:
    """Whoever takes a rule out, or says that it is over, has dealt with what it said."""
    if not known.fires:
        return AlertTurned(alert=known.alert, version=_next(known), holds=False, rules=known.rules)
    return AlertCleared(
        alert=known.alert,
        version=_next(known),
        metric=known.metric,
        severity=known.severity,
        value=known.value,
        threshold=known.threshold,
        text=why,
        fired=known.fired,
        rules=known.rules,
    )
