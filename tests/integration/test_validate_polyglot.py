"""Projects in several languages: each is looked at with its own tools and mended; what is not installed is said."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daybreak import events
from daybreak.settings import Validate

UNIT = Path(__file__).parent.parent / "unit"


def _module(name: str, folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


scene = _module("validate_desk", UNIT)


@dataclass(frozen=True)
class Part:
    """What one language adds to a project: a price, which must be net times pieces, and a test of it."""

    programs: tuple[str, ...]
    """Without these nothing can be looked at."""
    files: Mapping[str, str]
    victim: str
    """The file with the price."""
    right: str
    wrong: str
    """The same text, adding up instead; it compiles."""
    ugly: tuple[str, str] = ("", "")
    """A text of that file, and how no formatter would write it; empty where the language has no formatter here."""
    formatter: str = ""
    """The program that mends that."""
    kinds: frozenset[str] = frozenset({"tests"})

    @property
    def missing(self) -> list[str]:
        return [name for name in self.programs if shutil.which(name) is None]


PARTS = {
    "python": Part(
        ("python3",),
        {
            "pyproject.toml": '[project]\nname = "price"\nversion = "1"\n\n'
            '[tool.pytest.ini_options]\npythonpath = ["."]\n\n[tool.ruff]\n',
            "price.py": "def price(net, pieces):\n    return net * pieces\n",
            "tests/test_price.py": "import price\n\n\ndef test_price():\n    assert price.price(3, 4) == 12\n",
        },
        *("price.py", "net * pieces", "net + pieces"),
        *(("(net, pieces)", "(net,pieces)"), "python3", frozenset({"tests", "format"})),
    ),
    "javascript": Part(
        ("node", "npm"),
        {
            "package.json": '{"name": "price", "scripts": {"test": "node --test"}}\n',
            "price.js": "module.exports = (net, pieces) => net * pieces;\n",
            "price.test.js": "const test = require('node:test');\nconst assert = require('node:assert');\n\n"
            "test('price', () => assert.equal(require('./price.js')(3, 4), 12));\n",
        },
        *("price.js", "net * pieces", "net + pieces"),
        kinds=frozenset({"tests", "syntax"}),
    ),
    "go": Part(
        ("go", "gofmt"),
        {
            "go.mod": "module example.org/price\n\ngo 1.20\n",
            "price.go": "package price\n\n// Price of that many.\n"
            "func Price(net, pieces int) int {\n\treturn net * pieces\n}\n",
            "price_test.go": 'package price\n\nimport "testing"\n\nfunc TestPrice(t *testing.T) {\n'
            '\tif Price(3, 4) != 12 {\n\t\tt.Fatal("wrong")\n\t}\n}\n',
        },
        *("price.go", "net * pieces", "net + pieces"),
        *(("\treturn", "  return"), "gofmt", frozenset({"tests", "coverage", "build", "lint", "format"})),
    ),
    "rust": Part(
        ("cargo", "rustc"),
        {
            "Cargo.toml": '[package]\nname = "price"\nversion = "0.1.0"\nedition = "2021"\n',
            "src/lib.rs": "pub fn price(net: u32, pieces: u32) -> u32 {\n    net * pieces\n}\n",
            "tests/price.rs": "#[test]\nfn twelve() {\n    assert_eq!(price::price(3, 4), 12);\n}\n",
        },
        *("src/lib.rs", "net * pieces", "net + pieces"),
        *(("    net", "  net"), "rustfmt", frozenset({"tests", "lint", "format"})),
    ),
    "java": Part(
        ("javac", "java"),
        {
            "pom.xml": "<project/>\n",
            "src/main/java/Price.java": "class Price {\n    static int of(int net, int pieces) {\n"
            "        return net * pieces;\n    }\n}\n",
            "src/test/java/PriceTest.java": "class PriceTest {\n    public static void main(String[] words) {\n"
            '        if (Price.of(3, 4) != 12) throw new AssertionError("wrong");\n'
            '        System.out.println("Tests run: 1, Failures: 0, Errors: 0, Skipped: 0");\n    }\n}\n',
        },
        *("src/main/java/Price.java", "net * pieces", "net + pieces"),
    ),
}
JAVA = 'mkdir -p "$TMPDIR/out" && javac -d "$TMPDIR/out" $(find src -name "*.java") && java -cp "$TMPDIR/out" PriceTest'
"""Maven's own plugins would have to be fetched; a command of the project needs none."""


def sample(*languages: str) -> dict[str, str]:
    files = {"README.md": "# Price\n\nThe same price in several languages, to be the same in all.\n"}
    for language in languages:
        files |= PARTS[language].files
    return files


def rows(desk: Any, run: str) -> dict[str, dict[str, Any]]:
    """Of the last gate, by check."""
    return {row["check"]: row for row in desk.gates(run)[-1]["rows"]}


def environment() -> dict[str, str]:
    """The user's: toolchains of Rust and Go lie below the home folder."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME") if name in os.environ}


def told(**more: Any) -> Validate:
    """Tests, format, build and what a language adds; a project of a few lines has no docstrings to speak of."""
    skip = ("types", "lint:python", "security", "complexity", "documentation", "coverage:python", "syntax:python")
    return Validate(skip=skip, **more)


def test_each_language_is_looked_at_and_what_is_not_installed_is_said_loudly(tmp_path: Path) -> None:
    """Python, JavaScript and Go side by side: rows for each; without its tools a language is `unusable`, with the
    command that installs them, and the gate does not pass until somebody says that it need not be looked at."""
    # shows: P7
    languages = ("python", "javascript", "go")
    missing = {language: PARTS[language].missing for language in languages if PARTS[language].missing}
    with scene.opened(tmp_path, sample(*languages)) as desk:
        seen = desk.run(validate=told(), environment=environment())
        found = rows(desk, seen.run)
        for language in languages:
            for kind in PARTS[language].kinds - {"coverage"}:
                row = found[f"{kind}:{language}"]
                if language in missing:
                    print(f"not looked at: {row['check']}: {row['summary']}")
                    assert row["outcome"] == "unusable", row
                    assert "is not installed" in row["summary"], row
                    assert row["check"] in seen.why
                else:
                    assert row["outcome"] == "passed", row
        assert (seen.state == "done") == (not missing), seen.why
        if missing:
            kinds = ("tests", "coverage", "build", "lint", "format", "syntax")
            spared = tuple(f"{kind}:{language}" for kind in kinds for language in missing)
            done = desk.run(validate=told(not_required=spared), environment=environment())
            assert done.state == "done", done.why
            assert set(done.value["languages"]) == set(languages), "and they stay in the table"


COSTLY = frozenset({"go", "rust", "java"})
"""Compiling takes seconds."""


@pytest.mark.parametrize(
    "language",
    [
        pytest.param(name, marks=[pytest.mark.chaos, pytest.mark.timeout(2400)] if name in COSTLY else [])
        for name in PARTS
        if name != "python"
    ],
)
def test_a_defect_in_one_language_beside_python_is_found_and_mended(tmp_path: Path, language: str) -> None:
    """A price that adds up instead: its test says so, in its language; the worker mends it, fixers the layout. The
    worker that changes the test instead is refused."""
    # shows: P7, V4
    part, python = PARTS[language], PARTS["python"]
    if part.missing:
        pytest.skip(f"{', '.join(part.missing)} is not installed here, so nothing is known about {language}")
    formatted = bool(part.formatter) and shutil.which(part.formatter) is not None
    files = sample("python", language)
    files[part.victim] = files[part.victim].replace(part.right, part.wrong)
    ugly = files[part.victim].replace(*part.ugly) if formatted else files[part.victim]
    commands = {} if language != "java" else {"tests": JAVA}
    languages = ("python", language) if language != "java" else ("java", "python")
    spared = () if formatted else (f"format:{language}",)
    settings = told(languages=languages, commands=commands, not_required=spared)
    [test] = [name for name in part.files if "test" in name.lower() and name != part.victim]
    mended = {part.victim: files[part.victim].replace(part.wrong, part.right)}
    cheat = scene.writes({test: files[test].replace("12", "7")})
    with scene.opened(tmp_path, {**files, part.victim: ugly}) as desk:
        done = desk.run(
            *(cheat, scene.writes(mended)),
            fix=True,
            workers=("json:one", "json:two", "json:tool"),
            validate=settings,
            environment=environment(),
        )
        assert done.state == "done", done.why
        assert done.value["attempts"] == 2
        first = {row["check"]: row["outcome"] for row in desk.gates(done.run)[0]["rows"]}
        assert (first["tests:python"], first[f"tests:{language}"]) == ("passed", "failed")
        if formatted:
            assert first[f"format:{language}"] == "failed"
        protected = [one.evidence for one in desk.events(done.run, events.CheckLooked) if one.attempt == 1]
        assert [(one["check"], one["outcome"]) for one in protected] == [("protected", "failed")]
        assert all(row["outcome"] == "passed" for row in rows(desk, done.run).values())
        [branch] = [name for name in desk.branches() if name != "main"]
        delivered = scene.git(desk.project, "show", f"{branch}:{part.victim}")
        assert delivered == PARTS[language].files[part.victim], "the right price, laid out as the formatter wants it"
        assert scene.git(desk.project, "show", f"{branch}:{python.victim}") == python.files[python.victim]
