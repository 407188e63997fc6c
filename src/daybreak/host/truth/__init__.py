"""Ground truth: whether something was done is looked up, not believed.

    with expect(changed("out/sales.csv"), contains("out/sales.csv", "total"), only_changed(".", "out")) as told:
        subprocess.run(["make-report"], check=True)
    told.verified.observations      # what was looked at, before and after

An exit status, a return value or a message is what a program says. Probes look at what it did: `expect` takes their
snapshots before the work, looks again after it, and raises NotTrue with everything that does not hold, at once.
`verify` looks only now; `command` runs a program between the two looks.

Probes: exists, absent, created, changed, unchanged, contains, lacks, valid; holds, only_changed; prints, answers,
custom. A probe holds only when it could look and saw what was asked; what cannot be read never counts as true.
"""

from daybreak.host.truth.expecting import Expectation, command, expect, look, verify
from daybreak.host.truth.files import (
    absent,
    changed,
    contains,
    created,
    exists,
    holds,
    lacks,
    only_changed,
    unchanged,
    valid,
)
from daybreak.host.truth.outcome import NotTrue, Observation, Probe, ProbeMisused, Verified
from daybreak.host.truth.outside import answers, custom, prints

__all__ = [
    "Expectation",
    "NotTrue",
    "Observation",
    "Probe",
    "ProbeMisused",
    "Verified",
    "absent",
    "answers",
    "changed",
    "command",
    "contains",
    "created",
    "custom",
    "exists",
    "expect",
    "holds",
    "lacks",
    "look",
    "only_changed",
    "prints",
    "unchanged",
    "valid",
    "verify",
]
