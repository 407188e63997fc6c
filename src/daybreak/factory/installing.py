"""Check `install` for results in other languages than Python: the command is made as its language makes commands.

JavaScript: what `bin` of package.json names, run by node, after `npm run build` where there is such a script. Go: `go
build` of `cmd/NAME` or of the top. Rust: the binary NAME of `cargo build`. Whatever the language: an executable file
`bin/NAME` in the result. Nothing is fetched; all of it runs in the sandbox.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from daybreak.checks import transcripts
from daybreak.checks.evidence import Evidence, Mark
from daybreak.checks.product import Product, make_prefix, write_program
from daybreak.errors import CheckError, HostError
from daybreak.factory.polyglot import Bench
from daybreak.factory.validate.planning import CARGO, GO, NODE, NPM
from daybreak.factory.validate.running import TOOLS, Room
from daybreak.host.process import Finished
from daybreak.host.programs import Program
from daybreak.settings import ProjectLanguage

CHECK = "install"
PACKAGE_BYTES_MAX = 1_000_000
PROGRAM_BYTES_MAX = 500_000_000


class _NotMade(CheckError):
    """The result makes no such command."""

    code = "C199"

    def __init__(self, message: str, *, place: str = "", finished: Finished | None = None) -> None:
        super().__init__(message, hint="say how the command is made")
        self.place, self.finished = place, finished


class _ToolMissing(CheckError):
    """A program is not on this machine that makes commands of that language."""

    code = "C200"


@dataclass(frozen=True)
class _Making:
    bench: Bench
    name: str
    language: ProjectLanguage
    folder: Path
    """Of ours, empty."""
    prefix: Path

    @property
    def room(self) -> Room:
        return self.bench.room(self.bench.tree, "making")

    def needs(self, program: Program) -> Path:
        """Raises _ToolMissing."""
        path, hint = self.bench.tools.around.program(program)
        if path is None:
            raise _ToolMissing(f"{program.name} is not installed", hint=f"install it, then build again: {hint}")
        return Path(os.path.realpath(path))

    def built(self, command: str) -> Path:
        """Run it on a copy of the result: the folder with `copy`, `home` and `tmp`. Raises _NotMade, HostError."""
        room = self.room
        place = room.place("build")
        finished = room.shell(command, self.language, place)
        if not finished.ok:
            raise _NotMade(f"`{command}`: {finished.ending}: {_last(finished)}", finished=finished)
        return place

    def carried(self, tree: Path) -> Path:
        """The result, where the product keeps it."""
        kept = self.prefix / "lib" / "project"
        shutil.copytree(tree, kept, symlinks=True)
        modules = self.bench.tools.around.node_modules
        if self.language == "javascript" and modules is not None and not os.path.lexists(kept / "node_modules"):
            (kept / "node_modules").symlink_to(modules)
        return kept

    def put(self, words: str) -> None:
        write_program(self.prefix / "bin" / self.name, f'#!/bin/sh\nexec {words} "$@"\n')


def look(bench: Bench, *, name: str, language: ProjectLanguage) -> tuple[Evidence, Product | None]:
    """Make the command `name` of a copy of the result; it runs for as long as the bench's scratch exists. The product
    is None exactly where the evidence is not `passed`."""
    folder = Path(tempfile.mkdtemp(prefix="install-", dir=bench.scratch))
    making = _Making(bench, name, language, folder, folder / "prefix")
    command = f"make the command {name}"
    try:
        make_prefix(making.prefix)
        how = _MAKERS.get(language, _as_it_is)(making)
    except _NotMade as problem:
        return _evidence(bench, "failed", problem.message, command, problem.place, problem.finished), None
    except _ToolMissing as problem:
        return _evidence(bench, "unusable", f"{problem.message} ({problem.hint})", command), None
    except (HostError, OSError) as error:
        return _evidence(bench, "unusable", f"could not look: {error}", command), None
    if bench.cancelled.is_set():
        return _evidence(bench, "unusable", "it was cancelled", command), None
    around = bench.tools.around
    readable = [*around.toolchain(*TOOLS.get(language, ()))]
    if language == "javascript" and around.node_modules is not None:
        readable.append(around.node_modules)
    if language == "java":
        readable += [path for path in sorted(Path("/etc").glob("java-*")) if path.is_dir()]
    product = Product(
        name=name,
        workspace=bench.workspace,
        tree=bench.tree,
        prefix=making.prefix,
        readable=tuple(dict.fromkeys(readable)),
        programs=tuple(Path(os.path.realpath(path)) for path in around.searched()),
    )
    return _evidence(bench, "passed", f"installed, command {name} ({how})", command), product


# -- languages


def _javascript(making: _Making) -> str:
    package = _package(making.bench.tree)
    node = making.needs(NODE)
    declared = package.get("bin")
    own = declared if isinstance(declared, str) else (declared or {}).get(making.name) if _is_map(declared) else None
    if isinstance(declared, str) and str(package.get("name", "")).rpartition("/")[2] != making.name:
        own = None  # then the command has the package's name
    if not isinstance(own, str):
        return _as_it_is(making)
    tree = making.bench.tree
    if _is_map(package.get("scripts")) and package["scripts"].get("build"):
        making.needs(NPM)
        tree = making.built("npm run --silent build") / "copy"
    path = _inside(tree, own)
    if path is None:
        raise _NotMade(f"`bin` of package.json names {own!r:.200}, which is no file of it", place="package.json")
    kept = making.carried(tree)
    making.put(f"{shlex.quote(str(node))} {shlex.quote(str(kept / path))}")
    return f"node {path}"


def _go(making: _Making) -> str:
    making.needs(GO)
    own = f"cmd/{making.name}"
    target = f"./{own}" if (making.bench.tree / own).is_dir() else "."
    place = making.built(f'go build -o "$TMPDIR/made/{making.name}" {target}')
    _take(making, place / "tmp", f"made/{making.name}")
    return f"go build {target}"


def _rust(making: _Making) -> str:
    making.needs(CARGO)
    place = making.built('cargo build --offline --release --quiet --target-dir "$TMPDIR/target"')
    _take(making, place / "tmp", f"target/release/{making.name}")
    return "cargo build --release"


def _as_it_is(making: _Making) -> str:
    own = _inside(making.bench.tree, f"bin/{making.name}")
    if own is None or not os.access(making.bench.tree / own, os.X_OK):
        where = {"javascript": f'`"bin": {{"{making.name}": "FILE.js"}}` in package.json, or '}.get(making.language, "")
        raise _NotMade(f"it has no command {making.name}: {where}an executable file bin/{making.name} makes one")
    kept = making.carried(making.bench.tree)
    making.put(shlex.quote(str(kept / own)))
    return own


_MAKERS: Mapping[ProjectLanguage, Callable[[_Making], str]] = {"javascript": _javascript, "go": _go, "rust": _rust}


# -- files that somebody else has written


def _inside(tree: Path, relative: str) -> str | None:
    """The path of an ordinary file in there, reached through ordinary folders; None for all else."""
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\0" in relative or not pure.parts:
        return None
    try:
        for depth in range(1, len(pure.parts)):
            if not stat.S_ISDIR(os.lstat(tree.joinpath(*pure.parts[:depth])).st_mode):
                return None
        if not stat.S_ISREG(os.lstat(tree / pure).st_mode):
            return None
    except (OSError, ValueError):
        return None
    return pure.as_posix()


def _take(making: _Making, folder: Path, relative: str) -> None:
    """Put the program that was made there into the product. Whatever made it has ended."""
    if (own := _inside(folder, relative)) is None:
        raise _NotMade(f"what was built has no program {making.name}")
    target = making.prefix / "bin" / making.name
    descriptor = os.open(folder / own, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size > PROGRAM_BYTES_MAX:
            raise _NotMade(f"the program has {size} bytes; {PROGRAM_BYTES_MAX} are taken at most")
        with target.open("wb") as put:
            shutil.copyfileobj(file, put)
    target.chmod(0o755)


def _package(tree: Path) -> dict[str, Any]:
    path = tree / "package.json"
    if _inside(tree, "package.json") is None or path.stat().st_size > PACKAGE_BYTES_MAX:
        raise _NotMade("there is no package.json", place="package.json")
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _NotMade(f"package.json is no JSON: {error}"[:500], place="package.json") from error
    if not isinstance(told, dict):
        raise _NotMade("package.json is no JSON object", place="package.json")
    return told


def _is_map(value: object) -> bool:
    return isinstance(value, dict)


def _last(finished: Finished) -> str:
    printed = transcripts.text(finished.stderr if finished.stderr.strip() else finished.stdout).strip().splitlines()
    return printed[-1][:300] if printed else "nothing was printed"


def _evidence(
    bench: Bench, outcome: Any, summary: str, command: str, place: str = "", finished: Finished | None = None
) -> Evidence:
    return Evidence(
        check=CHECK,
        workspace=bench.workspace,
        outcome=outcome,
        summary=" ".join(summary.split())[:1000],
        command=command,
        marks=(Mark(message=summary[:4000], place=place),) if outcome == "failed" else (),
        output=transcripts.of(finished) if finished is not None else "",
        duration_ms=finished.duration_ms if finished is not None else 0,
    )
