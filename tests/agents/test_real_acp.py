"""Real agents that speak the Agent Client Protocol, against a scripted model: `make test-agents`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daybreak.agents.acp import AcpAgent
from daybreak.agents.acp.find import find
from daybreak.agents.protocol import Brief, Claim, Gateway, Terms, Told, Usage
from daybreak.settings import Settings, Worker
from daybreak.testing.modelserver import Call, ModelServer, RateLimited, Say, Stalled, Unauthorized

pytestmark = pytest.mark.agents

AGENTS = Path(__file__).parents[2] / "out/agents"
BRIEF = Brief(name="shelf", title="Shelf", summary="Write shelf.py.", protected=("keep.py",))

GEMINI: dict[str, Any] = {
    "command": ["gemini", "--acp", "--model", "{model}"],
    "options": {
        "authenticate": "gemini-api-key",
        "own_files": True,  # 0.61 takes our "Resource not found" for a failure where a file is new
        "environment": {
            "GEMINI_API_KEY": "{token}",
            "GOOGLE_GEMINI_BASE_URL": "{url}/gemini",
            "GEMINI_CLI_HOME": "{home}",
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
            "GEMINI_CLI_NO_RELAUNCH": "true",
        },
        "files": {
            ".gemini/settings.json": json.dumps(
                {
                    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
                    "privacy": {"usageStatisticsEnabled": False},
                    "general": {"enableAutoUpdate": False, "maxAttempts": 1},
                }
            )
        },
    },
}
OPENCODE: dict[str, Any] = {
    "command": ["opencode", "acp"],
    "options": {
        "environment": {
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        },
        "files": {
            ".config/opencode/opencode.json": json.dumps(
                {
                    "model": "gateway/{model}",
                    "small_model": "gateway/{model}",
                    "permission": {"edit": "ask", "bash": "ask"},
                    "provider": {
                        "gateway": {
                            "npm": "@ai-sdk/openai-compatible",
                            "options": {"baseURL": "{url}/openai/v1", "apiKey": "{token}", "maxRetries": 0},
                            "models": {"{model}": {}},
                        }
                    },
                }
            )
        },
    },
}
Write = Callable[[str], Call]
_GEMINI_API: Any = (
    "gemini",
    GEMINI,
    "gemini",
    lambda path: Call("write_file", {"file_path": path, "content": "x = 1\n"}),
)
_OPENCODE_API: Any = (
    "opencode",
    OPENCODE,
    "openai",
    lambda path: Call("write", {"filePath": path, "content": "x = 1\n"}),
)
agents = pytest.mark.parametrize(
    ("name", "worker", "api", "write"), [_GEMINI_API, _OPENCODE_API], ids=["gemini", "opencode"]
)


def work(
    name: str,
    worker: dict[str, Any],
    api: Any,
    script: Any,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    **limits: float,
) -> tuple[list[Told], Claim]:
    search = f"{AGENTS}/node_modules/.bin:{os.environ['PATH']}"
    found = find(name, Worker(kind="acp", **worker), Settings(), {"PATH": search})
    if found.missing:
        pytest.skip(f"{found.missing} (`make test-agents` installs it)")
    for variable, value in found.environment.items():
        monkeypatch.setenv(variable, value)
    with ModelServer(script, aside=Say("a title")) as server:
        gateway = Gateway(url=server.url(""), token="tok", api=api, model="scripted-1")
        settings = {"kind": "acp", **worker}
        *told, claim = AcpAgent().work(BRIEF, workspace, Terms(settings=settings, gateway=gateway, **limits))
    assert isinstance(claim, Claim)
    return told, claim


@agents
def test_a_real_agent_writes_what_it_may(
    name: str, worker: dict[str, Any], api: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the workspace is written; one outside and one that must stay are not, whatever the model wants."""
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / "keep.py").write_text("as it was")
    outside = tmp_path / "outside.py"
    script = [
        [write(f"{workspace}/shelf.py")],
        [write(str(outside))],
        [write(f"{workspace}/keep.py")],
        Say("All done."),
    ]
    told, claim = work(name, worker, api, script, workspace, monkeypatch)
    assert (workspace / "shelf.py").read_text() == "x = 1\n", (told, claim)
    assert (workspace / "keep.py").read_text() == "as it was"
    assert not outside.exists()
    assert claim.outcome in ("finished", "partial"), (told, claim)
    assert any(isinstance(item, Usage) and item.input_tokens for item in told), told


@agents
@pytest.mark.parametrize(("turn", "trouble"), [(Unauthorized(), "authentication"), (RateLimited(), "quota")])
def test_what_the_provider_says_is_understood(
    name: str,
    worker: dict[str, Any],
    api: Any,
    write: Write,
    turn: Any,
    trouble: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or it is at least no success: some agents keep trying until they are stopped, and the gateway knows why."""
    told, claim = work(name, worker, api, turn, tmp_path, monkeypatch, silence_s=15.0, time_s=40.0)
    assert claim.outcome != "finished", (told, claim)
    assert claim.trouble in (trouble, "stalled", "budget"), (told, claim)


@agents
def test_a_model_that_stalls_does_not_hold_an_agent_for_ever(
    name: str, worker: dict[str, Any], api: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence is noticed, and all of it is ended."""
    _, claim = work(name, worker, api, Stalled(Say("I be")), tmp_path, monkeypatch, silence_s=12.0)
    assert claim.trouble == "stalled", claim
