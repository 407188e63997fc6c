"""Recorded runs: one JSON file each in `benchmarks/history`, kept in the repository.

    {"version": 1, "made": "2026-11-22T10:45:00Z", "form": "quick", "daybreak": "0.9.0", "commit": "c049bc6",
     "machine": {"cores": 2, "python": "3.11.15", "system": "Linux x86_64", "sync_ms": 0.4},
     "seconds": {"archive": 4.1, ...}, "unavailable": {NAME: WHY}, "failed": {NAME: WHY},
     "figures": {"archive": [{"name": "archive", "value": ..., "ratio": ...}, ...]}}

No names of machines or people. A run of some benchmarks is recorded like a run of all, and says nothing of the others:
of each benchmark the newest record that has it counts, and a quick one is never compared with one that was not.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks.figures import Figure
from benchmarks.running import ROOT, Outcome

FOLDER = Path(__file__).with_name("history")
VERSION = 1
Form = Literal["quick", "full"]


class Broken(Exception):
    """What should be a record is none; the message says where and why."""


@dataclass(frozen=True)
class Record:
    """One recorded run."""

    made: str
    """RFC 3339, UTC."""
    form: Form
    daybreak: str
    commit: str
    """Empty where git did not know; ends with `-dirty` where files were changed."""
    machine: dict[str, Any]
    figures: dict[str, tuple[Figure, ...]]
    """By benchmark."""
    seconds: dict[str, float] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.made.replace(':', '')}-{self.form}.json"

    @property
    def day(self) -> str:
        return self.made.partition("T")[0]

    @property
    def where(self) -> str:
        """When and on what, in words."""
        on = self.machine
        return (
            f"{self.made}, commit {self.commit or 'unknown'}, {on['cores']} cores, Python {on['python']}, "
            f"{on['system']}, a disk whose fdatasync takes {on['sync_ms']:g} ms"
        )

    @property
    def content(self) -> str:
        """What is in it, in words."""
        words = f"{sum(map(len, self.figures.values()))} figures of {', '.join(self.figures) or 'nothing'}"
        for what, names in (("failed", self.failed), ("could not be had", self.unavailable)):
            words += f"; {what}: {', '.join(names)}" if names else ""
        return words

    def told(self) -> str:
        """JSON, a line for each figure."""
        told = {key: getattr(self, key) for key in ("made", "form", "daybreak", "commit", "machine", "seconds")}
        told = {"version": VERSION, **told, "unavailable": self.unavailable, "failed": self.failed}
        head = json.dumps(told, indent=1).removesuffix("\n}")
        some = ",\n".join(f"  {json.dumps(name)}: {_lines(figures)}" for name, figures in self.figures.items())
        return f'{head},\n "figures": {{\n{some}\n }}\n}}\n'

    @classmethod
    def read(cls, text: str) -> Record:
        """Raises Broken for what is no record."""
        try:
            told = json.loads(text)
            version = told.pop("version")
            if version != VERSION:
                raise ValueError(f"version {version!r}, and this program reads version {VERSION}")
            figures = {name: tuple(map(Figure.read, some)) for name, some in told.pop("figures").items()}
            record = cls(figures=figures, **told)
            if record.form not in ("quick", "full"):
                raise ValueError(f"form {record.form!r}, which is neither quick nor full")
            datetime.fromisoformat(record.made)
            str(record.where)  # a machine of which nothing is missing
        except (ValueError, KeyError, TypeError, AttributeError) as why:
            raise Broken(f"is no record: {type(why).__name__}: {why}") from why
        return record


def _lines(figures: Sequence[Figure]) -> str:
    lines = ",\n".join(f"   {json.dumps(one.told())}" for one in figures)
    return f"[\n{lines}\n  ]"


def make(outcomes: Sequence[Outcome], form: Form) -> Record:
    """Of what has just been run, on this machine."""
    from daybreak.clock import SystemClock
    from daybreak.version import __version__

    return Record(
        made=SystemClock().now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        form=form,
        daybreak=__version__,
        commit=_commit(),
        machine=machine(),
        figures={one.name: one.figures for one in outcomes if one.figures},
        seconds={one.name: round(one.seconds, 1) for one in outcomes},
        unavailable={one.name: one.why for one in outcomes if one.state == "unavailable"},
        failed={one.name: one.why for one in outcomes if one.state in ("failed", "interrupted")},
    )


def machine() -> dict[str, Any]:
    """What figures depend on."""
    from benchmarks.engine_steps import sync_ms

    with tempfile.TemporaryDirectory(dir=os.environ.get("DAYBREAK_BENCH_DIR")) as folder:
        disk_ms = sync_ms(Path(folder))
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "sync_ms": round(disk_ms, 2),
    }


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"],
            cwd=ROOT,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


# -- all of them


def records(folder: Path = FOLDER) -> list[Record]:
    """Oldest first. Raises Broken for the first file that is no record: to pass it over would compare with less, or
    with what is long past, and nobody would see it."""
    return sorted((_of(path) for path in folder.glob("*.json")), key=lambda one: one.made)


def _of(path: Path) -> Record:
    try:
        return Record.read(path.read_text())
    except (Broken, OSError, UnicodeDecodeError) as why:
        raise Broken(f"{path}: {why}; mend it, or remove it from the history") from why


def keep(record: Record, folder: Path = FOLDER) -> Path:
    """Writes it. Raises FileExistsError rather than replace one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / record.name
    with path.open("x") as file:
        file.write(record.told())
    return path


@dataclass(frozen=True)
class Kept:
    """A recorded figure, and the run that it was measured in."""

    figure: Figure
    record: Record


def latest(form: Form, kept: Sequence[Record]) -> dict[str, tuple[Kept, ...]]:
    """Of each benchmark the newest figures in that form. One that failed half way says nothing and keeps what it had;
    one that could have only some of its figures on that machine renews those, and keeps the others."""
    found: dict[str, tuple[Kept, ...]] = {}
    for record in kept:
        if record.form != form:
            continue
        for name, figures in record.figures.items():
            if name in record.failed:
                continue
            new = tuple(Kept(one, record) for one in figures)
            names = {one.name for one in figures}
            old = found.get(name, ()) if name in record.unavailable else ()
            found[name] = (*new, *(one for one in old if one.figure.name not in names))
    return found


def last(form: Form, kept: Sequence[Record]) -> dict[str, tuple[Figure, ...]]:
    """The figures of `latest` alone."""
    return {name: tuple(one.figure for one in some) for name, some in latest(form, kept).items()}


def shown(kept: Sequence[Record]) -> dict[str, tuple[Kept, ...]]:
    """Of each benchmark the newest figures in full; where there are none those of the short form, which have no aims,
    because what is wanted is wanted of the full size."""
    quick = {
        name: tuple(replace(one, figure=replace(one.figure, aim=None)) for one in some)
        for name, some in latest("quick", kept).items()
    }
    return {**quick, **latest("full", kept)}
