"""What candidates' own tests say of the others. Doubts only: whoever writes the test may be the one that is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from daybreak.factory.consensus.model import Candidate, Crossing, Doubt


def doubts(candidates: Sequence[Candidate], crossings: Sequence[Crossing], f: int) -> list[Doubt]:
    """One for each test that its author passes and some other candidate fails.

    Where more than f others fail, an honest one is among them, and the test is condemned; so it is where the author's
    side is not the majority of those that could run it. A test that its author fails says nothing, and neither does a
    run on one's own program alone.
    """
    names = {one.name for one in candidates}
    passed: dict[tuple[str, str], set[str]] = defaultdict(set)
    failed: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in crossings:
        if one.author in names and one.on in names and not one.why_not:
            for test in one.passed:
                passed[one.author, test].add(one.on)
            for test in one.failed:
                failed[one.author, test].add(one.on)
    found = []
    for author, test in sorted(failed):
        against, friends = failed[author, test] - {author}, passed[author, test] - failed[author, test]
        if not against or author not in friends:
            continue
        wrong_test = len(against) > f or len(friends) <= len(against)
        found.append(
            Doubt(
                author=author,
                test=test,
                against=tuple(sorted(against)),
                condemned="test" if wrong_test else "candidates",
            )
        )
    return found
