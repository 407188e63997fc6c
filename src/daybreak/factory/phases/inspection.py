"""What checks see of a result: all that the phases ask for at once, and of the same bytes never twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from daybreak import events
from daybreak.checks.evidence import Evidence
from daybreak.engine import Context, Kept
from daybreak.factory import plan, polyglot
from daybreak.factory.lookjobs import Here
from daybreak.factory.looks import Looks
from daybreak.factory.phases.artefacts import TRACEABILITY, look_at_traceability
from daybreak.factory.phases.filling import Tried
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.phase import EXAMPLE, IMPLEMENTER, MUTATION
from daybreak.factory.site import Branch, Site
from daybreak.factory.toolbox import OF_PYTHON, ONLY_PYTHON, Survey
from daybreak.ledger import Ledger


@dataclass
class Inspection:
    """Of one run."""

    site: Site
    order: BuildOrder
    ledger: Ledger
    cache: Path
    """For what checks may keep between runs."""
    _seen: dict[str, list[Evidence]] = field(default_factory=dict)
    """By workspace."""
    _surveys: dict[str, Survey] = field(default_factory=dict)
    """By workspace."""

    def has_seen(self, workspace: str) -> bool:
        return workspace in self._seen

    async def of(self, made: Tried) -> list[Evidence]:
        """Evidence of every check that some phase asks for."""
        if made.workspace not in self._seen:
            self._seen[made.workspace] = await self._look(made)
        return self._seen[made.workspace]

    def survey_of(self, workspace: str) -> Survey:
        """What is known of the languages of a result that was looked at."""
        return self._surveys.get(workspace, ONLY_PYTHON)

    async def _look(self, made: Tried) -> list[Evidence]:
        """Examples need the result installed; where it cannot be installed they are not run, and the gate misses
        their evidence."""
        order = self.order
        with self.site.scratch() as scratch, ExitStack() as opened:
            result = Looks(
                jobs=order.office.jobs(self.site.ctx, self.site.cancelled),
                spec=order.spec,
                workspace=made.workspace,
                packed=self.ledger.get_blob(made.tree),
                scratch=scratch,
                cache=self.cache,
                serve=order.serve,
                require=order.sandbox,
                needs=order.needs,
                here=Here(order.office.here),
                trusted=is_ours(made, order),
                tools=order.tools,
            )
            opened.enter_context(result.open())
            kinds = {kind for phase in order.phases.phases for kind in phase.checks}
            result.survey = survey = self._surveys[made.workspace] = await self._survey(result, kinds)
            wanted = [name for name in plan.CHECKS if name in kinds and (survey.python or name not in OF_PYTHON)]
            project = [self._looker(made.number, name, partial(result.check, name)) for name in wanted]
            evidence: list[Evidence] = await self.site.side_by_side(project)
            evidence += await self._of_languages(made, result)
            if not any(seen.check == "install" and seen.outcome == "passed" for seen in evidence):
                return evidence
            examples = [
                self._looker(made.number, f"{EXAMPLE}:{example.id}", partial(result.example, example))
                for example in order.spec.examples
            ]
            if tries_mutants(order, made, evidence):
                phases = order.phases
                mutation = partial(result.mutation, phases.mutants, phases.strength)
                examples.append(self._looker(made.number, MUTATION, mutation))
            evidence += await self.site.side_by_side(examples)
            if any(TRACEABILITY in phase.checks for phase in order.phases.phases):
                traced = partial(look_at_traceability, order.spec.requirements, made.workspace, tuple(evidence))
                evidence += await self.site.side_by_side([self._looker(made.number, TRACEABILITY, traced)])
            return evidence

    async def _survey(self, result: Looks, kinds: set[str]) -> Survey:
        """Kept, since it depends on what is installed here, and so always found here: a node that has less would have
        fewer checks looked at. That a result is Python only, its bytes say."""
        mutated = bool(self.order.phases.mutants)
        found = result.read_here().surveyed(kinds, mutated=mutated)
        if found.languages == ONLY_PYTHON.languages:
            return found
        kept = await self.site.ctx.step("languages", lambda: found.model_dump(mode="json"))
        return Survey.model_validate(kept)

    async def _of_languages(self, made: Tried, result: Looks) -> list[Evidence]:
        """What the checks of its languages see, beside those that all results have."""
        survey = result.survey
        lookers: list[Branch] = [
            self._lookers(made.number, one.name, partial(result.by_tool, one))
            for one in survey.checks
            if one.how != "beside"
        ]
        lookers += [
            self._lookers(made.number, one.check, partial(polyglot.not_seen, one, made.workspace))
            for one in survey.unseen
        ]
        found: list[list[Evidence]] = await self.site.side_by_side(lookers)
        return [seen for several in found for seen in several]

    def _lookers(self, number: int, name: str, look: Callable[[], list[Evidence]]) -> Branch:
        """One look that gives several pieces of evidence."""

        def keep() -> Kept:
            self.site.refuse_full_disk()
            seen = [one.model_dump(mode="json") for one in look()]
            self.site.refuse_interrupted()
            run = self.site.ctx.run
            return Kept(
                seen, tell=[events.CheckLooked(run=run, attempt=number, held_out=False, evidence=one) for one in seen]
            )

        async def branch(ctx: Context) -> list[Evidence]:
            return [Evidence.model_validate(one) for one in await ctx.step(f"check {name}", keep)]

        return branch

    def _looker(self, number: int, name: str, look: Callable[[], Evidence]) -> Branch:
        held_out = name.removeprefix(f"{EXAMPLE}:") in self.order.held_out

        def keep() -> Kept:
            self.site.refuse_full_disk()
            seen = look().model_dump(mode="json")
            self.site.refuse_interrupted()
            told = events.CheckLooked(run=self.site.ctx.run, attempt=number, held_out=held_out, evidence=seen)
            return Kept(seen, tell=[told])

        async def branch(ctx: Context) -> Evidence:
            return Evidence.model_validate(await ctx.step(f"check {name}", keep))

        return branch


def is_ours(made: Tried, order: BuildOrder) -> bool:
    """The embedded builder has made all of it, tests too. Where it has only added to what others left, or made one part
    of it, it is theirs as well."""
    return made.worker == order.embedded and made.role.name == IMPLEMENTER and not made.role.writes


def tries_mutants(order: BuildOrder, made: Tried, evidence: Sequence[Evidence]) -> bool:
    """Tests that are ours need it not, and those that fail already say nothing about it."""
    tested = any(seen.check == "tests" and seen.outcome == "passed" for seen in evidence)
    return bool(order.phases.mutants) and tested and not is_ours(made, order)


def named(kinds: Sequence[str], order: BuildOrder, survey: Survey = ONLY_PYTHON) -> list[str]:
    """The checks of those kinds, as evidence names them: of examples one for each, of other languages than Python with
    the name of the language."""
    found = [name for name in plan.CHECKS if name in kinds and (survey.python or name not in OF_PYTHON)]
    found += survey.names(kinds)
    if EXAMPLE in kinds:
        found += [f"{EXAMPLE}:{example.id}" for example in order.spec.examples]
    if TRACEABILITY in kinds:
        found.append(TRACEABILITY)
    return found
