"""Text inside text: base64, hex, percent and entity encoding, escapes, rot13, reversed, spaced out, digits for letters.

Each gives further texts to scan. Bounded: at most so many pieces and characters for one text.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

PIECES_MAX = 1000
DECODED_MAX = 1_000_000
"""Characters of decoded text that are looked at, for one text."""


class Inner(NamedTuple):
    """A text found at characters `start` to `end`. `whole`: all of what stands there, read differently."""

    start: int
    end: int
    text: str
    how: str
    whole: bool = False


_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,20000}(?:\r?\n[ \t]{0,8}[A-Za-z0-9+/_-]{16,200}){0,300}={0,2}"
)
_HEX = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}[ :,]?){12,4000}(?![0-9A-Fa-f])")
_ESCAPES = re.compile(r"(?:\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|0x[0-9A-Fa-f]{2},?\s?){8,4000}")
_ONE_ESCAPE = re.compile(r"(?:\\x|\\u|0x)([0-9A-Fa-f]{2,4})")
_SPACED = re.compile(r"(?<![^\W_])(?:[A-Za-z][ .\-_*]{1,3}){6,400}[A-Za-z](?![^\W_])")
_DIGITS = re.compile(r"(?=[A-Za-z@$!|]{0,20}[0134578@$!|])(?=[0134578@$!|]{0,20}[A-Za-z])[A-Za-z0-9@$!|]{3,24}")
_LEET = str.maketrans("01345789@$!|", "oieastbgasil")

_KEYWORDS = (
    *("ignore", "instructions", "disregard", "system", "prompt", "reveal", "password", "secret", "forget", "override"),
    *("execute", "delete", "curl", "send", "rules", "anweisung", "consignes", "instrucciones", "istruzioni"),
)
_ROT13 = tuple(codecs.encode(word, "rot13") for word in _KEYWORDS)
_REVERSED = tuple(word[::-1] for word in _KEYWORDS if len(word) > 5)


def inners(text: str) -> tuple[list[Inner], bool]:
    """Every text that may be inside, in a fixed order; and whether there were more than are looked at."""
    found: list[Inner] = []
    left = DECODED_MAX
    for inner in _all(text):
        left -= len(inner.text)
        if len(found) >= PIECES_MAX or left < 0:
            return found, True
        found.append(inner)
    return found, False


def _all(text: str) -> Iterator[Inner]:
    lowered = text.lower()
    if text.count("%") >= 3:
        yield from _changed(text, unquote, "percent encoding")
    if "&" in text:
        yield from _changed(text, html.unescape, "HTML entities")
    yield from _changed(text, lambda line: _DIGITS.sub(_without_digits, line), "digits for letters")
    if sum(word in lowered for word in _ROT13) >= 2:
        yield Inner(0, len(text), codecs.encode(text, "rot13"), "rot13", whole=True)
    if sum(word in lowered for word in _REVERSED) >= 2:
        yield Inner(0, len(text), text[::-1], "reversed", whole=True)
    for match in _SPACED.finditer(text):
        yield Inner(*match.span(), _together(match[0]), "letters apart")
    for match in _ESCAPES.finditer(text):
        codes = [int(one[1], 16) for one in _ONE_ESCAPE.finditer(match[0])]
        yield Inner(*match.span(), "".join(map(chr, codes)), "escapes")
    for match in _HEX.finditer(text):
        if (said := _readable(_from_hex(match[0]))) is not None:
            yield Inner(*match.span(), said, "hex")
    for match in _BASE64.finditer(text):
        if (said := _readable(_from_base64(match[0]))) is not None:
            yield Inner(*match.span(), said, "base64")


def _changed(text: str, decode: Callable[[str], str], how: str) -> Iterator[Inner]:
    """The lines that read differently once decoded; those that follow each other as one piece."""
    decoded: list[str] = []
    start = at = 0
    for line in text.splitlines(keepends=True):
        other = decode(line)
        if other != line:
            start = start if decoded else at
            decoded.append(other)
        elif decoded:
            yield Inner(start, at, "".join(decoded), how, whole=True)
            decoded = []
        at += len(line)
    if decoded:
        yield Inner(start, at, "".join(decoded), how, whole=True)


def _without_digits(match: re.Match[str]) -> str:
    word = match[0]
    letters = sum(letter.isalpha() for letter in word)
    return word.translate(_LEET) if letters >= 2 and letters * 2 >= len(word) else word


def _together(text: str) -> str:
    """`i g n o r e  a l l` as `ignore all`: one sign between letters, more between words."""
    sign = text[1]
    words = re.split(re.escape(sign) + r"{2,3}|[ ]{2,3}" if sign != " " else r"[ ]{2,3}", text)
    return " ".join(re.sub(r"[ .\-_*]", "", word) for word in words)


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(re.sub(r"[ :,]", "", text))
    except ValueError:
        return b""


def _from_base64(text: str) -> bytes:
    body = re.sub(r"[\s=]", "", text).translate(str.maketrans("-_", "+/"))
    body = body[: len(body) - len(body) % 4] if len(body) % 4 == 1 else body
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _readable(data: bytes) -> str | None:
    """The bytes as text if a person could have written it, else None."""
    if len(data) < 10:
        return None
    for encoding in ("utf-8", "utf-16-le"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        shown = sum(letter.isprintable() or letter in "\n\r\t" for letter in text)
        if shown >= 0.95 * len(text) and (text.isascii() or encoding == "utf-8"):
            return text
    return None
