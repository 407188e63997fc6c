"""The dashboard's pages. Each module has a `router` of its own; `base.page` renders what they give."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from fastapi import APIRouter

MODULES = (
    "tonight",
    "acts",
    "queue",
    "runs",
    "run",
    "transcript",
    "report",
    "theme",
    "ledger",
    "trends",
    "schedules",
    "notes",
    "health",
)

router = APIRouter(include_in_schema=False)
for _name in MODULES:
    if find_spec(f"{__name__}.{_name}") is not None:
        router.include_router(import_module(f"{__name__}.{_name}").router)
