"""The arguments of a task that does something once more, because a person rejected what came of it."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from daybreak import events
from daybreak.engine.log import Log
from daybreak.errors import UsageError
from daybreak.factory.phases.rejected import RejectedBuild
from daybreak.factory.phases.wanted import BuildArgs
from daybreak.factory.repository.task import PROMPT_CHARS_MAX, RepositoryArgs
from daybreak.factory.validate.task import KIND as VALIDATE
from daybreak.factory.verdicts import standing
from daybreak.factory.verdicts.standing import Standing
from daybreak.policy.injection import fence

MARK = "A person has rejected what was made of this before (run {run}):"
CHANGE_CHARS_MAX = 40_000
TITLE_CHARS_MAX = 500
_AGAIN = " (again: rejected)"
_Args = TypeVar("_Args", bound=BaseModel)


class ArgumentsUnfit(UsageError):
    """The run's arguments, as the ledger keeps them, do not fit this version, so it cannot be done again."""

    code = "U276"


def title(before: str) -> str:
    """Of the new task."""
    return f"{before.removesuffix(_AGAIN)[: TITLE_CHARS_MAX - len(_AGAIN)]}{_AGAIN}"


def args(log: Log, found: Standing, because: str) -> dict[str, Any] | None:
    """Those of the run, with the reason and what it had delivered for the worker; None for a kind in which nobody
    reads such a thing. Raises ArgumentsUnfit."""
    asked = standing.task_of(log, found.run)
    if found.kind == "repository":
        return _repository(log, found, _read(RepositoryArgs, found, asked.args), because)
    if found.kind == "build":
        return _build(found, _read(BuildArgs, found, asked.args), because)
    if found.kind == VALIDATE and asked.args.get("fix"):
        return dict(asked.args)  # its workers are told by the lesson
    return None


def _read(kind: type[_Args], found: Standing, kept: dict[str, Any]) -> _Args:
    """Raises ArgumentsUnfit, which names fields and repeats none of what stands in them."""
    try:
        return kind.model_validate(kept)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False, include_context=False)
        told = "; ".join(f"{'.'.join(str(part) for part in one['loc'])[:60]}: {one['type']}" for one in wrong[:3])
        raise ArgumentsUnfit(
            f"the arguments of run {found.run} cannot be used any more, so it cannot be done again ({told})",
            hint="reject it without a new task: `--no-task`, or keep the lesson alone; then add the task anew",
        ) from error


def _repository(log: Log, found: Standing, args: RepositoryArgs, because: str) -> dict[str, Any]:
    """The prompt says it, with the change itself as data."""
    branch = f"daybreak/{found.run}"
    words = [
        args.prompt.rstrip(),
        "",
        MARK.format(run=found.run),
        because,
        "Do it again on the files as they are, so that this is right.",
    ]
    change = _change(log, found)
    longer = [*words, "The change that was rejected:", fence(change, source=branch)]
    for lines in (longer, words):
        prompt = "\n".join(lines)
        if len(prompt) <= PROMPT_CHARS_MAX and (change or lines is words):
            return args.model_copy(update={"prompt": prompt}).model_dump(mode="json", exclude_defaults=True)
    return args.model_dump(mode="json", exclude_defaults=True)  # too long already: the lesson says it


def _change(log: Log, found: Standing) -> str:
    """What was delivered, as text; empty where that cannot be read any more."""
    manifest = delivered(found).get("manifest", "")
    if not manifest:
        return ""
    patch = json.loads(log.get_blob(manifest)).get("patch", "")
    return log.get_blob(patch).decode("utf-8", "replace")[:CHANGE_CHARS_MAX] if patch else ""


def _build(found: Standing, args: BuildArgs, because: str) -> dict[str, Any]:
    """It begins from the tree that was rejected, with the reason as what is to be mended."""
    workspace, tree = "", ""
    made = [one.event for one in found.records if isinstance(one.event, events.Delivered)]
    for record in found.records:
        step = record.event
        if made and isinstance(step, events.StepDone) and step.name in ("attempt", "merge"):
            kept = step.result
            if isinstance(kept, dict) and kept.get("workspace") == made[-1].workspace and kept.get("tree"):
                workspace, tree = made[-1].workspace, str(kept["tree"])
    rejected = RejectedBuild(run=found.run, because=because, workspace=workspace, tree=tree)
    changed: dict[str, Any] = {"rejected": rejected}
    if args.phases is not None:  # one result is mended, so there is nothing to divide or to choose from
        changed["phases"] = args.phases.model_copy(update={"paradigm": "sequential", "paradigm_by": "rejected before"})
    return args.model_copy(update=changed).model_dump(mode="json", exclude_defaults=True)


def delivered(found: Standing) -> dict[str, Any]:
    """What the step that delivered has kept; empty where none did."""
    kept = [
        one.event.result
        for one in found.records
        if isinstance(one.event, events.StepDone) and one.event.name == "deliver"
    ]
    return kept[-1] if kept and isinstance(kept[-1], dict) else {}
