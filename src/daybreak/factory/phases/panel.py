"""Who looks at a result and can only object, whatever kind of task it is a result of.

A panel belongs to a run: it asks the workers of a reviewing role, one after the other, until one gives a review. A
board belongs to a gate: it gathers what the panel's roles object to, and asks a person where only such roles object
whose veto a person may overrule. An answer that is none, or that comes from nobody, changes nothing and is recorded as
that. A reviewer sees what was asked, the files, and what checks saw; never what whoever made it has said.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from daybreak import events
from daybreak.agents.protocol import Brief, Claim
from daybreak.engine import Context, Kept
from daybreak.errors import CheckError
from daybreak.factory import attempted, hearing
from daybreak.factory.attempting import Working
from daybreak.factory.cascading import Course, NobodyLeft
from daybreak.factory.consensus import objecting
from daybreak.factory.consensus.objecting import Objection, Said
from daybreak.factory.office import Office
from daybreak.factory.phases import phase as phases
from daybreak.factory.phases.phase import Role
from daybreak.factory.phases.vetoing import REASONS_MAX, SHOWN_CHARS_MAX, Review, Reviewed, evidence_of, mender
from daybreak.factory.site import Site
from daybreak.host.sandbox import Strength
from daybreak.settings import BUILDER, Settings, SettingsWrong

TEMPLATE = "reviewer"
"""Of the brief of a reviewing role that names none."""
ASKED_MAX = 3
"""Workers that are asked for one review, where those before gave none."""
TIME_S = 1_800.0


def configured(settings: Settings) -> tuple[Role, ...]:
    """The roles with a veto, each once, as the phases of a build have them: what is no build is reviewed by all of
    them. Raises PhaseUnknown where the settings name a phase, role or check that there is not."""
    found = (role for one in phases.configured(settings).phases for role in one.reviewers)
    return tuple({role.name: role for role in found}.values())


@dataclass(frozen=True)
class Subject:
    """What is reviewed."""

    number: int
    """Of the attempt that made it."""
    worker: str
    """Who made it."""
    workspace: str
    """Its hash."""
    opened: Callable[[Path], AbstractContextManager[Path]]
    """A fresh copy of it below a scratch folder."""
    brief: Callable[[str, Sequence[Objection], str], Brief]
    """Made of the template's name, the objections so far, and what the answer is to be called."""


def nobody(told: Sequence[events.Event], left: Mapping[int, str]) -> set[int]:
    return set()


@dataclass
class Panel:
    """Of one run; what it knows comes back from the ledger after a crash."""

    site: Site
    office: Office
    attempts: Working
    kind: str
    """What memory calls this kind of task."""
    workers: tuple[str, ...]
    """The task's own order, for roles that name nobody."""
    sandbox: Strength
    names: frozenset[str]
    """Of all roles that review in this run."""
    left_s: Callable[[Context], Awaitable[float]]
    """Seconds that a review may take; raises a CheckError where there is no time."""
    courses: list[Course] = field(default_factory=list)
    rivals: Callable[[Sequence[events.Event], Mapping[int, str]], set[int]] = nobody
    """Given the run's events and the workers of attempts that left something: those attempts that what is reviewed now
    has nothing of."""
    _reviews: dict[tuple[str, str], Review] = field(default_factory=dict)
    """By role and workspace: nobody reviews the same twice."""

    async def review(self, place: str, role: Role, subject: Subject, raised: Sequence[Objection]) -> Review:
        """What that role says of it at the gate `place`, by the first who says something; without objections where
        nobody does. `raised`: the objections of that gate so far."""
        key = (role.name, subject.workspace)
        if key not in self._reviews:
            self._reviews[key] = await self._review(place, role, subject, raised)
        return self._reviews[key]

    async def _review(self, place: str, role: Role, subject: Subject, raised: Sequence[Objection]) -> Review:
        ctx = self.site.ctx
        who = await ctx.step("reviewers", partial(self._who, role, subject))
        course = self._course(place, role, tuple(who["order"]))
        while True:
            try:
                if not who["order"]:
                    raise NobodyLeft("nobody is in its order who could review", hint=f"name one in [roles.{role.name}]")
                number = await self.site.next_number()
                left_s = await self._left_s()
                worker = await course.next(number)
            except NobodyLeft as nobody:
                told = self._made(place, role, subject, outcome="no review", why=nobody.message)
                await ctx.step("no review", lambda told=told: Kept(None, tell=[told]))
                return Review(role, "")
            same = worker in who["authors"]
            review = partial(self._attempt, number, place, role, worker, subject, raised, min(left_s, TIME_S), same)
            kept = await ctx.step("review", review)
            if not kept["unusable"]:
                vetoes = tuple(Objection.model_validate(one) for one in kept["vetoes"])
                return Review(role, worker, vetoes)

    async def _left_s(self) -> float:
        """Raises NobodyLeft: what has passed its checks is not lost for want of time."""
        try:
            return await self.left_s(self.site.ctx)
        except CheckError as spent:
            raise NobodyLeft(f"no time is left for a review: {spent.message}", hint=spent.hint) from spent

    def _course(self, place: str, role: Role, order: tuple[str, ...]) -> Course:
        course = Course(
            self.site.ctx,
            self.office,
            order,
            self._task(role),
            ASKED_MAX,
            as_written=True,
            phase=place,
            role=role.name,
        )
        self.courses.append(course)
        return course

    def _task(self, role: Role) -> str:
        return f"{self.kind}/{role.name}"

    # -- who, inside a step

    def _who(self, role: Role, subject: Subject) -> dict[str, list[str]]:
        """Who is asked, in that order: those first who have made nothing of this run, those last who have made this.
        The embedded builder cannot read."""
        made_by, authors = self._makers(subject)
        order = [name for name in role.workers or self.workers if not self._is_embedded(name)]
        order.sort(key=lambda name: (name in authors, name in made_by))
        return {"order": order, "authors": sorted(authors)}

    def _makers(self, subject: Subject) -> tuple[set[str], set[str]]:
        """Workers that have left something in this run; and those of them that this result may have something of."""
        told = [record.event for record in self.site.ctx.records()]
        reviews = {one.attempt for one in told if isinstance(one, events.AttemptBegan) and one.role in self.names}
        left = {
            one.attempt: one.worker
            for one in told
            if isinstance(one, events.AttemptClaimed) and one.workspace and one.attempt not in reviews
        }
        rivals = self.rivals(told, left)
        authors = {worker for number, worker in left.items() if number not in rivals or number == subject.number}
        return {*left.values(), subject.worker}, {*authors, subject.worker}

    def _is_embedded(self, worker: str) -> bool:
        try:
            return self.office.settings.worker(worker).kind == BUILDER
        except SettingsWrong:  # the course says so of it
            return False

    # -- one attempt, inside its step

    def _attempt(
        self,
        number: int,
        place: str,
        role: Role,
        worker: str,
        subject: Subject,
        raised: Sequence[Objection],
        time_s: float,
        same: bool,
    ) -> Kept:
        with self.site.scratch() as scratch, subject.opened(scratch) as folder, ExitStack() as stack:
            file = _free_name(os.listdir(folder))
            brief = subject.brief(role.template or TEMPLATE, raised, file)
            result = self.attempts.work(number, worker, brief, folder, scratch, time_s=time_s, require=self.sandbox)
            self.site.refuse_interrupted()
            if result.claim.outcome in ("refused", "crashed"):
                said = Said(unusable=result.claim.summary or result.claim.outcome)
            else:
                said = objecting.read(_left(folder / file), _AsMade(subject, scratch / "as-made", stack).lines)
                if said.unusable and not result.claim.trouble:  # a quota or an outage may be waited for
                    summary = hearing.cut(f"no review: {said.unusable}")
                    result.claim = Claim(outcome="crashed", summary=summary, trouble="crashed")
        usable = not said.unusable
        reviewed = self._made(
            place,
            role,
            subject,
            attempt=number,
            worker=worker,
            outcome="objects" if said.vetoes else "no objection" if usable else "no review",
            why=hearing.cut(said.unusable),
            findings=[one.model_dump(mode="json") for one in said.objections],
            left_out=[hearing.cut(one) for one in said.left_out],
            same=same,
        )
        kept = {
            "worker": worker,
            "unusable": hearing.cut(said.unusable),
            "vetoes": [one.model_dump(mode="json") for one in said.vetoes],
            "claim": msgspec.to_builtins(result.claim),
        }
        run = self.site.ctx.run
        told = attempted.told(run, number, self._task(role), worker, result, subject.workspace if usable else "")
        if usable:  # as good as an answer in the right form can be; nobody knows whether it is right
            told.append(self._judged(number, role, worker, result))
        return Kept(kept, tell=[*told, reviewed])

    def _judged(self, number: int, role: Role, worker: str, result: attempted.Result) -> events.AttemptJudged:
        return events.AttemptJudged(
            run=self.site.ctx.run,
            attempt=number,
            worker=worker,
            task=self._task(role),
            solved=True,
            score=100.0,
            money_microusd=result.usage.money_microusd,
            duration_ms=result.duration_ms,
        )

    def _made(self, place: str, role: Role, subject: Subject, **told: Any) -> events.ReviewMade:
        return events.ReviewMade(
            run=self.site.ctx.run,
            reviewed=subject.number,
            workspace=subject.workspace,
            phase=place,
            role=role.name,
            **told,
        )


@dataclass
class Board:
    """Of one gate."""

    panel: Panel
    reviewers: tuple[Role, ...]
    place: str = ""
    """The phase whose gate it is; empty where there are no phases."""
    _raised: dict[tuple[str, str], Objection] = field(default_factory=dict)
    """Objections so far."""
    _asking: tuple[Subject, Reviewed] | None = None
    """A result that passes every check, and that only such roles object to whose veto a person may overrule."""
    _taken: set[str] = field(default_factory=set)
    """Workspaces that a person has taken over objections."""

    async def of(self, subject: Subject, roles: Sequence[Role]) -> Reviewed:
        """What the reviewers say of a result that the gate would pass. `roles` are those that can mend something."""
        if not self.reviewers or subject.workspace in self._taken:
            return Reviewed()
        raised = list(self._raised.values())
        found = [await self.panel.review(self.place, role, subject, raised) for role in self.reviewers]
        mends: dict[tuple[str, str], tuple[str, Objection]] = {}
        for review in found:
            for one in review.vetoes:
                self._raised.setdefault(one.key, one)
                mends.setdefault(one.key, (mender(roles, one.file), one))
        standing = tuple(mends.values())
        evidence = tuple(evidence_of(subject.workspace, standing))
        reviewed = Reviewed(tuple(found), standing, len(self._raised), evidence)
        if standing and all(one.role.veto == "asks" for one in found if one.vetoes):
            self._asking = subject, reviewed
        return reviewed

    @property
    def asking(self) -> Subject | None:
        """What a person could take over a reviewer's objections."""
        return self._asking[0] if self._asking is not None else None

    async def overruled(self, taken: Callable[[str], events.GateDecided]) -> Subject | None:
        """What a person takes over a reviewer's objections; None where there is none such, or the person does not want
        it. Parks with the question. `taken` makes the decision of the reason."""
        if self._asking is None:
            return None
        subject, reviewed = self._asking
        told = "; ".join(one.words[:SHOWN_CHARS_MAX] for _, one in reviewed.mends[:REASONS_MAX])
        who = ", ".join(f"{one.role.name} {one.worker}" for one in reviewed.reviews if one.vetoes)
        question = (
            f"attempt {subject.number} passes every check, but {who} objects: {told}. Take it all the same, yes or no?"
        )
        ctx = self.panel.site.ctx
        while True:
            answer = str(await ctx.ask(question)).strip().lower()
            if answer in ("no", "n", "false"):
                return None
            if answer in ("yes", "y", "true"):
                break
        reason = f"a person took it over what {who} objects"
        await ctx.step("overrule", lambda: Kept(subject.number, tell=[taken(reason)]))
        self._taken.add(subject.workspace)
        return subject


@dataclass
class _AsMade:
    """The files of a result as they were made, whatever the reviewer did to its copy; laid out when first needed."""

    subject: Subject
    scratch: Path
    stack: ExitStack
    _folder: Path | None = None

    def lines(self, path: str) -> int | None:
        """Of one of its files; None where there is no such file."""
        if self._folder is None:
            self.scratch.mkdir()
            self._folder = self.stack.enter_context(self.subject.opened(self.scratch))
        file = self._folder / path
        try:
            if {"..", ".git"} & set(Path(path).parts) or Path(path).is_absolute() or not file.is_file():
                return None
            if not file.resolve().is_relative_to(self._folder.resolve()):  # a link out of the result
                return None
            data = file.read_bytes()
        except (OSError, ValueError):  # a name that no file system takes
            return None
        return data.count(b"\n") + bool(data and not data.endswith(b"\n"))


def _free_name(there: Sequence[str]) -> str:
    """Of the answer: none that the result has, or that is a folder in it, so that nobody but the reviewer can have
    written it."""
    taken = {name.casefold() for name in there}
    stem, _, suffix = objecting.FILE.partition(".")
    names = [objecting.FILE, *(f"{stem}-{number}.{suffix}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _left(path: Path) -> bytes | None:
    """Not through a link, and not more than would be read."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(objecting.BYTES_MAX + 1)
