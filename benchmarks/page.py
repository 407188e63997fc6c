"""Keeps `benchmarks/README.md`, `docs/explanation/figures.md` and the pictures in step with what was recorded.

python -m benchmarks.page          writes them (`--record` does it too)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import history, plots, register
from benchmarks.figures import aim, number
from benchmarks.history import Form, Kept, Record
from benchmarks.running import ROOT

README = Path(__file__).with_name("README.md")
DOCS = ROOT / "docs" / "explanation" / "figures.md"
BEGIN, END = "<!-- figures: written by `python -m benchmarks.page` -->", "<!-- figures end -->"
RATIOS = "figures as ratios to their baselines, with their aims, as the tables tell them"


def write() -> list[Path]:
    """What was written."""
    records = history.records()
    pictures = plots.write(records)
    for path, text in pages(records).items():
        path.write_text(text)
    return [README, DOCS, *pictures]


def pages(records: Sequence[Record]) -> dict[Path, str]:
    """Both pages as they should be."""
    made = {README: tables(records), DOCS: pictures(records)}
    return {path: inserted(path.read_text(), text) for path, text in made.items()}


def inserted(text: str, figures: str) -> str:
    """The page with these figures between its marks. Raises ValueError where a mark is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks a mark: {BEGIN} or {END}")
    return f"{before}{begin}\n{figures}{end}{after}"


def tables(records: Sequence[Record]) -> str:
    """Every figure by part and benchmark."""
    shown = history.shown(records)
    lines = ["", *_recorded(records), ""]
    for part in register.PARTS:
        lines += [f"### {part}", ""]
        if any(shown.get(one.name) for one in register.ALL if one.part == part):
            lines += [_picture(f"{part}: {RATIOS}", plots.name_of(part), "../docs/assets/figures"), ""]
        for one in register.ALL:
            if one.part == part:
                some = shown.get(one.name, ())
                told = f"**`{one.name}`**: {one.about}.{_when(some)}{_since(one.name, some, records)}"
                lines += [told, "", *_table(some), ""]
    return "\n".join(lines)


def _when(some: Sequence[Kept]) -> str:
    """When they were measured, and whether in short form."""
    if not some:
        return ""
    newest = max((one.record for one in some), key=lambda one: one.made)
    return f" Of {newest.day}{', short form only' if newest.form == 'quick' else ''}."


def _since(name: str, some: Sequence[Kept], records: Sequence[Record]) -> str:
    """Why there is nothing newer, where it was tried in vain. A short form casts no doubt on what is shown in full."""
    full = any(one.record.form == "full" for one in some)
    for record in reversed(records):
        if full and record.form != "full":
            continue
        why = {**record.unavailable, **record.failed}.get(name)
        if why is not None:
            return f" On {record.day} it was not measured, or not all of it: {_cell(why)}."
        if name in record.figures:
            return ""
    return ""


def pictures(records: Sequence[Record]) -> str:
    """A picture of each part, the peers, the trend; those that there are."""
    shown = history.shown(records)
    lines = ["", *_recorded(records), ""]
    for part in register.PARTS:
        if any(shown.get(one.name) for one in register.ALL if one.part == part):
            lines += [_picture(f"{part}: {RATIOS}", plots.name_of(part)), ""]
    if shown.get(plots.PEERS):
        lines += ["## Beside the peers", "", _picture("Durable steps a second beside peers", "peers.svg"), ""]
    forms: tuple[tuple[Form, str], ...] = (("full", "runs in full"), ("quick", "short forms"))
    trends = [(form, words) for form, words in forms if sum(one.form == form for one in records) > 1]
    lines += ["## Over time", ""] if trends else []
    for form, words in trends:
        lines += [_picture(f"Recorded {words}: how many times worse than the first", f"trend-{form}.svg"), ""]
    return "\n".join(lines)


def _picture(words: str, name: str, folder: str = "../assets/figures") -> str:
    return f"![{words}]({folder}/{name})"


def _recorded(records: Sequence[Record]) -> list[str]:
    """The runs that what is shown was measured in, the newest first, and what is of each."""
    of: dict[str, list[str]] = {}
    for name, some in history.shown(records).items():
        for run in dict.fromkeys(one.record.name for one in some):
            of.setdefault(run, []).append(f"`{name}`")
    if not of:
        return ["* Nothing has been recorded."]
    lines = []
    for record in reversed(records):
        if names := of.get(record.name):
            form = "in short form" if record.form == "quick" else "in full"
            lines.append(f"* {record.where}; {form}: {', '.join(names)}.")
    return lines


def _table(some: Sequence[Kept]) -> list[str]:
    if not some:
        return ["Not recorded."]
    newest = max(one.record.made for one in some)
    lines = ["| figure | measured | baseline | ratio | aim |", "|---|---|---|---|---|"]
    for kept in some:
        one = kept.figure
        unit = f" {one.unit}" if one.unit else ""
        cells = (
            _cell(one.name) + ("" if kept.record.made == newest else f" (of {kept.record.day})"),
            _cell(f"{number(one.value)}{unit}"),
            _cell(f"{one.baseline}: {number(one.baseline_value)}{unit}"),
            f"{number(one.ratio)} {'↑' if one.better == 'higher' else '↓'}",
            _cell(aim(one)) + (": **missed**" if one.reached is False else ""),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    for path in write():
        print(path)
