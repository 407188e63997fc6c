"""One attempt, as a process of its own: `python -m daybreak.agents.attempt`.

Reads one JSON object `{"worker": NAME, "workspace": DIR, "brief": {...}, "terms": {...}}` from standard input and
writes JSON lines: `{"note": {...}}`, `{"usage": {...}}` and `{"turn": {...}}` while it works and `{"claim": {...}}` at
the end. A worker that raises has claimed `crashed`; one that ends without a claim has claimed nothing, which the
caller treats as `crashed`.

NAME is a kind of worker of ours, or `module:object` or `FILE.py:object` for a worker of your own (an object with
`work`, or a class without arguments that makes one).
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import msgspec

from daybreak.agents.protocol import Claim, Note, Order, Terms, Told, Turn, Usage, Worker
from daybreak.errors import WorkerError

BUILDER = "builder"
_KINDS: dict[type[Told], str] = {Note: "note", Usage: "usage", Turn: "turn", Claim: "claim"}
SHIPPED = {
    BUILDER: "daybreak.agents.builder:Builder",
    **dict.fromkeys(
        ("codex", "claude", "pi", "gemini", "opencode", "qwen", "aider", "mini", "generic"),
        "daybreak.agents.command:CommandAgent",
    ),
    "acp": "daybreak.agents.acp:AcpAgent",
    "model": "daybreak.agents.model:ModelWorker",
    "outside": "daybreak.agents.outside:OutsideWorker",
}


class WorkerUnknown(WorkerError):
    """No worker of that name can be loaded."""

    code = "W101"


def load(name: str) -> Worker:
    """The worker called `name`. Raises WorkerUnknown, naming what is wrong with it."""
    module_name, _, attribute = SHIPPED.get(name, name).rpartition(":")
    hint = "name `builder`, or module:object or FILE.py:object, where the object has work(brief, workspace, terms)"
    if not module_name:
        raise WorkerUnknown(f"there is no worker called {name!r}", hint=hint)
    try:
        found: Any = getattr(_module(module_name), attribute)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        raise WorkerUnknown(f"worker {name!r} cannot be loaded: {error}", hint=hint) from error
    worker: Any = found() if isinstance(found, type) else found
    if not callable(getattr(worker, "work", None)):
        raise WorkerUnknown(f"worker {name!r} has no work(brief, workspace, terms)", hint=hint)
    return worker  # type: ignore[no-any-return] # checked just above, as far as Python can


def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location("daybreak_worker", name)
    assert spec is not None, "a .py file always has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(request: str, out: TextIO) -> None:
    """Do the attempt that `request` describes and write its lines to `out`."""
    order = msgspec.json.decode(request, type=Order)

    def tell(item: Told) -> None:
        out.write(msgspec.json.encode({_KINDS[type(item)]: item}).decode() + "\n")
        out.flush()

    try:
        with _way_out(order.terms) as terms:
            for item in load(order.worker).work(order.brief, Path(order.workspace), terms):
                tell(item)
    except Exception as error:  # noqa: BLE001 - whatever a worker raises is its claim, told with its traceback
        traceback.print_exc(file=sys.stderr)
        tell(Claim(outcome="crashed", summary=f"{type(error).__name__}: {error}"))


@contextmanager
def _way_out(terms: Terms) -> Iterator[Terms]:
    """Open the port at which the worker reaches its model, where it has one."""
    if terms.gateway is None or not terms.gateway.socket:
        yield terms
        return
    from daybreak.agents.gateway.portal import Portal

    with Portal(Path(terms.gateway.socket)) as portal:
        gateway = msgspec.structs.replace(terms.gateway, url=portal.url)
        yield msgspec.structs.replace(terms, gateway=gateway)


def main() -> None:
    gc.set_threshold(20_000, 20, 20)  # imports make much and free nothing: searching them for cycles is wasted
    request = sys.stdin.read()
    # What a worker prints must not be taken for our lines: they go to a copy, standard output to standard error.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    run(request, lines)
    gc.freeze()  # for the same reason: the interpreter searches everything several times as it ends


if __name__ == "__main__":
    main()
