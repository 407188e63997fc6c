"""What version a program says it is, read from what it really prints."""

from __future__ import annotations

import re

# 2.39.5 · 2.45.0.rc1 · 1.76.0-nightly (1.76.0) · 1.1.1w (1.1.1) · 2.39.1.windows.1 (2.39.1) · 1.8.0_292 (1.8.0)
_NUMBERS = r"\d{1,9}(?:\.\d{1,9}){1,5}(?:[-._]?(?:rc|alpha|beta|a|b|dev)[-._]?\d{1,9}(?![\w.]))?"
_DOTTED = re.compile(rf"(?<![\w./])(?:v|go|n|jq-)?({_NUMBERS})", re.IGNORECASE)
_SAID = re.compile(rf"\bversion\W{{1,4}}(?:v|go|n)?({_NUMBERS})", re.IGNORECASE)
_WHOLE = re.compile(r"\bversion\W{1,3}v?(\d{1,9})(?![\w.])", re.IGNORECASE)
_TEXT_CHARS_MAX = 16_384


def read_version(text: str, *, name: str, pattern: str | None = None) -> str | None:
    """The version in the output of `name --version`, in PEP 440's spelling; None where there is none.

    Looked for, in this order: `pattern`'s first group; the program's name followed by a dotted number; the word
    version followed by one; any dotted number that is not part of a path, an address or another program's
    name; a whole number after the name or the word version."""
    text = text[:_TEXT_CHARS_MAX]
    if pattern is not None:
        return _normal(match[1]) if (match := re.search(pattern, text)) and match[1] else None
    after_name = rf"(?<![\w./-]){re.escape(name)}(?:\.exe)?[\s/,:-]{{1,4}}"
    named = re.compile(rf"{after_name}(?:version\W{{1,4}})?v?({_NUMBERS})", re.IGNORECASE)
    whole = re.compile(rf"{after_name}v?(\d{{1,9}})(?![\w.])", re.IGNORECASE)
    for way in (named, _SAID, _DOTTED, whole, _WHOLE):
        for match in way.finditer(text):
            if way is not _DOTTED or not (_is_address(match[1]) or _in_path(text, match.start(1))):
                return _normal(match[1])
    return None


def _in_path(text: str, at: int) -> bool:
    """Whether the word that this place is in has a slash before it."""
    return "/" in text[:at].rsplit(maxsplit=1)[-1] if text[:at].strip() and not text[at - 1].isspace() else False


def _is_address(text: str) -> bool:
    """Four small numbers with nothing before them that calls them a version."""
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts)


def _normal(text: str) -> str | None:
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(text))
    except InvalidVersion:
        return None


def fits(version: str, versions: str) -> bool:
    """Whether a version is in the range. Pre-releases count by their order: 2.45rc1 is below 2.45."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(versions).contains(version, prereleases=True)
