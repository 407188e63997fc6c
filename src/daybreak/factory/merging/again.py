"""A conflict becomes a task: the same thing once more, on the target as it is now, with the conflict in its brief."""

from __future__ import annotations

from collections.abc import Sequence

from daybreak.engine.placement import Placement
from daybreak.engine.queue import Queue, home_of_run
from daybreak.factory.merging import branches
from daybreak.factory.merging.branches import Entry
from daybreak.factory.merging.joined import Clash
from daybreak.factory.repository.task import KIND, PROMPT_CHARS_MAX, RepositoryArgs
from daybreak.ledger import Ledger
from daybreak.policy.budget import Limit
from daybreak.policy.injection import fence

MARK = "This was done before, on an older state of the repository:"
TIMES_MAX = 2
"""After so many tasks out of conflicts a person decides."""
CLASHES_MAX = 20


def add(
    queue: Queue, ledger: Ledger, entry: Entry, commit: str, into: str, clashes: Sequence[Clash], change: str
) -> str:
    """Put it into the queue, with the workers, checks and budget of the task before; its run. Empty where it was tried
    often enough, or where its prompt would be too long."""
    task = branches.task_of(ledger, entry.run)
    if task is None:
        return ""
    args = RepositoryArgs.model_validate(task.args)
    if args.prompt.count(MARK) >= TIMES_MAX:
        return ""
    prompt = "\n".join([args.prompt.rstrip(), "", *_words(entry, into, clashes), fence(change, source=entry.branch)])
    if len(prompt) > PROMPT_CHARS_MAX:
        return ""
    again = args.model_copy(update={"commit": commit, "prompt": prompt})
    placement = Placement(
        project=task.project,
        priority=task.priority,
        keys=home_of_run(ledger, entry.run),
        dedupe=f"merge:{entry.run}:{commit[:16]}",
        budget=Limit(**task.budget) if task.budget else None,
    )
    title = f"{task.title} (again: it conflicts with {into})"[:500]
    return queue.add(KIND, title, again.model_dump(mode="json", exclude_defaults=True), placement).run


def _words(entry: Entry, into: str, clashes: Sequence[Clash]) -> list[str]:
    lines = [
        MARK,
        f"the branch {entry.branch}, whose change follows. Since then {into} has changed the same places. Do it again "
        f"on the files as they are now, so that what {into} does since then still works. The places:",
    ]
    for clash in clashes[:CLASHES_MAX]:
        lines.append(f"- {clash.words}")
    if len(clashes) > CLASHES_MAX:
        lines.append(f"- and {len(clashes) - CLASHES_MAX} more")
    return lines
