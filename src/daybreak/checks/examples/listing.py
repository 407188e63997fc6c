"""The language of `files` blocks: what the delivered tree must hold, one claim a line.

    README.md contains "bookshelf"
    src/bookshelf/__init__.py exists
    dist/*.whl count 1

Paths are relative to the tree, with `/`. A claim about a path that leads out of the tree through a symbolic
link does not hold. In a glob `*` and `?` stay inside one name, `**` is any folders; files and folders count.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from daybreak.checks.example import Fault

Verb = Literal["exists", "contains", "count"]
READ_BYTES_MAX = 50_000_000
"""Of one file; what lies behind is not looked at."""

_LINE = re.compile(r"(?P<path>\S(?:.*?\S)?)\s+(?P<verb>exists|contains|count)(?:\s+(?P<rest>.*))?")


@dataclass(frozen=True, slots=True)
class Claim:
    path: str
    verb: Verb
    text: str = ""
    """For contains."""
    number: int = 0
    """For count."""
    line: int = 0


def read(body: str) -> tuple[list[Claim], list[Fault]]:
    """The claims of a block, and what is wrong with it, by line."""
    claims: list[Claim] = []
    faults: list[Fault] = []
    for number, line in enumerate(body.split("\n")):
        if line.strip():
            found = _read_line(line.strip(), number)
            if isinstance(found, Claim):
                claims.append(found)
            else:
                faults.append(found)
    if not claims and not faults:
        faults.append(Fault(0, "the block claims nothing", "write `PATH exists`"))
    return claims, faults


def _read_line(line: str, number: int) -> Claim | Fault:
    forms = 'write `PATH exists`, `PATH contains "text"` or `GLOB count N`'
    found = _LINE.fullmatch(line)
    if not found:
        return Fault(number, f"{line!r} is not understood", forms)
    path, rest = found["path"], found["rest"] or ""
    verb = next(known for known in get_args(Verb) if known == found["verb"])
    if problem := path_problem(path):
        return Fault(number, problem, "write a path inside the delivered tree, such as src/app/__init__.py")
    if verb == "exists" and not rest:
        return Claim(path, verb, line=number)
    if verb == "count" and re.fullmatch(r"\d{1,9}", rest):
        return Claim(path, verb, number=int(rest), line=number)
    if verb == "contains" and rest.startswith('"'):
        try:
            text = json.loads(rest)
        except ValueError:
            return Fault(
                number, f"the text {rest} cannot be read", 'write it in double quotes, \\" for a quote'
            )
        if not text:
            return Fault(number, "every file contains the empty text", "name a text that must be there")
        return Claim(path, verb, text=text, line=number)
    return Fault(number, f"{line!r} is not understood", forms)


def path_problem(path: str) -> str | None:
    """Why a path or glob cannot be one inside a tree."""
    if "\0" in path or "\\" in path:
        return f"the path {path!r} has a character that paths here never have"
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        return f"the path {path} is absolute"
    if ".." in path.split("/"):
        return f"the path {path} leads upwards"
    return None


# -- looking


def problem(claim: Claim, tree: Path) -> str | None:
    """Why the claim does not hold of the tree; None where it holds."""
    if claim.verb == "count":
        return _count_problem(claim, tree)
    place = _inside(tree, claim.path)
    if place is None:
        return f"{claim.path} leads out of the tree"
    if not place.exists():
        return f"{claim.path} does not exist"
    if claim.verb == "exists":
        return None
    if not place.is_file():
        return f"{claim.path} is not a file"
    with place.open("rb") as file:
        content = file.read(READ_BYTES_MAX)
    return (
        None if claim.text.encode() in content else f"{claim.path} does not contain {json.dumps(claim.text)}"
    )


def _inside(tree: Path, path: str) -> Path | None:
    """The place that a path leads to, links followed; None where that is outside the tree."""
    root = Path(os.path.realpath(tree))
    place = Path(os.path.realpath(root / path))
    return place if place == root or root in place.parents else None


def _count_problem(claim: Claim, tree: Path) -> str | None:
    wanted = re.compile(_glob_to_regex(claim.path.removeprefix("./").rstrip("/")))
    found = sorted(path for path in _paths(tree) if wanted.fullmatch(path))
    if len(found) == claim.number:
        return None
    shown = ": " + ", ".join(found[:10]) if found else ""
    return f"{claim.path} counts {len(found)}, not {claim.number}{shown}"


def _paths(tree: Path) -> list[str]:
    """Every file and folder below the tree; symbolic links are named and not followed."""
    found = []
    for folder, folders, files in os.walk(tree, followlinks=False):
        below = Path(folder).relative_to(tree)
        found += [(below / name).as_posix() for name in (*folders, *files)]
    return found


def _glob_to_regex(glob: str) -> str:
    parts = []
    for part in glob.split("/"):
        if part == "**":
            parts.append("(?:[^/]+/)*")
            continue
        regex, at = "", 0
        while at < len(part):
            character = part[at]
            end = part.find("]", at + 2) if character == "[" else -1
            if end > 0:
                chosen = part[at + 1 : end]
                negated = chosen.startswith("!")
                inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", chosen[1:] if negated else chosen)
                regex += f"[{'^/' if negated else ''}{inner}]"
                at = end
            else:
                regex += {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))
            at += 1
        parts.append(regex + "/")
    return "".join(parts).removesuffix("/") if parts[-1] != "(?:[^/]+/)*" else "".join(parts[:-1]) + ".+"
