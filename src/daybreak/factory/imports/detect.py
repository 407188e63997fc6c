"""Which format a file has, and by what one can tell."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal, get_args

from daybreak.factory.imports.gherkin_words import LANGUAGES
from daybreak.factory.imports.refusals import ImportWrongFormat

ImportFormat = Literal["spec-kit", "kiro", "gherkin", "openapi", "prd"]
FORMATS: tuple[ImportFormat, ...] = get_args(ImportFormat)

_FEATURE = re.compile(
    rf"\s*(?:{'|'.join(re.escape(w) for known in LANGUAGES.values() for w in known.blocks['feature'])}):"
)
_OPENAPI = re.compile(
    r"(?:^|[{,])\s*[\"']?(?P<key>openapi|swagger)[\"']?\s*:\s*[\"']?(?P<version>[\w.]+)", re.MULTILINE
)
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1", re.MULTILINE | re.DOTALL)
_NUMBERED = re.compile(r"^\s*[-*+]\s+\*\*FR-\d+", re.MULTILINE)
_EARS = re.compile(r"\b(WHEN|IF|WHILE|WHERE)\b.*\bSHALL\b")
_HEADING = re.compile(r"^#{1,6}\s+\S", re.MULTILINE)
_MARKDOWN = (".md", ".markdown", ".mdx")
_DATA = (".yaml", ".yml", ".json")
_CHOOSE = "say which with --from: " + ", ".join(FORMATS)


def detect(path: PurePath, text: str) -> tuple[ImportFormat, str]:
    """The format and the reason. Raises ImportWrongFormat where it is none, or a specification of ours."""
    ending = path.suffix.lower()
    if ending == ".feature":
        return "gherkin", "the file's name ends in .feature"
    if ending in _DATA:
        return _data(path, text)
    if ending not in _MARKDOWN and (first := _first_line(text)) and (_FEATURE.match(first) or first.startswith("@")):
        return "gherkin", "it begins with a feature"
    if _is_ours(text):
        raise ImportWrongFormat(
            f"{path} is a specification of Daybreak already", hint=f"check it with daybreak spec check {path}"
        )
    shown = _FENCE.sub("", text)
    if found := _markdown(path, shown):
        return found
    if ending not in _MARKDOWN and _HEADING.search(shown) is None:
        raise ImportWrongFormat(f"{path}: nobody can tell which format this is", hint=_CHOOSE)
    return "prd", "it is Markdown without the marks of spec-kit or Kiro, so headings are taken by their meaning"


def _is_ours(text: str) -> bool:
    """Front matter with a name, and objectives below it."""
    if not text.startswith("---\n") or (end := text.find("\n---\n", 3)) < 0:
        return False
    return re.search(r"^name:", text[:end], re.MULTILINE) is not None and "\n## Objectives" in text[end:]


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")), "")


def _data(path: PurePath, text: str) -> tuple[ImportFormat, str]:
    found = _OPENAPI.search(text)
    if found is None:
        raise ImportWrongFormat(
            f"{path} names no version of OpenAPI, and no other YAML or JSON is known here",
            hint="an OpenAPI document begins with openapi: 3.1.0",
        )
    return "openapi", f"it says {found['key']}: {found['version']}"


def _markdown(path: PurePath, text: str) -> tuple[ImportFormat, str] | None:
    if re.search(r"^#\s+Feature Specification\b", text, re.MULTILINE):
        return "spec-kit", "its title is Feature Specification"
    if re.search(r"^##\s+User Scenarios (&|and) Testing", text, re.MULTILINE):
        return "spec-kit", "it has the section User Scenarios & Testing"
    if re.search(r"^#\s+Requirements Document\b", text, re.MULTILINE):
        return "kiro", "its title is Requirements Document"
    criteria = re.search(r"^#{2,6}\s+Acceptance Criteria", text, re.MULTILINE)
    if criteria and _EARS.search(text):
        return "kiro", "its acceptance criteria are written in EARS (WHEN … SHALL …)"
    if path.name.lower() == "requirements.md" and _EARS.search(text):
        return "kiro", "it is called requirements.md and written in EARS (WHEN … SHALL …)"
    if _NUMBERED.search(text):
        return "spec-kit", "its requirements are numbered **FR-001**"
    return None
