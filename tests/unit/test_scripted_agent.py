"""The worker that does what its script says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daybreak.agents.protocol import Claim, Terms
from daybreak.testing.agent import Manner, ScriptedAgent, ScriptWrong

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "testing.md"


def _brief(attempt: int) -> Any:
    return SimpleNamespace(attempt=attempt)


def _scripted(*script: Manner) -> ScriptedAgent:
    return type("Scripted", (ScriptedAgent,), {"script": script})()


def test_each_attempt_does_what_its_word_says_and_the_last_word_stays(tmp_path: Path) -> None:
    """Lies first, refuses from then on."""
    agent = _scripted("lies", "refuses")
    outcomes = []
    for attempt in (1, 2, 3):
        claims = [told for told in agent.work(_brief(attempt), tmp_path, Terms()) if isinstance(told, Claim)]
        outcomes.append(claims[0].outcome)
    assert outcomes == ["finished", "refused", "refused"]
    assert list(tmp_path.iterdir()) == []


def test_a_silent_agent_claims_nothing_and_a_crashing_one_raises(tmp_path: Path) -> None:
    """Both without a claim."""
    assert list(_scripted("silent").work(_brief(1), tmp_path, Terms())) == []
    with pytest.raises(RuntimeError, match="script"):
        list(_scripted("crashes").work(_brief(1), tmp_path, Terms()))


@pytest.mark.parametrize("script", [(), ("nicely",)])
def test_a_script_that_nobody_can_follow_is_refused(script: tuple[Any, ...]) -> None:
    """With the words that there are."""
    with pytest.raises(ScriptWrong) as refused:
        _scripted(*script)
    assert "hangs" in refused.value.hint


def test_the_page_runs() -> None:
    """What the page shows is so."""
    program = PAGE.read_text().split("```python\n")[1].split("```")[0]
    exec(compile(program, str(PAGE), "exec"), {})  # noqa: S102 - our own page
