"""YAML as a tree of texts with lines: no type is guessed, nothing is constructed, aliases are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from daybreak.factory.spec import questions
from daybreak.factory.spec.located import DEPTH_MAX, Mapping, Node, Scalar, Sequence
from daybreak.factory.spec.problems import Problems

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAK = re.compile("[\n\x85\u2028\u2029]")
_OTHER_BREAK = re.compile("[\x85\u2028\u2029]")
_POSITION = re.compile(r"position (\d+)")


class _Refused(Exception):
    """A document that is YAML but not ours."""

    def __init__(self, code: str, line: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code, self.line, self.message, self.remedy = code, line, message, remedy


@dataclass(slots=True)
class _Open:
    """A list or mapping that is not closed yet."""

    is_mapping: bool
    line: int
    items: list[Node] = field(default_factory=list)

    def close(self) -> Node:
        if not self.is_mapping:
            items = tuple(self.items)
            return questions.as_scalar(items, self.line) or Sequence(items, self.line)
        pairs = []
        for key, value in zip(self.items[::2], self.items[1::2], strict=True):
            if not isinstance(key, Scalar):
                raise _Refused("S124", key.line, "a key must be a single word", "write `key: value`")
            pairs.append((key, value))
        return Mapping(tuple(pairs), self.line)


def read(text: str, problems: Problems, *, lines_before: int = 0) -> Node | None:
    """The one document in `text`; None where it is empty or broken (then with a problem).

    `lines_before` is how many lines of the file stand above `text`.
    """
    places = _Places(text, lines_before)
    try:
        return _tree(text, places)
    except _Refused as error:
        problems.add(error.line, error.code, error.message, error.remedy)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = places.of(mark.line if mark else 0)
        what = error.problem or error.context or "it cannot be parsed"
        problems.add(line, "S118", f"this is not YAML: {what}", _remedy(str(what)))
    except yaml.YAMLError as error:
        at = _POSITION.search(str(error))
        line = text.count("\n", 0, int(at[1])) + 1 if at else 1
        first = str(error).split("\n")[0]
        problems.add(line + lines_before, "S118", f"this is not YAML: {first}", "remove that character")
    return None


class _Places:
    """Lines of the file for lines of the parser, which also counts U+0085, U+2028 and U+2029 as line ends."""

    def __init__(self, text: str, lines_before: int) -> None:
        self.before = lines_before
        self.last = lines_before + text.rstrip("\n").count("\n") + 1
        self.starts: list[int] | None = None
        if _OTHER_BREAK.search(text):
            self.starts = [0]
            for found in _BREAK.finditer(text):
                self.starts.append(self.starts[-1] + (found[0] == "\n"))

    def of(self, line: int) -> int:
        """The line of the file, from 1, for the parser's line, from 0; never below the last one that is written."""
        if self.starts is not None:
            line = self.starts[min(line, len(self.starts) - 1)]
        return min(self.before + line + 1, self.last)


def _remedy(what: str) -> str:
    if "mapping values" in what:
        return "put a value that holds `: ` in quotes"
    if "tab" in what or "\\t" in what or "cannot start any token" in what:
        return "indent with blanks, and put values that begin with a special character in quotes"
    return "look at the indentation, quotes and brackets of this line and the one above"


def _tree(text: str, places: _Places) -> Node | None:
    stack: list[_Open] = []
    root: Node | None = None
    documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = places.of(event.start_mark.line if event.start_mark else 0)
        node: Node | None = None
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise _Refused("S118", line, "a second document begins here", "remove the `---`")
            case yaml.AliasEvent():
                raise _Refused(
                    "S119",
                    line,
                    f"aliases (*{event.anchor}) are not used here",
                    "write the value out where it is needed",
                )
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                _refuse_tag(event.tag, line)
                if len(stack) >= DEPTH_MAX:
                    raise _Refused(
                        "S119",
                        line,
                        f"nested deeper than {DEPTH_MAX} levels",
                        "a specification needs six levels at most",
                    )
                stack.append(_Open(isinstance(event, yaml.MappingStartEvent), line))
            case yaml.ScalarEvent():
                _refuse_tag(event.tag, line)
                node = _scalar(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                node = stack.pop().close()
            case _:
                pass
        if node is None:
            continue
        if stack:
            stack[-1].items.append(node)
        else:
            root = node
    return None if isinstance(root, Scalar) and root.is_null else root


def _refuse_tag(tag: str | None, line: int) -> None:
    if tag is not None and tag != "!":
        raise _Refused("S118", line, f"tags ({tag}) are not used here", "write the value alone")


def _scalar(event: yaml.ScalarEvent, line: int) -> Scalar:
    block = event.style in ("|", ">")
    text = event.value
    if any(ord(letter) < 9 or "\ud800" <= letter <= "\udfff" for letter in text):
        raise _Refused(
            "S116", line, "the value holds a control character or half a surrogate pair", "remove the escape"
        )
    return Scalar(
        text,
        line,
        plain=event.style in (None, ""),
        first_line=line + 1 if block else line,
        by_line=event.style == "|",
    )
