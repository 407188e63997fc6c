"""OpenCode: `opencode run --format json`. Silent for ten minutes where its server hangs."""

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
    "openai": ("@ai-sdk/openai-compatible", "/openai/v1"),
    "anthropic": ("@ai-sdk/anthropic", "/anthropic/v1"),
    "gemini": ("@ai-sdk/google", "/gemini/v1beta"),
}


class OpenCodeReader(Reader):
    """step_start, text, tool_use, step_finish, error."""

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        self.story.began = True
        part = event.get("part") or {}
        match event["type"]:
            case "step_start":
                self.story.went_on()
            case "text":
                self.story.went_on()
                yield from self.says(part["text"])
            case "tool_use":
                self.story.went_on()
                given = (part.get("state") or {}).get("input") or {}
                yield from self.acts(part.get("tool"), given.get("filePath") or given.get("command") or "")
            case "step_finish":
                yield from self._stepped(part)
            case "error":
                error = event.get("error") or {}
                data = error.get("data") or {}
                text = f"{error.get('name', '')} {data.get('statusCode') or ''} {data.get('message') or error}"
                if error.get("name") == "MessageOutputLengthError":
                    self.story.cut = True
                else:
                    self.fail(text, over=True)
                yield Note(text=f"error: {text}"[:300])

    def _stepped(self, part: dict[str, Any]) -> Iterator[Told]:
        tokens = part.get("tokens") or {}
        cache = tokens.get("cache") or {}
        cached = count(cache.get("read"))
        yield Usage(
            requests=1,
            input_tokens=count(tokens.get("input")) + cached + count(cache.get("write")),
            cached_tokens=cached,
            output_tokens=count(tokens.get("output")) + count(tokens.get("reasoning")),
            money_microusd=microusd(part.get("cost")),
        )
        reason = part.get("reason")
        if reason == "content-filter":
            self.fail("content_filter: the provider ended the answer", over=True)
        elif reason == "length":
            self.story.cut = True
            self.story.ended()
        elif reason in ("stop", "end_turn"):
            self.story.ended()
        elif reason in ("error", "unknown", "other"):
            self.fail(f"the stream ended with reason {reason}", otherwise="outage")


class OpenCode:
    name: ClassVar[str] = "OpenCode"
    program: ClassVar[str] = "opencode"
    install: ClassVar[str] = "npm install -g opencode-ai"
    apis: ClassVar[tuple[str, ...]] = ("openai", "anthropic", "gemini")
    keys: ClassVar[tuple[str, ...]] = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENCODE_API_KEY")

    def launch(self, job: Job) -> Launch:
        argv = [
            *job.program,
            "run",
            "--format",
            "json",
            "--auto",
            "--title",
            "attempt",
            "--print-logs",
            "--log-level",
            "WARN",
        ]
        if job.terms.gateway is not None:
            argv += ["-m", f"daybreak/{job.model}"]
        elif job.model:
            argv += ["-m", job.model]
        home = job.room.home
        config = home / ".config" / "opencode" / "opencode.json"
        switches = ("AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD", "SHARE", "TERMINAL_TITLE")
        environment = {f"OPENCODE_DISABLE_{name}": "1" for name in switches}
        return Launch(tuple(argv), environment, {config: json.dumps(self._config(job))}, job.prompt.encode())

    def _config(self, job: Job) -> dict[str, Any]:
        network = "allow" if job.worker.network else "deny"
        permission = {"*": "allow", "edit": "allow", "bash": "allow", "question": "deny", "external_directory": "allow"}
        config: dict[str, Any] = {
            "$schema": "https://opencode.ai/config.json",
            "autoupdate": False,
            "share": "disabled",
            "permission": {**permission, "webfetch": network, "websearch": network},
        }
        gateway = job.terms.gateway
        if gateway is not None:
            package, path = _APIS[gateway.api]
            timeout_ms = int(job.terms.silence_s * 800)
            limit = {"context": int(job.option("context_tokens", 200_000))}
            limit["output"] = int(job.option("answer_tokens", 32_000))
            options = {"baseURL": job.url(path), "apiKey": gateway.token, "timeout": timeout_ms}
            models = {gateway.model: {"name": gateway.model, "limit": limit}}
            config["provider"] = {
                "daybreak": {"npm": package, "name": "Daybreak", "options": options, "models": models}
            }
            config["model"] = config["small_model"] = f"daybreak/{gateway.model}"
        return config

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return OpenCodeReader(clock)


adapter = OpenCode()
