"""aider: `aider --message-file`, which prints text. It exits with 0 whatever happened, so every line counts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.story import Reader
from daybreak.agents.command.trouble import Problem, complaint, cut_short, shown
from daybreak.agents.protocol import Note, Told, Usage
from daybreak.clock import Clock
from daybreak.settings import Worker

_TOKENS = re.compile(r"^Tokens: ([\d.,]+[kM]?) sent(?:, ([\d.,]+[kM]?) cache write)?(?:, ([\d.,]+[kM]?) cache hit)?"
                     r", ([\d.,]+[kM]?) received\.(?: Cost: \$([\d.]+) message)?")  # fmt: skip
_APPLIED = re.compile(r"^Applied edit to (.+)$")
_FAILED = re.compile(r"^(?:litellm\.|The API provider|.*\blitellm\.\w+Error)")
_LIMIT = re.compile(r"^Model .* has hit a token limit")
_OUTPUT = re.compile(r"^Output tokens: ~([\d,]+) of ")
_EMPTY = "Empty response received from LLM"
_GREETS = re.compile(
    r"^(?:Aider v\d|(?:Main |Weak |Editor )?[Mm]odel: |Git repo: |Repo-map: |Added .+ to the chat\.?$)"
)
"""What it says of itself before the first answer."""
_PRICES = ".aider/caches/model_prices_and_context_window.json"
"""Fetched where it is not there; what it does not name costs nothing, as with us where no price is configured."""
_APIS = {"openai": "openai/", "anthropic": "anthropic/", "gemini": "gemini/"}


class AiderReader(Reader):
    """Text. `Tokens:` ends an answer, `Applied edit to` names a file; errors begin with `litellm.`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._answer: list[str] = []
        self._limited = False
        """It has said that a limit of tokens was hit, and not yet which."""

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        return iter(())

    def plain(self, text: str) -> Iterator[Told]:
        if found := _TOKENS.match(text):
            yield from self._answered(found)
        elif found := _APPLIED.match(text):
            yield from self.acts("edit", found[1])
        elif _LIMIT.match(text):
            self._limited = True
            yield Note(text=shown(text))
        elif self._limited and (found := _OUTPUT.match(text)):
            yield from self._over_limit(_number(found[1]))
        elif _FAILED.match(text):
            self.story.began = True
            if cut_short(text):
                self.story.cut = True
            else:
                self.story.failed(complaint(text, self.now))
            yield Note(text=shown(text))
        elif not self.story.began and _GREETS.match(text):
            self._answer.clear()
        elif len(self._answer) < 2_000:
            self._answer.append(text)

    def _answered(self, found: re.Match[str]) -> Iterator[Told]:
        self.story.began = True
        self.story.went_on()
        said = "\n".join(self._answer)
        self._answer.clear()
        empty = said.lstrip().startswith(_EMPTY)
        if not empty:
            yield from self.says(said)
        cached = _number(found[3])
        yield Usage(
            requests=1,
            input_tokens=_number(found[1]),
            cached_tokens=cached,
            output_tokens=_number(found[4]),
            money_microusd=round(float(found[5] or 0) * 1_000_000),
        )
        if not empty:
            self.story.finished = True  # more answers may come; it ends by itself
        elif _number(found[4]):  # it leaves out what a model says in its field for refusals
            told = "the model answered with nothing that can be shown, and nothing was done"
            self.story.failed(Problem("refused", told))
        else:
            self.fail(said, otherwise="outage")

    def _over_limit(self, output: int) -> Iterator[Told]:
        """It takes a request that is too long for the same as an answer that is; only here one has begun."""
        self._limited, self.story.began = False, True
        if output:
            yield from self.says("\n".join(self._answer))
            self.story.cut = self.story.finished = True
        else:
            self.story.failed(Problem("context", "the request was too long for the model"))
        self._answer.clear()


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
        files = {prompt: job.prompt, settings: json.dumps(extra), job.room.home / _PRICES: '{"none": {}}'}
        return Launch(tuple(argv), {**environment, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}, files)

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
