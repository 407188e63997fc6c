"""`daybreak logs`: what the programs wrote down on the way, for one night, run or step. And where it begins: every
command that opens a ledger writes its logs through `writing`."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.errors import HostError, UsageError

if TYPE_CHECKING:
    from daybreak.report.logbook import Follower, Line, Wanted

EXAMPLES = (
    "Examples:  daybreak logs    daybreak logs run-0k3    daybreak logs night-0k3 --follow    daybreak logs --json"
)
LINES = 200
_LOOK_S = 0.5


class LogsUnknown(UsageError):
    """No line names that, or lines name several things that begin so."""

    code = "U196"


class LogsUnreadable(HostError):
    """The log files cannot be read."""

    code = "H261"


def logs(
    name: Annotated[
        str, typer.Argument(metavar="[RUN|NIGHT|STEP]", help="Only lines of this; a unique beginning of an id will do.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come, until Ctrl-C.")] = False,
    lines: Annotated[
        int,
        typer.Option("--lines", help="The newest so many; 0: all.", parser=arguments.whole(0, 10**9), metavar="NUMBER"),
    ] = LINES,
    as_json: Json = False,
) -> None:
    """Show what was logged, the newest last. What happened for certain stands in `daybreak show` and `daybreak ledger`.

    DAYBREAK_LOG (debug, info, warning, error, off) says how much is logged; `--verbose` shows it while a command runs.
    With --follow, --json prints one JSON object in each line.
    """
    from daybreak import home
    from daybreak.report.logbook import Follower, Wanted, clean

    where, wanted = home.places().logs, Wanted(name)
    follower = Follower(where)
    try:
        found = _newest(follower, wanted, lines)
        if not found and not follow:
            _none(where, name)
        if as_json and not follow:
            faces.result_json([clean(line) for line in found])
            return
        for line in found:
            _print(line, as_json=as_json)
        while follow:
            time.sleep(_LOOK_S)
            for line in follower.news():
                if wanted.holds(line):
                    _print(line, as_json=as_json)
    except KeyboardInterrupt:
        return  # how one leaves it
    except OSError as problem:
        raise LogsUnreadable(
            f"the logs in {where} cannot be read: {problem.strerror or problem}", hint="check the folder's permissions"
        ) from problem
    finally:
        follower.close()


def _newest(follower: Follower, wanted: Wanted, count: int) -> list[Line]:
    """The newest lines that there are. Raises LogsUnknown where they belong to several things."""
    found: deque[Line] = deque(maxlen=count or None)
    ids: set[str] = set()
    for line in follower.news():
        if wanted.holds(line):
            found.append(line)
            ids.update(wanted.ids(line))
    if len(ids) > 1 and wanted.name not in ids:
        some = ", ".join(arguments.cut(one) for one in sorted(ids)[:3])
        raise LogsUnknown(
            f"{len(ids)} names in the logs begin with {arguments.cut(wanted.name)}: {some}", hint="write more of it"
        )
    return list(found)


def _none(where: Path, name: str) -> None:
    """Say why nothing is shown. Raises LogsUnknown where something was asked for by name."""
    if name:
        raise LogsUnknown(
            f"no line in {where} names {arguments.cut(name)}",
            hint="`daybreak runs` lists runs; DAYBREAK_LOG=debug logs more from then on",
        )
    faces.say(f"nothing has been logged in {where} yet")


def _print(line: Line, *, as_json: bool) -> None:
    import json

    from daybreak.report.logbook import clean, for_people

    faces.result(json.dumps(clean(line)) if as_json else for_people(line))
