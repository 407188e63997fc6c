"""The description of the API: what FastAPI finds, and what holds for every address of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from daybreak.web.problems import MEDIA, Problem, title_of
from daybreak.web.who import Scoped

_ALWAYS = (400, 408, 413, 421, 422, 429, 500, 503)
_SIGNED_IN = (401, 403, 404, 409, 412)


def describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1. Made once."""
    if app.openapi_schema:
        return app.openapi_schema
    told = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = told.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    told["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`daybreak token mint --api SCOPES --for 12h`"}
    }
    needed = dict(scopes(app))
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            _complete(operation, needed.get((path, method)))
    app.openapi_schema = told
    return told


def scopes(app: FastAPI) -> Iterator[tuple[tuple[str, str], str | None]]:
    """(path, method) of every route and the scope that it needs; None where it needs none."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            for method in route.methods or ():
                yield (str(route.path_format), method.lower()), scope_of(route.dependant)


def scope_of(dependant: Dependant) -> str | None:
    """The scope that a route, or what it depends on, asks for."""
    asked: object = dependant.call
    if isinstance(asked, Scoped):
        return asked.scope
    return next((found for one in dependant.dependencies if (found := scope_of(one)) is not None), None)


def _complete(operation: dict[str, Any], scope: str | None) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for status in (*_ALWAYS, *(_SIGNED_IN if scope else ())):
        if str(status) not in answers:
            answers[str(status)] = {
                "description": title_of(status),
                "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
    if scope is None:
        return
    operation["security"] = [{"token": []}]
    operation["x-scope"] = scope
    if any(one["name"] == "If-None-Match" for one in operation.get("parameters", ())):
        answers["304"] = {"description": "It is still so."}
