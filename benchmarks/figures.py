"""What a benchmark finds: figures, each with a baseline of the same run.

A benchmark is a module with `take(quick: bool) -> Iterator[Figure]`: it measures and yields what it found as soon as it
knows it; whatever else it prints are remarks. With `quick` it does the short form, where there is one (see
`benchmarks.register`). It reads no command line and no figures of others: each runs in a process of its own.

    def take(quick: bool = False) -> Iterator[Figure]:
        rate, bare = measure(100 if quick else 10_000)
        yield higher("steps", rate, "/s", "bare SQLite", bare, aim=5)

Ratios are what is compared between machines and over time; an absolute value stands beside each for people.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

Better = Literal["higher", "lower"]


class Unavailable(Exception):
    """This machine lacks what the benchmark needs; the message says what."""


@dataclass(frozen=True)
class Figure:
    """One figure. Refuses with ValueError what no ratio can be made of."""

    name: str
    """Unique in its benchmark and the same in every run: no sizes that depend on the machine."""
    value: float
    unit: str
    baseline: str
    """What it is compared with, measured in the same run."""
    baseline_value: float
    """In the same unit."""
    ratio: float
    """Value to baseline, or the median of each round's own ratio."""
    better: Better
    aim: float | None = None
    """What the product wants of the ratio or of the value; it counts for the size that is not quick."""
    aim_of: Literal["ratio", "value"] = "ratio"

    def __post_init__(self) -> None:
        if not self.name or not self.baseline:
            raise ValueError(f"a figure needs a name and a baseline: {self}")
        numbers = (self.value, self.baseline_value, self.ratio, 0.0 if self.aim is None else self.aim)
        if not all(math.isfinite(number) for number in numbers) or self.ratio < 0:
            raise ValueError(f"a figure whose ratio says nothing: {self}")
        if self.better not in ("higher", "lower") or self.aim_of not in ("ratio", "value"):
            raise ValueError(f"better is higher or lower, an aim is of the ratio or of the value: {self}")

    @property
    def reached(self) -> bool | None:
        """Of the aim; None where there is none."""
        if self.aim is None:
            return None
        measured = self.ratio if self.aim_of == "ratio" else self.value
        return measured >= self.aim if self.better == "higher" else measured <= self.aim

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "baseline": self.baseline,
            "baseline_value": _rounded(self.baseline_value),
            "ratio": _rounded(self.ratio),
            "better": self.better,
            "aim": self.aim,
            "aim_of": self.aim_of,
        }

    @classmethod
    def read(cls, told: dict[str, Any]) -> Figure:
        """From JSON. Raises TypeError for what is no figure, ValueError for one that says nothing."""
        return cls(**told)


def higher(
    name: str,
    value: float,
    unit: str,
    baseline: str,
    baseline_value: float,
    *,
    aim: float | None = None,
    aim_of: Literal["ratio", "value"] = "ratio",
    ratio: float | None = None,
) -> Figure:
    """A figure of which more is better; the ratio is value to baseline unless it is given."""
    return _made(name, value, unit, baseline, baseline_value, "higher", aim, aim_of, ratio)


def lower(
    name: str,
    value: float,
    unit: str,
    baseline: str,
    baseline_value: float,
    *,
    aim: float | None = None,
    aim_of: Literal["ratio", "value"] = "ratio",
    ratio: float | None = None,
) -> Figure:
    """A figure of which less is better; the ratio is value to baseline unless it is given."""
    return _made(name, value, unit, baseline, baseline_value, "lower", aim, aim_of, ratio)


def _made(
    name: str,
    value: float,
    unit: str,
    baseline: str,
    baseline_value: float,
    better: Better,
    aim: float | None,
    aim_of: Literal["ratio", "value"],
    ratio: float | None,
) -> Figure:
    if ratio is None:
        if baseline_value == 0:
            raise ValueError(f"{name}: nothing can be compared with {baseline}, which is 0")
        ratio = value / baseline_value
    return Figure(name, value, unit, baseline, baseline_value, ratio, better, aim, aim_of)


def count(name: str, good: int, of: int, what: str, *, aim: float | None = None) -> Figure:
    """So many good ones of all, a share; `of` 0 is refused with ValueError."""
    return higher(name, good, "", what, of, aim=aim)


@cache
def bare_memory_mb() -> float:
    """Peak memory of an interpreter that does nothing: the baseline of memory."""
    program = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # begun by a shell: a process starts with the peak of the one that forked it
    command = ["/bin/sh", "-c", '"$0" -I -c "$1"; exit $?', sys.executable, program]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return int(said) / 1024


BARE_MEMORY = "a bare interpreter"


# -- telling


def line(figure: Figure) -> str:
    """One line for people."""
    unit = f" {figure.unit}" if figure.unit else ""
    told = f"{figure.name}: {number(figure.value)}{unit}"
    told += f", {number(figure.ratio)} x {figure.baseline} ({number(figure.baseline_value)}{unit})"
    if figure.aim is not None:
        told += f"; {aim(figure)} wanted: {'reached' if figure.reached else 'MISSED'}"
    return told


def aim(figure: Figure) -> str:
    """The aim in words, empty where there is none."""
    if figure.aim is None:
        return ""
    unit = " x" if figure.aim_of == "ratio" else f" {figure.unit}" if figure.unit else ""
    return f"{'at least' if figure.better == 'higher' else 'at most'} {number(figure.aim)}{unit}"


def number(value: float) -> str:
    """With three digits that say something, and commas."""
    if value == 0:
        return "0"
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _rounded(value: float) -> float:
    """Six digits are more than any of them holds."""
    return float(f"{value:.6g}")
