"""Looking at one specification after the other, a round at a time; see the package for what is measured."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accepts import figures
from benchmarks.accepts.asking import RIGHT
from benchmarks.accepts.programs import ROOT, SHARES, Bench, Program
from benchmarks.accepts.rewrites import rewritten
from benchmarks.figures import Figure, higher, lower
from daybreak.checks import strength
from daybreak.factory.spec.model import Quality

SPECS = Path(__file__).with_name("specs")
JUDGING = ("surgery", "stock", "gatherings")
"""Specifications that nothing was tuned on: no test, example or document has them."""
ROUND = 18
"""Programs of one specification before the next one's turn."""
MEMORY = Path("/dev/shm")
COVERAGE_MIN = Quality().coverage
"""Percent, where a specification says nothing."""


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


@dataclass(frozen=True)
class Least:
    """What checks ask of a suite, in percent."""

    coverage: float
    strength: float


SHORT, LONG = Size(10, 4, 48, 1, 12), Size(400, 40, 48, 3, 40)


class Results:
    """What was seen so far, a JSON line each: of a specification's suites, or of one program."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.strengths: dict[str, list[float]] = {}
        self.coverages: dict[str, list[float]] = {}
        self.programs: dict[str, Program] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            self._take(json.loads(line))

    def _take(self, told: dict[str, object]) -> None:
        if "strengths" in told:
            self.strengths[str(told["spec"])] = list(told["strengths"])  # type: ignore[call-overload]
        elif "coverages" in told:
            self.coverages[str(told["spec"])] = list(told["coverages"])  # type: ignore[call-overload]
        else:
            program = Program(**told)  # type: ignore[arg-type]
            self.programs[program.id] = program

    def add(self, *all_told: dict[str, object]) -> None:
        with self.path.open("a") as file:
            for told in all_told:
                file.write(json.dumps(told) + "\n")
                self._take(told)

    def strong(self, spec: str, least: Least) -> figures.Strong:
        return figures.Strong.of(self.coverages[spec], least.coverage, self.strengths[spec], least.strength)

    def judged(self, least: Least, seed: int) -> list[figures.Judged]:
        found = []
        for spec in self.coverages:
            some = [one for one in self.programs.values() if one.spec == spec]
            found += figures.judged(some, self.strong(spec, least), seed)
        return found

    def doubtful(self, spec: str, probes: Collection[str], least: Least, seed: int) -> set[str]:
        """Programs of a specification that the gates get wrong, and those whose difference was seen in a probe that
        there no longer is: to be looked at again where the product has changed."""
        found = set()
        for one in self.judged(least, seed):
            program = one.program
            if program.spec != spec:
                continue
            known = program.wrong or program.meant_right
            gone = program.behaviour not in ("", RIGHT) and program.behaviour.partition(" ")[0] not in probes
            if gone or (known and one.accepted[figures.CONSENSUS] != program.meant_right):
                found.add(program.id)
        return found


@dataclass
class Looking:
    """At one specification, a round at a time."""

    bench: Bench
    results: Results
    size: Size
    strong: int
    """The weakest suite that the checks of tests let pass."""

    def waiting(self, again: Collection[str] | None = None) -> Iterator[list[Program]]:
        """Programs that nobody has looked at, those of all sorts mixed; or those of these ids."""
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
        every_one = {one.id: one for one in [*mixed, *right]}
        done = self.results.programs.keys() if again is None else every_one.keys() - set(again)
        left = [one for id_, one in every_one.items() if id_ not in done]
        for at in range(0, len(left), ROUND):
            yield left[at : at + ROUND]

    def look(self, programs: Sequence[Program]) -> None:
        self.bench.test(programs, 1)
        self.bench.examine(programs, self.strong)
        self.results.add(*(one.told() for one in programs))

    def grow(self, least: Least) -> None:
        """Wrong programs that tests let pass are put to suites that have grown."""
        made = {one.id: one for one in self.bench.wrong_ones(self.size.count)}
        strong = self.results.strong(self.bench.spec.name, least)
        waiting = {
            one.program.id: max(figures.suite_of(one.program), strong.mutation)
            for one in self.results.judged(least, self.bench.seed)
            if one.program.id in made and one.accepted[figures.MUTATION] and one.program.noticed_if_run is None
        }
        for id_ in waiting:
            self.results.programs[id_].changes = made[id_].changes
        self.bench.test_grown(waiting, self.results.programs)
        self.results.add(*(self.results.programs[id_].told() for id_ in waiting))

    def compare(self, most: int) -> None:
        """Whether the product's own checks, in sandboxes of their own, say the same of the first wrong ones."""
        chosen = [one for one in self.bench.wrong_ones(most) if one.id in self.results.programs]
        same = 0
        for one in chosen:
            seen = self.results.programs[one.id]
            seen.changes = one.changes
            same += self.bench.compared(seen)
        print(f"  of {len(chosen)} programs, the product's own checks say the same of {same}", flush=True)


def begin(path: Path, top: Path, results: Results, size: Size, seed: int, least: Least) -> Looking:
    scratch = top / path.parent.name / path.stem
    scratch.mkdir(parents=True)
    bench = Bench(path, scratch, seed, size.probes, size.judges)
    bench.know()
    if bench.spec.name not in results.strengths:
        results.add({"spec": bench.spec.name, "strengths": bench.strengths(size.sample, 1)})
    if bench.spec.name not in results.coverages:
        results.add({"spec": bench.spec.name, "coverages": bench.coverages()})
    suites = zip(SHARES, results.strengths[bench.spec.name], results.coverages[bench.spec.name], strict=True)
    print(
        f"{bench.spec.name}: {len(bench.known)} probes, "
        f"{len(bench.spec.examples)} examples ({len(bench.held_out)} held out), {len(bench.reached.tests)} tests; "
        "strength and coverage of suites in percent: "
        + ", ".join(f"{share:.0%}: {score:g} and {covers:g}" for share, score, covers in suites),
        flush=True,
    )
    return Looking(bench, results, size, results.strong(bench.spec.name, least).mutation)


def run(
    paths: Sequence[Path],
    results: Results,
    size: Size,
    seed: int,
    least: Least,
    until: float,
    compare: int,
    *,
    again: bool = False,
) -> None:
    """One specification after the other, until all is looked at or the time is over. `again`: only at what is known and
    doubtful."""
    holder = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="daybreak-accepts-", dir=holder) as folder:
        for path in paths:
            began = _cpu_s()
            looking = begin(path, Path(folder).resolve(), results, size, seed, least)
            ready, count = _cpu_s(), 0
            name = looking.bench.spec.name
            for programs in looking.waiting(
                results.doubtful(name, looking.bench.known, least, seed) if again else None
            ):
                if time.monotonic() > until:
                    break
                looking.look(programs)
                count += len(programs)
                each = (_cpu_s() - ready) / count
                print(f"  {count} programs, {each:.2f} s of processor time each", file=sys.stderr, flush=True)
            print(f"  processor time: {ready - began:.0f} s to know the right one, {_cpu_s() - ready:.0f} s to look")
            looking.grow(least)
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


def take(quick: bool = False) -> Iterator[Figure]:
    found = looked()
    wrong = [one for one in found if one.program.wrong and not one.program.meant_right]
    right = [one for one in found if one.program.meant_right]

    def percent(some: list[figures.Judged], gate: str) -> float:
        return 100 * sum(one.accepted[gate] for one in some) / max(1, len(some))

    own, most, least = "own tests alone", 100 * figures.WRONG_MAX, 100 * figures.RIGHT_MIN
    bad, alone = (percent(wrong, gate) for gate in (figures.CONSENSUS, figures.TESTS))
    yield lower("wrong ones accepted, everything on", bad, "%", own, alone, aim=most, aim_of="value")
    good, alone = (percent(right, gate) for gate in (figures.CONSENSUS, figures.TESTS))
    yield higher("right ones accepted, everything on", good, "%", own, alone, aim=least, aim_of="value")


def looked() -> list[figures.Judged]:
    """Looks as the environment says, and prints the table."""
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
    seed = int(get("SEED", "1"))
    least = Least(float(get("COVERAGE", COVERAGE_MIN)), float(get("STRENGTH", strength.STRENGTH_MIN)))
    began = time.monotonic()
    until = began + float(get("TIME", "inf"))
    with tempfile.TemporaryDirectory() as own:
        results = Results(Path(get("RESULTS", f"{own}/results.jsonl")))
        if get("ONLY") != "table":
            again, paths = get("AGAIN") == "1", [find(name) for name in names]
            run(paths, results, size, seed, least, until, int(get("COMPARE", "1")), again=again)
        found = results.judged(least, seed)
    for line in [*figures.survivors(found), *figures.table(found)]:
        print(line)
    print(
        f"{time.monotonic() - began:.0f} s; seed {seed}, {size.probes} probes at most, coverage {least.coverage:g} %, "
        f"strength {least.strength:g} %"
    )
    return found
