"""Three versions of one file into one, by what the file is."""

from __future__ import annotations

from pathlib import PurePosixPath

from daybreak.host.merge.duplicates import check_lines
from daybreak.host.merge.outcome import Conflict, Conflicts, How, Merged, NotStructural, Sides
from daybreak.host.merge.problems import MergeRefused, TooLarge
from daybreak.host.merge.text import merge_text

BYTES_MAX = 8 * 1024 * 1024
"""Of a file that both sides changed."""
STRUCTURED_BYTES_MAX: dict[How, int] = {"python": 1 << 20, "json": 1 << 20, "toml": 1 << 20, "yaml": 1 << 18}
"""Above it a file is merged as text: YAML takes its library about ten seconds for a megabyte."""
_PATH_CHARACTERS_MAX = 4096
_HOW: dict[str, How] = {
    ".py": "python",
    ".pyi": "python",
    ".json": "json",
    ".webmanifest": "json",
    ".ipynb": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
}


def merge(base: bytes, ours: bytes, theirs: bytes, path: str, *, markers: bool = False) -> Merged | Conflicts:
    """Merge three versions of the file at `path` (whose name says what it is; it is not opened).

    What one side alone did is kept, whatever it is: where two of the three are equal the result is the third, byte
    for byte. Where both did something, Python is merged by definitions, JSON, YAML and TOML by keys, all else by lines;
    `steps_down` says where that could not be. `markers`: a conflict carries the text with markers.

    Raises MergeRefused for arguments that make no sense, TooLarge.
    """
    sides = _checked(base, ours, theirs, path)
    if sides.ours == sides.theirs:
        return Merged(sides.ours, "same")
    if sides.base == sides.ours:
        return Merged(sides.theirs, "theirs")
    if sides.base == sides.theirs:
        return Merged(sides.ours, "ours")
    if any(len(side) > BYTES_MAX for side in (sides.base, sides.ours, sides.theirs)):
        raise TooLarge(f"{path[:200]} has more than {BYTES_MAX} bytes", hint="take one side, or merge it by hand")
    if any(b"\0" in side for side in (sides.base, sides.ours, sides.theirs)):
        return _binary(sides)
    return _by_what_it_is(sides, markers)


def _checked(base: object, ours: object, theirs: object, path: object) -> Sides:
    three = [bytes(side) for side in (base, ours, theirs) if isinstance(side, bytes | bytearray | memoryview)]
    if len(three) != 3:
        raise MergeRefused("base, ours and theirs must be bytes", hint="read files with read_bytes()")
    if not isinstance(path, str) or not path or len(path) > _PATH_CHARACTERS_MAX or "\0" in path:
        raise MergeRefused("the path is no path", hint="give the file's name as a string; it is not opened")
    return Sides(path, three[0], three[1], three[2])


def _binary(sides: Sides) -> Conflicts:
    what = "both changed a binary file: take one side"
    return Conflicts(sides.path, (Conflict(sides.path, "", "binary", None, None, None, what),), "binary")


def _by_what_it_is(sides: Sides, markers: bool) -> Merged | Conflicts:
    how = _HOW.get(PurePosixPath(sides.path).suffix.lower())
    notes: list[str] = []
    if how is not None:
        try:
            if max(map(len, (sides.base, sides.ours, sides.theirs))) > STRUCTURED_BYTES_MAX[how]:
                raise NotStructural(f"it has more than {STRUCTURED_BYTES_MAX[how]} bytes")
            return _with_marks(_structural(how, sides), sides, markers)
        except NotStructural as problem:
            notes.append(f"merged as text, not as {how}: {problem}")
    result = merge_text(sides, steps_down=notes, markers=markers)
    if isinstance(result, Merged):
        return check_lines(sides, result, how, _reads)
    return result


def _structural(how: How, sides: Sides) -> Merged | Conflicts:
    """Libraries are imported here, where one is needed."""
    if how == "python":
        from daybreak.host.merge.python_text import merge_python

        return merge_python(sides)
    from daybreak.host.merge import json_text, toml_text, yaml_text
    from daybreak.host.merge.structured import merge_structured

    formats = {"json": json_text.FORMAT, "yaml": yaml_text.FORMAT, "toml": toml_text.FORMAT}
    return merge_structured(formats[how], sides)


def _with_marks(result: Merged | Conflicts, sides: Sides, markers: bool) -> Merged | Conflicts:
    """What conflicts by meaning may merge by lines: then there is nothing to mark."""
    if isinstance(result, Merged) or not markers:
        return result
    text = merge_text(sides, markers=True)
    marked = text.marked if isinstance(text, Conflicts) else None
    return Conflicts(result.path, result.conflicts, result.how, result.steps_down, marked)


def _reads(how: How, content: bytes) -> bool:
    """Whether the content can be read as what it is."""
    try:
        if how == "python":
            from daybreak.host.merge.python_text import parses

            return parses(content)
        from daybreak.host.merge import json_text, toml_text, yaml_text

        reads = {"json": json_text.read, "yaml": yaml_text.loads, "toml": toml_text.read}
        reads[how](content.decode())
    except (NotStructural, UnicodeDecodeError, RecursionError):
        return False
    return True
