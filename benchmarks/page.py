"""Keeps `benchmarks/README.md`, `docs/explanation/figures.md` and the pictures in step with what was recorded.

python -m benchmarks.page          writes them (`--record` does it too)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import history, plots, register
from benchmarks.figures import Figure, aim, number
from benchmarks.history import Form, Record
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
    shown, full = history.shown(records), history.last("full", records)
    lines = ["", *_recorded(records), ""]
    for part in register.PARTS:
        lines += [f"### {part}", ""]
        if any(shown.get(one.name) for one in register.ALL if one.part == part):
            lines += [_picture(f"{part}: {RATIOS}", plots.name_of(part), "../docs/assets/figures"), ""]
        for one in register.ALL:
            if one.part == part:
                short = " Short form only." if one.name in shown and one.name not in full else ""
                lines += [f"**`{one.name}`**: {one.about}.{short}", "", *_table(shown.get(one.name, ())), ""]
    return "\n".join(lines)


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
    """Where and when."""
    forms: tuple[tuple[Form, str], ...] = (("full", "in full"), ("quick", "in short form"))
    lines = []
    for form, words in forms:
        newest = next((one for one in reversed(records) if one.form == form), None)
        if newest is None:
            lines.append(f"* No run {words} has been recorded.")
            continue
        minutes = sum(newest.seconds.values()) / 60
        lines.append(f"* Last run {words}: {newest.where}; {minutes:.0f} minutes.")
        for name, why in {**newest.unavailable, **newest.failed}.items():
            lines.append(f"  * without `{name}`: {_cell(why)}")
    return lines


def _table(figures: Sequence[Figure]) -> list[str]:
    if not figures:
        return ["Not recorded."]
    lines = ["| figure | measured | baseline | ratio | aim |", "|---|---|---|---|---|"]
    for one in figures:
        unit = f" {one.unit}" if one.unit else ""
        cells = (
            _cell(one.name),
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
