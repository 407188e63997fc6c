"""The tools of a model: their names, arguments and what they answer. What somebody else wrote is fenced as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from daybreak.agents.model.commands import Commands, Ran
from daybreak.agents.model.folder import Folder, ToolFailed
from daybreak.agents.prompt import data, middle_out
from daybreak.errors import WorkerError
from daybreak.host.naming import cut, named

READ_CHARS = 24_000
"""So much of a file goes to the model at once."""
READ_LINES = 400
"""So many lines where nobody says how many."""


class BadCall(WorkerError):
    """A tool call that cannot be carried out: no such tool, or arguments that are wrong. Goes to the model."""

    code = "W162"


def _about(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


_Path = Annotated[str, _about("relative to the workspace")]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ListFiles(Arguments, frozen=True, kw_only=True):
    path: Annotated[str, _about("a folder, relative to the workspace")] = "."


class ReadFile(Arguments, frozen=True, kw_only=True):
    path: _Path
    first: Annotated[int, _about("line to begin with, from 1")] = 1
    last: Annotated[int | None, _about(f"last line; without it, {READ_LINES} lines")] = None


class Search(Arguments, frozen=True, kw_only=True):
    pattern: Annotated[str, _about("regular expression (Python's), looked for in each line")]
    path: Annotated[str, _about("file or folder, relative to the workspace")] = "."
    files: Annotated[str, _about("only files like this, e.g. *.py")] = ""


class WriteFile(Arguments, frozen=True, kw_only=True):
    path: _Path
    text: Annotated[str, _about("all of the file")]


class EditFile(Arguments, frozen=True, kw_only=True):
    path: _Path
    old: Annotated[str, _about("text that stands in the file exactly once, to the letter")]
    new: Annotated[str, _about("what comes in its place")]


class DeleteFile(Arguments, frozen=True, kw_only=True):
    path: _Path


class Run(Arguments, frozen=True, kw_only=True):
    command: Annotated[str, _about("a line of the shell, run in the workspace without input")]
    seconds: Annotated[float | None, _about("how long it may take")] = None


class Check(Arguments, frozen=True, kw_only=True):
    pass


class Done(Arguments, frozen=True, kw_only=True):
    summary: Annotated[str, _about("what you did, in a few sentences")]
    not_built: Annotated[tuple[str, ...], _about("each thing that you could not do")] = ()


@dataclass(frozen=True)
class Tool:
    name: str
    about: str
    arguments: type[Arguments]
    changes: bool = False
    """It may change the workspace; done again when an attempt is taken up in a new one."""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        found = msgspec.json.schema(self.arguments)["$defs"][self.arguments.__name__]
        return {**{key: value for key, value in found.items() if key != "title"}, "required": found["required"]}


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("list_files", "List the files below a folder, with their sizes.", ListFiles),
        Tool("read_file", "Read a text file, or some lines of it.", ReadFile),
        Tool("search", "Find lines by a regular expression.", Search),
        Tool("write_file", "Make a text file, or replace all of it.", WriteFile, changes=True),
        Tool("edit_file", "Replace a piece of a text file.", EditFile, changes=True),
        Tool("delete_file", "Delete a file or an empty folder.", DeleteFile, changes=True),
        Tool("run", "Run a command in the workspace, and see what it prints.", Run, changes=True),
        Tool("check", "Run the checks of this task that can be run here.", Check),
        Tool("done", "End the work, and say what you did. Nothing can be done after it.", Done),
    )
}
DONE = "done"


@dataclass(frozen=True)
class Result:
    text: str
    failed: bool = False


class Toolbox:
    """Carries out calls."""

    def __init__(self, folder: Folder, commands: Commands) -> None:
        self._folder = folder
        self._commands = commands
        self._actions: dict[type[Arguments], Callable[[Any], str | Ran]] = {
            ListFiles: self._list,
            ReadFile: self._read,
            Search: lambda asked: commands.search(asked.pattern, asked.path, asked.files),
            WriteFile: self._write,
            EditFile: self._edit,
            DeleteFile: self._delete,
            Run: lambda asked: commands.run(asked.command, asked.seconds),
            Check: lambda _: commands.check(),
        }

    def call(self, arguments: Arguments) -> Result:
        """Do it. A tool that cannot is a result too; never raises for what a model asked."""
        try:
            told = self._actions[type(arguments)](arguments)
        except ToolFailed as failed:
            return Result(f"error: {failed.message}", failed=True)
        return Result(told.text, failed=not told.ok) if isinstance(told, Ran) else Result(told)

    def _list(self, asked: ListFiles) -> str:
        told, more = self._folder.files(asked.path)
        if not told:
            return "the folder is empty"
        return data("\n".join(told), "files") + (f"\nand {more} more" if more else "")

    def _read(self, asked: ReadFile) -> str:
        lines = self._folder.read(asked.path).split("\n")
        if lines[-1] == "" and len(lines) > 1:
            lines.pop()
        first = max(1, asked.first)
        last = min(len(lines), asked.last if asked.last is not None else first + READ_LINES - 1)
        if first > last:
            raise ToolFailed(f"{named(asked.path)} has {len(lines)} lines; there are none from {first} to {last}")
        text = middle_out("\n".join(lines[first - 1 : last]), READ_CHARS)
        return f"lines {first} to {last} of {len(lines)}\n{data(text, 'file')}"

    def _write(self, asked: WriteFile) -> str:
        made = self._folder.write(asked.path, asked.text)
        return f"{'made' if made else 'replaced'}: {len(asked.text.splitlines())} lines"

    def _edit(self, asked: EditFile) -> str:
        return f"replaced, at line {self._folder.edit(asked.path, asked.old, asked.new)}"

    def _delete(self, asked: DeleteFile) -> str:
        self._folder.delete(asked.path)
        return "deleted"


def read(name: str, arguments: object) -> Arguments:
    """The arguments of a call, checked. Raises BadCall with a message for the model."""
    tool = TOOLS.get(name)
    if tool is None:
        raise BadCall(f"there is no tool {named(name)}; there are {', '.join(TOOLS)}", hint="use one of these")
    try:
        # Numbers and truths are read from texts too: many models write them so.
        if isinstance(arguments, str):
            return msgspec.json.decode(arguments or "{}", type=tool.arguments, strict=False)
        return msgspec.convert(arguments or {}, type=tool.arguments, strict=False)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        raise BadCall(
            f"the arguments of {name} are wrong: {cut(str(problem), 300)}", hint="give a JSON object as described"
        ) from None
