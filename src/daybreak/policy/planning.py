"""The planning budget: at most so many rounds of planning in a row without carrying anything out.

Planning feels like progress and is none. After two rounds (the default) something has to be executed, or the work
goes to a person. Pure functions over a plain value, kept with the run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from daybreak.errors import PolicyError

ROUNDS_MAX = 2


class PlanningLoop(PolicyError):
    """Planning went on and on without anything being done."""

    code = "P212"


@dataclass(frozen=True, slots=True)
class Planning:
    """Rounds so far. `in_a_row` counts since the last execution."""

    rounds_max: int = ROUNDS_MAX
    planned: int = 0
    executed: int = 0
    in_a_row: int = 0

    @property
    def ratio(self) -> float:
        """Share of planning in all rounds, 0 to 1; 0 before the first."""
        rounds = self.planned + self.executed
        return self.planned / rounds if rounds else 0.0

    def plan(self) -> Planning:
        """After another round of planning. Raises PlanningLoop instead of one too many."""
        if self.in_a_row >= self.rounds_max:
            raise PlanningLoop(
                f"{self.in_a_row} rounds of planning and nothing carried out",
                hint="carry out the first step of the plan that there is, or ask a person what is missing",
            )
        return replace(self, planned=self.planned + 1, in_a_row=self.in_a_row + 1)

    def execute(self) -> Planning:
        """After something was really carried out (evidence, not a claim): planning may begin anew."""
        return replace(self, executed=self.executed + 1, in_a_row=0)
