"""The embedded builder generates clean, typed, tested projects from any entities."""

from __future__ import annotations

import ast
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.agents import naming
from daybreak.agents.builder import Builder, generate, patterns, samples
from daybreak.agents.entities import Action, Change, Entity, Field, Measure, Total, Type, TypeName
from daybreak.agents.protocol import Brief, Claim, HttpOptions, Requirement, Terms
from daybreak.checks import complexity, measuring, security
from daybreak.factory import brief as making
from daybreak.factory.spec import read_text

EXAMPLES = int(os.environ.get("DAYBREAK_BUILDER_EXAMPLES", "8"))
"""How many random specifications are generated; every tenth of them also runs its own tests."""
CONDUIT = Path(__file__).parents[2] / "examples/conduit/spec.md"
MYPY_CACHE = Path(tempfile.gettempdir()) / "daybreak-builder-tests-mypy"
"""Shared between runs: the types of fastapi take long the first time only."""


def brief(entities: tuple[Entity, ...], name: str = "bookshelf", **more: Any) -> Brief:
    values: dict[str, Any] = {
        "version": "0.1.0",
        "language": "python",
        "interfaces": ("cli", "http"),
        "title": "Bookshelf",
        "summary": "Keeps books.",
        "requirements": (),
        "http": HttpOptions(),
        "serve": f"{name} serve --port {{port}}",
        "specification": "",
    }
    return Brief(name=name, entities=entities, **(values | more))


def field(name: str, kind: TypeName, **rules: Any) -> Field:
    parts = {key: rules.pop(key) for key in ("choices", "of", "target") if key in rules}
    return Field(name=name, type=Type(name=kind, **parts), **rules)


def kitchen_sink() -> tuple[Entity, ...]:
    """Every type and every rule once."""
    author = Entity(
        name="Author",
        fields=(
            field("name", "text", required=True, unique_ignoring_case=True, min="1", max="80"),
            field("email", "text", unique=True, pattern=r"[^@\s]+@[a-z]+\.[a-z]{2,3}"),
            field("password", "text", required=True, secret=True, min="8"),
            field("order", "integer", default="1"),
        ),
    )
    book = Entity(
        name="Book",
        fields=(
            field("title", "text", required=True, min="1", max="200"),
            field("isbn", "text", unique=True, pattern=r"\d{13}|\d{9}[\dX]"),
            field("pages", "integer", min="1"),
            field("price", "decimal", min="0", default="0"),
            field("cost", "decimal", unique=True),
            field("rating", "number", min="0", max="5"),
            field("shelf", "choice", choices=("fiction", "it's", "näher"), default="it's"),
            field("status", "choice", choices=("in", "out"), default="in"),
            field("read", "boolean", default="false"),
            field("tags", "list", of=Type(name="text")),
            field("years", "list", of=Type(name="integer"), default="[1, 2]"),
            field("genres", "list", of=Type(name="choice", choices=("a", "b"))),
            field("prices", "list", of=Type(name="decimal"), unique=True),
            field("editors", "list", of=Type(name="ref", target="Author"), on_delete="clear"),
            field("published", "date"),
            field("lent_at", "timestamp"),
            field("due", "date", after="published"),
            field("best_before", "date", default="today"),
            field("author", "ref", target="Author"),
            field("sequel_of", "ref", target="Book", on_delete="clear"),
            field("code", "text", immutable=True),
            field("created_at", "timestamp", automatic=True),
            field("updated_at", "timestamp", automatic=True),
            field("url", "link", computed=True),
        ),
        actions=(
            Action(
                name="lend",
                changes=(
                    Change(verb="move", field="status", source="in", value="out"),
                    Change(verb="set", field="lent_at", value="now"),
                    Change(verb="ask", field="due"),
                ),
            ),
            Action(
                name="give-back",
                changes=(
                    Change(verb="move", field="status", source="out", value="in"),
                    Change(verb="clear", field="due"),
                ),
            ),
            Action(name="praise", changes=(Change(verb="add", field="rating", value="1"),)),
        ),
        totals=(
            Total(measures=(Measure(kind="count"), Measure(kind="sum", field="pages")), by="shelf"),
            Total(measures=(Measure(kind="sum", field="price"),), by="published", by_month=True),
            Total(measures=(Measure(kind="mean", field="rating"),)),
        ),
    )
    loan = Entity(
        name="BookLoan",
        fields=(
            field("at", "timestamp", required=True, unique_with=("book",)),
            field("book", "ref", target="Book", required=True, on_delete="cascade"),
        ),
    )
    category = Entity(name="Category", fields=(field("book", "ref", target="Book", required=True),))
    return author, book, loan, category


# -- any valid entities

LIMITS: dict[str, tuple[str, str]] = {
    "text": ("3", "12"),
    "integer": ("-5", "40"),
    "number": ("0.5", "7"),
    "decimal": ("-1.50", "99.99"),
    "date": ("2020-02-29", "2031-12-31"),
    "timestamp": ("2020-01-01T00:00:00Z", "2031-12-31T23:59:59Z"),
}
DEFAULTS: dict[str, list[str]] = {
    "text": ["other", 'it\'s "so" \\ né'],
    "integer": ["7"],
    "number": ["1.5"],
    "decimal": ["1.50"],
    "boolean": ["true"],
    "date": ["today", "2027-01-01"],
    "timestamp": ["now"],
    "choice": ["b c"],
}
SCALARS: list[TypeName] = [
    "text",
    "integer",
    "number",
    "decimal",
    "boolean",
    "date",
    "timestamp",
    "choice",
    "ref",
]
PATTERNS = [r"[A-Z]{2}-\d{3,5}", r"\w+@\w+\.de", r"(a|b)+c?", r"[^x]{4,}"]
CHOICES = ("a", "b c", "d'e")
NAMES = [
    "title",
    "order",
    "group_by",
    "index",
    "best_before",
    "x1",
    "values",
    "class_name",
    "select",
    "min",
    "self",
]


@st.composite
def types(draw: st.DrawFn, targets: list[str]) -> Type:
    name = draw(st.sampled_from([*SCALARS, "list"]))
    if name == "list":
        return Type(name="list", of=draw(types(targets).filter(lambda kind: kind.name != "list")))
    if name == "ref":
        return Type(name="ref", target=draw(st.sampled_from(targets)))
    return Type(name=name, choices=CHOICES if name == "choice" else ())


@st.composite
def fields(draw: st.DrawFn, name: str, targets: list[str], own: str, earlier: list[Field]) -> Field:
    kind = draw(types(targets))
    element = kind.of or kind
    rules: dict[str, Any] = {}
    flags = draw(st.sets(st.sampled_from(["required", "unique", "immutable", "default", "after", "pair"])))
    if draw(st.booleans()) and element.name in LIMITS:
        rules["min"], rules["max"] = LIMITS[element.name]
    elif element.name == "text" and draw(st.booleans()):
        rules["pattern"] = draw(st.sampled_from(PATTERNS))
    if "required" in flags and element.target != own:
        rules["required"] = True
    if element.name == "ref" and not rules.get("required"):
        rules["on_delete"] = draw(st.sampled_from(["restrict", "cascade", "clear"]))
    if kind.name == "text" and draw(st.booleans()):
        rules["secret"] = True
        return Field(name=name, type=kind, **rules)
    if "unique" in flags and element.name != "boolean":
        rules["unique_ignoring_case" if element.name == "text" and draw(st.booleans()) else "unique"] = True
    rules["immutable"] = "immutable" in flags
    if "default" in flags and kind.name in DEFAULTS and not ({"min", "pattern"} & set(rules)):
        rules["default"] = draw(st.sampled_from(DEFAULTS[kind.name]))
    times = [f.name for f in earlier if f.type.name == kind.name and kind.name in ("date", "timestamp")]
    if "after" in flags and times:
        rules["after"] = draw(st.sampled_from(times))
    pairs = [f.name for f in earlier if not f.secret]
    if "pair" in flags and pairs:
        rules["unique_with"] = (draw(st.sampled_from(pairs)),)
    return Field(name=name, type=kind, **rules)


@st.composite
def actions(draw: st.DrawFn, table: list[Field]) -> tuple[Action, ...]:
    changes = []
    for row in table:
        kind, verb = (
            row.type.name,
            draw(st.sampled_from(["move", "set", "clear", "add", "ask", "none", "none"])),
        )
        if verb == "move" and kind == "choice":
            changes.append(Change(verb="move", field=row.name, source="a", value="b c"))
        elif verb == "set" and kind in ("date", "timestamp"):
            changes.append(Change(verb="set", field=row.name, value="now" if kind == "timestamp" else "today"))
        elif verb == "clear" and not row.required:
            changes.append(Change(verb="clear", field=row.name))
        elif verb == "add" and kind in ("integer", "number", "decimal"):
            changes.append(Change(verb="add", field=row.name, value="2"))
        elif verb == "ask":
            changes.append(Change(verb="ask", field=row.name))
    return (Action(name="do-it", changes=tuple(changes)),) if changes else ()


@st.composite
def totals(draw: st.DrawFn, table: list[Field]) -> tuple[Total, ...]:
    numbers = [row.name for row in table if row.type.name in ("integer", "number", "decimal")]
    dates = [row.name for row in table if row.type.name in ("date", "timestamp")]
    groups = [row.name for row in table if not row.secret]
    measures = [Measure(kind="count"), *(Measure(kind=k, field=n) for n in numbers for k in ("sum", "mean"))]
    found = [Total(measures=tuple(measures))] if draw(st.booleans()) else []
    if groups and draw(st.booleans()):
        found.append(Total(measures=tuple(measures), by=draw(st.sampled_from(groups))))
    if dates and draw(st.booleans()):
        found.append(Total(measures=(measures[-1],), by=dates[0], by_month=True))
    return tuple(found)


@st.composite
def entity_sets(draw: st.DrawFn) -> tuple[Entity, ...]:
    names = draw(st.permutations(["Book", "BookLoan", "City", "Box", "SqliteMaster", "Order"]))
    made: list[Entity] = []
    for name in names[: draw(st.integers(1, 4))]:
        table: list[Field] = []
        for label in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=7)):
            table.append(draw(fields(label, [*(entity.name for entity in made), name], name, table)))
        done, counted = draw(actions(table)), draw(totals(table))
        if draw(st.booleans()):
            table.append(field("created_at", "timestamp", automatic=True))
            table.append(field("url", "link", computed=True))
        made.append(Entity(name=name, fields=tuple(table), actions=done, totals=counted))
    return tuple(draw(st.permutations(made)))


@st.composite
def briefs(draw: st.DrawFn) -> Brief:
    http = HttpOptions(
        prefix=draw(st.sampled_from(["", "/api/v1"])),
        cors=draw(st.sampled_from([None, "*", ("https://one.example",)])),
        delete_all=draw(st.booleans()),
    )
    interfaces = draw(st.sampled_from([("cli",), ("cli", "http")]))
    name, entities = draw(st.sampled_from(["shop", "my-app"])), draw(entity_sets())
    asked = draw(st.sampled_from([(), everything_asked(entities)]))
    return brief(entities, name=name, interfaces=interfaces, http=http, requirements=asked)


def everything_asked(entities: tuple[Entity, ...]) -> tuple[Requirement, ...]:
    """A requirement that names every part there can be, so that every place that can name it does."""
    parts = [f"{one.name} with {', '.join(field.name for field in one.fields)}" for one in entities]
    verbs = (
        "do it, list, find, change, delete, total, export, import exactly what exists, and refuse the rest over HTTP"
    )
    text = f"System MUST {verbs}; tell so in its README; keep {'; '.join(parts)}."
    return (Requirement(id="FR-001", text=text), Requirement(id="FR-002", text=f"{text} Refuse what is wrong."))


def written(files: dict[str, bytes], folder: Path) -> Path:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST"))}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def passed(folder: Path, *words: str) -> str:
    result = run(folder, *words)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-3000:]
    return result.stdout


# -- what is generated is clean, typed and tested


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(order=briefs())
def test_any_entities_become_clean_python(order: Brief) -> None:
    """Every generated file compiles, is formatted and passes the project's own lint."""
    # shows: F1
    files = generate(order)
    for path, content in files.items():
        if path.endswith(".py"):
            ast.parse(content)
    with tempfile.TemporaryDirectory() as place:
        folder = written(files, Path(place))
        passed(folder, "ruff", "check", "--no-cache", ".")
        passed(folder, "ruff", "check", "--no-cache", "--isolated", ".")
        passed(folder, "ruff", "format", "--no-cache", "--check", ".")


@settings(max_examples=max(1, EXAMPLES // 10), deadline=None, suppress_health_check=list(HealthCheck))
@given(order=briefs())
def test_any_project_passes_its_own_tests(order: Brief) -> None:
    """Whatever the entities, the examples made for them are valid and the project's tests pass."""
    # shows: F1
    with tempfile.TemporaryDirectory() as place:
        folder = written(generate(order), Path(place))
        passed(folder, "pytest", "-q", "-x", "-p", "no:cacheprovider")


def plain() -> tuple[Entity, ...]:
    """The smallest there is."""
    return (Entity(name="Thing", fields=(field("name", "text"),)),)


def conduit() -> Brief:
    """The example that declares most: users, sessions, keys, relations, lists and searching by words."""
    text = CONDUIT.read_text(encoding="utf-8")
    return making.make(read_text(text, name="spec.md", format="md"), text)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(brief(kitchen_sink(), http=HttpOptions(prefix="/v1", cors="*", delete_all=True)), id="everything"),
        pytest.param(brief(plain(), name="my-app", interfaces=("cli",)), id="little"),
    ],
)
def test_a_project_is_typed_and_tested(order: Brief, tmp_path: Path) -> None:
    """mypy --strict has nothing to say, and the project's own tests reach more than 85 % of it."""
    # shows: F1, P5
    folder = written(generate(order), tmp_path)
    passed(folder, "mypy", "--cache-dir", str(MYPY_CACHE))
    report = passed(folder, "pytest", "-q", "-p", "no:cacheprovider", "--cov", "--cov-report=term")
    counted = re.search(r"(\d+) passed", report)
    covered = re.search(r"TOTAL .*?(\d+)%", report)
    assert counted is not None
    assert covered is not None
    assert int(counted[1]) > 100
    assert int(covered[1]) >= 95


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(brief(plain(), name="my-app", interfaces=("cli",)), id="smallest"),
        pytest.param(brief(kitchen_sink(), http=HttpOptions(prefix="/v1", cors="*", delete_all=True)), id="everything"),
        pytest.param(conduit(), id="largest"),
    ],
)
def test_what_is_generated_would_pass_our_own_checks(order: Brief, tmp_path: Path) -> None:
    """No function has too many ways through it, and no finding of security is of medium or high severity."""
    # shows: F1, P5
    folder = written(generate(order), tmp_path)
    measured = [
        (f"{path.name}: {name}", measuring.complexity(function))
        for path in folder.glob("src/**/*.py")
        for name, function in measuring.functions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert len(measured) > 100
    assert [one for one in measured if one[1] > complexity.MOST] == []
    rules = ("--isolated", "--no-cache", "--select", "S", "--exit-zero", "--output-format", "json")
    told = passed(folder, "ruff", "check", *rules, "src")
    assert [one for one in json.loads(told) if one["code"] not in security.LOW] == []


def test_a_wheel_has_the_command(tmp_path: Path) -> None:
    """It builds without a network; `my-app` has the package `my_app`."""
    # shows: F1
    folder = written(generate(brief(plain(), name="my-app", title='A "title" \\ with\nall')), tmp_path)
    passed(folder, "hatchling", "build", "-t", "wheel")
    (wheel,) = (folder / "dist").glob("my_app-0.1.0-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        scripts = archive.read("my_app-0.1.0.dist-info/entry_points.txt").decode()
        assert "my_app/py.typed" in archive.namelist()
    assert "my-app = my_app.cli:console" in scripts


# -- the builder as a worker


def test_the_same_brief_gives_the_same_bytes() -> None:
    """Byte for byte, whatever the hash seed of the process."""
    # shows: F1
    order = brief(kitchen_sink())
    program = (
        "import hashlib, sys, msgspec; from daybreak.agents.builder import generate; "
        "from daybreak.agents.protocol import Brief; "
        "files = generate(msgspec.json.decode(sys.stdin.read(), type=Brief)); "
        "print(hashlib.sha256(repr(list(files.items())).encode()).hexdigest())"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=msgspec.json.encode(order).decode(),
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert made == {hashlib.sha256(repr(list(generate(order).items())).encode()).hexdigest() + "\n"}


def claim(order: Brief, workspace: Path) -> Claim:
    *_, last = Builder().work(order, workspace, Terms())
    assert isinstance(last, Claim)
    return last


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (brief(()), "entities"),
        (brief(plain(), language="rust"), "rust"),
        (brief(plain(), name="calendar"), "calendar"),
        (brief(plain(), name="pytest"), "pytest"),
    ],
)
def test_what_cannot_be_built_is_refused_and_nothing_written(order: Brief, word: str, tmp_path: Path) -> None:
    """No entities, another language, a package that Python itself has: named, not pretended."""
    # shows: F8
    refused = claim(order, tmp_path)
    assert refused.outcome == "refused"
    assert word in refused.summary
    assert word in refused.not_built[0]
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_cannot_be_built_is_named(tmp_path: Path) -> None:
    """The rest is built, and the claim is partial."""
    # shows: F8
    odd = Entity(name="Odd", fields=(field("code", "text", required=True, pattern="(?!)x"),))
    partly = claim(brief((odd, *plain()), interfaces=("cli", "grpc")), tmp_path)
    assert partly.outcome == "partial"
    assert [sentence.split()[0] for sentence in partly.not_built] == ["interface", "Odd:"]
    assert (tmp_path / "src/bookshelf/cli.py").is_file()
    assert not (tmp_path / "src/bookshelf/api.py").exists()
    passed(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_entities.py")


def test_a_claim_is_made_at_the_end(tmp_path: Path) -> None:
    """After the files are there; every file of generate, and nothing else."""
    # shows: F1
    order = brief(kitchen_sink())
    assert claim(order, tmp_path) == Claim(
        outcome="finished", summary=f"{len(generate(order))} files: Author, Book, BookLoan, Category"
    )
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(generate(order))


# -- names and examples


@pytest.mark.parametrize(
    ("name", "plural", "wanted"),
    [
        ("Book", None, "books"),
        ("City", None, "cities"),
        ("Key", None, "keys"),
        ("Box", None, "boxes"),
        ("Bus", None, "buses"),
        ("Church", None, "churches"),
        ("Dish", None, "dishes"),
        ("BookLoan", None, "book loans"),
        ("HTTPLog", None, "http logs"),
        ("Shelf", "shelves", "shelves"),
        ("BookShelf", "book-shelves", "book shelves"),
    ],
)
def test_plurals_follow_the_rules(name: str, plural: str | None, wanted: str) -> None:
    """-s, -ies after a consonant, -es; `Plural:` overrules."""
    assert naming.plural_words(Entity(name=name, plural=plural, fields=())) == wanted


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d{13}",
        r"[A-Z]{2}-\d{3,5}",
        r"(?P<year>20\d\d)-(0[1-9]|1[0-2])",
        r"(a|b)+\.c?[^x]{2}",
        r"(['\"]).*?\1",
        r"^\w+(?=@)@\w+\.de$",
        r"(?i:ab)\S\D\W",
        r"(x)?(?(1)y|z)",
        r"(?>ab+)c",
    ],
)
def test_texts_match_their_pattern(pattern: str) -> None:
    """Several, all different, and the same ones each time."""
    found = list(itertools.islice(patterns.texts(pattern), 3))
    assert found
    assert len(set(found)) == len(found)
    assert all(re.fullmatch(pattern, text, re.ASCII) for text in found)
    assert found == list(itertools.islice(patterns.texts(pattern), 3))


def test_examples_keep_every_rule() -> None:
    """Limits, patterns, uniqueness, order in time, and refs to what is there already."""
    made = samples.for_entities(kitchen_sink())
    assert list(made) == ["Author", "Book", "BookLoan", "Category"]
    books = made["Book"]
    assert len(books) == samples.RECORDS
    assert len({book["isbn"] for book in books}) == samples.RECORDS
    assert all(re.fullmatch(r"\d{13}|\d{9}[\dX]", book["isbn"]) for book in books)
    assert all(book["due"] > book["published"] for book in books)
    assert all(1 <= loan["book"] <= samples.RECORDS for loan in made["BookLoan"])
    assert len({(loan["at"], loan["book"]) for loan in made["BookLoan"]}) == samples.RECORDS
