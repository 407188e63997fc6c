"""The artefacts of a build go into its delivery, with the matrix that says what shows each requirement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from daybreak import events
from daybreak.factory.phases import artefacts
from daybreak.factory.phases.artefacts import Design, Requirements, Shown, Traceability
from daybreak.factory.phases.conductor import Conductor
from daybreak.factory.phases.judged import Judged
from daybreak.factory.phases.phase import DESIGN, EXAMPLE, REQUIREMENTS

UNSEEN = "held-out example"
"""What a delivery calls each example that no worker has seen."""
TEXT_BYTES_MAX = 1_000_000
"""Larger files are not searched for names of requirements."""


class _Record(Protocol):
    """What is needed of a ledger record."""

    @property
    def index(self) -> int: ...
    @property
    def event(self) -> events.Event: ...


def put(project: Path, conductor: Conductor, judged: Judged, records: Iterable[_Record]) -> None:
    """Write what the build's phases have made below the unpacked `project`. Raises ArtefactWrong."""
    asked, designed = conductor.artefact(REQUIREMENTS), conductor.artefact(DESIGN)
    made: dict[str, Requirements | Design | Traceability] = {}
    if isinstance(asked, Requirements):
        made[REQUIREMENTS] = asked
        design = designed if isinstance(designed, Design) else None
        if design is not None:
            made[DESIGN] = design
        made[artefacts.TRACEABILITY] = artefacts.trace(
            asked,
            design,
            judged.made.workspace,
            dict(_texts(project)),
            _evidence(judged, records, conductor.order.held_out),
        )
    for name, artefact in made.items():
        path = project / artefacts.path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(artefacts.written(artefact))


def _texts(project: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(project.rglob("*")):
        if path.is_file() and path.stat().st_size <= TEXT_BYTES_MAX:
            data = path.read_bytes()
            if b"\0" not in data:
                yield path.relative_to(project).as_posix(), data.decode(errors="replace")


def _evidence(judged: Judged, records: Iterable[_Record], held_out: Collection[str]) -> dict[str, list[Shown]]:
    """By requirement: what was seen of the delivered workspace, with its place in the ledger. Held-out examples count
    like the others, without their ids: those are hashes against which somebody could try guesses, and the same ones
    are held out when it is built again."""
    unseen = {f"{EXAMPLE}:{one}" for one in held_out}
    places = {
        record.event.evidence["check"]: record.index
        for record in records
        if isinstance(record.event, events.CheckLooked) and record.event.evidence["workspace"] == judged.made.workspace
    }
    found: dict[str, list[Shown]] = {}
    for seen in judged.evidence:
        for requirement in seen.requirements:
            found.setdefault(requirement, []).append(
                Shown(
                    check=UNSEEN if seen.check in unseen else seen.check,
                    outcome=seen.outcome,
                    event=places.get(seen.check),
                )
            )
    return found
