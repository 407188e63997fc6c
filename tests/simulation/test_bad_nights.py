"""A hundred bad nights, hundreds in the long form: whatever goes wrong, every task ends once, nothing is done twice."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from daybreak.engine import history, live, purse, surroundings
from daybreak.engine.context import Context
from daybreak.engine.history import History
from daybreak.events import BudgetSettled, LeaseGranted, StepDone
from daybreak.policy.retry import Tries
from daybreak.testing import nights
from daybreak.testing.memory_ledger import MemoryLedger
from daybreak.testing.nights import BadNight, Trouble
from daybreak.testing.world import MemoryLocks

NIGHTS, NIGHTS_MAX = 100, 500
"""How many always, and how many in the long form."""
EACH = 20
"""Nights of one test, so that they spread over the processors."""
ALWAYS, MORE = range(0, NIGHTS, EACH), range(NIGHTS, NIGHTS_MAX, EACH)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What goes wrong on purpose need not be logged a thousand times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", [*ALWAYS, *(pytest.param(one, marks=pytest.mark.chaos) for one in MORE)])
def test_no_bad_night_leaves_a_fault(first: int) -> None:
    """Twenty tasks each: every accepted task ends exactly once, no recorded step runs twice, no budget is exceeded, no
    listing is published twice, tries go on counting, the views are what the events say."""
    # shows: N1, N5, N14, N16, X7
    happened: Counter[str] = Counter()
    for seed in range(first, first + EACH):
        night = BadNight(seed)
        night.until_over()
        assert night.faults() == [], f"seed {seed}"
        happened.update(deaths=night.deaths, standstills=night.standstills, full=night.full_disks, jumps=night.jumps)
    assert happened["deaths"] > EACH
    assert min(happened.values()) > 0, f"these nights were not bad enough: {happened}"


def test_same_seed_same_night() -> None:
    """Every event of a night follows from its seed, so a fault can be looked at as often as one likes."""
    first, again = BadNight(7), BadNight(7)
    first.until_over()
    again.until_over()
    assert first.history() == again.history()


# -- the simulation finds what it is there for: each of these defects, put into the engine on purpose


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    """The ledger takes events of owners that have lost their lease."""
    append = MemoryLedger.append

    def unfenced(self: MemoryLedger, drafts: Any) -> Any:
        def current(draft: Any) -> Any:
            if draft.epoch is None or isinstance(draft.event, LeaseGranted):
                return draft
            return dataclasses.replace(draft, epoch=self.epoch(draft.stream))

        return append(self, [current(draft) for draft in drafts])

    patch.setattr(MemoryLedger, "append", unfenced)


def _no_intent(patch: pytest.MonkeyPatch) -> None:
    """A `once` step is treated like any other."""
    step = Context.step

    async def careless(self: Context, name: str, function: Any, *args: Any, **told: Any) -> Any:
        return await step(self, name, function, *args, **{**told, "effect": "idempotent", "lookup": None})

    patch.setattr(Context, "step", careless)


def _the_dead_cost_nothing(patch: pytest.MonkeyPatch) -> None:
    """What an owner that died had reserved is given back as if it had not been used."""

    def forgiving(accounts: Any, history: History) -> list[Any]:
        return [
            BudgetSettled(key=key, used={}, presumed=True, run=history.run)
            for key, _, _ in accounts.reserved_by(history.run)
        ]

    patch.setattr(purse.Purse, "presumed", staticmethod(forgiving))


def _nothing_is_reserved(patch: pytest.MonkeyPatch) -> None:
    """Steps cost what they cost, and nobody asks before."""
    patch.setattr(live.Live, "_reservation", lambda self, tries: None)


def _stale_view(patch: pytest.MonkeyPatch) -> None:
    """Now and then a view does not hear of what was appended."""
    update, count = MemoryLedger._update_views, Counter[str]()

    def forgetful(self: MemoryLedger, admission: Any, first: Any) -> None:
        count["submissions"] += 1
        if count["submissions"] % 97:
            update(self, admission, first)

    patch.setattr(MemoryLedger, "_update_views", forgetful)


def _blind_second_try(patch: pytest.MonkeyPatch) -> None:
    """An intent without an outcome is taken for something that did not happen."""

    async def did_not_happen(self: Any, intent: Any) -> None:
        return None

    patch.setattr(live.Live, "_settle", did_not_happen)


def _lost_answer_is_no_answer(patch: pytest.MonkeyPatch) -> None:
    """A failed `once` step is tried again without looking whether it had happened."""

    async def not_looked(self: Any, *told: Any) -> None:
        return None

    patch.setattr(live.Live, "_look_after", not_looked)


def _tries_count_anew(patch: pytest.MonkeyPatch) -> None:
    """A restart forgets how often a step has failed."""
    patch.setattr(live, "_tries", lambda kept: Tries(nights.DAWN))


def _unstable_keys(patch: pytest.MonkeyPatch) -> None:
    """Each process hands the outside another key for the same step."""
    key = nights.step_key
    patch.setattr(nights, "step_key", lambda: f"{key()}-{nights._PROCESS.get().began}")


def _waits_are_lost(patch: pytest.MonkeyPatch) -> None:
    """A run that gives its worker back forgets until when."""

    def forgets(self: Any, moment: Any, why: str) -> None:
        raise surroundings.Waiting(None, why)

    patch.setattr(surroundings.Surroundings, "_give_back", forgets)


def _branches_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A replay does not see what children had kept."""
    take = History.take

    def partly(self: History, record: Any) -> None:
        if not (isinstance(record.event, StepDone) and record.event.branch):
            take(self, record)

    patch.setattr(history.History, "take", partly)


def _no_locks(patch: pytest.MonkeyPatch) -> None:
    """Two owners on one machine at the same time, each of which thinks that the other is dead."""
    patch.setattr(MemoryLocks, "hold", lambda self, name: nullcontext())


def _far_owners_are_dead(patch: pytest.MonkeyPatch) -> None:
    """That something is absent is believed although its owner on another machine may be about to do it."""
    settle = live.Live._settle

    async def trusting(self: Any, intent: Any) -> Any:
        return await settle(self, dataclasses.replace(intent, host=self._around.host))

    patch.setattr(live.Live, "_settle", trusting)


WORSE = Trouble(death=0.03, deaths_max=20, standstill=0.02, drop=0.4)
RIVALS = Trouble(death=0, standstill=0.1, drop=0.1, jump=0, full=0, rivals=1, rival_s=900, helpers=0)
DEADLY = Trouble(death=0.1, deaths_max=40, drop=0.4)
DEFECTS: list[tuple[Callable[[pytest.MonkeyPatch], None], Trouble, int, int]] = [
    (_no_fence, RIVALS, 40, 2),
    (_no_intent, WORSE, 12, 6),
    (_the_dead_cost_nothing, DEADLY, 1, 4),
    (_nothing_is_reserved, WORSE, 2, 6),
    (_stale_view, WORSE, 12, 6),
    (_blind_second_try, WORSE, 12, 6),
    (_lost_answer_is_no_answer, WORSE, 12, 6),
    (_tries_count_anew, WORSE, 12, 6),
    (_unstable_keys, WORSE, 12, 6),
    (_waits_are_lost, WORSE, 12, 6),
    (_branches_are_forgotten, WORSE, 12, 6),
    (_no_locks, WORSE, 12, 12),
    (_far_owners_are_dead, RIVALS, 40, 2),
]
"""With the trouble that brings it out, the night's budget in calls of the shop, and the number of tasks."""
SEEDS_MAX = 100


@pytest.mark.parametrize(
    ("defect", "trouble", "calls", "tasks"), DEFECTS, ids=[defect.__name__.strip("_") for defect, *_ in DEFECTS]
)
def test_the_simulation_finds(
    defect: Callable[[pytest.MonkeyPatch], None],
    trouble: Trouble,
    calls: int,
    tasks: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A defect that is put into the engine shows within so many nights, as a fault or as a night that does not end."""
    # shows: N14
    defect(monkeypatch)
    found = any(_shows(seed, trouble, calls, tasks) for seed in range(SEEDS_MAX))
    assert found, f"{SEEDS_MAX} nights show nothing of it"


TROUBLES = [(WORSE, 12, 12), (RIVALS, 40, 2), (DEADLY, 1, 4), (WORSE, 2, 6)]


@pytest.mark.parametrize(("trouble", "calls", "tasks"), TROUBLES, ids=["worse", "rivals", "deadly", "poor"])
def test_without_a_defect_such_nights_show_nothing(trouble: Trouble, calls: int, tasks: int) -> None:
    """What finds the defects is not the trouble alone."""
    assert not any(_shows(seed, trouble, calls, tasks) for seed in range(10))


def _shows(seed: int, trouble: Trouble, calls: int, tasks: int) -> bool:
    night = BadNight(seed, tasks=tasks, trouble=trouble, budget_microusd=calls * nights.PRICE)
    try:
        night.until_over(nights_max=30)
    except Exception:  # noqa: BLE001 - that the engine breaks on it is one way to find it
        return True
    return bool(night.faults())
