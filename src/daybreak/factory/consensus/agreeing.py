"""Deciding what n candidates agree on. Pure: the same observations give the same agreement, in whatever order.

**The promise.** With n candidates and n ≥ 3f + 1, let at most f of them be faulty in any way: wrong, colluding,
crashing, silent, answering differently each time. Where the honest ones agree and pass acceptance, the verdict is
*agreed* and the winner does in every probe what they do. Where they do not agree, the verdict is *ambiguous*, or it is
what at least n − 2f of them, a majority, do. A behaviour that no honest candidate has never wins: a cluster needs
n − f members, of which at most f are faulty. The same holds of the voters who tell what candidates did: a value counts
where at least m − g of m voters say it, m ≥ 3g + 1.

**What is not promised.** With f = 0 (three candidates) nobody may be faulty: one that differs makes it *ambiguous*.
More than f that collude win. What no probe touches nobody has compared.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daybreak.errors import UsageError
from daybreak.factory.consensus.doubting import doubts
from daybreak.factory.consensus.model import (
    Agreement,
    Candidate,
    Cluster,
    Crossing,
    Observation,
    Probe,
    Review,
    Verdict,
)
from daybreak.factory.consensus.splitting import splits
from daybreak.factory.consensus.voting import Heard, heard

SPLITS_MAX = 20


class NotCandidates(UsageError):
    """These candidates, or that number of faulty ones, cannot be decided about."""

    code = "U231"


def tolerated(n: int) -> int:
    """The largest f with n ≥ 3f + 1."""
    return max(0, (n - 1) // 3)


def agree(
    candidates: Sequence[Candidate],
    probes: Sequence[Probe],
    observations: Sequence[Observation],
    acceptance: Mapping[str, bool],
    *,
    f: int | None = None,
    voters: Sequence[str] = (),
    crossings: Sequence[Crossing] = (),
    reviews: Sequence[Review] = (),
) -> Agreement:
    """What the candidates agree on in these probes.

    `acceptance`: by candidate, whether every acceptance example passes, held-out ones too; one that is not named
    has not passed. `f`: how many faulty ones must change nothing; None: as many as their number allows. `voters`:
    all who were asked to look, where it was not one machine; who says nothing counts as faulty. Raises
    NotCandidates where n < 3f + 1, or two candidates have one name.
    """
    n = len(candidates)
    f = _checked(candidates, f)
    told = heard(candidates, probes, observations, voters)
    clusters = _clusters(candidates, probes, told, acceptance)
    verdict, winner, reasons = _verdict(candidates, clusters, acceptance, f)
    if not probes and verdict == "agreed":
        verdict, winner, reasons = "ambiguous", None, ["nothing was compared: there are no probes"]
    vetoes = [f"{review.reviewer}: {review.reason.strip()}" for review in reviews if review.counts]
    if vetoes and verdict == "agreed":
        verdict, winner = "ambiguous", None
        reasons = [f"a reviewer objects: {veto}" for veto in vetoes] + reasons
    return Agreement(
        verdict=verdict,
        winner=winner,
        reasons=tuple(reasons),
        clusters=tuple(clusters),
        splits=tuple(splits(candidates, probes, told)[:SPLITS_MAX]),
        doubts=tuple(doubts(candidates, crossings, f)),
        disqualified=tuple(told.disqualified),
        n=n,
        f=f,
        needed=n - f,
        probes=len(probes),
    )


def _checked(candidates: Sequence[Candidate], f: int | None) -> int:
    names = [one.name for one in candidates]
    if len(set(names)) != len(names):
        raise NotCandidates("two candidates have the same name", hint="name each one differently")
    if f is None:
        return tolerated(len(names))
    if f < 0 or (f and len(names) < 3 * f + 1):
        raise NotCandidates(
            f"{len(names)} candidates cannot tolerate {f} faulty ones",
            hint=f"ask {3 * max(f, 0) + 1} workers, or tolerate {tolerated(len(names))}",
        )
    return f


@dataclass(frozen=True)
class _Standing:
    digest: str
    accepted: bool


def _clusters(
    candidates: Sequence[Candidate], probes: Sequence[Probe], told: Heard, acceptance: Mapping[str, bool]
) -> list[Cluster]:
    """Who did the same everywhere. Who answered nothing, or two things, is in none."""
    by_standing: dict[_Standing, list[str]] = defaultdict(list)
    for one in candidates:
        digest = told.behaviour(one.name, probes)
        if digest is not None:
            by_standing[_Standing(digest, acceptance.get(one.name) is True)].append(one.name)
    found = [
        Cluster(candidates=tuple(names), accepted=standing.accepted, digest=standing.digest)
        for standing, names in by_standing.items()
    ]
    return sorted(found, key=lambda cluster: (-len(cluster.candidates), not cluster.accepted, cluster.digest))


def _verdict(
    candidates: Sequence[Candidate], clusters: Sequence[Cluster], acceptance: Mapping[str, bool], f: int
) -> tuple[Verdict, str | None, list[str]]:
    n = len(candidates)
    needed = n - f
    kind = f"{f} faulty of {n} would change nothing" if f else f"a vote of {n}, which tolerates no faulty one"
    accepted = [one.name for one in candidates if acceptance.get(one.name) is True]
    if not accepted:
        return "none", None, ["no candidate passes the acceptance examples" if n else "there are no candidates"]
    for cluster in clusters:
        size = len(cluster.candidates)
        if size >= needed and cluster.accepted:
            reason = f"{size} of {n} do the same and pass acceptance ({kind})"
            return "agreed", cluster.candidates[0], [reason, *_not_alone(candidates, cluster)]
        if size >= needed:
            return "none", None, [f"{size} of {n} do the same and do not pass acceptance ({kind})"]
    largest = max((len(cluster.candidates) for cluster in clusters if cluster.accepted), default=0)
    return (
        "ambiguous",
        None,
        [f"at most {largest} of {n} that pass acceptance do the same, {needed} are needed ({kind})"],
    )


def _not_alone(candidates: Sequence[Candidate], cluster: Cluster) -> list[str]:
    """f counts candidates as if each were wrong for a reason of its own; those of one worker are not."""
    made = Counter(one.worker for one in candidates if one.worker and one.name in cluster.candidates)
    return [
        f"{worker} made {count} of these {len(cluster.candidates)}: what it gets wrong may be wrong in all of them"
        for worker, count in sorted(made.items())
        if count > 1
    ]
