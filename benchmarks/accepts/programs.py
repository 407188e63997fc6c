"""Right and wrong programs of one specification: what the embedded builder makes of it, and that with small changes.

Installed once. Examples and probes are put to it by `asking`, in one sandbox for many programs; tests run by their own
runner (`checks.mutated`). Either asks of a changed program only what reaches a changed line in the program as it is:
what does not reach it cannot tell the two apart.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coverage.parser import PythonParser

from benchmarks.accepts.asking import RIGHT
from daybreak.agents.builder import project
from daybreak.checks import install, sandboxed
from daybreak.checks.examples import run_example
from daybreak.checks.mutants import MODULE, Mutant, changed_functions, controls, mutants
from daybreak.checks.mutated import SRC, Change, Reached, Suite
from daybreak.checks.product import Product
from daybreak.checks.tests import _NOT_MEASURED
from daybreak.factory import brief, holdout
from daybreak.factory.consensus import observe, probes
from daybreak.factory.spec import Specification, read_text
from daybreak.host import process

ROOT = Path(__file__).parents[2]
UNSAID = ("help.py", "openapi.py", "__main__.py", "__init__.py")
"""Files about which the specification says next to nothing, so that a change in them is no mistake."""
DECLARED = "models.py"
"""What the specification declares; the rest is machinery that all programs of the builder have in common."""
SHARES = (0.1, 0.3, 0.6, 1.0)
"""How much of the tests that there are each suite holds; each holds the ones before it."""
COVERED_MOST = 99.0
"""Percent, for whoever writes `quality: {coverage: 99}`."""
KEY = b"which examples are held out, for everybody who repeats this"
BATCH = 12
NEAR = 8
"""Lines of one statement, at most: what runs is told of its first line, or of those that do something."""
ASKING_S_MAX, TESTS_S_MAX = 3600.0, 3600.0
TOLD_BYTES_MAX = 200_000_000
_ASKING = Path(__file__).with_name("asking.py")


@dataclass
class Program:
    """A program, and what each gate said of it."""

    id: str
    """SHA-256 of what is changed, 16 digits: the key under which what was seen of it is kept."""
    spec: str
    name: str
    """For people."""
    sort: str
    """`declared` or `machinery`: where the change is; of right ones how it was made."""
    meant_right: bool
    changes: tuple[Mutant, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    """Whole files that replace those of the same path; where there are no `changes`."""
    noticed: str = ""
    """The first test that notices it, those of the weakest suite first; empty: none does."""
    killed_by: int | None = None
    """Index of the weakest suite that notices it; None: none does."""
    visible: bool = False
    held_out: bool = False
    """False where the visible ones have refused it already."""
    behaviour: str = ""
    """RIGHT, or the first difference in the probes of the consensus; empty where it came to none, since something has
    refused it already."""
    judged_wrong: bool = False
    noticed_if_run: bool | None = None
    """By its worker's suite with tests added until they run COVERED_MOST percent of the program; None: not asked."""

    @property
    def sampled(self) -> bool:
        """Every fourth is asked all that can tell, whatever its tests say."""
        return int(self.id, 16) % 4 == 0

    def probed(self, strong: int) -> bool:
        """Of the rest only those are asked the probes that tests may let pass: what the suite `strong` notices, the
        weakest that the mutation check lets pass, no gate with that check accepts."""
        return self.meant_right or self.sampled or self.killed_by is None or self.killed_by > strong

    @property
    def wrong(self) -> bool:
        """Somebody saw a difference: all tests, all examples, the probes of the consensus, or those of the judge."""
        return self.killed_by is not None or self.behaviour != RIGHT or self.judged_wrong

    @property
    def inside(self) -> bool:
        """Only tests of its parts notice it: nobody saw from outside that it does anything else."""
        return self.wrong and self.behaviour == RIGHT and not self.judged_wrong

    def told(self) -> dict[str, Any]:
        """For the file of results."""
        return {name: value for name, value in vars(self).items() if name not in ("changes", "files")}


@dataclass
class Bench:
    """One specification, with what is done once."""

    path: Path
    scratch: Path
    seed: int
    probes_max: int
    judges: int
    """Further sets of probes, of other seeds, that only the judge has."""
    text: str = field(init=False)
    spec: Specification = field(init=False)
    product: Product = field(init=False)
    reached: Reached = field(init=False)
    known: dict[str, list[str]] = field(default_factory=dict)
    reach: dict[str, dict[str, set[int]] | None] = field(default_factory=dict)
    """By example or probe: which lines of which file it runs; None: not known, so any."""
    _counting: dict[tuple[str, int], tuple[int, ...] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.text = self.path.read_text()
        self.spec = read_text(self.text, name=self.path.name, format="md")
        files = project.generate(brief.make(self.spec, self.text))
        self.tree = self.scratch / "tree"
        for name, content in files.items():
            place = self.tree / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        workspace = hashlib.sha256(b"".join(files.values())).hexdigest()
        evidence, product = install.look(self.tree, workspace, name=self.spec.name, scratch=self.scratch)
        assert product is not None, evidence.summary
        self.product = product
        self.held_out = holdout.choose(self.spec.examples, self.spec.holdout, KEY)
        self.serve = self.spec.serve or f"{self.spec.name} serve --port {{port}}"

    def know(self) -> None:
        """See what the right program answers, what runs which lines, and what its tests reach."""
        for told in self._ask([{"id": "right", "files": {}, "everything": True}], measured=True):
            lines = told["lines"]
            self.reach[told["item"]] = None if lines is None else {path: set(found) for path, found in lines.items()}
            if "answers" in told:
                self.known[told["item"]] = told["answers"]
            else:
                assert told["passes"], f"example {told['item']} fails on the builder's own program"
        self.suite = Suite(self.tree, self.scratch / "tests")
        self.suite.folder.mkdir()
        self.reached = self.suite.measure(600)

    # -- programs

    def wrong_ones(self, most: int) -> list[Program]:
        """Programs with one small change, of which some are wrong; a quarter of them in what is declared."""
        sources = self.sources(leave_out=UNSAID)
        declared = {path: text for path, text in sources.items() if path.endswith(DECLARED)}
        machinery = {path: text for path, text in sources.items() if path not in declared}
        made = [("declared", one) for one in mutants(declared, f"{self.seed} declared", most // 4)]
        made += [("machinery", one) for one in mutants(machinery, str(self.seed), most - len(made))]
        return [self._program(sort, (one,), False) for sort, one in made]

    def unchanged_ones(self, most: int) -> list[Program]:
        """The builder's own, and some with a statement that does nothing."""
        same = controls(self.sources(leave_out=UNSAID), str(self.seed), most - 1)
        return [self._program("as made", (), True), *(self._program("as made", (one,), True) for one in same)]

    def _program(self, sort: str, changes: tuple[Mutant, ...], right: bool) -> Program:
        name = "; ".join(f"{one.path}:{one.line} {one.words}" for one in changes) or "as it was made"
        told = json.dumps([self.text, [[one.path, one.start, one.end, one.text] for one in changes]])
        return Program(_hash(told), self.spec.name, name, sort, right, changes)

    def rewritten(self, sort: str, name: str, files: Mapping[str, str]) -> Program:
        """A right one with other files."""
        return Program(
            _hash(json.dumps([self.text, sorted(files.items())])), self.spec.name, name, sort, True, (), dict(files)
        )

    def sources(self, leave_out: Sequence[str] = ()) -> dict[str, bytes]:
        package = self.tree / "src"
        return {
            path.relative_to(package).as_posix(): path.read_bytes()
            for path in sorted(package.rglob("*.py"))
            if path.name not in leave_out
        }

    def files_of(self, program: Program) -> dict[str, str]:
        """Those that differ from the right program's."""
        sources = self.sources()
        found = dict(program.files)
        for one in program.changes:
            found[one.path] = one.apply(sources[one.path]).decode()
        return found

    # -- examples and probes

    def examine(self, programs: Sequence[Program], strong: int) -> None:
        """What notices each of them, from outside, as far as it matters: see `Program.probed`."""
        waiting = {one.id: one for one in programs}
        orders = [
            {
                "id": one.id,
                "files": self.files_of(one),
                "items": None if one.files else sorted(self._reaching(one)),
                "most": "examples" if not one.probed(strong) else "judge" if one.killed_by is None else "consensus",
            }
            for one in programs
        ]
        for told in self._ask(orders):
            program = waiting.pop(told["id"])
            program.visible, program.held_out = told["visible"], told.get("held_out", False)
            program.behaviour, program.judged_wrong = told.get("behaviour", ""), told.get("judged_wrong", False)
        assert not waiting, f"no word of {len(waiting)} programs"

    def _reaching(self, program: Program) -> set[str]:
        """Examples and probes that run a changed line, or might."""
        found = set()
        for one in program.changes:
            lines = set(range(max(1, one.line - NEAR), one.line + 1))
            for item, reach in self.reach.items():
                if reach is None or one.function == MODULE or lines & reach.get(one.path, set()):
                    found.add(item)
        return found

    def _ask(self, programs: Sequence[dict[str, Any]], *, measured: bool = False) -> list[dict[str, Any]]:
        place = self.scratch / "asking"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        order = {
            "spec": self.text,
            "name": self.spec.name,
            "package": self.product.package,
            "lib": str(self.product.library),
            "tree": str(self.tree),
            "serve": self.serve,
            "prefix": self.spec.http.prefix.rstrip("/"),
            "held_out": sorted(self.held_out),
            "seeds": {
                "consensus": [[1, self.probes_max]],
                "judge": [[1_000_003 + number, 1000] for number in range(self.judges)],
            },
            "known": self.known,
            "measured": measured,
            "programs": list(programs),
            "place": "/dev/shm/asking",
        }
        (place / "order.json").write_text(json.dumps(order))
        readable = [place / "order.json", self.tree, self.product.prefix, ROOT / "src", ROOT / "benchmarks"]
        finished = process.run(
            [sys.executable, "-I", _ASKING, place / "order.json"],
            cwd=place,
            env=process.clean_environment(place),
            timeout_s=ASKING_S_MAX,
            output_bytes_max=TOLD_BYTES_MAX,
            memory_bytes_max=None,
            sandbox=sandboxed.around(*sandboxed.homes(place), readable=readable),
        )
        if not finished.ok:
            raise RuntimeError(f"asking ended with {finished.ending}: {finished.stderr.decode()[-3000:]}")
        return [json.loads(line) for line in finished.stdout.splitlines()]

    # -- tests

    def strengths(self, most: int, lanes: int) -> list[float]:
        """What the check `mutation` says of each suite, in percent: of one sample of changes, how many it notices."""
        sources = self.sources()
        only = {path: set(names) - {MODULE} for path, names in changed_functions(sources, {}).items()}
        sample = [self._program("sample", (one,), False) for one in mutants(sources, "strength", most, only)]
        self.test(sample, lanes)
        return [
            round(100 * sum(one.killed_by is not None and one.killed_by <= rank for one in sample) / len(sample), 1)
            for rank in range(len(SHARES))
        ]

    def coverages(self) -> list[float]:
        """Which part of the program each suite runs, in percent, as the check `tests` counts it."""
        return [self._covered(self._suite(rank)) for rank in range(len(SHARES))]

    def _suite(self, rank: int) -> set[str]:
        return {test for test in self.reached.tests if self.rank(test) <= rank}

    def _lines(self) -> dict[tuple[str, int], tuple[int, ...] | None]:
        """Every line that counts, and which tests run it, by number: of those that run on import all; None: no test."""
        if not self._counting:
            for path, text in self.sources().items():
                parser = PythonParser(text=text.decode(), exclude="|".join(_NOT_MEASURED))
                parser.parse_source()
                ran = self.reached.lines.get(f"{SRC}/{path}", {})
                everybody = tuple(range(len(self.reached.tests)))
                for line in sorted(parser.statements):
                    self._counting[path, line] = ran[line] or everybody if line in ran else None
        return self._counting

    def _covered(self, suite: Collection[str]) -> float:
        lines, tests = self._lines(), self.reached.tests
        ran = sum(found is not None and any(tests[one] in suite for one in found) for found in lines.values())
        return math.floor(1000 * ran / len(lines)) / 10

    def grown(self, rank: int, least: float) -> set[str]:
        """That suite, with the quickest test for one line after the other that no test runs, until so much is covered.
        Who is told which lines nobody runs writes tests that run them, whatever these lines do."""
        suite, tests, seconds = self._suite(rank), self.reached.tests, self.reached.seconds
        for found in self._lines().values():
            if found is None or any(tests[one] in suite for one in found):
                continue
            if self._covered(suite) >= least:
                break
            suite.add(tests[min(found, key=lambda one: seconds[one])])
        return suite

    def test_grown(self, programs: Mapping[str, int], known: Mapping[str, Program]) -> None:
        """Whether the suites of these programs, by id, notice them once they have grown."""
        changes = []
        for number, (id_, rank) in enumerate(programs.items()):
            change = self._change(number, known[id_])
            suite = self.grown(rank, COVERED_MOST)
            changes.append(replace(change, tests=tuple(one for one in change.tests if one in suite)))
        asked = [one for one in changes if one.tests]
        parts = [asked[at : at + BATCH] for at in range(0, len(asked), BATCH)]
        told = self.suite.tried(parts, self.reached, budget_s=TESTS_S_MAX, lanes=1)
        for number, id_ in enumerate(programs):
            known[id_].noticed_if_run = number in told and told[number].outcome != "survived"

    def test(self, programs: Sequence[Program], lanes: int) -> None:
        """Which suite notices each program first: its tests run in order of the weakest suite that has them."""
        changes: list[Change] = []
        asked: dict[int, Program] = {}
        for program in programs:
            if not program.changes and not program.files:
                continue
            number = len(changes)
            asked[number] = program
            changes.append(self._change(number, program))
        parts = [changes[at : at + BATCH] for at in range(0, len(changes), BATCH)]
        told = self.suite.tried(parts, self.reached, budget_s=TESTS_S_MAX, lanes=lanes)
        for number, program in asked.items():
            if number not in told:
                raise RuntimeError(f"{program.name} was not tried")
            if told[number].outcome != "survived":
                program.noticed = told[number].test
                # Where no test was under way, the tests could not even be collected: any of them notices.
                program.killed_by = self.rank(program.noticed) if program.noticed else 0

    def _change(self, number: int, program: Program) -> Change:
        if program.files:
            [(path, text)] = program.files.items()
            whole = (self.tree / "src" / path).read_bytes()
            one = Mutant(path, MODULE, 1, program.sort, 0, len(whole), text, program.name)
            tests = self.reached.tests
        else:
            [one] = program.changes
            tests, _ = self.reached.of(one.path, one.line)
        ordered = tuple(sorted(tests, key=self.rank))  # stable: the quick ones of each suite first
        took = self.reached.time_s(ordered)
        return Change(number, one.path, one.line, one.words, one.start, one.end, one.text, ordered, True, took)

    def rank(self, test: str) -> int:
        """The weakest suite that holds this test, by a hash of its name."""
        draw = int(hashlib.sha256(f"{self.seed} {test.partition('[')[0]}".encode()).hexdigest(), 16) % 1000
        return next(rank for rank, share in enumerate(SHARES) if draw < share * 1000)

    # -- the way that the factory does it

    def compared(self, program: Program) -> bool:
        """Whether the product's own checks, each in a sandbox and processes of its own, say of visible and held-out
        examples and of the first probes what was seen of this program."""
        prefix = self.scratch / "programs" / program.id
        shutil.copytree(self.product.prefix, prefix, symlinks=True)
        for script in (prefix / "bin").iterdir():
            script.write_bytes(script.read_bytes().replace(bytes(self.product.prefix), bytes(prefix)))
        for path, text in self.files_of(program).items():
            (prefix / "lib" / path).write_text(text)
        product = Product(self.product.name, self.product.workspace, self.product.tree, prefix)
        try:
            visible = self._passes(product, held_out=False)
            if visible != program.visible or not visible:
                return visible == program.visible
            held_out = self._passes(product, held_out=True)
            if held_out != program.held_out or not held_out:
                return held_out == program.held_out
            return self._seen(product, program.behaviour)
        finally:
            shutil.rmtree(prefix)

    def _passes(self, product: Product, *, held_out: bool) -> bool:
        chosen = [one for one in self.spec.examples if (one.id in self.held_out) == held_out]
        place = self.scratch / "comparing"
        for example in sorted(chosen, key=lambda one: one.kind != "http"):
            place.mkdir()
            seen = run_example(example, product, place, serve=self.serve, prefix=self.spec.http.prefix)
            shutil.rmtree(place)
            if seen.outcome != "passed":
                return False
        return True

    def _seen(self, product: Product, behaviour: str) -> bool:
        """The probe that noticed it does so here too; or, where none did, the shortest one does not."""
        found = probes(self.spec, 1, self.probes_max)
        asked = [one for one in found if behaviour.startswith(one.id)] or [min(found, key=lambda one: len(one.asks))]
        place = self.scratch / "comparing"
        place.mkdir()
        seen = observe(
            *(product, asked[0], place),
            candidate="one",
            workspace=product.workspace,
            serve=self.serve,
            prefix=self.spec.http.prefix,
        )
        shutil.rmtree(place)
        return (list(seen.answers) == self.known.get(asked[0].id)) == (behaviour == RIGHT)


def _hash(told: str) -> str:
    return hashlib.sha256(told.encode()).hexdigest()[:16]
