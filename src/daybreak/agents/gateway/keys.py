"""The providers' keys: read from where the configuration says, held here only, never told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daybreak.errors import WorkerError
from daybreak.settings import KeyUnresolved, Provider, resolve_key


class KeyAbsent(WorkerError):
    """A provider's key is not where the configuration says, or cannot be one."""

    code = "W141"


def resolve(name: str, provider: Provider, environment: Mapping[str, str], folder: Path) -> str:
    """The key of a provider; empty where its server wants none. `folder`: what a relative path begins in.

    Raises KeyAbsent, which names the place and never the key."""
    if not provider.key:
        return ""
    how, _, where = provider.key.partition(":")
    named = provider.key if how == "env" else f"file:{folder / Path(where).expanduser()}"
    try:
        return resolve_key(named, environment)
    except KeyUnresolved as absent:
        raise KeyAbsent(f"the key of provider {name}: {absent.message}", hint=absent.hint) from None
