"""JSON as a tree of texts with lines; duplicate keys are kept, so that they can be named."""

from __future__ import annotations

import json
import re

from daybreak.factory.spec.located import DEPTH_MAX, Mapping, Node, Scalar, Sequence
from daybreak.factory.spec.problems import Problems

_BLANK = re.compile(r"[ \t\n\r]*")
_LITERAL = re.compile(r"(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])", re.ASCII)
_DECODER = json.JSONDecoder()


class _Broken(Exception):
    def __init__(self, at: int, message: str, remedy: str, code: str = "S118") -> None:
        super().__init__(message)
        self.at, self.message, self.remedy, self.code = at, message, remedy, code


def read(text: str, problems: Problems) -> Node | None:
    """The one value in `text`, or None with a problem."""
    reader = _Reader(text)
    try:
        return reader.document()
    except _Broken as error:
        line = text.count("\n", 0, error.at) + 1
        problems.add(line, error.code, error.message, error.remedy)
    except json.JSONDecodeError as error:
        problems.add(
            error.lineno, "S118", f"this is not JSON: {error.msg}", "look at the quotes and backslashes of this text"
        )
    return None


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.counted_to, self.line = 0, 1

    def document(self) -> Node:
        node = self.value(0)
        self.skip()
        if self.at < len(self.text):
            raise _Broken(self.at, "this is not JSON: there is more after the end", "remove what follows")
        return node

    def skip(self) -> None:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def here(self) -> int:
        self.line += self.text.count("\n", self.counted_to, self.at)
        self.counted_to = self.at
        return self.line

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise _Broken(
                self.at, f"nested deeper than {DEPTH_MAX} levels", "a specification needs six levels at most", "S119"
            )
        match self.peek():
            case "{":
                return self.mapping(depth)
            case "[":
                return self.sequence(depth)
            case '"':
                return self.string()
        if literal := _LITERAL.match(self.text, self.at):
            node = Scalar(literal[0], self.here())
            self.at = literal.end()
            return node
        raise _Broken(self.at, "this is not JSON: a value is missing here", "write text in double quotes")

    def string(self) -> Scalar:
        line = self.here()
        text, self.at = _DECODER.raw_decode(self.text, self.at)
        if any(ord(letter) < 9 or "\ud800" <= letter <= "\udfff" for letter in text):
            raise _Broken(
                self.at, "the value holds a control character or half a surrogate pair", "remove the escape", "S116"
            )
        return Scalar(text, line, plain=False)

    def sequence(self, depth: int) -> Sequence:
        line = self.here()
        self.at += 1
        items: list[Node] = []
        while self.peek() != "]" or items:
            items.append(self.value(depth + 1))
            if not self.more("]"):
                return Sequence(tuple(items), line)
        self.at += 1
        return Sequence((), line)

    def mapping(self, depth: int) -> Mapping:
        line = self.here()
        self.at += 1
        pairs: list[tuple[Scalar, Node]] = []
        while self.peek() != "}" or pairs:
            if self.peek() != '"':
                raise _Broken(self.at, "this is not JSON: a key in double quotes is missing", 'write "key": value')
            key = self.string()
            if self.peek() != ":":
                raise _Broken(self.at, "this is not JSON: a colon is missing after the key", 'write "key": value')
            self.at += 1
            pairs.append((key, self.value(depth + 1)))
            if not self.more("}"):
                return Mapping(tuple(pairs), line)
        self.at += 1
        return Mapping((), line)

    def more(self, end: str) -> bool:
        """Past a comma: True. Past `end`: False."""
        found = self.peek()
        if found not in (",", end) or not found:
            raise _Broken(self.at, f"this is not JSON: a comma or {end} is missing", f"write a comma or {end}")
        self.at += 1
        return found == ","
