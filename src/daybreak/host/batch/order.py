"""What speaks against a batch before it starts, and the order that it is done in."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from daybreak.host.batch.outcome import Operation, Problem, failure_of
from daybreak.host.naming import named

NAME_CHARACTERS_MAX = 200
_WORDS_MAX = 1000
"""Problems that one check may tell; what goes on for ever is left."""


def structure(operations: Sequence[Any]) -> Iterator[Problem]:
    # Sequence[Any]: callers may have put anything into an Operation.
    seen: set[object] = set()
    names = {one.name for one in operations if isinstance(one.name, str)}
    for one in operations:
        if not isinstance(one.name, str) or not 0 < len(one.name) <= NAME_CHARACTERS_MAX or not one.name.isprintable():
            what = f"the name {_text(one.name)!r}"
            yield Problem(_label(one), what, f"1 to {NAME_CHARACTERS_MAX} printable characters")
        elif one.name in seen:
            yield Problem(_label(one), "the name is there twice", "give each operation its own name")
        else:
            seen.add(one.name)
        for what, given, must in (("do", one.do, True), ("check", one.check, False), ("undo", one.undo, False)):
            if not callable(given) and (must or given is not None):
                yield Problem(_label(one), f"{what} is no function", f"give a function as {what}")
        for need in one.needs:
            if not isinstance(need, str) or need not in names:
                yield Problem(
                    _label(one), f"needs {_text(need)!r}, which is not in the batch", "add it, or correct the name"
                )
    for circle in circles(operations):
        yield Problem(circle[0], f"needs itself: {' → '.join(circle)}", "take one of these needs out")


def _label(operation: Operation[Any]) -> str:
    return _text(operation.name) or "''"


def _text(given: object) -> str:
    """What was given for a name, in words; a text that is too long is cut."""
    return given[:80] if isinstance(given, str) else named(given)


def _graph(operations: Sequence[Any]) -> dict[str, list[str]]:
    """Name → needs, of what is well formed."""
    names = {one.name for one in operations if isinstance(one.name, str)}
    graph: dict[str, list[str]] = {}
    for one in operations:
        if isinstance(one.name, str):
            known = (need for need in one.needs if isinstance(need, str) and need in names)
            graph.setdefault(one.name, []).extend(known)
    return graph


def circles(operations: Sequence[Operation[Any]]) -> Iterator[list[str]]:
    """Circles that share no operation, each as a → b → a (a needs b needs a), from the one that was added first."""
    graph = _graph(operations)
    place = {name: at for at, name in enumerate(graph)}
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
            return
        except graphlib.CycleError as error:
            circle: list[str] = error.args[1][:0:-1]  # there each is needed by the next, and the first is repeated
        first = circle.index(min(circle, key=place.__getitem__))
        circle = [*circle[first:], *circle[:first]]
        yield [*circle, circle[0]]
        graph = {
            name: [need for need in needs if need not in circle] for name, needs in graph.items() if name not in circle
        }


def ordered(operations: Sequence[Operation[Any]]) -> list[Operation[Any]]:
    """Needs before needers; where nothing else decides, as added."""
    by_name = {one.name: one for one in operations}
    place = {one.name: at for at, one in enumerate(operations)}
    sorter = graphlib.TopologicalSorter({one.name: one.needs for one in operations})
    sorter.prepare()
    order: list[Operation[Any]] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        order += [by_name[name] for name in ready]
        sorter.done(*ready)
    return order


def checked(operation: Operation[Any]) -> list[Problem]:
    if not callable(operation.check):
        return []
    label = _label(operation)
    try:
        said: Any = operation.check()
        if isinstance(said, bool):  # False would look like "no problems"
            return [Problem(label, f"its check returned {said}", "raise, or return problems in words")]
        words = [said] if isinstance(said, str) else list(islice(() if said is None else said, _WORDS_MAX))
        words = [word if isinstance(word, str) else named(word) for word in words]
    except Exception as error:  # noqa: BLE001 - a check may raise anything; each is a problem to tell
        failure = failure_of(error)
        return [Problem(label, failure.message, failure.hint or "mend what the check names", failure.code)]
    return [Problem(label, word, "mend what the check names") for word in words]
