"""The providers' keys: read from where the configuration says, held here only, never told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daybreak.errors import WorkerError
from daybreak.settings import Provider

_KEY_BYTES_MAX = 10_000


class KeyAbsent(WorkerError):
    """A provider's key is not where the configuration says, or cannot be one."""

    code = "W141"


def resolve(name: str, provider: Provider, environment: Mapping[str, str], folder: Path) -> str:
    """The key of a provider; empty where its server wants none. `folder`: what a relative path begins in.

    Raises KeyAbsent, which names the place and never the key."""
    if not provider.key:
        return ""
    how, _, where = provider.key.partition(":")
    key = environment.get(where, "") if how == "env" else _file(name, folder / Path(where).expanduser())
    key = key.strip()
    if not key:
        what = f"the variable {where}" if how == "env" else f"the file {where:.80}"
        raise KeyAbsent(f"the key of provider {name} is missing: {what} is not there or empty", hint=f"set {what}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KeyAbsent(f"the key of provider {name} cannot be a key", hint="one word of plain characters, in one line")
    return key


def _file(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_KEY_BYTES_MAX).decode()
    except (OSError, UnicodeDecodeError) as problem:
        raise KeyAbsent(
            f"the key of provider {name} cannot be read: {type(problem).__name__} at {str(path)[-80:]}",
            hint="write the key alone into that file, and let your user read it",
        ) from None
