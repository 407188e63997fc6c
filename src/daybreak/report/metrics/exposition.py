"""The text that Prometheus reads (exposition format 0.0.4): counters since the ledger began, and how it stands now.

Names are stable. Counters fall only where the ledger itself is another one. Labels hold foreign text, escaped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from daybreak.report.metrics.asking import Asked, counted, spreads
from daybreak.report.metrics.definitions import COUNTERS, SPREADS, Metric
from daybreak.report.metrics.gauges import now as gauges_now
from daybreak.report.metrics.spread import COARSE
from daybreak.report.metrics.view import EVER

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_UNITS: Mapping[str, tuple[str, int]] = {"microusd": ("_usd", 1_000_000), "ms": ("_seconds", 1000)}
"""What stands behind the name, and what a value is divided by."""

Sample = tuple[str, Mapping[str, str], str]
"""What stands behind the family's name, labels, value."""


def prometheus(log: Asked, now: datetime) -> str:
    """All metrics. A few milliseconds, however long the ledger is."""
    return "".join(_family(*one) for one in (*_counters(log), *_histograms(log), *_gauges(log, now)))


def escaped(text: str) -> str:
    """A label's value between its quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_Family = tuple[str, str, str, Iterable[Sample]]
"""Name, type, help, samples."""


def _family(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        told = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{suffix}{{{told}}} {value}" if told else f"{name}{suffix} {value}")
    return "\n".join(lines) + "\n"


def _number(value: int, divisor: int) -> str:
    """Exact: a counter that is rounded could fall."""
    whole, rest = divmod(value, divisor)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(divisor)) - 1}}".rstrip("0")


def _counters(log: Asked) -> Iterator[_Family]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for metric, _, label, value in counted(log, (one.name for one in COUNTERS), [EVER]):
        found[metric][label] = value
    for one in COUNTERS:
        suffix, divisor = _UNITS.get(one.unit, ("", 1))
        values = found.get(one.name, {})
        if not one.label:
            values = {"": sum(values.values())}
        samples = [("", _labels(one, label), _number(value, divisor)) for label, value in sorted(values.items())]
        yield f"daybreak_{one.name}{suffix}_total", "counter", one.help, samples


def _histograms(log: Asked) -> Iterator[_Family]:
    found: dict[str, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for metric, _, label, bucket, value in spreads(log, (one.name for one in SPREADS), [EVER]):
        found[metric][label][bucket] = value
    for one in SPREADS:
        suffix, divisor = _UNITS[one.unit]
        samples: list[Sample] = []
        for label, counts in sorted(found.get(one.name, {}).items()):
            samples += _buckets(_labels(one, label), counts, divisor)
        yield f"daybreak_{one.name}{suffix}", "histogram", one.help, samples


def _buckets(labels: Mapping[str, str], counts: Mapping[int, int], divisor: int) -> Iterator[Sample]:
    """Nobody keeps the sum: it is made of the buckets' upper bounds, and cannot fall either."""
    for bound in COARSE:
        below = sum(value for bucket, value in counts.items() if bucket <= bound)
        yield "_bucket", {**labels, "le": _number(bound, divisor)}, str(below)
    whole = sum(counts.values())
    yield "_bucket", {**labels, "le": "+Inf"}, str(whole)
    yield "_sum", labels, _number(sum(bucket * value for bucket, value in counts.items()), divisor)
    yield "_count", labels, str(whole)


def _labels(metric: Metric, label: str) -> Mapping[str, str]:
    return {metric.label: label} if metric.label else {}


def _gauges(log: Asked, now: datetime) -> Iterator[_Family]:
    told = gauges_now(log, now)

    def gauge(name: str, help_text: str, *samples: tuple[Mapping[str, str], int | None]) -> _Family:
        kept = [("", labels, str(value)) for labels, value in samples if value is not None]
        return f"daybreak_{name}", "gauge", help_text, kept

    yield gauge(
        "runs",
        "Runs that are not over, by state.",
        *(({"state": state}, number) for state, number in told.runs.items()),
    )
    yield gauge("questions", "Runs that wait for a person's answer.", ({}, told.asking))
    yield gauge("question_age_seconds", "Since when the oldest of them waits.", ({}, told.asking_s))
    yield gauge("breakers_open", "Breakers that are not closed.", *(({"breaker": name}, 1) for name in told.breakers))
    open_incidents = (({"level": level}, number) for level, number in told.incidents.items())
    yield gauge("incidents_open", "Incidents that nobody has closed, by level.", *open_incidents)
    yield gauge("nights_open", "Nights without an end.", ({}, told.nights))
    yield gauge("night_age_seconds", "Since the newest night ended, or began where it has not.", ({}, told.night_s))
    firing = (({"alert": name, "severity": severity}, 1) for name, severity in told.alerts.items())
    yield gauge("alert_firing", "Alerts that fired and are not over.", *firing)
    yield gauge("ledger_events", "Events in the ledger.", ({}, told.events))
    yield gauge("ledger_bytes", "Size of the ledger's file.", ({}, told.bytes))
