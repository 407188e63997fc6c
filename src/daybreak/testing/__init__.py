"""Fakes that ship; see `docs/reference/testing.md`. Names of this package are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.testing.modelserver import ModelServer

__all__ = ["ModelServer"]


def __getattr__(name: str) -> Any:
    if name != "ModelServer":
        raise AttributeError(f"module 'daybreak.testing' has no attribute {name!r}")
    from daybreak.testing.modelserver import ModelServer

    globals()[name] = ModelServer
    return ModelServer
