"""Looking at one specification after the other, a round at a time; see the package for what is measured."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accepts import figures
from benchmarks.accepts.programs import ROOT, SHARES, Bench, Program
from benchmarks.accepts.rewrites import rewritten
from daybreak.checks import strength

SPECS = Path(__file__).with_name("specs")
JUDGING = ("surgery", "stock", "gatherings")
"""Specifications that nothing was tuned on: no test, example or document has them."""
ROUND = 18
"""Programs of one specification before the next one's turn."""
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Size:
    """How much is done for each specification."""

    count: int
    """Changed programs, of which some are wrong."""
    right: int
    probes: int
    judges: int
    """Sets of probes that only the judge has."""
    sample: int
    """Changes by which the strength of a suite is measured."""


SHORT, LONG = Size(10, 4, 48, 1, 12), Size(400, 40, 48, 3, 40)


class Results:
    """What was seen so far, a JSON line each: of a specification's suites, or of one program."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.strengths: dict[str, list[float]] = {}
        self.programs: dict[str, Program] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            self._take(json.loads(line))

    def _take(self, told: dict[str, object]) -> None:
        if "strengths" in told:
            self.strengths[str(told["spec"])] = list(told["strengths"])  # type: ignore[call-overload]
        else:
            program = Program(**told)  # type: ignore[arg-type]
            self.programs[program.id] = program

    def add(self, *all_told: dict[str, object]) -> None:
        with self.path.open("a") as file:
            for told in all_told:
                file.write(json.dumps(told) + "\n")
                self._take(told)

    def judged(self, strength_min: float, seed: int) -> list[figures.Judged]:
        found = []
        for spec, strengths in self.strengths.items():
            some = [one for one in self.programs.values() if one.spec == spec]
            found += figures.judged(some, figures.strong_enough(strengths, strength_min), seed)
        return found


@dataclass
class Looking:
    """At one specification, a round at a time."""

    bench: Bench
    results: Results
    size: Size
    strong: int
    """The weakest suite that the mutation check lets pass."""

    def waiting(self) -> Iterator[list[Program]]:
        """Programs that nobody has looked at, those of all sorts mixed."""
        bench, size = self.bench, self.size
        wrong = bench.wrong_ones(size.count)
        right = bench.unchanged_ones(max(2, size.right // 4))
        for one in rewritten(bench.sources(), bench.seed, size.right - len(right)):
            right.append(bench.rewritten(one.way, one.path, {one.path: one.text}))
        every = max(1, len(wrong) // max(1, len(right)))
        mixed: list[Program] = []
        for number, program in enumerate(wrong):
            mixed.append(program)
            if number % every == 0 and right:
                mixed.append(right.pop(0))
        left = [one for one in [*mixed, *right] if one.id not in self.results.programs]
        for at in range(0, len(left), ROUND):
            yield left[at : at + ROUND]

    def look(self, programs: Sequence[Program]) -> None:
        self.bench.test(programs, 1)
        self.bench.examine(programs, self.strong)
        self.results.add(*(one.told() for one in programs))

    def compare(self, most: int) -> None:
        """Whether the product's own checks, in sandboxes of their own, say the same of the first wrong ones."""
        chosen = [one for one in self.bench.wrong_ones(most) if one.id in self.results.programs]
        same = 0
        for one in chosen:
            seen = self.results.programs[one.id]
            seen.changes = one.changes
            same += self.bench.compared(seen)
        print(f"  of {len(chosen)} programs, the product's own checks say the same of {same}", flush=True)


def begin(path: Path, top: Path, results: Results, size: Size, seed: int, strength_min: float) -> Looking:
    scratch = top / path.parent.name / path.stem
    scratch.mkdir(parents=True)
    bench = Bench(path, scratch, seed, size.probes, size.judges)
    bench.know()
    if bench.spec.name not in results.strengths:
        results.add({"spec": bench.spec.name, "strengths": bench.strengths(size.sample, 1)})
    suites = zip(SHARES, results.strengths[bench.spec.name], strict=True)
    print(
        f"{bench.spec.name}: {len(bench.known)} probes, "
        f"{len(bench.spec.examples)} examples ({len(bench.held_out)} held out), {len(bench.reached.tests)} tests; "
        "strength of suites in percent: " + ", ".join(f"{share:.0%}: {score:g}" for share, score in suites),
        flush=True,
    )
    strong = figures.strong_enough(results.strengths[bench.spec.name], strength_min)
    return Looking(bench, results, size, strong)


def run(
    paths: Sequence[Path],
    results: Results,
    size: Size,
    seed: int,
    strength_min: float,
    until: float,
    compare: int,
) -> None:
    """One specification after the other, until all is looked at or the time is over."""
    holder = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="daybreak-accepts-", dir=holder) as folder:
        for path in paths:
            began = _cpu_s()
            looking = begin(path, Path(folder).resolve(), results, size, seed, strength_min)
            ready, count = _cpu_s(), 0
            for programs in looking.waiting():
                if time.monotonic() > until:
                    break
                looking.look(programs)
                count += len(programs)
                each = (_cpu_s() - ready) / count
                print(f"  {count} programs, {each:.2f} s of processor time each", file=sys.stderr, flush=True)
            print(f"  processor time: {ready - began:.0f} s to know the right one, {_cpu_s() - ready:.0f} s to look")
            looking.compare(compare)
            if time.monotonic() > until:
                return


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def find(name: str) -> Path:
    """`surgery` of ours, `todo` of the examples."""
    own = SPECS / f"{name}.md"
    return own if own.exists() else ROOT / "examples" / name / "spec.md"


def main() -> None:
    get = os.environ.get
    short = "COUNT" not in os.environ
    size = SHORT if short else LONG
    size = Size(
        int(get("COUNT", size.count)),
        int(get("RIGHT", size.right)),
        int(get("PROBES", size.probes)),
        int(get("JUDGES", size.judges)),
        int(get("SAMPLE", size.sample)),
    )
    names = get("SPECS", ",".join(JUDGING[:1] if short else JUDGING)).split(",")
    seed, strength_min = int(get("SEED", "1")), float(get("STRENGTH", str(strength.STRENGTH_MIN)))
    began = time.monotonic()
    until = began + float(get("TIME", "inf"))
    with tempfile.TemporaryDirectory() as own:
        results = Results(Path(get("RESULTS", f"{own}/results.jsonl")))
        if get("ONLY") != "table":
            run([find(name) for name in names], results, size, seed, strength_min, until, int(get("COMPARE", "1")))
        found = results.judged(strength_min, seed)
    for line in [*figures.survivors(found), *figures.table(found)]:
        print(line)
    print(f"{time.monotonic() - began:.0f} s; seed {seed}, {size.probes} probes at most, strength {strength_min:g} %")
