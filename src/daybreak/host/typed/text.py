"""Bytes to text: by byte order mark, as UTF-8, as the caller says, or by a guess that is marked as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from daybreak.host.typed.kinds import BOMS, CONTROL_BYTES
from daybreak.host.typed.refusals import ContentForbidden, LimitsRefused, NotText
from daybreak.host.typed.source import Source

_GUESS_FROM_BYTES = 131_072
_GUESSES = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "mac_roman"),
    *("cp932", "euc_jp", "gb18030", "big5", "euc_kr"),
)
"""Encodings that a guess may come out with: what people's old files are in. Not UTF-16 without its mark, not EBCDIC:
a short Western text looks like those to a frequency count."""


@dataclass(frozen=True, slots=True)
class Text:
    """Decoded text without its byte order mark. Line endings are as in the file."""

    text: str
    encoding: str
    """Name of the codec: `utf-8`, `utf-8-sig`, `utf-16`, `cp1252`, …"""
    guessed: bool = False


def decode(source: Source, *, guess: bool) -> Text:
    """The text of a file. Where it is neither marked, named nor UTF-8, `guess` decides between a guess and a refusal.
    Raises NotText, ContentForbidden for NUL (with its place), LimitsRefused for an encoding that does not exist."""
    if source.encoding is not None:
        found = Text(_decoded(source, source.encoding), source.encoding)
    elif codec := next((codec for mark, codec in BOMS if source.data.startswith(mark)), None):
        found = Text(_decoded(source, codec), codec)
    else:
        try:
            found = Text(source.data.decode("utf-8"), "utf-8")
        except UnicodeDecodeError as error:
            found = _guessed(source) if guess else _not_utf8(source, error)
    if (at := found.text.find("\0")) >= 0:
        line, column = place(found.text, at)
        raise ContentForbidden.at(
            source.path, "a NUL character", hint="text holds none; is this a binary file?", line=line, column=column
        )
    return found


def place(text: str, at: int) -> tuple[int, int]:
    """Line and column, both from 1, of the character at index `at`."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _decoded(source: Source, codec: str) -> str:
    try:
        return source.data.decode(codec)
    except UnicodeDecodeError as error:
        _refuse(source, error, f"is not {codec}")
    except UnicodeError as error:  # UTF-16 and idna say some things without a place
        raise NotText.at(source.path, f"is not {codec}: {error}", hint="name its encoding: encoding=…") from error
    except (LookupError, ValueError) as error:
        raise LimitsRefused(f"there is no text encoding {codec[:60]!r}", hint="for example utf-8 or cp1252") from error


def _not_utf8(source: Source, error: UnicodeDecodeError) -> NoReturn:
    _refuse(source, error, "is not UTF-8")


def _refuse(source: Source, error: UnicodeDecodeError, what: str) -> NoReturn:
    line = source.data.count(b"\n", 0, error.start) + 1
    column = error.start - source.data.rfind(b"\n", 0, error.start)
    raise NotText.at(
        source.path,
        f"{what} (byte 0x{source.data[error.start]:02x} at {error.start})",
        hint="store it as UTF-8, or name its encoding: encoding=…",
        line=line,
        column=column,
    ) from error


def _guessed(source: Source) -> Text:
    """A guess from the first part of the file, which must then hold for all of it."""
    data = source.data
    if len(data.translate(None, CONTROL_BYTES)) < len(data):
        raise NotText.at(source.path, "is binary, not text", hint="name another type, or the encoding: encoding=…")
    from charset_normalizer import from_bytes  # late: 40 ms

    sample = data[:_GUESS_FROM_BYTES]
    if len(sample) < len(data):
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    matches = list(from_bytes(sample, cp_isolation=list(_GUESSES), preemptive_behaviour=False))
    for match in sorted(matches, key=_unlikeliness):
        for codec in sorted({match.encoding, *match.could_be_from_charset} & set(_GUESSES), key=_GUESSES.index):
            try:
                return Text(data.decode(codec), codec, guessed=True)
            except UnicodeDecodeError:
                continue
    raise NotText.at(source.path, "is text in no encoding that is known here", hint="name it: encoding=…")


def _unlikeliness(match: Any) -> tuple[float, int]:
    """By what the library measures: disorder, and how often letters come as in a known language. Neither is sharp for
    short texts, so the most common encoding has a little start, and of equals the more common one wins."""
    start = 0.05 if match.encoding == _GUESSES[0] else 0.0
    return round(match.chaos - match.coherence / 2 - start, 3), _GUESSES.index(match.encoding)
