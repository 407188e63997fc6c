"""The process in which somebody else's orchestrator runs. Standard library only, and nothing of ours: it may be run
by any Python from 3.8, in an environment that has never heard of us.

Reads one JSON object from standard input:

    {"file", "module", "object", "search": [...], "adapter", "to_input", "config", "brief", "workspace"}

and writes JSON lines to descriptor 3: `{"ready": {"adapter": ...}}`, any number of `{"note": {"text", "fraction"}}` and
`{"usage": {...}}`, and at the end `{"result": {...}}` or `{"trouble": {"kind", "message"}}` (kind: load, raised, exit).
Whatever the orchestrator prints goes elsewhere.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINES = 3
TEXT_MAX = 20_000
NO_ARGUMENTS = 0


class Unusable(Exception):
    """What was loaded, or what it returned, is not what it should be."""


class Wire:
    """The lines out; only the process that was started here may write them, not one that was forked from it."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd, self._owner = fd, os.getpid()

    def tell(self, **line: Any) -> None:
        if os.getpid() != self._owner:
            return
        raw = json.dumps(line, default=str).encode("utf-8", "replace") + b"\n"
        while raw:
            raw = raw[os.write(self._fd, raw) :]

    def note(self, text: object, fraction: object = None) -> None:
        self.tell(note={"text": str(text)[:TEXT_MAX], "fraction": fraction})


# -- loading


def load(order: dict[str, Any]) -> tuple[Any, Any]:
    """The object, and the function that makes its input (None: ours does)."""
    sys.path[:0] = order["search"]
    module = importlib.import_module(order["module"]) if order["module"] else from_file(order["file"])
    hook = getattr(module, order["to_input"]) if order["to_input"] else None
    found: Any = module
    for name in order["object"].split("."):
        found = getattr(found, name)
    return found, hook


def from_file(path: str) -> Any:
    folder, name = os.path.split(path)
    package = name == "__init__.py"
    name = os.path.basename(folder) if package else name[: -len(".py")]
    where = [folder] if package else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=where)
    if spec is None or spec.loader is None:
        raise Unusable(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def adapted(found: Any, adapter: str) -> tuple[str, Any]:
    """Which adapter it needs, and the thing itself: classes and factories are called once."""
    if adapter in ("langgraph", "crewai") and (inspect.isfunction(found) or inspect.ismethod(found)):
        found = found()
    if inspect.isclass(found):
        found = found()
    if adapter in ("auto", "crewai") and not hasattr(found, "kickoff") and callable(getattr(found, "crew", None)):
        found = found.crew()  # a project of CrewAI: a class whose method makes the crew
    if adapter in ("auto", "crewai") and hasattr(found, "kickoff"):
        return "crewai", found
    if adapter in ("auto", "langgraph") and hasattr(found, "add_node") and hasattr(found, "compile"):
        found = found.compile()
    if adapter in ("auto", "langgraph") and (hasattr(found, "astream") or hasattr(found, "invoke")):
        return "langgraph", found
    if adapter in ("auto", "callable") and callable(found):
        return "callable", found
    asked = "a function, a graph or a crew" if adapter == "auto" else f"anything for the adapter {adapter}"
    raise Unusable(f"a {type(found).__name__} is not {asked}")


# -- running


def run(kind: str, found: Any, hook: Any, order: dict[str, Any], wire: Wire) -> dict[str, Any]:
    given = hook(order["brief"], order["workspace"]) if hook is not None else None
    if kind == "langgraph":
        return asyncio.run(run_graph(found, given, order, wire))
    if kind == "crewai":
        return run_crew(found, given, order, wire)
    arguments = (order["brief"], order["workspace"]) if given is None else (given,)
    return as_result(asyncio.run(settled(found(*arguments), wire)))


async def settled(made: Any, wire: Wire) -> Any:
    """What a function came to: a value, or what is behind a coroutine or a generator; what they yield are notes."""
    if inspect.isawaitable(made):
        made = await made
    if inspect.isasyncgen(made):
        async for item in made:
            told(item, wire)
        return None
    if inspect.isgenerator(made):
        while True:
            try:
                item = next(made)
            except StopIteration as end:
                return end.value
            told(item, wire)
    return made


def told(item: Any, wire: Wire) -> None:
    """One thing that a generator yields: a text, or a table with `note`, `fraction`, `usage`."""
    if isinstance(item, str):
        wire.note(item)
        return
    if not isinstance(item, dict):
        raise Unusable(f"it yielded a {type(item).__name__}; a note is a text, or a table with `note` or `usage`")
    if "note" in item:
        wire.note(item["note"], item.get("fraction"))
    if "usage" in item:
        wire.tell(usage=item["usage"])


async def run_graph(graph: Any, given: Any, order: dict[str, Any], wire: Wire) -> dict[str, Any]:
    """Its last state. Each node that has run is a note; where it asks a person, it has not finished."""
    state = {"brief": order["brief"], "workspace": order["workspace"]} if given is None else given
    if not hasattr(graph, "astream"):
        made = graph.invoke(state, order["config"])
        return state_result(await made if inspect.isawaitable(made) else made)
    last: Any = None
    asked = ""
    async for mode, part in graph.astream(state, order["config"], stream_mode=["updates", "values"]):
        if mode == "values":
            last = part
            continue
        for node in part:
            if node == "__interrupt__":
                asked = "; ".join(str(getattr(one, "value", one)) for one in part[node])
            else:
                wire.note(f"node {node}")
    if asked:
        return {"outcome": "partial", "summary": f"the graph asks a person: {asked}"[:TEXT_MAX]}
    return state_result(last)


def state_result(state: Any) -> dict[str, Any]:
    if isinstance(state, (str, type(None))):
        return as_result(state)
    if not isinstance(state, dict):
        dump = getattr(state, "model_dump", None)
        state = dump() if callable(dump) else dict(getattr(state, "__dict__", {}))
    messages = state.get("messages")
    result = {name: state[name] for name in ("summary", "outcome", "not_built") if state.get(name) is not None}
    if "summary" not in result and isinstance(messages, (list, tuple)) and messages:
        last = messages[-1]
        result["summary"] = str(last.get("content") if isinstance(last, dict) else getattr(last, "content", last))
    return as_result(result)


def run_crew(crew: Any, given: Any, order: dict[str, Any], wire: Wire) -> dict[str, Any]:
    """The raw output is its summary. Its tasks may use {title}, {summary}, {specification} and {workspace}."""
    brief = order["brief"]
    inputs = given
    if inputs is None:
        inputs = {"brief": brief, "workspace": order["workspace"]}
        inputs.update(
            {name: str(brief.get(name, "")) for name in ("title", "summary", "specification", "why", "recall")}
        )
    made = crew.kickoff(inputs=inputs)
    if inspect.isawaitable(made):
        made = asyncio.run(settled(made, wire))
    used = getattr(made, "token_usage", None)
    if used is not None:
        names = {
            "requests": "successful_requests",
            "input_tokens": "prompt_tokens",
            "cached_tokens": "cached_prompt_tokens",
            "output_tokens": "completion_tokens",
        }
        wire.tell(usage={ours: int(getattr(used, theirs, 0) or 0) for ours, theirs in names.items()})
    return as_result(str(getattr(made, "raw", made)))


def as_result(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"summary": value[:TEXT_MAX]}
    if isinstance(value, dict):
        return {name: value[name] for name in ("summary", "outcome", "not_built") if name in value}
    raise Unusable(f"it returned a {type(value).__name__}; a result is nothing, a text or a table")


# -- all of it


def attempt(order: dict[str, Any], wire: Wire) -> None:
    try:
        found, hook = load(order)
        kind, found = adapted(found, order["adapter"])
    except BaseException as error:  # noqa: BLE001 - also SystemExit: whatever ends it is to be told
        wire.tell(trouble=trouble("load", error))
        return
    wire.tell(ready={"adapter": kind})
    try:
        wire.tell(result=run(kind, found, hook, order, wire))
    except BaseException as error:  # noqa: BLE001 - the same
        wire.tell(trouble=trouble("raised", error))


def trouble(kind: str, error: BaseException) -> dict[str, str]:
    traceback.print_exc()
    if isinstance(error, SystemExit):
        return {
            "kind": "load" if kind == "load" else "exit",
            "message": f"it ended the process with status {error.code!r}",
        }
    name = "" if isinstance(error, Unusable) else f"{type(error).__name__}: "
    return {"kind": kind, "message": f"{name}{error}"[:TEXT_MAX]}


def main() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [one for one in sys.path if one and os.path.abspath(one) != here]  # our modules are not its modules
    order = json.loads(sys.stdin.buffer.read())
    attempt(order, Wire(LINES))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # it has said all that it has to say: threads and exit handlers of others do not hold it up
