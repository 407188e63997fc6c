"""Acceptance examples: blocks of a specification that run. `faults` reads them before anything runs,
`run_example` runs one on a result, `proves` runs one on nothing and on programs that do nothing."""

from daybreak.checks.examples.block import faults
from daybreak.checks.examples.running import proves, run_example

__all__ = ["faults", "proves", "run_example"]
