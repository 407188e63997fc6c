"""What a reviewer is given: what was asked, what checks saw, what was objected to before, and how to answer.

Nothing that a worker has said is in it, and no example that is held out: not its heading, not its outcome.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import msgspec

from daybreak.agents.protocol import Brief, Finding
from daybreak.checks.evidence import Evidence
from daybreak.factory import brief as briefs
from daybreak.factory.consensus import objecting
from daybreak.factory.consensus.objecting import Objection
from daybreak.factory.phases.order import BuildOrder
from daybreak.factory.phases.phase import EXAMPLE, REVIEW
from daybreak.factory.spec import without_examples


def make(
    order: BuildOrder, template: str, evidence: Sequence[Evidence], raised: Sequence[Objection], file: str
) -> Brief:
    """`raised`: objections of the phase so far; `file`: what the answer is to be called."""
    titles = {f"{EXAMPLE}:{one.id}": one.title for one in order.spec.examples}
    hidden = {f"{EXAMPLE}:{one}" for one in order.held_out}
    brief = briefs.make(
        order.spec,
        without_examples(order.text, set(order.held_out), format=order.format),
        findings=objected(raised),
        recall=table(evidence, titles=titles, hidden=hidden),
        role=template,
    )
    return msgspec.structs.replace(brief, constraints=form(file))


def objected(raised: Sequence[Objection]) -> list[Finding]:
    """What was objected to before, for whoever looks again."""
    return [Finding(check=REVIEW, message=one.words) for one in raised]


def form(file: str) -> tuple[str, ...]:
    """How to answer, a sentence each."""
    return (
        f"Write `{file}` in the folder that you are in, and change nothing else. It is JSON, exactly of this form: "
        f"{objecting.FORM}.",
        "`severity` is `veto` for what must not pass like this, and `remark` for everything else. At most "
        f"{objecting.OBJECTIONS_MAX} findings; no further keys.",
        "`file` is a path that is there, `line` a line in it. Of something that is missing: the file where it belongs, "
        "without `line`. What names no place that is there counts for nothing.",
        f"`reason` says what is wrong and what shows it, in {objecting.REASON_CHARS_MIN} to "
        f"{objecting.REASON_CHARS_MAX} characters, so that whoever mends it needs nothing else.",
        'Where you have no objection: `{"findings": []}`.',
    )


def table(
    evidence: Sequence[Evidence], *, titles: Mapping[str, str] = MappingProxyType({}), hidden: Collection[str] = ()
) -> str:
    """What checks saw, a line each, by their titles where they have one; of `hidden` ones only how many there are."""
    lines = [
        f"{titles.get(seen.check, seen.check)}: {seen.outcome}: {' '.join(seen.summary.split())}"
        for seen in evidence
        if seen.check not in hidden
    ]
    if count := sum(seen.check in hidden for seen in evidence):
        lines.append(f"{count} acceptance examples that you do not see were run as well")
    return "\n".join(lines)
