"""What the gates accept of programs that are known to be right or wrong, with how sure one can be of it."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.accepts.asking import RIGHT
from benchmarks.accepts.programs import COVERED_MOST, SHARES, Program
from daybreak.factory.consensus import Agreement, Ask, Candidate, Observation, Probe, agree, wider
from daybreak.settings import Sharing

WORKER_RIGHT = 0.7
WRONG_MAX, RIGHT_MIN = 0.005, 0.95
SURE = 0.95


# -- bounds


def upper(found: int, of: int, sure: float = SURE) -> float:
    """The largest rate at which so few would be found with a chance of 1 - `sure` (Clopper and Pearson, one-sided).
    For none of n it is about 3 / n."""
    if of == 0 or found >= of:
        return 1.0
    low, high = found / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(found, of, middle) > 1 - sure else (low, middle)
    return high


def lower(found: int, of: int, sure: float = SURE) -> float:
    return 1 - upper(of - found, of, sure) if of else 0.0


def _at_most(found: int, of: int, rate: float) -> float:
    if rate in (0.0, 1.0):
        return 1.0 - rate
    logs = (
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        + k * math.log(rate) + (of - k) * math.log1p(-rate)
        for k in range(found + 1)
    )  # fmt: skip
    return sum(map(math.exp, logs))


# -- gates


@dataclass(frozen=True)
class Judged:
    """A program with the suite that its worker wrote, and whether each gate lets it pass."""

    program: Program
    accepted: Mapping[str, bool]


CANDIDATES, CANDIDATES_MAX = Sharing().candidates, Sharing().candidates_max
TESTS, VISIBLE, HELD_OUT, COVERED, MUTATION, OF_THREE, CONSENSUS = GATES = (
    "own tests alone",
    "+ visible examples",
    "+ held-out examples",
    "+ coverage by its tests",
    "+ mutation check",
    f"+ consensus of {CANDIDATES}, never more",
    f"+ consensus of {CANDIDATES}, up to {CANDIDATES_MAX} where they split",
)
THOROUGH = f"the same, and coverage of {COVERED_MOST:g} % asked for"
"""By tests for lines that none runs: whether they notice anything depends on what they ask."""
UNTESTED = "no tests, all examples, consensus"
"""As if a worker's tests said what its program does, so that they notice nothing."""


@dataclass(frozen=True)
class Strong:
    """The weakest suites that are enough: workers are sent back to write at least these."""

    covers: int
    """As much as the check `tests` asks for."""
    mutation: int
    """And as many mistakes noticed as the check `mutation` asks for."""

    @classmethod
    def of(
        cls, coverages: Sequence[float], coverage_min: float, strengths: Sequence[float], strength_min: float
    ) -> Strong:
        covers = enough(coverages, coverage_min)
        return cls(covers, max(covers, enough(strengths, strength_min)))


def suite_of(program: Program) -> int:
    """Which suite its worker wrote: one of those that there are, by a hash."""
    return int(hashlib.sha256(f"suite {program.id}".encode()).hexdigest(), 16) % len(SHARES)


def enough(scores: Sequence[float], least: float) -> int:
    """The weakest suite that a check lets pass, or the last."""
    return next((rank for rank, score in enumerate(scores) if score >= least), len(scores) - 1)


def judged(programs: Sequence[Program], strong: Strong, seed: int) -> list[Judged]:
    """Of one specification."""

    def passes(one: Program) -> dict[str, bool]:
        def unnoticed(suite: int) -> bool:
            return one.killed_by is None or one.killed_by > suite

        tests = unnoticed(suite_of(one))
        return {
            TESTS: tests,
            VISIBLE: tests and one.visible,
            HELD_OUT: tests and one.visible and one.held_out,
            COVERED: one.visible and one.held_out and unnoticed(max(suite_of(one), strong.covers)),
            MUTATION: one.visible and one.held_out and unnoticed(max(suite_of(one), strong.mutation)),
            UNTESTED: one.visible and one.held_out,
        }

    told = [(one, passes(one)) for one in programs]
    chance = random.Random(seed)
    probed = [(one, found) for one, found in told if one.meant_right or one.sampled]
    tested, untested = _agreement(told, MUTATION, chance), _agreement(probed, UNTESTED, chance)
    judged = []
    for one, found in told:
        of_three, wins = tested(one) if found[MUTATION] else (False, False)
        asked = found[UNTESTED] and (one.sampled or one.meant_right)
        more = {OF_THREE: of_three, CONSENSUS: wins, UNTESTED: asked and untested(one)[1]}
        more[THOROUGH] = wins and not one.noticed_if_run
        judged.append(Judged(one, {**found, **more}))
    return judged


def _agreement(
    told: Sequence[tuple[Program, Mapping[str, bool]]], gate: str, chance: random.Random
) -> Callable[[Program], tuple[bool, bool]]:
    """Whether a program wins with two others that passed that gate, made by workers that are right so often; and
    whether it does where more are asked for as the product asks for them."""
    groups = [[one for one, _ in told if one.meant_right == right and (right or one.wrong)] for right in (True, False)]
    pools = [[one for one, found in told if found[gate] and one in group] for group in groups]
    odds = [
        share * len(pool) / max(1, len(group))
        for share, pool, group in zip((WORKER_RIGHT, 1 - WORKER_RIGHT), pools, groups, strict=True)
    ]

    def wins(one: Program) -> tuple[bool, bool]:
        theirs = [[other for other in pool if other is not one] for pool in pools]  # nobody makes that very mistake too
        likely = [share if pool else 0.0 for share, pool in zip(odds, theirs, strict=True)]
        if not any(likely):
            return False, False
        programs = [one, *(_drawn(chance, theirs, likely) for _ in range(CANDIDATES - 1))]
        found = first = _agreed(programs)
        while wider(found, CANDIDATES_MAX) is not None:
            programs.append(_drawn(chance, theirs, likely))
            found = _agreed(programs)
        return first.winner == _FIRST, found.winner == _FIRST

    return wins


def _drawn(chance: random.Random, pools: Sequence[Sequence[Program]], likely: Sequence[float]) -> Program:
    return chance.choice(chance.choices(pools, likely)[0])


_ASKED = Probe.of("console", "everything", (Ask(line="everything"),))
"""Stands for all probes of the consensus: what a program did in them is one word."""
_FIRST = "0"


def _agreed(programs: Sequence[Program]) -> Agreement:
    candidates = [Candidate(name=str(number), worker="", workspace=f"{number:064}") for number in range(len(programs))]
    seen = [
        Observation(candidate=one.name, workspace=one.workspace, probe=_ASKED.id, answers=(program.behaviour,))
        for one, program in zip(candidates, programs, strict=True)
    ]
    passed = {one.name: program.held_out for one, program in zip(candidates, programs, strict=True)}
    return agree(candidates, [_ASKED], seen, passed)


# -- telling


def table(found: Sequence[Judged]) -> list[str]:
    """The figures, a line each: counts, shares, and how far they can be off."""
    wrong = [one for one in found if one.program.wrong and not one.program.meant_right]
    right = [one for one in found if one.program.meant_right]
    lines = [
        f"{'accepted by':46} {f'of {len(wrong)} wrong ones':>34}   {f'of {len(right)} right ones':>34}",
        f"{'':46} {f'(rate; at most, {SURE:.0%} sure)':>34}   {f'(rate; at least, {SURE:.0%} sure)':>34}",
    ]
    for gate in (*GATES, THOROUGH):
        lines.append(f"{gate:46} {_told(wrong, gate, upper)}   {_told(right, gate, lower)}")
    sampled = [one for one in wrong if one.program.sampled]
    lines.append(f"{UNTESTED:46} {_told(sampled, UNTESTED, upper)}   {_told(right, UNTESTED, lower)}")
    outside = [one for one in sampled if not one.program.inside]
    lines.append(f"{'  of those seen from outside':46} {_told(outside, UNTESTED, upper)}")
    hard = [one for one in wrong if one.program.visible]
    lines.append(f"of those {len(hard)} wrong ones alone that pass the visible examples:")
    for gate in (VISIBLE, HELD_OUT, COVERED, MUTATION, CONSENSUS):
        lines.append(f"  {gate:44} {_told(hard, gate, upper)}")
    for title, key in (("specification", "spec"), ("change", "sort")):
        for value in sorted({getattr(one.program, key) for one in wrong}):
            some = [one for one in wrong if getattr(one.program, key) == value]
            lines.append(f"  everything on, {title} {value:23} {_told(some, CONSENSUS, upper)}")
    seen = [one for one in wrong if not one.program.inside]
    lines.append(f"  {'everything on, noticed from outside too':44} {_told(seen, CONSENSUS, upper)}")
    inside = sum(one.program.inside for one in sampled)
    unknown = sum(not one.program.wrong and not one.program.meant_right for one in found)
    lines.append(f"left out: {unknown} changed programs in which nobody sees a difference")
    lines.append(
        f"of {len(sampled)} wrong ones that were asked all probes, whatever their tests say, {inside} are noticed by "
        "tests of their parts only: such as a change in code that the specification never reaches"
    )
    return [*lines, _verdict(wrong, right)]


def _told(some: Sequence[Judged], gate: str, bound: Callable[[int, int], float]) -> str:
    count = sum(one.accepted[gate] for one in some)
    share = f"{count / len(some):7.2%}" if some else "      -"
    return f"{count:5} of {len(some):5} ({share}; {bound(count, len(some)):7.2%})"


def _verdict(wrong: Sequence[Judged], right: Sequence[Judged]) -> str:
    bad, good = (sum(one.accepted[CONSENSUS] for one in some) for some in (wrong, right))
    most, least = upper(bad, len(wrong)), lower(good, len(right))

    def word(sure: bool, seen: bool) -> str:
        return "met" if sure else "met by what was seen, too few for being sure" if seen else "MISSED"

    return (
        f"everything on: at most {WRONG_MAX:.1%} of wrong ones accepted: "
        f"{word(most <= WRONG_MAX, bool(wrong) and bad <= WRONG_MAX * len(wrong))}; at least {RIGHT_MIN:.0%} of right "
        f"ones accepted: {word(least >= RIGHT_MIN, bool(right) and good >= RIGHT_MIN * len(right))}"
    )


def survivors(found: Sequence[Judged]) -> list[str]:
    """Wrong programs that all gates before the consensus let through, and right ones that were refused, each with
    what did or would have seen it."""
    lines = []
    for one in found:
        program = one.program
        if program.wrong and not program.meant_right and one.accepted[MUTATION]:
            probes = "seen by the probes" if program.behaviour != RIGHT else "NOT SEEN by the probes"
            tests = f"noticed by {program.noticed} of a stronger suite" if program.noticed else "noticed by no test"
            judge = ", seen by the judge's probes" if program.judged_wrong else ""
            lines.append(f"  wrong: {program.spec}: {program.name}: {probes}; {tests}{judge}")
        if program.meant_right and not one.accepted[CONSENSUS]:
            gate = next(gate for gate in GATES if gate != OF_THREE and not one.accepted[gate])
            lines.append(
                f"  right and refused ({gate}): {program.spec}: {program.sort}: {program.name}: {_why(program)}"
            )
    return lines


def _why(program: Program) -> str:
    return program.noticed or (program.behaviour if program.behaviour != RIGHT else "a companion was another")
