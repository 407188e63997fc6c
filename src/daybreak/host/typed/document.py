"""Read, recognise, write and edit files: the right handler, checked content, typed refusals before any work."""

from __future__ import annotations

import builtins
import copy
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from daybreak.host.naming import named, told
from daybreak.host.typed import kinds, plain, tables
from daybreak.host.typed.handlers import Handler, choose, find
from daybreak.host.typed.kinds import Kind
from daybreak.host.typed.limits import DEFAULT, Limits, checked
from daybreak.host.typed.plain import Key
from daybreak.host.typed.refusals import (
    SENTENCE,
    FileEmpty,
    FileMissing,
    FileRefused,
    FileUnreadable,
    KindUnknown,
    LimitsRefused,
    NotWritable,
    ReadBackDiffers,
    WrongKind,
    WrongShape,
    shown,
)
from daybreak.host.typed.source import Source, not_a_file, path_text, read_bytes, read_head
from daybreak.host.typed.text import Text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Document(Generic[T]):
    """A file as it was read."""

    path: str
    value: T
    """By kind: plain values (json, yaml, toml), a list of them (jsonl), a Table (csv, tsv), a Page (markdown), an
    Element (xml, svg), text, a Listing (archives), bytes (images, pdf, sqlite)."""
    kind: Kind
    encoding: str | None
    """Of text; None for others."""
    guessed: bool
    """Whether the encoding is a guess."""
    size: int
    """Bytes on disk."""
    sha256: str
    """64 hex digits, of the bytes on disk."""


@overload
def read(
    path: str | os.PathLike[str],
    type: str | Kind | None = None,
    *,
    limits: Limits = DEFAULT,
    encoding: str | None = None,
) -> Document[Any]: ...


@overload
def read(
    path: str | os.PathLike[str],
    type: str | Kind | None = None,
    *,
    into: builtins.type[T],
    limits: Limits = DEFAULT,
    encoding: str | None = None,
) -> Document[T]: ...


def read(
    path: str | os.PathLike[str],
    type: str | Kind | None = None,
    *,
    into: Any = None,
    limits: Limits = DEFAULT,
    encoding: str | None = None,
) -> Document[Any]:
    """The file at `path`, as what its extension says, or `type` (the name of a kind).

    `into`: a type that msgspec can convert plain values to (dataclass, Struct, TypedDict, `list[int]`, …); the value
    is then of that type. Tables are converted from their records, and their cells from text.
    `encoding`: of text, where it is neither UTF-8 nor marked; without it JSON, YAML and TOML refuse, others guess.
    Raises FileRefused (see `refusals` for each case) before anything is made of the content; UsageError for options.
    """
    name = path_text(path)
    checked(limits)
    _check_encoding(encoding)
    handler = choose(name, type)
    return _parsed(Source(name, read_bytes(name, limits.bytes_max), limits, encoding), handler, into)


def _check_encoding(encoding: object) -> None:
    if encoding is not None and (not isinstance(encoding, str) or not encoding.isascii() or "\0" in encoding):
        raise LimitsRefused(f"there is no encoding {named(encoding)}", hint="for example utf-8 or cp1252")


def _parsed(source: Source, handler: Handler, into: Any) -> Document[Any]:
    value, text = _value(source, handler)
    if into is not None:
        value = _shaped(value, into, source.path)
    from hashlib import sha256  # late, like all that costs milliseconds to import

    return Document(
        source.path,
        value,
        handler.kind,
        text.encoding if text else None,
        text.guessed if text else False,
        len(source.data),
        sha256(source.data).hexdigest(),
    )


def _value(source: Source, handler: Handler) -> tuple[Any, Text | None]:
    if not source.data:
        if source.limits.empty_ok and handler.empty is not None:
            return handler.empty(), Text("", "utf-8")
        raise FileEmpty.at(source.path, "is empty", hint="was it written to its end? Limits(empty_ok=True) takes text")
    content = kinds.of_bytes(source.data)
    if not handler.accepts(content) and not _may_be_text(source, handler, content):
        raise WrongKind.at(
            source.path,
            f"should be {handler.kind.name}, but holds {_in_words(content)}",
            hint="check how it was made, or say what it is: type=…",
        )
    try:
        return handler.parse(source)
    except RecursionError:
        raise plain.too_deep(source.path, source.limits) from None


def _may_be_text(source: Source, handler: Handler, content: Kind) -> bool:
    """Whether decoding shall have the word: it knows the encoding, or the place of the NUL."""
    if handler.kind.family != "text" or content.name != "binary":
        return False
    return source.encoding is not None or kinds.has_stray_nul(source.data)


def _in_words(content: Kind) -> str:
    return {"binary": "binary data", "text": "text"}.get(content.name, content.name)


def _shaped(value: Any, into: Any, path: str) -> Any:
    import msgspec

    strict = not isinstance(value, tables.Table)
    try:
        return msgspec.convert(value if strict else value.records(), into, strict=strict)
    except msgspec.ValidationError as error:
        raise WrongShape.at(path, _said(error), hint="mend the file, or the type asked for") from error
    except Exception as error:  # the type may be anything, and run code of its own
        raise WrongShape.at(
            path, f"cannot become {named(into)}: {_said(error)}", hint="ask for a type that msgspec knows"
        ) from error


def _said(error: Exception) -> str:
    import msgspec

    said = told(error, SENTENCE)
    return shown(
        said.removeprefix("ValidationError: ") if isinstance(error, msgspec.ValidationError) else said, SENTENCE
    )


def recognise(path: str | os.PathLike[str]) -> Kind:
    """The kind of a file, from its first 64 KiB; of text, from its extension where that is known, else `text`. Bytes
    of no known kind are `binary`. Raises FileMissing, NotAFile, FileUnreadable, FileEmpty."""
    name = path_text(path)
    head = read_head(name, kinds.SAMPLE_BYTES)
    if not head:
        raise FileEmpty.at(name, "is empty", hint="was it written to its end?")
    content, handler = kinds.of_bytes(head), find(name)
    if handler is None or not handler.accepts(content):
        return content
    by_content = handler.kind.family != "text" and handler.kind.name in kinds.KINDS
    return content if by_content else handler.kind


def write(
    path: str | os.PathLike[str], value: object, type: str | Kind | None = None, *, limits: Limits = DEFAULT
) -> Document[Any]:
    """Replace the file at `path` with `value`, whole or not at all, as UTF-8 where it is text.

    Before anything is written the bytes are read back in memory and must give the same value, types included;
    afterwards the file is read and must hold the same bytes. Permissions and owner of a file that is there are kept;
    the folder must be there; a link, a folder or a device is refused. Raises NotWritable (nothing was written), what
    `read` raises for content beyond the limits, what the atomic writer raises, ReadBackDiffers.
    """
    name = path_text(path)
    checked(limits)
    handler = choose(name, type)
    _check_target(name)
    try:
        plain.refuse_large(value, name, limits)
        data = _rendered(handler, value, name)
        document = _checked(Source(name, data, limits), handler, value)
    except RecursionError:
        raise plain.too_deep(name, limits) from None
    _put(name, data)
    return document


def _rendered(handler: Handler, value: object, name: str) -> bytes:
    if handler.render is None:
        raise KindUnknown.at(name, f"{handler.kind.name} files can only be read here", hint="choose another format")
    return handler.render(value, name)


def _checked(
    source: Source, handler: Handler, value: object, otherwise: str = "use plain text, numbers, lists and tables"
) -> Document[Any]:
    if len(source.data) > source.limits.bytes_max:
        raise NotWritable.at(
            source.path,
            f"would have {len(source.data)} bytes, {source.limits.bytes_max} are allowed",
            hint="raise Limits(bytes_max=…); nothing was written",
        )
    try:
        document = _parsed(source, handler, None)
    except FileRefused as error:
        raise NotWritable.at(
            source.path, f"would not be readable: {error.message}", hint=f"nothing was written; {error.hint}"
        ) from error
    if not handler.same(document.value, value):
        raise NotWritable.at(
            source.path,
            f"{handler.kind.name} does not give this value back as it is",
            hint=f"{otherwise}; nothing was written",
        )
    return document


def _check_target(name: str) -> None:
    """Raises where nothing may be written at this name: no folder for it, a link, a folder, a device."""
    try:
        status = os.lstat(name)
    except FileNotFoundError:
        folder = os.path.dirname(name) or "."
        if not os.path.isdir(folder):
            raise FileMissing.at(name, "its folder is not there", hint=f"make {shown(folder)} first") from None
        return
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or builtins.type(error).__name__
        raise FileUnreadable.at(name, f"cannot be written: {why}", hint="check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise not_a_file(name, status.st_mode)


def _put(name: str, data: bytes) -> None:
    from daybreak.host.files import write_file  # late: only writers need it

    write_file(name, data)
    if read_bytes(name, len(data)) != data:
        raise ReadBackDiffers.at(
            name, "holds something else than was just written", hint="check who else writes it, and the disk"
        )


def edit(
    path: str | os.PathLike[str],
    put: Mapping[Key, object] | None = None,
    remove: Sequence[Key] = (),
    *,
    limits: Limits = DEFAULT,
) -> Document[Any]:
    """Change single values of a JSON, YAML or TOML file: `put={("server", "port"): 8080}`, `remove=[("old",)]`.

    Keys are paths of names and of places in lists. Comments and order of YAML and TOML stay, as far as their
    libraries can (YAML may be indented anew). The new text is read strictly and must hold exactly the old value with
    the changes, or nothing is written. Raises as `read` and `write`; NotWritable where a path leads nowhere.
    """
    from daybreak.host.typed import edits

    name = path_text(path)
    checked(limits)
    handler = choose(name, None)
    if handler.kind.name not in edits.EDITORS:
        raise KindUnknown.at(name, f"{handler.kind.name} files cannot be edited by key", hint="read, change, write")
    put = {} if put is None else put
    edits.refuse_hostile(put, remove, name, limits)
    _check_target(name)
    source = Source(name, read_bytes(name, limits.bytes_max), limits)
    value, text = _value(source, handler)
    try:
        wanted = copy.deepcopy(value)
        edits.apply(wanted, put, remove, name)
        plain.refuse_large(wanted, name, limits)
        _rendered(handler, wanted, name)  # which looks at what was put in
        assert text is not None
        data = edits.edited(handler.kind.name, text.text, put, remove, name)
        document = _checked(Source(name, data, limits), handler, wanted, "read, change and write it; comments are lost")
    except RecursionError:
        raise plain.too_deep(name, limits) from None
    _put(name, data)
    return document
