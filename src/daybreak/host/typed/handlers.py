"""Which handler reads and writes which files: by extension, checked against the content."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daybreak.host.naming import named
from daybreak.host.typed import archive, json_text, pages, plain, tables, toml_text, xml_tree, yaml_text
from daybreak.host.typed.kinds import KINDS, Kind
from daybreak.host.typed.refusals import HandlerRefused, KindUnknown, shown
from daybreak.host.typed.source import Source
from daybreak.host.typed.text import Text, decode

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,40}")
_EXTENSION = re.compile(r"(?:\.[A-Za-z0-9_+-]{1,20}){1,2}")


@dataclass(frozen=True, slots=True)
class Handler:
    """One kind of file. Where `extensions` is empty it is only found by the name of its kind."""

    kind: Kind
    extensions: tuple[str, ...]
    """With their dot, one or two parts, in small letters: `.json`, `.tar.gz`."""
    parse: Callable[[Source], tuple[Any, Text | None]]
    """The value, and how the text was decoded; raises refusals of this package. It sees no more than the limits."""
    render: Callable[[Any, str], bytes] | None = None
    """Bytes of a value, for the file of that name; raises NotWritable. None: this kind is only read."""
    same: Callable[[Any, Any], bool] = plain.same
    """Whether two values are the same, for the check of what was written."""
    contents: tuple[str, ...] = ()
    """Kinds that the content may be of, by name; empty: any text for the family `text`, else the kind itself."""
    empty: Callable[[], Any] | None = None
    """The value of a file without bytes, where that has a meaning."""

    def accepts(self, content: Kind) -> bool:
        """Whether content that was recognised as this may be read by this handler."""
        if self.contents:
            return content.name in self.contents
        return content.family == "text" if self.kind.family == "text" else content.name == self.kind.name


def _text(source: Source) -> tuple[str, Text]:
    text = decode(source, guess=True)
    return text.text, text


def _render_text(value: object, path: str) -> bytes:
    if not isinstance(value, str) or "\0" in value:
        raise plain.unwritable(path, "text", "", "is no text, or holds NUL")
    plain.refuse_unwritable(value, path, "text")
    return ("\ufeff" if value.startswith("\ufeff") else "").encode() + value.encode()


def _bytes(source: Source) -> tuple[bytes, None]:
    return source.data, None


def _render_bytes(value: object, path: str) -> bytes:
    if not isinstance(value, bytes):
        raise plain.unwritable(path, "this kind of file", "", "is no bytes")
    return value


def _listing(source: Source) -> tuple[archive.Listing, None]:
    found = archive.listing(source)
    archive.refuse_problems(found, source.path)
    return found, None


def _equal(one: object, other: object) -> bool:
    return one == other


_OPAQUE = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg"),
    "gif": (".gif",),
    "webp": (".webp",),
    "bmp": (".bmp",),
    "tiff": (".tif", ".tiff"),
    "pdf": (".pdf",),
    "sqlite": (".sqlite", ".sqlite3", ".db"),
}
_ARCHIVES = {
    "zip": (".zip", ".whl", ".jar", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub"),
    "tar": (".tar",),
    "gz": (".gz", ".tgz", ".tar.gz"),
    "bz2": (".bz2", ".tbz2", ".tar.bz2"),
    "xz": (".xz", ".txz", ".tar.xz"),
    "zst": (".zst", ".tzst", ".tar.zst"),
    "7z": (".7z",),
    "rar": (".rar",),
}
_BUILT_IN = (
    Handler(KINDS["text"], (".txt", ".text", ".log", ".rst"), _text, _render_text, empty=str),
    Handler(KINDS["json"], (".json",), json_text.parse, json_text.render),
    Handler(KINDS["jsonl"], (".jsonl", ".ndjson"), json_text.parse_lines, json_text.render_lines, empty=list),
    Handler(KINDS["yaml"], (".yaml", ".yml"), yaml_text.parse, yaml_text.render),
    Handler(KINDS["toml"], (".toml",), toml_text.parse, toml_text.render),
    Handler(KINDS["csv"], (".csv",), tables.parse_csv, tables.render_csv, same=_equal),
    Handler(KINDS["tsv"], (".tsv",), tables.parse_tsv, tables.render_tsv, same=_equal),
    Handler(
        KINDS["markdown"],
        (".md", ".markdown"),
        pages.parse,
        pages.render,
        same=pages.same,
        empty=lambda: pages.Page(""),
    ),
    Handler(KINDS["xml"], (".xml",), xml_tree.parse, xml_tree.render, same=xml_tree.same),
    Handler(KINDS["svg"], (".svg",), xml_tree.parse, xml_tree.render, same=xml_tree.same, contents=("svg",)),
    *(Handler(KINDS[name], extensions, _bytes, _render_bytes, same=_equal) for name, extensions in _OPAQUE.items()),
    *(Handler(KINDS[name], extensions, _listing) for name, extensions in _ARCHIVES.items()),
)

_lock = threading.Lock()
_by_extension: dict[str, Handler] = {extension: one for one in _BUILT_IN for extension in one.extensions}
_by_name: dict[str, Handler] = {one.kind.name: one for one in _BUILT_IN}


def register(handler: Handler) -> Callable[[], None]:
    """Make `read`, `write` and `recognise` know a handler, in this process. Returns a function that takes it back.
    Raises HandlerRefused for a name or an extension that another one has, or that is none."""
    if not _is_complete(handler):
        raise HandlerRefused(
            "what was registered is no complete Handler", hint="give Handler(Kind(…), (extensions), parse)"
        )
    for extension in handler.extensions:
        if not _EXTENSION.fullmatch(extension) or extension != extension.lower():
            raise HandlerRefused(
                f"{shown(extension)!r} is no extension", hint="a dot and up to 20 small letters or digits"
            )
    with _lock:
        taken = [one for one in handler.extensions if one in _by_extension]
        if taken or handler.kind.name in _by_name:
            what = f"the extension {taken[0]}" if taken else f"the kind {shown(handler.kind.name)}"
            raise HandlerRefused(f"{what} has a handler already", hint="choose another name, or use type=…")
        _by_name[handler.kind.name] = handler
        _by_extension.update(dict.fromkeys(handler.extensions, handler))

    def take_back() -> None:
        with _lock:
            if _by_name.get(handler.kind.name) is handler:
                del _by_name[handler.kind.name]
                for extension in handler.extensions:
                    del _by_extension[extension]

    return take_back


def _is_complete(handler: Any) -> bool:
    """Whether every part of it is of its type."""
    if not isinstance(handler, Handler) or not isinstance(handler.kind, Kind):
        return False
    kind = handler.kind
    texts = (kind.name, kind.family, kind.media_type)
    if not all(isinstance(one, str) for one in texts) or not _NAME.fullmatch(kind.name):
        return False
    if not all(isinstance(one, tuple) for one in (handler.extensions, handler.contents)):
        return False
    if not all(isinstance(one, str) for one in (*handler.extensions, *handler.contents)):
        return False
    optional = [one for one in (handler.render, handler.empty) if one is not None]
    return all(callable(one) for one in (handler.parse, handler.same, *optional))


def find(path: str) -> Handler | None:
    """The handler of a file's extension; of two-part extensions first."""
    parts = os.path.basename(path).lower().lstrip(".").split(".")  # `.json` is a hidden file without extension
    for count in (2, 1):
        if len(parts) > count and (handler := _by_extension.get("." + ".".join(parts[-count:]))):
            return handler
    return None


def choose(path: str, kind: str | Kind | None) -> Handler:
    """The handler that the caller names, or the one of the extension. Raises KindUnknown."""
    if kind is None:
        handler = find(path)
        if handler is None:
            raise KindUnknown.at(
                path, "has no extension that is known", hint="say what it is: type='text', type='json', …"
            )
        return handler
    name: object = kind.name if isinstance(kind, Kind) else kind
    handler = _by_name.get(name) if isinstance(name, str) else None
    if handler is None:
        raise KindUnknown.at(
            path, f"there is no handler for {named(name)}", hint="one of " + ", ".join(sorted(_by_name))
        )
    return handler
