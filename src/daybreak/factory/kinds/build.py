"""The kind `build`: a specification becomes a verified, delivered project.

Each arrow of the way is a durable step: prove the examples, one or more attempts, the checks of each, the
gate, the delivery. The attempt's result is kept as a packed tree in the blob store, so every check and the
delivery see the same bytes, also after a crash. Nothing here believes a worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec

from daybreak import events
from daybreak.agents.protocol import Claim
from daybreak.checks.example import Example
from daybreak.checks.examples import proves
from daybreak.clock import Clock, stamp
from daybreak.config import Places
from daybreak.engine import Context, Kept, Parked
from daybreak.errors import CheckError, DaybreakError, DeliveryError, WorkerError
from daybreak.factory import deliver, dispatching, holdout, machine, plan, skeleton
from daybreak.factory.attempting import Attempts
from daybreak.factory.cascading import NobodyLeft
from daybreak.factory.office import Office
from daybreak.factory.phases import sharing, takeover, tracing
from daybreak.factory.phases.conductor import Conductor
from daybreak.factory.phases.contest import Contest
from daybreak.factory.phases.drafting import Drafting
from daybreak.factory.phases.filling import Filling
from daybreak.factory.phases.inspection import Inspection
from daybreak.factory.phases.judged import Judged
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.phase import AUTO, BEFORE_PHASES, EXAMPLE, IMPLEMENTER, Paradigm
from daybreak.factory.phases.wanted import EMBEDDED, BuildArgs
from daybreak.factory.provenance import making
from daybreak.factory.site import Branch, Site
from daybreak.factory.spec import not_shown, read_text
from daybreak.factory.spec.model import Specification
from daybreak.factory.warden import Warden
from daybreak.host import durable, tree
from daybreak.ledger import Ledger

KIND = "build"
REPLACED = "replaced"
UNSHOWN_QUESTION = "deliver although nothing shows {}?"


class ProvesNothing(CheckError):
    """An acceptance example passes on nothing or on a program that does nothing."""

    code = "C131"


class NotVerified(CheckError):
    """The gate refused what the worker made."""

    code = "C132"


class BudgetSpent(CheckError):
    """The build's time is over."""

    code = "C133"


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
        told = BuildArgs.model_validate(args)
        if told.requirement:
            told = await _drafted(self, ctx, told)
        return await _OneBuild(self, ctx, told).go()


async def _drafted(kind: Build, ctx: Context, args: BuildArgs) -> BuildArgs:
    """The same with a specification that was drafted and, unless it was told to assume, said yes to."""
    warden = Warden(ctx.run, kind.ledger, kind.places, kind.clock)
    site = Site(ctx, (kind.places.workspaces / ctx.run).resolve(), warden)
    drafting = Drafting(
        site=site,
        ledger=kind.ledger,
        office=kind.office,
        attempts=Attempts(ctx, kind.office, warden, site.cancelled),
        workers=args.workers,
        as_written=args.as_written,
        sandbox=args.sandbox,
        requirement=args.requirement,
    )
    blob, spec = await site.occupied(partial(drafting.go, assume=args.assume))
    output = args.output or str(Path(args.folder, spec.name))
    return args.model_copy(update={"specification": blob, "output": output, "first_attempt": site.number + 1})


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
        self.warden = Warden(ctx.run, self.ledger, kind.places, kind.clock)
        self.site = Site(
            ctx,
            (kind.places.workspaces / ctx.run).resolve(),
            self.warden,
            number=args.first_attempt - 1,
            at_a_time=anyio.Semaphore(kind.office.dispatch.at_a_time),
        )
        self.needs = dispatching.needs(kind.office.settings, self.spec.needs)
        attempts = Attempts(ctx, kind.office, self.warden, self.site.cancelled, self.needs)
        self.filling = Filling(self.site, self._order(), self.ledger, attempts, self._left_s)
        self.conductor = self._conductor()

    def _order(self, paradigm: Paradigm = "sequential", candidates: int = 0) -> BuildOrder:
        args = self.args
        phases = args.phases or BEFORE_PHASES
        return BuildOrder(
            spec=self.spec,
            text=self.text,
            format=args.format,
            held_out=frozenset(self.held_out),
            serve=self.serve,
            workers=args.workers,
            as_written=args.as_written,
            alone=args.alone,
            sandbox=args.sandbox,
            phases=phases.model_copy(update={"paradigm": paradigm, "candidates": candidates or phases.candidates}),
            office=self.kind.office,
            kind=KIND,
            embedded=EMBEDDED,
            taken=args.taken,
            tools=args.tools,
            needs=self.needs,
            rejected=args.rejected,
        )

    def _conductor(self) -> Conductor:
        site, order, ledger, filling = self.site, self.filling.order, self.ledger, self.filling
        inspection = Inspection(site, order, ledger, self.kind.places.cache / "types")
        return Conductor(site, order, ledger, filling, inspection, Contest(site, order, ledger, filling))

    async def go(self) -> dict[str, Any]:
        result: dict[str, Any] = await self.site.occupied(self._build)
        return result

    async def _build(self) -> dict[str, Any]:
        self.started = await self.ctx.now()
        await self._plan()
        if self.args.taken is not None and self.args.phases is not None:
            await takeover.enter(self.ctx, self.ledger, self.args.taken, self.args.phases.begin)
        await self._prove_examples()
        try:
            judged = await self.conductor.go()
        except NobodyLeft as nobody:
            await self._leave_skeleton()
            raise self._not_done(nobody) from nobody
        await self._ask_for_the_unshown()
        delivered = await self._deliver(judged)
        return {
            "verdict": judged.decision.verdict,
            "score": judged.decision.score,
            "output": self.args.output,
            "workspace": judged.made.workspace,
            "files": delivered["files"],
        }

    # -- before any work

    async def _plan(self) -> None:
        phases = self.args.phases or BEFORE_PHASES

        def make() -> Kept:
            chosen = sharing.chosen(
                self.spec, phases, self.args.workers, self.kind.office, self.ctx.account, self.args.taken
            )
            made = plan.make(
                self.spec,
                machine.measure(Path(self.args.output)),
                worker=", ".join(self.args.workers),
                held_out=len(self.held_out),
                assume=self.args.assume,
                sandbox=self.args.sandbox,
                phases=[one.name for one in phases.ahead] if self.args.phases else (),
                paradigm=chosen.paradigm,
                paradigm_why=chosen.why,
                candidates=chosen.candidates,
                taken=self.args.taken.planned() if self.args.taken else None,
            ).model_dump(mode="json")
            return Kept(made, tell=[events.PlanMade(run=self.ctx.run, plan=made)])

        made = await self.ctx.step("plan", make)
        if phases.paradigm == AUTO:
            self.filling.order = self._order(made["paradigm"], made["candidates"])
        else:
            self.filling.order = self._order(phases.paradigm)
        self.conductor = self._conductor()
        for question in made["questions"]:
            await self.ctx.ask(question)

    async def _prove_examples(self) -> None:
        reasons = await self.site.side_by_side([self._prover(example) for example in self.spec.examples])
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
            with self.site.scratch() as scratch:
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

    # -- where nothing can be delivered

    def _not_done(self, nobody: NobodyLeft) -> DaybreakError:
        """Why there is nothing to deliver, in the words of whoever was asked last."""
        last, judged = self.filling.last, self.conductor.last
        if last is not None and not last["tree"] and (judged is None or last["role"] == IMPLEMENTER):
            claim = msgspec.convert(last["claim"], Claim)
            hint = "; ".join(claim.not_built) or "mend the worker, or build with the embedded one: `--worker builder`"
            return NotBuilt(
                f"worker {last['worker']} {claim.outcome}: {claim.summary}",
                hint=hint if len(self.args.workers) == 1 else f"{hint}; {nobody.hint}",
            )
        if judged is None:
            return nobody
        return NotVerified(
            f"{self.spec.name} is not verified: " + "; ".join(judged.decision.reasons),
            hint=f"`daybreak report {self.ctx.run}` shows what each check saw; nothing was delivered",
        )

    async def _leave_skeleton(self) -> None:
        """Only where it was asked for, and labelled as what it is; the run fails all the same."""
        if not self.args.skeleton:
            return

        def put() -> dict[str, Any]:
            output = Path(self.args.output)
            self.warden.may_deliver(self.site.number, output)
            try:
                with self.site.scratch() as scratch:
                    files = skeleton.put(output, self.spec, self.text, self.ctx.run, scratch)
            except DeliveryError as error:  # why nothing was built matters more
                return {"files": 0, "output": str(output), "why": error.message}
            return {"files": files, "output": str(output), "why": "" if files else "something is there already"}

        await self.ctx.step("skeleton", put)

    async def _left_s(self, ctx: Context) -> float:
        """Seconds of the build's time, asked for in a branch of it. Raises BudgetSpent."""
        used_s = (await ctx.now() - self.started).total_seconds() - self.filling.waited_s
        if used_s >= self.spec.budget.time_s:
            raise BudgetSpent(
                f"the build has used {used_s:.0f} s of its {self.spec.budget.time_s} s",
                hint="raise `budget: {time: ...}` in the specification and build again",
            )
        return max(self.spec.budget.time_s - used_s, 1.0)

    # -- deciding and delivering

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

    async def _deliver(self, judged: Judged) -> dict[str, Any]:
        verified_at = await self.ctx.now()
        made = judged.made

        def put() -> Kept:
            try:
                return send()
            except DeliveryError as error:
                raise Parked(f"{error.message}: deliver again?", why=f"{error.code}: {error.hint}") from error

        def send() -> Kept:
            output = Path(self.args.output)
            self.warden.may_deliver(self.site.number, output)
            passed = {seen.check for seen in judged.evidence if seen.outcome == "passed"}
            unseen = {f"{EXAMPLE}:{one}" for one in self.held_out}
            with self.site.scratch() as scratch:
                replaced = self._replaced(output)
                project = scratch / "project"
                tree.unpack(self.ledger.get_blob(made.tree), project, made.workspace)
                if self.args.phases is not None:
                    tracing.put(project, self.conductor, judged, self.ctx.records())
                origin = deliver.Origin(
                    name=self.spec.name,
                    version=self.spec.version,
                    run=self.ctx.run,
                    verified_at=stamp(verified_at),
                    worker=made.worker,
                    specification=self.args.specification,
                    workspace=made.workspace,
                    passed=sorted(passed - unseen),
                    held_out=len(self.held_out),
                    held_out_passed=len(passed & unseen),
                )
                attest = partial(making.made, self.ledger, self._built(made.workspace, origin.verified_at))
                manifest = deliver.deliver(project, output, origin, attest)
            told = events.Delivered(
                run=self.ctx.run,
                output=str(output),
                workspace=made.workspace,
                manifest=manifest.hash,
                provenance=manifest.provenance,
            )
            return Kept({"files": len(manifest.files), "replaced": replaced}, tell=[told])

        kept: dict[str, Any] = await self.ctx.step("deliver", put)
        return kept

    def _built(self, workspace: str, verified_at: str) -> making.Built:
        return making.Built(
            run=self.ctx.run,
            args=self.args,
            name=self.spec.name,
            version=self.spec.version,
            started=stamp(self.started),
            verified=verified_at,
            workspace=workspace,
            held_out=len(self.held_out),
            records=tuple(self.ctx.records()),
        )

    def _replaced(self, output: Path) -> str | None:
        """The blob of the earlier delivery that is about to be replaced; empty where there is none, None where nobody
        knows. It is noted beside the scratch, because after a crash the new one may stand there already."""
        note = self.site.folder / REPLACED
        if deliver.run_at(output) == self.ctx.run:
            return note.read_text() if note.is_file() else None
        packed = deliver.packed(output)
        blob = self.ledger.put_blob(packed) if packed else ""
        durable.write_synced(note, blob.encode())
        return blob


def blobs_of(event: events.Event) -> Iterator[str]:
    """The blobs that an event of a build refers to: the specification's text, the packed tree of an attempt, and what
    is taken over from another run."""
    match event:
        case events.TaskAdded(kind="build", args=dict() as args):  # as they were handed over: anything may stand there
            match args.get("specification"):
                case str(specification) if specification:
                    yield specification
            yield from takeover.of_args(args)
            match args.get("rejected"):
                case {"tree": str(tree)} if tree:
                    yield tree
        case events.ArtefactMade() | events.SpecificationDrafted():
            yield event.blob
        case events.StepDone(name="attempt" | "merge", result={"tree": str(packed)}) if packed:
            yield packed
        case events.StepDone(name="deliver", result={"files": int(), "replaced": str(replaced)}) if replaced:
            yield replaced
