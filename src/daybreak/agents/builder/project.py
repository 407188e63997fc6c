"""From a brief to the files of a project.

`generate` is pure: the same brief gives the same bytes. The runtime modules are templates that hold
plain Python with a few conditions; what a specification asks for is declared in one generated module,
`models.py`, and only parts that it needs are emitted. Everything is formatted by ruff.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jinja2

from daybreak.agents import naming
from daybreak.agents.builder import platform, requirements, samples
from daybreak.agents.builder.literals import python_literal, toml_literal
from daybreak.agents.entities import Action, Change, Entity, Field, Measure, Type
from daybreak.agents.links import Links
from daybreak.agents.protocol import Brief
from daybreak.errors import WorkerError

TEMPLATES = Path(__file__).parent / "templates"
PACKAGE = ("__init__", "__main__", "fields", "problems", "values", "drafts", "sql", "database", "queries", "store")
FACES = ("transfer", "screen", "options", "help", "cli", "models")
TESTS = (
    "__init__",
    "library",
    "samples",
    "test_cli",
    "test_entities",
    "test_queries",
    "test_readme",
    "test_store",
    "test_transfer",
    "test_values",
)


class FormatterFailed(WorkerError):
    """The formatter refused generated code, which is a fault of the builder."""

    code = "W110"


def generate(brief: Brief) -> dict[str, bytes]:
    """Every file of the project by its path, `/` between folders. Raises FormatterFailed."""
    asked = requirements.found(brief)
    context = _context(brief, asked)
    package = f"src/{context['package']}"
    environment = _environment()
    files: dict[str, str] = {}

    def emit(path: str, template: str) -> None:
        files[path] = environment.get_template(template).render(context)

    for name in (*PACKAGE, *FACES, *_parts(context)):
        emit(f"{package}/{name}.py", f"package/{name}.py.j2")
    files[f"{package}/py.typed"] = ""
    for name in _tests(context):
        emit(f"tests/{name}.py", f"tests/{name}.py.j2")
    emit("pyproject.toml", "pyproject.toml.j2")
    emit("README.md", "README.md.j2")
    emit(".gitignore", "gitignore.j2")
    files.update({path: text for path, text in deployment(brief).items() if path not in files})
    named = {path: requirements.named(path, text, asked) for path, text in files.items() if path.endswith(".py")}
    formatted = _formatted(files | named, context["package"])
    return {path: formatted[path].encode() for path in sorted(formatted)}


def deployment(brief: Brief) -> dict[str, str]:
    """The container file and the CI workflow of a Python project that installs a command of its name, by path."""
    environment = _environment()
    told = {"name": brief.name, "http": "http" in brief.interfaces}
    return {
        "Containerfile": environment.get_template("Containerfile.j2").render(told),
        ".github/workflows/tests.yml": environment.get_template("workflow.yml.j2").render(told),
    }


def _environment() -> jinja2.Environment:
    """Delimiters that Python has no use for."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        line_statement_prefix="#%",
        variable_start_string="<{",
        variable_end_string="}>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )


def _formatted(files: dict[str, str], own: str) -> dict[str, str]:
    """The files with their Python formatted and its imports in order, `own` being the project's package.

    ruff sees all of them in one folder: starting it twice for each file took most of an attempt's time.
    """
    settings = ["--isolated", "--no-cache", "--config", "line-length = 110", "--config", "target-version = 'py311'"]
    sorting = ["--select", "I,F401", "--fix", "--quiet", "--config", f"lint.isort.known-first-party = ['{own}']"]
    python = [path for path in files if path.endswith(".py")]
    with tempfile.TemporaryDirectory(prefix="daybreak-builder-") as folder:
        for path in python:
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(files[path], encoding="utf-8")
        for arguments in (["check", *sorting], ["format", "--quiet"]):
            _ruff(arguments + settings, Path(folder))
        return files | {path: Path(folder, path).read_text(encoding="utf-8") for path in python}


def _ruff(arguments: list[str], folder: Path) -> None:
    from ruff import find_ruff_bin  # type: ignore[import-untyped]

    result = subprocess.run(
        [find_ruff_bin(), *arguments, "."], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    if result.returncode != 0:
        raise FormatterFailed(
            f"ruff {arguments[0]} ended with {result.returncode}: {(result.stdout + result.stderr).strip()}",
            hint="the builder wrote code that it should not have; please report the specification",
        )


# -- what the templates see


def _parts(context: dict[str, Any]) -> list[str]:
    """The optional modules that are needed."""
    wanted = {
        "secret": context["secrets"],
        "totals": context["totals"],
        "api": context["http"],
        "openapi": context["http"],
        "keys": context["platform"],
        "words": context["platform"],
        "shown": context["platform"],
        "sessions": context["users"],
        "shapes": context["platform"] and context["http"],
        "account": context["users"] and context["http"],
    }
    return [name for name, needed in wanted.items() if needed]


def _tests(context: dict[str, Any]) -> list[str]:
    """The modules below tests/ that are needed."""
    optional = {
        "client": context["http"],
        "test_api": context["http"],
        "test_secret": context["secrets"],
        "test_totals": context["totals"],
        "forum": context["platform"],
        "test_forum": context["platform"],
        "test_users": context["users"],
        "test_shapes": context["platform"] and context["http"],
    }
    return [*TESTS, *(name for name, needed in optional.items() if needed)]


def _context(brief: Brief, asked: Links) -> dict[str, Any]:
    entities = brief.entities
    http = "http" in brief.interfaces
    cors = brief.http.cors
    actions = any(entity.actions for entity in entities)
    totals = any(entity.totals for entity in entities)
    imports = ["Entity", "Field", "Schema"]
    imports += ["Action", "Change"] if actions else []
    imports += ["Measure", "Total"] if totals else []
    more = platform.context(brief)
    return {
        "name": brief.name,
        "package": naming.package(brief.name),
        "variable": naming.variable(brief.name),
        "version": brief.version,
        "title": _line(brief.title) or brief.name,
        "docstring": _line(brief.title).replace("\\", "/").replace('"', "'") or brief.name,
        "summary": brief.summary.strip(),
        "http": http,
        "prefix": _prefix(brief.http.prefix) if http else "",
        "cors": ((cors,) if isinstance(cors, str) else tuple(cors or ())) if http else (),
        "delete_all": http and brief.http.delete_all,
        "actions": actions,
        "totals": totals,
        "secrets": any(field.secret for entity in entities for field in entity.fields),
        "model_imports": sorted([*imports, *more["model_imports"]]),
        "entities": [
            _entity(entity) | platform.entity(entity, entities) | requirements.entity(entity, asked)
            for entity in entities
        ],
        **requirements.context(asked),
        "http_more": more["http_more"],
        "platform": more["platform"],
        "users": more["users"],
        "lists": more["lists"],
        "early": more["early"],
        "statuses": more["statuses"],
        "shape_lines": more["shape_lines"],
        "token_variable": naming.variable(brief.name).removesuffix("_DB") + "_TOKEN",
        "error_media": "application/problem+json" if brief.http.errors == "problem" else "application/json",
        "samples": _samples(entities),
        "py": python_literal,
        "toml": toml_literal,
    }


def _line(text: str) -> str:
    """The text on one line, without control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _prefix(prefix: str) -> str:
    trimmed = prefix.strip("/")
    return f"/{trimmed}" if trimmed else ""


def _entity(entity: Entity) -> dict[str, Any]:
    words, plural = naming.words(entity.name), naming.plural_words(entity)
    return {
        "name": entity.name,
        "constant": words.replace(" ", "_").upper() + ("_" if words == "schema" else ""),
        "words": words,
        "one": f"an {words}" if words[0] in "aeiou" else f"a {words}",
        "plural": plural,
        "command": words.replace(" ", "-"),
        "path": plural.replace(" ", "-"),
        "table": naming.table(entity),
        "about": entity.about.strip(),
        "rows": [_row(field) for field in entity.fields],
        "actions": [
            {
                "name": action.name,
                "changes": [_change(change) for change in action.changes],
                "summary": _summary(action),
            }
            for action in entity.actions
        ],
        "totals": [
            {"measures": [_measure(m) for m in total.measures], "by": total.by, "by_month": total.by_month}
            for total in entity.totals
        ],
    }


def field_source(field: Field) -> list[str]:
    """The arguments of its `Field(...)` in models.py; what is as by default is left out."""
    source = [python_literal(field.name), python_literal(field.type.name)]
    element = field.type.of or field.type
    limits = {"minimum": field.min, "maximum": field.max, "pattern": field.pattern, "after": field.after}
    named: dict[str, Any] = {
        "of": element.name if field.type.of and element.name != "text" else None,
        "choices": element.choices or None,
        "target": naming.words(element.target) if element.target else None,
        "required": field.required or None,
        "default": field.default,
        **limits,
        "unique": (field.unique and not field.unique_ignoring_case) or None,
        "unique_ignoring_case": field.unique_ignoring_case or None,
        "unique_with": field.unique_with or None,
        "on_delete": field.on_delete if element.name == "ref" and field.on_delete != "restrict" else None,
        "automatic": field.automatic or None,
        "secret": field.secret or None,
        "immutable": field.immutable or None,
        "key": field.key or None,
        "slug_of": field.slug_of,
        "by": field.by,
        "new_allowed": field.new_allowed or None,
        "embedded": field.embedded or None,
        "parent": field.parent or None,
        "owner": field.owner or None,
        "private": field.private or None,
        "by_me": field.by_me,
    }
    return source + [f"{name}={python_literal(value)}" for name, value in named.items() if value is not None]


def _change(change: Change) -> list[str]:
    source = [python_literal(change.verb), python_literal(change.field)]
    if change.value is not None:
        source.append(python_literal(change.value))
    if change.source is not None:
        source.append(f"source={python_literal(change.source)}")
    return source


def _measure(measure: Measure) -> list[str]:
    return [python_literal(part) for part in (measure.kind, measure.field) if part is not None]


def _summary(action: Action) -> str:
    forms = {
        "move": "`{field}` from {source} to {value}",
        "set": "set `{field}` to {value}",
        "clear": "clear `{field}`",
        "add": "add {value} to `{field}`",
        "ask": "asks for `{field}`",
    }
    told = (forms[change.verb].format(**vars(change)) for change in action.changes)
    return _cell("; ".join(told))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _row(field: Field) -> list[str]:
    """The field in the README's table, in the words of the specification."""
    rules = [
        "required" if field.required and not field.parent and not field.key else "",
        "unique" if field.unique and not field.unique_ignoring_case and not field.key and not field.slug_of else "",
        "unique ignoring case" if field.unique_ignoring_case else "",
        *(f"unique with {name}" for name in field.unique_with),
        f"default {field.default}" if field.default is not None else "",
        f"min {field.min}" if field.min is not None else "",
        f"max {field.max}" if field.max is not None else "",
        f"pattern `{field.pattern}`" if field.pattern is not None else "",
        f"after {field.after}" if field.after is not None else "",
        "automatic" if field.automatic else "",
        "computed" if field.type.name == "link" else "",
        f"on delete {field.on_delete}" if (field.type.of or field.type).name == "ref" else "",
        "secret" if field.secret else "",
        "immutable" if field.immutable and not field.parent else "",
        *platform.rules(field),
    ]
    return [field.name, _cell(_type(field.type)), _cell(", ".join(filter(None, rules)))]


def _type(kind: Type) -> str:
    if kind.of is not None:
        return f"list of {_type(kind.of)}"
    if kind.choices:
        return f"choice: {', '.join(kind.choices)}"
    return f"ref {kind.target}" if kind.target else kind.name


def _samples(entities: tuple[Entity, ...]) -> list[dict[str, Any]]:
    found = samples.for_entities(entities)
    return [
        {"words": naming.words(name), "records": [python_literal(record) for record in records]}
        for name, records in found.items()
    ]
