"""Whether a worker of kind `model` can be asked here: the host's half, without importing a client."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from daybreak.agents.found import Found, resolved
from daybreak.agents.model import options
from daybreak.settings import Api, Provider, Settings, Worker

INSTALL = "pip install 'daybreak[models]'"
_CLIENTS: Mapping[Api, str] = {"openai": "openai", "anthropic": "anthropic", "gemini": "google.genai"}


def find(name: str, worker: Worker, settings: Settings, environment: Mapping[str, str]) -> Found:
    """See `found.find`. Raises SettingsWrong for a provider that the settings do not have."""
    if not worker.provider:
        return Found(missing=f"{name} has no provider: add `provider = ` with one of `providers` to workers.{name}")
    provider = settings.provider(worker.provider)
    values, unset = resolved(name, worker, environment)
    missing = (
        _uninstalled(name, provider.api)
        or ("" if worker.model else f"{name} has no model: add `model = ` to workers.{name}")
        or _unreadable(name, worker)
        or _keyless(name, worker.provider, provider, environment)
        or unset
    )
    if missing:
        return Found(missing=missing)
    readable = [Path(one).expanduser() for one in worker.readable]
    if templates := options.read(worker.options).templates:
        readable.append(Path(templates).expanduser())
    return Found(
        version=importlib.metadata.version("pydantic-ai-slim"),
        readable=tuple(readable),
        environment=values,
        budget="soft" if worker.network else "hard",
    )


def _uninstalled(name: str, api: Api) -> str:
    missing = [module for module in ("pydantic_ai", _CLIENTS[api]) if not _is_there(module)]
    return f"{name} needs the extra `models` ({', '.join(missing)} is not installed): {INSTALL}" if missing else ""


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package above it
        return False


def _unreadable(name: str, worker: Worker) -> str:
    try:
        options.read(worker.options)
    except options.OptionsWrong as wrong:
        return f"workers.{name}: {wrong.message}; {wrong.hint}"
    return ""


def _keyless(name: str, named: str, provider: Provider, environment: Mapping[str, str]) -> str:
    """The gateway reads the key itself; here it is only looked whether there is one."""
    kind, _, where = provider.key.partition(":")
    if kind == "env" and not environment.get(where):
        return f"{name} is not authenticated: {where} is not set, the key of providers.{named}"
    if kind == "file" and not Path(where).expanduser().is_file():
        return f"{name} is not authenticated: {where} is not there, the key of providers.{named}"
    return ""
