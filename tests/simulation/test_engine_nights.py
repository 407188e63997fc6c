"""Whole nights in memory: whatever dies when, the ledger tells one story."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from daybreak.testing.world import World

SEEDS = 200


def _load_program() -> Any:
    spec = importlib.util.spec_from_file_location("simulation_program", Path(__file__).with_name("program.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program = _load_program()


@cache
def night(seed: int, *, deaths_max: int = 8, rivals: bool = False) -> tuple[World, str]:
    """One random task in one bad night."""
    world = World(seed, deaths_max=deaths_max, death_rate=Random(seed).choice([0.02, 0.1, 0.4]), rivals=rivals)
    run = world.start(program.Interpreter(world), {"program": program.make(Random(seed))})
    world.until_quiet()
    return world, run


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run_ends_once_however_often_its_owner_dies(seed: int) -> None:
    """Owners die between any two appends and inside steps; the result is that of an undisturbed night."""
    # shows: N14
    world, run = night(seed)
    calm, calm_run = night(seed, deaths_max=0)
    assert world.ends(run) == 1
    assert (world.results[run].state, world.results[run].value) == (
        calm.results[calm_run].state,
        calm.results[calm_run].value,
    )
    assert set(world.outside.values()) <= {1}, "an effect that must happen once happened twice"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_recorded_step_is_computed_again(seed: int) -> None:
    """A step that was in the ledger when an owner was born is never computed by that owner."""
    # shows: N14
    world, run = night(seed)
    assert world.computed_again(run) == []


@pytest.mark.parametrize("seed", range(SEEDS // 3))
def test_two_owners_that_do_not_know_of_each_other_write_one_history(seed: int) -> None:
    """Cut off from each other, two owners race; the ledger's epoch lets one of them go on, from clean history."""
    # shows: N5
    world, run = night(seed, rivals=True)
    assert world.ends(run) == 1
    assert world.computed_again(run) == []
    assert set(world.outside.values()) <= {1}


@pytest.mark.parametrize("seed", range(0, SEEDS, 10))
def test_same_seed_same_history(seed: int) -> None:
    """A failure can be played again: every event of the night follows from the seed."""
    again, _ = night.__wrapped__(seed)
    assert night(seed)[0].history() == again.history()


def test_the_nights_are_bad_enough() -> None:
    """The simulation would be worth little if nothing died in it: owners die, steps fail, questions arise."""
    worlds = [night(seed)[0] for seed in range(60)]
    types = {kind for world in worlds for _, _, kind, _ in world.history()}
    assert sum(world.deaths for world in worlds) > 100
    assert {"step.failed", "step.intended", "question.answered", "gate.decided"} <= types
