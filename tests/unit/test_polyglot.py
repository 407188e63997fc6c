"""Builds of other languages than Python: judged by their own language's checks, with the same gates and weights."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.build_desk import SPECIFICATION, Desk

from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.events import AttemptBegan, CheckLooked, GateDecided
from daybreak.factory import idle, installing, looking, polyglot, task, toolbox
from daybreak.factory.brief import constraints
from daybreak.factory.polyglot import Bench
from daybreak.factory.toolbox import LanguageUnknown, Toolbox
from daybreak.settings import Gate, Settings, Validate

REAL = looking.Result
JAVASCRIPT = SPECIFICATION.replace("complexity: simple", "complexity: simple\nlanguage: javascript").replace(
    "attempts: 3", "attempts: 5"
)
PROGRAM = {
    "package.json": '{"name": "notes", "type": "module", "bin": {"notes": "bin/notes.js"}}\n',
    "README.md": "# notes\n\nShort texts that stay, one number each.\n",
    "bin/notes.js": '#!/usr/bin/env node\nimport { said } from "../lib/notes.js";\n'
    "console.log(said(process.argv.slice(2)));\n",
    "lib/notes.js": "export function said(words) {\n"
    '  if (words[0] !== "note" || words[1] !== "add") throw new Error(`no command ${words}`);\n'
    "  return `added note ${1}`;\n}\n",
    "Containerfile": 'FROM node:22\nCOPY . /app\nUSER node\nENTRYPOINT ["node", "/app/bin/notes.js"]\n',
    ".gitlab-ci.yml": "test:\n  image: node:22\n  script: [node --test]\n",
}  # fmt: skip
HEAD = 'import assert from "node:assert";\nimport test from "node:test";\nimport { said } from "../lib/notes.js";\n\n'
RIGHT = HEAD + 'test("adds", () => assert.equal(said(["note", "add", "--text", "x"]), "added note 1"));\n'
RIGHT += 'test("refuses", () => assert.throws(() => said(["note", "fly"]), /no command/));\n'
WRONG = RIGHT.replace('"added note 1"', '"added note 7"')
LAZY = HEAD + 'test("is there", () => assert.equal(typeof said, "function"));\ntest("true", () => assert.ok(true));\n'


def puts(files: dict[str, str]) -> Any:
    def work(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    return work


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path, monkeypatch)
    monkeypatch.setattr(looking, "Result", REAL)
    desk.settings = desk.office.settings = Settings(gate=Gate(gain=0))
    return desk


@pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed here")
def test_a_javascript_build_is_judged_by_javascripts_own_checks(desk: Desk) -> None:
    """No tests, wrong tests, tests that pass without the program: each fails the gate, with its own words; right ones
    pass it. What nobody can look at has a row without weight, and nothing of Python's is asked for."""
    # shows: P1, P4, P5, V2
    tests = "test/notes.test.js"
    desk.works = [puts(PROGRAM), puts({}), puts({tests: WRONG}), puts({tests: LAZY}), puts({tests: RIGHT})]
    run = desk.submit("json:coder", text=JAVASCRIPT)
    ended = desk.supervise(run)
    for one in desk.events(run, CheckLooked):
        print(one.attempt, one.evidence["check"], one.evidence["outcome"], one.evidence["summary"])
    for one in desk.events(run, GateDecided):
        print(one.phase, one.verdict, one.score, one.reasons)
    assert ended.state == "done", ended.why
    assert [one.role for one in desk.events(run, AttemptBegan)] == ["implementer"] * 2 + ["tester"] * 3
    assert any("JavaScript" in told or "javascript" in told for told in desk.briefs[0].constraints)
    seen = {(one.attempt, one.evidence["check"]): one.evidence for one in desk.events(run, CheckLooked)}
    told = [seen[number, "tests:javascript"] for number in (1, 3, 4, 5)]
    assert [one["outcome"] for one in told] == ["failed", "failed", "failed", "passed"]
    assert "no test" in told[0]["summary"]
    assert told[1]["counts"]["failed"] == 1
    assert "2 of 2 tests also pass on a program that does nothing" in told[2]["summary"]
    assert (told[3]["counts"]["tests"], told[3]["counts"]["counting"]) == (2, 2)
    of_last = {check: one for (number, check), one in seen.items() if number == 5}
    assert not {"tests", "lint", "types", "syntax", "security", "complexity"} & set(of_last)
    silent = {check for check, one in of_last.items() if one["outcome"] == "unusable"}
    assert silent == {f"{kind}:javascript" for kind in ("types", "lint", "security", "complexity", "coverage")}
    table = {row["kind"]: row for row in desk.events(run, GateDecided)[-1].table}
    assert table["tests"]["weight"] / table["example"]["weight"] == pytest.approx(20 / 50)
    assert (table["security"]["weight"], table["security"]["unseen"]) == (0, ["security:javascript"])
    assert desk.events(run, GateDecided)[-1].score == 100
    assert (desk.output / "bin/notes.js").exists()


def test_a_language_is_refused_before_work_starts_where_nobody_writes_or_tests_it(desk: Desk) -> None:
    """The embedded builder alone writes no Go; nobody knows how COBOL is tested, until a command says it."""
    # shows: F3, P8
    for text in (JAVASCRIPT, JAVASCRIPT.replace("language: javascript", "language: go")):
        with pytest.raises(task.NobodyWrites, match="Python only"):
            desk.asked_for("builder", text=text)
    cobol = JAVASCRIPT.replace("language: javascript", "language: cobol")
    with pytest.raises(LanguageUnknown, match="cobol"):
        desk.asked_for("json:coder", text=cobol)
    desk.settings = Settings(validate=Validate(commands={"tests": "make test"}))
    asked = desk.asked_for("json:coder", text=cobol)
    assert asked.tools is not None
    assert any("cobol" in told for told in constraints(asked.spec))


def surveyed(folder: Path, files: dict[str, str], wanted: Any, path: str = "", **told: Any) -> toolbox.Survey:
    puts(files)(folder)
    tools = Toolbox.of(folder, Validate(**told), {"PATH": path, "HOME": "/nonexistent"})
    kinds = ("structure", "syntax", "install", "lint", "types", "tests", "security", "complexity", "example")
    return toolbox.survey(folder, sorted(files), wanted=wanted, kinds=kinds, tools=tools, coverage=85, mutated=True)


def test_a_mixed_result_has_rows_for_each_language(tmp_path: Path) -> None:
    """Beside wanted Python, whose checks are the builder's, JavaScript with tests brings its own; Python beside wanted
    JavaScript is held to what `daybreak validate` asks of it, and to nothing that only our own layout has."""
    # shows: P7
    python = {"pyproject.toml": "", "src/x/__init__.py": "", "src/x/a.py": "", "tests/test_a.py": ""}
    both = {**python, "package.json": "{}", "web/a.js": "", "web/a.test.js": ""}
    assert surveyed(tmp_path / "a", python, "python") == toolbox.ONLY_PYTHON
    found = surveyed(tmp_path / "b", both, "python")
    assert {one.name for one in found.checks} == {"tests:javascript", "syntax:javascript"}
    assert found.python
    found = surveyed(tmp_path / "c", both, "javascript")
    assert found.languages == ("javascript", "python")
    assert {"tests:python", "lint:python", "types:python", "tests:javascript"} <= {one.name for one in found.checks}
    assert {"mutation:python", "mutation:javascript"} <= found.spared
    [untested] = surveyed(tmp_path / "f", {"main.c": ""}, "generic").checks
    assert (untested.name, untested.required) == ("tests:generic", True)
    assert "nobody here knows" in untested.missing
    commanded = surveyed(tmp_path / "g", {"main.c": ""}, "generic", commands={"tests": "make test"})
    assert [one.command for one in commanded.checks] == ["make test"]
    told = {"tests": "make test", "javascript": {"tests": "npx jest"}}
    named = surveyed(tmp_path / "h", {"package.json": "{}", "a.js": "", "a.test.js": ""}, "javascript", commands=told)
    assert named.checks[0].command == "npx jest", "and not the command of the project in the user's folder"
    hidden = surveyed(tmp_path / "d", {"a.js": "", "x.py": ""}, "javascript")
    assert "tests:javascript" in hidden.names(["tests"]), "leaving out package.json does not leave out its checks"
    assert surveyed(tmp_path / "e", {"package.json": "{}", "a.js": ""}, "python").languages == ("python", "javascript")


def test_a_missing_tool_fails_the_gate_until_it_need_not_be_there(tmp_path: Path) -> None:
    """Builds and `daybreak validate` have one rule: what is needed and not there fails, loudly; `not_required` spares
    it, and then its row has no weight. Never full marks."""
    # shows: P5, P7
    go = {"go.mod": "module x\n", "main.go": "package main\n", "main_test.go": "package main\n"}
    found = surveyed(tmp_path / "a", go, "go")
    tests = next(one for one in found.checks if one.name == "tests:go")
    assert "go is not installed" in tests.missing
    assert {"coverage:go", "build:go", "format:go", "lint:go"} <= set(found.names(["tests", "syntax", "lint"]))
    assert next(one for one in found.checks if one.kind == "coverage").threshold == 85
    assert "base:go" in found.spared
    assert "tests:go" not in found.spared

    def seen(check: str, outcome: Any) -> Evidence:
        counts = {"tests": 3.0} if outcome == "passed" else {}
        return Evidence(check=check, workspace="a" * 64, outcome=outcome, summary="as it is", counts=counts)

    evidence = [seen("example:1", "passed"), seen("tests:go", "unusable"), seen("lint:go", "unusable")]
    names = [one.check for one in evidence]
    strict = gate.decide(evidence, required=names, vetoes=(), threshold=0)
    assert strict.verdict == "failed"
    assert [reason.partition(" could not look")[0] for reason in strict.reasons] == ["tests:go", "lint:go"]
    spared = gate.decide(evidence, required=names, threshold=100, spared=("tests:go", "lint:go"))
    assert (spared.verdict, spared.score) == ("passed", 100)
    assert {row.kind: (row.weight, row.points) for row in spared.table}["tests"] == (0, 0)
    failing = gate.decide([evidence[0], seen("tests:go", "failed")], required=names[:2], spared=("tests:go",))
    assert failing.verdict == "failed", "only being unable to look is spared"
    mutated = [seen("tests", "passed"), seen("mutation", "unusable")]
    assert gate.decide(mutated, required=["tests", "mutation"], threshold=70).verdict == "passed", "a busy machine"
    tools = Toolbox.of(tmp_path, Validate(not_required=("lint:python", "types")), {})
    assert toolbox.spared(["lint", "types", "types:go", "tests", "lint:go"], tools) == {"lint", "types", "types:go"}
    told = surveyed(tmp_path / "b", go, "go", not_required=("tests:go", "coverage"))
    assert {"tests:go", "coverage:go"} <= told.spared


@pytest.mark.parametrize(
    ("path", "text", "there", "gone"),
    [
        (
            "a.js",
            "exports.one = 1;\nmodule.exports = { two, three: 3 };\n",
            ("one, two, three", "module.exports"),
            "= 1",
        ),
        ("a.mjs", "export async function one() {}\nexport { two as other };\n", ("as one", "as other"), "async"),
        ("a.js", "#!/usr/bin/env node\nimport x from 'y';\nx();\n", ("#!/usr/bin/env node\n", "export default"), "x()"),
        ("a.ts", "export const one: number = 1;\n", ("as one", "export default"), "number"),
        ("a.mjs", "export function" + " " * 300_000, ("export default",), "export function"),
        ("a.js", "\0\ud800" * 10, ("module.exports = nothing",), "\0"),
    ],
)
def test_a_module_that_does_nothing_has_the_same_names(path: str, text: str, there: tuple[str, ...], gone: str) -> None:
    """What imports it still can, and gets nothing."""
    # shows: V2
    made = idle.emptied(path, text, modules=False)
    assert all(one in made for one in there), made
    assert gone not in made


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    def make(files: dict[str, str], wanted: Any = "javascript") -> tuple[Bench, toolbox.Survey]:
        folder = (tmp_path / "result").resolve()
        tools = Toolbox.of(tmp_path, Validate(), os.environ)
        puts(files)(folder)
        (tmp_path / "scratch").mkdir()
        survey = toolbox.survey(folder, sorted(files), wanted=wanted, kinds=("tests",), tools=tools, coverage=0)
        scratch = (tmp_path / "scratch").resolve()
        return Bench(folder, tuple(sorted(files)), "a" * 64, scratch, tools, "none", threading.Event()), survey

    return make


@pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed here")
def test_a_test_script_that_only_says_so_proves_nothing(bench: Any) -> None:
    """A runner that prints what we read and ends with 0 says the same of a program that does nothing."""
    # shows: V2, V4
    forged = '{"scripts": {"test": "printf \'ok 1 - sells\\\\n# pass 12\\\\n# fail 0\\\\n\'"}}'
    made, survey = bench({"package.json": forged, "a.js": "", "a.test.js": ""})
    [seen] = polyglot.look(survey.checks[0], made, survey)
    assert seen.outcome == "failed"
    assert "prove nothing" in seen.summary
    assert seen.counts["counting"] == 0


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"package.json": "["}, "is no JSON"),
        ({"package.json": "[]"}, "is no JSON object"),
        ({"package.json": '{"bin": {"notes": "../../etc/passwd"}}'}, "which is no file of it"),
        ({"package.json": '{"bin": {"notes": "/bin/sh"}}'}, "which is no file of it"),
        ({"package.json": '{"bin": {"notes": "gone.js"}}'}, "which is no file of it"),
        ({"package.json": '{"bin": {"other": "a.js"}}', "a.js": ""}, "executable file bin/notes"),
        ({"package.json": '{"name": "other", "bin": "a.js"}', "a.js": ""}, "executable file bin/notes"),
        ({"a.js": ""}, "there is no package.json"),
    ],
)
def test_a_command_that_cannot_be_made_is_said(bench: Any, files: dict[str, str], why: str) -> None:
    """Names that lead out of the result lead nowhere."""
    # shows: P8, N9
    if shutil.which("node") is None:
        pytest.skip("node is not installed here")
    made, _ = bench(files)
    seen, product = installing.look(made, name="notes", language="javascript")
    assert product is None
    assert seen.outcome == "failed"
    assert why in seen.summary


def test_any_language_can_bring_an_executable_file(bench: Any) -> None:
    """`bin/NAME` is the command; one that may not be executed is none; without node nothing is known of JavaScript."""
    # shows: F5, P7
    made, _ = bench(
        {"bin/notes": "#!/bin/sh\necho hello\n", "test.sh": "", "package.json": '{"bin": "a.js"}'}, "generic"
    )
    assert installing.look(made, name="notes", language="generic")[0].outcome == "failed"
    (made.tree / "bin/notes").chmod(0o755)
    seen, product = installing.look(made, name="notes", language="generic")
    assert seen.outcome == "passed"
    assert product is not None
    assert (product.bin / "notes").is_file()
    nothing = Toolbox.of(made.tree, Validate(), {"PATH": "/nonexistent", "HOME": "/nonexistent"})
    seen, product = installing.look(replace(made, tools=nothing), name="notes", language="javascript")
    assert (seen.outcome, product) == ("unusable", None)
    assert "node is not installed" in seen.summary
