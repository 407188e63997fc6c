"""What a project is written in, and which checks that means on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.factory.validate import languages, planning, protecting
from daybreak.factory.validate.languages import detect
from daybreak.factory.validate.planned import Plan
from daybreak.factory.validate.surroundings import Surroundings
from daybreak.settings import SettingsWrong, Validate, checked

PYTHON = {
    "pyproject.toml": "[project]\nname='x'\n[tool.ruff]\n[tool.mypy]\n",
    "x/__init__.py": "",
    "tests/test_x.py": "",
}


def plan(folder: Path, files: Mapping[str, str], settings: Validate | None = None, path: str = "") -> Plan:
    project = folder / "project"
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    around = Surroundings.of(project, {"PATH": path, "HOME": str(folder)})
    return planning.make(project, sorted(files), settings or Validate(), around)


def programs(folder: Path, *names: str) -> str:
    """A folder with programs of these names, as PATH."""
    at = folder / "programs"
    at.mkdir()
    for name in names:
        (at / name).write_text("#!/bin/sh\n")
        (at / name).chmod(0o755)
    return str(at)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["pyproject.toml", "src/x/a.py", "docs/conf.py"], ("python",)),
        (["setup.py", "x.py"], ("python",)),
        (["package.json", "src/a.ts", "tsconfig.json"], ("javascript",)),
        (["go.mod", "main.go"], ("go",)),
        (["Cargo.toml", "src/main.rs"], ("rust",)),
        (["pom.xml", "src/main/java/A.java"], ("java",)),
        (["build.gradle.kts", "src/main/java/A.java"], ("java",)),
        (["Makefile", "main.c"], ("generic",)),
        ([], ("generic",)),
        (["a.py", "b.py", "c.js"], ("python",)),
        (["package.json", "a.js", "pyproject.toml", "x.py", "y.py"], ("python", "javascript")),
        (["pyproject.toml", "x.py", "static/app.js", "node_modules/y/index.js"], ("python",)),
        (["package.json"], ("javascript",)),
    ],
)
def test_a_project_is_known_by_its_files(files: list[str], found: tuple[str, ...]) -> None:
    """The project file at the top decides; without one the language with most files."""
    # shows: P7
    assert detect(files).languages == found


@settings(deadline=None)
@given(st.lists(st.text(st.characters(blacklist_characters="\0"), min_size=1), max_size=20))
def test_no_list_of_names_is_too_strange(paths: list[str]) -> None:
    """Something is always detected, and what is wanted is what is found."""
    # shows: P8
    assert detect(paths).languages
    assert detect(paths, ("go", "go")).languages == ("go",)
    for name in ("python", "generic"):
        assert set(languages.sources(paths, name)) <= set(paths)  # type: ignore[arg-type]


def test_python_is_checked_as_it_wants_to_be(tmp_path: Path) -> None:
    """What the project configures must find nothing; a formatter that it does not name is not forced on it."""
    # shows: P7, P5
    made = plan(tmp_path, PYTHON)
    needs = {one.kind: one.threshold for one in made.checks}
    assert needs["lint"] == needs["types"] == needs["format"] == 100
    assert made.fixers == ("ruff", "ruff-format")
    assert not any(one.missing for one in made.checks)
    plain = plan(tmp_path / "plain", {"setup.py": "", "x.py": "", "tests/test_x.py": "", "helper.js": ""})
    assert {one.kind: one.threshold for one in plain.checks}["lint"] == 85
    assert "format" not in {one.kind for one in plain.checks}
    assert plain.fixers == ("ruff",)
    assert "1 javascript files are not looked at" in plain.notes[0]


def test_an_own_environment_is_used_and_what_it_lacks_is_said(tmp_path: Path) -> None:
    """A .venv without pytest makes the tests unusable, with the command that mends it."""
    # shows: P7
    venv = tmp_path / "project" / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("")
    (venv / "bin" / "python").symlink_to("/usr/bin/env")
    packages = venv / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    lacking = plan(tmp_path, PYTHON).check("tests:python")
    assert lacking.missing == "pytest is not installed for the Python of .venv"
    assert lacking.hint.endswith(".venv/bin/python -m pip install pytest")
    (packages / "pytest").mkdir()
    assert not plan(tmp_path, PYTHON).check("tests:python").missing
    assert "Python runs as the Python of .venv" in plan(tmp_path, PYTHON).notes


def test_every_other_language_has_its_tools_and_hints(tmp_path: Path) -> None:
    """Without a tool its checks say what to install; with it they say what they run."""
    # shows: P7
    go = {"go.mod": "", "main.go": "", "main_test.go": ""}
    assert "go is not installed" in plan(tmp_path / "a", go).check("tests:go").missing
    assert plan(tmp_path / "a", go).check("tests:go").hint
    found = plan(tmp_path / "b", go, path=programs(tmp_path, "go", "gofmt", "cargo", "mvn", "node", "npm"))
    assert {one.kind for one in found.checks} == {"tests", "coverage", "build", "lint", "format", "documentation"}
    assert found.fixers == ("gofmt",)
    path = str(tmp_path / "programs")
    rust = plan(tmp_path / "c", {"Cargo.toml": "", "src/lib.rs": ""}, path=path)
    assert rust.check("tests:rust").command.startswith("cargo test --offline")
    assert rust.check("format:rust").missing == "rustfmt is not installed"
    java = plan(tmp_path / "d", {"pom.xml": "", "src/main/java/A.java": ""}, path=path)
    assert "mvn --offline" in java.check("tests:java").command
    package = {"scripts": {"test": "jest"}, "devDependencies": {"jest": "1"}, "prettier": {}}
    files = {"package.json": json.dumps(package), "a.js": "", "tsconfig.json": "{}", "eslint.config.js": ""}
    script = plan(tmp_path / "e", files, path=path)
    assert script.check("tests:javascript").missing == "node_modules is not there"
    assert script.check("types:javascript").hint == "npm install --save-dev typescript"
    tools = tmp_path / "f" / "project" / "node_modules" / ".bin"
    tools.mkdir(parents=True)
    for name in ("jest", "tsc", "eslint", "prettier"):
        (tools / name).write_text("")
    there = plan(tmp_path / "f", files, path=path)
    assert not any(one.missing for one in there.checks)
    assert there.fixers == ("eslint", "prettier")
    without = plan(tmp_path / "g", {"package.json": "{}", "a.js": ""}, path=path)
    assert without.check("tests:javascript").command == "node --test"


def test_settings_name_commands_and_leave_out(tmp_path: Path) -> None:
    """A project of any language is looked at with the commands that it names; nothing is left out in silence."""
    # shows: P7
    told = Validate(
        commands={"tests": "make test", "lint": "make lint"},
        fixers=("make tidy",),
        not_required=("lint",),
        thresholds={"lint": 50},
        weights={"tests": 7},
    )
    made = plan(tmp_path, {"Makefile": "", "main.c": ""}, told)
    assert [one.name for one in made.checks] == ["tests:generic", "lint:generic", "documentation:generic"]
    assert (made.checks[0].weight, made.checks[1].threshold, made.checks[1].required) == (7, 50, False)
    assert made.fixers == ("command: make tidy",)
    skipped = plan(tmp_path / "skip", PYTHON, Validate(skip=("types", "security:python")))
    assert not {"types", "security"} & {one.kind for one in skipped.checks}
    assert any("types:python is skipped" in note for note in skipped.notes)
    nothing = plan(tmp_path / "nothing", {"main.c": ""})
    assert any("name commands in [validate]" in note for note in nothing.notes)
    code = planning.code(["a.py", "tests/data/bad.py"], skipped, Validate(exclude=("tests/data/**",)))
    assert code == ["a.py"]


def test_each_language_of_a_project_has_its_own_commands(tmp_path: Path) -> None:
    """A table of a language counts for it alone; what has no language is for the one with most files, and gives way to
    a table; what is for a language that is not there is said."""
    # shows: P7, P8
    both = {**PYTHON, "package.json": '{"scripts": {"test": "jest"}}', "web/a.js": "", "web/a.test.js": ""}
    told = Validate(
        commands={
            "tests": "make python",
            "lint": "make lint",
            "javascript": {"tests": "make web", "build": "make bundle"},
            "python": {"lint": "make strict"},
            "rust": {"tests": "cargo nextest run"},
        }
    )
    made = plan(tmp_path, both, told)
    commands = {one.name: one.command for one in made.checks}
    assert made.languages[0] == "python"
    assert (commands["tests:python"], commands["lint:python"]) == ("make python", "make strict")
    assert (commands["tests:javascript"], commands["build:javascript"]) == ("make web", "make bundle")
    assert commands["syntax:javascript"] == "parse every file"
    assert not any(name.endswith(":rust") for name in commands)
    assert any("the commands for rust are not run" in note for note in made.notes)
    again = Validate.model_validate(told.model_dump(mode="json"))
    assert again == told
    generic = plan(tmp_path / "c", {"main.c": ""}, Validate(commands={"generic": {"tests": "make test"}}))
    assert [one.name for one in generic.checks if one.kind == "tests"] == ["tests:generic"]
    assert not any("name commands in [validate]" in note for note in generic.notes)
    read = checked({"validate": {"commands": {"go": {"tests": "make"}, "tests": "x"}}}, Path("/x/daybreak.toml"))
    assert read.validation.commands_for("go", first=False) == {"tests": "make"}
    assert read.validation.commands_for("rust", first=False) == {}


def test_hostile_project_files_are_read_as_nothing(tmp_path: Path) -> None:
    """Broken, odd and deep configuration changes no plan."""
    # shows: P8
    odd = {"pyproject.toml": "[[[", "setup.cfg": "]]]", "package.json": "[" * 5000, "x.py": "", "y.js": ""}
    assert plan(tmp_path, odd).languages == ("python", "javascript")
    assert plan(tmp_path / "b", {"package.json": '{"scripts": null}', "y.js": ""}).check("tests:javascript")
    link = tmp_path / "c" / "project"
    link.mkdir(parents=True)
    (link / "pyproject.toml").symlink_to("/dev/zero")
    (link / "x.py").write_text("")
    around = Surroundings.of(link, {})
    assert planning.make(link, ["pyproject.toml", "x.py"], Validate(), around).languages == ("python",)


def test_tests_that_no_command_names_are_protected_too(tmp_path: Path) -> None:
    """A project that names a few of its tests to be run has not given the others away."""
    # shows: P7, V4
    files = {
        **PYTHON,
        "tests/test_y.py": "",
        "tests/desk.py": "",
        "web/a.test.ts": "",
        "go/a_test.go": "",
        "x/a.py": "",
    }
    told = Validate(commands={"tests": "python -m pytest -q tests/test_x.py"}, allow=("tests/test_new.py",))
    guard = protecting.guard(plan(tmp_path, files, told), told, sorted(files))
    held = {path for path in (*files, "tests/test_new.py") if guard.holds(path)}
    assert held == {"tests/test_x.py", "tests/test_y.py", "tests/desk.py", "web/a.test.ts", "go/a_test.go"}


def test_settings_that_make_no_sense_are_told_by_name() -> None:
    """Unknown checks, absolute patterns and misspelt keys are errors that name the nearest known word."""
    # shows: P8
    for told, words in (
        ({"skip": ["typs"]}, "did you mean types?"),
        ({"not_required": ["tests:cobol"]}, "there is no check 'tests:cobol'"),
        ({"exclude": ["/etc/**"]}, "begins with /"),
        ({"comands": {}}, "did you mean commands?"),
        ({"commands": {"tests": "a\0b"}}, "zero character"),
        ({"commands": {"go": {"tests": "a\0b"}}}, "zero character"),
        ({"commands": {"javscript": {"tests": "make"}}}, "there is no language 'javscript'; did you mean javascript?"),
        ({"commands": {"typs": "make"}}, "there is no kind of check 'typs'; did you mean types?"),
        ({"commands": {"go": "make"}}, "go is a language: write [validate.commands.go]"),
        ({"commands": {"go": {"lnt": "make"}}}, "go: there is no kind of check 'lnt'; did you mean lint?"),
        ({"commands": {"tests": {"go": "make"}}}, "tests is a kind of check, and holds the text of a command"),
        ({"commands": {"rust": {"tests": 3}}}, "rust.tests holds the text of a command"),
        ({"threshold": 101}, "threshold"),
    ):
        with pytest.raises(SettingsWrong) as wrong:
            checked({"validate": told}, Path("/x/daybreak.toml"))
        assert words in wrong.value.message


def test_what_is_granted_is_never_a_home_folder(tmp_path: Path) -> None:
    """Of folders that hold more than programs only the programs are read; keys of registries are in none of them."""
    # shows: P7, S2
    home = tmp_path / "home"
    for folder in (".cargo/bin", ".cargo/registry", ".rustup/toolchains", ".local/bin", "tools/go/bin"):
        (home / folder).mkdir(parents=True)
    (home / ".cargo" / "credentials.toml").write_text("secret")
    for name in (".cargo/bin/cargo", ".local/bin/node", "tools/go/bin/go"):
        (home / name).write_text("#!/bin/sh\n")
        (home / name).chmod(0o755)
    path = os.pathsep.join(str(home / one) for one in (".cargo/bin", ".local/bin", "tools/go/bin"))
    around = Surroundings.of(tmp_path, {"PATH": path, "HOME": str(home)})
    granted = around.toolchain("cargo", "node", "go") + list(around.caches("rust").values())
    assert home / "tools" / "go" in granted
    for secret in (home, home / ".cargo" / "credentials.toml", home / ".local" / "share"):
        assert not any(secret.is_relative_to(one) for one in granted), secret
