"""Which names can be used, and what they become in the program that is built."""

from __future__ import annotations

import keyword
import re
import sys

from daybreak.agents import naming
from daybreak.agents.entities import Entity

NAME = re.compile(r"[a-z][a-z0-9_-]{1,39}", re.ASCII)
ENTITY = re.compile(r"[A-Z][A-Za-z0-9]*", re.ASCII)
FIELD = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
ACTION = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
PLURAL = re.compile(r"[a-z][a-z0-9]*(?:[ -][a-z0-9]+)*", re.ASCII)
LENGTH_MAX = 60
"""Of names of entities, fields, actions and plurals, in characters."""

RESERVED_FIELDS = frozenset({"id", "json", "search", "sort", "limit", "offset", "clear", "help"})
"""Every record has an id; the others are options and query parameters of every list."""
RESERVED_ACTIONS = frozenset({"add", "list", "show", "edit", "delete", "totals", "export", "import"})
"""Commands that every entity has."""
RESERVED_WORDS = frozenset({"self", "cls"})
"""Ordinary to Python's grammar, yet taken in every class."""
RESERVED_ENTITIES = frozenset({"Serve"})
"""`serve` starts the server."""
RESERVED_PATHS = frozenset({"health"})
"""Paths of every server."""
SHELL_WORDS = frozenset(
    [
        "alias",
        "bg",
        "break",
        "builtin",
        "caller",
        "case",
        "cd",
        "command",
        "compgen",
        "complete",
        "continue",
        "coproc",
        "declare",
        "dirs",
        "disown",
        "do",
        "done",
        "echo",
        "elif",
        "else",
        "enable",
        "esac",
        "eval",
        "exec",
        "exit",
        "export",
        "false",
        "fc",
        "fg",
        "fi",
        "for",
        "function",
        "getopts",
        "hash",
        "history",
        "if",
        "in",
        "jobs",
        "kill",
        "let",
        "local",
        "logout",
        "mapfile",
        "popd",
        "printf",
        "pushd",
        "pwd",
        "read",
        "readarray",
        "readonly",
        "return",
        "select",
        "set",
        "shift",
        "shopt",
        "source",
        "suspend",
        "test",
        "then",
        "time",
        "times",
        "trap",
        "true",
        "type",
        "typeset",
        "ulimit",
        "umask",
        "unalias",
        "unset",
        "until",
        "wait",
        "while",
    ]
)
"""What a shell answers itself: a program of that name would never run."""
TAKEN_PACKAGES = frozenset(
    [
        "annotated_types",
        "anyio",
        "click",
        "coverage",
        "daybreak",
        "fastapi",
        "h11",
        "hatchling",
        "httpx",
        "idna",
        "installer",
        "mypy",
        "packaging",
        "pip",
        "pluggy",
        "pydantic",
        "pydantic_core",
        "pytest",
        "pytest_cov",
        "python",
        "python3",
        "ruff",
        "setuptools",
        "sniffio",
        "starlette",
        "test",
        "tests",
        "typing_extensions",
        "uvicorn",
        "wheel",
    ]
)
"""Packages that the result itself needs or is checked with; a result of that name would hide them."""


def name_fault(name: str) -> tuple[str, str] | None:
    """Why a project cannot have this name, and what to write instead; None where it can."""
    wanted = "write 2 to 40 small letters, digits, `-` or `_`, beginning with a letter, such as book-shelf"
    if any(mark in name for mark in ("/", "\\", "..")):
        return f"the name {name!r} is a path, not a name", wanted
    if not name.isascii():
        return f"the name {name!r} has letters outside a to z", wanted
    if NAME.fullmatch(name) is None:
        return f"the name {name!r} cannot be that of a package and a command", wanted
    if name[-1] in "-_":
        return f"the name {name!r} ends in {name[-1]!r}, which no package may", "let it end in a letter or a digit"
    package = naming.package(name)
    other = f"choose another name, such as {name}-app"
    if keyword.iskeyword(package):
        return f"the name {name!r} is a keyword of Python", other
    if package in sys.stdlib_module_names:
        return f"the name {name!r} would hide Python's own module {package}", other
    if package in TAKEN_PACKAGES:
        return f"the name {name!r} would hide the package {package}, which the result needs", other
    if name in SHELL_WORDS:
        return f"the name {name!r} is a word of the shell, so the command would never run", other
    return None


def command(entity: str) -> str:
    """The command group: `book-loan`."""
    return naming.words(entity).replace(" ", "-")


def path(entity: Entity) -> str:
    """The collection: `book-loans`."""
    return naming.plural_words(entity).replace(" ", "-")


def entity_fault(name: str) -> tuple[str, str] | None:
    wanted = "write it in CamelCase with ASCII letters and digits, such as BookLoan"
    if ENTITY.fullmatch(name) is None:
        near = "".join(part[:1].upper() + part[1:] for part in re.findall(r"[A-Za-z0-9]+", name))
        if name.isascii() and ENTITY.fullmatch(near):
            wanted = f"write it in CamelCase: {near}"
        return f"{name!r} cannot be the name of an entity", wanted
    if len(name) > LENGTH_MAX:
        return f"the name {name[:20]}… has {len(name)} characters", f"at most {LENGTH_MAX}"
    if name in RESERVED_ENTITIES:
        return (
            f"{name} is reserved: the command {name.lower()} starts the server",
            f"choose another name, such as {name}d",
        )
    if (
        keyword.iskeyword(name)
        or keyword.iskeyword(naming.words(name).replace(" ", "_"))
        or name.lower() in RESERVED_WORDS
    ):
        return f"{name} is a word that Python keeps for itself", f"choose another name, such as {name}Record"
    return None


def field_fault(name: str) -> tuple[str, str] | None:
    if FIELD.fullmatch(name) is None:
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
        wanted = "write small ASCII letters, digits and `_`, beginning with a letter, such as lent_at"
        if name.isascii() and FIELD.fullmatch(near):
            wanted = f"write {near}"
        return f"{name!r} cannot be the name of a field", wanted
    if len(name) > LENGTH_MAX:
        return f"the name {name[:20]}… has {len(name)} characters", f"at most {LENGTH_MAX}"
    if name == "id":
        return "every entity has an id by itself", "leave this row out, or choose another name, such as number"
    if name in RESERVED_FIELDS:
        return (
            f"{name} is reserved: every list has an option of that name",
            f"choose another name, such as {name}_value",
        )
    if keyword.iskeyword(name) or name in RESERVED_WORDS:
        return f"{name} is a word that Python keeps for itself", f"choose another name, such as {name}_value"
    return None


def action_fault(name: str) -> tuple[str, str] | None:
    if ACTION.fullmatch(name) is None:
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        wanted = "write small ASCII letters, digits and `-`, beginning with a letter, such as give-back"
        if name.isascii() and ACTION.fullmatch(near):
            wanted = f"write {near}"
        return f"{name!r} cannot be the name of an action", wanted
    if len(name) > LENGTH_MAX:
        return f"the name {name[:20]}… has {len(name)} characters", f"at most {LENGTH_MAX}"
    if name in RESERVED_ACTIONS:
        return f"{name} is a command that every entity has", f"choose another name, such as {name}-it"
    if keyword.iskeyword(name) or name in RESERVED_WORDS:
        return f"{name} is a word that Python keeps for itself", f"choose another name, such as {name}-it"
    return None
