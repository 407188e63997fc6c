"""The tasks, by the name that the situations use."""

from benchmarks.error_corpus.families.batches import Build, Convert, Tool
from benchmarks.error_corpus.families.formats import Totals
from benchmarks.error_corpus.families.interrupts import Killed
from benchmarks.error_corpus.families.missing_files import Include, Index, Merge, Move, Outputs, Report
from benchmarks.error_corpus.families.missing_programs import Pipeline
from benchmarks.error_corpus.families.silent import Exporter, Function, Parts, Server, Tests
from benchmarks.error_corpus.families.waiting import Planner, Service
from benchmarks.error_corpus.family import Family

FAMILIES: dict[str, type[Family]] = {
    "report": Report,
    "merge": Merge,
    "move": Move,
    "include": Include,
    "outputs": Outputs,
    "index": Index,
    "pipeline": Pipeline,
    "exporter": Exporter,
    "function": Function,
    "parts": Parts,
    "server": Server,
    "tests": Tests,
    "convert": Convert,
    "build": Build,
    "tool": Tool,
    "totals": Totals,
    "killed": Killed,
    "planner": Planner,
    "service": Service,
}
