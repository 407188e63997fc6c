"""What an unattended night does for its own state: a copy, the proof that it can be brought back, and the rotation.

    done = safekeeping.keep_safe(ledger, Store(folder), places, clock=clock, rule=Rule(daily=7), views=…, refers=…)
    if not done.ok: …  # the copy could not be restored; nothing was removed

The order is that of caution: the new copy is restored into a temporary place before anything old goes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from daybreak import ids
from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.errors import DaybreakError
from daybreak.events import KEYS, Event, SnapshotsPruned, SnapshotVerified
from daybreak.host.snapshots import Progress, Rule, Store
from daybreak.ledger import snapshot
from daybreak.ledger.ledger import Ledger
from daybreak.ledger.record import Draft
from daybreak.ledger.restore import Restorer
from daybreak.ledger.views import View

ACTOR = "snapshot"


@dataclass(frozen=True, slots=True)
class Safekeeping:
    """What was done. Plain enough to be the result of a step: `dataclasses.asdict` gives JSON."""

    name: str
    """Of the new snapshot."""
    folder: str
    bytes: int
    """Of its archive."""
    events: int
    """Of the ledger in it."""
    ok: bool
    """It was restored into a temporary place, and the ledger there is whole."""
    code: str = ""
    problem: str = ""
    """Where it is not ok: what was found, by which code, and what to do. Then nothing was removed."""
    hint: str = ""
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """Older snapshots that cannot be used; they were left for somebody to look at."""


def keep_safe(
    ledger: Ledger,
    store: Store,
    places: Places,
    *,
    clock: Clock,
    rule: Rule | None = None,
    zone: tzinfo | None = None,
    entropy: ids.Entropy = os.urandom,
    views: Sequence[View] = (),
    refers: snapshot.Refers | None = None,
    progress: Progress | None = None,
) -> Safekeeping:
    """Take a snapshot of the ledger in `places`, restore it into a temporary place, prune by `rule` (7 days); each of
    the three is an event in `ledger`, which is that very ledger, open, and may be written to meanwhile.

    `zone` is the one whose days and weeks the rule means; that of this machine where there is none. `views` and
    `refers` are as for `snapshot.take`. Blocks for as long as reading, writing and unpacking everything takes: call it
    in a thread of a coroutine. Calling it again after a crash anywhere in it is harmless: it takes another snapshot.

    A copy that cannot be restored is no exception but `ok=False`, and so is a failing rotation. Raises where no copy
    could be made: SnapshotUnsound (the present ledger is not whole), StoreFull, StoreUnusable, StoreBusy,
    SourceUnusable, BadArgument, CompressorMissing; and what `Ledger.append` and `Ledger.bring_blobs` raise.
    """
    made = snapshot.take(
        store,
        places,
        clock=clock,
        entropy=entropy,
        views=views,
        refers=refers,
        bring=ledger.bring_blobs,
        progress=progress,
    )
    created = snapshot.event_of(made)
    _remember(ledger, created)
    kept: list[str] = []
    removed: list[str] = []
    damaged: list[str] = []
    wrong = _try_to_restore(
        Restorer(store, places, clock, entropy, views=views, refers=refers, progress=progress), made.name
    )
    problems = [] if wrong is None else [wrong.message]
    _remember(
        ledger, SnapshotVerified(name=made.name, manifest=made.manifest_sha256, ok=wrong is None, problems=problems)
    )
    if wrong is None:
        try:
            pruned = store.prune(rule or Rule(), clock.now().astimezone(zone), progress=progress)
        except DaybreakError as error:
            wrong = error
        else:
            kept, removed, damaged = pruned.kept, pruned.removed, [one.name for one in pruned.damaged]
            if removed:
                _remember(ledger, SnapshotsPruned(store=str(store.folder), removed=removed, verified=pruned.verified))
    return Safekeeping(
        name=made.name,
        folder=str(made.folder),
        bytes=made.manifest.archive.size,
        events=created.size,
        ok=wrong is None,
        code="" if wrong is None else wrong.code,
        problem="" if wrong is None else wrong.message,
        hint="" if wrong is None else wrong.hint,
        kept=kept,
        removed=removed,
        damaged=damaged,
    )


def _try_to_restore(restorer: Restorer, name: str) -> DaybreakError | None:
    try:
        restorer.test_restore(name)
    except DaybreakError as error:
        return error
    return None


def _remember(ledger: Ledger, event: Event) -> None:
    ledger.append([Draft(KEYS, event, ACTOR)])
