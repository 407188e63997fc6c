"""Where attempts go to a Ray cluster: is Ray here, does the cluster answer, who may use it, and is each of its nodes as
jobs need it?"""

from __future__ import annotations

import importlib.util
import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from daybreak.config import Places
from daybreak.engine.dispatch import Dispatch, Doing, Job, JobLost, Key, Needs, Node, NodeRefused
from daybreak.engine.flow import Paused
from daybreak.errors import DaybreakError
from daybreak.factory import dispatching, exposure
from daybreak.factory.health.finding import Finding, trouble
from daybreak.settings import Dispatching, Settings
from daybreak.version import __version__

NAME = "dispatch"
LIMIT_S = 30.0
"""So long is looked, in all; a cluster may be large, and nodes may be busy."""
NODES_MAX = 50
_LITTLE = Needs(cpus=0.01)
"""Whatever else a node does, it can say how it is."""
_CLOSE = "start it with RAY_AUTH_MODE=token, and say where the token is: `token` in [dispatch]"


def look(settings: Callable[[], Settings], where: Places, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Nothing where attempts are done here. Has each node say how it is, and leaves nothing behind there."""
    told = settings().dispatch
    if told.engine != "ray":
        return
    if importlib.util.find_spec("ray") is None:
        yield Finding(NAME, "bad", '[dispatch] engine is "ray", but Ray is not here', "pip install 'daybreak[ray]'")
        return
    if not told.address:
        yield Finding(NAME, "good", "Ray is here; one on this machine is started for each command, for trying")
        return
    looked = _Looked(dispatching.make(settings(), where, environment), where.cache)
    yield from looked.all()
    if not looked.problem:
        yield _asks(told, environment)


def condition(doing: Doing) -> dict[str, Any]:
    """The doer: how the machine is on which it runs."""
    from daybreak.host import sandbox

    mode = sandbox.detect().mode()
    return {"python": platform.python_version(), "strength": mode.strength, "missing": ", ".join(mode.missing)}


def _asks(told: Dispatching, environment: Mapping[str, str]) -> Finding:
    if exposure.token_shown(told, environment):
        return Finding(NAME, "good", f"{told.address} is shown a token")
    if text := exposure.exposed(told, environment):
        return Finding(NAME, "bad", text, _CLOSE)
    return Finding(NAME, "note", f"{told.address} is used without a token; only this machine reaches it", _CLOSE)


class _Looked:
    """Node after node, in a thread of its own, because Ray may take its time."""

    def __init__(self, dispatch: Dispatch, scratch: Path) -> None:
        self._dispatch, self._scratch = dispatch, scratch
        self._cancelled = threading.Event()
        self._found: list[Finding] = []
        self._all = False
        self.problem: DaybreakError | OSError | None = None
        """Why it could not be used at all."""

    def all(self) -> Iterator[Finding]:
        thread = threading.Thread(target=self._look, name="doctor", daemon=True)
        thread.start()
        thread.join(LIMIT_S)
        self._cancelled.set()
        if self._found or self._all or self.problem:
            thread.join(1.0)
        yield from list(self._found)
        if self.problem is not None:
            yield trouble(NAME, self.problem)
        elif not self._all:
            text = f"the cluster has not said within {LIMIT_S:g} s how all its nodes are; {len(self._found)} did"
            yield Finding(NAME, "note" if self._found else "bad", text, "are its nodes busy? `ray status` says")

    def _look(self) -> None:
        try:
            self._each()
        except Paused:
            pass  # told by whoever waited
        except (DaybreakError, OSError) as problem:
            self.problem = problem
        finally:
            self._dispatch.close()

    def _each(self) -> None:
        seen: list[str] = []
        while len(seen) < NODES_MAX:
            met: list[Node] = []
            try:
                answer = self._dispatch.run(
                    self._job(seen), cancelled=self._cancelled, on_line=lambda part: None, on_node=met.append
                )
                name = answer.node.name
                self._found.append(_of(answer.node, answer.body))
            except NodeRefused as refused:
                if not refused.node:  # there is no other
                    self._found.append(Finding(NAME, "good", _plain(refused.hint)))
                    break
                name = refused.node
                self._found.append(Finding(NAME, "bad", _plain(refused.message), refused.hint))
            except JobLost as lost:
                if not lost.node:
                    raise
                name = lost.node
                self._found.append(Finding(NAME, "bad", _plain(lost.message), "look at the node: `ray status`"))
            seen.append(name)
        self._all = True

    def _job(self, seen: list[str]) -> Job:
        return Job(
            key=Key("doctor", "look", 0, len(seen) + 1),
            doer=f"{__name__}:condition",
            body={},
            scratch=self._scratch,
            needs=_LITTLE,
            time_s=LIMIT_S,
            avoid=tuple(seen),
        )


def _of(node: Node, said: Any) -> Finding:
    """What a node says of itself is its word, so it is looked at and cut."""
    words = said if isinstance(said, dict) else {}
    python, strength, missing = (_plain(str(words.get(name, "?")))[:200] for name in ("python", "strength", "missing"))
    text = f"node {_plain(node.host)} ({node.name[:8]}): Daybreak {__version__}, Python {python}, sandbox {strength}"
    if strength == "full":
        return Finding(NAME, "good", text)
    hint = f"missing there: {missing}; attempts that require more are refused by it"
    return Finding(NAME, "note", text, hint)


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
