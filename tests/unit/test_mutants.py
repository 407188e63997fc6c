"""Small wrong programs: which are made, that each is one, and which of them tests notice."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.checks import baseless, mutated, strength
from daybreak.checks.evidence import Evidence
from daybreak.checks.mutants import MODULE, changed_functions, controls, mutants, null, of_source

HASH = "ab" * 32
SOURCE = '''\
"""Prices of a shop; `<` in here is no comparison."""

import logging

LEAST = 3
log = logging.getLogger(__name__)


def price(pages: int, discount: float = 0.5) -> float:
    """What it costs, `pages + 1` or not."""
    if pages < LEAST and not discount:
        raise ValueError("too few pages")
    log.warning("pages: %s", pages + 1)
    total = 0
    for number in range(pages):
        total += number * 2
        if number == 7:
            break
    return round(total, 2)


class Till:
    def add(self, one: str, two: str) -> str:
        try:
            self.kept.append(one)
        except AttributeError:
            return "none"
        return f"{one + two}" + one[1:two]
'''


def words(source: str = SOURCE, function: str | None = None) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in of_source("shop.py", source.encode()):
        if function is None or one.function == function:
            found.setdefault(one.kind, set()).add(one.words)
    return found


def test_mistakes_of_every_kind_are_made() -> None:
    """Limits, conditions, sums, constants, results, arguments, statements and exceptions left out."""
    found = words()
    assert "`<` became `<=` in `pages < LEAST`" in found["boundary"]
    assert "`<` became `>=` in `pages < LEAST`" in found["comparison"]
    assert "`and` became `or` in `pages < LEAST and not discount`" in found["boolean"]
    assert "`total += number * 2` became `total -= number * 2`" in found["arithmetic"]
    assert "`3` became `4`" in found["constant"]
    assert "`return round(total, 2)` became `return None`" in found["return value"]
    assert "the arguments `total` and `2` changed places" in found["arguments"]
    assert "`self.kept.append(one)` was left out" in found["removed statement"]
    assert '`raise ValueError("too few pages")` was left out' in found["removed exception"]
    assert "`except AttributeError` no longer handles it" in found["removed handler"]
    assert "`pages` became `(pages + 1)`" in found["off by one"]
    assert found["loop"] == {"`break` became `continue`"}


def test_what_is_for_people_and_what_has_no_place_is_left_alone() -> None:
    """No docstring, log line, annotation, default or inside of an f-string is changed."""
    told = {one for kind in words().values() for one in kind}
    assert not [one for one in told if "no comparison" in one or "or not" in one or "0.5" in one]
    assert not [one for one in told if one.startswith(("`one + two", "`{one"))]
    assert not [one for one in told if "log" in one or "pages: %s" in one]


def test_each_change_is_another_program_that_can_be_read() -> None:
    """Every mutant parses, differs from the program, and from all other mutants."""
    source = SOURCE.encode()
    before = ast.dump(ast.parse(source))
    after = [ast.dump(ast.parse(one.apply(source))) for one in mutants({"shop.py": source}, "seed", 1000)]
    assert before not in after
    assert len(after) == len(set(after)) > 20


def test_a_sample_takes_every_function_before_any_twice() -> None:
    """The same seed gives the same sample, another one another; `only` keeps to what changed."""
    sources = {"shop.py": SOURCE.encode()}
    three = mutants(sources, "seed", 3)
    assert {one.function for one in three} == {"price", "Till.add", MODULE}
    assert three == mutants(sources, "seed", 3)
    assert mutants(sources, "another", 10) != mutants(sources, "seed", 10)
    assert {one.function for one in mutants(sources, "seed", 9, {"shop.py": {"Till.add"}})} == {"Till.add"}


def test_only_functions_that_changed_are_asked_about() -> None:
    """Comments and layout are no change; a new file is all changed."""
    now = SOURCE.replace("* 2", "* 3").replace("LEAST = 3", "LEAST = 3  # few")
    assert changed_functions({"a.py": now.encode()}, {"a.py": SOURCE.encode()}) == {"a.py": {"price"}}
    assert changed_functions({"b.py": b"def f():\n    return 1\n"}, {}) == {"b.py": {"f"}}


def test_controls_do_the_same_in_other_words() -> None:
    """A control is another text with one more statement, which has no effect."""
    for one in controls({"shop.py": SOURCE.encode()}, "seed", 5):
        changed = one.apply(SOURCE.encode())
        assert changed != SOURCE.encode()
        dumped = ast.unparse(ast.parse(changed)).splitlines()
        [added] = [line for line in dumped if line not in ast.unparse(ast.parse(SOURCE)).splitlines()]
        assert "<" in added


def test_a_null_program_has_every_name_and_does_nothing() -> None:
    """Its functions give None, whatever they gave before."""
    namespace: dict[str, object] = {"__name__": "shop"}
    exec(compile(null(SOURCE.encode()), "shop", "exec"), namespace)  # noqa: S102 - our own text
    assert namespace["price"](12) is None  # type: ignore[operator]
    assert null(b"def f(:\n") == b"def f(:\n"


@pytest.mark.parametrize("source", [b"def f(:\n", b"\xff\xfe", b"# coding: latin-1\nx = '\xe9'\n", b"(" * 5000, b"\0"])
def test_what_cannot_be_read_gives_none(source: bytes) -> None:
    """Broken, oddly encoded and hostile files are no reason to fail."""
    assert mutants({"a.py": source}, "seed", 5) == []


EXPRESSIONS = ("a < b", "a and b", "not a", "f(a, b)", "[a][b:]", "a if b else 1", "a == 'é'", "-a * b")


@given(st.lists(st.sampled_from(EXPRESSIONS)))
@settings(max_examples=40, deadline=None)
def test_any_nesting_of_expressions_stays_readable(parts: list[str]) -> None:
    """Changes are put where they belong, also after letters of several bytes and inside of each other."""
    text = "None"
    for part in parts:
        text = f"g('ä', {part}, ({text}))"
    source = f"def run(a, b):\n    x = 'ö'; return {text}\n".encode()
    for one in mutants({"a.py": source}, "seed", 500):
        ast.parse(one.apply(source))


# -- in the sandbox

STRONG: dict[str, str] = {
    "src/shelf/store.py": '''\
"""Numbers."""


def shown(number: int) -> str:
    """Small, great, or too much."""
    if number < 10:
        return "small"
    while number > 100:
        raise ValueError("too much")
    return "great"
''',
    "src/shelf/cli.py": "def unused(number: int) -> int:\n    return number + 1\n",
    "tests/test_shelf.py": """\
import pytest

from shelf import store


def test_small() -> None:
    assert store.shown(9) == "small"


def test_great() -> None:
    assert store.shown(10) == "great"
    assert store.shown(100) == "great"


def test_too_much() -> None:
    with pytest.raises(ValueError, match="too much"):
        store.shown(101)
""",
}
WEAK = {
    **STRONG,
    "tests/test_shelf.py": """\
from shelf import store


def test_it_runs() -> None:
    assert isinstance(store.shown(9), str)
    assert isinstance(store.shown(50), str)
""",
}
SLY = """

def test_the_text() -> None:
    import hashlib
    import inspect

    store.shown(9)
    store.shown(50)
    assert hashlib.sha256(inspect.getsource(store).encode()).hexdigest() == "HASH"
"""


def write(tree: Path, files: dict[str, str]) -> Path:
    for path, text in {"src/shelf/__init__.py": "", **files}.items():
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return tree


def look(tmp_path: Path, files: dict[str, str], most: int = 40) -> Evidence:
    tree = write(tmp_path / "tree", files)
    return strength.look(tree, HASH, scratch=tmp_path, most=most, budget_s=120)


def test_strong_tests_notice_most_mistakes(tmp_path: Path) -> None:
    """Only what no test reaches is left, and it is named with its place."""
    # shows: F7
    seen = look(tmp_path, STRONG)
    assert seen.outcome == "passed", seen
    assert seen.check == "mutation"
    assert seen.counts["killed"] + seen.counts["survived"] + seen.counts["not_covered"] == seen.counts["mutants"]
    assert seen.counts["survived"] == 0, seen.marks
    assert seen.counts["not_covered"] > 0
    assert {mark.place for mark in seen.marks} == {"src/shelf/cli.py:2"}
    assert "no test reaches it" in seen.marks[0].message
    assert not (tmp_path / "tree" / "tests" / "__pycache__").exists()


def test_weak_tests_fail_and_what_they_let_through_is_said(tmp_path: Path) -> None:
    """Below the strength it is a finding, with each change in words."""
    # shows: F7
    seen = look(tmp_path, WEAK)
    assert seen.outcome == "failed"
    assert seen.counts["score"] < strength.STRENGTH_MIN
    told = {mark.message for mark in seen.marks}
    assert "`<` became `<=` in `number < 10` and no test noticed" in told


def test_tests_that_look_at_the_text_of_the_program_prove_nothing(tmp_path: Path) -> None:
    """They fail on changes that change nothing, too."""
    digest = hashlib.sha256(STRONG["src/shelf/store.py"].encode()).hexdigest()
    seen = look(tmp_path, {**WEAK, "tests/test_shelf.py": WEAK["tests/test_shelf.py"] + SLY.replace("HASH", digest)})
    assert seen.outcome == "failed"
    assert "that do the same" in seen.summary


@pytest.mark.chaos
def test_a_change_that_hangs_counts_as_noticed(tmp_path: Path) -> None:
    """A loop without end is ended, and the others are still tried."""
    count = "def count(most: int) -> int:\n    at = 0\n    while at < most:\n        at += 1\n    return at\n"
    test = "from shelf import store\n\n\ndef test_count() -> None:\n    assert store.count(3) == 3\n"
    files = {"src/shelf/store.py": count, "tests/test_shelf.py": test}
    seen = look(tmp_path, files, most=5)
    assert seen.counts["timeout"] >= 1
    assert seen.counts["killed"] >= seen.counts["timeout"]
    assert seen.outcome == "passed"


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ("def test_no() -> None:\n    assert 0\n", "do not pass as they are"),
        ("import os\n\n\ndef test_end() -> None:\n    os._exit(0)\n", "cannot be measured"),
    ],
)
def test_tests_that_do_not_pass_or_end_early_are_no_measure(tmp_path: Path, tests: str, said: str) -> None:
    """Nothing is known then, and that is a failure."""
    seen = look(tmp_path, {**STRONG, "tests/test_shelf.py": tests})
    assert seen.outcome == "failed"
    assert said in seen.summary


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("", "tests/test_shop.py::test_one"),
        # A worker's tests can put anything in the place of that file: it is never followed, nor waited for.
        ("import os\nos.unlink('../under-way')\nos.symlink('/etc/passwd', '../under-way')\n", ""),
        ("import os\nos.unlink('../under-way')\nos.mkfifo('../under-way')\n", ""),
        ("import os\nos.unlink('../under-way')\nos.mkdir('../under-way')\n", ""),
    ],
)
def test_the_test_that_notices_a_change_first_is_told(tmp_path: Path, before: str, told: str) -> None:
    """In the order that was asked for; for people, and no proof.

    # shows: F7
    """
    body = "from shop import one, two\n\n\ndef test_two():\n    assert two() == 2\n\n\n"
    body += "def test_one():\n{}    assert one() == 1\n"
    hostile = "".join(f"    {line}\n" for line in ["if one() != 1:", *(f"    {line}" for line in before.splitlines())])
    files = {
        "src/shop/__init__.py": "def one():\n    return 1\n\n\ndef two():\n    return 2\n",
        "tests/test_shop.py": body.format(hostile if before else ""),
    }
    place = tmp_path / "runs"
    place.mkdir()
    suite = mutated.Suite(write(tmp_path / "tree", files), place)
    reached = suite.measure(60)
    at = files["src/shop/__init__.py"].index("1")
    tests = reached.of("shop/__init__.py", 2)[0]
    noticed = mutated.Change(0, "shop/__init__.py", 2, "", at, at + 1, "3", tests, True, 1.0)
    same = mutated.Change(1, "shop/__init__.py", 2, "", at, at + 1, "1 ", tests, True, 1.0)
    tried = suite.tried([[noticed, same]], reached, budget_s=60)
    assert tried == {0: mutated.Tried("killed", told), 1: mutated.Tried("survived")}


def test_tests_must_fail_without_the_program(tmp_path: Path) -> None:
    """On nothing, and on a program that does nothing; those that pass there are named."""
    # shows: F7
    tree = write(tmp_path / "strong", STRONG)
    assert baseless.fails_on_base(tree, HASH, scratch=tmp_path).counts == {"tests": 3, "counting": 3}
    idle = "def test_one() -> None:\n    assert True\n\n\ndef test_two() -> None:\n    assert 2 > 1\n"
    tree = write(tmp_path / "idle", {**STRONG, "tests/test_shelf.py": idle})
    seen = baseless.fails_on_base(tree, HASH, scratch=tmp_path)
    assert seen.outcome == "failed"
    assert {mark.place for mark in seen.marks} == {"", "tests/test_shelf.py::test_one", "tests/test_shelf.py::test_two"}


@pytest.mark.chaos
def test_on_a_working_base_one_test_has_to_fail(tmp_path: Path) -> None:
    """Tests that pass on the base guard it; without one that fails there, the change is not shown."""
    tree = write(tmp_path / "tree", STRONG)
    base = write(tmp_path / "base", STRONG)
    assert baseless.fails_on_base(tree, HASH, base=base, scratch=tmp_path).outcome == "failed"
    (base / "src/shelf/store.py").write_text("def shown(number: int) -> str:\n    return 'small'\n")
    seen = baseless.fails_on_base(tree, HASH, base=base, scratch=tmp_path)
    assert seen.outcome == "passed"
    assert seen.counts == {"tests": 3, "counting": 2}
