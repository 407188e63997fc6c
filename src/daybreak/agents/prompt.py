"""The prompt that a brief becomes: one template for each role, versioned, in files that users can override.

A template is `ROLE.md.j2`; the user's folder goes before ours, and a template of theirs can start from ours with
`{% extends "daybreak/implementer.md.j2" %}` and change single blocks. Its first line says what it is and which
edition: `{# brief: implementer 1 #}`. It sees `brief` (fields of `protocol.Brief`), `tools`, `limits`, and the filters
`data` (text of somebody else, fenced so that it cannot be taken for ours), `bullets` and `line`.

The same brief gives the same prompt, byte for byte: a conversation that is taken up again begins with it.
"""

from __future__ import annotations

import hashlib
import re
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from daybreak.agents.protocol import Brief
from daybreak.errors import WorkerError

if TYPE_CHECKING:
    import jinja2

FOLDER = Path(__file__).parent / "briefs"
"""Our own templates."""
SUFFIX = ".md.j2"
ROLES = ("analyst", "architect", "drafter", "implementer", "operations", "planner", "reviewer", "tester", "writer")
"""Those that we have a template for; a user's folder may hold others."""
TEMPLATE_BYTES_MAX = 256 * 1024
LEAST_CHARS = 4_000
"""No prompt can be asked to be shorter than that."""
NOT_BUILT = "NOT BUILT:"
"""Begins a line of a worker's last message that names something it could not do."""

_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,40}")
_EDITION = re.compile(r"\{#-?\s*brief:\s*([a-z][a-z0-9_-]{0,40})\s+([0-9A-Za-z][0-9A-Za-z._-]{0,20})\s*-?#\}")
_LEFT_OUT = "\n[… {} characters left out here …]\n"


class BriefTemplateWrong(WorkerError):
    """A template of a brief is not there, or cannot be used as it is."""

    code = "W111"


def render(
    brief: Brief,
    *,
    role: str | None = None,
    folder: Path | None = None,
    tools: Sequence[str] = (),
    limits: Sequence[str] = (),
    chars_max: int | None = None,
) -> str:
    """The prompt for `brief`, in the words of `role` (its own where None), ending with a newline.

    `folder` holds templates that go before ours; one that is not there is an error. `tools` and `limits` are sentences
    about what the worker can use. With `chars_max` (not less than LEAST_CHARS) whatever matters least is left out
    first, and that is said in its place: lessons, then the recall pack, then findings, then the middle of the
    specification. Raises BriefTemplateWrong, naming file and line.
    """
    name = role if role is not None else brief.role
    whole = _rendered(brief, name, folder, tools, limits)
    if chars_max is None:
        return whole
    for shorten in _SHORTER:
        over = len(whole) - max(chars_max, LEAST_CHARS)
        if over <= 0:
            break
        brief = shorten(brief, over)
        whole = _rendered(brief, name, folder, tools, limits)
    return whole


def edition(role: str, *, folder: Path | None = None) -> str:
    """Which template `render` would use: `implementer 1`, with its path where it is not ours; for the ledger.
    Raises BriefTemplateWrong."""
    _, path, told = _source(role, folder)
    return told if path.parent == FOLDER else f"{told} ({path})"


def check(folder: Path) -> list[str]:
    """The editions of all templates in `folder`, each tried on a small brief. Raises BriefTemplateWrong for the first
    that cannot be used, or where the folder is not there."""
    if not folder.is_dir():
        raise _no_folder(folder)
    small = Brief(name="example", title="An example", summary="print a greeting", findings=(), attempt=2)
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    for path in paths:
        render(small, role=path.name.removesuffix(SUFFIX), folder=folder)
    return [edition(path.name.removesuffix(SUFFIX), folder=folder) for path in paths]


def not_built(message: str) -> tuple[str, ...]:
    """What a worker's last message names as not done: its lines that begin with `NOT BUILT:`."""
    lines = (line.strip().lstrip("-*• ").strip("*`") for line in message.splitlines())
    return tuple(
        said for line in lines if line.upper().startswith(NOT_BUILT) and (said := line[len(NOT_BUILT) :].strip(" *`"))
    )


# -- what templates can use


def data(text: object, name: str = "data") -> str:
    """Words of somebody else between two lines that these words cannot contain; what cannot be seen is made visible."""
    shown = _visible(str(text)).strip("\n")
    mark = hashlib.sha256(f"{name}\n{shown}".encode("utf-8", "backslashreplace")).hexdigest()
    size = next(size for size in (8, 16, 32, 64) if size == 64 or mark[:size] not in shown)
    return f"<<< {name} {mark[:size]}\n{shown}\n{name} {mark[:size]} >>>"


def bullets(lines: Iterable[object]) -> str:
    """One line for each, of whatever lines they had."""
    return "\n".join(f"- {line(one)}" for one in lines)


def line(text: object) -> str:
    """All of it in one line."""
    return " ".join(_visible(str(text)).split())


def _visible(text: str) -> str:
    """Without characters that change how the others are read: controls, directions, tags, halves of characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co") else f"\\u{{{ord(one):x}}}"
        for one in text.replace("\r\n", "\n")
    )


# -- inside


def _rendered(brief: Brief, role: str, folder: Path | None, tools: Sequence[str], limits: Sequence[str]) -> str:
    import jinja2

    _, path, _ = _source(role, folder)
    try:
        template = _environment(folder).get_template(role + SUFFIX)
        text = template.render(brief=brief, tools=tuple(tools), limits=tuple(limits))
    except jinja2.TemplateSyntaxError as wrong:
        raise _wrong(wrong.filename or str(path), wrong.lineno, wrong.message or "syntax") from None
    except jinja2.TemplateNotFound as wrong:
        raise _wrong(str(path), 0, f"it names the template {wrong.name!r:.80}, which is not there") from None
    except Exception as wrong:  # a template is a program of the user's: it can raise anything
        file, line = _place(wrong, path)
        raise _wrong(file, line, f"{type(wrong).__name__}: {wrong}"[:300]) from wrong
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _wrong(file: str, line: int, what: str) -> BriefTemplateWrong:
    place = f"{file}, line {line}" if line else file
    return BriefTemplateWrong(
        f"{place}: {what}",
        hint="mend the template, or take it away so that ours is used; "
        f"ours are in {FOLDER}, and `brief`, `tools` and `limits` are what a template sees",
    )


def _no_folder(folder: Path) -> BriefTemplateWrong:
    return BriefTemplateWrong(
        f"{folder}, the folder of templates, is not there", hint="make it, or take `templates` out of daybreak.toml"
    )


def _place(wrong: BaseException, path: Path) -> tuple[str, int]:
    """The innermost line of a template that the error came through."""
    frames = traceback.extract_tb(wrong.__traceback__)
    return next(
        ((one.filename, one.lineno or 0) for one in reversed(frames) if one.filename.endswith(SUFFIX)), (str(path), 0)
    )


def _source(role: str, folder: Path | None) -> tuple[str, Path, str]:
    """Text, path and edition of the template of `role`."""
    if not _ROLE.fullmatch(role):
        raise BriefTemplateWrong(f"{role!r:.80} is no name of a role", hint="small letters, digits, - and _")
    if folder is not None and not folder.is_dir():
        raise _no_folder(folder)
    for place in (folder, FOLDER):
        if place is not None and (place / (role + SUFFIX)).is_file():
            path = place / (role + SUFFIX)
            text = _read(path)
            return text, path, _edition(text, path, role)
    known = sorted(one.name.removesuffix(SUFFIX) for one in (folder or FOLDER).glob(f"*{SUFFIX}"))
    raise BriefTemplateWrong(
        f"there is no template for the role {role}",
        hint=f"known roles are {', '.join(sorted({*ROLES, *known}))}; another one is a file "
        f"{role}{SUFFIX} in the folder that `templates` names",
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = file.read(TEMPLATE_BYTES_MAX + 1)
        text = found.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise _wrong(str(path), 0, str(problem)) from problem
    if len(found) > TEMPLATE_BYTES_MAX:
        raise _wrong(str(path), 0, f"it is longer than {TEMPLATE_BYTES_MAX} bytes")
    return text


def _edition(text: str, path: Path, role: str) -> str:
    found = _EDITION.match(text)
    if found is None or found[1] != role:
        raise _wrong(str(path), 1, f"the first line of a template is like {{# brief: {role} 1 #}}")
    return f"{found[1]} {found[2]}"


@lru_cache(maxsize=8)
def _environment(folder: Path | None) -> jinja2.Environment:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def from_folder(place: Path) -> jinja2.BaseLoader:
        def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
            path = place / name
            if ".." in name.split("/") or not path.is_file():
                return None
            text = _read(path)
            return text, str(path), lambda: path.is_file() and _read(path) == text

        return jinja2.FunctionLoader(load)

    ours = from_folder(FOLDER)
    loaders = [jinja2.PrefixLoader({"daybreak": ours}), ours]
    if folder is not None:
        loaders.insert(0, from_folder(folder))
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.ChoiceLoader(loaders),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # it is Markdown for a model; nothing of it is ever HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(data=data, bullets=bullets, line=line)
    return environment


# -- shorter, by what matters least


def _fewer_lessons(brief: Brief, over: int) -> Brief:
    return msgspec.structs.replace(brief, lessons=_fewer(brief.lessons, over, len))


def _shorter_recall(brief: Brief, over: int) -> Brief:
    return msgspec.structs.replace(brief, recall=middle_out(brief.recall, len(brief.recall) - over - 80))


def _fewer_findings(brief: Brief, over: int) -> Brief:
    kept = _fewer(brief.findings, over + 200, lambda one: len(one.message) + len(one.check) + 8)
    if brief.findings and len(kept) < len(brief.findings):
        missing = len(brief.findings) - len(kept)
        last = type(brief.findings[0])(check="and more", message=f"{missing} further findings are left out here")
        kept = (*kept, last)
    return msgspec.structs.replace(brief, findings=kept)


def _shorter_specification(brief: Brief, over: int) -> Brief:
    size = len(brief.specification)
    if size:
        return msgspec.structs.replace(brief, specification=middle_out(brief.specification, size - over - 80))
    return msgspec.structs.replace(brief, summary=middle_out(brief.summary, len(brief.summary) - over - 80))


_SHORTER: tuple[Callable[[Brief, int], Brief], ...] = (
    _fewer_lessons,
    _shorter_recall,
    _fewer_findings,
    _shorter_specification,
)


def _fewer(items: tuple[Any, ...], over: int, size: Callable[[Any], int]) -> tuple[Any, ...]:
    """Without the last ones, so many that `over` characters are gone, or all."""
    kept = list(items)
    while kept and over > 0:
        over -= size(kept.pop())
    return tuple(kept)


def middle_out(text: str, most: int) -> str:
    """At most `most` characters of it, and a word about the middle that is left out; `` where that is no room."""
    if len(text) <= most:
        return text
    if most < 200:
        return ""
    keep = most - len(_LEFT_OUT) - 12
    return text[: keep - keep // 3] + _LEFT_OUT.format(len(text) - keep) + text[len(text) - keep // 3 :]
