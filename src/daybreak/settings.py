"""`daybreak.toml`: who works, through which provider, in what order. Read by everybody, written by people.

Where it is looked for: `DAYBREAK_CONFIG`, then `daybreak.toml` in the working directory or a parent, then the user's
folder. Nothing in it is a secret: keys are named (`env:OPENAI_API_KEY`), never written down.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daybreak.errors import UsageError

FILE = "daybreak.toml"
Api = Literal["openai", "anthropic", "gemini"]
"""Whose requests a server understands: OpenAI's chat completions and responses, Anthropic's messages, Gemini's."""

COMMANDS = ("codex", "claude", "pi", "gemini", "opencode", "qwen", "aider", "mini", "generic")
"""Kinds of workers that are programs with a stream of lines."""
WorkerKind = Literal[
    "builder",
    "python",
    "codex",
    "claude",
    "pi",
    "gemini",
    "opencode",
    "qwen",
    "aider",
    "mini",
    "generic",
    "acp",
    "model",
    "outside",
]
BUILDER = "builder"

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
_Key = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)?$")]


class SettingsWrong(UsageError):
    """The file cannot be used as it is."""

    code = "U120"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Price(_Settings):
    """US dollars for a million tokens."""

    input: float = Field(ge=0, le=10_000)
    cached: float | None = Field(default=None, ge=0, le=10_000)
    """Input that the provider had already; `input` where it is not given."""
    output: float = Field(ge=0, le=10_000)


class Provider(_Settings):
    """A server of models, as the gateway speaks to it."""

    api: Api
    address: str = Field(pattern=r"^https?://")
    """What stands before `/chat/completions`, `/responses`, `/messages` or `/models/...`."""
    key: _Key = ""
    """`env:NAME` or `file:PATH`; empty where the server wants none."""
    prices: dict[str, Price] = {}
    """By model; `*` for all others. A model without a price costs nothing that is known, and that is shown."""
    headers: dict[str, str] = {}
    """Sent along; no secrets."""


class Worker(_Settings):
    """One that can be asked to work."""

    kind: WorkerKind
    program: str = ""
    """Name or path, where it is not the usual one of its kind; for `python` and `outside` the `module:object`,
    `FILE.py:object` or folder."""
    command: tuple[str, ...] = ()
    """`generic` and `acp`: the words of the command; {prompt}, {prompt_file}, {workspace}, {model}, {url}, {token}."""
    provider: str = ""
    """Name of one of `providers`; through the gateway."""
    model: str = ""
    environment: tuple[str, ...] = ()
    """Variables that are handed to it as they are, by name: what it cannot get through the gateway."""
    readable: tuple[str, ...] = ()
    """Folders that it may read beside its workspace."""
    network: bool = False
    """It may reach the network itself, past the gateway. Its budget is then soft."""
    silence_s: float = Field(default=300, gt=0, le=86_400)
    """Ended when it says nothing for so long."""
    time_s: float | None = Field(default=None, gt=0, le=7 * 86_400)
    money_usd: float | None = Field(default=None, gt=0, le=100_000)
    """The most that one attempt may cost."""
    tokens: int | None = Field(default=None, gt=0)
    """The most that one attempt may use, in and out."""
    requests: int = Field(default=200, gt=0, le=100_000)
    stream: dict[str, Any] = {}
    """`generic`: how its lines are read; see the reference."""
    options: dict[str, Any] = {}
    """For a worker of one's own."""


class Memory(_Settings):
    lessons_tokens: int = Field(default=1_500, ge=0, le=100_000)
    """The most that lessons take of a brief."""
    routing: Literal["learned", "order"] = "learned"


class Settings(_Settings):
    """All of it. Without a file: the embedded builder alone."""

    order: tuple[_Name, ...] = (BUILDER,)
    """The cascade: who is asked first, and who after that."""
    workers: dict[_Name, Worker] = {}
    providers: dict[_Name, Provider] = {}
    memory: Memory = Memory()
    templates: str = ""
    """Folder with templates of briefs that go before ours."""
    path: str = ""
    """The file it came from; empty where there was none. Not to be set."""

    def worker(self, name: str) -> Worker:
        """Raises SettingsWrong. `builder` is always there; `module:object` and `FILE.py:object` need no entry."""
        if name in self.workers:
            return self.workers[name]
        if name == BUILDER:
            return Worker(kind="builder")
        if ":" in name:
            return Worker(kind="python", program=name)
        known = ", ".join(sorted({BUILDER, *self.workers}))
        raise SettingsWrong(
            f"there is no worker called {name!r:.80}",
            hint=f"known are {known}; others are `[workers.NAME]` in {self.path or FILE}, or module:object",
        )

    def provider(self, name: str) -> Provider:
        """Raises SettingsWrong."""
        if name in self.providers:
            return self.providers[name]
        known = ", ".join(sorted(self.providers)) or "none"
        raise SettingsWrong(
            f"there is no provider called {name!r:.80}",
            hint=f"known: {known}; others are `[providers.NAME]` in {self.path or FILE}",
        )


def find(environment: Mapping[str, str], working_directory: Path, user_folder: Path) -> Path | None:
    """The file that applies; None where there is none."""
    if named := environment.get("DAYBREAK_CONFIG"):
        return working_directory / named
    for folder in (working_directory, *working_directory.parents, user_folder):
        if (folder / FILE).is_file():
            return folder / FILE
    return None


def read(path: Path | None) -> Settings:
    """Raises SettingsWrong, with every problem in one message."""
    if path is None:
        return Settings()
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as problem:
        raise SettingsWrong(f"{path}: {problem}", hint="mend the file, or move it away") from problem
    return checked(told, path)


def checked(told: Mapping[str, Any], path: Path) -> Settings:
    """Settings from the content of a file. Raises SettingsWrong."""
    try:
        settings = Settings.model_validate({**told, "path": str(path)})
    except ValidationError as problem:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problem.errors()[:10]]
        raise SettingsWrong(f"{path}: " + "; ".join(lines), hint="`daybreak init` shows a file that is right") from None
    missing = [
        f"workers.{name}.provider: there is no provider {worker.provider}"
        for name, worker in settings.workers.items()
        if worker.provider and worker.provider not in settings.providers
    ]
    missing += [
        f"order: there is no worker {name}" for name in settings.order if name not in {BUILDER, *settings.workers}
    ]
    if missing:
        raise SettingsWrong(f"{path}: " + "; ".join(missing), hint="add the entry, or take the name away")
    return settings
