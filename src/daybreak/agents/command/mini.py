"""mini-SWE-agent: `mini -y --exit-immediately`, whose trajectory file says how it went."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.aider import litellm
from daybreak.agents.command.story import Reader, count, microusd
from daybreak.agents.protocol import Told, Usage
from daybreak.clock import Clock
from daybreak.settings import Worker

_FILE = "trajectory.json"
TRAJECTORY_BYTES_MAX = 256 * 1024 * 1024


class MiniReader(Reader):
    """Text that is for people, and at the end the trajectory."""

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        return iter(())

    def close(self, home: Path) -> Iterator[Told]:
        path = home / _FILE
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > TRAJECTORY_BYTES_MAX:
                return
            told = json.loads(path.read_text(encoding="utf-8", errors="replace"))
            yield from self._read(told)
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return  # no word from it: then it has not finished

    def _read(self, told: dict[str, Any]) -> Iterator[Told]:
        self.story.began = True
        info = told["info"]
        stats = info.get("model_stats") or {}
        messages = [one for one in told.get("messages") or [] if isinstance(one, dict)]
        self.story.acted = sum(1 for one in messages if one.get("role") in ("tool", "user")) - 1
        usages = [((one.get("extra") or {}).get("response") or {}).get("usage") or {} for one in messages]
        yield Usage(
            requests=count(stats.get("api_calls")),
            input_tokens=sum(count(one.get("prompt_tokens")) for one in usages),
            output_tokens=sum(count(one.get("completion_tokens")) for one in usages),
            money_microusd=microusd(stats.get("instance_cost")),
        )
        status = str(info.get("exit_status") or "")
        if status == "Submitted":
            yield from self.says(info.get("submission") or "submitted")
            self.story.ended()
        else:
            said = (info.get("exception") or "") if isinstance(info.get("exception"), str) else ""
            last = str(messages[-1].get("content") or "")[-2_000:] if messages else ""
            self.fail(f"{status}: {said or last}", over=True)


class Mini:
    name: ClassVar[str] = "mini-SWE-agent"
    program: ClassVar[str] = "mini"
    install: ClassVar[str] = "uv tool install mini-swe-agent"
    apis: ClassVar[tuple[str, ...]] = ("openai", "anthropic", "gemini")
    keys: ClassVar[tuple[str, ...]] = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")

    def launch(self, job: Job) -> Launch:
        home = job.room.home
        model, environment = litellm(job)
        config = home / "attempt.yaml"
        # JSON is YAML. In a file, because an argument may not be longer than 128 KiB.
        settings: dict[str, Any] = {
            "run": {"task": job.prompt},
            "agent": {"mode": "yolo", "confirm_exit": False, "cost_limit": job.worker.money_usd or 0.0},
            "model": {"cost_tracking": "ignore_errors", **({"model_name": model} if model else {})},
            "environment": {"cwd": str(job.room.workspace)},
        }
        argv = (*job.program, "-y", "--exit-immediately", "-c", "mini.yaml", "-c", str(config), "-o", str(home / _FILE))
        environment = {
            **environment,
            "MSWEA_CONFIGURED": "true",
            "MSWEA_SILENT_STARTUP": "1",
            "MSWEA_GLOBAL_CONFIG_DIR": str(home / "mini"),
            "MSWEA_COST_TRACKING": "ignore_errors",
            "MSWEA_GLOBAL_CALL_LIMIT": str(job.terms.requests),
            "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": str(job.retries + 1),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        return Launch(argv, environment, {config: json.dumps(settings)})

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return MiniReader(clock)


adapter = Mini()
