"""The benchmark of false accepts: its bounds, its right programs, and what counts as a plain command."""

from __future__ import annotations

import ast

import pytest
from benchmarks.accepts import figures
from benchmarks.accepts.asking import RIGHT, plain_words
from benchmarks.accepts.figures import CONSENSUS, GATES, HELD_OUT, MUTATION, OF_THREE, TESTS, UNTESTED, VISIBLE, Strong
from benchmarks.accepts.programs import Program
from benchmarks.accepts.rewrites import WAYS, rewritten

SOURCE = '''\
"""A shop."""

from __future__ import annotations

KINDS = ("a", "b")


def price(pages: int, kind: str = "a") -> str:
    """With words."""
    total = pages * 2 if kind in ("a", "x") else pages
    found = [one for one in range(total) if one is not None and not (one == 3 or one == 5)]
    names = {one: f"{one!r} of {total}{{}}" for one in found}
    try:
        if pages > 3:
            last = max(found)
        else:
            last = -1
    except ValueError as problem:
        return str(problem)
    return f"{names.get(last)} {sum(found)}" if found else "none"


class Till:
    def __init__(self) -> None:
        self.kept: list[int] = []

    @property
    def sum(self) -> int:
        total = sum(self.kept)
        return total + 0

    def add(self, one: int) -> int:
        self.kept = [*self.kept, one]
        return self.sum

    def drop(self) -> list[int]:
        while self.kept and self.kept[-1] not in (1, 2):
            gone = self.kept.pop()
            assert gone is not None
        return self.kept
'''


def behaviour(text: str) -> list[object]:
    """What it does with some values."""
    names: dict[str, object] = {}
    exec(compile(text, "shop", "exec"), names)  # noqa: S102 - a text of ours
    price, till = names["price"], names["Till"]()  # type: ignore[operator]
    told: list[object] = [price(pages, kind) for pages in range(9) for kind in "axz"]  # type: ignore[operator]
    return [*told, till.add(1), till.add(7), till.drop(), till.sum]


@pytest.mark.parametrize("way", WAYS)
def test_a_rewritten_module_is_another_text_that_does_the_same(way: str) -> None:
    """Each way of rewriting changes something, and nothing that anybody could notice."""
    module = ast.fix_missing_locations(WAYS[way](ast.parse(SOURCE)))
    assert ast.dump(module) != ast.dump(ast.parse(SOURCE))
    assert behaviour(ast.unparse(module)) == behaviour(SOURCE)


def test_all_ways_together_do_the_same_too_and_follow_from_the_seed() -> None:
    """One after the other, the same for the same seed."""
    found = rewritten({"shop.py": SOURCE.encode()}, 1, 20)
    assert {one.way for one in found} == {*WAYS, "everything"}
    assert all(behaviour(one.text) == behaviour(SOURCE) for one in found)
    assert found == rewritten({"shop.py": SOURCE.encode()}, 1, 20)


def test_a_local_name_that_means_more_is_not_renamed() -> None:
    """Parameters, what inner functions see, and what `locals` tells."""
    source = "def f(a):\n    a = 1\n    def g():\n        return b\n    b = 2\n    return g, locals()\n"
    assert ast.unparse(WAYS["other names"](ast.parse(source))) == ast.unparse(ast.parse(source))


@pytest.mark.parametrize(
    ("found", "of", "most"),
    [(0, 600, 0.00498), (0, 0, 1.0), (0, 10, 0.2589), (1, 10, 0.3942), (5, 5, 1.0), (3, 1000, 0.00774)],
)
def test_the_upper_bound_is_that_of_clopper_and_pearson(found: int, of: int, most: float) -> None:
    """None of 600 says at most half a percent; nothing seen says nothing."""
    assert figures.upper(found, of) == pytest.approx(most, abs=5e-5)
    assert figures.lower(of - found, of) == (pytest.approx(1 - most, abs=5e-5) if of else 0.0)


def test_a_rate_stands_never_alone() -> None:
    """Every line of the table has counts, and how far they can be off; too few are said to be too few."""
    programs = [program(number, right=False) for number in range(9)]
    programs += [program(number + 100, right=True) for number in range(9)]
    lines = figures.table(figures.judged(programs, Strong(3, 3), 1))
    rates = [line for line in lines if line.startswith(("own", "+", "no tests"))]
    assert len(rates) == len(GATES) + 1
    assert all(" of " in line and line.count("%;") == 2 for line in rates)
    assert "too few for being sure" in lines[-1]


@pytest.mark.parametrize(
    ("seen", "accepted"),
    [
        ({}, (True, True, True, True, True)),
        ({"killed_by": 0}, (False, False, False, False, False)),
        ({"killed_by": 3}, (None, None, None, False, False)),
        ({"visible": False, "held_out": False, "behaviour": ""}, (True, False, False, False, False)),
        ({"held_out": False, "behaviour": ""}, (True, True, False, False, False)),
        ({"behaviour": "another"}, (True, True, True, True, False)),
    ],
)
def test_each_gate_refuses_what_it_sees_and_keeps_what_those_before_it_refuse(
    seen: dict[str, object], accepted: tuple[bool | None, ...]
) -> None:
    """Beside right programs, of which the consensus is made. None: it depends on the suite.

    # shows: F7, F12
    """
    right = [program(number, right=True) for number in range(20)]
    one = program(999, right=False, judged_wrong=True, **seen)
    [found] = [told for told in figures.judged([*right, one], Strong(3, 3), 1) if told.program is one]
    for gate, expected in zip((TESTS, VISIBLE, HELD_OUT, MUTATION, CONSENSUS), accepted, strict=True):
        assert expected is None or found.accepted[gate] == expected, gate
    assert not found.accepted[UNTESTED] or one.sampled


def test_one_more_candidate_saves_right_programs_and_lets_no_wrong_one_win_that_is_seen() -> None:
    """Where one of three is another, the fourth decides; a program that differs from all has nobody beside it."""
    # shows: F7
    right = [program(number, right=True) for number in range(40)]
    wrong = [program(100 + number, right=False, behaviour=f"another {number}") for number in range(40)]
    found = figures.judged([*right, *wrong], Strong(3, 3), 1)
    counts = {
        gate: sum(one.accepted[gate] for one in found if one.program.meant_right) for gate in (OF_THREE, CONSENSUS)
    }
    assert counts[CONSENSUS] > counts[OF_THREE]
    assert not any(one.accepted[CONSENSUS] for one in found if not one.program.meant_right)


def test_who_is_sent_back_for_coverage_writes_the_weakest_suite_that_has_it() -> None:
    """And for the mutation check no weaker one; the last, where none is enough."""
    assert Strong.of([65, 84.9, 85, 99], 85, [70, 80, 90, 95], 60) == Strong(2, 2)
    assert Strong.of([85, 90, 95, 99], 85, [10, 20, 59, 60], 60) == Strong(0, 3)
    assert Strong.of([10, 20, 30, 40], 85, [10, 20, 30, 40], 60) == Strong(3, 3)


def program(number: int, *, right: bool, **seen: object) -> Program:
    values: dict[str, object] = {"visible": True, "held_out": True, "behaviour": RIGHT, "judged_wrong": not right}
    told = values | seen
    return Program(f"{number:016x}", "shop", f"p{number}", "machinery", right, **told)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shop book add --title 'A b' --pages 3", ({}, ["book", "add", "--title", "A b", "--pages", "3"])),
        ('SHOP_DB=x.db shop list --search ""', ({"SHOP_DB": "x.db"}, ["list", "--search", ""])),
        ("shop book add --title 'two\nlines'", ({}, ["book", "add", "--title", "two\nlines"])),
        ("shop list | head", None),
        ("shop list; true", None),
        ("shop add --title $HOME", None),
        ('shop add --title "$HOME"', None),
        ("shop add --title `id`", None),
        ("shop add --title *", None),
        ("shop add --title a\\ b", None),
        ("shop list > file", None),
        ("printf x", None),
        ("shop list\nshop list", None),
        ("shop add --title 'open", None),
        ("shop list # no word", None),
        ("shop add ~/x", None),
        ("shop add {a,b}", None),
    ],
)
def test_only_a_plain_call_is_made_without_a_shell(line: str, words: tuple[dict[str, str], list[str]] | None) -> None:
    """Whatever a shell would do more than cut it into words goes through a shell."""
    assert plain_words(line, "shop") == words
