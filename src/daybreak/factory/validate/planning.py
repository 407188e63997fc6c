"""Which checks a project is looked at with: by its languages, its own configuration, and what is installed here."""

from __future__ import annotations

import configparser
import json
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from daybreak.factory.repository import guard as repositoryguard
from daybreak.factory.validate import languages
from daybreak.factory.validate.planned import THRESHOLDS, WEIGHTS, How, Plan, Planned, Reading
from daybreak.factory.validate.surroundings import Surroundings
from daybreak.host.programs import Program
from daybreak.settings import CheckKind, ProjectLanguage, Validate

PYTEST = "python -m pytest -q"
_BYTES_MAX = 1024 * 1024
_NO_TEST_SCRIPT = "no test specified"
_ESLINT = ("eslint.config.js", "eslint.config.mjs", "eslint.config.cjs", "eslint.config.ts")
GO = Program("go", hints={"apt": "golang-go", "dnf": "golang", "brew": "go", "winget": "GoLang.Go"})
GOFMT = Program("gofmt", hints={"apt": "golang-go", "dnf": "golang", "brew": "go", "winget": "GoLang.Go"})
CARGO = Program("cargo", hints={"apt": "cargo", "dnf": "cargo", "brew": "rust", "winget": "Rustlang.Rustup"})
CLIPPY = Program("cargo-clippy", hints={"dnf": "clippy", "brew": "rust", "apt": "rust-clippy"})
RUSTFMT = Program("rustfmt", hints={"apt": "rustfmt", "dnf": "rustfmt", "brew": "rust"})
NODE = Program("node", hints={"apt": "nodejs", "dnf": "nodejs", "brew": "node", "winget": "OpenJS.NodeJS"})
NPM = Program("npm", hints={"apt": "npm", "dnf": "npm", "brew": "node", "winget": "OpenJS.NodeJS"})
MAVEN = Program("mvn", hints={"apt": "maven", "dnf": "maven", "brew": "maven"})
GRADLE = Program("gradle", hints={"apt": "gradle", "brew": "gradle"})
JAVAC = Program("javac", hints={"apt": "default-jdk", "dnf": "java-latest-openjdk-devel", "brew": "openjdk"})


def make(folder: Path, paths: Sequence[str], settings: Validate, around: Surroundings) -> Plan:
    """The plan for the project whose files are `paths` below `folder`. Reads configuration, runs nothing."""
    detected = languages.detect(paths, settings.languages)
    project = _Project(folder, tuple(paths), settings, around)
    found: list[Planned] = []
    for language in detected.languages:
        makers: dict[ProjectLanguage, Callable[[_Project], Iterator[Planned]]] = {
            "python": _python, "javascript": _javascript, "go": _go, "rust": _rust, "java": _java,
        }  # fmt: skip
        usual = list(makers.get(language, _nothing)(project))
        told = settings.commands_for(language, first=language == detected.languages[0])
        own = [project.own(kind, language, text) for kind, text in told.items()]
        replaced = {one.kind for one in own}
        if language != detected.languages[0] and not project.tested(language):
            replaced |= {"tests", "coverage"}  # a few files beside a project in another language
        found += own + [one for one in usual if one.kind not in replaced]
    if not any(one.kind == "documentation" for one in found):
        found.append(project.check("documentation", detected.languages[0], "documentation", "look for a README"))
    kept = tuple(_with_needs(one, settings) for one in found if not _named(one, settings.skip))
    notes = [*project.notes(detected), *(f"{one.name} is skipped, as {_OURS} says" for one in found if one not in kept
             and _named(one, settings.skip))]  # fmt: skip
    return Plan(
        languages=detected.languages,
        others=detected.others,
        checks=tuple(sorted(kept, key=lambda one: list(WEIGHTS).index(one.kind))),
        fixers=tuple(_fixers(project, detected.languages, kept)),
        notes=tuple(notes),
    )


_OURS = "[validate] in daybreak.toml"


def _named(one: Planned, names: Sequence[str]) -> bool:
    return one.kind in names or one.name in names


def _with_needs(one: Planned, settings: Validate) -> Planned:
    return one.model_copy(update={"required": False}) if _named(one, settings.not_required) else one


def _nothing(project: _Project) -> Iterator[Planned]:
    yield from ()


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a check cannot look here, and what mends that; empty where it can."""

    missing: str = ""
    hint: str = ""

    def __bool__(self) -> bool:
        return bool(self.missing)


NOTHING = Lack()


@dataclass(frozen=True)
class _Project:
    folder: Path
    paths: tuple[str, ...]
    settings: Validate
    around: Surroundings

    def check(
        self,
        kind: CheckKind,
        language: ProjectLanguage,
        how: How,
        command: str,
        *,
        configured: bool = False,
        reading: Reading = "",
        lack: Lack = NOTHING,
    ) -> Planned:
        """`configured`: the project itself says how it wants to be checked, so that it must be clean."""
        usual = 100.0 if configured else THRESHOLDS[kind]
        return Planned(
            name=f"{kind}:{language}",
            kind=kind,
            language=language,
            how=how,
            command=command,
            reading=reading,
            configured=configured,
            weight=self.settings.weights.get(kind, WEIGHTS[kind]),
            threshold=self.settings.thresholds.get(kind, usual),
            missing=lack.missing,
            hint=lack.hint,
        )

    def tested(self, language: ProjectLanguage) -> bool:
        """Does anything look like tests in that language?"""
        own = languages.sources(self.paths, language)
        script = str((self.package.get("scripts") or {}).get("test", _NO_TEST_SCRIPT))
        says = language == "javascript" and _NO_TEST_SCRIPT not in script
        return language == "rust" or says or any(map(languages.is_test, own))

    def own(self, kind: CheckKind, language: ProjectLanguage, text: str) -> Planned:
        """What the settings say instead of the usual check."""
        how: How = "pytest" if kind == "tests" and language == "python" else "command"
        reading: Reading = "any" if kind == "tests" else "findings"
        return self.check(kind, language, how, text, reading=reading, configured=True)

    def needs(self, program: Program) -> Lack:
        """What a check lacks that runs it."""
        path, hint = self.around.program(program)
        return NOTHING if path is not None else Lack(f"{program.name} is not installed", hint)

    def text(self, name: str) -> str:
        """Of a file at the top; empty where there is none, or none that is read."""
        path = self.folder / name
        if name not in self.paths or path.is_symlink() or not path.is_file() or path.stat().st_size > _BYTES_MAX:
            return ""
        return path.read_bytes().decode("utf-8", "replace")

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        try:
            tools = tomllib.loads(self.text("pyproject.toml")).get("tool", {})
        except (ValueError, RecursionError):
            return {}  # other checks say what is wrong with it
        return tools if isinstance(tools, dict) else {}

    @cached_property
    def setup(self) -> set[str]:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(self.text("setup.cfg"))
        except configparser.Error:
            return set()
        return set(parser.sections())

    @cached_property
    def package(self) -> dict[str, Any]:
        try:
            told = json.loads(self.text("package.json") or "{}")
        except (ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}

    def has(self, *names: str) -> bool:
        """Is one of these at the top?"""
        return any(name in self.paths for name in names)

    def notes(self, detected: languages.Detected) -> Iterator[str]:
        for name in detected.others:
            yield (
                f"{detected.files[name]} {name} files are not looked at: no project file of theirs is at the top "
                f'(`languages = ["{name}", ...]` in {_OURS} says otherwise)'
            )
        if "python" in detected.languages:
            yield f"Python runs as {self.around.python_words}"
        unused = [name for name, told in self.settings.commands.items() if isinstance(told, dict)]
        for unknown in sorted(set(unused) - set(detected.languages)):
            yield f"the commands for {unknown} are not run: nothing in {unknown} is looked at here"
        if detected.languages == (languages.GENERIC,) and not self.settings.commands_for(languages.GENERIC, first=True):
            yield f"no language that is known here: name commands in {_OURS}, such as tests = 'make test'"


# -- languages


def _python(project: _Project) -> Iterator[Planned]:
    around = project.around
    lack = NOTHING
    if not around.has_module("pytest"):
        lack = Lack(f"pytest is not installed for {around.python_words}", f"{around.python} -m pip install pytest")
    yield project.check("tests", "python", "pytest", PYTEST, lack=lack)
    yield project.check("coverage", "python", "beside", "lines that the tests run", lack=lack)
    mypy = "mypy" in project.pyproject or "mypy" in project.setup or project.has("mypy.ini", ".mypy.ini")
    yield project.check("types", "python", "mypy", "mypy", configured=mypy)
    ruff = "ruff" in project.pyproject or project.has("ruff.toml", ".ruff.toml")
    yield project.check("lint", "python", "ruff", "ruff check", configured=ruff)
    if ruff and not ({"black", "yapf", "autopep8"} & set(project.pyproject)):
        yield project.check("format", "python", "format", "ruff format --check", configured=True)
    yield project.check(
        "security", "python", "security", "bandit" if around.has_module("bandit") else "ruff --select S"
    )
    yield project.check("syntax", "python", "syntax", "compile every .py file")
    yield project.check("complexity", "python", "complexity", "ways through every function")
    yield project.check("documentation", "python", "documentation", "README and docstrings")


def _javascript(project: _Project) -> Iterator[Planned]:
    node = project.needs(NODE)
    script = str((project.package.get("scripts") or {}).get("test", ""))
    if script and _NO_TEST_SCRIPT not in script:
        needs = project.needs(NPM) or _modules(project)
        yield project.check("tests", "javascript", "command", "npm run --silent test", reading="node", lack=needs)
    else:
        yield project.check("tests", "javascript", "command", "node --test", reading="node", lack=node)
    yield project.check("syntax", "javascript", "node", "parse every file", lack=node)
    if project.has("tsconfig.json"):
        yield project.check(
            "types", "javascript", "command", "node_modules/.bin/tsc --noEmit --pretty false -p .",
            configured=True, reading="findings", lack=_local(project, "tsc", "typescript"),
        )  # fmt: skip
    if (
        project.has(*_ESLINT)
        or any(path.startswith(".eslintrc") for path in project.paths)
        or ("eslintConfig" in project.package)
    ):
        yield project.check(
            "lint", "javascript", "command", "node_modules/.bin/eslint --format json .",
            configured=True, reading="eslint", lack=_local(project, "eslint", "eslint"),
        )  # fmt: skip
    if "prettier" in project.package or any(
        path.startswith((".prettierrc", "prettier.config.")) for path in project.paths
    ):
        yield project.check(
            "format", "javascript", "command", "node_modules/.bin/prettier --list-different .",
            configured=True, reading="findings", lack=_local(project, "prettier", "prettier"),
        )  # fmt: skip


def _modules(project: _Project) -> Lack:
    wanted = project.package.get("dependencies") or project.package.get("devDependencies")
    if wanted and project.around.node_modules is None:
        return Lack("node_modules is not there", f"cd {project.around.folder} && npm ci")
    return NOTHING


def _local(project: _Project, name: str, package: str) -> Lack:
    if project.around.local(name) is not None:
        return project.needs(NODE)
    return Lack(f"{name} is not in node_modules", f"npm install --save-dev {package}")


def _go(project: _Project) -> Iterator[Planned]:
    go = project.needs(GO)
    yield project.check("tests", "go", "command", "go test -json -cover ./...", reading="go", lack=go)
    yield project.check("coverage", "go", "beside", "statements that the tests run", lack=go)
    yield project.check("build", "go", "command", "go build ./...", lack=go)
    yield project.check("lint", "go", "command", "go vet ./...", reading="findings", configured=True, lack=go)
    yield project.check(
        "format", "go", "command", "gofmt -l .", reading="output", configured=True, lack=project.needs(GOFMT)
    )


def _rust(project: _Project) -> Iterator[Planned]:
    cargo = project.needs(CARGO)
    yield project.check("tests", "rust", "command", "cargo test --offline --no-fail-fast", reading="cargo", lack=cargo)
    clippy = cargo or project.needs(CLIPPY)
    yield project.check(
        "lint", "rust", "command", "cargo clippy --offline --all-targets --message-format short -- -D warnings",
        reading="findings", lack=clippy,
    )  # fmt: skip
    fmt = cargo or project.needs(RUSTFMT)
    yield project.check(
        "format", "rust", "command", "cargo fmt --check -- -l", reading="output", configured=True, lack=fmt
    )


def _java(project: _Project) -> Iterator[Planned]:
    if project.has("pom.xml"):
        needs = project.needs(MAVEN)
        yield project.check("tests", "java", "command", "mvn --offline --batch-mode test", reading="maven", lack=needs)
    elif project.has("build.gradle", "build.gradle.kts"):
        own = project.has("gradlew")
        words = "sh ./gradlew" if own else "gradle"
        needs = NOTHING if own else project.needs(GRADLE)
        yield project.check(
            "tests", "java", "command", f"{words} --offline --no-daemon test --info", reading="maven", lack=needs
        )
    else:
        lack = Lack("no pom.xml, no build.gradle", f"name a command for tests in {_OURS}")
        yield project.check("tests", "java", "command", "", lack=lack)
    words = 'find . -name "*.java" > "$TMPDIR/files" && javac -proc:none -d "$TMPDIR/classes" @"$TMPDIR/files"'
    if not project.has("pom.xml", "build.gradle", "build.gradle.kts"):
        yield project.check("build", "java", "command", words, reading="findings", lack=project.needs(JAVAC))


# -- fixers


def _fixers(project: _Project, found: Sequence[ProjectLanguage], checks: Sequence[Planned]) -> Iterator[str]:
    names = {one.name: one for one in checks if not one.missing}
    if "python" in found:
        if names.get("lint:python") and names["lint:python"].how == "ruff":
            yield "ruff"
        if "isort" in project.pyproject or project.has(".isort.cfg"):
            yield "imports"
        if names.get("format:python") and names["format:python"].how == "format":
            yield "ruff-format"
    for check, fixer in (
        ("lint:javascript", "eslint"),
        ("format:javascript", "prettier"),
        ("format:go", "gofmt"),
        ("format:rust", "cargo-fmt"),
    ):
        if check in names:
            yield fixer
    yield from (f"command: {text}" for text in project.settings.fixers)


def code(paths: Sequence[str], plan: Plan, settings: Validate) -> list[str]:
    """Paths that are looked at as code: those of the planned languages, less what the settings leave out."""
    left_out = repositoryguard.Guard((), allow=settings.exclude)
    found = [path for language in plan.languages for path in languages.sources(paths, language)]
    return [path for path in found if not left_out.allows(path)]
