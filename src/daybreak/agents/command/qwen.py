"""Qwen Code: `qwen -o stream-json`, whose stream has the form of Claude Code's.

What goes wrong with a request stands in brackets at the end of the model's words, and its result calls that a success.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.claude import ClaudeReader
from daybreak.agents.command.story import Reader, count
from daybreak.agents.command.trouble import Problem, shown
from daybreak.agents.protocol import Told
from daybreak.clock import Clock
from daybreak.settings import Worker

_FAILED = re.compile(r"\[API Error: ([^\n]*)\]\s*\Z")


class QwenReader(ClaudeReader):
    """system, assistant, user, result."""

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        yield from super().event(event)
        if event["type"] == "result":
            self._over(str(event.get("result") or ""), event.get("usage") or {})

    def _over(self, said: str, usage: dict[str, Any]) -> None:
        found = _FAILED.search(said)
        if found is None:
            return
        self.story.said = said[: found.start()].strip()
        if "empty response" in found[1] and count(usage.get("output_tokens")):
            # It leaves out what a model says in its field for refusals.
            told = shown(f"the model answered with nothing that can be shown: {found[1]}")
            self.story.failed(Problem("refused", told), over=True)
        else:
            self.fail(found[1], over=True, otherwise="outage")


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
            # Else it asks the model once more after the end, to remember what nobody will read.
            "memory": {"enableManagedAutoMemory": False, "enableManagedAutoDream": False},
        }

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return QwenReader(clock)


adapter = Qwen()
