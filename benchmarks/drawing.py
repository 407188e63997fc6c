"""Pictures of figures: lines, bars and trends as small SVG files.

    drawing.lines(path, [drawing.Line("with memory", xs, ys, low, high)], title=..., text=..., x=..., y=...)
    drawing.bars(path, [drawing.Bar("verify", 1.2, aim=1.0)], title=..., text=..., x="times the baseline")
    drawing.trend(path, ["0.8", "0.9"], {"verify": [1.1, 1.2]}, title=..., text=..., y=...)

Each takes where to write, what to draw, `title` (one line, also the picture's name for screen readers) and `text`
(what the picture shows, in words, for those who cannot see it). The same input gives the same bytes: no date, no
random ids, the font that matplotlib brings. The background is transparent and every colour is of middle lightness, so
that pages in light and in dark both show it, however the page decides which it is. Series differ by dashes too.

matplotlib is imported when something is drawn; where it is missing, `Missing` says what to install.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

INK = "#7a7a7a"
"""Words, axes."""
COLOURS = ("#3b7dd8", "#c9661c", "#2f8f5b", "#9a5fd0", "#cf4a52", "#1f8a99", "#94781a", "#7a7a7a")
"""Of series, in their order; each has a contrast of 3 at least on white and on #1e2129."""
DASHES = ("-", "--", "-.", ":")
POINTS_MAX = 240
"""Of one line; more are thinned out evenly, because nobody sees them."""
BYTES_MAX = 150_000
LONG_NAME = 26
"""Of more letters than that only two names stand side by side."""
WIDTH_IN, HEIGHT_IN = 7.2, 3.9
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "daybreak",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.5,
    "path.simplify": True,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
}


class Missing(RuntimeError):
    """There is no matplotlib here."""


class TooLarge(ValueError):
    """A picture has more bytes than a page should load."""


@dataclass(frozen=True)
class Line:
    """One series, with a band where `low` and `high` are given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    marks: bool = False
    """Show each point."""


@dataclass(frozen=True)
class Bar:
    """One figure; `aim` is drawn as a mark across it."""

    name: str
    value: float
    aim: float | None = None
    words: str = ""
    """Beside the bar; empty: the value."""


def lines(
    path: Path,
    series: Sequence[Line],
    *,
    title: str,
    text: str,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    from_zero: bool = True,
    levels: Mapping[str, float] | None = None,
    moments: Mapping[str, float] | None = None,
) -> Path:
    """`levels` are horizontal marks (an aim), `moments` vertical ones (what happened then), by name."""
    pyplot = _pyplot()
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
        for number, one in enumerate(series):
            _line(axes, one, number)
        for name, level in (levels or {}).items():
            axes.axhline(level, color=INK, linewidth=1.1, linestyle=(0, (6, 3)), label=name)
        for name, moment in (moments or {}).items():
            axes.axvline(moment, color=INK, linewidth=1.1, linestyle=":")
            # shown at the foot, where lines that rise or fall are seldom
            axes.annotate(name, (moment, 0.02), xycoords=("data", "axes fraction"), xytext=(4, 0),
                          textcoords="offset points", fontsize=9)  # fmt: skip
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        if log_x:
            _log(axes, "x")
        if log_y:
            _log(axes, "y")
        elif from_zero:
            axes.set_ylim(bottom=0)
        # names inside would stand on a line that goes all across
        return _write(figure, axes, path, title, text, legend=len(series) + len(levels or {}) > 1, below=bool(levels))


def bars(path: Path, rows: Sequence[Bar], *, title: str, text: str, x: str, log: bool = False, one: str = "") -> Path:
    """Horizontal bars, the first row on top. `one`: the name of a line at 1, for ratios; on a `log` scale, which has no
    zero, bars begin there."""
    pyplot = _pyplot()
    with pyplot.rc_context(_STYLE):
        height = max(1.6, 0.36 * len(rows) + 1.1)
        figure, axes = pyplot.subplots(figsize=(WIDTH_IN, height), layout="constrained")
        places = range(len(rows))
        begin = 1.0 if log and one else 0.0
        axes.barh(places, [row.value - begin for row in rows], left=begin, color=COLOURS[0], height=0.62)
        for place, row in zip(places, rows, strict=True):
            below = row.value < begin
            ends = (row.value, row.value if row.aim is None else row.aim)  # words stand beside both
            axes.annotate(row.words or _short(row.value), (min(ends) if below else max(ends), place),
                          xytext=(-5 if below else 5, 0), textcoords="offset points", va="center",
                          ha="right" if below else "left", fontsize=9)  # fmt: skip
        aims = [(place, row.aim) for place, row in zip(places, rows, strict=True) if row.aim is not None]
        if aims:
            axes.scatter([aim for _, aim in aims], [place for place, _ in aims], marker="|", s=230, color=COLOURS[1],
                         linewidths=2.2, label="aim", zorder=3)  # fmt: skip
        if one:
            axes.axvline(1.0, color=INK, linewidth=1.1, linestyle=(0, (6, 3)), label=one)
        axes.set_yticks(places, [row.name for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(x)
        if log:
            axes.set_xscale("log")
        axes.margins(x=0.3 if begin else 0.14)
        return _write(figure, axes, path, title, text, legend=bool(aims or one), below=True)


def trend(
    path: Path,
    moments: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    text: str,
    y: str,
    log: bool = False,
    levels: Mapping[str, float] | None = None,
) -> Path:
    """Values over recorded runs, which stand at even distances; None where a run has none."""
    pyplot = _pyplot()
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
        places = list(range(len(moments)))
        for number, (name, values) in enumerate(series.items()):
            known = [math.nan if value is None else value for value in values]
            _line(axes, Line(name, places, known, marks=True), number)
        for name, level in (levels or {}).items():
            axes.axhline(level, color=INK, linewidth=1.1, linestyle=(0, (6, 3)), label=name)
        step = max(1, math.ceil(len(moments) / 8))
        axes.set_xticks(places[::step], list(moments)[::step])
        axes.set_ylabel(y)
        if log:
            axes.set_yscale("log")
        return _write(figure, axes, path, title, text, legend=True, below=len(series) > 5)


# -- how


def _line(axes: Any, one: Line, number: int) -> None:
    colour = COLOURS[number % len(COLOURS)]
    dashes = DASHES[number % len(DASHES)]
    kept = _thinned(len(one.x))
    x, y = [one.x[at] for at in kept], [one.y[at] for at in kept]
    marker = "o" if one.marks else None
    axes.plot(x, y, color=colour, linestyle=dashes, label=one.name, marker=marker, markersize=4)
    if one.low and one.high:
        low, high = [one.low[at] for at in kept], [one.high[at] for at in kept]
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)


def _log(axes: Any, which: str) -> None:
    """Decades are written out: 0.01 and 1,000 are read sooner than powers, and on a phone."""
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"{which}axis").set_major_formatter(lambda value, _: f"{value:,.9f}".rstrip("0").rstrip("."))


def _thinned(count: int) -> list[int]:
    """Places that are kept, the first and the last among them."""
    if count <= POINTS_MAX:
        return list(range(count))
    return [round(at * (count - 1) / (POINTS_MAX - 1)) for at in range(POINTS_MAX)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _write(figure: Any, axes: Any, path: Path, title: str, text: str, *, legend: bool, below: bool = False) -> Path:
    axes.set_title(title, loc="left")
    if legend and below:
        names = axes.get_legend_handles_labels()[1]
        figure.legend(loc="outside lower center", ncols=_columns(names))
    elif legend:
        axes.legend(loc="best")
    page = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(page, format="svg", transparent=True, metadata=nothing)
    _pyplot().close(figure)
    svg = _named(page.getvalue(), title, text)
    if len(svg.encode()) > BYTES_MAX:
        raise TooLarge(f"{path.name} would have {len(svg.encode()):,} bytes; draw fewer series")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, "utf-8", newline="\n")
    return path


def _columns(names: Sequence[str]) -> int:
    longest = max(map(len, names))
    return 2 if longest > LONG_NAME else 4 if len(names) == 4 and longest < LONG_NAME / 2 else 3


def _named(svg: str, title: str, text: str) -> str:
    """With a name and a description, as wide as its place, and words in whatever sans-serif there is."""
    begin = svg.index("<svg")
    end = svg.index(">", begin)
    head = re.sub(r'\s(width|height)="[^"]*"', "", svg[begin:end])
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", svg[end + 1 :], flags=re.DOTALL)
    body = body.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    body = re.sub(r"[ \t]+\n", "\n", body)
    words = f"\n <title>{escape(title)}</title>\n <desc>{escape(text)}</desc>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head} role="img">{words}{body}'


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as problem:
        raise Missing("there is no matplotlib here: `pip install matplotlib`, or install the extra `dev`") from problem
    matplotlib.use("svg")
    from matplotlib import pyplot

    return pyplot
