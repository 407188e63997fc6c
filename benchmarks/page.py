"""Keeps `benchmarks/README.md` and the pictures in step with what was recorded.

python -m benchmarks.page          writes both (`--record` does it too)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import history, plots, register
from benchmarks.figures import Figure, aim, number
from benchmarks.history import Form, Record

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- figures: written by `python -m benchmarks.page` -->", "<!-- figures end -->"


def write() -> list[Path]:
    """What was written."""
    records = history.records()
    README.write_text(inserted(README.read_text(), made(records)))
    return [README, *plots.write(records)]


def inserted(text: str, figures: str) -> str:
    """The page with these figures between its marks. Raises ValueError where a mark is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks a mark: {BEGIN} or {END}")
    return f"{before}{begin}\n{figures}{end}{after}"


def made(records: Sequence[Record], known: Sequence[register.Benchmark] = register.ALL) -> str:
    """Every figure by part and benchmark: of the newest run in full, of the short form where there is no other."""
    full, quick = history.last("full", records), history.last("quick", records)
    lines = ["", *_recorded(records), ""]
    for part in register.PARTS:
        lines += [f"### {part}", ""]
        if full and any(one.part == part and full.get(one.name) for one in known):
            name = plots.name_of(part)
            lines += [f"![{part}: each figure's ratio to its baseline](../docs/assets/figures/{name})", ""]
        for one in known:
            if one.part == part:
                lines += [f"**`{one.name}`**: {one.about}.", ""]
                lines += [*_table(full.get(one.name, ()), quick.get(one.name, ())), ""]
    return "\n".join(lines)


def _recorded(records: Sequence[Record]) -> list[str]:
    """Where and when."""
    forms: tuple[tuple[Form, str], ...] = (("full", "in full"), ("quick", "in short form"))
    lines = []
    for form, words in forms:
        newest = next((one for one in reversed(records) if one.form == form), None)
        if newest is None:
            lines.append(f"No run {words} has been recorded.")
            continue
        on = newest.machine
        lines.append(
            f"Last run {words}: {newest.made}, commit {newest.commit or 'unknown'}, {on['cores']} cores, Python "
            f"{on['python']}, {on['system']}, a disk whose fdatasync takes {on['sync_ms']:g} ms; "
            f"{sum(newest.seconds.values()) / 60:.0f} minutes."
        )
        for name, why in {**newest.unavailable, **newest.failed}.items():
            lines.append(f"Without `{name}`: {_cell(why)}.")
    return ["  \n".join(lines)]


def _table(full: Sequence[Figure], quick: Sequence[Figure]) -> list[str]:
    figures = full or quick
    if not figures:
        return ["Not recorded."]
    lines = [] if full else ["Short form only:", ""]
    lines += ["| figure | measured | baseline | ratio | aim |", "|---|---|---|---|---|"]
    for one in figures:
        unit = f" {one.unit}" if one.unit else ""
        arrow = "↑" if one.better == "higher" else "↓"
        cells = (
            _cell(one.name),
            _cell(f"{number(one.value)}{unit}"),
            _cell(f"{one.baseline}: {number(one.baseline_value)}{unit}"),
            f"{number(one.ratio)} {arrow}",
            # what is wanted is wanted of the full size
            f"{_cell(aim(one))}{': **missed**' if one.reached is False else ''}" if full else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    for path in write():
        print(path)
