"""What an assistant can read by its address: `daybreak://report/latest`, `daybreak://run/ID`, `daybreak://explain/CODE`."""

from __future__ import annotations

import re
from typing import NamedTuple

from daybreak.errors import cut
from daybreak.mcp.calling import Caller
from daybreak.mcp.desk import Desk
from daybreak.mcp.refusals import NothingThere
from daybreak.mcp.words import SOURCE, fenced
from daybreak.policy.injection.fence import fence

_ADDRESS = re.compile(r"daybreak://(report|run|explain)/([A-Za-z0-9_.-]{1,200})")


class Resource(NamedTuple):
    address: str
    """With `{name}` where something is to be filled in."""
    name: str
    description: str
    kind: str


RESOURCES = (
    Resource(
        "daybreak://report/latest", "report", "The newest morning report. Needs `look` and `evidence`.", "text/markdown"
    ),
    Resource("daybreak://run/{run}", "run", "What one run came to, as `show_run` has it. Needs `look`.", "text/plain"),
    Resource("daybreak://explain/{code}", "explain", "What an error code means. Needs `look`.", "text/plain"),
)


def read(caller: Caller, address: str) -> tuple[str, str]:
    """Its MIME type and text. Raises NothingThere, ScopeMissing, and what tools do."""
    found = _ADDRESS.fullmatch(address)
    if found is None or (found[1] == "report" and found[2] != "latest"):
        known = ", ".join(one.address for one in RESOURCES)
        raise NothingThere(f"there is nothing at {cut(address)}", hint=f"there are {known}")
    if found[1] == "report":
        return "text/markdown", caller.read(_report)
    tool, name = ("show_run", "run") if found[1] == "run" else ("explain_error", "asked")
    return "text/plain", fenced(caller.call(tool, {name: found[2]}).model_dump(mode="json"))


def _report(desk: Desk) -> str:
    from daybreak.mcp.tools import reporting

    desk.asker.needs("look")
    desk.asker.needs("evidence")  # whole, it has the words of workers
    return fence(reporting.as_text(desk), source=SOURCE)
