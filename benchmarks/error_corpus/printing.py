"""The figures, with what is measured and what is modelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from benchmarks.error_corpus.replay import (
    OUTSIDE_THE_STUDY,
    STUDY_PERCENT,
    Replayed,
    prevented,
    replay_all,
    situations,
)
from benchmarks.error_corpus.session import BLIND_RETRIES, TURN_S
from benchmarks.figures import Figure, count, higher, lower

Replays = Sequence[Replayed]


def take(quick: bool = False) -> Iterator[Figure]:
    listed = situations()
    twins = [one for one in listed if one.covered]
    naive, patterned = replay_all(listed, "naive"), replay_all(listed, "patterned")
    healthy = replay_all(twins, "naive", healthy=True), replay_all(twins, "patterned", healthy=True)
    print_causes(naive, patterned)
    covered = [one for one in naive if one.situation.covered], [one for one in patterned if one.situation.covered]
    print_figures(*covered, *healthy)
    print_time(*covered)
    print_healthy(*healthy)
    for one in patterned:
        if one.end != "not covered" and not prevented(one):
            print(f"  NOT PREVENTED {one.situation.name}: {one.end}: {one.said[:200]}")
    yield from _figures(patterned, *covered, *healthy)


def _figures(
    replays: Replays, naive: Replays, patterned: Replays, naive_twins: Replays, twins: Replays
) -> Iterator[Figure]:
    of_study = [one for one in replays if one.situation.cause in STUDY_PERCENT]
    good = sum(map(prevented, of_study))
    yield count("prevented, of all of the study", good, len(of_study), "all situations", aim=0.85)
    failed, bare = (100 * total(way, "failed") / total(way, "operations") for way in (patterned, naive))
    yield lower("failed operations", failed, "%", "naive", bare, aim=5, aim_of="value")
    both = ([*patterned, *twins], [*naive, *naive_twins])
    failed, bare = (100 * total(way, "failed") / total(way, "operations") for way in both)
    yield lower("failed operations, with the healthy twins", failed, "%", "naive", bare)
    cycles, blind = (max(one.session.cycles for one in way) for way in (patterned, naive))
    yield lower("retry cycles, the most", cycles, "cycles", "naive", blind, aim=2, aim_of="value")
    silent, unseen = (sum(one.end == "silent" for one in way) for way in (patterned, naive))
    yield lower("silent failures", silent, "situations", "naive", unseen, aim=0, aim_of="value")
    took, simply = (total(way, "time_s") for way in (patterned, naive))
    yield lower("session time, mostly modelled", took, "s", "naive", simply, aim=0.5)
    done, of = (sum(one.end == "done" for one in way) for way in (twins, naive_twins))
    yield higher("healthy twins done", done, "situations", "naive", of, aim=1)


def print_causes(naive: Replays, patterned: Replays) -> None:
    print(
        f"{len(naive)} situations: one for each percentage point of the study (they add up to 105), and outages;\n"
        "written for this corpus after the study's causes, as are both ways of doing each task"
    )
    print(f"{'cause':<25}{'n':>4}  {'naive':<34} with the patterns")
    for cause in (*STUDY_PERCENT, OUTSIDE_THE_STUDY):
        ends = [ends_of(replays, cause) for replays in (naive, patterned)]
        print(f"{cause:<25}{sum(ends[0].values()):>4}  {in_words(ends[0]):<34} {in_words(ends[1])}")
    of_study = [one for one in patterned if one.situation.cause in STUDY_PERCENT]
    good, later = sum(map(prevented, of_study)), sum(one.end == "not covered" for one in of_study)
    covered = len(of_study) - later
    print(
        f"prevented: {good} of {covered} covered ({good / covered:.0%}), {good / len(of_study):.0%} of all "
        f"{len(of_study)} of the study (goal 85 %)"
    )
    if missing := Counter(one.situation.cause for one in patterned if one.end == "not covered"):
        print(f"NOT COVERED YET: {in_words(missing)}")


def ends_of(replays: Replays, cause: str) -> Counter[str]:
    return Counter(one.end for one in replays if one.situation.cause == cause)


def in_words(ends: Counter[str]) -> str:
    return ", ".join(f"{count} {end}" for end, count in ends.most_common())


def print_figures(naive: Replays, patterned: Replays, naive_twins: Replays, patterned_twins: Replays) -> None:
    """Of the covered situations, and of these with their healthy twins."""
    print(f"\n{'covered situations':<46}{'naive':>8}{'patterns':>10}")
    ways = (naive, patterned)
    both = ([*naive, *naive_twins], [*patterned, *patterned_twins])
    row("operations", ways, lambda way: str(total(way, "operations")))
    row("failed operations (goal: under 5 %)", ways, lambda way: share(total(way, "failed"), total(way, "operations")))
    row(
        "  the same, with the healthy twins",
        both,
        lambda way: share(total(way, "failed"), total(way, "operations")),
    )
    row("  steps of work only, with the twins", both, lambda way: share(total(way, "failed"), total(way, "steps")))
    row("  refusals counted too, with the twins", both, lambda way: share(refused(way), total(way, "operations")))
    row("retry cycles, the most in one (goal: under 3)", ways, lambda way: str(max(one.session.cycles for one in way)))
    row("silent failures (goal: none)", ways, lambda way: str(sum(one.end == "silent" for one in way)))
    row("work left in pieces", ways, lambda way: str(sum(one.end == "damaged" for one in way)))


def print_time(naive: Replays, patterned: Replays) -> None:
    ways = (naive, patterned)
    row("session time, s (goal: at most half)", ways, lambda way: f"{total(way, 'time_s'):.0f}")
    row("  measured: work and looks", ways, lambda way: f"{total(way, 'measured_s'):.2f}")
    row("  modelled: waits of blind retries", ways, lambda way: f"{total(way, 'waited_s'):.0f}")
    row(f"  modelled: turns of {TURN_S:g} s", ways, lambda way: f"{TURN_S * total(way, 'turns'):.0f}")
    waits = [total(way, "waited_s") + total(way, "measured_s") for way in ways]
    each = [total(way, "waited_s") + total(way, "measured_s") + TURN_S * total(way, "operations") for way in ways]
    print(
        f"session time {ratio(ways, 'time_s')} of the naive one; without turns {waits[1] / waits[0]:.2f}, turns alone "
        f"{ratio(ways, 'turns')}, measured seconds alone {ratio(ways, 'measured_s')} (looking costs);\n"
        f"with a turn for each single operation instead of each try {each[1] / each[0]:.2f}\n"
        f"Measured: outcomes, counts, seconds of work. Modelled: a naive procedure repeats what failed {BLIND_RETRIES} "
        f"times, after 1, 2 and 4 s\n(on a virtual clock); each try costs whoever drives it a turn of {TURN_S:g} s. "
        f"Going on after an error is not modelled for either."
    )


def print_healthy(naive: Replays, patterned: Replays) -> None:
    done = [sum(one.end == "done" for one in way) for way in (naive, patterned)]
    refused = ", ".join(one.situation.name for one in patterned if one.end != "done") or "none"
    more_ms = 1000 * (total(patterned, "measured_s") - total(naive, "measured_s")) / len(naive)
    print(
        f"healthy twins: done {done[0]} and {done[1]} of {len(patterned)}; refused without reason: {refused}; the "
        f"patterns cost {more_ms:.0f} ms more each"
    )


def row(what: str, ways: Sequence[Replays], figure: Callable[[Replays], str]) -> None:
    print(f"{what:<46}{figure(ways[0]):>8}{figure(ways[1]):>10}")


def total(replays: Replays, what: str) -> float:
    return sum(getattr(one.session, what) for one in replays)


def refused(replays: Replays) -> float:
    return total(replays, "failed") + total(replays, "refusals")


def share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}"


def ratio(ways: Sequence[Replays], what: str) -> str:
    return f"{total(ways[1], what) / total(ways[0], what):.2f}"
