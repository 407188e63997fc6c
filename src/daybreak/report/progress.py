"""How far a run is: fraction, what is under way, and one line for each thing that happened.

Reads events and nothing else, so it works the same beside the run and from another process.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from daybreak import events
from daybreak.clock import Clock
from daybreak.report import sharing, widening


@dataclass
class Progress:
    """The state of one run as its events tell it. Feed every event in order to `take`."""

    clock: Clock
    state: events.State = "queued"
    phase: str = "plan"
    weights: dict[str, float] = field(default_factory=dict)
    """Seconds expected of each planned step, by its name."""
    done: set[str] = field(default_factory=set)
    under_way: dict[str, float] = field(default_factory=dict)
    """Steps that run now, with the monotonic time of their start; volatile, from the engine's listener."""
    titles: dict[str, str] = field(default_factory=dict)
    """Of the acceptance examples, by id."""

    def take(self, event: events.Event) -> str | None:
        """Take one event in; the line to tell people, or None where there is nothing to tell."""
        match event:
            case events.RunMoved():
                return self._moved(event)
            case events.PlanMade():
                self.weights = {step["name"]: step["weight_s"] for step in event.plan["steps"]}
                self.titles = {known["id"]: known["title"] for known in event.plan.get("shown_by", [])}
                self.phase = "prove examples"
                if chosen := sharing.paradigm(event.plan):
                    return f"paradigm {chosen}: {sharing.why(event.plan)}"
            case events.StepDone() | events.StepFailed():
                self.done.add(event.name)
                self.under_way.pop(event.name, None)
                match event:
                    case events.StepDone(name="skeleton", result={"files": int() as files, "output": str() as output}):
                        return f"NOT BUILT: {files} files that say so are put at {output}"
            case events.ExampleProved(proves=False):
                return f"proves nothing: {self.titles.get(event.example, event.example)}: {event.why}"
            case events.AttemptClaimed():
                return self._claimed(event)
            case events.CheckLooked():
                seen = event.evidence
                return f"{seen['outcome']:>8}  {self._name(event)}: {seen['summary']}"
            case events.GateDecided():
                self.phase = "deliver"
                reasons = "".join(f"\n          {reason}" for reason in event.reasons)
                if not event.phase:
                    return f"gate: {event.verdict}, score {event.score:.0f}{reasons}"
                again = f", iteration {event.iteration}" if event.iteration > 1 else ""
                asked = f"score {event.score:.0f}, {event.threshold:.0f} asked for"
                return f"phase {event.phase}{again}: {event.verdict}, {asked}{reasons}"
            case events.SpecificationDrafted():
                wrong = "".join(f"\n          {problem}" for problem in event.problems)
                usable = "not usable yet" if wrong else "it can be built"
                head = f"{event.worker} drafts a specification: {usable}{wrong}"
                return head if wrong else f"{head}\n\n{event.text}\n"
            case events.WorkTakenOver():
                return f"taken over {sharing.taken(event)}"
            case events.TaskDivided():
                what = event.path or "the task"
                names = ", ".join(part["name"] for part in event.parts)
                return f"{what} is divided into {names}" if names else f"{what} is not divided: {event.why}"
            case events.PartEnded():
                return f"part {event.path}: {event.verdict}{f': {event.why}' if event.why else ''}"
            case events.CandidatesCompared():
                winner = f"attempt {event.winner}" if event.winner else event.verdict
                return f"{event.candidates} candidates compared in {event.probes} probes: {winner}: {event.reasons[0]}"
            case events.ConsensusWidened():
                return f"{event.candidates} candidates split {event.split}: {widening.told(event)}"
            case events.ReviewMade():
                who = f"{event.role} {event.worker}".strip() + (" (its own work)" if event.same else "")
                return f"review by {who}: {event.outcome}{f': {event.why}' if event.why else ''}"
            case events.CheckProved():
                told = "passes, so it is a guard" if event.passed else f"to be mended: {event.summary}"
                return f"before any work: {event.check}: {told}"
            case events.AttemptBegan() if event.worker != "builder" or event.passed_over:
                passed = "".join(f"\n          not {name}: {why}" for name, why in event.passed_over.items())
                role = f" as {event.role}" if event.role else ""
                return f"attempt {event.attempt}: {event.worker} is asked{role}: {event.why}{passed}"
            case events.AttemptAwaited():
                passed = "".join(f"\n          {name}: {why}" for name, why in event.passed_over.items())
                return f"attempt {event.attempt}: {event.why}{passed}"
            case events.JobLost(refused=True):
                return event.why
            case events.JobLost():
                return f"a job was lost: {event.why}" + ("; it is done again" if event.again else "")
            case events.JobLate():
                return "the answer of a job that was given up came late, and was refused"
            case events.Delivered():
                self.phase = "done"
                return f"delivered to {event.output}"
        return None

    def step_started(self, name: str) -> None:
        self.under_way[name] = self.clock.monotonic()

    @property
    def fraction(self) -> float:
        """Of the planned work, 0 to 1, weighted by expected seconds; 1 only when the run is over."""
        if self.state in events.FINAL:
            return 1.0
        total = sum(self.weights.values())
        done = sum(weight for name, weight in self.weights.items() if name in self.done)
        return min(0.99, done / total) if total else 0.0

    def _moved(self, event: events.RunMoved) -> str | None:
        self.state = event.new
        if event.new in ("parked", "failed", "paused", "cancelled"):
            self.under_way.clear()
            return f"{event.new}: {event.question or event.why}"
        return None

    def _claimed(self, event: events.AttemptClaimed) -> str:
        if event.attempt > 1:  # the work of an attempt is before us again
            self.done -= {name for name in self.done if name.startswith("check ") or name == "gate"}
        self.phase = "verify"
        missing = "".join(f"\n          not built: {what}" for what in event.not_built)
        return f"attempt {event.attempt}: {event.worker} claims {event.outcome}: {event.summary}{missing}"

    def _name(self, event: events.CheckLooked) -> str:
        check: str = event.evidence["check"]
        title = self.titles.get(check.removeprefix("example:"), check)
        return f"{title} (held out)" if event.held_out else title
