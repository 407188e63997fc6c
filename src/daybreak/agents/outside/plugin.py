"""Where a plug-in is: from a name to the one source file that holds it. Nothing is imported to find out.

A name is, in this order: `FILE.py:object`; a folder (its `orchestrator.py`, or itself as a package; the object is
`orchestrate`); `module:object`; a name of the entry-point group `daybreak.orchestrators`; empty: the only one there is.
Paths are absolute here: the settings make them so where they are read, because the working directory of an attempt is
a worker's, from which nothing is ever loaded.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from daybreak.errors import WorkerError

GROUP = "daybreak.orchestrators"
OBJECT = "orchestrate"
"""What a folder exports."""
FOLDER_FILE = "orchestrator.py"


class PluginMissing(WorkerError):
    """There is no plug-in of that name here."""

    code = "W180"


class PluginUnclear(WorkerError):
    """It could be more than one plug-in."""

    code = "W181"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    name: str
    """As it is called in messages."""
    file: Path
    """Its source."""
    object: str
    """What it exports: a name, or names with dots between them."""
    module: str = ""
    """How it is imported; empty: from its file."""
    search: tuple[Path, ...] = ()
    """Goes in front of the search path."""
    folder: Path | None = None
    """All of it, where a folder was named."""
    distribution: str = ""
    """`name version`, where it is an installed one."""
    requires: tuple[str, ...] = ()
    """What that distribution requires."""

    @property
    def program(self) -> str:
        """A name for the same thing that does not depend on where one stands."""
        return f"{self.module or self.file}:{self.object}"


def locate(program: str, *, python: str = "", path: Sequence[str] = ()) -> Plugin:
    """The plug-in called `program`. `python`: the interpreter that it belongs to, where that is not ours; `path`:
    folders that go before its search path. Raises PluginMissing, PluginUnclear."""
    extra = tuple(_absolute(one) for one in path)
    name, _, attribute = program.rpartition(":")
    if name.endswith(".py"):
        file = _there(_absolute(name), program)
        return Plugin(name=program, file=file, object=attribute, search=(*extra, file.parent))
    if "/" in program:
        return _in_folder(_absolute(program), extra)
    search = [*map(str, extra), *(site_folders(_absolute(python)) if python else _our_search())]
    if name:
        return _module(program, name, attribute, search, extra)
    return _entry_point(program, search, extra)


def _our_search() -> list[str]:
    """Our own search path without the working directory, which is whoever's."""
    return [one for one in sys.path if one and os.path.isabs(one)]


def entry_points(search: Sequence[str]) -> list[importlib.metadata.EntryPoint]:
    """Those of our group, of whatever is installed in these folders; each distribution once, as for an import."""
    found: dict[tuple[str, str], importlib.metadata.EntryPoint] = {}
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions(path=list(search)):
        name = distribution.metadata["Name"] if _has_entry_points(distribution) else ""
        if not name or name in seen:
            continue
        seen.add(name)
        for point in distribution.entry_points.select(group=GROUP):
            found.setdefault((name, point.name), point)
    return sorted(found.values(), key=lambda point: point.name)


def from_entry_point(point: importlib.metadata.EntryPoint, search: Sequence[str], extra: Iterable[Path] = ()) -> Plugin:
    """Raises PluginMissing."""
    distribution = point.dist
    told = f"{distribution.metadata['Name']} {distribution.version}" if distribution else ""
    module, _, attribute = point.value.partition("[")[0].partition(":")
    found = _module(point.name, module.strip(), attribute.strip() or OBJECT, search, tuple(extra))
    requires = tuple(distribution.requires or ()) if distribution else ()
    return Plugin(**{**vars(found), "distribution": told, "requires": requires})


def site_folders(python: Path) -> list[str]:
    """Where that interpreter has its packages, by looking and not by running it. A virtual environment's own folder
    and, where it uses them, those of the Python below it."""
    root = python.parent.parent
    folders = sorted(root.glob("lib/python3*/site-packages"))
    folders += sorted(root.glob("lib/python3*/dist-packages"))
    settings = _settings_of(root)
    if settings.get("include-system-site-packages", "").lower() == "true" and (below := settings.get("home")):
        folders += sorted(Path(below).parent.glob("lib/python3*/site-packages"))
    return [str(folder) for folder in folders]


def roots(python: Path) -> tuple[Path, ...]:
    """The folders that an interpreter needs to run: its environment, and the Python that this is made from."""
    root = python.parent.parent
    below = _settings_of(root).get("home")
    real = python.resolve().parent.parent
    return tuple(dict.fromkeys([root, *([Path(below).parent] if below else []), real]))


def _settings_of(root: Path) -> Mapping[str, str]:
    """`pyvenv.cfg`, where there is one."""
    try:
        lines = (root / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}  # no virtual environment
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _has_entry_points(distribution: importlib.metadata.Distribution) -> bool:
    """Most have none of ours, and reading them is what takes time."""
    return GROUP in (distribution.read_text("entry_points.txt") or "")


def _absolute(name: str) -> Path:
    """Raises PluginMissing."""
    if not os.path.isabs(name) or "\0" in name:
        raise PluginMissing(
            f"{name!r:.200} is no absolute path",
            hint="in `program` begin a path with ./ (from the folder of daybreak.toml); options need whole paths",
        )
    return Path(os.path.normpath(name))


def _there(file: Path, program: str) -> Path:
    try:
        there = file.is_file()
    except (OSError, ValueError) as problem:
        raise PluginMissing(f"{program!r:.200} names no file: {problem}", hint="correct `program`") from problem
    if not there:
        raise PluginMissing(f"there is no file {file}", hint="correct `program` of this worker, or make the file")
    return file


def _in_folder(folder: Path, extra: tuple[Path, ...]) -> Plugin:
    if not folder.is_dir():
        raise PluginMissing(f"there is no folder {folder}", hint="correct `program` of this worker, or make it")
    for file, search in ((folder / FOLDER_FILE, folder), (folder / "__init__.py", folder.parent)):
        if file.is_file():
            return Plugin(name=str(folder), file=file, object=OBJECT, search=(*extra, search), folder=folder)
    raise PluginMissing(
        f"the folder {folder} holds no {FOLDER_FILE}",
        hint=f"put `def {OBJECT}(brief, workspace)` into {FOLDER_FILE} there, or name FILE.py:object",
    )


def _module(program: str, module: str, attribute: str, search: Sequence[str], extra: tuple[Path, ...]) -> Plugin:
    folders: Sequence[str] | None = search
    spec = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), folders) if folders is not None and all(parts) else None
        if spec is None:
            raise PluginMissing(
                f"{program!r:.200}: there is no module {'.'.join(parts[:count])!r:.80}",
                hint="install it, or name its folder in options.path, or the interpreter that has it in options.python",
            )
        folders = spec.submodule_search_locations
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise PluginMissing(
            f"{program!r:.200}: {module} is not Python source, so nobody can look at it before it is loaded",
            hint="name a module of which the source is there",
        )
    return Plugin(name=program, file=Path(spec.origin), object=attribute, module=module, search=extra)


def _entry_point(name: str, search: Sequence[str], extra: tuple[Path, ...]) -> Plugin:
    points = entry_points(search)
    chosen = [point for point in points if name in ("", point.name)]
    known = ", ".join(point.name for point in points) or "none"
    if not chosen:
        raise PluginMissing(
            f"no plug-in {name!r:.80} is installed" if name else f"no plug-in of the group {GROUP} is installed",
            hint=f"installed: {known}; or name FILE.py:object, a folder or module:object as `program`",
        )
    if len(chosen) > 1:
        raise PluginUnclear(
            f"{len(chosen)} plug-ins could be meant: {', '.join(point.value for point in chosen)}",
            hint="name one as `program` of this worker: the entry point's name, or module:object",
        )
    return from_entry_point(chosen[0], search, extra)
