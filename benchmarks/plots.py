"""Pictures of what was recorded, in `docs/assets/figures`: ratios with their aims, the trend, and the peers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import comparing, drawing, history, register
from benchmarks.figures import Figure, number
from benchmarks.history import Form, Kept, Record
from benchmarks.running import ROOT

FOLDER = ROOT / "docs" / "assets" / "figures"
EACH_MAX = 5
"""Figures of one benchmark in a picture; those nearest to their aims, or past them, come first."""
PEERS = "peers"
NAME_MAX = 40


def write(records: Sequence[Record], folder: Path = FOLDER) -> list[Path]:
    """All that can be drawn of these. A picture that has no figures any more is removed."""
    kept = history.shown(records)
    written = [ratios(part, kept, folder) for part in register.PARTS]
    written += [trend("quick", records, folder), trend("full", records, folder), peers(kept, folder)]
    there = [path for path in written if path is not None]
    for name in [*map(name_of, register.PARTS), "trend-quick.svg", "trend-full.svg", "peers.svg"]:
        if folder / name not in there:
            (folder / name).unlink(missing_ok=True)
    return there


def _days(some: Sequence[Kept]) -> str:
    """When these were measured, in words, and which of them in short form."""
    days = sorted({one.record.day for one in some})
    forms = {one.record.form for one in some}
    words = {frozenset({"quick"}): ", short forms", frozenset({"quick", "full"}): ", some in short form"}
    return days[0] + (f" to {days[-1]}" if len(days) > 1 else "") + words.get(frozenset(forms), "")


def name_of(part: str) -> str:
    """Of a part's picture."""
    return f"ratios-{part.lower().replace(',', '').replace(' ', '-')}.svg"


# -- ratios


def ratios(part: str, kept: Mapping[str, Sequence[Kept]], folder: Path) -> Path | None:
    """Each figure's ratio to its baseline, with its aim."""
    some = [(one.name, each) for one in register.ALL if one.part == part for each in _telling(kept.get(one.name, ()))]
    if not some:
        return None
    rows = [
        drawing.Bar(_shortened(f"{name}: {one.figure.name}"), one.figure.ratio, _aim(one.figure), _words(one.figure))
        for name, one in some
    ]
    return drawing.bars(
        folder / name_of(part),
        rows,
        title=f"{part}, measured {_days([one for _, one in some])}",
        text=f"{len(rows)} figures, each as a ratio to its baseline, with the aim where there is one: "
        + "; ".join(f"{row.name} {row.words}" for row in rows),
        x="times the baseline (→ more is better)",
        log=True,
        one="as the baseline",
    )


def _telling(figures: Sequence[Kept]) -> list[Kept]:
    """The few that are nearest to their aims, in the order of the benchmark; ratios of 0 have no place on such a
    scale."""
    some = [one for one in figures if one.figure.ratio > 0]
    chosen = sorted(some, key=lambda one: _used(one.figure), reverse=True)[:EACH_MAX]
    return [one for one in some if one in chosen]


def _used(figure: Figure) -> float:
    """How much of its aim a figure has used up; past 1 it is missed. Less than any where there is no aim."""
    aim = _aim(figure)
    if not aim:
        return 0.0
    return figure.ratio / aim if figure.better == "lower" else aim / figure.ratio


def _aim(figure: Figure) -> float | None:
    """As a ratio; None where it has no place on the scale."""
    if figure.aim is None or figure.aim_of == "ratio":
        return figure.aim or None
    # so that it stands to the bar as it stands to the value, also where the ratio is a median of ratios
    return figure.aim * figure.ratio / figure.value if figure.aim and figure.value else None


def _words(figure: Figure) -> str:
    arrow = " →" if figure.better == "higher" else ""
    return f"{number(figure.ratio)} x{arrow}{' MISSED' if figure.reached is False else ''}"


def _shortened(name: str) -> str:
    return name if len(name) <= NAME_MAX else name[: NAME_MAX - 1] + "…"


# -- the trend


def trend(form: Form, records: Sequence[Record], folder: Path) -> Path | None:
    """Each part over the recorded runs: the geometric mean of how many times worse its figures are than when each was
    recorded first. A run of some benchmarks leaves the others as they were."""
    some = [one for one in records if one.form == form]
    if len(some) < 2:
        return None
    series = {part: list(_worse(part, some)) for part in register.PARTS}
    series = {part: values for part, values in series.items() if any(value is not None for value in values)}
    return drawing.trend(
        folder / f"trend-{form}.svg",
        [one.made[5:10] for one in some],
        series,
        title=f"Recorded runs, {'short forms' if form == 'quick' else 'in full'}",
        text="Of each part of the product the geometric mean over its figures: "
        + "; ".join(f"{part} {number(values[-1])}" for part, values in series.items() if values[-1] is not None),
        y="times worse than at first",
        levels={"as at first": 1.0},
    )


def _worse(part: str, records: Sequence[Record]) -> Iterator[float | None]:
    first: dict[tuple[str, str], Figure] = {}
    names = [one.name for one in register.ALL if one.part == part]
    for count in range(1, len(records) + 1):
        factors = []
        latest = history.last(records[0].form, records[:count])
        for name in names:
            for figure in latest.get(name, ()):
                then = first.setdefault((name, figure.name), figure)
                factor = comparing.times_worse(figure, then)
                if 0 < factor < math.inf:
                    factors.append(math.log(factor))
        yield math.exp(sum(factors) / len(factors)) if factors else None


# -- the peers


def peers(kept: Mapping[str, Sequence[Kept]], folder: Path) -> Path | None:
    """Steps a second of everybody, on the disk of the recorded run."""
    all_ = kept.get(PEERS, ())
    some = [one.figure for one in all_ if ", beside " in one.figure.name and "best peer" not in one.figure.name]
    if not some:
        return None
    where = some[0].name.partition(", ")[2].partition(", beside ")[0]
    rows = []
    for width in dict.fromkeys(one.name.partition(",")[0] for one in some):
        here = [one for one in some if one.name.startswith(f"{width}, {where}, ")]
        if here:
            rows.append(drawing.Bar(f"{width}: Daybreak", here[0].value))
            rows += [drawing.Bar(f"{width}: {one.baseline}", one.baseline_value) for one in here]
    return drawing.bars(
        folder / "peers.svg",
        rows,
        title=f"Durable steps, {where}, measured {_days(all_)}",
        text="; ".join(f"{row.name} {number(row.value)} steps a second" for row in rows),
        x="steps a second",
    )
