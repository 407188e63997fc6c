"""Benchmarks: what a figure is, when the gate fails and when it must not, records, the page that tells them."""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import math
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest
from benchmarks import __main__ as command
from benchmarks import comparing, history, page, plots, register, running
from benchmarks.comparing import compare, settled, table, times_worse
from benchmarks.figures import Figure, Unavailable, aim, count, higher, line, lower
from benchmarks.history import Record
from benchmarks.peers import installed
from benchmarks.running import Outcome

ROOT = Path(__file__).parents[2]
RUN = running.run


def slower(ratio: float, name: str = "step") -> Figure:
    """Of which less is better."""
    return lower(name, 10.0 * ratio, "ms", "a bare one", 10.0)


def faster(ratio: float, name: str = "rate") -> Figure:
    return higher(name, 10.0 * ratio, "/s", "a bare one", 10.0)


def ran(*figures: Figure, name: str = "made_up") -> Outcome:
    return Outcome(name, figures, 1.0)


class Again:
    """Measurements that come next; counts how often it is asked."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.asked = 0

    def __call__(self, name: str) -> Outcome:
        self.asked += 1
        return self.outcomes.pop(0)


# -- figures


def test_a_ratio_is_the_value_to_its_baseline_unless_it_was_measured_round_by_round() -> None:
    assert lower("a", 3.0, "ms", "b", 2.0).ratio == 1.5
    assert lower("a", 3.0, "ms", "b", 2.0, ratio=1.4).ratio == 1.4


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (lower("a", 3.0, "ms", "b", 2.0, aim=1.5), True),
        (lower("a", 3.0, "ms", "b", 2.0, aim=1.4), False),
        (higher("a", 3.0, "/s", "b", 2.0, aim=1.6), False),
        (higher("a", 3.0, "/s", "b", 2.0, aim=3.0, aim_of="value"), True),
        (lower("a", 3.0, "ms", "b", 2.0, aim=2.9, aim_of="value"), False),
        (lower("a", 3.0, "ms", "b", 2.0), None),
    ],
)
def test_an_aim_is_of_the_ratio_or_of_the_value_and_has_a_direction(figure: Figure, reached: bool | None) -> None:
    assert figure.reached is reached
    assert ("MISSED" in line(figure)) == (reached is False)
    assert bool(aim(figure)) == (reached is not None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_what_no_ratio_can_be_made_of_is_refused(value: float) -> None:
    with pytest.raises(ValueError):
        lower("a", value, "ms", "b", 2.0)


def test_a_baseline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing can be compared with b"):
        higher("a", 1.0, "/s", "b", 0.0)
    with pytest.raises(ValueError, match="nothing can be compared"):
        count("kept", 0, 0, "all")


# -- the gate


@pytest.mark.parametrize(
    ("now", "last", "worse"),
    [
        (slower(3.0), slower(1.0), 3.0),
        (slower(1.0), slower(4.0), 0.25),
        (faster(1.0), faster(3.0), 3.0),
        (faster(6.0), faster(3.0), 0.5),
        (slower(0.0), slower(0.0), 1.0),
        (faster(0.0), faster(2.0), math.inf),
        (slower(0.1), slower(0.0), math.inf),
        (slower(9.0), faster(1.0), 1.0),  # redefined: nothing can be said
        (lower("step", 9.0, "ms", "another one", 1.0), slower(1.0), 1.0),
    ],
)
def test_worse_is_said_of_the_ratio_and_in_the_bad_direction(now: Figure, last: Figure, worse: float) -> None:
    assert times_worse(now, last) == pytest.approx(worse)


def test_three_times_worse_in_three_measurements_fails() -> None:
    last, again = {"made_up": [slower(1.0)]}, Again(ran(slower(3.2)), ran(slower(3.5)))
    rows = compare(settled([ran(slower(4.0))], last, again), last)
    assert again.asked == comparing.TRIES - 1
    assert [row.fails for row in rows] == [True]
    assert rows[0].worse == pytest.approx(3.2), "the best measurement counts"
    assert "3.2 TIMES WORSE" in "\n".join(table(rows))


def test_a_rate_that_falls_to_a_third_fails_too() -> None:
    last, again = {"made_up": [faster(9.0)]}, Again(ran(faster(3.0)), ran(faster(2.0)))
    assert compare(settled([ran(faster(1.0))], last, again), last)[0].fails


def test_a_noisy_measurement_is_repeated_and_fails_nothing() -> None:
    last, again = {"made_up": [slower(1.0)]}, Again(ran(slower(1.1)), ran(slower(9.0)))
    rows = compare(settled([ran(slower(8.0))], last, again), last)
    assert again.asked == 1, "it is not measured again once it is good"
    assert not rows[0].fails


def test_what_was_good_is_not_replaced_when_another_figure_is_measured_again() -> None:
    last = {"made_up": [slower(1.0, "a"), slower(1.0, "b")]}
    again = Again(ran(slower(50.0, "a"), slower(1.2, "b")))
    rows = compare(settled([ran(slower(1.0, "a"), slower(7.0, "b"))], last, again), last)
    assert [row.now.ratio for row in rows if row.now] == [1.0, 1.2]


def test_a_little_less_than_three_times_worse_is_told_and_measured_once() -> None:
    last, again = {"made_up": [slower(1.0)]}, Again()
    rows = compare(settled([ran(slower(2.9))], last, again), last)
    assert again.asked == 0
    assert not rows[0].fails
    assert "+190%  worse" in table(rows)[1]


def test_absolute_times_are_not_compared() -> None:
    """A machine that is a hundred times slower in everything has the same ratios."""
    now = lower("step", 1000.0, "ms", "a bare one", 1000.0)
    assert not compare([ran(now)], {"made_up": [slower(1.0)]})[0].fails


def test_new_and_vanished_figures_are_told_and_fail_nothing() -> None:
    last, again = {"made_up": [slower(1.0, "old")]}, Again()
    rows = compare(settled([ran(slower(99.0, "fresh"))], last, again), last)
    assert not any(row.fails for row in rows)
    assert [text.split()[-1] for text in table(rows)[1:]] == ["new", "gone"]


def test_nothing_recorded_fails_nothing() -> None:
    assert not any(row.fails for row in compare([ran(slower(99.0))], {}))


def test_a_benchmark_that_fails_once_gets_another_turn() -> None:
    broken = Outcome("made_up", (), 1.0, "failed", "ended with code 1")
    good = settled([broken], {}, Again(ran(slower(1.0))))
    assert [one.state for one in good] == ["done"]
    bad = settled([broken], {}, Again(broken, broken))
    assert [one.state for one in bad] == ["failed"]


def test_a_benchmark_that_ends_with_an_error_first_does_not_cost_its_figures_their_measurements() -> None:
    """Three measurements of the figure; those that ended with an error are none."""
    last, broken = {"made_up": [slower(1.0)]}, Outcome("made_up", (), 1.0, "failed", "ended with code 1")
    again = Again(broken, ran(slower(9.0)), ran(slower(8.0)), ran(slower(1.1)))
    rows = compare(settled([broken], last, again), last)
    assert again.asked == 4
    assert not rows[0].fails


def test_an_error_in_a_repeated_measurement_is_no_measurement_and_hides_nothing() -> None:
    last, broken = {"made_up": [slower(1.0)]}, Outcome("made_up", (), 1.0, "failed", "ended with code 1")
    again = Again(broken, ran(slower(5.0)), ran(slower(4.0)))
    (settled_,) = settled([ran(slower(6.0))], last, again)
    assert (again.asked, settled_.state) == (3, "done")
    assert compare([settled_], last)[0].worse == pytest.approx(4.0)


def test_a_figure_that_comes_and_goes_is_not_asked_for_without_end() -> None:
    last, again = {"made_up": [slower(1.0)]}, Again(*[ran()] * 20)
    assert compare(settled([ran(slower(6.0))], last, again), last)[0].fails
    assert again.asked < 2 * comparing.TRIES


def test_what_another_turn_finds_beside_the_bad_figure_is_told_too() -> None:
    last = {"made_up": [slower(1.0, "a")]}
    (found,) = settled(
        [Outcome("made_up", (), 1.0, "failed", "x")], last, Again(ran(slower(1.0, "a"), slower(1.0, "b")))
    )
    assert [one.name for one in found.figures] == ["a", "b"]


def test_a_benchmark_that_is_gone_is_told_in_a_run_of_all_and_not_in_one_of_some() -> None:
    last = {"made_up": [slower(1.0)], "removed": [slower(1.0)]}
    assert len(compare([ran(slower(1.0))], last)) == 1
    rows = compare([ran(slower(1.0))], last, whole=True)
    assert [text.split()[-1] for text in table(rows)[2:]] == ["gone"]
    assert not any(row.fails for row in rows)


def test_what_a_machine_lacks_is_not_called_gone() -> None:
    rows = compare([Outcome("made_up", (), 1.0, "unavailable", "no strace")], {"made_up": [slower(1.0)]})
    assert [text.split("  ")[-1] for text in table(rows)[1:]] == ["not measured"]


def test_columns_stand_below_each_other_however_long_a_name_is() -> None:
    lines = table(compare([ran(slower(1.0, "x" * 200), slower(2.0, "y"))], {}))
    assert len({line_.index(word) for line_, word in zip(lines, ("change", "new", "new"), strict=True)}) == 1


def _main(package: Path, monkeypatch: pytest.MonkeyPatch, history_: Path, *arguments: str) -> int:
    """The command on a benchmark of our own, in a process of its own, whose ratio stands in a file."""
    body = f"    yield lower('a', float(open({str(package / 'now')!r}).read()), 'ms', 'b', 1.0)\n"
    (package / "made.py").write_text(f"{HEAD}def take(quick=False):\n{body}")
    monkeypatch.setattr(running, "run", functools.partial(RUN, package=package.name))
    monkeypatch.setattr(register, "NAMES", ("made",))
    monkeypatch.setattr(register, "chosen", lambda names, *, quick: [register.Benchmark("made", "", "", quick=True)])
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments, "--history", str(history_)])
    return command.main()


def test_the_gate_fails_in_earnest(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, now = tmp_path / "history", package / "now"
    now.write_text("1.0")
    assert _main(package, monkeypatch, kept, "--quick", "--compare") == 0
    assert "nothing was compared" in capsys.readouterr().out
    assert _main(package, monkeypatch, kept, "--quick", "--record") == 0
    assert "in it:    1 figures of made" in capsys.readouterr().out
    now.write_text("2.9")
    assert _main(package, monkeypatch, kept, "--quick", "--compare") == 0
    assert "+190%  worse" in capsys.readouterr().out
    now.write_text("3.1")
    assert _main(package, monkeypatch, kept, "--quick", "--compare") == 1
    told = capsys.readouterr().out
    assert told.count("== once more: made") == comparing.TRIES - 1
    assert "3.1 TIMES WORSE" in told
    assert _main(package, monkeypatch, kept, "--compare") == 0, "a record of the other form is none"


def test_a_record_that_cannot_be_read_stops_the_command_before_it_measures(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (kept := tmp_path / "history").mkdir()
    (kept / "2026.json").write_text("<<<<<<< ours")
    for asked in ("--compare", "--record"):
        assert _main(package, monkeypatch, kept, "--quick", asked) == 2
        told = capsys.readouterr()
        assert "2026.json" in told.err
        assert "mend it, or remove it" in told.err
        assert told.out == ""


def _cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


# -- running


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of benchmarks that children find."""
    (folder := tmp_path / "made_up").mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return folder


HEAD = "import os, subprocess, sys, time\nfrom benchmarks.figures import *\n"
ONE = "    yield lower('a', 1.0, 'ms', 'b', 2.0)\n"


def _run(package: Path, body: str, limit_s: float = 60.0, *, quick: bool = False) -> Outcome:
    (package / "one.py").write_text(f"{HEAD}def take(quick=False):\n{body}")
    return running.run("one", quick=quick, limit_s=limit_s, package=package.name)


def test_figures_come_out_of_the_process_that_measured_them(package: Path) -> None:
    found = _run(package, f"    assert sys.argv[1:] == [] and quick\n{ONE}", quick=True)
    assert (found.state, found.figures) == ("done", (lower("a", 1.0, "ms", "b", 2.0),))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("    raise OSError('no')\n", "ended with code 1"),
        ("    os._exit(7)\n", "ended with code 7"),
        ("    os.kill(os.getpid(), 9)\n", "ended with code -9"),
        (ONE, "ended with code 1"),  # twice the same name
    ],
)
def test_whatever_a_benchmark_does_its_figures_until_then_are_kept(package: Path, body: str, why: str) -> None:
    found = _run(package, ONE + body)
    assert (found.state, found.why, [one.name for one in found.figures]) == ("failed", why, ["a"])


def test_a_benchmark_that_hangs_is_ended_with_all_that_it_started(package: Path, tmp_path: Path) -> None:
    beside = tmp_path / "pid"
    body = (
        f"    child = subprocess.Popen(['sleep', '300'])\n    open({str(beside)!r}, 'w').write(str(child.pid))\n"
        f"{ONE}    time.sleep(300)\n"
    )
    found = _run(package, body, limit_s=3.0)
    assert found.state == "failed"
    assert "had not ended after 3 s" in found.why
    assert [one.name for one in found.figures] == ["a"]
    place = Path(f"/proc/{beside.read_text()}/stat")
    until = time.monotonic() + 10
    while place.exists() and place.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < until:
        os.sched_yield()
    assert not place.exists() or place.read_text().rpartition(")")[2].split()[0] == "Z"


def test_what_a_machine_lacks_is_said_and_is_no_failure(package: Path) -> None:
    found = _run(package, f"{ONE}    raise Unavailable('no such disk')\n")
    assert (found.state, found.why, len(found.figures)) == ("unavailable", "no such disk", 1)


# -- the register


def test_every_benchmark_yields_figures_and_has_its_line() -> None:
    """Every module of the package is one of them, or one that they are made of."""
    folder = Path(register.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    takes = {name for name in modules if _takes(folder, name)}
    assert takes == {one.name for one in register.ALL if one.there}
    assert len(set(register.NAMES)) == len(register.NAMES)


def _takes(folder: Path, name: str) -> bool:
    path = folder / f"{name}.py"
    tree = ast.parse((path if path.exists() else folder / name / "__init__.py").read_text())
    names = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
    names |= {alias.name for one in tree.body if isinstance(one, ast.ImportFrom) for alias in one.names}
    return "take" in names


def test_the_command_begins_light() -> None:
    """A list needs no ledger, no plots."""
    heavy = "{'apsw', 'anyio', 'matplotlib', 'httpx', 'daybreak.ledger'}"
    program = f"import sys, benchmarks.__main__, benchmarks.page; print(sorted({heavy} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_an_unknown_name_is_refused_before_anything_runs() -> None:
    refused = _cli("archive", "archives")
    assert refused.returncode == 2
    assert "no benchmark 'archives'" in refused.stderr


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    refused = _cli("--json", str(tmp_path / "nowhere" / "found.json"), "archive")
    assert refused.returncode == 2
    assert "there is no folder" in refused.stderr


def test_a_benchmark_that_has_no_short_form_is_not_passed_over_in_silence() -> None:
    refused = _cli("--quick", "archive", "ledger_size")
    assert refused.returncode == 2
    assert "ledger_size has no short form" in refused.stderr


# -- records


def recorded(made: str, form: history.Form, figures: dict[str, Sequence[Figure]], **more: object) -> Record:
    machine = {"cores": 2, "python": "3.11", "system": "Linux", "sync_ms": 1.0}
    some = {name: tuple(one) for name, one in figures.items()}
    return Record(made, form, "0", "c0ffee", machine, some, **more)  # type: ignore[arg-type]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = recorded("2026-11-22T10:00:00Z", "quick", {"a": [slower(1.5), faster(2.0)], "b": [slower(3.0)]})
    path = history.keep(record, tmp_path)
    assert history.records(tmp_path) == [record]
    assert path.read_text().count("\n") > 5, "a line for each figure, so that a change can be read"
    with pytest.raises(FileExistsError):
        history.keep(record, tmp_path)


def test_the_newest_record_in_the_same_form_counts_and_not_one_that_failed() -> None:
    kept = [
        recorded("1", "quick", {"a": [slower(1.0)], "b": [slower(1.0)]}),
        recorded("2", "full", {"a": [slower(9.0)]}),
        recorded("3", "quick", {"a": [slower(2.0)]}),
        recorded("4", "quick", {"a": [slower(5.0)]}, failed={"a": "ended with code 1"}),
    ]
    assert history.last("quick", kept) == {"a": (slower(2.0),), "b": (slower(1.0),)}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"version": 1', '"version": 2', "version 2"),
        ('"form": "quick"', '"form": "Quick"', "form 'Quick'"),
        ('"made": "2026-11-22T10:00:00Z"', '"made": "yesterday"', "yesterday"),
        ('"cores": 2,', "", "cores"),
        ('"ratio": 1.5', '"ratio": NaN', "says nothing"),
        ('"ratio": 1.5', '"ratio": -1', "says nothing"),
        ('"ratio": 1.5', '"ratio": "1.5"', "TypeError"),
        ('"better": "lower"', '"better": "less"', "better is"),
        ('"better": "lower"', '"worse": "lower"', "worse"),
        ("{", "[", "JSONDecodeError"),
    ],
)
def test_what_is_no_record_is_named_and_not_passed_over(tmp_path: Path, old: str, new: str, says: str) -> None:
    record = recorded("2026-11-22T10:00:00Z", "quick", {"a": [slower(1.5)]})
    path = history.keep(record, tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(history.Broken, match=re.escape(says)) as broken:
        history.records(tmp_path)
    assert path.name in str(broken.value)


def test_of_each_benchmark_the_newest_record_that_has_it_counts_with_its_date() -> None:
    """Runs of some benchmarks, one after the other, make up a whole."""
    kept = [
        recorded("2026-11-20T10:00:00Z", "full", {"archive": [slower(1.0)], "web": [slower(5.0)]}),
        recorded("2026-11-21T10:00:00Z", "full", {"web": [slower(2.0)]}),
        recorded("2026-11-22T10:00:00Z", "quick", {"web": [slower(7.0)], "report": [slower(3.0)]}),
        recorded("2026-11-23T10:00:00Z", "full", {"build": [slower(4.0)]}),
    ]
    told = page.tables(kept)
    heads = {name: text for text in told.splitlines() for name in register.NAMES if text.startswith(f"**`{name}`**")}
    assert heads["archive"].endswith("Of 2026-11-20.")
    assert heads["web"].endswith("Of 2026-11-21.")
    assert heads["report"].endswith("Of 2026-11-22, short form only.")
    assert heads["build"].endswith("Of 2026-11-23.")
    assert "Of 2" not in heads["peers"]
    runs = [text for text in told.splitlines() if text.startswith("* ")]
    assert [text[2:12] for text in runs] == ["2026-11-23", "2026-11-22", "2026-11-21", "2026-11-20"]
    assert [text.rpartition("; ")[2] for text in runs] == [
        "in full: `build`.",
        "in short form: `report`.",
        "in full: `web`.",
        "in full: `archive`.",
    ]


def test_a_machine_that_lacks_something_renews_what_it_could_measure_and_keeps_the_rest() -> None:
    kept = [
        recorded("2026-11-20T10:00:00Z", "full", {"web": [slower(1.0, "a"), slower(1.0, "b")]}),
        recorded("2026-11-21T10:00:00Z", "full", {"web": [slower(2.0, "a")]}, unavailable={"web": "no strace"}),
    ]
    assert {one.name: one.ratio for one in history.last("full", kept)["web"]} == {"a": 2.0, "b": 1.0}
    told = page.tables(kept)
    assert "| b (of 2026-11-20) |" in told
    assert "| a |" in told
    assert "On 2026-11-21 it was not measured, or not all of it: no strace." in told


def test_a_figure_that_a_benchmark_no_longer_has_is_not_shown_for_ever() -> None:
    kept = [
        recorded("2026-11-20T10:00:00Z", "full", {"web": [slower(1.0, "renamed"), slower(1.0, "b")]}),
        recorded("2026-11-21T10:00:00Z", "full", {"web": [slower(2.0, "b")]}),
    ]
    assert "renamed" not in page.tables(kept)


def test_a_failure_is_told_until_it_is_measured_again() -> None:
    good = recorded("2026-11-20T10:00:00Z", "full", {"web": [slower(1.0)]})
    bad = recorded("2026-11-21T10:00:00Z", "full", {}, failed={"web": "ended with code 1"})
    words = "On 2026-11-21 it was not measured, or not all of it: ended with code 1."
    assert words in page.tables([good, bad])
    assert words in page.tables([dataclasses.replace(good, form="quick"), bad]), "a short form hides no failure in full"
    assert words not in page.tables([good, dataclasses.replace(bad, form="quick")])
    assert words not in page.tables([good, bad, dataclasses.replace(good, made="2026-11-22T10:00:00Z")])


def test_a_record_of_this_machine_names_no_machine(tmp_path: Path) -> None:
    record = history.make([ran(slower(1.0))], "quick")
    assert set(record.machine) == {"cores", "python", "system", "sync_ms"}
    assert os.uname().nodename not in record.told()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.made)


# -- the page and the pictures


def test_pages_are_in_step_with_what_was_recorded() -> None:
    """`python -m benchmarks.page` writes them."""
    for path, text in page.pages(history.records()).items():
        assert path.read_text() == text


def test_the_page_tells_a_missed_aim_and_what_could_not_be_measured() -> None:
    missed = lower("a|b", 9.0, "ms", "<none>", 3.0, aim=2.0)
    record = recorded("2026-11-22T10:00:00Z", "full", {"archive": [missed]}, unavailable={"peers": "no network"})
    told = page.tables([record])
    assert r"| a\|b | 9 ms | &lt;none>: 3 ms | 3 ↓ | at most 2 x: **missed** |" in told
    assert "On 2026-11-22 it was not measured, or not all of it: no network." in told


def test_short_forms_are_shown_where_there_is_no_other_and_have_no_aims() -> None:
    missed = lower("a", 9.0, "ms", "none", 3.0, aim=2.0)
    kept = [recorded("1", "full", {"web": [missed]}), recorded("2", "quick", {"web": [slower(1.0)], "build": [missed]})]
    shown = history.shown(kept)
    assert [one.figure for one in shown["web"]] == [missed]
    assert [one.figure.reached for one in shown["build"]] == [None]
    assert "short form only." in page.tables(kept)


def test_pictures_of_the_pages_are_there_and_can_be_read_aloud() -> None:
    named = re.findall(r"\]\((\.\./assets/figures/[^)]+)\)", page.pictures(history.records()))
    for name in named:
        root = ElementTree.parse(page.DOCS.parent / name).getroot()
        texts = {child.tag.rpartition("}")[2]: child.text for child in root}
        assert texts["title"]
        assert texts["desc"]


PEERS = [
    higher(f"{width}, slow disk, beside {peer}", 100.0, "steps/s", peer, 10.0)
    for width in ("1 workflow", "32 workflows")
    for peer in ("DBOS", "huey", "the best peer")
]


def test_pictures_are_the_same_bytes_twice_and_tell_missed_aims_and_dates(tmp_path: Path) -> None:
    some = [slower(3.0, "a"), lower("b", 9.0, "ms", "none", 3.0, aim=2.0), faster(0.5), slower(0.0, "nothing")]
    kept = [
        recorded("2026-11-21T10:00:00Z", "full", {"archive": some, "peers": PEERS}),
        recorded("2026-11-23T10:00:00Z", "full", {"reconcile": some}),
    ]
    (tmp_path / "first").mkdir()
    (stale := tmp_path / "first" / "ratios-memory.svg").touch()
    (others := tmp_path / "first" / "scaling.svg").touch()
    first = plots.write(kept, tmp_path / "first")
    assert [path.name for path in first] == [
        "ratios-the-ledger.svg",
        "ratios-the-engine.svg",
        "trend-full.svg",
        "peers.svg",
    ]
    assert not stale.exists(), "nothing of it is recorded"
    assert others.exists(), "somebody else draws it"
    again = plots.ratios("The ledger", history.shown(kept), tmp_path / "second")
    assert again is not None
    assert again.read_bytes() == first[0].read_bytes()
    ledger, engine = first[0].read_text(), first[1].read_text()
    assert "MISSED" in ledger
    assert "<title>The ledger, measured 2026-11-21 to 2026-11-23</title>" in ledger
    assert "<title>The engine, measured 2026-11-21</title>" in engine


def test_the_trend_of_a_part_goes_on_when_only_another_part_is_recorded() -> None:
    kept = [
        recorded("2026-11-20T10:00:00Z", "full", {"archive": [slower(1.0)], "web": [slower(1.0)]}),
        recorded("2026-11-21T10:00:00Z", "full", {"archive": [slower(2.0)], "reconcile": [slower(4.0)]}),
        recorded("2026-11-22T10:00:00Z", "full", {"web": [slower(3.0)]}),
    ]
    assert list(plots._worse("The ledger", kept)) == pytest.approx([1.0, math.sqrt(2), math.sqrt(2)])
    assert list(plots._worse("What people see", kept)) == pytest.approx([1.0, 1.0, 3.0])


# -- peers


def test_peers_are_pinned_in_one_place() -> None:
    pinned = [text for text in installed.REQUIREMENTS.read_text().splitlines() if text and not text.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", text) for text in pinned)
    others = [ROOT / "Makefile", *(ROOT / "benchmarks").rglob("*.py")]
    for text in pinned:
        assert not [path for path in others if text in path.read_text()]


def test_peers_that_cannot_be_had_are_said_and_not_taken_for_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place := tmp_path / "peers").write_text("in the way")
    for name, path in {"OUT": tmp_path, "PLACE": place, "STAMP": place / "s", "PYTHON": place / "python"}.items():
        monkeypatch.setattr(installed, name, path)
    monkeypatch.setenv("DAYBREAK_PEERS", "off")
    with pytest.raises(Unavailable, match="DAYBREAK_PEERS is off"):
        installed.wanted()
    monkeypatch.delenv("DAYBREAK_PEERS")
    with pytest.raises(Unavailable, match="could not be installed"):
        installed.wanted()
    assert not installed.ready()


def test_where_packages_come_from_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: no match from https://user:word@packages.test/simple/x (HTTPConnectionPool(host='packages.test'))"
    for name, path in {"OUT": tmp_path, "PLACE": tmp_path / "p", "STAMP": tmp_path / "s"}.items():
        monkeypatch.setattr(installed, name, path)
    monkeypatch.setattr(installed, "PYTHON", tmp_path / "python")
    monkeypatch.delenv("DAYBREAK_PEERS", raising=False)
    monkeypatch.setattr(installed, "_run", lambda *_: subprocess.run(
        ["/bin/sh", "-c", 'echo "$0" >&2; exit 1', said], check=True, capture_output=True, text=True
    ))  # fmt: skip
    with pytest.raises(Unavailable, match=r"no match from \(address\)") as told:
        installed.wanted()
    assert "packages.test" not in str(told.value)


def test_json_has_what_a_reader_needs() -> None:
    told = json.loads(json.dumps(lower("a", 3.0, "ms", "b", 2.0, aim=1.4).told()))
    assert told == {
        "name": "a", "value": 3.0, "unit": "ms", "baseline": "b", "baseline_value": 2.0, "ratio": 1.5,
        "better": "lower", "aim": 1.4, "aim_of": "ratio",
    }  # fmt: skip


def test_a_part_with_many_figures_has_a_picture(tmp_path: Path) -> None:
    """As many as all benchmarks of a part tell in full, each with an aim."""
    many = [lower(f"a figure with a name of its own, {n}", 3.0 + n, "ms", "none", 3.0, aim=2.0) for n in range(70)]
    kept = [recorded("2026-11-22T10:00:00Z", "full", {"archive": many})]
    made = plots.ratios("The ledger", history.shown(kept), tmp_path)
    assert made is not None
    assert "ledger" in made.name
