"""Gemini CLI: `gemini -o stream-json`.

Exits with 0 after a refusal and after SIGTERM, and waits for people where a folder is not trusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.story import Reader, count
from daybreak.agents.command.trouble import shown
from daybreak.agents.protocol import Note, Told
from daybreak.clock import Clock
from daybreak.settings import Worker


class GeminiReader(Reader):
    """init, message (in pieces), tool_use, tool_result, error, result."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._pieces: list[str] = []

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        self.story.began = True
        kind = event["type"]
        if kind != "message" and self._pieces:
            self.story.said, self._pieces = "".join(self._pieces), []
            yield Note(text=shown(self.story.said))
        match kind:
            case "message":
                if event.get("role") == "assistant":
                    self._pieces.append(str(event.get("content") or ""))
            case "tool_use":
                self.story.went_on()
                parameters = event.get("parameters") or {}
                yield from self.acts(
                    event.get("tool_name"), parameters.get("file_path") or parameters.get("command") or ""
                )
            case "error":
                yield Note(text=f"{event.get('severity', 'error')}: {event.get('message', '')}"[:300])
                self.fail(event.get("message") or event)
            case "result":
                yield from self._result(event)

    def _result(self, event: dict[str, Any]) -> Iterator[Told]:
        stats = event.get("stats") or {}
        grown = self.meter.total(
            input_tokens=count(stats.get("input_tokens")),
            cached_tokens=count(stats.get("cached")),
            output_tokens=max(
                count(stats.get("output_tokens")), count(stats.get("total_tokens")) - count(stats.get("input_tokens"))
            ),
        )
        if grown is not None:
            yield grown
        if event.get("status") == "success":
            if self.story.problem is None:
                self.story.ended()
            self.story.over = True
        else:
            self.fail(event.get("error") or event, over=True)


class Gemini:
    name: ClassVar[str] = "Gemini CLI"
    program: ClassVar[str] = "gemini"
    install: ClassVar[str] = "npm install -g @google/gemini-cli"
    apis: ClassVar[tuple[str, ...]] = ("gemini",)
    keys: ClassVar[tuple[str, ...]] = ("GEMINI_API_KEY",)

    def launch(self, job: Job) -> Launch:
        # The prompt comes from standard input; `-p` with something in it makes it headless whatever it thinks of us.
        argv = [*job.program, "--approval-mode", "yolo", "--skip-trust", "-o", "stream-json", "-e", "none"]
        argv += ["-m", job.model] if job.model else []
        environment = {
            "GEMINI_CLI_HOME": str(job.room.home),
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
            "GEMINI_CLI_NO_RELAUNCH": "true",
            "GEMINI_TELEMETRY_ENABLED": "false",
        }
        if job.terms.gateway is not None:
            environment |= {"GOOGLE_GEMINI_BASE_URL": job.url("/gemini"), "GEMINI_API_KEY": job.token}
        settings = job.room.home / ".gemini" / "settings.json"
        return Launch((*argv, "-p", " "), environment, {settings: json.dumps(self._settings(job))}, job.prompt.encode())

    def _settings(self, job: Job) -> dict[str, Any]:
        excluded = [] if job.worker.network else ["google_web_search", "web_fetch"]
        return {
            "security": {
                "auth": {"selectedType": "gemini-api-key", "enforcedType": "gemini-api-key"},
                "folderTrust": {"enabled": False},
            },
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {
                "enableAutoUpdate": False,
                "enableAutoUpdateNotification": False,
                "maxAttempts": job.retries + 1,
                "checkpointing": {"enabled": False},
            },
            "tools": {"sandbox": False, "exclude": excluded},
            "ui": {"hideTips": True, "hideBanner": True},
        }

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return GeminiReader(clock)


adapter = Gemini()
