"""Looks at a result, done wherever jobs are done: what is asked, and on the machine that does it, whom.

All looks at one result are of one *bench*: on each machine they share the installed product and nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from daybreak.checks.evidence import Evidence
from daybreak.checks.example import Example
from daybreak.engine.dispatch import Doing, Job, Jobs, Key, Needs, Packed
from daybreak.factory import looking, lookjobs
from daybreak.factory.lookjobs import Here, Told, read
from daybreak.factory.spec.model import Specification
from daybreak.factory.toolbox import ONLY_PYTHON, PYTHON, Survey, Toolbox
from daybreak.factory.validate import languages, running
from daybreak.factory.validate.planned import Planned
from daybreak.host import removal
from daybreak.host.sandbox import Strength
from daybreak.settings import ProjectLanguage

if TYPE_CHECKING:
    from daybreak.factory.consensus import Observation, Probe

LOOK_S = 4 * 3600.0
"""No look takes longer; each has its own, shorter limits."""


@dataclass
class Looks:
    """At one result. Its methods are called inside steps, and block; several may be called at a time."""

    jobs: Jobs
    spec: Specification
    workspace: str
    """Hash of its tree."""
    packed: bytes
    scratch: Path
    cache: Path
    """For what checks may keep between runs, on this machine."""
    serve: str
    require: Strength
    needs: Needs
    here: Here
    """What looks here where nodes lack what is looked with."""
    trusted: bool = False
    """Made by the embedded builder, whose tests are ours."""
    tools: Toolbox | None = None
    survey: Survey = ONLY_PYTHON
    """What `surveyed` found, where checks are asked for by their name."""
    bench: str = field(default_factory=lambda: secrets.token_hex(8))

    def check(self, name: str) -> Evidence:
        return self._ask("check", partial(self._evidence, name), name=name)

    def parses(self) -> Evidence:
        return self._ask("parses", partial(self._evidence, ""))

    def by_tool(self, planned: Planned) -> list[Evidence]:
        told = planned.model_dump(mode="json")
        return self._ask("tool", self._evidences, name=planned.name, language=planned.language, planned=told)

    def mutation(self, most: int, strength_min: float) -> Evidence:
        return self._ask("mutation", partial(self._evidence, ""), most=most, strength_min=strength_min)

    def example(self, example: Example) -> Evidence:
        asked = example.model_dump(mode="json")
        name = f"example:{example.id}"
        return self._ask("example", partial(self._evidence, name), name=example.id, example=asked)

    def observe(self, probe: Probe, asked: int) -> Observation:
        from daybreak.factory.consensus import Observation

        told, sense = probe.model_dump(mode="json"), partial(read, Observation)
        return self._ask("observe", sense, name=probe.id, probe=told, asked=asked)

    def read_here(self) -> looking.Result:
        """For what is read off its bytes, where no program runs."""
        return looking.Result(
            spec=self.spec,
            workspace=self.workspace,
            packed=self.packed,
            scratch=self.scratch / "read",
            cache=self.cache,
            serve=self.serve,
            require=self.require,
            cancelled=self.jobs.cancelled,
            tools=self.tools,
        )

    @contextmanager
    def open(self) -> Iterator[Looks]:
        """Until the last look: then nothing of it is kept here any more."""
        try:
            yield self
        finally:
            self.jobs.dispatch.over(self.bench)
            if self.jobs.dispatch.remote:
                self.here.dispatch().over(self.bench)

    @cached_property
    def _subject(self) -> dict[str, Any]:
        return {
            "spec": self.spec.model_dump(mode="json"),
            "workspace": self.workspace,
            "serve": self.serve,
            "require": self.require,
            "trusted": self.trusted,
            "cache": str(self.cache),
            "tools": None if self.tools is None else self.tools.model_dump(mode="json"),
        }

    def _evidence(self, check: str, told: object) -> Evidence:
        return lookjobs.evidence(told, self.workspace, check)

    def _evidences(self, told: object) -> list[Evidence]:
        if not isinstance(told, list) or not told:
            raise lookjobs.senseless("what a node says of a look is no list of evidence")
        return [self._evidence("", one) for one in told]

    def _needed(self, language: ProjectLanguage | None) -> tuple[str, ...]:
        """What its programs need to be there: of the language that is asked for, or of that of one check. Python is
        ours, wherever it is looked at."""
        if self.tools is None:
            return ()
        wanted = languages.called(self.spec.language) if language is None else language
        if language is None and wanted == PYTHON:
            return ()
        return tuple(map(str, running.needed(self.tools.around, wanted)))

    def _ask(
        self,
        what: str,
        sense: Callable[[Any], Told],
        *,
        name: str = "",
        language: ProjectLanguage | None = None,
        **more: Any,
    ) -> Told:
        needed = self._needed(language)

        def job(key: Key, avoid: tuple[str, ...]) -> Job:
            survey = None if self.survey is ONLY_PYTHON else self.survey.model_dump(mode="json")
            return Job(
                key=key,
                doer="daybreak.factory.doers:look",
                body={
                    "what": what,
                    "name": name,
                    "subject": self._subject,
                    "survey": survey,
                    "needed": list(needed),
                    **more,
                },
                scratch=self.scratch,
                trees={"result": Packed(self.workspace, self.packed)},
                needs=self.needs,
                time_s=LOOK_S,
                bench=self.bench,
                avoid=avoid,
            )

        return lookjobs.have(self.jobs, f"{what} {name}".strip(), needed, job, self.here, sense)


# -- on the machine that looks


def done(doing: Doing) -> Any:
    """What that look saw, as JSON."""
    with lookjobs.looking(doing):
        return _done(doing)


def _done(doing: Doing) -> Any:
    body = doing.body
    result = _result(doing)
    if not doing.here:
        for name in _folders(body):  # of a look whose answer did not arrive
            removal.remove(result.scratch / name)
    match body["what"]:
        case "check":
            seen: BaseModel = lookjobs.could_look(doing, result.check(body["name"]))
        case "parses":
            seen = lookjobs.could_look(doing, result.parses())
        case "tool":
            found = result.by_tool(Planned.model_validate(body["planned"]))
            lookjobs.could_look(doing, found[0])
            return [one.model_dump(mode="json") for one in found]
        case "mutation":
            seen = lookjobs.could_look(doing, result.mutation(body["most"], body["strength_min"]))
        case "example":
            seen = _example(doing, result)
        case "observe":
            seen = _observed(doing, result)
        case what:
            raise AssertionError(f"there is no look {what}")
    return seen.model_dump(mode="json")


def _example(doing: Doing, result: looking.Result) -> Evidence:
    try:
        return lookjobs.could_look(doing, result.example(Example.model_validate(doing.body["example"])))
    except looking.NotInstalled as problem:
        if doing.here:
            raise
        raise lookjobs.absent(problem.message) from problem


def _folders(body: Mapping[str, Any]) -> list[str]:
    """Those that a look makes in the scratch of its bench."""
    what, name = body["what"], body["name"]
    if what == "check" and name == "install":
        return []
    return {"check": [name], "tool": [name.replace(":", "-")], "example": [name]}.get(what, [what])


def _result(doing: Doing) -> looking.Result:
    """The result as this machine has it; made by the first look of the bench. Its survey is that of the look."""
    told = doing.body["subject"]
    with doing.lock:
        if "result" not in doing.kept:
            doing.kept["result"] = looking.Result(
                spec=Specification.model_validate(told["spec"]),
                workspace=told["workspace"],
                packed=doing.trees["result"].data,
                scratch=doing.scratch,
                cache=Path(told["cache"]) if doing.cache is None else doing.cache / "types",
                serve=told["serve"],
                require=told["require"],
                cancelled=doing.cancelled,
                trusted=told["trusted"],
                tools=None if told["tools"] is None else Toolbox.model_validate(told["tools"]),
            )
        result: looking.Result = doing.kept["result"]
        survey = doing.body["survey"]
        result.survey = ONLY_PYTHON if survey is None else Survey.model_validate(survey)
        return result


def _observed(doing: Doing, result: looking.Result) -> Observation:
    from daybreak.factory import consensus

    with doing.lock:
        if "product" not in doing.kept:
            lookjobs.could_look(doing, result.check("install"))
            doing.kept["product"] = result.product()
    return consensus.observe(
        doing.kept["product"],
        consensus.Probe.model_validate(doing.body["probe"]),
        result.scratch,
        candidate="",
        workspace=result.workspace,
        serve=result.serve,
        prefix=result.spec.http.prefix,
        require=result.require,
        cancelled=doing.cancelled,
        asked=doing.body["asked"],
    )
