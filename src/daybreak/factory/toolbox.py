"""What a build's result is written in, and the checks that this brings: those of `daybreak validate`.

A specification says which language it wants. Python that it wants is held to the checks that builds have for that; all
else is looked at as `daybreak validate` would: the same detector, the same plan, the same programs, and one rule for
both of what could not look. What a project needs and this machine lacks fails the gate, until `not_required` names it.
What nothing here knows how to look at is a row without weight, which says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from daybreak.errors import UsageError
from daybreak.factory.validate import languages, planning
from daybreak.factory.validate.languages import GENERIC
from daybreak.factory.validate.planned import THRESHOLDS, WEIGHTS, Planned
from daybreak.factory.validate.surroundings import Surroundings
from daybreak.settings import ProjectLanguage, Validate

PYTHON: ProjectLanguage = "python"
OF_PYTHON = ("syntax", "lint", "types", "tests", "security", "complexity")
"""Checks of builds that look at Python and at nothing else."""
BASE = "base"
"""Do the tests fail where the program does nothing?"""
MUTATION = "mutation"
_ALSO: Mapping[str, tuple[str, ...]] = {
    "tests": ("coverage", BASE, MUTATION),
    "lint": ("format",),
    "syntax": ("build",),
}
"""What a gate looks at along with these."""
_AS_WELL: Mapping[str, tuple[str, ...]] = {"tests": ("coverage",), "syntax": ("build",)}
"""What no score outweighs along with these."""
_IDLE: Collection[ProjectLanguage] = ("python", "javascript")
"""Languages of which a program that does nothing can be made here."""
_COMPILED: Collection[ProjectLanguage] = ("go", "rust", "java")
"""Their compilers see to syntax and types whenever their tests run."""


class LanguageUnknown(UsageError):
    """A specification wants a language whose tests nobody here could run."""

    code = "U255"


class Toolbox(BaseModel):
    """What checks of any language need, as it was when a build was asked for. Kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    around: Surroundings
    """`node_modules` and a virtual environment in its folder are what results may depend on."""
    settings: Validate = Validate()

    @classmethod
    def of(cls, folder: Path, told: Validate, environment: Mapping[str, str]) -> Toolbox:
        """Of what a user tells `daybreak validate`, that which is true of every project: what may be missing, commands
        and times. `languages`, `skip`, `exclude` and thresholds speak of the project in that folder."""
        kept = {name: getattr(told, name) for name in ("commands", "not_required", "check_s", "complexity_max")}
        return cls(around=Surroundings.of(folder, environment), settings=Validate(**kept))


class Unseen(BaseModel):
    """What a gate asks for and nothing here looks at."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    check: str
    """`security:javascript`, as evidence names it."""
    why: str


class Survey(BaseModel):
    """What a result is, and how it is looked at beside the checks that all results have. Kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    wanted: ProjectLanguage = PYTHON
    languages: tuple[ProjectLanguage, ...] = (PYTHON,)
    """The wanted one first."""
    others: tuple[str, ...] = ()
    """Seen, and not looked at: no project file of theirs is at the top."""
    checks: tuple[Planned, ...] = ()
    unseen: tuple[Unseen, ...] = ()

    @property
    def python(self) -> bool:
        """Is it held to the checks that builds have for Python?"""
        return self.wanted == PYTHON

    def names(self, kinds: Collection[str]) -> list[str]:
        """Checks that a gate which asks for these kinds has to see."""
        asked = wider(kinds)
        found = [one.name for one in self.checks] + [one.check for one in self.unseen]
        return [name for name in found if _kind(name) in asked]

    @property
    def spared(self) -> frozenset[str]:
        """Those whose being unable to look fails nothing."""
        return frozenset([one.name for one in self.checks if not one.required] + [one.check for one in self.unseen])


ONLY_PYTHON = Survey()


def wider(kinds: Iterable[str]) -> set[str]:
    """These kinds, and those that are looked at along with them."""
    found = set(kinds)
    return found.union(*(_ALSO.get(kind, ()) for kind in found))


def vetoes(kinds: Iterable[str]) -> set[str]:
    """These kinds, and those that no score outweighs along with them."""
    found = set(kinds)
    return found.union(*(_AS_WELL.get(kind, ()) for kind in found))


def spared(checks: Iterable[str], tools: Toolbox | None) -> set[str]:
    """Those of them that may be unable to look, as the user says. What builds call `lint` is `lint:python` there."""
    told = set(tools.settings.not_required) if tools is not None else set()
    return {one for one in checks if {one, _kind(one), f"{one}:{PYTHON}"} & told}


def _kind(check: str) -> str:
    return check.partition(":")[0]


def judged(paths: Sequence[str], wanted: ProjectLanguage) -> languages.Detected:
    """The languages of a result, the wanted one first whether it is there or not."""
    found = languages.detect(paths)
    rest = [name for name in found.languages if name not in (wanted, GENERIC)]
    others = tuple(name for name in found.others if name != wanted)
    return languages.Detected((wanted, *rest), found.files, others)


def survey(
    folder: Path,
    paths: Sequence[str],
    *,
    wanted: ProjectLanguage,
    kinds: Collection[str],
    tools: Toolbox,
    coverage: int,
    mutated: bool = False,
) -> Survey:
    """Of the result in `folder`, whose files are `paths`. Reads, and runs nothing. `coverage`: percent that the
    specification asks for; `mutated`: tests are also tried on changed programs, where that can be done."""
    found = judged(paths, wanted)
    thresholds = {**tools.settings.thresholds, "coverage": float(coverage)}
    told = tools.settings.model_copy(update={"languages": found.languages, "thresholds": thresholds})
    if wanted != GENERIC:  # those that name no language speak of the project in the user's folder
        own = {name: one for name, one in told.commands.items() if not isinstance(one, str)}
        told = told.model_copy(update={"commands": own})
    asked = wider(kinds)
    planned = [
        one
        for one in planning.make(folder, paths, told, tools.around).checks
        if one.kind in asked and one.kind != "documentation" and (one.language, wanted) != (PYTHON, PYTHON)
    ]
    if (
        "tests" in asked
        and wanted != PYTHON
        and not any(one.kind == "tests" and one.language == wanted for one in planned)
    ):
        planned.append(_untestable(wanted))
    unseen = [
        one
        for language in found.languages
        if (language, wanted) != (PYTHON, PYTHON)
        for one in _unseen(language, {one.kind for one in planned if one.language == language}, asked, mutated=mutated)
    ]
    return Survey(
        wanted=wanted, languages=found.languages, others=found.others, checks=tuple(planned), unseen=tuple(unseen)
    )


def _untestable(language: ProjectLanguage) -> Planned:
    """A result without tests that anybody can run is never one that passes."""
    return Planned(
        name=f"tests:{language}",
        kind="tests",
        language=language,
        how="command",
        command="",
        weight=WEIGHTS["tests"],
        threshold=THRESHOLDS["tests"],
        missing="nobody here knows how its tests are run",
        hint='say it in daybreak.toml: [validate.commands] tests = "make test"',
    )


def _unseen(
    language: ProjectLanguage, own: Collection[str], asked: Collection[str], *, mutated: bool
) -> Iterator[Unseen]:
    by_compiler = ("syntax", "types") if language in _COMPILED else ()
    tested = "tests" in own
    for kind in ("syntax", "types", "lint", "security", "complexity", "coverage"):
        if kind in asked and kind not in own and kind not in by_compiler and (tested or kind != "coverage"):
            yield Unseen(check=f"{kind}:{language}", why=_WHY.get(kind, _NOTHING).format(kind=kind, language=language))
    if tested and language not in _IDLE:
        yield Unseen(check=f"{BASE}:{language}", why=f"nothing here makes a {language} program that does nothing")
    if tested and mutated:
        yield Unseen(check=f"{MUTATION}:{language}", why=f"nothing here changes {language} programs")


_NOTHING = "nothing here looks at {kind} of {language}"
_WHY = {
    "coverage": "nothing here measures what the tests of {language} run",
    "lint": "the project configures no linter of {language} that is known here",
    "types": "the project configures no checker of types that is known here",
}
