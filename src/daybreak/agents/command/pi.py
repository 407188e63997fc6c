"""pi: `pi -p --mode json`.

Exits with 0 after a 401 and after a dropped stream, and stays after its retries are over. Prints the whole answer
again with every word of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.story import Reader, count, microusd
from daybreak.agents.protocol import Note, Told, Usage
from daybreak.clock import Clock
from daybreak.settings import Worker

_APIS = {
    "openai": ("openai-completions", "/openai/v1"),
    "anthropic": ("anthropic-messages", "/anthropic"),
    "gemini": ("google-generative-ai", "/gemini/v1beta"),
}
_SKIPPED = ('{"type":"message_update"', '{"type":"tool_execution_update"')


class PiReader(Reader):
    """session, agent_start/end, turn_start/end, message_*, tool_execution_*, auto_retry_*, compaction_*.

    A stream that was cut off looks like a whole answer, but for one thing: nobody has said what it used. With
    `options.usage = false`, for servers that never say, that is taken for whole.
    """

    def __init__(self, clock: Clock, *, usage_is_told: bool = True) -> None:
        super().__init__(clock)
        self._usage_is_told = usage_is_told

    def skips(self, text: str) -> bool:
        return text.startswith(_SKIPPED)

    def headline(self, text: str) -> dict[str, Any] | None:
        name = text.partition('{"type":"')[2].partition('"')[0]
        return {"type": name} if name in {"agent_end", "turn_end", "tool_execution_end"} else None

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        self.story.began = True
        match event["type"]:
            case "agent_start":
                self.story.over = False
            case "message_end":
                if event["message"].get("role") == "assistant":
                    yield from self._answered(event["message"])
            case "tool_execution_start":
                args = event.get("args") or {}
                yield from self.acts(event["toolName"], args.get("path") or args.get("command") or "")
            case "auto_retry_start":
                self.story.over = False
                yield Note(text=f"tries again ({event.get('attempt')}): {event.get('errorMessage', '')}"[:300])
            case "auto_retry_end":
                if event.get("success"):
                    return
                self.fail(event.get("finalError") or "its retries are over", over=True)
            case "compaction_start":
                self.story.over = False
            case "agent_end":
                self.story.over = True
                if self.story.problem is None:
                    self.story.finished = True

    def _answered(self, message: dict[str, Any]) -> Iterator[Told]:
        text = "".join(part["text"] for part in message.get("content") or [] if part.get("type") == "text")
        stop = message.get("stopReason")
        if stop in ("error", "aborted"):
            self.fail(message.get("errorMessage") or f"the model's answer ended with {stop}")
            self.story.over = False
        else:
            self.story.went_on()
            self.story.cut = stop == "length"
            yield from self.says(text)
        usage = message.get("usage") or {}
        if stop == "stop" and self._usage_is_told and not count(usage.get("totalTokens")):
            self.fail("the stream ended before the answer did: it does not say what was used", otherwise="outage")
        cached = count(usage.get("cacheRead"))
        yield Usage(
            requests=1,
            input_tokens=count(usage.get("input")) + cached + count(usage.get("cacheWrite")),
            cached_tokens=cached,
            output_tokens=count(usage.get("output")),
            money_microusd=microusd((usage.get("cost") or {}).get("total")),
        )


class Pi:
    name: ClassVar[str] = "pi"
    program: ClassVar[str] = "pi"
    install: ClassVar[str] = "npm install -g @mariozechner/pi-coding-agent"
    apis: ClassVar[tuple[str, ...]] = ("openai", "anthropic", "gemini")
    keys: ClassVar[tuple[str, ...]] = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY")

    def launch(self, job: Job) -> Launch:
        folder = job.room.home / ".pi" / "agent"
        argv = [*job.program, "-p", "--mode", "json", "--no-session", "--offline", "--no-extensions", "--no-skills"]
        argv += ["--no-prompt-templates", "--no-themes"]
        if job.terms.gateway is not None:
            argv += ["--provider", "daybreak", "--model", job.model]
        elif job.model:
            argv += ["--model", job.model]
        prompt = job.room.home / "prompt.md"
        argv.append(f"@{prompt}")
        files = {
            folder / "settings.json": json.dumps(self._settings(job)),
            folder / "models.json": json.dumps(self._models(job)),
            prompt: job.prompt,
        }
        environment = {"PI_CODING_AGENT_DIR": str(folder), "PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1"}
        return Launch(tuple(argv), {**environment, "PI_TELEMETRY": "0"}, files)

    def _settings(self, job: Job) -> dict[str, Any]:
        timeout_ms = int(job.terms.silence_s * 800)  # it should give up and say why before we do
        provider = {"maxRetries": 0, "timeoutMs": timeout_ms, "maxRetryDelayMs": 20_000}
        retry = {"enabled": job.retries > 0, "maxRetries": job.retries, "provider": provider}
        return {"retry": retry, "enableInstallTelemetry": False, "quietStartup": True}

    def _models(self, job: Job) -> dict[str, Any]:
        gateway = job.terms.gateway
        if gateway is None:
            return {"providers": {}}
        api, path = _APIS[gateway.api]
        model = {"id": gateway.model, "contextWindow": int(job.option("context_tokens", 200_000))}
        model["maxTokens"] = int(job.option("answer_tokens", 32_000))
        provider: dict[str, Any] = {"baseUrl": job.url(path), "api": api, "apiKey": gateway.token, "models": [model]}
        if gateway.api == "openai":
            provider["compat"] = {"supportsDeveloperRole": False, "supportsReasoningEffort": False}
        return {"providers": {"daybreak": provider}}

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return PiReader(clock, usage_is_told=worker.options.get("usage") is not False)


adapter = Pi()
