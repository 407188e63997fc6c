"""The probes of a specification: made from its entities and a seed, the same for every candidate.

Acceptance examples are not among them: they decide by themselves (see `agree`). Neither are candidates' own tests
(see `cross`), which prove nothing about others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from daybreak.agents.builder import samples
from daybreak.factory.consensus.model import Ask, Probe
from daybreak.factory.consensus.scenes import Stage
from daybreak.factory.consensus.speaking import speakers
from daybreak.factory.spec.model import Specification


def probes(spec: Specification, seed: int, most: int = 48) -> tuple[Probe, ...]:
    """At most `most` probes: what matters most of every entity before what matters less of any.

    A longer scene becomes several probes, each from an empty start with the records that it needs. Pure: the same
    specification and seed give the same probes. None where there is nothing to speak about.
    """
    stages = [
        (entity.name, Stage(spec, entity, speaker, random.Random(f"{seed} {entity.name} {speaker.face}")))
        for speaker in speakers(spec)
        for entity in samples.in_order(spec.entities)
    ]
    by_stage = [list(_of(name, stage)) for name, stage in stages]
    found: dict[str, Probe] = {}
    for turn in range(max(map(len, by_stage), default=0)):
        for made in by_stage:
            if turn < len(made):
                found.setdefault(made[turn].id, made[turn])
    return tuple(found.values())[:most]


def _of(name: str, stage: Stage) -> Iterator[Probe]:
    """The first part of every scene, then the second parts."""
    later: list[Probe] = []
    for title, scene in stage.scenes().items():
        parts = _parts(list(scene()), list(stage.world()), stage.speaker.asks_max)
        made = [Probe.of(stage.speaker.face, f"{name}: {title}", part) for part in parts]
        yield from made[:1]
        later += made[1:]
    yield from later


def _parts(asks: list[Ask], world: list[Ask], most: int) -> Iterator[tuple[Ask, ...]]:
    """The asks in pieces of at most `most`, the later ones with their world in front."""
    yield tuple(asks[:most])
    room = max(1, most - len(world))
    for at in range(most, len(asks), room):
        yield (*world, *asks[at : at + room])
