"""XML without document types and entities (defusedxml), as elements of `xml.etree`, never deeper than the limits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from daybreak.host.typed import plain
from daybreak.host.typed.kinds import BOMS
from daybreak.host.typed.refusals import SENTENCE, ContentForbidden, FileRefused, Malformed, shown
from daybreak.host.typed.source import Source
from daybreak.host.typed.text import Text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")


def _target(source: Source) -> Any:
    """Builds elements, and stops at the limits. Its `expat` knows the place and is set when the parser is there."""
    from xml.etree.ElementTree import TreeBuilder

    limits = source.limits

    class Counting(TreeBuilder):
        expat: Any = None
        depth = count = 0

        def start(self, tag: Any, attrs: Any, /) -> Element:
            self.depth += 1
            self.count += 1 + len(attrs)
            place = self.expat.CurrentLineNumber, self.expat.CurrentColumnNumber + 1
            if self.depth > limits.depth_max:
                raise plain.too_deep(source.path, limits, *place)
            if self.count > limits.values_max:
                raise plain.too_many(source.path, limits, *place)
            return super().start(tag, attrs)

        def end(self, tag: str, /) -> Element:
            self.depth -= 1
            return super().end(tag)

    return Counting()


def parse(source: Source) -> tuple[Element, Text]:
    """The root element. Comments and processing instructions are left out. The encoding is the file's own word."""
    from xml.etree.ElementTree import Element, ParseError

    from defusedxml import DefusedXmlException  # type: ignore[import-untyped] # has no types
    from defusedxml.ElementTree import DefusedXMLParser  # type: ignore[import-untyped] # has no types

    target = _target(source)
    parser = DefusedXMLParser(target=target, encoding=source.encoding, forbid_dtd=True)
    target.expat = parser.parser

    def refusal(kind: type[FileRefused], what: str, hint: str) -> FileRefused:
        expat = parser.parser
        return kind.at(source.path, what, hint=hint, line=expat.CurrentLineNumber, column=expat.CurrentColumnNumber + 1)

    try:
        parser.feed(source.data)
        root = parser.close()
    except DefusedXmlException as error:
        what = "a document type" if "DTD" in type(error).__name__ else "an entity of its own"
        raise refusal(ContentForbidden, what, "write it without <!DOCTYPE …>: it can read other files") from error
    except ParseError as error:
        raise refusal(Malformed, f"not XML: {shown(str(error), SENTENCE)}", "mend the text at this place") from error
    except (LookupError, ValueError, TypeError) as error:  # an encoding that the parser does not know
        raise refusal(Malformed, f"not XML: {shown(str(error), SENTENCE)}", "store it as UTF-8") from error
    assert isinstance(root, Element)
    return root, Text("", _encoding(source))


def _encoding(source: Source) -> str:
    marked = next((codec for mark, codec in BOMS if source.data.startswith(mark)), None)
    declared = _DECLARED.match(source.data[:300])
    return source.encoding or marked or (declared[1].decode().lower() if declared else "utf-8")


def render(value: object, path: str) -> bytes:
    """UTF-8 with a declaration. Raises NotWritable."""
    from xml.etree.ElementTree import Element, tostring

    if not isinstance(value, Element):
        raise plain.unwritable(path, "XML", "", "is no xml.etree.ElementTree.Element")
    _refuse_unwritable(value, path)
    try:
        data: bytes = tostring(value, encoding="utf-8", xml_declaration=True)
    except (TypeError, ValueError, AttributeError) as error:
        raise plain.unwritable(path, "XML", "", f"cannot be said: {shown(str(error), SENTENCE)}") from error
    return data.replace(b"\r", b"&#13;") + b"\n"  # in text; readers take a bare one for a line end


def _refuse_unwritable(root: Element, path: str) -> None:
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > 200:
            raise plain.unwritable(path, "XML", "", "is nested deeper than 200 levels")
        for element in level:
            if not isinstance(element.tag, str):
                raise plain.unwritable(path, "XML", "", "has a comment or a processing instruction in it")
            said = [element.tag, element.text or "", element.tail or "", *element.attrib, *element.attrib.values()]
            plain.refuse_unwritable(said, path, "XML")
        level = [inner for element in level for inner in element]


def same(one: Element, other: Element) -> bool:
    """Whether two trees say the same; no text and empty text are the same, and what follows the root does not count."""
    todo = [(one, other, True)]
    while todo:
        a, b, is_root = todo.pop()
        if a.tag != b.tag or a.attrib != b.attrib or (a.text or "") != (b.text or "") or len(a) != len(b):
            return False
        if not is_root and (a.tail or "") != (b.tail or ""):
            return False
        todo += [(x, y, False) for x, y in zip(a, b, strict=True)]
    return True
