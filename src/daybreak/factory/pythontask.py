"""Finding a task's function by its import path, today and after any restart.

`package.module:function` is imported as a program started in the recorded folder would import it, and
`file.py:function` is loaded from that file. A file that has changed is loaded anew. The folder stands behind
everything else on the import path: a file of yours called `json.py` replaces nobody's `json`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from daybreak.engine import plain
from daybreak.errors import UsageError
from daybreak.factory.asked import Asked
from daybreak.factory.tasks import Task, TaskWrong, check_function, found_in, options_of

_LOADING = threading.RLock()


class TaskNotLoaded(UsageError):
    """A task's function cannot be found or imported."""

    code = "U175"


class TaskArgumentsWrong(UsageError):
    """The function does not take these arguments."""

    code = "U176"


def looks_like_one(text: str) -> bool:
    """`module:function` or `file.py:function`, and no path of a file."""
    module, colon, name = text.rpartition(":")
    return bool(colon and module) and name.isidentifier()


def asked(
    text: str, folder: Path, *, args: Mapping[str, Any] | None = None, words: Mapping[str, str] | None = None
) -> Asked:
    """What the queue takes. `args` are JSON values, `words` are values as typed, read by the function's annotations.

    Raises TaskNotLoaded, TaskWrong, TaskArgumentsWrong, PlacementWrong, ScheduleWrong."""
    from daybreak.factory.kinds import python

    path = located(text, folder)
    function = load(path, folder)
    given = {**(args or {}), **{name: _value(function, name, word) for name, word in (words or {}).items()}}
    kept = plain.plain(given, f"the arguments of {text}")
    check_arguments(function, text, kept)
    options = options_of(function)
    name = path.rpartition(":")[2]
    made = Asked(
        kind=python.KIND,
        title=options.title or _first_line(function) or name.replace("_", " "),
        args={"function": path, "folder": str(folder), "args": kept},
        placement=options.placement(),
        schedule=options.schedule(),
        name=name.replace("_", "-"),
    )
    if made.schedule is not None:
        made.template()
    return made


def located(text: str, folder: Path) -> str:
    """The path as it is kept: a file's is absolute. Raises TaskNotLoaded."""
    module, colon, name = text.rpartition(":")
    if not colon or not module or not name.isidentifier():
        raise TaskNotLoaded(
            f"{ascii(text)[:80]} names no function", hint="write package.module:function, or file.py:function"
        )
    if not module.endswith(".py"):
        return text
    return f"{(folder / module).resolve()}:{name}"


def load(path: str, folder: Path) -> Task:
    """The function of a located path. Raises TaskNotLoaded, TaskWrong."""
    module_path, _, name = path.rpartition(":")
    with _LOADING:
        module = _from_file(Path(module_path)) if module_path.endswith(".py") else _by_name(module_path, folder)
    function = getattr(module, name, None)
    if function is None:
        known = ", ".join(found for found, _ in found_in(module)) or "no function with @daybreak.task"
        raise TaskNotLoaded(f"{module_path} has no {name}", hint=f"it has: {known}")
    if not callable(function):
        raise TaskWrong(f"{path} is no function", hint="name an `async def`")
    check_function(function)
    task: Task = function
    return task


def fingerprint(args: Mapping[str, Any]) -> str:
    """16 characters that change with the file in which the task stands; empty where it is not found."""
    try:
        function = load(args["function"], Path(args["folder"]))
        source = Path(inspect.getsourcefile(inspect.unwrap(function)) or "")
        return hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    except (UsageError, OSError, TypeError):
        return ""


# -- modules


class _AsWritten(importlib.machinery.SourceFileLoader):
    """Compiles what the file says now. Bytecode beside it would count as fresh where the file has changed within a
    second and kept its length; none is written into the user's folder either."""

    def path_stats(self, path: Any) -> Any:
        raise OSError("no bytecode is asked for")


def _from_file(path: Path) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise TaskNotLoaded(
            f"{path} cannot be read: {error.strerror}", hint="name a Python file that is there"
        ) from error
    digest = hashlib.sha256(f"{path}\0".encode(errors="surrogateescape") + source).hexdigest()[:16]
    name = f"daybreak_task_{digest}"  # other content is another module, so that a long night sees what has changed
    if (known := sys.modules.get(name)) is not None:
        return known
    _append_to_path(path.parent)
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsWritten(name, str(path)))
    assert spec is not None, "a name that ends in .py has a loader"
    assert spec.loader is not None, "and that loader is there"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):
            raise _not_loaded(str(path), error, path) from error
        raise
    return module


def _by_name(name: str, folder: Path) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise TaskNotLoaded(
            f"{ascii(name)[:80]} is no module", hint="write package.module:function, or file.py:function"
        )
    _append_to_path(folder)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _not_loaded(name, error, folder) from error
    top = name.split(".")[0]
    here = importlib.machinery.PathFinder.find_spec(top, [str(folder)])
    if here is not None and here.origin is not None and (there := _origin(sys.modules[top])) != here.origin:
        raise TaskNotLoaded(
            f"{top} was found at {there}, and there is another one in {folder}",
            hint=f"name the file: {name.replace('.', '/')}.py:function",
        )
    return module


def _origin(module: ModuleType) -> str | None:
    return getattr(module.__spec__, "origin", None) or getattr(module, "__file__", None)


def _append_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _not_loaded(what: str, error: BaseException, near: Path) -> TaskNotLoaded:
    """`near`: the user's own file or folder, whose line says more than one of a library."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "importlib" not in one.filename]
    frames = [one for one in frames if one.filename != __file__]
    own = [one for one in frames if Path(one.filename).is_relative_to(near)]
    place = ""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        place = f" ({Path(error.filename or what).name}, line {error.lineno})"
    elif own or frames:
        frame = (own or frames)[-1]
        place = f" ({Path(frame.filename).name}, line {frame.lineno})"
    told = " ".join(str(error).split())[:200]
    return TaskNotLoaded(
        f"{what} cannot be imported: {type(error).__name__}: {told}{place}",
        hint="import it yourself to see all of it; it must be importable by whoever runs the night",
    )


# -- arguments


def check_arguments(function: Task, what: str, args: Mapping[str, Any]) -> None:
    """Raises TaskArgumentsWrong where the function does not take them."""
    try:
        inspect.signature(function).bind(None, **args)
    except TypeError as error:
        takes = list(inspect.signature(function).parameters)[1:]
        raise TaskArgumentsWrong(
            f"{what} does not take these arguments: {error}", hint=f"it takes: {', '.join(takes) or 'none'}"
        ) from None


def _value(function: Task, name: str, word: str) -> Any:
    """Text where the function asks for `str`; otherwise JSON where it is JSON, text where it is not."""
    parameter = inspect.signature(function).parameters.get(name)
    if parameter is not None and parameter.annotation in (str, "str"):
        return word
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word


def _first_line(function: Task) -> str:
    lines = (inspect.getdoc(function) or "").strip().splitlines()
    return lines[0].strip().rstrip(".")[:80] if lines else ""
