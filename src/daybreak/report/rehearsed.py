"""What a rehearsal of a night says, as lines for a terminal and as JSON. Pure: a `Rehearsal` goes in."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from daybreak.clock import stamp
from daybreak.engine.experience import FEW, THIN, Basis
from daybreak.engine.rehearsal import HORIZON, Held, Rehearsal, Span, Stopped

BARS = 12
BAR_CELLS = 40
LINES_MAX = 8
"""Of each list; JSON has all."""
TITLES_MAX = 3
_BLOCKS = " ▏▎▍▌▋▊▉█"
_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 345600)
_CAUSES = {
    "workers": "a free worker",
    "needs": "other runs that they need",
    "times": "their time (not before)",
    "waits": "retries, outages and sleeps",
    "pause": "a project or queue that is paused",
}


def lines(found: Rehearsal) -> list[str]:
    """For a terminal; nothing in it is markup. Titles and questions come as they are."""
    return [
        *_head(found),
        "",
        *_figures(found),
        "",
        *plot(found),
        *_section("what holds it up", _bottlenecks(found)),
        *_section("left for you in the morning", _stopped(found)),
        *_section("what it rests on", _bases(found)),
    ]


def as_json(found: Rehearsal) -> dict[str, Any]:
    """Moments as the ledger writes them, durations in seconds, money in US dollars."""
    return {
        "began": stamp(found.began),
        "until": stamp(found.until) if found.until is not None else None,
        "nights": found.nights,
        "seed": found.seed,
        "workers": found.workers,
        "budget": found.budget.by_name if found.budget is not None else None,
        "runs": found.runs,
        "windows": asdict(found.windows),
        "finish_s": asdict(found.finish),
        "finish_at": {name: stamp(_at(found, value)) for name, value in asdict(found.finish).items()},
        "finishes_s": list(found.finishes),
        "in_time": found.in_time if found.until is not None else None,
        "all_workers_busy_until_s": asdict(found.crowded),
        "workers_busy_share": asdict(found.busy),
        "cost_usd": asdict(found.cost),
        "tokens": asdict(found.tokens),
        "at_end": {state: asdict(span) for state, span in found.at_end.items()},
        "stopped": [asdict(one) for one in found.stopped],
        "held_up_by": [asdict(one) for one in found.held],
        "budgets_used_up": dict(found.accounts),
        "not_finished_within_horizon": found.cut,
        "tasks": [
            {"run": one.run, "kind": one.kind, "title": one.title, **_basis_json(one.basis)} for one in found.drawn
        ],
    }


def _basis_json(basis: Basis) -> dict[str, Any]:
    return {
        "drawn_from": basis.level,
        "name": basis.name,
        "observations": basis.observations,
        "failed": basis.failed,
        "parked": basis.parked,
        "priced": basis.priced,
        "worth": basis.word,
    }


# -- parts


def _head(found: Rehearsal) -> list[str]:
    until = f"until {_clock(found.began, found.until)}" if found.until is not None else "until nothing is left"
    budget = f", budget {found.budget.words}" if found.budget is not None else ""
    windows = f" and {_counts(found.windows)} of schedules" if found.windows.p90 else ""
    nights = "1 night" if found.nights == 1 else f"{found.nights:,} nights"
    told = [
        f"{nights} of {found.runs} runs{windows}, {found.workers} workers, from {_clock(found.began, found.began)} "
        f"{until}{budget} (seed {found.seed})"
    ]
    if warning := _honesty(found):
        told.append(warning)
    return told


def _honesty(found: Rehearsal) -> str:
    thinnest = found.thinnest
    if thinnest is None or thinnest.observations >= THIN:
        return ""
    weak = sum(one.basis.observations < FEW and one.basis.level != "assumed" for one in found.drawn)
    assumed = sum(one.basis.level == "assumed" for one in found.drawn)
    parts = [f"{assumed} of {len(found.drawn)} tasks go as you assume"] if assumed else []
    parts += [f"{weak} of {len(found.drawn)} rest on fewer than {FEW} observations: rather a guess"] if weak else []
    return "; ".join(parts) or "some tasks rest on few observations: a rough estimate"


def _figures(found: Rehearsal) -> list[str]:
    rows = [("", "p10", "p50", "p90", "")]
    end = "at the end" if found.until is None else f"at {_clock(found.began, found.until)}"
    in_time = f"nothing left to do {end} in {found.in_time:.0%} of nights" if found.until is not None else ""
    finish = [_clock(found.began, _at(found, value)) for value in asdict(found.finish).values()]
    rows.append(("last worker idle", *finish, in_time))  # type: ignore[arg-type] # three of them
    rows.append(("  after", *map(_long, asdict(found.finish).values()), ""))  # type: ignore[arg-type]
    rows.append(("first worker idle after", *map(_long, asdict(found.crowded).values()), ""))  # type: ignore[arg-type]
    limit = found.budget.money_microusd if found.budget is not None else None
    of = f"of {limit / 1e6:g}" if limit is not None else ""
    rows.append(("cost in USD", *(f"{value:.2f}" for value in asdict(found.cost).values()), of))  # type: ignore[arg-type]
    if found.tokens.p90:
        rows.append(("tokens", *(f"{value:,.0f}" for value in asdict(found.tokens).values()), ""))  # type: ignore[arg-type]
    for state in sorted(found.at_end, key=lambda state: (state != "done", state)):
        span = found.at_end[state]
        rows.append((f"{state} {end}", *(f"{value:.0f}" for value in asdict(span).values()), ""))  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    told = []
    for name, *spans, more in rows:
        cells = "  ".join(span.rjust(width) for span, width in zip(spans, widths[1:], strict=True))
        told.append(f"{name.ljust(widths[0])}  {cells}  {more}".rstrip())
    if found.cut:
        told.append(f"in {found.cut:.0%} of nights something was still to come after {HORIZON.days} days")
    return told


def plot(found: Rehearsal) -> list[str]:
    """A histogram of when the last worker is idle for good, one line for each bar of at most BARS + 1."""
    low, high = min(found.finishes), max(found.finishes)
    width = next((width for width in _WIDTHS_S if (high - low) / width <= BARS - 1), _WIDTHS_S[-1])
    first = int(low // width)
    counts = Counter(int(value // width) - first for value in found.finishes)
    most = max(counts.values())
    told = [f"nights by when the last worker is idle ({_long(width)} each)"]
    until_s = (found.until - found.began).total_seconds() if found.until is not None else None
    for bar in range(max(counts) + 1):
        begin_s = (first + bar) * width
        late = until_s is not None and begin_s >= until_s
        at = _clock(found.began, _at(found, begin_s), seconds=width < 60)
        told.append(f"{at:>12}  {_bar(counts[bar] / most)} {counts[bar]}{'  too late' if late else ''}")
    return told


def _bar(share: float) -> str:
    eighths = round(share * BAR_CELLS * 8)
    if share > 0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + (_BLOCKS[eighths % 8] if eighths % 8 else "")


def _bottlenecks(found: Rehearsal) -> list[str]:
    told = []
    for name, share in sorted(found.accounts.items(), key=lambda one: -one[1]):
        whose = "the night's budget" if name == "night" else f"the budget of {name}"
        told.append(f"{whose} is used up in {share:.0%} of nights")
    return told + [_held(one) for one in found.held]


def _held(one: Held) -> str:
    known = _CAUSES.get(one.cause, one.cause)
    return f"waiting for {known}: {one.hours:.1f} run-hours a night"


def _stopped(found: Rehearsal) -> list[str]:
    """What would wait, by what it waits for; the most frequent first."""
    groups: dict[tuple[str, str], list[Stopped]] = {}
    for one in found.stopped:
        groups.setdefault((one.state, one.why), []).append(one)
    told = []
    for (state, why), members in sorted(groups.items(), key=lambda group: -sum(one.runs for one in group[1])):
        runs, titles = sum(one.runs for one in members), [_cut(one.title, 30) for one in members]
        named = ", ".join(titles[:TITLES_MAX]) + (f" and {len(titles) - TITLES_MAX} more" * (len(titles) > TITLES_MAX))
        told.append(f"{state}: {runs:.2g} a night" + (f": {_cut(why, 100)}" if why else "") + f" ({named})")
    return told


def _bases(found: Rehearsal) -> list[str]:
    tasks = Counter((one.kind, one.basis.level, one.basis.name, one.basis) for one in found.drawn)
    told = []
    for (kind, level, name, basis), number in sorted(
        tasks.items(), key=lambda one: (one[0][3].observations, one[0][:3])
    ):
        if level == "assumed":
            source = f"your assumption for {_cut(name)}"
        else:
            source = f"runs of this title, {_cut(name)}" if level == "title" else "runs of this kind"
            bad = f"{basis.failed} failed, {basis.parked} asked"
            source += f" ({basis.word}; {bad}; prices of {basis.priced})"
        told.append(f"{number} × {kind}: {source}")
    return told


def _section(title: str, rows: list[str]) -> list[str]:
    if not rows:
        return []
    more = [f"  … and {len(rows) - LINES_MAX} more (--json has all)"] if len(rows) > LINES_MAX else []
    return ["", title, *(f"  {row}" for row in rows[:LINES_MAX]), *more]


# -- words


def _at(found: Rehearsal, seconds: float) -> datetime:
    return found.began + timedelta(seconds=seconds)


def _clock(began: datetime, moment: datetime, *, seconds: bool = False) -> str:
    """`07:00Z`, and `+1d 07:00Z` where a day has passed and more."""
    text = stamp(moment)
    days = (moment - began).days
    return (f"+{days}d " if days else "") + text[11 : 19 if seconds else 16] + "Z"


def _long(seconds: float) -> str:
    """`3h 40min`, `40min`, `12s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{rest}min"
    return f"{hours}h {rest}min" if rest else f"{hours}h"


def _counts(span: Span) -> str:
    low, high = round(span.p10), round(span.p90)
    return f"{high} windows" if low == high else f"{low} to {high} windows"


def _cut(text: str, most: int = 60) -> str:
    short = " ".join(text.split())
    return short if len(short) <= most else f"{short[: most - 1]}…"
