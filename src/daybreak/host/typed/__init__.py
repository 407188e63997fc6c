"""Type-safe files: read what a file says it is, checked, within limits, or a typed refusal before any work."""

from daybreak.host.typed import archive
from daybreak.host.typed.document import Document, edit, read, recognise, write
from daybreak.host.typed.handlers import Handler, register
from daybreak.host.typed.kinds import Family, Kind
from daybreak.host.typed.limits import Limits
from daybreak.host.typed.pages import Page
from daybreak.host.typed.refusals import (
    ArchiveUnsafe,
    Bomb,
    ContentForbidden,
    DuplicateKey,
    FileEmpty,
    FileMissing,
    FileRefused,
    FileTooLarge,
    FileUnreadable,
    HandlerRefused,
    KindUnknown,
    LimitsRefused,
    Malformed,
    NotAFile,
    NotText,
    NotWritable,
    ReadBackDiffers,
    TooComplex,
    WrongKind,
    WrongShape,
)
from daybreak.host.typed.source import Source
from daybreak.host.typed.tables import Table
from daybreak.host.typed.text import Text

__all__ = [
    "ArchiveUnsafe",
    "Bomb",
    "ContentForbidden",
    "Document",
    "DuplicateKey",
    "Family",
    "FileEmpty",
    "FileMissing",
    "FileRefused",
    "FileTooLarge",
    "FileUnreadable",
    "Handler",
    "HandlerRefused",
    "Kind",
    "KindUnknown",
    "Limits",
    "LimitsRefused",
    "Malformed",
    "NotAFile",
    "NotText",
    "NotWritable",
    "Page",
    "ReadBackDiffers",
    "Source",
    "Table",
    "Text",
    "TooComplex",
    "WrongKind",
    "WrongShape",
    "archive",
    "edit",
    "read",
    "recognise",
    "register",
    "write",
]
