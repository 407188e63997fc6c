"""`make bench`: every figure. `python -m benchmarks NAME ...` runs some of them.

Each in a process of its own, one after the other:

    python -m benchmarks                       all, in full
    python -m benchmarks --quick               the short forms, under three minutes
    python -m benchmarks archive web           these two
    python -m benchmarks --record              keeps the run in benchmarks/history; pages and plots follow it
    python -m benchmarks archive web --record  keeps these two; of the others what was recorded before goes on counting
    python -m benchmarks --quick --compare     beside the last recorded ones; fails only where one is three times worse
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import comparing, history, register, running
from benchmarks.running import Outcome


def main() -> int:
    asked = _asked()
    form: history.Form = "quick" if asked.quick else "full"
    if asked.list:
        for one in register.chosen(asked.names, quick=asked.quick):
            print(f"{one.name:18} {'quick' if one.quick else '':6} {one.about}")
        return 0
    try:  # before anything is measured: what takes hours is not lost for a file that nobody can read
        kept = history.records(asked.history) if asked.compare or asked.record else []
    except history.Broken as why:
        print(why, file=sys.stderr)
        return 2
    began = time.monotonic()
    outcomes = _run_all(register.chosen(asked.names, quick=asked.quick), asked, began)
    rows: list[comparing.Row] = []
    if asked.compare:
        last = history.last(form, kept)
        outcomes = comparing.settled(outcomes, last, lambda name: _again(name, asked))
        rows = comparing.compare(outcomes, last, whole=not asked.names)
        print("\n" + "\n".join(comparing.table(rows)))
        _compared_with(form, kept, {one.name for one in outcomes})
    if asked.json or asked.record:
        record = history.make(outcomes, form)
        if asked.json:
            asked.json.write_text(record.told())
        if asked.record:
            _record(record, asked.history)
    return _ended(outcomes, rows, time.monotonic() - began, quick=asked.quick)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks; all without one")
    parser.add_argument("--quick", action="store_true", help="short forms only, of those that have one")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="end a benchmark that takes longer")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures as JSON")
    parser.add_argument("--record", action="store_true", help="keep the run in benchmarks/history")
    parser.add_argument("--history", type=Path, default=history.FOLDER, metavar="FOLDER", help="another one of records")
    parser.add_argument("--compare", action="store_true", help="beside the last recorded ratios")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in register.NAMES]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(register.NAMES)}")
    if asked.json and not asked.json.absolute().parent.is_dir():  # said now, and not after hours
        parser.error(f"there is no folder for {asked.json}")
    chosen = {one.name for one in register.chosen(asked.names, quick=asked.quick)}
    if asked.names and (none := [name for name in asked.names if name not in chosen]):
        parser.error(f"{none[0]} has no short form" if asked.quick else f"{none[0]} is not there")
    return asked


def _run_all(chosen: list[register.Benchmark], asked: argparse.Namespace, began: float) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for number, one in enumerate(chosen, 1):
        print(f"\n== [{number}/{len(chosen)}, {_time(time.monotonic() - began)}] {one.name}: {one.about}", flush=True)
        try:
            outcome = running.run(one.name, quick=asked.quick, limit_s=asked.limit)
        except KeyboardInterrupt:  # what was found until now took long enough to be kept
            outcome = Outcome(one.name, (), 0.0, "interrupted", "and with it all that would have followed")
        outcomes.append(outcome)
        print(f"  ({_told(outcome)})", flush=True)
        if outcome.state == "interrupted":
            break
    return outcomes


def _again(name: str, asked: argparse.Namespace) -> Outcome:
    print(f"\n== once more: {name}", flush=True)
    return running.run(name, quick=asked.quick, limit_s=asked.limit)


def _told(outcome: Outcome) -> str:
    took = f"{outcome.seconds:.1f} s"
    if outcome.state == "unavailable":
        return f"{took}; NOT MEASURED: {outcome.why}"
    if outcome.state in ("failed", "interrupted"):
        return f"{took}; {outcome.state.upper()}: {outcome.why}"
    return took if outcome.figures else f"{took}; NO FIGURES"


def _compared_with(form: history.Form, kept: list[history.Record], names: set[str]) -> None:
    some = {
        one.record.name: one.record
        for name, all_ in history.latest(form, kept).items()
        if name in names
        for one in all_
    }
    for record in some.values():
        print(f"last: {record.where}")
    if not some:
        print("last: nothing has been recorded in this form, so nothing was compared")


def _record(record: history.Record, folder: Path) -> None:
    from benchmarks import page

    print(f"\nrecorded: {history.keep(record, folder)}")
    print(f"in it:    {record.content}")
    if folder == history.FOLDER:
        for path in page.write():
            print(f"written:  {path.relative_to(running.ROOT)}")


def _ended(outcomes: list[Outcome], rows: list[comparing.Row], seconds: float, *, quick: bool) -> int:
    """Says what has to be looked at; the exit code."""
    failed = [one for one in outcomes if one.state in ("failed", "interrupted")]
    worse = [row for row in rows if row.fails]
    figures = sum(len(one.figures) for one in outcomes)
    print(f"\n{figures} figures of {len(outcomes)} benchmarks in {_time(seconds)}")
    for one in outcomes:
        if one.state != "done":
            print(f"  {one.name}: {_told(one)}")
    missed = [(one.name, figure.name) for one in outcomes for figure in one.figures if figure.reached is False]
    if missed and not quick:  # aims are of the full size
        print("  aims missed (told, no failure): " + "; ".join(f"{name}: {figure}" for name, figure in missed))
    for row in worse:
        print(f"  {row.benchmark}: {row.name}: {row.worse:.1f} times worse than last time, in {comparing.TRIES} tries")
    return 1 if failed or worse else 0


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    sys.exit(main())
