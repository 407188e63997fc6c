"""Codex: `codex exec --json`.

Exits with 0 after a refusal, bad tool calls and a false "Done". Its usage is the thread's total. It makes helper
programs in its home, and refuses to where that lies below TMPDIR.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.story import Reader, count
from daybreak.agents.protocol import Note, Told
from daybreak.clock import Clock
from daybreak.settings import Worker

_TOKEN = "DAYBREAK_GATEWAY_TOKEN"


class CodexReader(Reader):
    """thread.started, turn.started/completed/failed, item.started/updated/completed, error."""

    def headline(self, text: str) -> dict[str, Any] | None:
        return {"type": "too.long"} if text.startswith('{"type":"item.') else None

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        match event["type"]:
            case "thread.started" | "turn.started" | "too.long":
                self.story.began = True
            case "item.started" | "item.completed":
                yield from self._item(event["item"], done=event["type"] == "item.completed")
            case "turn.completed":
                yield from self._usage(event.get("usage") or {})
                if self.story.problem is None or self.story.said:
                    self.story.problem = None
                    self.story.ended()
            case "turn.failed":
                self.fail(event.get("error") or event, over=True)
            case "error":
                self.story.began = True
                self.fail(event.get("message") or event)
                yield Note(text=f"error: {event.get('message', '')}"[:300])

    def _item(self, item: dict[str, Any], *, done: bool) -> Iterator[Told]:
        self.story.began = True
        kind = item["type"]
        if kind == "error":
            if done:  # warnings come this way, so it is no end
                yield Note(text=f"codex: {item.get('message', '')}"[:300])
        elif kind == "agent_message":
            if done:
                self.story.went_on()
                yield from self.says(item["text"])
        elif kind == "reasoning":
            self.story.went_on()
        elif not done:
            self.story.went_on()
            yield from self.acts(kind, item.get("command") or item.get("changes") or item.get("query") or "")
        elif kind == "file_change" and item.get("status") != "failed":
            yield from self.acts(kind, item.get("changes") or "")

    def _usage(self, usage: dict[str, Any]) -> Iterator[Told]:
        grown = self.meter.total(
            input_tokens=count(usage.get("input_tokens")),
            cached_tokens=count(usage.get("cached_input_tokens")),
            output_tokens=count(usage.get("output_tokens")),
        )
        if grown is not None:
            yield grown


class Codex:
    name: ClassVar[str] = "Codex"
    program: ClassVar[str] = "codex"
    install: ClassVar[str] = "npm install -g @openai/codex"
    apis: ClassVar[tuple[str, ...]] = ("openai",)
    keys: ClassVar[tuple[str, ...]] = ("CODEX_API_KEY", "OPENAI_API_KEY")

    def launch(self, job: Job) -> Launch:
        folder = job.room.home / ".codex"
        argv = [*job.program, "exec", "--json", "--skip-git-repo-check", "--color", "never"]
        # The sandbox is ours: one within it would fail, or forbid the workspace.
        argv += ["--dangerously-bypass-approvals-and-sandbox", "-C", str(job.room.workspace), "-"]
        return Launch(
            tuple(argv),
            {"CODEX_HOME": str(folder), **({_TOKEN: job.token} if job.token else {})},
            {folder / "config.toml": self._config(job)},
            job.prompt.encode(),
        )

    def _config(self, job: Job) -> str:
        lines = ['approval_policy = "never"', 'sandbox_mode = "danger-full-access"']
        lines += ["check_for_update_on_startup = false", 'history.persistence = "none"']
        if job.model:
            lines.append(f"model = {_toml(job.model)}")
        network = job.worker.network
        lines.append(f'web_search = "{"live" if network else "disabled"}"')
        if job.terms.gateway is not None:
            lines.append('model_provider = "daybreak"')
        lines += ["", "[analytics]", "enabled = false"]
        lines += ["", "[shell_environment_policy]", f'exclude = ["{_TOKEN}", "*_API_KEY"]']
        if job.terms.gateway is not None:
            idle_ms = int(job.terms.silence_s * 800)  # it should give up and say why before we do
            lines += ["", "[model_providers.daybreak]", 'name = "Daybreak"']
            lines += [f"base_url = {_toml(job.url('/openai/v1'))}", f'env_key = "{_TOKEN}"', 'wire_api = "responses"']
            lines += [f"request_max_retries = {job.retries}", f"stream_max_retries = {job.retries}"]
            lines += [f"stream_idle_timeout_ms = {idle_ms}", "supports_websockets = false"]
        return "\n".join(lines) + "\n"

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return CodexReader(clock)


def _toml(text: str) -> str:
    """A basic string: JSON's is one, with nothing that TOML would not take."""
    return json.dumps(text)


adapter = Codex()
