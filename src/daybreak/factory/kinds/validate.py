"""The kind `validate`: a project of any language is looked at, and mended until its gates pass or nobody gets further.

Each arrow of the way is a durable step: taking the files in, planning, every check, the gate; with `fix` the fixers,
each attempt, what it left, and the delivery. What is looked at are states in a repository of ours (`shadow`), so every
check and the delivery see the same bytes, also after a crash. Fixers go first, then workers by the cascade; the best
state is kept, and a test that passed may neither fail nor vanish. Nothing here believes a worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from daybreak import events
from daybreak.agents.protocol import Brief, Finding
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence, Mark
from daybreak.clock import Clock, stamp
from daybreak.config import Places
from daybreak.engine import Context, Kept, Parked
from daybreak.errors import CheckError, DeliveryError, HostError
from daybreak.factory import attempting, cascading, machine, recall, repositorygit
from daybreak.factory import brief as briefs
from daybreak.factory.attempting import Attempts
from daybreak.factory.cascading import Course, NobodyLeft
from daybreak.factory.kinds.repository import BRANCH, MakeWorking
from daybreak.factory.office import Office
from daybreak.factory.site import Site
from daybreak.factory.validate import delivery, fixers, looking, planning, protecting, shadow
from daybreak.factory.validate.guards import Guards, Looked
from daybreak.factory.validate.looking import Subject
from daybreak.factory.validate.planned import Plan, Planned
from daybreak.factory.validate.running import Room
from daybreak.factory.validate.shadow import Shadow
from daybreak.factory.validate.table import PROTECTED, Table, decide, progressed
from daybreak.factory.validate.task import KIND, ValidateArgs
from daybreak.factory.warden import Warden
from daybreak.host.workspaces import Author, Workspace, Workspaces
from daybreak.ledger import Ledger

__all__ = ["KIND", "NotValid", "Validation", "blobs_of"]

STALLED_LEAST = 2
"""So many rounds in a row without progress are a verdict, and one for each worker that could be asked."""
FINDINGS_CHARS_MAX = 20_000
VIOLATIONS_MAX = 50


class NotValid(CheckError):
    """The project's gate has not passed."""

    code = "C188"


@dataclass(frozen=True)
class Validation:
    """The task function of kind `validate`; one instance serves many runs."""

    ledger: Ledger
    places: Places
    clock: Clock
    office: Office
    attempts: MakeWorking = Attempts

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        return await _OneTask(self, ctx, ValidateArgs.model_validate(args)).go()


@dataclass(frozen=True)
class _State:
    """A state of the project, and what was seen of it."""

    commit: str
    table: Table
    evidence: tuple[Evidence, ...]
    guards: dict[str, Guards] = field(default_factory=dict)
    """By check."""

    @property
    def acceptable(self) -> bool:
        """Nothing that is protected was changed, and no test that passed is worse."""
        return all(
            one.counts.get("regressions", 0) == 0 and (one.check != PROTECTED or one.outcome == "passed")
            for one in self.evidence
        )


class _OneTask:
    """One run; all of its state comes back from the ledger after a crash."""

    def __init__(self, kind: Validation, ctx: Context, args: ValidateArgs) -> None:
        self.kind, self.ctx, self.args = kind, ctx, args
        self.ledger = kind.ledger
        self.warden = Warden(ctx.run, kind.ledger, kind.places, kind.clock)
        self.site = Site(ctx, (kind.places.workspaces / ctx.run).resolve(), self.warden)
        self.states = Shadow(self.site.folder / "shadow", kind.clock)
        self.attempts = kind.attempts(ctx, kind.office, self.warden, self.site.cancelled)
        self.course = Course(ctx, kind.office, args.workers, KIND, args.attempts, as_written=args.as_written)
        self.base = ""
        self.bundle = ""
        self.plan: Plan
        self.lineage: dict[str, tuple[str, str]] = {}
        """Commit → the one before it, and the blob of the patch between."""

    async def go(self) -> dict[str, Any]:
        result: dict[str, Any] = await self.site.occupied(self._go)
        return result

    async def _go(self) -> dict[str, Any]:
        taken = await self.ctx.step("take", self._take)
        self.base, self.bundle = taken["commit"], taken["bundle"]
        self.plan = Plan.model_validate(await self.ctx.step("plan", self._make_plan))
        await self.ctx.enter("verifying")
        best = first = await self._examine(self.base, None)
        await self._decided(first, None, ())
        why = ""
        if self.args.fix:
            best = await self._with_fixers(first)
            if best.table.verdict != "passed":
                best, why = await self._with_workers(best)
        delivered: dict[str, Any] = {}
        if best.commit != self.base:
            delivered = await self._deliver(first, best)
        return self._over(first, best, delivered, why)

    def _over(self, first: _State, best: _State, delivered: dict[str, Any], why: str) -> dict[str, Any]:
        """The result. Raises NotValid where the gate did not pass."""
        table = best.table
        if table.verdict != "passed":
            kept = f" (it was {first.table.score:g}; what was mended is in {delivered['output']})" if delivered else ""
            raise NotValid(
                f"score {table.score:g} of {table.threshold:g}{kept}: {'; '.join(table.reasons)}"
                + (f" ({why})" if why else ""),
                hint=f"`daybreak report {self.ctx.run}` shows what each check saw"
                + ("" if self.args.fix else "; `daybreak validate --fix` mends what it can"),
            )
        return {
            "verdict": table.verdict,
            "score": table.score,
            "before": first.table.score,
            "languages": list(self.plan.languages),
            "attempts": self.site.number,
            **delivered,
        }

    # -- taking in and planning

    def _take(self) -> Kept:
        """The files as they are now, or as they are in the commit."""
        with self.site.scratch() as scratch:
            if not self.args.commit:
                folder = Path(self.args.folder)
                if not folder.is_dir():
                    raise Parked(f"{folder} is not there (any more): put it back, then resume", why="no folder")
                commit, bundle = self.states.take(folder, shadow.listed(folder, self.args.where))
            else:
                workspace = Workspaces(scratch / "spaces", self.kind.clock).from_git(
                    self.args.root, self.args.commit, history=False
                )
                inside = workspace.path / self.args.prefix
                if not inside.is_dir():
                    raise shadow.ProjectUnclear(
                        f"{self.args.folder} is in no commit", hint="commit it, or take --patch FILE or --in-place"
                    )
                commit, bundle = self.states.take(inside, shadow.walked(inside, ()))
                workspace.discard("lost")
        self.site.refuse_interrupted()
        return Kept({"commit": commit, "bundle": self.ledger.put_blob(bundle)})

    def _make_plan(self) -> Kept:
        self._need(self.base)
        paths = self.states.paths(self.base)
        plan = planning.make(self.states.files(self.base), paths, self.args.settings, self.args.around)
        notes = [*self.args.notes, *plan.notes]
        if self.args.settings_path:
            notes.append(f"looked at as {self.args.settings_path} says")
        plan = plan.model_copy(update={"notes": tuple(notes)})
        kept = plan.model_dump(mode="json")
        told = {
            **kept,
            "machine": {"sandbox_words": machine.measure(self.site.folder).sandbox_words},
            "steps": [
                {"name": f"check {one.name}", "weight_s": 20.0 if one.kind == "tests" else 3.0}
                for one in plan.checks
                if one.how != "beside"
            ],
        }
        return Kept(kept, tell=[events.PlanMade(run=self.ctx.run, plan=told)])

    # -- looking at a state

    async def _examine(self, commit: str, before: _State | None, made: str = "") -> _State:
        """Every check on a state, and the gate. `made`: the commit that a worker has made of `before`; then what is
        protected is looked at first, and nothing else where that was changed."""
        evidence: list[Evidence] = []
        guards: dict[str, Guards] = {}
        if made and before is not None:
            [seen] = (await self._step(f"check {PROTECTED}", partial(self._guarded, before.commit, made, commit)))[0]
            evidence.append(seen)
        if all(one.outcome == "passed" for one in evidence):
            for check in self.plan.checks:
                if check.how == "beside":
                    continue
                look = partial(self._checked, check, commit, before, made)
                found, guard = await self._step(f"check {check.name}", look)
                evidence += found
                guards[check.name] = guard
        table = decide(self.plan, evidence, self.args.settings.threshold)
        return _State(commit, table, tuple(evidence), guards)

    async def _step(self, name: str, look: Any) -> tuple[list[Evidence], Guards]:
        number, planned = self.site.number, {PROTECTED, *(one.name for one in self.plan.checks)}

        def keep() -> Kept:
            looked: Looked = look()
            self.site.refuse_interrupted()  # what was seen may be the interruption
            wanted = [one for one in looked.evidence if one.check in planned]
            seen = [one.model_dump(mode="json") for one in wanted]
            told = [events.CheckLooked(run=self.ctx.run, attempt=number, held_out=False, evidence=one) for one in seen]
            guards = self.ledger.put_blob(looked.guards.model_dump_json().encode()) if looked.guards.count else ""
            return Kept({"evidence": seen, "guards": guards}, tell=told)

        kept = await self.ctx.step(name, keep)
        guards = Guards()
        if kept["guards"]:
            guards = Guards.model_validate_json(self.ledger.get_blob(kept["guards"]))
        return [Evidence.model_validate(one) for one in kept["evidence"]], guards

    def _checked(self, check: Planned, commit: str, before: _State | None, made: str) -> Looked:
        self._need(commit)
        paths = self.states.paths(commit)
        subject = Subject(
            workspace=shadow.name_of(self.states.tree(commit)),
            code=tuple(planning.code(paths, self.plan, self.args.settings)),
            complexity_max=self.args.settings.complexity_max,
            before=before.guards.get(check.name) if before is not None else None,
            free=self._free(paths) if made else (),
            weigh=bool(made),
        )
        with self.site.scratch() as scratch:
            return looking.look(check, self._room(commit, scratch / "check"), subject)

    def _free(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Tests that the user lets a worker change."""
        guard = protecting.guard(self.plan, self.args.settings, paths)
        return tuple(path for path in paths if guard.allows(path) and not guard.holds(path))

    def _guarded(self, before: str, made: str, commit: str) -> Looked:
        for one in (before, made, commit):
            self._need(one)
        files = self.states.paths(before)
        wrong = protecting.violations(
            protecting.guard(self.plan, self.args.settings, files),
            self.states.changes(before, made),
            files,
            self.states.content,
        )
        shown = "; ".join(one.why for one in wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        seen = Evidence(
            check=PROTECTED,
            workspace=shadow.name_of(self.states.tree(commit)),
            outcome="failed" if wrong else "passed",
            summary=shown[:1000] or "nothing that is protected was changed",
            counts={"findings": len(wrong)},
            marks=tuple(Mark(message=one.why, place=one.path) for one in wrong[:VIOLATIONS_MAX]),
        )
        return Looked((seen,))

    def _room(self, commit: str, scratch: Path) -> Room:
        return Room(
            self.states.files(commit),
            scratch,
            self.args.around,
            self.args.settings.check_s,
            self.args.sandbox,
            self.site.cancelled,
        )

    async def _decided(self, state: _State, kept: dict[str, Any] | None, before: Sequence[Finding]) -> None:
        """Write the verdict down, with the table that it is made of."""
        table, number = state.table, self.site.number

        def decided() -> Kept:
            self._need(state.commit)
            told = events.GateDecided(
                run=self.ctx.run,
                attempt=number,
                workspace=shadow.name_of(self.states.tree(state.commit)),
                verdict=table.verdict,
                score=table.score,
                reasons=list(table.reasons),
                threshold=table.threshold,
                table=[row.model_dump(mode="json") for row in table.shares()],
            )
            learned: list[events.Event] = []
            if kept is not None:
                decision = gate.Decision(verdict=table.verdict, score=table.score, reasons=table.reasons)
                learned = cascading.learned(self.ctx.run, number, KIND, kept, decision, before, state.evidence)
            return Kept(table.model_dump(mode="json"), tell=[told, *learned])

        await self.ctx.step("gate", decided)

    # -- fixers

    async def _with_fixers(self, first: _State) -> _State:
        """The best that fixers alone make of it: all together, or those of them that do no harm."""
        names = self.plan.fixers
        if not names:
            return first
        found = await self._fixed(first, names)
        if found is None or (found.acceptable and found.table.better_than(first.table)):
            return found or first
        best = first
        for name in names if len(names) > 1 else ():
            found = await self._fixed(best, (name,))
            if found is not None and found.acceptable and found.table.better_than(best.table):
                best = found
        return best

    async def _fixed(self, before: _State, names: Sequence[str]) -> _State | None:
        """What these fixers make of a state, looked at; None where they change nothing."""
        commit = await self._run_fixers(before.commit, names)
        if commit == before.commit:
            return None
        state = await self._examine(commit, before)
        await self._decided(state, None, ())
        return state

    async def _run_fixers(self, commit: str, names: Sequence[str]) -> str:
        kept = await self.ctx.step("fixers", partial(self._run_fixers_now, commit, tuple(names)))
        self.lineage[kept["commit"]] = (commit, kept["patch"])
        return str(kept["commit"])

    def _run_fixers_now(self, commit: str, names: tuple[str, ...]) -> Kept:
        self._need(commit)
        with self.site.scratch() as scratch:
            workspace = self.states.workspace(commit)
            try:
                code = planning.code(self.states.paths(commit), self.plan, self.args.settings)
                python = [path for path in code if path.endswith((".py", ".pyi"))]
                room = self._room(commit, scratch / "fixers")
                said = fixers.run(names, self.plan, room, workspace.path, python)
                self.site.refuse_interrupted()
                made = repositorygit.made(workspace)
            finally:
                workspace.discard("lost")
        after = self.states.advance(commit, made.patch)
        patch = self.ledger.put_blob(made.patch) if made.patch else ""
        return Kept({"commit": after, "patch": patch, "fixers": list(names), "said": said})

    # -- workers

    async def _with_workers(self, best: _State) -> tuple[_State, str]:
        """The best that workers make of it, and why nobody went further; nothing where the gate passed."""
        if not self.args.workers:
            return best, "nobody is named who could mend the rest" if self.args.attempts else ""
        await self.ctx.enter("running")
        stalled, rejected = 0, list[Finding]()
        while best.table.verdict != "passed":
            if stalled >= max(STALLED_LEAST, len(self.args.workers)):
                return best, f"no progress in {stalled} attempts"
            self.site.number += 1
            try:
                worker = await self.course.next(self.site.number)
            except NobodyLeft as nobody:
                self.site.number -= 1
                return best, nobody.message
            findings = _findings(best, rejected)
            kept = await self.ctx.step("attempt", partial(self._attempt, best.commit, worker, findings))
            if not kept["workspace"]:
                stalled += 1
                rejected = [Finding(check="worker", message=f"the attempt before changed nothing: {kept['why']}")]
                continue
            made = kept["made"]
            self.lineage[made] = (best.commit, kept["left"]["patch"])
            commit = await self._run_fixers(made, self.plan.fixers) if self.plan.fixers else made
            await self.ctx.enter("verifying")
            found = await self._examine(commit, best, made)
            await self._decided(_judged(found), kept, findings)
            stalled = 0 if found.acceptable and progressed(best.table, found.table, self.site.number) else stalled + 1
            rejected = _rejected(found)
            if found.acceptable and found.table.better_than(best.table):
                best, rejected = found, []
            await self.ctx.enter("running")
        return best, ""

    def _attempt(self, commit: str, worker: str, found: Sequence[Finding]) -> Kept:
        self._need(commit)
        number = self.site.number
        title = f"Repair {Path(self.args.folder).name}"
        learned = self.kind.office.lessons("\n".join([title, *(one.message for one in found)]), KIND)
        with self.site.scratch() as scratch:
            workspace = Workspaces(scratch / "spaces", self.kind.clock).from_git(
                self.states.repository, commit, history=False
            )
            repositorygit.give_own_history(workspace)
            brief = self._brief(title, found, commit, tuple(one.text for one in learned))
            result = self.attempts.work(
                number, worker, brief, workspace.path, scratch, time_s=self.args.time_s, require=self.args.sandbox
            )
            self.site.refuse_interrupted()
            patch, problem = _taken(workspace)
            workspace.discard("lost")
        made = self.states.advance(commit, patch) if patch else commit
        changed = made != commit
        why = problem or f"{result.claim.outcome}: {result.claim.summary}"
        name = shadow.name_of(self.states.tree(made)) if changed else ""
        kept = {
            "worker": worker,
            "workspace": name,
            "made": made,
            "left": {"patch": self.ledger.put_blob(patch) if changed else ""},
            "why": why[:1000],
            "claim": msgspec.to_builtins(result.claim),
            "money_microusd": result.usage.money_microusd,
            "duration_ms": result.duration_ms,
            "lessons": [one.lesson for one in learned],
        }
        told = attempting.told(self.ctx.run, number, KIND, worker, result, name)
        return Kept(kept, tell=[*told, *cascading.unjudged(self.ctx.run, number, kept)])

    def _brief(self, title: str, found: Sequence[Finding], commit: str, lessons: tuple[str, ...]) -> Brief:
        guard = protecting.guard(self.plan, self.args.settings, self.states.paths(commit))
        checks = [one for one in self.plan.checks if not one.missing and one.how != "beside"]
        return Brief(
            name=Path(self.args.folder).name,
            title=title,
            summary=(
                "This project exists and works in part. Checks have looked at it; the findings say what is wrong. Mend "
                "the code so that they find nothing, without changing what it does otherwise."
            ),
            constraints=(
                "Change the files in the working folder; nothing else is looked at.",
                "Commands run without a network.",
                "No test that passes now may fail, be skipped or go.",
                "Comments that silence a check (noqa, type: ignore, eslint-disable and their like) are counted, and "
                "there may be none that were not there.",
            ),
            checks=tuple(f"{one.kind}: {one.command}" for one in checks),
            protected=guard.shown,
            attempt=self.site.number,
            findings=tuple(found),
            lessons=lessons,
            recall=recall.pack(self.ctx.records()),
        )

    # -- delivering

    async def _deliver(self, first: _State, best: _State) -> dict[str, Any]:
        verified_at = await self.ctx.now()

        def put() -> Kept:
            try:
                return self._send(first, best, verified_at)
            except (DeliveryError, HostError) as error:
                raise Parked(f"{error.message}: deliver again?", why=f"{error.code}: {error.hint}") from error

        kept: dict[str, Any] = await self.ctx.step("deliver", put)
        return kept

    def _send(self, first: _State, best: _State, verified_at: datetime) -> Kept:
        self._need(best.commit)
        folder = Path(self.args.folder)
        patch = self.states.difference(self.base, best.commit)
        data = self.ledger.put_blob(patch)
        tree = shadow.name_of(self.states.tree(best.commit))
        manifest = self._manifest(first, best, verified_at, tree, data)
        digest = self.ledger.put_blob(json.dumps(manifest, indent=2, ensure_ascii=False).encode())
        target = Path(self.args.patch) if self.args.delivery == "patch" else Path(self.args.root or folder)
        self.warden.may_deliver(self.site.number, target)
        if self.args.delivery == "patch":
            delivery.patch_file(Path(self.args.patch), patch)
            output = self.args.patch
        elif self.args.delivery == "in-place":
            changed = delivery.in_place(folder, self.states, self.base, best.commit)
            output = f"{folder} ({len(changed)} files changed)"
        else:
            output = self._branch(best, patch, verified_at, digest)
        told = events.Delivered(run=self.ctx.run, output=output, workspace=tree, manifest=digest)
        return Kept({"output": output, "manifest": digest, "patch": data}, tell=[told])

    def _branch(self, best: _State, patch: bytes, verified_at: datetime, manifest: str) -> str:
        name = BRANCH.format(run=self.ctx.run)
        with self.site.scratch() as scratch:
            commit = delivery.branch(
                scratch,
                self.kind.clock,
                Path(self.args.root),
                self.args.prefix,
                self.args.commit,
                patch,
                name,
                self._message(best, verified_at, manifest),
                Author(self.args.author_name, self.args.author_email),
                int(verified_at.timestamp()),
            )
        return f"{self.args.root} (branch {name}, commit {commit[:12]})"

    def _manifest(self, first: _State, best: _State, verified_at: datetime, tree: str, patch: str) -> dict[str, Any]:
        """Where the result comes from: everything that anybody needs to see the same."""
        return {
            "format": 1,
            "run": self.ctx.run,
            "folder": self.args.folder,
            "base": self.args.commit,
            "patch": patch,
            "workspace": tree,
            "attempts": self.site.number,
            "verified_at": stamp(verified_at),
            "before": first.table.model_dump(mode="json"),
            "after": best.table.model_dump(mode="json"),
        }

    def _message(self, best: _State, verified_at: datetime, manifest: str) -> str:
        table = best.table
        trailers = [
            ("Run", self.ctx.run),
            ("Gate", f"{table.verdict}, score {table.score:g} of {table.threshold:g}"),
            ("Verified", stamp(verified_at)),
            *(("Check", f"{row.check}: {row.score:g}: {row.summary}") for row in table.rows),
            ("Manifest", f"sha256:{manifest}"),
        ]
        lines = [f"Daybreak-{name}: {' '.join(value.split())[:300]}" for name, value in trailers]
        what = "Mend what the checks found" if table.verdict == "passed" else "Mend a part of what the checks found"
        return "\n".join([what, "", *lines]) + "\n"

    # -- small things

    def _need(self, commit: str) -> None:
        """Have a state in the shadow, also after a crash or a resume that lost it."""
        if self.states.knows(commit):
            return
        if commit == self.base:
            self.states.have(commit, self.ledger.get_blob(self.bundle))
            return
        before, patch = self.lineage[commit]
        self._need(before)
        if patch:
            self.states.advance(before, self.ledger.get_blob(patch))


def blobs_of(event: events.Event) -> Iterator[str]:
    """The blobs that an event of such a run refers to, beside those that have the form of a repository's."""
    match event:
        case events.StepDone(name="take", result={"bundle": str() as bundle}):
            yield bundle
        case events.StepDone(name="fixers", result={"patch": str() as patch, "fixers": list()}) if patch:
            yield patch
        case events.StepDone(name=name, result={"guards": str() as guards}) if name.startswith("check ") and guards:
            yield guards
        case events.StepDone(name="deliver", result={"manifest": str() as manifest, "patch": str() as patch}):
            yield from (manifest, patch)
        case _:
            pass


def _taken(workspace: Workspace) -> tuple[bytes, str]:
    """What the worker left as a patch; what git cannot read is no result."""
    try:
        return repositorygit.made(workspace).patch, ""
    except HostError as error:
        return b"", f"{error.message} ({error.hint})"


def _judged(state: _State) -> _State:
    """With what makes it unacceptable as a reason, so that its verdict is no `passed`."""
    if state.acceptable or state.table.verdict != "passed":
        return state
    worse = [one.summary for one in state.evidence if one.counts.get("regressions", 0)]
    return replace(state, table=state.table.model_copy(update={"verdict": "failed", "reasons": tuple(worse)}))


def _rejected(state: _State) -> list[Finding]:
    """Why the state that a worker made was not taken."""
    found = [one for one in state.evidence if one.check == PROTECTED or one.counts.get("regressions", 0)]
    return [
        Finding(check=one.check, message=f"the attempt before was not taken: {one.summary}")
        for one in found
        if one.outcome != "passed"
    ]


def _findings(best: _State, rejected: Sequence[Finding]) -> list[Finding]:
    """What is to be mended, the weightiest first, after what was wrong with the attempt before."""
    below = {row.check for row in best.table.rows if row.outcome == "failed"}
    order = sorted((one for one in best.evidence if one.outcome == "failed"), key=lambda one: one.check not in below)
    kept: list[Finding] = []
    chars = 0
    for one in [*rejected, *briefs.findings(order, frozenset())]:
        chars += len(one.message)
        if chars > FINDINGS_CHARS_MAX and kept:
            break
        kept.append(one)
    return kept
