"""What there is for workers on this machine, and the `daybreak.toml` that follows from it.

Looks for coding agents on the path, for keys in the environment (by name: no value is read further than whether there
is one), and for installed orchestrators. Reaches nothing over a network but the model servers that it is told of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlsplit

from daybreak import settings
from daybreak.agents import found as finding
from daybreak.cli import arguments
from daybreak.cli.arguments import ArgumentWrong
from daybreak.errors import DaybreakError
from daybreak.settings import Settings

SERVER_WAIT_S = 3.0
ANSWER_BYTES_MAX = 1_000_000
MODELS_SHOWN = 5


@dataclass(frozen=True)
class _Known:
    """A provider that we know how to reach, once there is a key."""

    name: str
    api: str
    address: str
    variables: tuple[str, ...]


PROVIDERS = (
    _Known("openai", "openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",)),
    _Known("anthropic", "anthropic", "https://api.anthropic.com/v1", ("ANTHROPIC_API_KEY",)),
    _Known(
        "gemini",
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    _Known("openrouter", "openai", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
    _Known("mistral", "openai", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
    _Known("groq", "openai", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
    _Known("deepseek", "openai", "https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",)),
    _Known("xai", "openai", "https://api.x.ai/v1", ("XAI_API_KEY",)),
)
SPEAKS: dict[str, tuple[str, ...]] = {
    "codex": ("openai",),
    "claude": ("anthropic",),
    "gemini": ("gemini",),
    "pi": ("openai", "anthropic", "gemini"),
    "opencode": ("openai", "anthropic"),
    "qwen": ("openai",),
    "aider": ("openai", "anthropic"),
    "mini": ("openai", "anthropic"),
}
"""Which requests each agent can be pointed at the gateway with, the best first."""


@dataclass
class Provider:
    name: str
    api: str
    address: str
    key: str
    """`env:NAME`, or empty."""
    models: list[str] = field(default_factory=list)
    """Those that we were told of, by the user or by a server; the first one is used."""
    problem: str = ""


@dataclass
class Worker:
    name: str
    kind: str
    lines: dict[str, Any]
    """Keys of its entry beside `kind`."""
    version: str = ""
    missing: str = ""
    """Why it is written as a comment only; empty: it can be asked."""


@dataclass
class Surroundings:
    """What was found on this machine."""

    providers: list[Provider]
    workers: list[Worker]
    absent: dict[str, str]
    """Kinds of agents that are not here, and why."""

    @property
    def order(self) -> list[str]:
        return [*(one.name for one in self.workers if not one.missing), "builder"]


# -- looking


def look(environment: Mapping[str, str], servers: list[Provider], models: Mapping[str, str]) -> Surroundings:
    """What there is for workers here. `models`: by name of a provider, the one that its workers use. Raises
    ArgumentWrong for a model of a provider that is not here."""
    providers = [_with_key(one, environment) for one in PROVIDERS]
    there = [one for one in providers if one is not None]
    taken = {one.name for one in servers}
    there = [*servers, *(one for one in there if one.name not in taken)]
    for name, model in models.items():
        of = next((one for one in there if one.name == name), None)
        if of is None:
            known = ", ".join(one.name for one in there) or "none"
            raise ArgumentWrong(f"there is no provider {name:.80} here", hint=f"found: {known}; its key must be set")
        of.models = [model, *(one for one in of.models if one != model)]
    assumed = settings.Settings.model_validate(
        {"providers": {one.name: {"api": one.api, "address": one.address, "key": one.key} for one in there}}
    )
    workers: list[Worker] = []
    absent: dict[str, str] = {}
    for kind, apis in SPEAKS.items():
        provider = next((one for api in apis for one in there if one.api == api and one.key), None)
        one = _agent(kind, provider, assumed, environment)
        if isinstance(one, str):
            absent[kind] = one
        else:
            workers.append(one)
    workers += [_orchestrator(name) for name in _orchestrators()]
    workers += [_model_worker(one) for one in there if one.models]
    once = {one.name: one for one in reversed(workers) if one.name != settings.BUILDER}
    return Surroundings(there, [one for one in workers if once.get(one.name) is one], absent)


def _with_key(known: _Known, environment: Mapping[str, str]) -> Provider | None:
    variable = next((name for name in known.variables if environment.get(name, "").strip()), "")
    return Provider(known.name, known.api, known.address, f"env:{variable}") if variable else None


def _agent(kind: str, provider: Provider | None, assumed: Settings, environment: Mapping[str, str]) -> Worker | str:
    """A coding agent as an entry, or why it is not here."""
    lines: dict[str, str] = {}
    if provider is not None:
        lines = {"provider": provider.name, "model": provider.models[0] if provider.models else ""}
    try:
        found = finding.find(kind, settings.Worker.model_validate({"kind": kind, **lines}), assumed, environment)
    except DaybreakError as error:
        return error.message
    if not found.program:
        return found.missing or f"{kind} is not installed"
    missing = found.missing
    if provider is None:
        missing = f"no key of {' or '.join(SPEAKS[kind])} is in the environment"
    elif not lines["model"]:
        missing = f"no model is named; put one in, or say --model {provider.name}=NAME"
    return Worker(kind, kind, lines, found.version, missing)


def _orchestrators() -> list[str]:
    return sorted({one.name for one in entry_points(group="daybreak.orchestrators")})


def _orchestrator(name: str) -> Worker:
    plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:41] or "outside"
    return Worker(plain if plain[0].isalpha() else f"o-{plain}"[:41], "outside", {"program": name})


def _model_worker(provider: Provider) -> Worker:
    return Worker(f"model-{provider.name}"[:41], "model", {"provider": provider.name, "model": provider.models[0]})


def server(told: str) -> Provider:
    """`NAME=ADDRESS`, and what it answers when it is asked for its models. Raises ArgumentWrong."""
    name, equals, address = told.partition("=")
    hint = "as in --server ollama=http://127.0.0.1:11434/v1"
    if not equals or not re.fullmatch(r"[a-z][a-z0-9_-]{0,30}", name):
        raise ArgumentWrong(f"{arguments.cut(told)} is no NAME=ADDRESS", hint=hint)
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        usable = usable and not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        usable = False
    if not usable or not address.isprintable() or " " in address:
        raise ArgumentWrong(f"the address of {name} is no address of a server", hint=hint)
    provider = Provider(name, "openai", address.rstrip("/"), "")
    try:
        provider.models = _models(provider.address)
        provider.problem = "" if provider.models else "it names no models"
    except (OSError, ValueError) as problem:
        provider.problem = f"it did not answer as a server of models: {problem}"[:160]
    return provider


def model(told: str) -> tuple[str, str]:
    """`PROVIDER=MODEL`. Raises ArgumentWrong."""
    name, equals, model = told.partition("=")
    if not equals or not name or not model.strip() or not model.isprintable():
        raise ArgumentWrong(f"{arguments.cut(told)} is no PROVIDER=MODEL", hint="as in --model openai=NAME")
    return name, model.strip()


def _models(address: str) -> list[str]:
    """What `GET /models` names. Raises OSError, or ValueError for an answer that is none."""
    import httpx

    try:
        with (
            httpx.Client(timeout=SERVER_WAIT_S, trust_env=False) as client,
            client.stream("GET", f"{address}/models") as answer,
        ):
            answer.raise_for_status()
            body = b""
            for part in answer.iter_bytes():
                body += part
                if len(body) > ANSWER_BYTES_MAX:
                    raise ValueError("its answer is too long")
    except httpx.HTTPError as problem:
        raise OSError(str(problem) or type(problem).__name__) from problem
    try:
        return [name for one in json.loads(body)["data"] if isinstance(name := one["id"], str) and name.isprintable()]
    except (KeyError, TypeError, RecursionError) as problem:
        raise ValueError("its answer names no models") from problem


# -- writing

_HEAD = """\
# Who works for Daybreak here. Every key: docs/reference/daybreak-toml.md. Nothing in this file is a secret.

# Who is asked first, and who after that: whoever is missing, out of quota or over budget is passed over, with the
# reason in the report. `builder` is the embedded builder, which needs neither a model nor a network.
order = [{order}]
"""
_MODEL = """
# A model of a provider can work itself, without an agent around it:
# [workers.model]
# kind = "model"
# provider = "{provider}"
# model = "..."                       # its name at the provider
# money_usd = 1.0                     # the most that one attempt may cost
"""
_TAIL = """
[memory]
routing = "learned"                   # who is asked first follows from what was verified before; "order": as written
lessons_tokens = 1500                 # the most that lessons of earlier tasks take of a brief
"""


def written(found: Surroundings) -> str:
    """The text of the file."""
    parts = [_HEAD.format(order=", ".join(map(_quoted, found.order)))]
    parts += [_provider_text(one) for one in found.providers]
    if not found.providers:
        parts.append(
            "\n# A server of models; the gateway alone holds its key. Set the variable, then take the # away.\n"
            '# [providers.openai]\n# api = "openai"                      # or "anthropic", "gemini": whose requests\n'
            '# address = "https://api.openai.com/v1"\n# key = "env:OPENAI_API_KEY"          # or "file:PATH"\n'
        )
    parts += [_worker_text(one) for one in found.workers]
    if not any(one.kind == "model" for one in found.workers):
        parts.append(_MODEL.format(provider=found.providers[0].name if found.providers else "openai"))
    parts.append(_TAIL)
    return "".join(parts)


def _quoted(text: str) -> str:
    """A string of TOML. Halves of characters, which TOML cannot hold, become question marks."""
    whole = text.encode("utf-8", "replace").decode()
    return '"' + "".join(one if one.isprintable() and one not in '"\\' else f"\\U{ord(one):08x}" for one in whole) + '"'


def _said(text: str) -> str:
    """As a comment can hold it."""
    return "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))


def _provider_text(one: Provider) -> str:
    lines = [f"\n[providers.{one.name}]", f"api = {_line(one.api, 'whose requests it understands')}"]
    lines.append(f"address = {_quoted(one.address)}")
    if one.key:
        lines.append(f"key = {_line(one.key, 'the name of the key; only the gateway reads it')}")
    if one.problem:
        lines.append(f"# when this was written {_said(one.problem)}")
    if len(one.models) > 1:
        lines.append(f"# it offers {', '.join(map(_quoted, one.models[:MODELS_SHOWN]))}")
    if one.key:
        lines += [
            "# US dollars for a million tokens, so that budgets in money hold; without, costs are not known:",
            f'# [providers.{one.name}.prices."*"]',
            "# input = 0.0",
            "# output = 0.0",
        ]
    return "\n".join(lines) + "\n"


def _line(value: str, comment: str) -> str:
    return f"{_quoted(value):<28} # {comment}"


def _worker_text(one: Worker) -> str:
    said = f"version {_said(one.version)}" if one.version else ""
    lines = [f"[workers.{one.name}]", f"kind = {_line(one.kind, said) if said else _quoted(one.kind)}"]
    for key, value in one.lines.items():
        told = _line(value, "through the gateway: its budget is hard") if key == "provider" else _quoted(value)
        lines.append(f"{key} = {told}")
    if not one.missing:
        return "\n" + "\n".join(lines) + "\n"
    why = f"# {one.name} is installed, but: {_said(one.missing)}"
    return "\n" + "\n".join([why, *(f"# {line}" for line in lines)]) + "\n"
