"""Whether one more candidate is worth asking for where candidates split. Pure: the same agreement, the same answer.

**The rule.** Three candidates decide only where all do the same (n = 3, f = 0), so one that differs leaves a question
to a person. Where two of three agree and pass acceptance, one more makes n = 4, and with n = 4 one may be faulty: three
of four win. So they are asked for one at a time, as long as somebody could still win with as many as are allowed.

**What it never does.** It decides nothing: after each one `agree` decides over *all* that were ever asked, by the same
rule n ≥ 3f + 1 and needed = n - f. Nobody who differed is dropped, so no sequence of widenings accepts what is done by
less than n - f, and never a minority. Who is asked for and leaves nothing counts as one that differs.

**What it costs.** A second chance is one for the wrong as well: with four, three that are wrong in the same way are
enough, as with three, but there are four ways to choose them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daybreak.factory.consensus.agreeing import tolerated
from daybreak.factory.consensus.model import Agreement

LEADING_MIN = 2
"""That pass acceptance and do the same. Where all differ, the specification is read in as many ways as it has readers,
and who is asked next adds one."""


@dataclass(frozen=True)
class Wider:
    """One more candidate is to be asked."""

    candidates: int
    """How many there are then."""
    tolerated: int
    """f, then."""
    needed: int
    """Size of a cluster that wins, then."""
    shares: tuple[int, ...]
    """How they split until now, the largest share first; who answered nothing, or two things, stands alone."""
    leading: frozenset[str]
    """Names of those that pass acceptance and are most; of several such clusters, all."""

    @property
    def split(self) -> str:
        """`2:1`."""
        return ":".join(map(str, self.shares))


def wider(agreed: Agreement, most: int) -> Wider | None:
    """What asking one more would mean; None where it is decided, or where as many as `most` cannot decide it."""
    n = agreed.n
    accepted = [cluster for cluster in agreed.clusters if cluster.accepted]
    size = max((len(cluster.candidates) for cluster in accepted), default=0)
    undecided = agreed.verdict == "ambiguous" and agreed.probes > 0 and LEADING_MIN <= size < agreed.needed
    if not undecided or not _can_win(size, n, most):
        return None
    sizes = [len(cluster.candidates) for cluster in agreed.clusters]
    return Wider(
        candidates=n + 1,
        tolerated=tolerated(n + 1),
        needed=n + 1 - tolerated(n + 1),
        shares=tuple(sorted([*sizes, *[1] * (n - sum(sizes))], reverse=True)),
        leading=frozenset(name for one in accepted if len(one.candidates) == size for name in one.candidates),
    )


def _can_win(size: int, n: int, most: int) -> bool:
    """Should all that are asked for join a cluster of that size, it wins with some number that is allowed."""
    return any(size + total - n >= total - tolerated(total) for total in range(n + 1, most + 1))


def next_workers(
    workers: Sequence[str], made: Mapping[str, str], asked: Sequence[str], leading: frozenset[str]
) -> tuple[str, ...]:
    """Who may be asked for one more, first the one who was asked least: those of `workers` with the fewest candidates
    in the leading clusters, and nobody else. So while there is somebody who has none in them, a cluster grows by
    another worker's word and not by its author's second copy, also where that somebody cannot be asked just now.

    `made`: worker by candidate. `asked`: who was asked first for each candidate, also for those that left nothing.
    """
    ahead = [worker for name, worker in made.items() if name in leading]
    least = min(map(ahead.count, workers))
    fitting = [one for one in workers if ahead.count(one) == least]
    return tuple(sorted(fitting, key=lambda one: (asked.count(one), workers.index(one))))
