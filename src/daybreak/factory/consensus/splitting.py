"""Where candidates differ: the smallest inputs found, and who answered what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence

from daybreak.factory.consensus.model import Answer, Ask, Candidate, Observation, Probe, Split
from daybreak.factory.consensus.voting import Heard

NOTHING = "(no answer)"
ANSWER_CHARS_MAX = 2_000


def splits(candidates: Sequence[Candidate], probes: Sequence[Probe], told: Heard) -> list[Split]:
    """At most one for each probe, at the first ask that is answered differently, since what comes later may follow
    from it; the smallest input first, and of those that divide the candidates alike about the same thing one only."""
    found: dict[tuple[object, ...], Split] = {}
    for probe in probes:
        seen = {
            one.name: observation
            for one in candidates
            if (observation := told.seen.get((one.name, probe.id))) is not None
        }
        split = _split(probe, seen)
        if split is None:
            continue
        key = (split.about, tuple(sorted(answer.candidates for answer in split.answers)))
        if key not in found or _size(split) < _size(found[key]):
            found[key] = split
    return sorted(found.values(), key=_size)


def _size(split: Split) -> tuple[int, int, str]:
    return len(split.input), sum(len(ask.line) + len(ask.body) for ask in split.input), split.probe


def _split(probe: Probe, seen: dict[str, Observation]) -> Split | None:
    for at, ask in enumerate(probe.asks):
        groups: dict[str, list[str]] = defaultdict(list)
        for name, observation in seen.items():
            groups[_answer_of(observation, at)].append(name)
        if len(groups) > 1:
            ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
            return Split(
                probe=probe.id,
                face=probe.face,
                about=ask.about or probe.title,
                input=probe.asks[: at + 1],
                answers=tuple(Answer(candidates=tuple(names), text=_cut(text)) for text, names in ordered),
                requirements=ask.requirements,
            )
    return None


def _answer_of(observation: Observation, at: int) -> str:
    """What was answered to the ask of that number, from 0."""
    if observation.silent:
        return f"{NOTHING}: {observation.silent}"
    return observation.answers[at] if at < len(observation.answers) else NOTHING


def _cut(text: str) -> str:
    return text if len(text) <= ANSWER_CHARS_MAX else f"{text[:ANSWER_CHARS_MAX]}…"


def smallest(split: Split, differ: Callable[[Probe], bool], *, most: int = 30) -> Split:
    """The split with every ask left out that is not needed: `differ` tries a shorter probe on two candidates with
    different answers and says whether the last answer still differs. It is asked `most` times at most.

    Shortening keeps the input honest: nothing is left out that was not tried without. The answers stay those of the
    input as it was found.
    """
    trying = shortening(split, most=most)
    try:
        probe = next(trying)
        while True:
            probe = trying.send(differ(probe))
    except StopIteration as end:
        found: Split = end.value
        return found


def shortening(split: Split, *, most: int = 30) -> Generator[Probe, bool, Split]:
    """As `smallest`, for whoever has to wait for answers: gives the shorter probes one by one, is sent whether the last
    answer still differs, and returns the split."""
    kept = list(split.input)
    tries = 0
    width = max(1, (len(kept) - 1) // 2)
    while width and len(kept) > 1:
        at = 0
        while at < len(kept) - 1 and tries < most:
            shorter = kept[:at] + kept[min(at + width, len(kept) - 1) :]
            tries += 1
            if (yield _probe(split, shorter)):
                kept = shorter
            else:
                at += width
        width = width // 2 if tries < most else 0
    return split.model_copy(update={"input": tuple(kept), "probe": _probe(split, kept).id})


def answered(split: Split, seen: Mapping[str, Observation]) -> Split:
    """The split with what each candidate answered to its input as it is now, up to the first answer that differs; as
    it was where none does (somebody answers by chance). `seen`: by candidate, of the probe that the split names."""
    found = _split(_probe(split, split.input), dict(seen))
    return split if found is None else found.model_copy(update={"probe": _probe(split, found.input).id})


def last_answer(observation: Observation, asks: int) -> str:
    """What was answered to the last of so many asks."""
    return _answer_of(observation, asks - 1)


def _probe(split: Split, asks: Sequence[Ask]) -> Probe:
    return Probe.of(split.face, split.about, tuple(asks))
