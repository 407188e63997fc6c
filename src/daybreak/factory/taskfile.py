"""Task files: TOML that says what to do, step by step, and how one can tell that it is done.

    task = read(Path("report.toml"))          # raises TaskFileInvalid with everything that is wrong, by line

What is read is the file's own words (`CommandTask`); `asked` makes of it what the queue takes.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from daybreak.errors import SpecError, UsageError
from daybreak.factory import asked as asking
from daybreak.factory.asked import Asked
from daybreak.factory.command.task import CommandTask
from daybreak.factory.spec import toml_nodes
from daybreak.factory.spec.located import Mapping as Table
from daybreak.factory.spec.located import Node, Sequence
from daybreak.factory.spec.problems import Problem, Problems, cut, meant

BYTES_MAX = 64 * 1024
"""It stands in the ledger whole; scripts belong into files of their own."""

HINTS_MAX = 8
_SEE = "docs/reference/task-file.md says what each value may be"

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"

CODES: dict[str, str] = {
    "S211": "the task file is not there or cannot be read",
    "S212": "the task file is no text, or too large",
    "S213": "a value of the task file cannot be used",
    "S214": "a name of the task file is unknown",
    "S215": "nothing decides whether the task is done",
    "S216": "a name is used twice",
    "S217": "a folder or file that the task names is not there",
    "S218": "what the task says does not go together",
}
"""What each code stands for; S118 and S119 (syntax) are those of specifications. A code never changes its meaning."""

_UNCHECKED = (
    "add a [[check]] that looks whether it is done, or say `unchecked = true`: the result then says not verified"
)

Where = tuple[str | int, ...]


class TaskFileInvalid(SpecError):
    """A task file cannot be used; `problems` holds everything that is wrong, sorted by line."""

    code = "S201"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"{one.file}:{one.line}: {one.code} {one.message}" for one in self.problems]
        remedies = [f"line {one.line}: {one.remedy}" for one in self.problems if one.remedy not in one.message]
        hint = self.problems[0].remedy if len(self.problems) == 1 else "; ".join(remedies[:HINTS_MAX]) or _SEE
        super().__init__("\n".join([f"{self.problems[0].file} has {count}", *lines]), hint=hint)


def read(path: Path, base: Path | None = None) -> Asked:
    """The task of that file. `base`: what its folder is relative to; None: where the file lies. Raises
    TaskFileInvalid."""
    base = (path.parent if base is None else base).resolve()
    problems = Problems(str(path.name))
    text = _text(path, problems)
    lines: dict[Where, int] = {}
    task = None if text is None else _parsed(text, base, problems, lines)
    if task is None or problems.errors:
        raise TaskFileInvalid(problems.sorted())
    try:
        return asked(task, base, name=path.stem)
    except UsageError as error:
        _Reader(lines, problems).add((error.message.split(maxsplit=1)[0],), "S218", error.message, error.hint)
        raise TaskFileInvalid(problems.sorted()) from error


def asked(task: CommandTask, base: Path, *, name: str = "") -> Asked:
    """What the queue takes. `base` is what the task's folder is relative to. Raises UsageError where parts of it do
    not go together (PlacementWrong, ScheduleWrong)."""
    from daybreak.engine.placement import Placement
    from daybreak.factory.kinds import command
    from daybreak.policy.budget import Limit

    made = Asked(
        kind=command.KIND,
        title=task.title,
        args=command.arguments(task, (base / task.folder).resolve()),
        placement=Placement(
            project=task.project,
            priority=task.priority,
            after=task.after,
            not_before=task.not_before,
            deadline=task.deadline,
            keys=task.keys,
            rates=task.rates,
            dedupe=task.dedupe,
            budget=None if task.budget is None else Limit.parse(task.budget),
        ),
        schedule=asking.schedule(
            every=task.every, at=task.at, on=task.on, cron=task.cron, zone=task.zone, catch_up=task.catch_up
        ),
        name=name,
    )
    if made.schedule is not None:
        made.template()
    return made


def schema() -> dict[str, Any]:
    """The JSON schema of a task file."""
    return {"$schema": SCHEMA_ID, **CommandTask.model_json_schema(by_alias=True)}


# -- from bytes to a task


def _text(path: Path, problems: Problems) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.add(
            1, "S211", f"{cut(str(path), 200)} cannot be read: {reason}", "name a task file, such as report.toml"
        )
        return None
    if len(data) > BYTES_MAX:
        problems.add(
            1, "S212", f"it is larger than {BYTES_MAX // 1024} KiB", "put scripts and data into files of their own"
        )
        return None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(line, "S212", f"it is not UTF-8: byte 0x{data[error.start]:02x}", "save the file as UTF-8")
        return None


def _parsed(text: str, base: Path, problems: Problems, lines: dict[Where, int]) -> CommandTask | None:
    nodes = toml_nodes.read(text, problems)
    if nodes is None:
        return None
    lines |= _lines(nodes, ())
    data = tomllib.loads(text)
    reader = _Reader(lines, problems)
    reader.cross_checks(data, base)
    return reader.validated(data)


def _lines(node: Node, at: Where) -> Iterable[tuple[Where, int]]:
    yield at, node.line
    if isinstance(node, Table):
        for key, inner in node.pairs:
            yield from _lines(inner, (*at, key.text))
            yield (*at, key.text), key.line
    elif isinstance(node, Sequence):
        for place, inner in enumerate(node.items):
            yield from _lines(inner, (*at, place))


class _Reader:
    """Gathers what is wrong with one file."""

    def __init__(self, lines: Mapping[Where, int], problems: Problems) -> None:
        self.lines = lines
        self.problems = problems

    def add(self, at: Where, code: str, message: str, remedy: str) -> None:
        self.problems.add(self._line(at), code, message, remedy)

    def _line(self, at: Where) -> int:
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    # -- shapes and values

    def validated(self, data: dict[str, Any]) -> CommandTask | None:
        try:
            return CommandTask.model_validate(data)
        except ValidationError as error:
            found = error.errors(include_url=False)
            for one in found:
                if one["type"] == "too_short" and any(
                    other["loc"][: len(one["loc"])] == one["loc"] != other["loc"] for other in found
                ):
                    continue  # only because its items were wrong
                self._tell(one["loc"], one["type"], one["msg"], one.get("input"))
        return None

    def _tell(self, at: Where, sort: str, message: str, given: Any) -> None:
        name = _shown(at)
        if sort == "missing":
            self.add(at, "S213", f"{name} is missing", f"add `{at[-1]} = ...`")
        elif sort == "extra_forbidden":
            known = [field.alias or key for key, field in _model_at(at[:-1]).model_fields.items()]
            remedy = meant(str(at[-1]), known, f"known here: {', '.join(known)}")
            self.add(at, "S214", f"{name} is unknown", _SAID_ELSEWHERE.get(str(at[-1]), remedy))
        else:
            said = _SAID.get(sort) or message.removeprefix("Value error, ").replace("Input should be", "it must be")
            wrong = f"{name} cannot be {_given(given)}" if name else "this does not go together"
            self.add(at, "S213", f"{wrong}: {said}", said)

    # -- what no single value shows

    def cross_checks(self, data: dict[str, Any], base: Path) -> None:
        steps, checks = (self._tables(data, name) for name in ("step", "check"))
        if not steps and not checks:
            self.add((), "S218", "there is nothing to do", "add a [[step]] with `run = ...`")
        if not checks and data.get("unchecked") is not True:
            self.add((), "S215", "nothing decides whether it is done", _UNCHECKED)
        if checks and data.get("unchecked") is True:
            self.add(("unchecked",), "S218", "it has checks and says that it has none", "leave `unchecked` out")
        for kind, tables in (("step", steps), ("check", checks)):
            self._names(kind, tables)
        self._folders(data, base)
        grant = data.get("grant")
        if data.get("sandbox") == "none" and isinstance(grant, dict) and set(grant) - {"secrets"}:
            self.add(
                ("grant",),
                "S218",
                "without a sandbox nothing needs to be granted",
                'leave it out, or leave `sandbox = "none"` out',
            )

    @staticmethod
    def _tables(data: dict[str, Any], name: str) -> list[Any]:
        found = data.get(name)
        return found if isinstance(found, list) else []

    def _names(self, kind: str, tables: list[Any]) -> None:
        first: dict[str, int] = {}
        for place, table in enumerate(tables):
            name = table.get("name") if isinstance(table, dict) else None
            if not isinstance(name, str):
                continue
            if name in first:
                where = self._line((kind, first[name], "name"))
                self.add(
                    (kind, place, "name"),
                    "S216",
                    f"{kind} {cut(name)!r} is there twice",
                    f"the other one is in line {where}",
                )
            first.setdefault(name, place)
            if name.startswith("ctx."):
                self.add(
                    (kind, place, "name"),
                    "S213",
                    f"{kind} {cut(name)!r}: such names are the engine's",
                    "leave `ctx.` out",
                )

    def _folders(self, data: dict[str, Any], base: Path) -> None:
        told = data.get("folder", ".")
        if not isinstance(told, str) or "\0" in told:
            return
        folder = base / told
        if not folder.is_dir():
            self.add(("folder",), "S217", f"there is no folder {cut(str(folder), 200)}", "make it, or name another one")
            return
        grant = data.get("grant")
        for act in ("write", "read"):
            paths = grant.get(act) if isinstance(grant, dict) else None
            for place, path in enumerate(paths if isinstance(paths, list) else []):
                if isinstance(path, str) and "\0" not in path and not os.path.lexists(folder / path):
                    self.add(
                        ("grant", act, place),
                        "S217",
                        f"there is no {cut(path, 200)} to {act}",
                        "make it first, or leave it out",
                    )


_SAID = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "it must be a whole number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "it must be true or false"),
    **dict.fromkeys(("float_type", "float_parsing"), "it must be a number"),
    **dict.fromkeys(("tuple_type", "list_type"), "it must be a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "it must be a table"),
    "string_type": "it must be text, in quotes",
    "timezone_aware": "it needs its offset from UTC, such as 2026-11-22T07:00:00+01:00",
}


_SAID_ELSEWHERE = {
    "needs": "leave it out: what a task file says is done on the machine where it is added, and `bounds` says what it "
    "may use; specifications have `needs`, and tasks on repositories (`daybreak add --repo DIR --needs docker`)"
}
"""Names that other forms of work have, and what to write here instead."""


def _shown(at: Where) -> str:
    """`step 2: limit`; steps and checks count from 1 for people."""
    words: list[str] = []
    for part in at:
        if isinstance(part, int) and words:
            words[-1] = f"{words[-1]} {part + 1}"
        else:
            words.append(str(part))
    return ": ".join(words)


def _given(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _model_at(at: Where) -> type[BaseModel]:
    """The table in which that place lies."""
    from daybreak.factory.command import task as commandtask

    tables: dict[str, type[BaseModel]] = {
        "step": commandtask.Step,
        "check": commandtask.Check,
        "grant": commandtask.Grant,
        "bounds": commandtask.Bounds,
        "retry": commandtask.RetryTable,
        "expect": commandtask.Expected,
    }
    names = [part for part in at if isinstance(part, str)]
    return tables.get(names[-1], CommandTask) if names else CommandTask


def schema_text() -> str:
    """As published in `schema/task.schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
