"""Charts as tables: what is drawn is read from the table that stands beneath, so both always say the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from daybreak.report.metrics import Day, Spread, Trends

Kind = Literal["line", "stacked"]
Unit = Literal["share", "usd", "ms", "count"]

SERIES_MAX = 7
"""Colours that can be told apart."""
OTHERS = "all others"


@dataclass(frozen=True, slots=True)
class Cell:
    value: float | None
    """None where there is nothing to draw: that is no zero."""
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    day: str
    """`2026-11-21`."""
    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    name: str
    """For ids in the page."""
    title: str
    kind: Kind
    unit: Unit
    series: tuple[str, ...]
    rows: tuple[Row, ...]
    says: str
    """The one thing that it shows, in a sentence."""

    @property
    def empty(self) -> bool:
        return not any(cell.value for row in self.rows for cell in row.cells)


def charts(told: Trends) -> tuple[Chart, ...]:
    """Of these days: success, cost, durations, failures by kind."""
    return (success(told), outcomes(told), cost(told), durations(told), failures(told))


def success(told: Trends) -> Chart:
    rows = [_row(one, [Cell(one.success_share, share(one.success_share))]) for one in told.days]
    judged = {one.day: one.success_share for one in told.days if one.success_share is not None}
    says = "Nothing ended in these days."
    if judged:
        worst = min(judged, key=lambda day: (judged[day] or 0.0, day))
        says = f"{share(told.total.success_share)} of the runs that ended were verified"
        says += f"; the lowest day was {label(worst)} with {share(judged[worst])}." if len(judged) > 1 else "."
    return Chart("success", "Verified share", "line", "share", ("verified",), tuple(rows), says)


def outcomes(told: Trends) -> Chart:
    names = ("verified", "unverified", "failed", "cancelled")
    rows = [_row(one, [_count(one.ended.get(name, 0)) for name in names]) for one in told.days]
    parts = [f"{told.total.ended.get(name, 0):,} {name}" for name in names]
    return Chart("outcomes", "Runs that ended", "stacked", "count", names, tuple(rows), f"{', '.join(parts)}.")


def cost(told: Trends) -> Chart:
    names = {"gateway": "seen by the gateway", "told": "told by workers"}
    rows = [_row(one, [_money(one.money.get(name, 0)) for name in names]) for one in told.days]
    says = f"{usd(told.total.money_microusd)} together"
    spent = [one for one in told.days if one.money_microusd]
    if len(spent) > 1:
        dearest = max(spent, key=lambda one: one.money_microusd)
        says += f"; the dearest day was {label(dearest.day)} with {usd(dearest.money_microusd)}"
    return Chart("cost", "Cost", "stacked", "usd", tuple(names.values()), tuple(rows), f"{says}.")


def durations(told: Trends) -> Chart:
    names = ("half of the runs took at most", "95 of 100 took at most")
    rows = [_row(one, _spread(one.run_duration)) for one in told.days]
    whole = told.total.run_duration
    says = "No run ended in these days."
    if whole is not None:
        says = f"Half of {whole.count:,} runs took at most {span(whole.p50.value)}, 95 of 100 {span(whole.p95.value)}."
    return Chart("durations", "How long runs took", "line", "ms", names, tuple(rows), says)


def failures(told: Trends) -> Chart:
    kinds = sorted(told.total.failures, key=lambda kind: (-told.total.failures[kind], kind))
    shown = kinds[: SERIES_MAX - 1] if len(kinds) > SERIES_MAX else kinds
    names = (*shown, OTHERS) if len(shown) < len(kinds) else tuple(shown)
    rows = [_row(one, _kinds(one.failures, shown, others=len(shown) < len(kinds))) for one in told.days]
    says = "Nothing failed in these days."
    if kinds:
        says = f"{sum(told.total.failures.values()):,} failures of {len(kinds)} kinds; most often {kinds[0]}."
    return Chart("failures", "Failures by kind", "stacked", "count", names, tuple(rows), says)


def _kinds(found: Mapping[str, int], shown: Sequence[str], *, others: bool) -> list[Cell]:
    cells = [_count(found.get(kind, 0)) for kind in shown]
    rest = sum(value for kind, value in found.items() if kind not in shown)
    return [*cells, _count(rest)] if others else cells


def _row(one: Day, cells: Iterable[Cell]) -> Row:
    return Row(one.day, label(one.day), tuple(cells))


def _count(value: int) -> Cell:
    return Cell(value, f"{value:,}")


def _money(microusd: int) -> Cell:
    return Cell(microusd / 1_000_000, usd(microusd))


def _spread(found: Spread | None) -> list[Cell]:
    if found is None:
        return [Cell(None, "–"), Cell(None, "–")]
    return [Cell(one.value, span(one.value)) for one in (found.p50, found.p95)]


# -- words


def label(day: str) -> str:
    """`Sat 21 Nov`."""
    return date.fromisoformat(day).strftime("%a %d %b")


def share(value: float | None) -> str:
    """`67 %`; never 100 % or 0 % where that is rounding."""
    if value is None:
        return "–"
    rounded = round(100 * value)
    if (rounded == 100 and value < 1) or (rounded == 0 and value > 0):
        return f"{100 * value:.2f} %"
    return f"{rounded} %"


def bound(value: float) -> str:
    """An end of an interval: it is an estimate, so whole percents will do."""
    return f"{round(100 * value)} %"


def usd(microusd: int) -> str:
    """`$1.20`, `$0.0031`: two digits that say something."""
    from daybreak.memory.routing import dollars

    return dollars(microusd)


def span(ms: int) -> str:
    """`340 ms`, `4.2 s`, `7 min 05 s`, `3 h 05 min`."""
    seconds = ms / 1000
    if seconds < 1:
        return f"{ms} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    return f"{seconds // 3600:.0f} h {seconds // 60 % 60:02.0f} min"


def rough(ms: int) -> str:
    """`340 ms`, `4.2 s`, `23 min`, `3 h 05 min`: where there is little room."""
    return f"{round(ms / 60_000)} min" if 60_000 <= ms < 3_600_000 else span(ms)
