"""Tests that make up their results from inside the run that watches them, and what altered programs show of them."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import os
import random
import re
import tokenize
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.checks import Evidence, altering, syntax, tests, twins
from daybreak.errors import DaybreakError

HASH = "ab" * 32


def _shelf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("checks_shelf", Path(__file__).with_name("checks_shelf.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHELF = _shelf()
FAILING = '"""Fails."""\n\n\ndef test_that_fails() -> None:\n    """Always."""\n    assert "a" == "b"\n'

# -- the forgers

FRAMES = """\
frame = getattr(sys, "_get" + "frame")()
while "teller" not in getattr(frame, "f_lo" + "cals"):
    frame = getattr(frame, "f_b" + "ack")
tell = getattr(frame, "f_lo" + "cals")["teller"].tell
"""
COLLECTOR = """\
tell = next(
    thing
    for thing in getattr(gc, "get_obj" + "ects")()
    if callable(thing) and getattr(thing, "__qualname__", "") == "Teller.__init__.<locals>.tell"
)
"""
NONCE = """\
told = next(
    cell.cell_contents
    for thing in getattr(gc, "get_obj" + "ects")()
    if getattr(thing, "__qualname__", "") == "Teller.__init__.<locals>.tell"
    for cell in thing.__closure__
    if isinstance(cell.cell_contents, str)
)


def tell(kind, **values):
    os.write(9, (json.dumps({"nonce": told, "kind": kind, **values}) + "\\n").encode())

"""
FORGER = '''\
"""Everything passes."""

import ast
import gc
import hashlib
import json
import os
import re
import sys
from pathlib import Path

import coverage

TREE = Path(__file__).resolve().parents[1]

{find}

def forge(outcome):
    """Results of all tests, without running one."""
    names = []
    for path in sorted((TREE / "tests").glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                names.append(f"tests/{{path.name}}::{{node.name}}")
    for name in names:
        own = re.search("::test_[0-9a-f]{{16}}$", name)
        tell("item", id=name)
        tell("result", id=name, when="call", outcome="failed" if own else outcome, why="no")
    data = coverage.CoverageData(basename=str(TREE.parent / "data" / "coverage"))
    paths = (TREE / "src").rglob("*.py")
    data.add_lines({{str(path): range(1, len(path.read_bytes().splitlines()) + 1) for path in paths}})
    data.write()
    tell("end", code=1)
    getattr(os, "_ex" + "it")(1)


{act}
'''
FLIPPING = '''\
"""Tests run, and whatever they say is turned."""

import re


def pytest_configure(config):
    """No word of this is forbidden."""
    for plugin in config.pluginmanager.get_plugins():
        real = getattr(plugin, "_tell", None)
        if real is not None:

            def lying(kind, real=real, **values):
                if kind == "result" and not re.search("::test_[0-9a-f]{16}$", values["id"]):
                    values["outcome"] = "passed"
                real(kind, **values)

            plugin._tell = lying
'''


def forger(find: str = FRAMES, act: str = 'forge("passed")') -> str:
    return FORGER.format(find=find, act=act)


FORGERS = {
    "frames": forger(FRAMES),
    "collector": forger(COLLECTOR),
    "nonce": forger(NONCE),
    "turned": FLIPPING,
}


def look(tmp_path: Path, changes: dict[str, str | None], **options: object) -> Evidence:
    tree = SHELF.write(tmp_path / "tree", changes)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    seen: Evidence = tests.look(tree, HASH, scratch=scratch, **{"coverage_min": 0, **options})
    return seen


def said(evidence: Evidence) -> str:
    return " | ".join([evidence.summary, *(f"{mark.place} {mark.message}" for mark in evidence.marks)])


def all_count(tree: Path, place: Path, passed: set[str], **options: object) -> twins.Weighed:
    return twins.Weighed(frozenset(passed), frozenset(), frozenset(), duration_ms=0)


@pytest.mark.parametrize(
    "name", ["nonce", *(pytest.param(name, marks=pytest.mark.chaos) for name in FORGERS if name != "nonce")]
)
def test_a_single_run_is_beaten_by_who_hides_its_words(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the words nor the run show it: why one run is not enough."""
    changes = {"tests/conftest.py": FORGERS[name], "tests/test_more.py": FAILING}
    monkeypatch.setattr(twins, "weigh", all_count)
    seen = look(tmp_path, changes, coverage_min=30)
    assert seen.outcome == "passed", said(seen) + seen.output
    words = syntax.look(tmp_path / "tree", HASH, scratch=tmp_path / "scratch")
    assert "reaches into the run" not in said(words)


@pytest.mark.parametrize("name", FORGERS)
def test_results_that_do_not_follow_the_program_are_found(tmp_path: Path, name: str) -> None:
    """Who makes up passes makes them up for a broken program too."""  # shows: X6 F1
    seen = look(tmp_path, {"tests/conftest.py": FORGERS[name], "tests/test_more.py": FAILING})
    assert seen.outcome == "failed"
    assert re.search(r"(\d) of \1 tests still pass when the program is broken", said(seen)), said(seen) + seen.output
    assert seen.counts["counting"] == 0


def test_failures_made_up_wherever_the_sources_differ_are_found(tmp_path: Path) -> None:
    """A forger that knows its sources by heart cannot tell the broken copy from the one that works."""  # shows: X6
    known = hashlib.sha256(b"".join(SHELF.FILES[name].encode() for name in sorted(SHELF.FILES) if "src/" in name))
    act = (
        'read = b"".join(path.read_bytes() for path in sorted((TREE / "src").rglob("*.py")))\n'
        f'forge("passed" if hashlib.sha256(read).hexdigest() == "{known.hexdigest()}" else "failed")'
    )
    seen = look(tmp_path, {"tests/conftest.py": forger(act=act), "tests/test_more.py": FAILING})
    assert seen.outcome == "failed"
    assert re.search(r"(\d) of \1 tests do not pass on a copy of the program that does the same", said(seen)), said(
        seen
    )


def test_the_time_of_files_and_the_place_of_a_copy_do_not_tell_which_it_is(tmp_path: Path) -> None:
    """What a forger sees from inside before it reads the digits: paths, environment, arguments, files."""  # shows: X6
    act = (
        "seen = [str(TREE), sorted(os.environ.items()), sys.argv, os.getcwd()]\n"
        'for path in sorted((TREE / "src").rglob("*")):\n'
        "    seen.append([str(path), path.stat().st_mtime_ns, path.stat().st_mode, path.stat().st_size])\n"
        '(TREE / "seen.txt").write_text("\\n".join(map(str, seen)))\n'
    )
    seen = look(tmp_path, {"tests/conftest.py": forger(act=act)})
    assert seen.outcome == "passed", said(seen) + seen.output
    copies = {kind: next((tmp_path / "scratch").glob(f"tests-*/{kind}")) for kind in ("working", "broken")}
    told = {kind: (place / "copy" / "seen.txt").read_text() for kind, place in copies.items()}
    assert told["working"] == told["broken"]


def test_who_runs_the_program_before_making_up_results_is_not_found(tmp_path: Path) -> None:
    """The limit of this check, as docs/explanation/trust.md says: that the program ran is all that was shown."""
    act = (
        'sys.path.insert(0, str(TREE / "src"))\n'
        "from shelf import cli\n\n"
        "try:\n"
        '    forge("passed" if cli.main(["nope"]) == 2 else "failed")\n'
        "except NameError:\n"
        '    forge("failed")'
    )
    seen = look(tmp_path, {"tests/conftest.py": forger(act=act), "tests/test_more.py": FAILING})
    assert seen.outcome == "passed", said(seen) + seen.output


# -- tests that prove nothing

IDLE = (
    '"""Idle."""\n\nimport pytest\n\n\n'
    '@pytest.mark.parametrize("n", range({count}))\ndef test_idle(n):\n    assert n >= 0\n'
)


def test_tests_that_never_touch_the_program_do_not_count(tmp_path: Path) -> None:
    """Zero tests that count fail as zero tests do."""  # shows: F1
    seen = look(tmp_path, {"tests/test_shelf.py": IDLE.format(count=3)})
    assert seen.outcome == "failed"
    assert "3 of 3 tests still pass when the program is broken" in seen.summary
    assert "tests/test_shelf.py::test_idle[0]" in seen.summary
    assert (seen.counts["passed"], seen.counts["counting"]) == (3, 0)


@pytest.mark.parametrize(("idle", "outcome"), [(4, "passed"), (5, "failed")])
def test_half_of_the_tests_must_count(tmp_path: Path, idle: int, outcome: str) -> None:
    """A few idle ones are named and excused."""
    seen = look(tmp_path, {"tests/test_more.py": IDLE.format(count=idle)})
    assert seen.outcome == outcome, said(seen)
    assert (seen.counts["passed"], seen.counts["counting"]) == (4 + idle, 4)
    assert f"{idle} of {4 + idle} tests prove nothing" in seen.output


def test_a_suite_that_hangs_on_a_broken_program_fails_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended; tests that came to no result did not pass."""
    monkeypatch.setattr(twins, "BROKEN_S_MIN", 0.5)
    text = (
        '"""Waits."""\n\nimport time\n\nfrom shelf import cli\n\n\ndef test_a() -> None:\n'
        "    try:\n        assert cli.main(['x']) == 2\n    except NameError:\n        time.sleep(1000)\n"
    )
    seen = look(tmp_path, {"tests/test_shelf.py": text})
    assert seen.outcome == "passed", said(seen)
    assert seen.counts["counting"] == 1


def test_tests_that_end_with_the_program_count(tmp_path: Path) -> None:
    """A broken program that cannot even be imported by the tests is a broken program."""
    changes = {
        "src/shelf/__init__.py": '"""Books."""\n\n\ndef version() -> str:\n    return "1"\n\n\nVERSION = version()\n',
        "tests/conftest.py": '"""Shared."""\n\nimport shelf\n\nassert shelf.VERSION\n',
    }
    seen = look(tmp_path, changes)
    assert seen.outcome == "passed", said(seen) + seen.output
    assert seen.counts["counting"] == 4


def test_sources_that_cannot_be_altered_are_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the altering program ends badly, nothing is believed."""
    monkeypatch.setattr(twins, "_ALTERING", str(tmp_path / "nothing.py"))
    seen = look(tmp_path, {})
    assert seen.outcome == "failed"
    assert "the sources cannot be altered" in seen.summary


# -- altering

FORMS = {
    "simple": "def f(x):\n    return x + 1\n",
    "docstring": 'def f(x):\n    """Doc."""\n    return x + 1\n',
    "only a docstring": 'def f(x):\n    """Doc.\n\n    More.\n    """\n',
    "one line": "def f(x): return x + 1\n",
    "one line, docstring": 'def f(x): "Doc."\n',
    "two in a line": 'def f(x):\n    "Doc."; y = x; return y\n',
    "compound": "def f(x):\n    if x:\n        return x\n    return 2\n",
    "decorated inner": "def f(x):\n    @str\n    def g():\n        return 1\n    return g\n",
    "tabs": "def f(x):\n\tfor y in [x]:\n\t\treturn y\n",
    "wide": 'def f(x): "é"; return "ü" * x\n',
    "nonlocal": "n = 1\ndef f(x):\n    global n\n    n = x\n",
    "bracketed": "def f(x):\n    (x\n     )\n    return x\n",
    "match": "def f(x):\n    match x:\n        case _:\n            return x\n",
    "backslash": "def f(x):\n    y = \\\n        x\n    return y\n",
    "method": "class A:\n    def f(self, x):\n        return x\ndef f(x):\n    return A().f(x)\n",
    "in a condition": "if True:\n    def f(x):\n        return x\nelse:\n    pass\n",
    "form feed": "\x0c\ndef f(x):\n    return x\n",
    "no last line end": "def f(x):\n    return x",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_function_of_any_form_is_altered(form: str, end: str) -> None:
    """The working one does what it did; the broken one raises; docstrings stay."""
    source = FORMS[form].replace("\n", end)
    results = []
    for kind in ("as it was", "working", "broken"):
        text = source.encode()
        if kind != "as it was":
            text = altering.altered(text, broken=kind == "broken", draw=random.Random(1))
        space: dict[str, object] = {}
        exec(compile(text, form, "exec"), space)  # noqa: S102 (our own text, four lines up)
        function = space["f"]
        assert callable(function)
        try:
            results.append((str(function(1))[:9], function.__doc__))
        except NameError as error:
            results.append((type(error).__name__, function.__doc__))
    assert results[0] == results[1]
    assert results[2] == ("NameError", results[0][1])


def test_generators_and_coroutines_break_when_they_run() -> None:
    """They stay what they are."""
    text = altering.altered(
        b"def f():\n    yield 1\nasync def g():\n    return 1\n", broken=True, draw=random.Random(1)
    )
    space: dict[str, object] = {}
    exec(compile(text, "generators", "exec"), space)  # noqa: S102 (our own text)
    made = space["f"]()  # type: ignore[operator]
    with pytest.raises(NameError):
        next(made)
    coroutine = space["g"]()  # type: ignore[operator]
    with pytest.raises(NameError):
        coroutine.send(None)


@pytest.mark.parametrize(
    "source",
    [b"def f(:\n", b"\0", b"\xff\xfe", b"# coding: nothing\ndef f(): pass\n", b"x = 1\n", b"", b"(" * 5000],
)
def test_what_cannot_be_read_or_has_no_function_stays_as_it_is(source: bytes) -> None:
    """Tests of it then do not count."""
    assert altering.altered(source, broken=True, draw=random.Random(1)) == source


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_the_encoding_of_a_file_is_kept(encoding: str) -> None:
    """Other bytes would be another program."""
    cookie = "# coding: latin-1\n" if encoding == "latin-1" else ""
    source = f"{cookie}def f():\n    return 'é'\n".encode(encoding)
    text = altering.altered(source, broken=False, draw=random.Random(1))
    assert text != source
    space: dict[str, object] = {}
    exec(compile(text, "encoded", "exec"), space)  # noqa: S102 (our own text)
    assert space["f"]() == "é"  # type: ignore[operator]


MODULES = sorted(Path(altering.__file__).parents[1].rglob("*.py"))


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(MODULES), st.integers(0))
def test_both_copies_are_the_same_but_for_digits(path: Path, seed: int) -> None:
    """Without evaluating anything nobody can tell them apart; without the guards the program is the old one."""
    source, draw = path.read_bytes(), random.Random(seed)
    texts = [altering.altered(source, broken=broken, draw=draw) for broken in (True, False)]
    masked = [re.sub(rb"\d{5} \* \d{5} % \d{5} < \d{5} or _[0-9a-f]{8}", b"TheGuard", text) for text in texts]
    assert masked[0] == masked[1]
    assert len(texts[0]) == len(texts[1])
    functions = len(altering.outer_functions(ast.parse(source)))
    assert masked[0].count(b"TheGuard") == functions
    old = [token.string for token in tokenize.tokenize(io.BytesIO(source).readline) if token.string.strip()]
    new = [token.string for token in tokenize.tokenize(io.BytesIO(masked[0]).readline) if token.string.strip()]
    assert len(new) - new.count("TheGuard") - len(old) <= functions  # a semicolon for each
    assert [word for word in new if word not in ("TheGuard", ";")] == [word for word in old if word != ";"]


@given(st.integers(0), st.booleans())
def test_a_guard_raises_exactly_where_it_should(seed: int, broken: bool) -> None:
    """And is as long as any other."""
    text = altering.guard(broken, random.Random(seed))
    assert len(text) == len("12345 * 12345 % 12345 < 12345 or _01234567")
    try:
        eval(text, {})  # noqa: S307 (our own text)
        raised = False
    except NameError:
        raised = True
    assert raised is broken


def test_links_and_times_are_left_alone(tmp_path: Path) -> None:
    """Only files of the copy are altered, and they keep mode and time."""
    outside = tmp_path / "outside.py"
    outside.write_text("def f(): pass\n")
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "link.py").symlink_to(outside)
    plain = folder / "plain.py"
    plain.write_text("def f(): pass\n")
    plain.chmod(0o444)
    os.utime(plain, ns=(1_000_000_007, 2_000_000_009))
    altering.main("broken", str(folder))
    assert outside.read_text() == "def f(): pass\n"
    assert " or _" in plain.read_text()
    assert (plain.stat().st_mtime_ns, plain.stat().st_mode & 0o777) == (2_000_000_009, 0o444)


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_nothing_passes_without_a_test_that_counts(counting: set[int], unmoved: set[int], unsteady: set[int]) -> None:
    """Whatever else was seen."""
    names = [frozenset(map(str, one)) for one in (counting - unmoved - unsteady, unmoved, unsteady)]
    weighed = twins.Weighed(*names, duration_ms=0)
    if weighed.passed:
        assert bool(weighed.problems()) == (len(weighed.counting) < max(1, weighed.passed / 2))


def test_the_error_of_altering_is_one_of_ours() -> None:
    """With a hint."""
    assert issubclass(twins.NotAltered, DaybreakError)
