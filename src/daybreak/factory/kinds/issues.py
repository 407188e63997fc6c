"""The kind `issues`: the issues of a repository on a forge become tasks on the user's clone of it, each once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import msgspec

from daybreak import events
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine import Context, Queue
from daybreak.factory.forges import intake, reaching
from daybreak.factory.forges.forge import Issue
from daybreak.factory.forges.intake import KIND, IssuesArgs
from daybreak.factory.office import Office
from daybreak.factory.warden import Warden
from daybreak.ids import Entropy
from daybreak.ledger import Ledger

__all__ = ["ADDED", "KIND", "Issues", "blobs_of"]

ADDED = "add"
"""The step that says which issues became which runs."""


@dataclass(frozen=True)
class Issues:
    """The task function of kind `issues`; one instance serves many runs."""

    ledger: Ledger
    places: Places
    clock: Clock
    office: Office
    entropy: Entropy

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        told = IssuesArgs.model_validate(args)
        warden = Warden(ctx.run, self.ledger, self.places, self.clock)
        blob = await ctx.step(
            "read",
            partial(self._read, told, warden),
            retry=reaching.RETRY,
            breaker=reaching.breaker(told.forge),
        )
        added = await ctx.step(ADDED, partial(self._add, ctx.run, told, blob))
        return {"issues": added}

    def _read(self, args: IssuesArgs, warden: Warden) -> str:
        """A blob with what is there: more than an event should hold."""
        reached = reaching.reach(self.office.settings, self.office.environment, args.forge, warden, 1)
        found = reached.client().issues(args.repository, labels=args.labels, assignee=args.assignee, most=args.most)
        return self.ledger.put_blob(msgspec.json.encode([asdict(one) for one in found]))

    def _add(self, run: str, args: IssuesArgs, blob: str) -> list[dict[str, Any]]:
        found = [Issue(**one) for one in msgspec.json.decode(self.ledger.get_blob(blob))]
        queue = Queue(self.ledger, self.clock, self.entropy)
        settings = self.office.settings.forge(args.forge)
        return intake.add(queue, self.ledger, args, settings, found, self.entropy, run)


def blobs_of(event: events.Event) -> Iterator[str]:
    """The blobs that an event of such a run refers to: issues as they were read."""
    match event:
        case events.StepDone(name="read", result=str() as blob) if len(blob) == 64:
            yield blob
        case _:
            pass
