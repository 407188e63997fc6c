"""Into the queue: one run, or a schedule whose windows come by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from daybreak.home.choosing import pick_run
from daybreak.home.handover.place import Place, placement
from daybreak.home.handover.words import TaskUnclear
from daybreak.home.waiting import waits

if TYPE_CHECKING:
    from daybreak.engine.placement import Placement
    from daybreak.factory.asked import Asked
    from daybreak.factory.task import BuildTask
    from daybreak.home.opening import Home


def put(
    home: Home, found: Asked | BuildTask, place: Place, *, once: bool = False, subject: str | None = None
) -> dict[str, Any]:
    """Durable at return. `once`: one run, although the task has a schedule of its own. `subject`: whom a Python task
    is about.

    For a run `{"run", "existed", "kind", "title", "waits"}`: `existed` where a run with the same dedupe word is not
    over; `waits`, in words, where nobody takes it before a night of a certain home begins. For a schedule
    `{"schedule", "changed", "next", "kind", "title"}`. Raises RunUnknown for `after`, PlacementWrong,
    NothingToTakeOver, LedgerBusy."""
    from daybreak.factory.asked import Asked

    told = dict(place)
    if runs := tuple(pick_run(home, run) for run in told.pop("after", ())):
        told["after"] = runs
    if isinstance(found, Asked):
        return _asked(home, found.placed(**told), once=once, subject=subject)
    return _build(home, found, placement(told))


def refuse_subject(subject: str | None) -> None:
    """Raises TaskUnclear where there is one."""
    if subject is not None:
        raise TaskUnclear(
            "--secret-subject is for a Python task that runs once: what other tasks and their workers write "
            "(workspaces, transcripts, results) could not be forgotten",
            hint="leave it out, and give such a task nothing that must be forgotten",
        )


def check_subject(subject: str | None, found: Asked | BuildTask, *, once: bool) -> None:
    """Raises TaskUnclear, DraftRefused."""
    from daybreak.factory.asked import Asked
    from daybreak.ledger.subjects import checked

    if subject is None:
        return
    if not isinstance(found, Asked) or found.kind != "python" or (found.schedule is not None and not once):
        refuse_subject(subject)
    checked(subject)


def _asked(home: Home, asked: Asked, *, once: bool, subject: str | None) -> dict[str, Any]:
    if asked.schedule is not None and not once:
        return _schedule(home, asked)
    added = home.engine.queue.add(asked.kind, asked.title, asked.args, asked.placement, subject=subject)
    told = {"run": added.run, "existed": added.existed, "kind": asked.kind, "title": asked.title}
    return told | {"waits": waits(home, added.run)}


def _schedule(home: Home, asked: Asked) -> dict[str, Any]:
    from daybreak.clock import SystemClock
    from daybreak.engine.schedules import Schedules

    assert asked.schedule is not None, "asked before"
    schedules = Schedules(home.ledger, SystemClock(), home.engine.queue)
    changed = schedules.set(asked.name, asked.schedule, asked.template())
    coming = schedules.next(SystemClock().now(), asked.name)
    following = coming[0][1].key if coming else None
    return {"schedule": asked.name, "changed": changed, "next": following, "kind": asked.kind, "title": asked.title}


def _build(home: Home, task: BuildTask, placement: Placement) -> dict[str, Any]:
    from daybreak.factory import task as tasks
    from daybreak.factory.kinds import build

    known = _known(home, placement.dedupe)
    run = tasks.submit(task, home.engine, home.ledger, placement)
    return {
        "run": run,
        "existed": run in known,
        "kind": build.KIND,
        "title": task.spec.title,
        "waits": waits(home, run),
    }


def _known(home: Home, dedupe: str) -> Iterable[str]:
    """The run with that word that is not over."""
    if not dedupe:
        return ()
    return [row[0] for row in home.ledger.query("SELECT run FROM view_runs WHERE dedupe = ? AND NOT over", (dedupe,))]
