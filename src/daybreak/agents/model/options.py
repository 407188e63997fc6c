"""What can be set for a worker of kind `model`: its `options` in daybreak.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daybreak.errors import WorkerError
from daybreak.settings import Worker


class OptionsWrong(WorkerError):
    """The options of a worker of kind `model` cannot be used as they are."""

    code = "W160"


class Options(BaseModel):
    """`[workers.NAME.options]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    responses: bool = False
    """OpenAI's responses in place of chat completions; most servers that copy OpenAI's API have only the latter."""
    context_tokens: int = Field(default=100_000, ge=4_000, le=10_000_000)
    """The most that is sent with one request, and room for its answer, by an estimate from characters. Old tool output
    is shortened first."""
    answer_tokens: int = Field(default=16_384, ge=64, le=1_000_000)
    """The most that one answer may have. Not more than half of `context_tokens` is used of it."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """None: the server's own."""
    request_s: float = Field(default=600, gt=0, le=3_600)
    """How long one answer may take; less where the worker may not be silent for so long."""
    command_s: float = Field(default=120, gt=0, le=3_600)
    """How long one program may run; less where the worker may not be silent for so long."""
    templates: str = ""
    """Folder with templates of briefs that go before ours; it must be readable in the sandbox."""


def of_worker(told: Mapping[str, Any]) -> Options:
    """Of the fields of a `settings.Worker`. Raises OptionsWrong."""
    try:
        return read(Worker.model_validate({"kind": "model", **told}).options)
    except ValidationError as problem:
        raise OptionsWrong(f"worker: {_lines(problem)}", hint="see `[workers.NAME]` in daybreak.toml") from None


def read(told: Mapping[str, Any]) -> Options:
    """Raises OptionsWrong, with every problem in one message."""
    try:
        return Options.model_validate(dict(told))
    except ValidationError as problem:
        known = ", ".join(Options.model_fields)
        raise OptionsWrong(f"options: {_lines(problem)}", hint=f"known options are {known}") from None


def _lines(problem: ValidationError) -> str:
    told = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problem.errors()[:10])
    return "; ".join(told)[:1_000]
