"""Who said what of whom, and whose word counts: what voters agree that each candidate answered."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daybreak.factory.consensus.model import Candidate, Disqualified, Observation, Probe


@dataclass(frozen=True)
class Heard:
    """What counts as seen."""

    seen: dict[tuple[str, str], Observation]
    """By candidate and probe; nothing where a candidate gave no answer that counts."""
    disqualified: list[Disqualified]

    def behaviour(self, candidate: str, probes: Sequence[Probe]) -> str | None:
        """Equal for two candidates exactly where they did the same in every probe; None: something is missing."""
        if any(one.name == candidate and one.what == "candidate" for one in self.disqualified):
            return None
        total = hashlib.sha256()
        for probe in sorted({probe.id for probe in probes}):
            observation = self.seen.get((candidate, probe))
            if observation is None or observation.silent:
                return None
            total.update(f"{probe} {observation.digest}\n".encode())
        return total.hexdigest()


def heard(
    candidates: Sequence[Candidate], probes: Sequence[Probe], observations: Iterable[Observation], voters: Sequence[str]
) -> Heard:
    """Voters first, then what those that remain say of the candidates.

    Observations of other workspaces, unknown candidates or unknown probes say nothing. A voter that tells two readers
    different things of the same look is out. A candidate is out that answers one probe in two ways, and one of
    which too few voters say the same.
    """
    workspaces = {one.name: one.workspace for one in candidates}
    known = {probe.id for probe in probes}
    fitting = [one for one in observations if workspaces.get(one.candidate) == one.workspace and one.probe in known]
    asked = set(voters) or {one.voter for one in fitting}
    fitting = [one for one in fitting if one.voter in asked]
    disqualified = _double_tongued(fitting)
    out = {one.name for one in disqualified}
    faulty = max(0, (len(asked) - 1) // 3)
    looks: dict[tuple[str, str], dict[int, dict[str, Observation]]] = defaultdict(lambda: defaultdict(dict))
    for one in sorted(fitting, key=lambda one: (one.voter, one.reader, one.digest)):
        if one.voter not in out:
            looks[one.candidate, one.probe][one.asked].setdefault(one.voter, one)
    seen: dict[tuple[str, str], Observation] = {}
    for candidate in candidates:
        reason = ""
        for probe in sorted(known):
            agreed, why = _agreed(looks.get((candidate.name, probe), {}), len(asked), faulty)
            reason = reason or why
            if agreed is not None:
                seen[candidate.name, probe] = agreed
        if reason:
            disqualified.append(Disqualified(name=candidate.name, what="candidate", reason=reason))
    return Heard(seen, disqualified)


def _double_tongued(observations: Iterable[Observation]) -> list[Disqualified]:
    said: dict[tuple[str, str, str, int], set[str]] = defaultdict(set)
    for one in observations:
        said[one.voter, one.candidate, one.probe, one.asked].add(one.digest)
    liars: dict[str, str] = {}
    for (voter, candidate, probe, _), digests in sorted(said.items()):
        if len(digests) > 1:
            liars.setdefault(voter, f"said {len(digests)} different things of {candidate} in probe {probe}")
    return [Disqualified(name=name, what="voter", reason=reason) for name, reason in liars.items()]


def _agreed(looks: dict[int, dict[str, Observation]], voters: int, faulty: int) -> tuple[Observation | None, str]:
    """What enough voters say, and that each time; and why the candidate is out where honest ones saw two things."""
    found: dict[str, Observation] = {}
    for asked in sorted(looks):
        counted = Counter(one.digest for one in looks[asked].values())
        if sum(times > faulty for times in counted.values()) > 1:
            return None, "answered the same probe differently to different voters"
        for digest, times in counted.items():
            if times >= voters - faulty:
                found[digest] = next(one for one in looks[asked].values() if one.digest == digest)
    if len(found) > 1:
        return None, "answered the same probe differently when it was asked again"
    return next(iter(found.values()), None), ""
