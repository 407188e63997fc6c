"""All that one who hands work over says, read at once: the task, its place, and what is wrong with either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.home.handover import finding, issues, putting
from daybreak.home.handover.gathering import Gathered
from daybreak.home.handover.place import Place, checked, place
from daybreak.home.handover.words import PlaceWords, Words

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.factory.asked import Asked
    from daybreak.factory.task import BuildTask
    from daybreak.home.opening import Home


@dataclass(frozen=True, slots=True)
class Ready:
    """Read and checked; nothing is recorded yet."""

    found: Asked | BuildTask
    place: Place
    once: bool
    subject: str | None

    @property
    def title(self) -> str:
        """As the queue shows it."""
        return getattr(self.found, "title", "") or self.found.spec.title  # type: ignore[union-attr]

    @property
    def comes_again(self) -> bool:
        """It becomes a schedule, not a run."""
        return not self.once and getattr(self.found, "schedule", None) is not None

    def put(self, home: Home) -> dict[str, Any]:
        """As `putting.put`."""
        return putting.put(home, self.found, self.place, once=self.once, subject=self.subject)


def ask(
    words: Words,
    told: PlaceWords,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    clock: Clock,
    once: bool = False,
    subject: str | None = None,
) -> Ready:
    """May take seconds where much is read: not on a loop that serves others. Raises the one problem, or AddWrong
    with all of them; see `finding.found`, `issues.asked`, `place.place` and `place.checked`."""
    wrong = Gathered()
    where = place(wrong, told, clock.now())
    _read_needs(wrong, words.needs)
    if words.source is not None:
        wrong.value(lambda: putting.refuse_subject(subject))
        found = wrong.value(lambda: issues.asked(words, where, once=once, cwd=cwd, environment=environment))
        wrong.raise_all()
        assert found is not None, "what was not found was told"
        return Ready(found, {}, once, None)
    sought = wrong.value(lambda: finding.found(words, cwd=cwd, environment=environment))
    if sought is not None:
        wrong.value(lambda: checked(sought, where))
        wrong.value(lambda: putting.check_subject(subject, sought, once=once))
    wrong.raise_all()
    assert sought is not None, "what was not found was told"
    return Ready(sought, where, once, subject)


def _read_needs(wrong: Gathered, needs: tuple[str, ...]) -> None:
    """Whatever else is wrong, what no machine can have is told beside it."""
    if needs:
        from daybreak.factory import needing

        wrong.value(lambda: needing.read(needs))
