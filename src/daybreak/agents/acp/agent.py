"""The worker: an agent program, started in the sandbox and spoken to over its pipes."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import Any

from daybreak.agents import prompt
from daybreak.agents.acp import pointing
from daybreak.agents.protocol import Brief, Claim, Terms, Told
from daybreak.errors import DaybreakError
from daybreak.settings import Worker

MISSING = "the library of the Agent Client Protocol is not installed: pip install 'daybreak[acp]'"
_OURS = ("DAYBREAK_", "PYTHON")
"""Variables of the attempt's own process, which are no business of an agent."""


class AcpAgent:
    """`settings.command` is the command; options: `environment` and `files` (see `pointing`), `authenticate`, `mode`,
    `config`, `own_files` (see `conversation.Plan`). Every trouble is a claim."""

    def work(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        try:
            import acp  # noqa: F401 - asked for here, so that a missing extra is said in our words
        except ImportError as problem:
            yield Claim(outcome="crashed", summary=f"{MISSING} ({problem})", trouble="unavailable")
            return
        with tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as home:
            try:
                from daybreak.agents.acp.conversation import Conversation

                plan = _plan(brief, workspace, terms, Path(home))
            except DaybreakError as problem:
                summary = f"{problem.message}; {problem.hint}"
                yield Claim(outcome="crashed", summary=summary, trouble="unavailable")
                return
            yield from _stepwise(Conversation(plan).told())


def _plan(brief: Brief, workspace: Path, terms: Terms, home: Path) -> Any:
    """Raises OptionsWrong, BriefTemplateWrong."""
    from daybreak.agents.acp.confined import Confined
    from daybreak.agents.acp.conversation import Plan

    worker = Worker.model_validate(terms.settings)
    options = worker.options
    known = pointing.values(terms, worker.model, workspace.resolve(), home)
    argv = worker.command or ((worker.program,) if worker.program else ())
    if not argv:
        raise pointing.OptionsWrong("no command is given", hint='set `command = ["AGENT", "--acp"]` for this worker')
    pointing.write_files(options, known, home)
    return Plan(
        argv=tuple(pointing.filled(word, known) for word in argv),
        environment={**clean(os.environ, home), **pointing.environment(options, known)},
        workspace=workspace.resolve(),
        prompt=prompt.render(brief, folder=Path(terms.templates) if terms.templates else None),
        files=Confined(workspace, readable=[Path(one) for one in worker.readable], protected=brief.protected),
        network=worker.network,
        own_files=pointing.flag(options, "own_files"),
        authenticate=pointing.text(options, "authenticate"),
        mode=pointing.text(options, "mode"),
        config=_config(options),
        time_s=terms.time_s,
        silence_s=terms.silence_s,
    )


def _config(options: Mapping[str, Any]) -> dict[str, str | bool]:
    told = options.get("config", {})
    if not isinstance(told, Mapping) or not all(isinstance(one, str | bool) for one in told.values()):
        raise pointing.OptionsWrong(f"options.config is {told!r:.80}", hint="it is a table of texts and booleans")
    return dict(told)


def clean(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """The attempt's own environment, which the host has chosen, with a home that ends with the attempt."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_OURS)}
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
    }


def _stepwise(items: AsyncGenerator[Told]) -> Iterator[Told]:
    """The items of an asynchronous generator, one for each time that somebody asks; left early, it is closed."""
    loop = asyncio.new_event_loop()

    async def following() -> Told | None:
        return await anext(items, None)

    try:
        while (item := loop.run_until_complete(following())) is not None:
            yield item
    finally:
        try:
            loop.run_until_complete(items.aclose())
        finally:
            loop.close()
