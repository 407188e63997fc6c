"""aider: `aider --message-file`, which prints text. It exits with 0 whatever happened, so every line counts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.story import Reader
from daybreak.agents.command.trouble import complaint, cut_short, shown
from daybreak.agents.protocol import Note, Told, Usage
from daybreak.clock import Clock
from daybreak.settings import Worker

_TOKENS = re.compile(r"^Tokens: ([\d.,]+[kM]?) sent(?:, ([\d.,]+[kM]?) cache write)?(?:, ([\d.,]+[kM]?) cache hit)?"
                     r", ([\d.,]+[kM]?) received\.(?: Cost: \$([\d.]+) message)?")  # fmt: skip
_APPLIED = re.compile(r"^Applied edit to (.+)$")
_FAILED = re.compile(r"^(?:litellm\.|The API provider|Model .* has hit a token limit|.*\blitellm\.\w+Error)")
_APIS = {"openai": "openai/", "anthropic": "anthropic/", "gemini": "gemini/"}


class AiderReader(Reader):
    """Text. `Tokens:` ends an answer, `Applied edit to` names a file; errors begin with `litellm.`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._answer: list[str] = []

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        return iter(())

    def plain(self, text: str) -> Iterator[Told]:
        if found := _TOKENS.match(text):
            yield from self._answered(found)
        elif found := _APPLIED.match(text):
            yield from self.acts("edit", found[1])
        elif _FAILED.match(text):
            self.story.began = True
            if cut_short(text) or "hit a token limit" in text:
                self.story.cut = True
            else:
                self.story.failed(complaint(text, self.now))
            yield Note(text=shown(text))
        elif len(self._answer) < 2_000:
            self._answer.append(text)

    def _answered(self, found: re.Match[str]) -> Iterator[Told]:
        self.story.began = True
        self.story.went_on()
        yield from self.says("\n".join(self._answer))
        self._answer.clear()
        cached = _number(found[3])
        yield Usage(
            requests=1,
            input_tokens=_number(found[1]),
            cached_tokens=cached,
            output_tokens=_number(found[4]),
            money_microusd=round(float(found[5] or 0) * 1_000_000),
        )
        self.story.finished = True  # more answers may come; it ends by itself


def _number(text: str | None) -> int:
    if not text:
        return 0
    unit = {"k": 1_000, "M": 1_000_000}.get(text[-1], 1)
    return int(float(text.rstrip("kM").replace(",", "")) * unit)


class Aider:
    name: ClassVar[str] = "aider"
    program: ClassVar[str] = "aider"
    install: ClassVar[str] = "uv tool install aider-chat"
    apis: ClassVar[tuple[str, ...]] = ("openai", "anthropic", "gemini")
    keys: ClassVar[tuple[str, ...]] = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")

    def launch(self, job: Job) -> Launch:
        prompt = job.room.home / "prompt.md"
        argv = [*job.program, "--message-file", str(prompt), "--yes-always", "--no-auto-commits", "--no-dirty-commits"]
        argv += ["--no-check-update", "--no-show-release-notes", "--analytics-disable", "--no-show-model-warnings"]
        argv += ["--no-pretty", "--no-stream", "--no-fancy-input", "--no-suggest-shell-commands", "--no-gitignore"]
        argv += ["--no-detect-urls", "--no-browser", "--disable-playwright", "--map-tokens", "4096"]
        argv += [] if (job.room.workspace / ".git").exists() else ["--no-git"]
        argv += ["--timeout", str(int(job.terms.silence_s * 0.8) or 1)]
        for kind in ("chat", "input", "llm"):
            argv += [f"--{kind}-history-file", str(job.room.home / f"{kind}.history")]
        model, environment = litellm(job)
        argv += ["--model", model, "--weak-model", model] if model else []
        settings = job.room.home / "models.yml"
        extra = [{"name": "aider/extra_params", "extra_params": {"num_retries": job.retries}}]
        argv += ["--model-settings-file", str(settings)]
        return Launch(tuple(argv), environment, {prompt: job.prompt, settings: json.dumps(extra)})

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return AiderReader(clock)


def _gateway(job: Job) -> dict[str, str]:
    """For litellm, by API."""
    gateway = job.terms.gateway
    assert gateway is not None, "only asked where there is one"
    if gateway.api == "openai":
        return {"OPENAI_API_BASE": job.url("/openai/v1"), "OPENAI_API_KEY": gateway.token}
    if gateway.api == "anthropic":
        return {"ANTHROPIC_API_BASE": job.url("/anthropic"), "ANTHROPIC_API_KEY": gateway.token}
    return {"GEMINI_API_BASE": job.url("/gemini/v1beta"), "GEMINI_API_KEY": gateway.token}


def litellm(job: Job) -> tuple[str, dict[str, str]]:
    """The name of the model and the environment, for programs that use litellm."""
    if job.terms.gateway is None:
        return job.model, {}
    return _APIS[job.terms.gateway.api] + job.terms.gateway.model, _gateway(job)


adapter = Aider()
