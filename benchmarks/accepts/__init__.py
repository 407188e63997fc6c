"""How many wrong programs each gate lets through, and how many right ones.

`SPECS=todo,expenses COUNT=120 python -m benchmarks accepts`. Without anything: a short form, under two minutes. The
figures of the documentation come from the long one; `TUNING=1` runs it on the specification that numbers were tuned on.

Wrong programs are what the embedded builder makes with one small change (see `checks.mutants`), of which only those
count that pass the visible acceptance examples and are seen to be wrong by somebody: all the tests that there are, the
held-out examples, the probes, or the judge's probes, which are more, of another seed, and which no gate has. What none
of them notices counts for neither side. Wrong ones that only tests
of the program's parts notice, such as a change in code that this specification never reaches, count as wrong, and are
told apart in a line of their own.

Each program comes with a suite of tests drawn from four, of 10, 30, 60 and 100 % of the builder's tests: workers write
few tests or many. With the mutation check, a suite below the strength is sent back until it is strong enough, as the
factory does; so it becomes the weakest suite that is. In the consensus of three the two others are programs that
passed the gates before, of workers that are right with probability 0.7.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accepts.programs import RIGHT, ROOT, SHARES, Bench, Program
from daybreak.checks import strength
from daybreak.factory.consensus import Ask, Candidate, Observation, Probe, agree

TUNING = ("library",)
JUDGING = ("todo", "expenses")
CONSENSUS_SEED, JUDGE_SEED = 1, 1_000_003
WORKER_RIGHT = 0.7
TRIPLES = 40
WRONG_MAX, RIGHT_MIN = 0.005, 0.95
LANES = 2


@dataclass
class Found:
    """What is known of one specification's programs."""

    name: str
    wrong: list[Program]
    right: list[Program]
    unknown: int
    strengths: list[float]
    """Of the suites, in percent."""


def look(name: str, size: Size, seed: int, strength_min: float, folder: Path) -> Found:
    """Make the programs of one specification and ask every gate about each."""
    scratch = folder / name
    scratch.mkdir()
    bench = Bench(ROOT / "examples" / name / "spec.md", scratch, seed)
    strengths = bench.strengths(size.sample, LANES)
    strong = strong_enough(strengths, strength_min)
    programs = bench.programs(size.count, max(2, size.count // 20))
    bench.test(programs, LANES)
    asked = bench.probes(CONSENSUS_SEED, size.probes)
    known = {probe.id for probe in asked}
    judging = [probe for probe in bench.probes(JUDGE_SEED, 1000) if probe.id not in known]
    judging = sorted(judging, key=lambda probe: probe.face != "http")[
        : size.judge
    ]  # a server answers sooner than commands
    bench.know([*asked, *judging])

    done: list[Program] = []

    def examine(program: Program) -> None:
        product = bench.installed(program)
        program.visible = bench.passes(product, held_out=False)
        if program.visible and program.killed_by != 0:  # what every suite notices comes no further
            program.held_out = bench.passes(product, held_out=True)
        if program.visible and program.held_out and (program.killed_by is None or program.killed_by > strong):
            program.behaviour = bench.difference(product, asked)
            if program.behaviour == RIGHT:
                program.judged_wrong = bench.difference(product, judging) != RIGHT
        if product is not bench.product:
            shutil.rmtree(product.prefix)
        done.append(program)
        print(f"  {len(done)} of {len(programs)}: {program.story}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(examine, programs))
    passing = [one for one in programs if one.visible and not one.meant_right]
    return Found(
        name,
        [one for one in passing if one.wrong],
        [one for one in programs if one.meant_right],
        sum(not one.wrong for one in passing),
        strengths,
    )


# -- the gates


def strong_enough(strengths: Sequence[float], strength_min: float) -> int:
    """The weakest suite that the mutation check lets pass, or the last."""
    return next((rank for rank, score in enumerate(strengths) if score >= strength_min), len(strengths) - 1)


@dataclass(frozen=True)
class Gate:
    name: str
    passes: Callable[[Program, int], bool]
    """Of a program with the suite of that rank."""


def gates(strengths: Sequence[float], strength_min: float) -> list[Gate]:
    """One after the other, each with all before it."""
    strong = strong_enough(strengths, strength_min)

    def unnoticed(one: Program, suite: int) -> bool:
        return one.killed_by is None or one.killed_by > suite

    return [
        Gate("visible examples", lambda one, suite: one.visible),
        Gate("and own tests", lambda one, suite: one.visible and unnoticed(one, suite)),
        Gate("and held-out examples", lambda one, suite: one.visible and unnoticed(one, suite) and one.held_out),
        Gate(
            "and the mutation check",
            lambda one, suite: one.visible and one.held_out and unnoticed(one, max(suite, strong)),
        ),
    ]


def shares(found: Found, strength_min: float, seed: int) -> dict[str, tuple[float, float]]:
    """By gate: how many wrong and right programs it accepts, each in expectation over suites and companions."""
    ranks = range(len(SHARES))
    told = {
        gate.name: (
            sum(gate.passes(one, rank) for one in found.wrong for rank in ranks) / len(SHARES),
            sum(gate.passes(one, rank) for one in found.right for rank in ranks) / len(SHARES),
        )
        for gate in gates(found.strengths, strength_min)
    }
    last = gates(found.strengths, strength_min)[-1]
    chance = random.Random(seed)
    pools = [
        [(one, rank) for one in group for rank in ranks if last.passes(one, rank)]
        for group in (found.right, found.wrong)
    ]
    odds = [
        WORKER_RIGHT * len(pools[0]) / max(1, len(found.right)),
        (1 - WORKER_RIGHT) * len(pools[1]) / max(1, len(found.wrong)),
    ]

    def accepted(one: Program) -> float:
        others = [[chance.choice(chance.choices(pools, odds)[0])[0] for _ in range(2)] for _ in range(TRIPLES)]
        return sum(_agreed([one, *two]) for two in others) / TRIPLES

    kept = [sum(accepted(one) for one, _ in pool) / len(SHARES) for pool in reversed(pools)]
    told["and a consensus of 3"] = (kept[0], kept[1])
    return told


_ASKED = Probe.of("console", "everything", (Ask(line="everything"),))
"""Stands for all probes of the consensus: what a program did in them is one word."""


def _agreed(programs: Sequence[Program]) -> bool:
    candidates = [Candidate(name=str(number), worker="w", workspace=f"{number:064}") for number in range(len(programs))]
    seen = [
        Observation(candidate=one.name, workspace=one.workspace, probe=_ASKED.id, answers=(program.behaviour,))
        for one, program in zip(candidates, programs, strict=True)
    ]
    passed = {one.name: program.held_out for one, program in zip(candidates, programs, strict=True)}
    return agree(candidates, [_ASKED], seen, passed).verdict == "agreed"


# -- telling


def table(found: Sequence[Found], strength_min: float, seed: int) -> list[str]:
    """The figures, a line each."""
    wrong, right = sum(len(one.wrong) for one in found), sum(len(one.right) for one in found)
    told = [shares(one, strength_min, seed) for one in found]
    lines = [f"{'gates':28} {f'of {wrong} wrong ones':>22} {f'of {right} right ones':>22}"]
    for name in told[0]:
        bad, good = sum(one[name][0] for one in told), sum(one[name][1] for one in told)
        lines.append(f"{name:28} {bad:12.2f} ({bad / max(1, wrong):6.2%}) {good:12.2f} ({good / max(1, right):6.2%})")
    inside = sum(one.inside for each in found for one in each.wrong)
    bad, good = bad / max(1, wrong), good / max(1, right)
    lines.append(f"{inside} of the wrong ones are noticed by tests of their parts only, and by nobody from outside")
    lines.append(
        f"everything on: {bad:.2%} of wrong ones ({'within' if bad <= WRONG_MAX else 'OVER'} {WRONG_MAX:.1%}), "
        f"{good:.1%} of right ones ({'within' if good >= RIGHT_MIN else 'UNDER'} {RIGHT_MIN:.0%})"
    )
    return lines


def survivors(found: Found, strength_min: float) -> list[str]:
    """Wrong programs that all gates before the consensus let through, and whether the consensus sees them."""
    last = gates(found.strengths, strength_min)[-1]
    return [
        f"  {found.name} {one.name}: {'seen' if one.behaviour != RIGHT else 'NOT SEEN'} by the probes"
        for one in found.wrong
        if any(last.passes(one, rank) for rank in range(len(SHARES)))
    ]


@dataclass(frozen=True)
class Size:
    """How much is done for each specification."""

    count: int
    """Changed programs, of which some are wrong."""
    probes: int
    judge: int
    sample: int
    """Changes by which the strength of a suite is measured."""


SHORT, LONG = Size(8, 8, 2, 12), Size(120, 48, 20, 30)


def main() -> None:
    short = "COUNT" not in os.environ
    size = SHORT if short else LONG
    size = Size(
        *(int(os.environ.get(name, default)) for name, default in (("COUNT", size.count), ("PROBES", size.probes))),
        *(int(os.environ.get(name, default)) for name, default in (("JUDGE", size.judge), ("SAMPLE", size.sample))),
    )
    chosen = TUNING if os.environ.get("TUNING") else JUDGING[:1] if short else JUDGING
    names = tuple(os.environ.get("SPECS", ",".join(chosen)).split(","))
    seed = int(os.environ.get("SEED", "1"))
    strength_min = float(os.environ.get("STRENGTH", str(strength.STRENGTH_MIN)))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="daybreak-accepts-") as top:
        found = []
        for name in names:
            found.append(look(name, size, seed, strength_min, Path(top).resolve()))
            one = found[-1]
            suites = ", ".join(f"{share:.0%}: {score:g}" for share, score in zip(SHARES, one.strengths, strict=True))
            print(
                f"{name}: {len(one.wrong)} wrong programs pass the visible examples, {one.unknown} more are seen to be "
                f"wrong by nobody; strength of suites in percent: {suites}",
                flush=True,
            )
            for line in survivors(one, strength_min):
                print(line, flush=True)
    for line in table(found, strength_min, seed):
        print(line)
    print(f"{time.perf_counter() - began:.0f} s in all; seed {seed}, {size.probes} probes, strength {strength_min:g} %")
