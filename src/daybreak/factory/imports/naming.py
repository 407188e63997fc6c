"""Names of projects, entities and fields made from what other formats call them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from daybreak.factory.spec import names

_PROJECT_MAX = 40
GENERIC = frozenset(
    {"spec", "specs", "specification", "requirements", "requirement", "openapi", "swagger", "api", "prd", "feature"}
    | {"features", "readme", "document", "docs", "index", "product", "kiro", "src", "tmp", "main"}
)
"""What files and folders are called whatever they hold."""


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()


def project(candidates: Iterable[str]) -> str:
    """The first candidate that a package and a command can be called; empty where there is none."""
    for text in candidates:
        words = re.findall(r"[a-z0-9]+", _ascii(text).lower())
        while words and words[0][0].isdigit():
            words = words[1:]
        if not words or (len(words) == 1 and words[0] in GENERIC):
            continue
        kept = words[0][:_PROJECT_MAX]
        for word in words[1:]:
            if len(kept) + 1 + len(word) > _PROJECT_MAX - 4:
                break
            kept += f"-{word}"
        for name in (kept, f"{kept[: _PROJECT_MAX - 4]}-app"):
            if names.name_fault(name) is None:
                return name
    return ""


def entity(text: str) -> str:
    """`book loan`, `book_loan` and `bookLoan` are BookLoan; empty where no name can be made of it."""
    words = re.findall(r"[A-Za-z0-9]+", _ascii(text))
    name = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789")
    name = name[:1].upper() + name[1:]
    return _first_without_fault((name, f"{name}Record") if name else (), names.entity_fault)


def field(text: str) -> str:
    """`createdAt` is created_at; empty where no name can be made of it."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", _ascii(text).strip())
    name = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_").lstrip("0123456789_")
    return _first_without_fault((name, f"{name}_value"), names.field_fault)


def _first_without_fault(found: tuple[str, ...], fault: Callable[[str], object | None]) -> str:
    return next((name for name in found if name and fault(name) is None), "")
