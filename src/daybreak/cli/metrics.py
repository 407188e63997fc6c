"""`daybreak metrics show|export|alerts`: what nights add up to, for people and for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.report.shown import shown

if TYPE_CHECKING:
    from daybreak.ledger import Ledger
    from daybreak.report.alerts import Standing
    from daybreak.report.metrics import Day, Line, Spread

app = typer.Typer(help="Success, cost, durations and failures, day by day; and alerts.", no_args_is_help=True)

Format = Literal["json", "csv", "prometheus"]
Days = Annotated[
    int | None,
    typer.Option(
        "--days",
        metavar="N",
        help="So many UTC days, with today.",
        parser=arguments.whole(1, 3_660),
        show_default="metrics.days of daybreak.toml, else 7",
    ),
]
_BARS = "▁▂▃▄▅▆▇█"
_SHOWN_MAX = 12
"""Kinds of failures, and workers, that the table names."""


@app.command("show", epilog="Examples:  daybreak metrics show    daybreak metrics show --days 30 --json")
def show(days: Days = None, as_json: Json = False) -> None:
    """Show the last days: success, cost, durations, failures, and how each worker does."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.report import metrics

    with home.open_ledger(looking=True) as ledger:
        now = SystemClock().now()
        if as_json:
            faces.result_json(_document(ledger, _days(days)))
            return
        told = metrics.trends(ledger, _days(days), now=now)
        league = metrics.league(ledger, _days(days), now=now)
    faces.result(f"{told.days[0].day} to {told.days[-1].day}, by UTC days; the last column is all of them")
    faces.result(_table(told.days, told.total))
    if told.total.failures:
        faces.result("\nWhat failed:")
        ranked = sorted(told.total.failures.items(), key=lambda one: (-one[1], one[0]))
        _cut([f"  {number:>6,}  {kind}" for kind, number in ranked])
    if league:
        faces.result("\nWorkers, whoever is surely good first:")
        _cut(_league(league))


@app.command(
    "export",
    epilog="Examples:  daybreak metrics export --format prometheus    "
    "daybreak metrics export --format csv --days 90 -o trends.csv",
)
def export(
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="json, csv or prometheus.")] = "json",
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write it there, whole or not at all.", parser=arguments.path
        ),
    ] = None,
    days: Days = None,
) -> None:
    """Write the metrics for other programs: the last days as JSON or CSV, everything since the begin for Prometheus."""
    import json

    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.report import metrics

    if format_ not in get_args(Format):
        raise ArgumentWrong(f"--format {arguments.cut(format_)} is none of them", hint="write json, csv or prometheus")
    if format_ == "prometheus" and days is not None:
        raise ArgumentWrong("--days goes with json and csv", hint="counters for Prometheus count from the begin on")
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise ArgumentWrong(f"-o {arguments.cut(out)} can be no file", hint="name one in a folder that is there")
    with home.open_ledger(looking=True) as ledger:
        now = SystemClock().now()
        match cast("Format", format_):
            case "prometheus":
                text = metrics.prometheus(ledger, now)
            case "csv":
                text = metrics.as_csv(
                    metrics.trends(ledger, _days(days), now=now), metrics.league(ledger, _days(days), now=now)
                )
            case "json":
                text = json.dumps(_document(ledger, _days(days)), ensure_ascii=False, indent=2) + "\n"
    _write(text, out)


@app.command("alerts", epilog="Examples:  daybreak metrics alerts    daybreak metrics alerts --clear waiting")
def alerts(
    clear: Annotated[
        str | None, typer.Option("--clear", metavar="NAME", help="Say that an alert is over whose rule is gone.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the rules of daybreak.toml, what each sees now, and which alerts fired. Nights and `daybreak serve`
    decide; this looks only."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.report.alerts import Lookout, standing

    if clear is not None:
        _clear(clear)
    rules, file = home.settings().alerts, _file()
    with home.open_ledger(looking=True) as ledger:
        found = standing(ledger)
        known = {one.alert: one for one in found if one.rules == file}
        lookout = Lookout(ledger, SystemClock().now())
        told = []
        for name in sorted({*rules, *(name for name, one in known.items() if one.state != "clear")}):
            rule, row = rules.get(name), known.get(name)
            look = lookout.look(rule) if rule is not None else None
            told.append(
                {
                    "alert": name,
                    "state": row.state if row is not None else "clear",
                    "since": row.since if row is not None else "",
                    "fired": row.fired if row is not None else "",
                    "cleared": row.cleared if row is not None else "",
                    "metric": rule.metric if rule is not None else row.metric if row is not None else "",
                    "severity": rule.severity if rule is not None else row.severity if row is not None else "",
                    "rule": None if rule is None else rule.model_dump(by_alias=True, exclude_unset=True),
                    "value": None if look is None else look.value,
                    "holds": look is not None and look.holds,
                    "text": look.text if look is not None else "its rule is no longer in daybreak.toml",
                }
            )
        told += [_elsewhere(one) for one in found if one.rules != file and one.state != "clear"]
    if as_json:
        faces.result_json(told)
        return
    if not told:
        faces.say("no alerts; `[alerts.NAME]` in daybreak.toml makes one (docs/how-to/metrics.md)")
    for one in told:
        since = f" since {faces.moment(str(one['since']))}" if one["since"] and one["state"] != "clear" else ""
        faces.result(f"{one['alert']}  {one['state']}{since}  {one['severity']}\n    {one['text']}")


# -- inside


def _file() -> str:
    from daybreak.home import alerting

    rules = alerting.rules()
    return "" if rules is None else rules.file


def _elsewhere(one: Standing) -> dict[str, Any]:
    """An alert of another settings file: how it stands, and what it said at its last change."""
    return {
        **{name: getattr(one, name) for name in ("alert", "state", "since", "fired", "cleared", "metric", "severity")},
        "rule": None,
        "value": one.value,
        "holds": False,
        "text": shown(f"{one.text or 'its condition holds'} (its rule stands in {one.rules or 'no file'})"),
    }


def _clear(name: str) -> None:
    """Raises ArgumentWrong where no alert of that name stands, or where a rule of this daybreak.toml decides."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.report.alerts import Rules, Watch, standing
    from daybreak.report.alerts.evaluation import over

    mine = home.settings().alerts
    with home.open_ledger() as ledger:
        found = [one for one in standing(ledger) if one.alert == name and one.state != "clear"]
        if not found or (name in mine and all(one.rules == _file() for one in found)):
            raise ArgumentWrong(
                f"no alert {arguments.cut(name)} stands whose rule is gone",
                hint="one that daybreak.toml has clears by itself; `daybreak metrics alerts` shows them",
            )
        watch = Watch(ledger, SystemClock(), Rules({}))
        for one in found:
            if name not in mine or one.rules != _file():
                watch.write(over(one, "a person said that it is over"))


def _days(told: int | None) -> int:
    from daybreak import home
    from daybreak.errors import UsageError

    if told is not None:
        return told
    try:
        return home.settings().metrics.days
    except UsageError as problem:  # to look at the past nobody needs a daybreak.toml that can be used
        from daybreak.settings import Measuring

        faces.say(f"daybreak.toml is not used: {problem.code} {problem.message}")
        return Measuring().days


def _document(ledger: Ledger, days: int) -> dict[str, Any]:
    """Everything, as one JSON document."""
    from dataclasses import asdict

    from daybreak.clock import SystemClock
    from daybreak.report import metrics

    now = SystemClock().now()
    return {
        "trends": metrics.as_json(metrics.trends(ledger, days, now=now)),
        "league": [asdict(line) for line in metrics.league(ledger, days, now=now)],
        "now": asdict(metrics.now(ledger, now)),
    }


def _write(text: str, out: Path | None) -> None:
    """Exactly that text, to a file or to standard output."""
    import sys

    from daybreak.host.files import write_file

    data = text.encode("utf-8", "backslashreplace")
    if out is not None:
        write_file(out, data)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _cut(lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN_MAX]:
        faces.result(line)
    if len(lines) > _SHOWN_MAX:
        faces.result(f"  and {len(lines) - _SHOWN_MAX} more; --json has all")


_ROWS: tuple[tuple[str, Callable[[Day], float | None], Callable[[Day], str]], ...] = (
    ("verified", lambda day: day.ended.get("verified", 0), lambda day: f"{day.ended.get('verified', 0):,}"),
    ("not verified", lambda day: day.ended.get("unverified", 0), lambda day: f"{day.ended.get('unverified', 0):,}"),
    ("failed", lambda day: day.failed, lambda day: f"{day.failed:,}"),
    ("success", lambda day: day.success_share, lambda day: _percent(day.success_share)),
    ("parked", lambda day: day.parked, lambda day: f"{day.parked:,}"),
    ("cost, USD", lambda day: day.money_microusd, lambda day: f"{day.money_microusd / 1_000_000:,.2f}"),
    (
        "tokens",
        lambda day: day.input_tokens + day.output_tokens,
        lambda day: f"{day.input_tokens + day.output_tokens:,}",
    ),
    ("requests", lambda day: day.requests, lambda day: f"{day.requests:,}"),
    ("attempts", lambda day: day.attempts, lambda day: f"{day.attempts:,}"),
    ("run, half of them", lambda day: _ms(day.run_duration, "p50"), lambda day: _time(day.run_duration, "p50")),
    ("run, 95 of 100", lambda day: _ms(day.run_duration, "p95"), lambda day: _time(day.run_duration, "p95")),
    ("incidents", lambda day: sum(day.incidents.values()), lambda day: f"{sum(day.incidents.values()):,}"),
    ("breakers opened", lambda day: day.breaker_openings, lambda day: f"{day.breaker_openings:,}"),
    ("nights", lambda day: day.nights, lambda day: f"{day.nights:,}"),
)


def _table(days: Sequence[Day], total: Day) -> str:
    """The small pictures are left out where NO_COLOR or TERM=dumb says so: what reads a screen aloud reads them too."""
    import os

    if "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        rows = [f"{name:<18} {words(days[-1]):>12} {words(total):>14}" for name, _, words in _ROWS]
        return "\n".join([f"{'':<18} {'today':>12} {'all':>14}", *rows])
    lines = []
    for name, number, words in _ROWS:
        lines.append(
            f"{name:<18} {_sparkline([number(day) for day in days])}  {words(days[-1]):>12} {words(total):>14}"
        )
    return "\n".join([f"{'':<18} {'':<{len(days)}}  {'today':>12} {'all':>14}", *lines])


def _sparkline(values: Sequence[float | None]) -> str:
    """One character for each day, the highest as a full one; a dot where nothing is known, a space for nothing."""
    most = max((value for value in values if value is not None), default=0)

    def bar(value: float | None) -> str:
        if value is None:
            return "·"
        return _BARS[min(len(_BARS) - 1, int(value / most * len(_BARS)))] if value > 0 else " "

    return "".join(bar(value) for value in values)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f} %"


def _ms(spread: Spread | None, which: Literal["p50", "p95"]) -> int | None:
    return None if spread is None else getattr(spread, which).value


def _time(spread: Spread | None, which: Literal["p50", "p95"]) -> str:
    ms = _ms(spread, which)
    if ms is None:
        return "-"
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms} ms"


def _league(lines: Sequence[Line]) -> list[str]:
    width = min(40, max(len(line.worker) for line in lines))
    found = [f"  {'':<{width}}  {'solved':>11}  {'95 % surely':>12}  {'USD each':>9}  {'half took':>9}"]
    for line in lines:
        each = line.money_per_solved_microusd
        price = "-" if each is None else f"{each / 1_000_000:,.3f}"
        surely = f"{line.low * 100:.0f}-{line.high * 100:.0f} %"
        found.append(
            f"  {line.worker[:width]:<{width}}  {f'{line.solved}/{line.counted}':>11}  {surely:>12}"
            f"  {price:>9}  {_time(line.duration, 'p50'):>9}"
        )
    return found
