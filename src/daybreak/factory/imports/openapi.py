"""OpenAPI 3.0 and 3.1, YAML or JSON: schemas as entities, operations as requirements, whole examples as acceptance."""

from __future__ import annotations

import re
from dataclasses import replace

from daybreak.factory.imports import openapi_examples, openapi_paths, openapi_schemas, plain, tree
from daybreak.factory.imports.gathered import Gathered
from daybreak.factory.imports.openapi_refs import Refs
from daybreak.factory.imports.refusals import ImportEmpty, ImportWrongFormat
from daybreak.factory.imports.tree import get, pairs, text, told
from daybreak.factory.spec.located import Mapping, Node

_VERSION = re.compile(r"3\.[01](\.\d+)?(-\w+)?")
_OWN_VERSION = re.compile(r"v?(?P<version>\d{1,9}(\.\d{1,9}){0,5})", re.ASCII)
_INFO = frozenset({"title", "version", "description", "summary"})
_TOP = frozenset({"openapi", "info", "paths", "components", "servers", "security", "tags"})


def read(text_: str, name: str, gathered: Gathered) -> None:
    """Everything of the document into `gathered`. Raises ImportRefused and its kinds."""
    root = _root(text_, name)
    noted = _Noted(gathered)
    refs = Refs(root, name)
    _head(root, gathered)
    schemas = openapi_schemas.Reader(root, refs, gathered, noted.note).read()
    paths = openapi_paths.Reader(root, refs, schemas, gathered, noted.note).read()
    gathered.interfaces = ("http",)
    names = "camel" if schemas.camel else gathered.http.names
    gathered.http = replace(gathered.http, prefix=paths.prefix, names=names)
    gathered.entities = schemas.entities
    openapi_examples.Reader(refs, schemas, gathered).read(paths.operations)
    _uniqueness(paths, gathered)
    _others(root, gathered, noted)
    noted.tell()


def _root(text_: str, name: str) -> Node:
    as_json = text_.lstrip().startswith(("{", "["))
    root = tree.read_json(text_, name) if as_json else tree.read_yaml(text_, name)
    if root is None:
        raise ImportEmpty(f"{name} holds nothing", hint="name the document that holds the paths")
    if not isinstance(root, Mapping):
        raise ImportWrongFormat(f"{name} is no mapping, so no OpenAPI", hint="it begins with openapi: 3.1.0")
    old = text(root, "swagger")
    version = text(root, "openapi")
    if old or not _VERSION.fullmatch(version):
        what = f"OpenAPI {old or version}" if old or version else "no OpenAPI: it names no version"
        raise ImportWrongFormat(
            f"{name} is {what}", hint="only 3.0 and 3.1 are read; convert it, for example with swagger2openapi"
        )
    return root


def _head(root: Node, gathered: Gathered) -> None:
    gathered.title = text(root, "info", "title")
    gathered.about(text(root, "info", "summary"))
    gathered.about(text(root, "info", "description"))
    version = text(root, "info", "version")
    if found := _OWN_VERSION.fullmatch(version):
        gathered.version = found["version"]
    elif version:
        gathered.lost(1, f"version: {version}", "this cannot be a version", "write version: 1.0.0 in front")
    for key, value in pairs(root, "info"):
        if key.text not in _INFO:
            gathered.lost(key.line, f"{key.text}: {told(value)}", "specifications have no such part", "leave it out")


def _uniqueness(paths: openapi_paths.Paths, gathered: Gathered) -> None:
    """OpenAPI cannot say which fields are unique; where adding can be refused with 409, a person must."""
    for n, entity in enumerate(gathered.entities):
        adding = [one for one in paths.operations if one.entity == entity.name and one.method == "post"]
        conflicts = [one for one in adding if get(one.node, "responses", "409") is not None]
        if conflicts:
            question = plain.question(
                f"which fields of {entity.name} are unique? {conflicts[0].said} answers 409, and OpenAPI cannot say why"
            )
            gathered.entities[n] = replace(entity, about="\n\n".join(filter(None, [entity.about, question])))


def _others(root: Node, gathered: Gathered, noted: _Noted) -> None:
    for key, value in pairs(root):
        if key.text.startswith("x-") or key.text in ("externalDocs", "jsonSchemaDialect"):
            noted.note(key.text, key.line)
        elif key.text == "security":
            noted.note("security", key.line)
        elif key.text not in _TOP:
            gathered.lost(
                key.line, f"{key.text}: {told(value)}", "specifications have no such part", "write a requirement"
            )
    for node in tree.items(root, "tags"):
        if about := text(node, "description"):
            gathered.lost(
                node.line, f"{text(node, 'name')}: {about}", "specifications have no tags", "write it into a story"
            )
    for key, value in pairs(root, "components"):
        if key.text in ("securitySchemes", "callbacks", "pathItems"):
            for name, scheme in pairs(value):
                kind = " ".join(filter(None, [text(scheme, "type"), text(scheme, "scheme")]))
                gathered.lost(
                    name.line,
                    f"{key.text} {name.text}: {kind}",
                    "who may do what is not taken over",
                    "write Login: below the table of users, and Readers: and Writers: where they hold",
                )


class _Noted:
    """Keywords that occur again and again and change no value: each is listed once, with how often it stands there."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.lines: dict[str, list[int]] = {}

    def note(self, keyword: str, line: int) -> None:
        self.lines.setdefault(keyword, []).append(line)

    def tell(self) -> None:
        for keyword, lines in self.lines.items():
            times = f" ({len(lines)} times)" if len(lines) > 1 else ""
            self.gathered.lost(
                min(lines),
                f"{keyword}{times}",
                "it changes nothing that is built",
                "write a requirement, if it matters",
            )
