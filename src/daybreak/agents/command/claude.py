"""Claude Code: `claude -p --output-format stream-json`.

`is_error` in its result says what went wrong, whatever `subtype` says; usage of a message is told again with each of
its parts, so the result's total is what counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.story import Reader, count, microusd
from daybreak.agents.protocol import Note, Told
from daybreak.clock import Clock
from daybreak.settings import Worker


class ClaudeReader(Reader):
    """system (init, api_retry, ...), assistant, user, result."""

    def headline(self, text: str) -> dict[str, Any] | None:
        return {"type": "user"} if text.startswith('{"type":"user"') else None

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        self.story.began = True
        match event["type"]:
            case "system":
                if event.get("subtype") == "api_retry":
                    self.fail(f"{event.get('error_status') or ''} {event.get('error') or event}", otherwise="outage")
                    yield Note(text=f"tries again: {event.get('error_status')} {event.get('error')}"[:300])
            case "assistant":
                yield from self._answered(event)
            case "result":
                yield from self._result(event)

    def _answered(self, event: dict[str, Any]) -> Iterator[Told]:
        message = event["message"]
        text = "".join(part["text"] for part in message.get("content") or [] if part.get("type") == "text")
        if event.get("error") or event.get("isApiErrorMessage"):
            self.fail(f"{event.get('error') or ''} {text}")
            return
        self.story.went_on()
        yield from self.says(text)
        for part in message.get("content") or []:
            if part.get("type") == "tool_use":
                given = part.get("input") or {}
                yield from self.acts(part.get("name"), given.get("file_path") or given.get("command") or "")
        if message.get("stop_reason") == "refusal":
            self.fail(f"stop_reason: refusal {text}")
        self.story.cut = message.get("stop_reason") == "max_tokens"

    def _result(self, event: dict[str, Any]) -> Iterator[Told]:
        usage = event.get("usage") or {}
        cached = count(usage.get("cache_read_input_tokens"))
        grown = self.meter.total(
            requests=count(event.get("num_turns")),
            input_tokens=count(usage.get("input_tokens")) + cached + count(usage.get("cache_creation_input_tokens")),
            cached_tokens=cached,
            output_tokens=count(usage.get("output_tokens")),
            money_microusd=microusd(event.get("total_cost_usd")),
        )
        if grown is not None:
            yield grown
        said = event.get("result")
        if event.get("is_error") or str(event.get("subtype", "")).startswith("error"):
            self.fail(f"{event.get('subtype')}: {said or event.get('error') or event.get('errors') or ''}", over=True)
            return
        if isinstance(said, str) and said.strip():
            self.story.said = said
        refused = event.get("stop_reason") == "refusal"
        if refused:
            self.fail(f"stop_reason: refusal {said}", over=True)
        elif self.story.problem is None or self.story.problem.kind != "refused":
            self.story.problem = None
            self.story.ended()
        self.story.over = True


class Claude:
    name: ClassVar[str] = "Claude Code"
    program: ClassVar[str] = "claude"
    install: ClassVar[str] = "npm install -g @anthropic-ai/claude-code"
    apis: ClassVar[tuple[str, ...]] = ("anthropic",)
    keys: ClassVar[tuple[str, ...]] = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN")

    def launch(self, job: Job) -> Launch:
        folder = job.room.home / ".claude"
        argv = [*job.program, "-p", "--output-format", "stream-json", "--verbose", "--strict-mcp-config"]
        argv += ["--dangerously-skip-permissions"]
        argv += ["--model", job.model] if job.model else []
        if job.worker.money_usd is not None:
            argv += ["--max-budget-usd", f"{job.worker.money_usd:g}"]
        if not job.worker.network:
            argv += ["--disallowedTools", "WebFetch,WebSearch"]
        environment = {
            "CLAUDE_CONFIG_DIR": str(folder),
            "IS_SANDBOX": "1",  # it is in ours; without that it refuses to skip its questions as root
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": str(job.retries),
            "API_TIMEOUT_MS": str(int(job.terms.silence_s * 800)),
        }
        if job.terms.gateway is not None:
            environment |= {"ANTHROPIC_BASE_URL": job.url("/anthropic"), "ANTHROPIC_AUTH_TOKEN": job.token}
            environment |= {"ANTHROPIC_SMALL_FAST_MODEL": job.model, "ANTHROPIC_DEFAULT_HAIKU_MODEL": job.model}
        settings = {"includeCoAuthoredBy": False, "cleanupPeriodDays": 1}
        return Launch(tuple(argv), environment, {folder / "settings.json": json.dumps(settings)}, job.prompt.encode())

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return ClaudeReader(clock)


adapter = Claude()
