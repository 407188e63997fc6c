"""Writes the reference pages that are made from the sources: commands, events, the API. `make reference` runs it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import typer.main

from daybreak import events
from daybreak.cli.main import EPILOG, app

PAGES = Path(__file__).parents[1] / "docs" / "reference"
_MADE = "<!-- Made from the sources by `make reference`: change them, not this page. -->\n"


def commands_page() -> str:
    """Every command with its arguments, options and examples."""
    top: Any = typer.main.get_command(app)
    parts = [
        "# Commands",
        _MADE,
        "Every command has `--help`. Options that stand before the command: `--verbose` shows what is logged, "
        "`--debug` the traceback of an error, `--version` the version. Where a run is asked for, a unique "
        "beginning of its name will do. `--json` prints one JSON document on standard output; talk goes to "
        "standard error.",
        EPILOG,
    ]
    for name, command in _commands(top, ""):
        parts += _command(name, command)
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        whole = f"{before} {name}".strip()
        yield whole, found
        if hasattr(found, "list_commands"):
            yield from _commands(found, whole)


def _command(name: str, command: Any) -> Iterator[str]:
    deep = "##" if " " not in name else "###"
    yield f"{deep} daybreak {name}"
    if command.help:
        yield _text(command.help)
    rows = [row for parameter in command.params if (row := _parameter(parameter)) is not None]
    if rows:
        yield "\n".join(["| argument or option | |", "|---|---|", *rows])
    told = re.sub(r"^Examples?: *", "", (command.epilog or "").strip())
    examples = [one for one in re.split(r"\n\n|\n|   +", told) if one.strip().startswith("daybreak ")]
    if examples:
        yield "\n".join(["```sh", *(one.strip() for one in examples), "```"])


def _parameter(one: Any) -> str | None:
    if one.name in ("help",) or getattr(one, "hidden", False):
        return None
    if one.param_type_name == "argument":
        shown = one.metavar or str(one.name).upper()
        name = f"`{shown}`" if one.required else f"`[{shown.strip('[]')}]`"
    else:
        value = "" if one.is_flag else f" {one.metavar or _value(one.type_descriptor.annotation)}"
        name = f"`{', '.join(one.opts)}{value}`"
        if one.secondary_opts:
            name += f" / `{', '.join(one.secondary_opts)}`"
    told = [_text(getattr(one, "help", "") or "")]
    standard = getattr(one, "show_default", None)
    if isinstance(standard, str):
        told.append(f"Default: {standard}.")
    elif standard is not False and one.default not in (None, False, (), []) and not callable(one.default):
        told.append(f"Default: `{one.default}`.")
    return f"| {name} | {' '.join(filter(None, told))} |".replace("\n", " ")


def _value(kind: Any) -> str:
    return {"int": "NUMBER", "float": "NUMBER", "Path": "FILE"}.get(getattr(kind, "__name__", ""), "TEXT")


def _text(told: str) -> str:
    """Help as Markdown: what could be markup stays what it is."""
    plain = " ".join(told.replace("\b", "").split())
    parts = plain.split("`")
    return "`".join(part if at % 2 else re.sub(r"([<>*_|])", r"\\\1", part) for at, part in enumerate(parts))


def events_page() -> str:
    """Every kind of event, in the order of `events.py`, with its fields."""
    parts = [
        "# Events",
        _MADE,
        "What the ledger may hold. The payload of an event is the JSON of its fields. Fields are only ever added, with "
        "a default; a change of meaning is a new type. `daybreak ledger show` and `daybreak ledger follow --json` "
        "print them; [the parts of a header](../explanation/one-log.md) are the same for all.",
    ]
    source = Path(events.__file__).read_text("utf-8")
    notes = _field_notes(source)
    order = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    kinds = {kind.__name__: kind for kind in events.BY_TYPE.values()}
    for name in order:
        if name in kinds:
            parts += _event(kinds[name], notes.get(name, {}))
    return "\n\n".join(parts) + "\n"


def _event(kind: type[events.Event], notes: dict[str, str]) -> Iterator[str]:
    yield f"## `{kind.type}`"
    yield _text(inspect.getdoc(kind) or "")
    rows = []
    for field in msgspec.structs.fields(kind):
        secret = " Can be sealed for a subject." if field.name in events.PERSONAL.get(kind.type, ()) else ""
        rows.append(f"| `{field.name}` | {_type(field)} | {_text(notes.get(field.name, ''))}{secret} |")
    if rows:
        yield "\n".join(["| field | type | |", "|---|---|---|", *rows])


def _type(field: Any) -> str:
    choices = get_args(field.type)
    if choices and all(isinstance(one, str) for one in choices):
        told = ", ".join(f"`{one}`" if one else "empty" for one in choices)
    else:
        told = f"`{field.type if not isinstance(field.type, type) or choices else field.type.__name__}`"
        told = re.sub(r"typing\.|daybreak\.events\.", "", told).replace("|", "\\|")
    return told if field.required else f"{told}, may be left out"


def _field_notes(source: str) -> dict[str, dict[str, str]]:
    """Class → field → the text that stands below it in the sources."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        notes = found.setdefault(node.name, {})
        for one, below in zip(node.body, node.body[1:], strict=False):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(below, ast.Expr):
                notes[one.target.id] = ast.literal_eval(below.value)
    return found


def routes_page() -> str:
    """Every address of the API, with its scope and what it takes."""
    parts = [
        "# Addresses of the API",
        _MADE,
        "What holds for all of them stands in [the API](api.md). The same for programs, with all schemas: "
        "`GET /api/v1/openapi.json` of a server.",
    ]
    told = _openapi()
    tags: dict[str, list[str]] = {}
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(next(iter(operation.get("tags", ())), "others"), []).append(_route(path, method, operation))
    for tag, rows in tags.items():
        parts += [f"## {tag}", "\n".join(["| address | scope | takes | |", "|---|---|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    takes = [f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if name := str(body.get("$ref", "")).rpartition("/")[2]:
        takes.append(f"a body `{name}`")
    said = _text(str(operation.get("description") or operation.get("summary", "")))
    scope = operation.get("x-scope") or "none"
    return f"| `{method.upper()} {path}` | {scope} | {', '.join(takes)} | {said} |"


def _openapi() -> dict[str, Any]:
    from daybreak.web import app as web

    return web.make(object()).openapi()  # type: ignore[arg-type]  # only its routes are asked


MADE = {"routes.md": routes_page, "commands.md": commands_page, "events.md": events_page}


def main() -> None:
    for name, make in MADE.items():
        (PAGES / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
