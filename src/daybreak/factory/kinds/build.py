"""The kind `build`: a specification becomes a verified, delivered project.

Each arrow of the way is a durable step: prove the examples, one or more attempts, the checks of each, the
gate, the delivery. The attempt's result is kept as a packed tree in the blob store, so every check and the
delivery see the same bytes, also after a crash. Nothing here believes a worker.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import msgspec
from pydantic import BaseModel, ConfigDict, model_validator

from daybreak import events
from daybreak.agents.protocol import Claim, Finding
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence
from daybreak.checks.example import Example
from daybreak.checks.examples import proves
from daybreak.clock import Clock, stamp
from daybreak.config import Places
from daybreak.engine import Context, Kept, Parked
from daybreak.engine.flow import Paused
from daybreak.errors import CheckError, DaybreakError, DeliveryError, WorkerError
from daybreak.factory import attempting, cascading, deliver, hearing, holdout, looking, machine, plan, recall, skeleton
from daybreak.factory import brief as briefs
from daybreak.factory.attempting import Attempts
from daybreak.factory.cascading import Course, NobodyLeft
from daybreak.factory.office import Office
from daybreak.factory.spec import not_shown, read_text, without_examples
from daybreak.factory.spec.model import Specification
from daybreak.factory.warden import Warden
from daybreak.host import removal, tree
from daybreak.host.sandbox import Strength
from daybreak.ledger import Ledger

Branch = Callable[[Context], Awaitable[Any]]

KIND = "build"
EMBEDDED = "builder"
"""The worker that is a part of Daybreak."""
_NOT_KEPT: dict[str, Any] = {"money_microusd": 0, "duration_ms": 0, "lessons": []}
"""What attempts did not keep when there was one worker only."""
UNSHOWN_QUESTION = "deliver although nothing shows {}?"


class BuildArgs(BaseModel):
    """What a build was asked for, as kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    specification: str
    """Blob of the specification's text."""
    specification_name: str
    format: Literal["md", "yaml", "toml", "json"]
    output: str
    """Absolute folder to deliver to."""
    workers: tuple[str, ...] = (EMBEDDED,)
    """The order in which workers are asked."""
    as_written: bool = False
    """Somebody named them for this build: what is known of outcomes does not change their order."""
    alone: bool = False
    """Asked for when there was one worker only: the history of such a build has no choices in it."""
    sandbox: Strength = "degraded"
    """The least that the sandbox of every program must enforce."""
    assume: bool = False
    accept_unshown: bool = False
    skeleton: bool = False
    """Where nothing could be built, put a skeleton that says so in its place."""

    @model_validator(mode="before")
    @classmethod
    def _one_worker(cls, told: Any) -> Any:
        """Builds that were asked for when there was one worker only."""
        if isinstance(told, dict) and "worker" in told:
            told = dict(told)
            told["workers"], told["alone"] = [told.pop("worker")], True
        return told


class ProvesNothing(CheckError):
    """An acceptance example passes on nothing or on a program that does nothing."""

    code = "C131"


class NotVerified(CheckError):
    """The gate refused what the worker made."""

    code = "C132"


class BudgetSpent(CheckError):
    """The build's time is over."""

    code = "C133"


class ManifestTaken(WorkerError):
    """A worker has left a file of the name that is ours."""

    code = "W191"


class NotBuilt(WorkerError):
    """The worker refused or crashed; there is nothing to check."""

    code = "W121"


@dataclass(frozen=True)
class Build:
    """The task function of kind `build`; one instance serves many runs."""

    ledger: Ledger
    places: Places
    clock: Clock
    office: Office

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        return await _OneBuild(self, ctx, BuildArgs.model_validate(args)).go()


class _OneBuild:
    """The state of one build while it runs; all of it comes back from the ledger after a crash."""

    def __init__(self, kind: Build, ctx: Context, args: BuildArgs) -> None:
        self.kind, self.ctx, self.args = kind, ctx, args
        self.ledger = kind.ledger
        self.text = self.ledger.get_blob(args.specification).decode()
        self.spec: Specification = read_text(self.text, name=args.specification_name, format=args.format)
        key = holdout.read_or_make_key(kind.places.keys)
        self.held_out = holdout.choose(self.spec.examples, self.spec.holdout, key)
        self.serve = self.spec.serve or f"{self.spec.name} serve --port {{port}}"
        self.folder = (kind.places.workspaces / ctx.run).resolve()
        self.number = 0
        """Of the attempt that is under way."""
        self.warden = Warden(ctx.run, self.ledger, kind.places, kind.clock)
        self.at_a_time = anyio.Semaphore(machine.cores())
        self.cancelled = threading.Event()
        self.attempts = Attempts(ctx, kind.office, self.warden, self.cancelled)
        self.course = Course(
            *(ctx, kind.office, args.workers, KIND, self.spec.budget.attempts),
            refuses=self._beyond_embedded,
            as_written=args.as_written,
        )
        self.left_s = float(self.spec.budget.time_s)

    async def go(self) -> dict[str, Any]:
        """Build, with programs ended at once when the run is cancelled: their threads cannot be."""
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch_for_cancelling)
            try:
                result = await self._build()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                failure = error
            group.cancel_scope.cancel("the build is over")
        removal.remove(self.folder)  # also what an owner that was killed left behind
        if failure is not None:
            raise failure
        return result

    async def _watch_for_cancelling(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()

    async def _build(self) -> dict[str, Any]:
        self.started = await self.ctx.now()
        await self._plan()
        await self._prove_examples()
        attempt, evidence, decision = await self._attempts()
        await self._ask_for_the_unshown()
        delivered = await self._deliver(attempt, evidence)
        return {
            "verdict": decision.verdict,
            "score": decision.score,
            "output": self.args.output,
            "workspace": attempt["workspace"],
            "files": delivered["files"],
        }

    # -- before any work

    async def _plan(self) -> None:
        def make() -> Kept:
            made = plan.make(
                self.spec,
                machine.measure(Path(self.args.output)),
                worker=", ".join(self.args.workers),
                held_out=len(self.held_out),
                assume=self.args.assume,
                sandbox=self.args.sandbox,
            ).model_dump(mode="json")
            return Kept(made, tell=[events.PlanMade(run=self.ctx.run, plan=made)])

        made = await self.ctx.step("plan", make)
        for question in made["questions"]:
            await self.ctx.ask(question)

    async def _prove_examples(self) -> None:
        reasons = await self._side_by_side([self._prover(example) for example in self.spec.examples])
        proving_nothing = [
            f"{example.title!r} (line {example.line}): {why}"
            for example, why in zip(self.spec.examples, reasons, strict=True)
            if why
        ]
        if proving_nothing:
            raise ProvesNothing(
                "acceptance examples that prove nothing: " + "; ".join(proving_nothing),
                hint="let each example expect something that only a working program would print or answer",
            )

    def _prover(self, example: Example) -> Branch:
        def prove() -> Kept:
            self._refuse_full_disk()
            with self._scratch() as scratch:
                why = proves(
                    example,
                    self.spec.name,
                    scratch,
                    serve=self.serve,
                    prefix=self.spec.http.prefix,
                    require=self.args.sandbox,
                )
            told = events.ExampleProved(run=self.ctx.run, example=example.id, proves=why is None, why=why or "")
            return Kept(why, tell=[told])

        async def branch(ctx: Context) -> str | None:
            found: str | None = await ctx.step(f"prove {example.id}", prove)
            return found

        return branch

    # -- attempts, until one passes

    async def _attempts(self) -> tuple[dict[str, Any], list[Evidence], gate.Decision]:
        found: list[Finding] = []
        attempt: dict[str, Any] | None = None
        decision: gate.Decision | None = None
        seen: dict[str, list[Evidence]] = {}
        over = False
        while True:
            self.number += 1
            await self._within_time()
            try:
                worker = await self._next(over=over)
            except NobodyLeft as nobody:
                await self._leave_skeleton()
                raise self._not_done(attempt, decision, nobody) from nobody
            attempt = {**_NOT_KEPT, "worker": worker, **await self._attempted(worker, found)}
            over = not attempt["tree"] or attempt["workspace"] in seen
            if not attempt["tree"]:
                continue
            await self.ctx.enter("verifying")
            workspace = attempt["workspace"]
            if workspace not in seen:  # of the same result the same would be seen
                seen[workspace] = await self._look(self.number, attempt)
            evidence = seen[workspace]
            decision = await self._decide(self.number, attempt, evidence, found)
            if decision.verdict == "passed":
                return attempt, evidence, decision
            found = briefs.findings(evidence, self.held_out)
            await self.ctx.enter("running")

    async def _next(self, *, over: bool) -> str:
        """The worker of this attempt. `over`: a worker that is alone is not asked again. Raises NobodyLeft."""
        if not self.args.alone:
            return await self.course.next(self.number)
        if over or self.number > self.spec.budget.attempts:
            raise NobodyLeft(f"{self.args.workers[0]} was asked {self.number - 1} times", hint="build it again")
        return self.args.workers[0]

    async def _attempted(self, worker: str, found: Sequence[Finding]) -> dict[str, Any]:
        kept: dict[str, Any] = await self.ctx.step("attempt", partial(self._attempt, self.number, worker, found))
        return kept

    def _beyond_embedded(self) -> str:
        from daybreak.agents.builder.worker import refusal

        return refusal(briefs.make(self.spec, "")) or ""

    def _not_done(
        self, attempt: dict[str, Any] | None, decision: gate.Decision | None, nobody: NobodyLeft
    ) -> DaybreakError:
        """Why there is nothing to deliver, in the words of whoever was asked last."""
        if attempt is not None and not attempt["tree"]:
            claim = msgspec.convert(attempt["claim"], Claim)
            hint = "; ".join(claim.not_built) or "mend the worker, or build with the embedded one: `--worker builder`"
            return NotBuilt(
                f"worker {attempt['worker']} {claim.outcome}: {claim.summary}",
                hint=hint if len(self.args.workers) == 1 else f"{hint}; {nobody.hint}",
            )
        if decision is None:
            return nobody
        return NotVerified(
            f"{self.spec.name} is not verified: " + "; ".join(decision.reasons),
            hint=f"`daybreak report {self.ctx.run}` shows what each check saw; nothing was delivered",
        )

    async def _leave_skeleton(self) -> None:
        """Only where it was asked for, and labelled as what it is; the run fails all the same."""
        if not self.args.skeleton:
            return

        def put() -> dict[str, Any]:
            output = Path(self.args.output)
            self.warden.may_deliver(self.number, output)
            try:
                with self._scratch() as scratch:
                    files = skeleton.put(output, self.spec, self.text, self.ctx.run, scratch)
            except DeliveryError as error:  # why nothing was built matters more
                return {"files": 0, "output": str(output), "why": error.message}
            return {"files": files, "output": str(output), "why": "" if files else "something is there already"}

        await self.ctx.step("skeleton", put)

    async def _within_time(self) -> None:
        used_s = (await self.ctx.now() - self.started).total_seconds() - self.course.waited_s
        self.left_s = max(self.spec.budget.time_s - used_s, 1.0)
        if used_s >= self.spec.budget.time_s:
            raise BudgetSpent(
                f"the build has used {used_s:.0f} s of its {self.spec.budget.time_s} s",
                hint="raise `budget: {time: ...}` in the specification and build again",
            )

    def _attempt(self, number: int, worker: str, found: Sequence[Finding]) -> Kept:
        copy = without_examples(self.text, set(self.held_out), format=self.args.format)
        learned = self.kind.office.lessons(f"{self.spec.title}\n{self.spec.summary}", KIND)
        brief = briefs.make(
            self.spec,
            copy,
            number,
            found,
            lessons=[one.text for one in learned],
            recall=recall.pack(self.ctx.records()),
        )
        self._refuse_full_disk()
        with self._scratch() as scratch:
            folder = scratch / "workspace"
            folder.mkdir()
            result = self.attempts.work(
                number,
                worker,
                brief,
                folder,
                scratch,
                time_s=self.left_s,
                require=self.args.sandbox,
            )
            made, packed = "", ""
            if result.claim.outcome not in ("refused", "crashed"):
                try:
                    made, packed = self._taken(folder)
                except (tree.NotATree, ManifestTaken) as problem:  # the next one may do better
                    summary = hearing.cut(f"what it left cannot be taken: {problem.message}")
                    result.claim = Claim(outcome="crashed", summary=summary, trouble="crashed")
        claim = result.claim
        kept = {
            "worker": worker,
            "workspace": made,
            "tree": packed,
            "claim": msgspec.to_builtins(claim),
            "money_microusd": result.usage.money_microusd,
            "duration_ms": result.duration_ms,
            "lessons": [one.lesson for one in learned],
        }
        told = attempting.told(self.ctx.run, number, KIND, worker, result, made)
        return Kept(kept, tell=[*told, *cascading.unjudged(self.ctx.run, number, kept)])

    def _taken(self, folder: Path) -> tuple[str, str]:
        """Hash and blob of what a worker left. Raises NotATree, ManifestTaken."""
        taken = tree.take(folder)
        if any(path.split("/")[0] == deliver.MANIFEST for path in taken.tree.files):
            raise ManifestTaken(
                f"{deliver.MANIFEST} is in it, which belongs to the delivery",
                hint="leave that name free; it is made from what was verified",
            )
        return taken.tree.hash, self.ledger.put_blob(taken.packed)

    # -- looking

    async def _look(self, number: int, attempt: dict[str, Any]) -> list[Evidence]:
        """Evidence of every check about the attempt's tree. Examples need the result installed; where it cannot
        be installed they are not run, and the gate misses their evidence."""
        with self._scratch() as scratch:
            result = looking.Result(
                spec=self.spec,
                workspace=attempt["workspace"],
                packed=self.ledger.get_blob(attempt["tree"]),
                scratch=scratch,
                cache=self.kind.places.cache / "types",
                serve=self.serve,
                require=self.args.sandbox,
                cancelled=self.cancelled,
                trusted=attempt["worker"] == EMBEDDED,
            )
            project = [self._looker(number, name, partial(result.check, name)) for name in plan.CHECKS]
            evidence: list[Evidence] = await self._side_by_side(project)
            if not any(seen.check == "install" and seen.outcome == "passed" for seen in evidence):
                return evidence
            examples = [
                self._looker(number, f"example:{example.id}", partial(result.example, example))
                for example in self.spec.examples
            ]
            return evidence + await self._side_by_side(examples)

    def _looker(self, number: int, name: str, look: Callable[[], Evidence]) -> Branch:
        held_out = name.removeprefix("example:") in self.held_out

        def keep() -> Kept:
            self._refuse_full_disk()
            seen = look().model_dump(mode="json")
            if self.cancelled.is_set():
                raise Paused("interrupted while looking")  # what was seen may be the interruption
            told = events.CheckLooked(run=self.ctx.run, attempt=number, held_out=held_out, evidence=seen)
            return Kept(seen, tell=[told])

        async def branch(ctx: Context) -> Evidence:
            return Evidence.model_validate(await ctx.step(f"check {name}", keep))

        return branch

    # -- deciding and delivering

    async def _decide(
        self, number: int, attempt: dict[str, Any], evidence: list[Evidence], before: Sequence[Finding]
    ) -> gate.Decision:
        steps = self.spec.quality.thresholds
        threshold = steps[min(number, len(steps)) - 1]
        required = [*plan.CHECKS, *(f"example:{example.id}" for example in self.spec.examples)]

        def decide() -> Kept:
            found = gate.decide(evidence, threshold=threshold, required=required)
            decision = found.model_copy(update={"reasons": tuple(map(self._titled, found.reasons))})
            told = events.GateDecided(
                run=self.ctx.run,
                attempt=number,
                workspace=attempt["workspace"],
                verdict=decision.verdict,
                score=decision.score,
                reasons=list(decision.reasons),
            )
            learned = cascading.learned(self.ctx.run, number, KIND, attempt, decision, before, evidence)
            return Kept(decision.model_dump(mode="json"), tell=[told, *learned])

        return gate.Decision.model_validate(await self.ctx.step("gate", decide))

    def _titled(self, reason: str) -> str:
        """People know examples by their headings."""
        for example in self.spec.examples:
            reason = reason.replace(f"example:{example.id}", f"{example.title!r}")
        return reason

    async def _ask_for_the_unshown(self) -> None:
        """A MUST that nothing shows is a person's decision, asked when everything else is done."""
        musts = [requirement.id for requirement in not_shown(self.spec) if requirement.must]
        if musts and not self.args.accept_unshown:
            answer = await self.ctx.ask(UNSHOWN_QUESTION.format(", ".join(musts)))
            if str(answer).strip().lower() not in ("yes", "y", "true"):
                raise NotVerified(
                    f"{', '.join(musts)} not shown, and not accepted as that",
                    hint="add an acceptance example whose heading names each of them, and build again",
                )

    async def _deliver(self, attempt: dict[str, Any], evidence: Sequence[Evidence]) -> dict[str, Any]:
        verified_at = await self.ctx.now()

        def put() -> Kept:
            try:
                return send()
            except DeliveryError as error:
                raise Parked(f"{error.message}: deliver again?", why=f"{error.code}: {error.hint}") from error

        def send() -> Kept:
            output = Path(self.args.output)
            self.warden.may_deliver(self.number, output)
            with self._scratch() as scratch:
                tree.unpack(self.ledger.get_blob(attempt["tree"]), scratch / "project", attempt["workspace"])
                provenance = deliver.Provenance(
                    name=self.spec.name,
                    version=self.spec.version,
                    run=self.ctx.run,
                    verified_at=stamp(verified_at),
                    worker=attempt["worker"],
                    specification=self.args.specification,
                    workspace=attempt["workspace"],
                    passed=sorted(seen.check for seen in evidence if seen.outcome == "passed"),
                    held_out=len(self.held_out),
                )
                manifest = deliver.deliver(scratch / "project", output, provenance)
            told = events.Delivered(
                run=self.ctx.run, output=str(output), workspace=attempt["workspace"], manifest=manifest.hash
            )
            return Kept({"files": len(manifest.files)}, tell=[told])

        kept: dict[str, Any] = await self.ctx.step("deliver", put)
        return kept

    # -- small things

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A fresh folder of this run, gone afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with removal.scratch(self.folder, tell=partial(self.warden.remains, self.number)) as folder:
            yield folder

    async def _side_by_side(self, branches: Sequence[Branch]) -> list[Any]:
        """Their results in order; as many at a time as the machine has cores."""

        def limited(branch: Branch) -> Branch:
            async def when_there_is_room(ctx: Context) -> Any:
                async with self.at_a_time:
                    return await branch(ctx)

            return when_there_is_room

        return await self.ctx.gather(*map(limited, branches))

    def _refuse_full_disk(self) -> None:
        """What a check sees on a full disk says nothing about the result: wait for a person instead."""
        if not machine.has_room(self.folder):
            raise Parked("the disk is full: make room, then resume", why=f"no room for {self.folder}")


def blobs_of(event: events.Event) -> Iterator[str]:
    """The blobs that an event of a build refers to: the specification's text, the packed tree of an attempt."""
    match event:
        case events.TaskAdded(kind="build"):
            yield event.args["specification"]
        case events.StepDone(name="attempt", result={"tree": str(packed)}) if packed:
            yield packed
