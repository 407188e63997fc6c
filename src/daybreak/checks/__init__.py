"""Looks at workspaces. Checks give evidence, a gate decides from it; neither believes a worker."""

from daybreak.checks.evidence import Evidence, Mark
from daybreak.checks.example import Example, Fault
from daybreak.checks.examples import faults, proves, run_example
from daybreak.checks.gate import WEIGHTS, Decision, decide
from daybreak.checks.product import Product

__all__ = [
    "WEIGHTS",
    "Decision",
    "Evidence",
    "Example",
    "Fault",
    "Mark",
    "Product",
    "decide",
    "faults",
    "proves",
    "run_example",
]
