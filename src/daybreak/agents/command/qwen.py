"""Qwen Code: `qwen -o stream-json`, whose stream has the form of Claude Code's."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.claude import ClaudeReader
from daybreak.agents.command.story import Reader
from daybreak.clock import Clock
from daybreak.settings import Worker


class Qwen:
    name: ClassVar[str] = "Qwen Code"
    program: ClassVar[str] = "qwen"
    install: ClassVar[str] = "npm install -g @qwen-code/qwen-code"
    apis: ClassVar[tuple[str, ...]] = ("openai",)
    keys: ClassVar[tuple[str, ...]] = ("OPENAI_API_KEY", "DASHSCOPE_API_KEY")

    def launch(self, job: Job) -> Launch:
        argv = [*job.program, "--approval-mode", "yolo", "-o", "stream-json", "--auth-type", "openai"]
        argv += ["-m", job.model] if job.model else []
        environment = {"QWEN_HOME": str(job.room.home / ".qwen")}
        if job.terms.gateway is not None:
            environment |= {"OPENAI_BASE_URL": job.url("/openai/v1"), "OPENAI_API_KEY": job.token}
            environment |= {"OPENAI_MODEL": job.model}
        settings = job.room.home / ".qwen" / "settings.json"
        return Launch((*argv, "-p", " "), environment, {settings: json.dumps(self._settings(job))}, job.prompt.encode())

    def _settings(self, job: Job) -> dict[str, Any]:
        timeout_ms = int(job.terms.silence_s * 800)
        return {
            "security": {"auth": {"selectedType": "openai"}, "folderTrust": {"enabled": False}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
            "model": {"generationConfig": {"timeout": timeout_ms, "maxRetries": job.retries}},
            "tools": {"sandbox": False},
        }

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return ClaudeReader(clock)


adapter = Qwen()
