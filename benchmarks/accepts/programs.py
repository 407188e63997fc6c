"""Right and wrong programs of one specification: what the embedded builder makes of it, and that with one small change.

Installed once; a changed program is a copy of that installation with one other file in it. Tests run by their own
runner (`checks.mutated`), which needs for each change only the tests that reach it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daybreak.agents.builder import project
from daybreak.checks import install
from daybreak.checks.examples import run_example
from daybreak.checks.mutants import MODULE, Mutant, changed_functions, controls, mutants
from daybreak.checks.mutated import Change, Reached, Suite
from daybreak.checks.product import Product
from daybreak.factory import brief, holdout
from daybreak.factory.consensus import Observation, Probe, observe, probes
from daybreak.factory.spec import Specification, read_text

ROOT = Path(__file__).parents[2]
UNSAID = ("help.py", "openapi.py", "__main__.py", "__init__.py")
"""Files about which the specification says next to nothing, so that a change in them is no mistake."""
SHARES = (0.1, 0.3, 0.6, 1.0)
"""How much of the tests that there are each suite holds; each holds the ones before it."""
KEY = b"which examples are held out, for everybody who repeats this"
BATCH = 12
TESTS_S_MAX = 3600.0


@dataclass
class Program:
    """A program, and what each gate said of it; None: not asked."""

    name: str
    mutant: Mutant | None
    """None: as the builder made it."""
    meant_right: bool
    killed_by: int | None = None
    """Index of the weakest suite that notices it; None: none does."""
    visible: bool = False
    held_out: bool = True
    behaviour: str = ""
    """Equal for programs that did the same in all probes of the consensus; the first difference where there is one.
    Empty where no gate came so far."""
    judged_wrong: bool = False

    @property
    def wrong(self) -> bool:
        """Somebody saw a difference: all tests, all examples, the probes of the consensus, or those of the judge."""
        return self.killed_by is not None or not self.held_out or self.behaviour not in (RIGHT, "") or self.judged_wrong

    @property
    def inside(self) -> bool:
        """Only tests of its parts notice it: nobody saw from outside that it does anything else."""
        return self.wrong and self.held_out and self.behaviour == RIGHT and not self.judged_wrong

    @property
    def story(self) -> str:
        """What became of it, for people."""
        if not self.visible:
            return f"{self.name}: refused by the visible examples"
        noticed = "no suite" if self.killed_by is None else f"the suite of {SHARES[self.killed_by]:.0%}"
        probed = {"": "not probed", RIGHT: "not seen by the probes"}.get(self.behaviour, "seen by the probes")
        more = ", seen by the judge" if self.judged_wrong else ""
        return f"{self.name}: noticed by {noticed}{'' if self.held_out else ', by held-out examples'}, {probed}{more}"


RIGHT = "as the right one"


@dataclass
class Bench:
    """One specification, with what is done once."""

    path: Path
    scratch: Path
    seed: int
    text: str = field(init=False)
    spec: Specification = field(init=False)
    product: Product = field(init=False)
    reached: Reached = field(init=False)
    seen: dict[str, Observation] = field(default_factory=dict)

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
        self.suite = Suite(self.tree, self.scratch / "tests")
        self.suite.folder.mkdir()
        self.reached = self.suite.measure(300)

    # -- programs

    def programs(self, wrong: int, right: int) -> list[Program]:
        """Changed programs that may be wrong, and right ones: the builder's own, and some with a statement that does
        nothing."""
        sources = self._sources(leave_out=UNSAID)
        made = mutants(sources, str(self.seed), wrong)
        same = controls(sources, str(self.seed), right - 1)
        found = [Program(f"{one.path}:{one.line} {one.words}", one, False) for one in made]
        found += [Program("as it was made", None, True)]
        return found + [Program(f"{one.path}:{one.line} nothing more", one, True) for one in same]

    def _sources(self, leave_out: Sequence[str] = ()) -> dict[str, bytes]:
        package = self.tree / "src"
        return {
            path.relative_to(package).as_posix(): path.read_bytes()
            for path in sorted(package.rglob("*.py"))
            if path.name not in leave_out
        }

    def installed(self, program: Program) -> Product:
        """A copy of the installation with the change in it."""
        if program.mutant is None:
            return self.product
        name = hashlib.sha256(program.name.encode()).hexdigest()[:16]
        prefix = self.scratch / "programs" / name
        shutil.copytree(self.product.prefix, prefix, symlinks=True)
        for script in (prefix / "bin").iterdir():
            script.write_bytes(script.read_bytes().replace(bytes(self.product.prefix), bytes(prefix)))
        place = prefix / "lib" / program.mutant.path
        place.write_bytes(program.mutant.apply(place.read_bytes()))
        return Product(name=self.product.name, workspace=self.product.workspace, tree=self.product.tree, prefix=prefix)

    # -- gates

    def strengths(self, most: int, lanes: int) -> list[float]:
        """What the check `mutation` says of each suite, in percent: of one sample of changes, how many it notices."""
        sources = self._sources()
        only = {path: set(names) - {MODULE} for path, names in changed_functions(sources, {}).items()}
        sample = [Program(one.words, one, False) for one in mutants(sources, "strength", most, only)]
        self.test(sample, lanes)
        return [
            round(100 * sum(one.killed_by is not None and one.killed_by <= rank for one in sample) / len(sample), 1)
            for rank in range(len(SHARES))
        ]

    def test(self, programs: Sequence[Program], lanes: int) -> None:
        """Which suite notices each program: the tests of the weakest first, then what each stronger one adds."""
        changes: list[Change] = []
        asked: dict[int, tuple[Program, int]] = {}
        for program in programs:
            if program.mutant is None:
                continue
            tests, _ = self.reached.of(program.mutant.path, program.mutant.line)
            for rank in range(len(SHARES)):
                part = tuple(test for test in tests if self.rank(test) == rank)
                if part:
                    one, number = program.mutant, len(changes)
                    took = self.reached.time_s(part)
                    changes.append(
                        Change(number, one.path, one.line, one.words, one.start, one.end, one.text, part, True, took)
                    )
                    asked[number] = (program, rank)
        parts = [changes[at : at + BATCH] for at in range(0, len(changes), BATCH)]
        outcomes = self.suite.outcomes(parts, self.reached, budget_s=TESTS_S_MAX, lanes=lanes)
        for number, (program, rank) in asked.items():
            if outcomes.get(number) != "survived":
                program.killed_by = min(rank, len(SHARES) if program.killed_by is None else program.killed_by)

    def rank(self, test: str) -> int:
        """The weakest suite that holds this test, by a hash of its name."""
        draw = int(hashlib.sha256(f"{self.seed} {test.partition('[')[0]}".encode()).hexdigest(), 16) % 1000
        return next(rank for rank, share in enumerate(SHARES) if draw < share * 1000)

    def passes(self, product: Product, *, held_out: bool) -> bool:
        """All its examples of one sort, up to the first that fails."""
        chosen = [one for one in self.spec.examples if (one.id in self.held_out) == held_out]
        for example in sorted(chosen, key=lambda one: one.kind != "http"):
            place = self.scratch / f"example-{example.id}-{product.prefix.name}"
            place.mkdir()
            seen = run_example(example, product, place, serve=self.serve, prefix=self.spec.http.prefix)
            shutil.rmtree(place, ignore_errors=True)
            if seen.outcome != "passed":
                return False
        return True

    def probes(self, seed: int, most: int) -> tuple[Probe, ...]:
        return probes(self.spec, seed, most)

    def know(self, asked: Sequence[Probe]) -> None:
        """See what the right program answers."""
        for probe in asked:
            if probe.id not in self.seen:
                self.seen[probe.id] = self._observe(self.product, probe)

    def difference(self, product: Product, asked: Sequence[Probe]) -> str:
        """The first difference from the right program in these probes, as one word; RIGHT where there is none."""
        for probe in asked:
            seen = self._observe(product, probe)
            if seen.digest != self.seen[probe.id].digest:
                return f"{probe.id} {seen.digest}"
        return RIGHT

    def _observe(self, product: Product, probe: Probe) -> Observation:
        place = self.scratch / f"probing-{probe.id}-{product.prefix.name}"
        place.mkdir()
        seen = observe(
            *(product, probe, place),
            candidate="one",
            workspace=product.workspace,
            serve=self.serve,
            prefix=self.spec.http.prefix,
        )
        shutil.rmtree(place, ignore_errors=True)
        return seen
