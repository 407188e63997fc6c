"""`daybreak unlock`: who holds what here, and the end of an owner that hangs; asks first."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.host.locks import FileLocks

EXAMPLES = "Examples:  daybreak unlock    daybreak unlock supervisor    daybreak unlock run-0k3 --yes"
LEASE_S = 60.0
"""An owner that promised to beat and is silent for so long, by the clock on the wall, is called silent."""


class OwnerLives(UsageError):
    """Its owner is alive and at work."""

    code = "U184"


@dataclass(frozen=True)
class LockLine:
    """A lock that is held."""

    name: str
    pid: int
    host: str
    since: str
    beats: str
    """`beats`, `silent`, `stopped`, or `promises nothing`."""
    silent_s: int | None


def unlock(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A lock; without one they are listed.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    living: Annotated[
        bool, typer.Option("--living", help="Even if its owner is alive and at work; needs --yes or two answers.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show who holds which lock, or end the process that holds NAME, with all that it started.

    Only ever needed where a process hangs: the locks of dead ones are free by themselves. Nothing recorded is lost.
    """
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.host.locks import FileLocks

    where = home.places()
    locks = FileLocks(where.locks, SystemClock())
    held = [line for line in (_line(locks, one) for one in locks.names()) if line is not None]
    if name is None:
        _list(held, as_json)
        return
    line = next((one for one in held if one.name == name), None)
    if line is None:
        raise ArgumentWrong(f"nobody holds {arguments.cut(name)}", hint="`daybreak unlock` lists what is held")
    _consent(line, yes=yes, living=living)
    ended = locks.end_owner(name)
    if as_json:
        faces.result_json({"unlocked": name, "ended": None if ended is None else ended.owner.pid})
    elif ended is None:
        faces.result(f"{name} is free: its owner has just ended")
    else:
        faces.result(f"process {ended.owner.pid} was ended, with {ended.children} below it; {name} is free")


def _line(locks: FileLocks, name: str) -> LockLine | None:
    from daybreak.clock import SystemClock
    from daybreak.host import owners

    seen = locks.beat_of(name)
    if seen is None:
        return None
    owner = seen.owner
    silent_s = max(0, int(SystemClock().now().timestamp() - seen.changed_ns / 1e9)) if owner.beats else None
    state = owners.state_of(owner.pid) if owner.host == locks.me.host else ""
    if state in ("T", "t"):
        beats = "stopped"
    elif silent_s is None:
        beats = "promises nothing"
    else:
        beats = "silent" if silent_s > LEASE_S else "beats"
    return LockLine(name, owner.pid, owner.host, owner.started, beats, silent_s)


def _list(held: list[LockLine], as_json: bool) -> None:
    if as_json:
        faces.result_json([asdict(line) for line in held])
        return
    if not held:
        faces.say("nothing is held")
        return
    for line in held:
        silent = f", last beat {line.silent_s} s ago" if line.silent_s is not None else ""
        faces.result(
            f"{line.name}  process {line.pid} on {line.host} since {faces.moment(line.since) if line.since else '?'}: "
            f"{line.beats}{silent}"
        )


def _consent(line: LockLine, *, yes: bool, living: bool) -> None:
    """Raises OwnerLives, and ArgumentWrong where nobody can be asked or the answer was no."""
    alive = line.beats in ("beats", "promises nothing")
    if alive and not living:
        raise OwnerLives(
            f"process {line.pid}, which holds {line.name}, is alive",
            hint="stop it as you started it (Ctrl-C, or SIGTERM to that process); --living ends it all the same",
        )
    if yes:
        return
    questions = [f"End process {line.pid} ({line.beats}), which holds {line.name}, and all that it started?"]
    if alive:
        questions.append("It is alive, and may be in the middle of something outside. Really?")
    for question in questions:
        if not sys.stdin.isatty():
            raise ArgumentWrong("nobody is there to be asked", hint="--yes says it beforehand")
        if not typer.confirm(question, default=False, err=True):
            raise ArgumentWrong(f"{line.name} was left as it is", hint="nothing was ended")
