"""A JavaScript program that does nothing: every module with the names that it had, and nothing behind them.

Tests that pass on it prove nothing. Files are read as text and never run; what cannot be read that way loses its names,
and then whatever needs them fails, as it would without the program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from daybreak.factory.validate import languages

BYTES_MAX = 2_000_000
"""Of one file; a longer one loses its names."""
NAMES_MAX = 2_000
_SETTINGS = re.compile(r"(^|/)(\.[^/]*|[^/]*\.config)\.[cm]?[jt]s$")
_NAME = r"[A-Za-z_$][\w$]{0,200}"
_EXPORTED = re.compile(
    rf"^[ \t]*export[ \t]+(?:async[ \t]+)?(?:function[ \t]{{0,9}}\*?|class|const|let|var|enum)[ \t]+({_NAME})",
    re.MULTILINE,
)
_LISTED = re.compile(r"^[ \t]*export[ \t]*\{([^{}]{0,20000})\}", re.MULTILINE)
_IS_MODULE = re.compile(r"^[ \t]*(?:import[ \t{*'\"]|export[ \t{*])", re.MULTILINE)
_ASSIGNED = re.compile(rf"\bexports\.({_NAME})[ \t]*=")
_WHOLE = re.compile(r"\bmodule\.exports[ \t]*=[ \t\n]*\{([^{}]{0,20000})\}")
_KEY = re.compile(rf"^\s*({_NAME})\s*(?:[,:(]|$)")
_NOTHING = """\
const nothing = new Proxy(function () {}, {
  get: (target, name) => {
    if (name === "prototype") return target.prototype;
    return name === "then" || typeof name === "symbol" ? undefined : nothing;
  },
  apply: () => undefined,
  construct: () => ({}),
});
"""


def is_program(path: str) -> bool:
    """Is it a part of the program rather than of its tests or of how tools are set up?"""
    return not languages.is_test(path) and not _SETTINGS.search(path)


def program(paths: Iterable[str]) -> list[str]:
    """Of those paths the JavaScript and TypeScript of the program."""
    return [path for path in languages.sources(paths, "javascript") if is_program(path)]


def make(folder: Path, paths: Sequence[str]) -> int:
    """Empty the program whose files are `paths` in `folder`, a copy of ours that nothing has run in; how many files.
    Raises OSError."""
    modules = _type_is_module(folder)
    files = [path for path in program(paths) if (folder / path).is_file() and not (folder / path).is_symlink()]
    for path in files:
        file = folder / path
        text = file.read_bytes().decode("utf-8", "replace") if file.stat().st_size <= BYTES_MAX else ""
        file.write_text(emptied(path, text, modules=modules), encoding="utf-8")
    return len(files)


def emptied(path: str, text: str, *, modules: bool) -> str:
    """The same module with nothing in it. `modules`: the project says that its files are ECMAScript modules."""
    suffix = PurePosixPath(path).suffix
    first = text.partition("\n")[0] + "\n" if text.startswith("#!") else ""
    typed = suffix in (".ts", ".tsx", ".mts")
    if suffix == ".mjs" or typed or (suffix not in (".cjs", ".cts") and (modules or _IS_MODULE.search(text))):
        names = [*_EXPORTED.findall(text), *(name for part in _LISTED.findall(text) for name in _outside(part))]
        kept = [name for name in dict.fromkeys(names) if name not in ("nothing", "default")][:NAMES_MAX]
        lines = [f"const own_{at} = nothing;\nexport {{ own_{at} as {name} }};\n" for at, name in enumerate(kept)]
        return first + _NOTHING + "".join(lines) + "export default nothing;\n"
    names = [*_ASSIGNED.findall(text), *(name for part in _WHOLE.findall(text) for name in _keys(part))]
    told = ", ".join(list(dict.fromkeys(names))[:NAMES_MAX])
    hint = f"0 && (module.exports = {{ {told} }});\n" if told else ""  # by which importers know the names
    return first + _NOTHING + "module.exports = nothing;\n" + hint


def _outside(part: str) -> list[str]:
    """Names under which `a, b as c` is known outside."""
    found = (one.split(" as ")[-1].strip() for one in part.split(","))
    return [name for name in found if re.fullmatch(_NAME, name)]


def _keys(part: str) -> list[str]:
    """Keys of what stands between braces, as far as they can be told."""
    return [found[1] for one in part.split(",") if (found := _KEY.match(one))]


def _type_is_module(folder: Path) -> bool:
    path = folder / "package.json"
    if not path.is_file() or path.is_symlink() or path.stat().st_size > BYTES_MAX:
        return False
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.get("type") == "module"
