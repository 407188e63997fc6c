"""How many wrong programs each gate lets through, and how many right ones.

`python -m benchmarks accepts` is a short form. The figures of the documentation come from the long one:
`COUNT=300 RESULTS=FILE python -m benchmarks accepts`, which appends what it finds to FILE and goes on from there when
it is begun again. `SPECS=stock,todo` names the specifications, `TIME=3000` ends it after that many seconds, and
`ONLY=table` prints what FILE holds. `AGAIN=1` looks again at those of FILE that the gates get wrong, and at those whose
difference was seen in a probe that there no longer is: after a change of the product.

Wrong programs are what the embedded builder makes with one small change (see `checks.mutants`): in what the
specification declares, which is a requirement misread, and in the machinery. A change counts as wrong only where
somebody sees it: all the tests that there are, the examples, the probes of the consensus, or the judge's, which are
more, of other seeds, and which no gate has. In what none of them notices nobody sees a difference, and it counts for
neither side. Right programs are the builder's own, also with statements that do nothing, and with modules rewritten in
other words (see `rewrites`).

Each program comes with one of four suites of tests, of 10, 30, 60 and 100 % of the builder's tests: workers write few
tests or many. With the mutation check, a suite below the strength is sent back until it is strong enough, as the
factory does; so it becomes the weakest suite that is. In the consensus of three the two others are programs that
passed the gates before, of workers that are right with probability 0.7.

What this does not measure: programs of another making than the builder's; tests by somebody who misread the
specification in the same way as the program (the row without tests stands for that); workers who are wrong together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def take(quick: bool = False) -> Iterator[Any]:
    from benchmarks.accepts import looking  # late: `asking`, in the sandbox, forks before anything large is imported

    yield from looking.take()
