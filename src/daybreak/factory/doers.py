"""What jobs do, on whichever machine: an attempt's process, and looks at a result (`engine.dispatch`)."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daybreak import errors
from daybreak.engine.dispatch import Doing, NotOnNode
from daybreak.errors import CheckError, HostError
from daybreak.factory import lending
from daybreak.host import process, removal

OUTPUT_BYTES_MAX = 50_000_000
STDERR_CHARS_MAX = 4_000
HISTORY = "history"
"""What is given by that name: the workspace has a history, whose commit is without these changes."""


def attempt(doing: Doing) -> dict[str, Any]:
    """Run the process of an attempt in the lent `workspace`, in its sandbox; how it ended. Its lines are told as they
    come. On a node the workspace is given a history first, where it had one. Raises SandboxMissing where this machine's
    sandbox is weaker than required."""
    body, workspace = doing.body, doing.lent["workspace"]
    with _way_out(doing) as socket:
        order = dict(body["order"])
        terms = dict(order["terms"])
        if socket is not None:
            terms["gateway"] = {**terms["gateway"], "socket": str(socket)}
        if "templates" in doing.given:
            terms["templates"] = str(doing.given["templates"])
        if "worker" in doing.given:
            order["worker"] = f"{doing.given['worker']}{body['object']}"
        own = {
            "workspace": workspace,
            "scratch": doing.scratch,
            "ours": Path(body["ours"]) if doing.here else _package(),
            **({"gateway": socket} if socket is not None else {}),
            **{name: path for name, path in doing.given.items() if name != HISTORY},
        }
        if not doing.here:
            _refuse_absent(body["program"])
            _begin_history(doing)
        began_s = time.monotonic()
        finished = process.run(
            [sys.executable, "-P", "-m", "daybreak.agents.attempt"],
            cwd=workspace,
            env={
                **process.clean_environment(doing.scratch),
                **body["environment"],
                "PYTHONPATH": str(_package().parent),
            },
            stdin=_encoded({**order, "workspace": str(workspace), "terms": terms}),
            timeout_s=float(body["time_s"]),
            output_bytes_max=OUTPUT_BYTES_MAX,
            cancelled=doing.cancelled,
            on_stdout=doing.tell,
            sandbox=lending.made(body["sandbox"], own, here=doing.here),
        )
    last = finished.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return {
        "cancelled": finished.cancelled,
        "guard_lost": finished.guard_lost,
        "timed_out": finished.timed_out,
        "ending": finished.ending,
        "last": last[0][:STDERR_CHARS_MAX] if last else "",
        "duration_ms": int((time.monotonic() - began_s) * 1000),
    }


def look(doing: Doing) -> Any:
    """One look at a result; what it saw, as JSON."""
    from daybreak.factory import looks

    return looks.done(doing)


def _package() -> Path:
    return Path(errors.__file__).resolve().parent


def _encoded(order: Mapping[str, Any]) -> bytes:
    import msgspec

    return msgspec.json.encode(order)


def _refuse_absent(program: str) -> None:
    if program and not (shutil.which(program) and os.access(program, os.X_OK)):
        raise NotOnNode(
            f"{program} is not installed on this node", hint="install it there, or name a label of nodes that have it"
        )


def _begin_history(doing: Doing) -> None:
    """As it is here (`give_own_history`), so that a worker can see its own changes. Nothing else depends on it, so an
    attempt without one goes on, and says so."""
    if HISTORY not in doing.given:
        return
    from daybreak.factory.repository import git

    workspace = doing.lent["workspace"]
    try:
        git.begin_history(workspace, doing.given[HISTORY].read_bytes(), doing.cancelled)
    except (CheckError, HostError) as problem:
        removal.remove(workspace / ".git")
        told = {"note": {"text": f"git shows this worker no changes of its own: {problem.message}"}}
        doing.tell(_encoded(told) + b"\n")


@contextmanager
def _way_out(doing: Doing) -> Iterator[Path | None]:
    """The socket at which the gateway answers, where the attempt has one."""
    if not doing.body["gateway"]:
        yield None
    elif doing.here:
        yield Path(doing.body["gateway"]["socket"])
    else:
        from daybreak.agents.gateway.outpost import Outpost

        way = doing.body["gateway"]
        with Outpost(doing.scratch / "gateway.sock", way["address"], way["fingerprint"], way["secret"]) as outpost:
            yield outpost.socket
