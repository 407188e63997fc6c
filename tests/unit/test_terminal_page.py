"""The picture of what is under way, laid out in any size from any text."""

from __future__ import annotations

import io
import re
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daybreak.cli.screen.columns import clean, cut, width
from daybreak.cli.screen.look import PLAIN, Look, chosen
from daybreak.cli.screen.outlet import Below, Lines, Stream, Whole
from daybreak.cli.screen.page import Span, page, painted, plain
from daybreak.cli.screen.scene import Bar, Said, Scene
from daybreak.report.timeleft import Left
from daybreak.report.tree import Node, fit

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
RICH = Look(live=True, colours=True, symbols=True)
ASCII = Look(live=True, colours=False, symbols=False)
EVIL = "\x1b[2J\x1b]0;x\x07\u202egnp.exe\u2066\u200b\ufeff\r\n\tz\u0300\u0301\u0302\u0303\u0304 漢字 👩‍👩‍👧 \x9b31m"

words = st.one_of(st.text(max_size=60), st.sampled_from([EVIL, "漢" * 80, "a" * 5000, "", "👩‍👩‍👧" * 30]))
nodes = st.recursive(
    st.builds(Node, words, st.sampled_from(["running", "done", "failed", "not over", ""]), words),
    lambda below: st.builds(
        Node, words, st.sampled_from(["running", "done"]), words, st.lists(below, max_size=5).map(tuple), words
    ),
    max_leaves=20,
)
bars = st.builds(Bar, words, st.just("money_microusd"), *(st.integers(0, 2**53 - 1) for _ in range(3)))
lefts = st.one_of(st.none(), st.builds(Left, *(st.floats(0, 1e7) for _ in range(3)), st.integers(1, 99)))
scenes = st.builds(
    Scene,
    st.just(NOW),
    words,
    *(st.lists(words, max_size=4).map(tuple) for _ in range(2)),
    st.lists(nodes, max_size=6).map(tuple),
    st.one_of(st.none(), st.floats(0, 1)),
    lefts,
    st.lists(bars, max_size=3).map(tuple),
    words,
    st.lists(st.builds(Said, words, st.sampled_from(["done", "dim", "odd"])), max_size=30).map(tuple),
)


def scene(**more: object) -> Scene:
    told: dict[str, object] = {
        "head": "night, for 2 min, 4 workers",
        "waits": ("Shelf asks: deliver? (daybreak answer run-7)",),
        "tree": (
            Node("Shelf", "running", "for 2 min", (Node("attempt 1: codex", "failed"), Node("check tests", "running"))),
            Node("Lamp", "running", "for 1 min", (), "run-2"),
        ),
        "fraction": 0.4,
        "left": Left(720, 1000, 1500, 9),
        "bars": (Bar("night", "money_microusd", 2_000_000, 1_000_000, 20_000_000),),
        "counts": "runs: 3 done, 2 running",
        "tail": tuple(Said(f"line {number}") for number in range(50)),
    }
    return Scene(NOW, **{**told, **more})  # type: ignore[arg-type]


@given(scenes, st.integers(1, 200), st.integers(1, 60), st.sampled_from([RICH, ASCII]))
@example(scene(head=EVIL), 20, 5, RICH)
def test_no_line_is_wider_than_the_terminal_and_none_is_too_many(
    shown: Scene, columns: int, lines: int, look: Look
) -> None:
    """At any size, from any text; it never raises."""
    # shows: F14
    found = page(shown, columns, lines, look)
    assert 1 <= len(found) <= lines
    for line in found:
        assert width(plain(line)) <= columns
        assert plain(line).isprintable()
        if look is ASCII:
            assert painted(line, look).isascii()


@given(st.text(max_size=300))
@example(EVIL)
def test_a_cleaned_text_holds_nothing_that_steers_a_terminal(text: str) -> None:
    """No control, no mark of direction, nothing without a place of its own; cleaned twice is cleaned once."""
    told = clean(text)
    assert told.isprintable()
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs") for char in told)
    assert clean(told) == told


@given(words, st.integers(0, 100))
def test_a_cut_text_fits(text: str, most: int) -> None:
    """Double cells are not cut in halves."""
    assert width(cut(clean(text), most)) <= most


def test_a_line_of_a_megabyte_costs_nothing() -> None:
    """Only what can be seen is looked at."""
    found = page(scene(tail=(Said("x" * 1_000_000),)), 80, 24, RICH)
    assert max(width(plain(line)) for line in found) <= 80


def test_a_wide_picture_says_everything() -> None:
    """What waits first, then the tree, the budget, and the newest lines of the log."""
    # shows: F14
    told = [plain(line) for line in page(scene(), 100, 30, RICH)]
    assert told[0] == "night, for 2 min, 4 workers"
    assert told[1].endswith(" 40% time left about 12–25 min, from 9 earlier runs")
    assert told[2] == "! Shelf asks: deliver? (daybreak answer run-7)"
    assert told[3:7] == [
        "▸ Shelf: running, for 2 min",
        "├─ ✗ attempt 1: codex: failed",
        "└─ ▸ check tests",
        "▸ Lamp: running, for 1 min  run-2",
    ]
    assert told[7].startswith("night ██")
    assert told[7].endswith(" 2usd of 20usd used, 1usd reserved")
    assert told[-1] == "line 49"


def test_the_smallest_terminal_still_says_what_matters() -> None:
    """20 columns and 5 lines: what it is, how long, who waits, what runs."""
    told = [plain(line) for line in page(scene(), 20, 5, RICH)]
    assert told == [
        "night, for 2 min, 4…",
        "40% about 12–25 min",
        "! Shelf asks: deliv…",
        "▸ Shelf: running, f…",
        "▸ Lamp: running, fo…",
    ]


def test_without_symbols_all_is_words_and_ascii() -> None:
    """For terminals that know no more than ASCII; states are words in any case."""
    told = "\n".join(painted(line, ASCII) for line in page(scene(), 100, 30, ASCII))
    assert told.isascii()
    assert "Shelf: running" in told
    assert "[###" in told
    assert "about 12 to 25 min" in told


def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    """The same text with them and without."""
    coloured = [painted(line, RICH) for line in page(scene(), 100, 30, RICH)]
    still = Look(live=True, colours=False, symbols=True)
    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in coloured] == [
        painted(line, still) for line in page(scene(), 100, 30, still)
    ]
    assert "\x1b" not in "".join(painted(line, still) for line in page(scene(), 100, 30, still))


# -- the tree


def test_what_is_over_is_counted_before_anything_under_way_is_left_out() -> None:
    """In a small height finished parts become one line."""
    # shows: F14
    parts = (*(Node(f"part {number}", "done") for number in range(30)), Node("part x", "failed"), Node("y", "running"))
    run = Node("Shelf", "running", "", parts)
    assert len(fit([run], 100)) == 33
    assert [twig.node.name for twig in fit([run], 5)] == ["Shelf", "30 done, 1 failed", "y"]
    assert [twig.node.name for twig in fit([run], 2)] == ["Shelf"]
    assert [twig.node.name for twig in fit([run] * 9, 3)] == ["Shelf", "Shelf", "and 7 more"]


@given(st.lists(nodes, max_size=8), st.integers(0, 30))
def test_a_tree_never_takes_more_lines_than_there_are(found: list[Node], lines: int) -> None:
    """However deep and wide it is."""
    assert len(fit(found, lines)) <= lines


# -- the stream


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("place", [Lines, lambda stream: Whole(stream, RICH), lambda stream: Below(stream, RICH)])
def test_a_terminal_that_is_gone_is_given_up_and_nothing_is_raised(place: type[Lines]) -> None:
    """Whoever draws need not know."""
    stream = Stream(Gone())
    made = place(stream)
    made.begin()
    made.draw([[Span("x")]])
    made.say("hello")
    made.end([[Span("x")]])
    assert stream.gone


def test_plain_where_nothing_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, a terminal without a cursor, or a person who asks for it."""

    class Terminal(io.StringIO):
        encoding = "utf-8"  # type: ignore[assignment]

        def isatty(self) -> bool:
            return True

    assert chosen(io.StringIO(), {"TERM": "xterm"}) == PLAIN
    assert chosen(Terminal(), {"TERM": "dumb"}) == PLAIN
    assert chosen(Terminal(), {}) == PLAIN
    assert chosen(Terminal(), {"TERM": "xterm"}, plain=True) == PLAIN
    assert chosen(Terminal(), {"TERM": "xterm"}) == RICH
    assert chosen(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}) == Look(live=True, colours=False, symbols=True)


def test_a_picture_that_did_not_change_is_not_drawn_again() -> None:
    """Nothing is written, so nothing flickers; and each picture is one write."""
    written = io.StringIO()
    place = Whole(Stream(written), RICH)
    place.draw([[Span("one")], [Span("two")]])
    first = written.getvalue()
    place.draw([[Span("one")], [Span("two")]])
    assert written.getvalue() == first
    assert "\x1b[2J" not in first


def test_lines_of_what_happened_stay_above_the_picture() -> None:
    """The picture is moved down, not overwritten."""
    written = io.StringIO()
    place = Below(Stream(written), Look(live=True, colours=False, symbols=True))
    place.draw([[Span("picture")]])
    place.say("something \x1b[2J happened")
    told = written.getvalue()
    assert "something \\x1b[2J happened" in told
    assert told.rindex("picture") > told.rindex("happened")
