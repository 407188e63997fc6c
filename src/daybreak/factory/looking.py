"""Looking at one result: which check of `checks` is called how, on a copy of its own.

Every check gets the tree unpacked afresh, so none sees what another left behind. The installed product is made
when the first one needs it, and made again after a crash: it is not a step, only what steps look at.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from daybreak.checks import (
    complexity,
    deployment,
    documentation,
    install,
    lint,
    security,
    strength,
    structure,
    syntax,
    tests,
    types,
)
from daybreak.checks.evidence import Evidence
from daybreak.checks.example import Example
from daybreak.checks.examples import run_example
from daybreak.checks.product import Product
from daybreak.errors import CheckError
from daybreak.factory import installing, polyglot, toolbox
from daybreak.factory.polyglot import Bench
from daybreak.factory.spec.model import Specification
from daybreak.factory.toolbox import ONLY_PYTHON, Survey, Toolbox
from daybreak.factory.validate import languages, protecting
from daybreak.factory.validate.planned import Planned
from daybreak.host import tree
from daybreak.host.sandbox import Strength
from daybreak.settings import ProjectLanguage

MUTATION_S_MAX = 120.0


class NotInstalled(CheckError):
    """A result that was installed before cannot be installed again."""

    code = "C141"


@dataclass
class Result:
    """What an attempt left, and where it may be looked at. Its methods may run in several threads at a time."""

    spec: Specification
    workspace: str
    """Hash of its tree."""
    packed: bytes
    scratch: Path
    cache: Path
    serve: str
    require: Strength
    """What the sandbox of every program must be able to enforce."""
    cancelled: threading.Event
    trusted: bool = False
    """Made by the embedded builder, whose tests are ours."""
    tools: Toolbox | None = None
    """None: asked for when builds looked at Python only."""
    survey: Survey = ONLY_PYTHON
    """What `surveyed` found, where checks are asked for by their name."""
    _installing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _wanted(self) -> ProjectLanguage:
        """The language that is asked for."""
        return languages.called(self.spec.language) if self.tools is not None else toolbox.PYTHON

    def surveyed(self, kinds: Collection[str], *, mutated: bool = False) -> Survey:
        """What it is written in, and the checks of its languages for gates that ask for these kinds."""
        if self.tools is None:
            return ONLY_PYTHON
        copy = self.scratch / "survey" / "tree"
        paths = sorted(tree.unpack(self.packed, copy, self.workspace).files)
        return toolbox.survey(
            copy,
            paths,
            wanted=self._wanted,
            kinds=kinds,
            tools=self.tools,
            coverage=self.spec.quality.coverage,
            mutated=mutated,
        )

    def by_tool(self, planned: Planned) -> list[Evidence]:
        """Evidence of a check of one of its languages, one of the survey's, and of what comes with its run."""
        return polyglot.look(planned, self._bench(planned.name.replace(":", "-")), self.survey)

    def parses(self) -> Evidence:
        """Can what there is of it be read? Of a language without a parser here nothing is known, which is no fault."""
        if self._wanted == toolbox.PYTHON:
            return self.check("syntax")
        self.survey = self.surveyed(("syntax",))
        planned = next((one for one in self.survey.checks if one.kind == "syntax" and not one.missing), None)
        if planned is not None:
            return self.by_tool(planned)[0]
        summary = f"nothing here reads {self.spec.language} by itself"
        return Evidence(check="syntax", workspace=self.workspace, outcome="passed", summary=summary)

    def _bench(self, name: str) -> Bench:
        assert self.tools is not None, "a survey was made with them"
        scratch = self.scratch / name / "scratch"
        scratch.mkdir(parents=True)
        copy = self.scratch / name / "tree"
        paths = sorted(tree.unpack(self.packed, copy, self.workspace).files)
        return Bench(
            copy.resolve(),
            tuple(paths),
            self.workspace,
            scratch.resolve(),
            self.tools,
            self.require,
            self.cancelled,
        )

    def _structure(self) -> Evidence:
        """Of a result that is not in Python."""
        bench = self._bench("structure")
        known = languages.BY_NAME.get(self._wanted)
        own = [path for path in bench.paths if known is None or path in languages.sources(bench.paths, self._wanted)]
        code = [path for path in own if not languages.is_test(path)]
        silent, lines = protecting.silence(bench.tree, code)
        return structure.look_at(
            bench.tree,
            self.workspace,
            language=self.spec.language,
            project_files=known.markers if known is not None else (),
            code=code,
            tests=own if self._wanted == "rust" else [path for path in own if languages.is_test(path)],
            silencing=silent,
            silencing_max=syntax.silencers_allowed(lines),
            others=self.survey.others,
        )

    def check(self, name: str) -> Evidence:
        """Evidence of the check of that name, one of `plan.CHECKS`."""
        if name == "install":
            return self._installed()[0]
        if name == "structure" and self._wanted != toolbox.PYTHON:
            return self._structure()
        scratch = self.scratch / name / "scratch"
        scratch.mkdir(parents=True)
        copy = self._copy(name)
        match name:
            case "structure":
                return structure.look(copy, self.workspace, name=self.spec.name)
            case "syntax":
                return syntax.look(
                    copy, self.workspace, scratch=scratch, require=self.require, cancelled=self.cancelled
                )
            case "lint":
                return lint.look(copy, self.workspace, scratch=scratch, require=self.require, cancelled=self.cancelled)
            case "types":
                return types.look(
                    copy,
                    self.workspace,
                    scratch=scratch,
                    cache=self.cache,
                    require=self.require,
                    cancelled=self.cancelled,
                )
            case "tests":
                return tests.look(
                    copy,
                    self.workspace,
                    scratch=scratch,
                    coverage_min=self.spec.quality.coverage,
                    require=self.require,
                    cancelled=self.cancelled,
                    trusted=self.trusted,
                )
            case "deployment":
                return deployment.look(copy, self.workspace)
            case "security":
                return security.look(
                    copy, self.workspace, scratch=scratch, require=self.require, cancelled=self.cancelled
                )
            case "complexity":
                return complexity.look(
                    copy, self.workspace, scratch=scratch, require=self.require, cancelled=self.cancelled
                )
            case "documentation":
                return documentation.look(
                    copy,
                    self.workspace,
                    scratch=scratch,
                    files=None if self._wanted == toolbox.PYTHON else (),
                    require=self.require,
                    cancelled=self.cancelled,
                )
        raise AssertionError(f"there is no check {name}")

    def mutation(self, most: int, strength_min: float) -> Evidence:
        """Evidence of how many small changes of the program its tests notice. Which ones are tried nobody outside can
        know beforehand."""
        scratch = self.scratch / "mutation" / "scratch"
        scratch.mkdir(parents=True)
        return strength.look(
            self._copy("mutation"),
            self.workspace,
            scratch=scratch,
            seed=secrets.token_hex(16),
            most=most,
            strength_min=strength_min,
            budget_s=MUTATION_S_MAX,
            require=self.require,
            cancelled=self.cancelled,
        )

    def example(self, example: Example) -> Evidence:
        """Evidence of an acceptance example on the installed product."""
        evidence, product = self._installed()
        if product is None:
            raise NotInstalled(
                f"the result was installed before and now is not: {evidence.summary}", hint="build again"
            )
        scratch = self.scratch / example.id
        scratch.mkdir()
        return run_example(
            example,
            product,
            scratch,
            serve=self.serve,
            prefix=self.spec.http.prefix,
            require=self.require,
            cancelled=self.cancelled,
        )

    def product(self) -> Product | None:
        """The installed product; None where it cannot be installed."""
        return self._installed()[1]

    def _installed(self) -> tuple[Evidence, Product | None]:
        with self._installing:
            return self._installation

    @cached_property
    def _installation(self) -> tuple[Evidence, Product | None]:
        if self._wanted != toolbox.PYTHON:
            return installing.look(self._bench("install"), name=self.spec.name, language=self._wanted)
        copy = self._copy("install")
        return install.look(
            copy,
            self.workspace,
            name=self.spec.name,
            scratch=self.scratch / "install",
            require=self.require,
            cancelled=self.cancelled,
        )

    def _copy(self, name: str) -> Path:
        folder = self.scratch / name / "tree"
        tree.unpack(self.packed, folder, self.workspace)
        return folder
