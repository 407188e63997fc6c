"""The shape of the statement: in-toto Statement v1 with an SLSA provenance v1 predicate.

One statement has one form of its bytes (compact JSON, fields in the order below), so what is read twice is the same.
What the fields of this build type mean stands in docs/reference/provenance.md, which is the page of `BUILD_TYPE`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from daybreak.errors import DeliveryError
from daybreak.host import tree

FILE = "daybreak.provenance.json"
"""Beside the manifest. The suffix is the one that in-toto asks for where an envelope has a file of its own."""
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://daybreak.local/provenance/build/v1"
"""A name and no address."""
EXECUTABLE = "executable"
LEDGER = "ledger"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART_BYTES = 255


class StatementWrong(DeliveryError):
    """What was signed is no statement about a build of Daybreak's."""

    code = "D170"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A piece of the statement."""


class Resource(_Part, frozen=True):
    """Something by its hash or its URI (in-toto's ResourceDescriptor)."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str] = {}
    media_type: str = ""
    annotations: dict[str, Any] = {}


class Definition(_Part, frozen=True):
    """What was to be built, from what."""

    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any] = {}
    resolved_dependencies: list[Resource] = []


class Builder(_Part, frozen=True):
    id: str
    version: dict[str, str] = {}


class Metadata(_Part, frozen=True):
    invocation_id: str
    started_on: str
    finished_on: str


class Details(_Part, frozen=True):
    """Who built it, when, and what was seen of it."""

    builder: Builder
    metadata: Metadata
    byproducts: list[Resource] = []


class Predicate(_Part, frozen=True):
    build_definition: Definition
    run_details: Details


class Statement(_Part, frozen=True):
    type: str = msgspec.field(name="_type")
    subject: list[Resource]
    predicate_type: str
    predicate: Predicate

    @property
    def run(self) -> str:
        return self.predicate.run_details.metadata.invocation_id

    @property
    def files(self) -> dict[str, Resource]:
        """By path."""
        return {one.name: one for one in self.subject}

    @property
    def position(self) -> tuple[int, str]:
        """So many events the ledger held when the gate had decided, and the root of their tree, in hex."""
        for one in self.predicate.run_details.byproducts:
            if one.name == LEDGER:
                size, root = one.annotations.get("size"), one.annotations.get("root")
                if type(size) is int and 0 < size < 2**53 and isinstance(root, str):
                    return size, root
        raise wrong("it does not say where in the ledger it stands")

    @property
    def data(self) -> bytes:
        return msgspec.json.encode(self)


def parse(payload: bytes) -> Statement:
    """What was signed. Raises StatementWrong where it is anything that Daybreak does not write."""
    try:
        statement = msgspec.json.decode(payload, type=Statement)
        if statement.data != payload:
            raise wrong("it is not in the form in which it is written")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise wrong(f"{error}"[:200]) from error
    if (statement.type, statement.predicate_type) != (STATEMENT, PREDICATE):
        raise wrong(f"it is {statement.type[:100]!r} about {statement.predicate_type[:100]!r}")
    kind = statement.predicate.build_definition.build_type
    if kind != BUILD_TYPE:
        raise wrong(f"its build type is {kind[:100]!r}, this program knows {BUILD_TYPE}")
    _check_subjects(statement)
    _ = statement.position
    return statement


def _check_subjects(statement: Statement) -> None:
    if not statement.subject:
        raise wrong("it is about no file")
    if len(statement.files) != len(statement.subject):
        raise wrong("it names a file twice")
    for one in statement.subject:
        if not is_inside(one.name) or one.name == FILE:
            raise wrong(f"{one.name[:100]!r} is no path of a delivered file")
        if list(one.digest) != ["sha256"] or _DIGEST.fullmatch(one.digest["sha256"]) is None:
            raise wrong(f"{one.name[:100]!r} has not one SHA-256")


def is_inside(path: str) -> bool:
    """Is it a relative path that stays below its folder, written in one way, and no longer than any of a tree?"""
    if len(path) > tree.LIMITS.path_bytes or path.count("/") > tree.LIMITS.depth:
        return False
    parts = path.split("/")
    return "\0" not in path and not any(
        part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > _PART_BYTES for part in parts
    )


def wrong(why: str) -> StatementWrong:
    return StatementWrong(
        f"what was signed is no provenance of a build that can be read: {why}",
        hint="use the version of Daybreak that made it, or a newer one.",
    )
