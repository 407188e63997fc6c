"""What a run delivered, as its ledger tells: each kind of task in its own way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from daybreak import events
from daybreak.engine.log import Log
from daybreak.factory.verdicts import standing
from daybreak.factory.verdicts.standing import Standing

BRANCH = "daybreak/{run}"


class _Effect(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class FolderPut(_Effect):
    """A folder with a manifest (build)."""

    kind: Literal["folder"] = "folder"
    output: str
    manifest: str
    """SHA-256 of the manifest file."""
    provenance: str = ""
    """SHA-256 of the provenance file; empty where there is none."""
    replaced: str | None = ""
    """Blob of the earlier delivery that it replaced; empty: none; None: nobody knows."""

    @property
    def what(self) -> str:
        return f"the folder {self.output}"


class BranchMade(_Effect):
    """A branch with one commit in a user's repository (repository, validate)."""

    kind: Literal["branch"] = "branch"
    repository: str
    branch: str
    commit: str
    """Full, or its first 12 digits."""
    checks: tuple[str, ...] = ()
    """Commands that passed before the change, so they must pass without it."""

    @property
    def what(self) -> str:
        return f"the branch {self.branch} in {self.repository}"


class FilesChanged(_Effect):
    """Files of a user's folder, changed in place (validate)."""

    kind: Literal["files"] = "files"
    folder: str
    base: str
    """The state before, a commit that `bundle` (a blob) holds."""
    bundle: str
    patch: str
    """Blob: from that state to the one that was delivered."""

    @property
    def what(self) -> str:
        return f"files in {self.folder}"


class PatchWritten(_Effect):
    """A file with a patch (validate)."""

    kind: Literal["patch"] = "patch"
    path: str
    patch: str

    @property
    def what(self) -> str:
        return f"the file {self.path}"


class BranchesMerged(_Effect):
    """Branches that were merged into one (merge)."""

    kind: Literal["merged"] = "merged"
    repository: str
    into: str
    commits: tuple[str, ...]
    """The merge commits, the first one first."""
    target: str
    """Where the target was before."""
    checks: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        return f"{len(self.commits)} merges into {self.into} of {self.repository}"


Effect = FolderPut | BranchMade | FilesChanged | PatchWritten | BranchesMerged
_EFFECTS: TypeAdapter[list[Effect]] = TypeAdapter(list[Annotated[Effect, Field(discriminator="kind")]])


def read(told: Sequence[dict[str, Any]]) -> list[Effect]:
    """As an event holds them."""
    return _EFFECTS.validate_python([{key: one[key] for key in one if key != "what"} for one in told])


def written(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """For an event."""
    return [{**one.model_dump(mode="json"), "what": one.what} for one in effects]


def of(log: Log, found: Standing) -> tuple[list[Effect], list[str]]:
    """What can be taken back, and in words what cannot: it is outside."""
    args = standing.task_of(log, found.run).args
    steps = [one.event for one in found.records if isinstance(one.event, events.StepDone)]
    match found.kind:
        case "build":
            return _folder(found, steps), []
        case "repository":
            return _branch(found, steps, args), _outside(steps, args)
        case "validate":
            return _validated(found, steps, args), []
        case "merge":
            return _merged(found, steps, args), []
        case "issues":
            added = [one["run"] for one in _last(steps, "add") or [] if isinstance(one, dict) and one.get("run")]
            return [], [f"the tasks that it added: {', '.join(added)[:500]} (undo each of them)"] if added else []
    return [], [f"what a task of kind {found.kind} did itself: only its author knows what that was"]


def _last(steps: Sequence[events.StepDone], name: str) -> Any:
    found = [one.result for one in steps if one.name == name]
    return found[-1] if found else None


def _folder(found: Standing, steps: Sequence[events.StepDone]) -> list[Effect]:
    made = [one.event for one in found.records if isinstance(one.event, events.Delivered)]
    if not made:
        return []
    kept = _last(steps, "deliver")
    replaced = kept.get("replaced") if isinstance(kept, dict) else None
    last = made[-1]
    return [FolderPut(output=last.output, manifest=last.manifest, provenance=last.provenance, replaced=replaced)]


def _branch(found: Standing, steps: Sequence[events.StepDone], args: dict[str, Any]) -> list[Effect]:
    kept = _last(steps, "deliver")
    if not isinstance(kept, dict) or not kept.get("commit"):
        return []
    name = BRANCH.format(run=found.run)
    guards = _guards(found, args.get("checks", ()))
    return [BranchMade(repository=args["repository"], branch=name, commit=kept["commit"], checks=guards)]


def _guards(found: Standing, commands: Sequence[str], workspace: str = "") -> tuple[str, ...]:
    """Checks of the task that passed before any work: without the change they pass as well. `workspace`: only those
    that were seen there."""
    from daybreak.factory.repository import checks

    passed: dict[str, bool] = {}
    for record in found.records:
        if isinstance(record.event, events.CheckProved) and workspace in ("", record.event.workspace):
            passed.setdefault(record.event.check, record.event.passed)
    return tuple(one.command for one in checks.plan(tuple(commands)) if passed.get(one.name))


def _outside(steps: Sequence[events.StepDone], args: dict[str, Any]) -> list[str]:
    """Requests at a forge."""
    told = []
    offer = args.get("offer") or {}
    for step in steps:
        if step.name == "push" and offer:
            told.append(f"the branch that was pushed to {offer.get('repository', '')} at {offer.get('forge', '')}")
        if isinstance(step.result, dict) and step.name in ("push", "request") and step.result.get("url"):
            told.append(f"the request {step.result['url']}: close it there")
    return list(dict.fromkeys(told))


def _validated(found: Standing, steps: Sequence[events.StepDone], args: dict[str, Any]) -> list[Effect]:
    kept, taken = _last(steps, "deliver"), _last(steps, "take")
    if not isinstance(kept, dict) or not isinstance(taken, dict):
        return []
    match args.get("delivery"):
        case "patch":
            return [PatchWritten(path=kept["output"], patch=kept["patch"])]
        case "in-place":
            return [
                FilesChanged(folder=args["folder"], base=taken["commit"], bundle=taken["bundle"], patch=kept["patch"])
            ]
    commit = kept["output"].rpartition("commit ")[2].rstrip(")")  # the step keeps the words alone
    return [BranchMade(repository=args["root"], branch=BRANCH.format(run=found.run), commit=commit)]


def _merged(found: Standing, steps: Sequence[events.StepDone], args: dict[str, Any]) -> list[Effect]:
    commits = [str(one.result["commit"]) for one in steps if one.name == "move" and one.result["commit"]]
    joins = [one.result for one in steps if one.name == "join" and isinstance(one.result, dict)]
    if not commits or not joins:
        return []
    first = joins[0]
    before = hashlib.sha256(f"git {first['target']} {first['target_tree']}\n".encode()).hexdigest()
    entries = args.get("entries") or _last(steps, "find") or ()
    commands = [check for entry in entries for check in entry.get("checks", ())]
    return [
        BranchesMerged(
            repository=args["repository"],
            into=args["into"],
            commits=tuple(commits),
            target=first["target"],
            checks=_guards(found, tuple(dict.fromkeys((*commands, *args.get("checks", ())))), before),
        )
    ]
