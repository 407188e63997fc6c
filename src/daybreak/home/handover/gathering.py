"""Everything that is wrong, at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from daybreak.errors import DaybreakError, HostError, SpecError, UsageError
from daybreak.home.handover.words import AddWrong

T = TypeVar("T")


@dataclass(slots=True)
class Gathered:
    """Problems, told together."""

    found: list[DaybreakError] = field(default_factory=list)

    def value(self, make: Callable[[], T]) -> T | None:
        """What it makes; None where that is told later."""
        try:
            return make()
        except (UsageError, SpecError, HostError) as error:
            if (error.code, error.message) not in [(one.code, one.message) for one in self.found]:
                self.found.append(error)
            return None

    def raise_all(self) -> None:
        """Raises the one problem, or AddWrong with all of them."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            told = [f"{error.code} {error.message}" for error in self.found]
            hint = "; ".join(error.hint for error in self.found if error.hint) or "mend each of them"
            raise AddWrong("\n".join([f"{len(told)} things are wrong:", *told]), hint=hint)
