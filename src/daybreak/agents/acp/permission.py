"""What is answered when an agent asks whether it may: at once, by rule, and never "always".

Yes to what stays inside the workspace, with the option that holds once. No to everything else: paths outside, files
that must stay as they are, the network unless the worker has it, a change of the agent's own mode, and whatever does
not say what it touches. A command is allowed where its folder is inside, because the sandbox confines what it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daybreak.agents.acp.confined import Confined, PathOutside, PathProtected

if TYPE_CHECKING:
    from acp.schema import PermissionOption, ToolCallUpdate

_LOOKING = ("read", "search", "think")
_PATH_KEYS = re.compile(
    r"((file|abs|absolute|old|new|target)[_-]?)?path|file[_-]?name|(target[_-]?)?file|source|destination"
    r"|cwd|dir|folder|(working[_-]?)?directory|work[_-]?dir",
    re.IGNORECASE,
)
_DEPTH_MAX = 6


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    why: str
    """A sentence for people."""


def decide(call: ToolCallUpdate, files: Confined, *, network: bool) -> Decision:
    kind = call.kind or "other"
    title = f"{kind} {call.title or ''}".strip()[:120]
    paths = list(_paths(call))
    if kind == "switch_mode":
        return Decision(False, f"{title}: an agent does not change its own mode")
    if kind == "fetch" and not network:
        return Decision(False, f"{title}: this worker has no network")
    check = files.for_reading if kind in _LOOKING else files.for_writing
    for path in paths:
        try:
            check(path)
        except (PathOutside, PathProtected) as refused:
            return Decision(False, f"{title}: {refused.message}")
    if not paths and kind not in (*_LOOKING, "execute", "fetch"):
        return Decision(False, f"{title}: it does not say which files it is about")
    return Decision(True, f"{title}: inside the workspace")


def option(options: Sequence[PermissionOption], decision: Decision) -> str | None:
    """The id of the option that says it: once where it is a yes, once rather than always where it is a no.
    None: nothing that is offered says it, and then the answer is no."""
    wanted = ("allow_once",) if decision.allowed else ("reject_once", "reject_always")
    for kind in wanted:
        for one in options:
            if one.kind == kind:
                return one.option_id
    return option(options, Decision(False, "")) if decision.allowed else None


def is_yes(options: Sequence[PermissionOption], chosen: str | None) -> bool:
    return any(one.option_id == chosen and one.kind == "allow_once" for one in options)


def _paths(call: ToolCallUpdate) -> Iterator[str]:
    for location in call.locations or ():
        yield location.path
    for content in call.content or ():
        if content.type == "diff":
            yield content.path
    yield from _paths_in(call.raw_input, 0)


def _paths_in(value: Any, depth: int) -> Iterator[str]:
    """What stands under names that agents give to paths, however deep."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            if isinstance(one, str) and _PATH_KEYS.fullmatch(str(key)):
                yield one.removeprefix("file://")
            else:
                yield from _paths_in(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            yield from _paths_in(one, depth + 1)
