"""Deciding by what candidates do: the fault table, properties for every n and f, doubts, vetoes, splits."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.factory.consensus import (
    Agreement,
    Ask,
    Candidate,
    Crossing,
    NotCandidates,
    Observation,
    Probe,
    Review,
    agree,
    next_workers,
    smallest,
    tolerated,
    wider,
)

RIGHT = ("exit 0\nadded note 1", "exit 0\n1 note")
ASKS = (
    Ask(line="notes add", about="Note: add", requirements=("FR-001",)),
    Ask(line="notes list", about="Note: list", requirements=("FR-002",)),
)
LONGER = (*ASKS, Ask(line="notes list --json", about="Note: list", requirements=("FR-002",)))
PROBES = (Probe.of("console", "its life", ASKS), Probe.of("console", "its questions", LONGER))


def workspace(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def candidate(name: str) -> Candidate:
    return Candidate(name=name, worker="w", workspace=workspace(name))


def seen(name: str, probe: Probe, answers: Sequence[str] = RIGHT, **more: object) -> Observation:
    told = {"candidate": name, "workspace": workspace(name), "probe": probe.id, "answers": tuple(answers), **more}
    return Observation.model_validate(told)


def does(name: str, behaviour: str = "right") -> list[Observation]:
    """What a candidate that behaves like this is seen to do."""
    match behaviour:
        case "right":
            return [seen(name, probe) for probe in PROBES]
        case "silent":
            return []
        case "crashing":
            return [seen(name, probe, (), silent="it could not be installed") for probe in PROBES]
        case "equivocating":
            return [seen(name, PROBES[0]), seen(name, PROBES[0], ["other"], asked=2), seen(name, PROBES[1])]
        case "half":
            return [seen(name, PROBES[0])]
        case wrong:
            return [seen(name, probe, (wrong, *RIGHT[1:])) for probe in PROBES]


def decided(behaviours: Sequence[str], f: int | None = None, failing: Iterable[int] = (), **more: object) -> Agreement:
    """The agreement of candidates c0, c1, … that behave like this; those in `failing` do not pass acceptance."""
    names = [f"c{number}" for number in range(len(behaviours))]
    observations = [one for name, behaviour in zip(names, behaviours, strict=True) for one in does(name, behaviour)]
    acceptance = {name: number not in set(failing) for number, name in enumerate(names)}
    return agree([candidate(name) for name in names], PROBES, observations, acceptance, f=f, **more)  # type: ignore[arg-type]


def asked_for(how: Sequence[str], start: int, most: int, failing: Iterable[int] = ()) -> Agreement:
    """What comes of it where the first `start` of them are asked, and one more whenever it may decide."""
    count = start
    while (more := wider(found := decided(how[:count], failing=failing), min(most, len(how)))) is not None:
        assert (more.candidates, more.tolerated) == (count + 1, tolerated(count + 1))
        count += 1
    return found


FAULTS: dict[str, Callable[[int], str]] = {
    "wrong, each in another way": lambda number: f"wrong {number}",
    "colluding (the same wrong answer)": lambda number: "wrong together",
    "colluding, and passes acceptance": lambda number: "wrong together",
    "crashing": lambda number: "crashing",
    "silent": lambda number: "silent",
    "silent in one probe": lambda number: "half",
    "answers differently when asked again": lambda number: "equivocating",
}


def test_the_fault_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Up to f of 3f + 1 faulty candidates of any kind change no verdict; one more may, and then it is not `agreed`
    on what is wrong unless more than f collude."""
    # shows: F7
    sizes = [(3, 0), (4, 1), (7, 2), (10, 3)]
    header = [f"n={n} f={f}: {count} faulty" for n, f in sizes for count in (f, f + 1)]
    header += [f"3+1, f=1: {count} faulty" for count in (1, 2)]
    lines = []
    for fault, behaviour in FAULTS.items():
        row = []
        for n, f in sizes:
            for count in (f, f + 1):
                faulty = [behaviour(number) for number in range(count)]
                failing = [] if "passes" in fault else [n - count + number for number in range(count)]
                found = decided(["right"] * (n - count) + faulty, f, failing)
                if count <= f:
                    assert found.verdict == "agreed", (fault, n, f, found)
                    assert found.winner == "c0"
                else:
                    assert found.verdict == "ambiguous", (fault, n, f, found)
                assert found.f == f
                row.append(found.verdict)
        row += [_reached_by_one_more(fault, [behaviour(number) for number in range(count)]) for count in (1, 2)]
        lines.append((fault, row))
    with capsys.disabled():
        print("\n\nThe fault table (F7): kinds of fault, and what is decided")
        print(f"{'':38}" + " ".join(f"{name:>17}" for name in header))
        for fault, row in lines:
            print(f"{fault:38}" + " ".join(f"{verdict:>17}" for verdict in row))


def _reached_by_one_more(fault: str, faulty: Sequence[str]) -> str:
    """The verdict where three are asked, and a fourth if it may decide: the same wherever the faulty ones stand.
    Three honest ones need no fourth."""
    verdicts = set()
    for places in itertools.combinations(range(4), len(faulty)):
        how = ["right"] * 4
        for place, behaviour in zip(places, faulty, strict=True):
            how[place] = behaviour
        found = asked_for(how, 3, 4, () if "passes" in fault else places)
        if found.verdict == "agreed":
            assert how[int(str(found.winner)[1:])] == "right"
            assert len(faulty) <= found.f or found.n == 3 == how[:3].count("right"), (fault, how, found)
        verdicts.add(found.verdict)
    assert verdicts == ({"agreed"} if len(faulty) == 1 else {"ambiguous"}), fault
    return verdicts.pop()


behaviours = st.sampled_from(["wrong", "wrong 2", "wrong 3", "crashing", "silent", "half", "equivocating", "right"])


@st.composite
def elections(draw: st.DrawFn) -> tuple[int, list[str], list[bool], list[int]]:
    """f, how each candidate behaves (honest ones first), who passes acceptance, an order."""
    f = draw(st.integers(0, 3))
    n = 3 * f + 1 + draw(st.integers(0, 2))
    faulty = draw(st.lists(behaviours, max_size=f))
    accepted = [draw(st.booleans()) for _ in faulty]
    order = draw(st.permutations(range(n)))
    return f, ["right"] * (n - len(faulty)) + faulty, [True] * (n - len(faulty)) + accepted, list(order)


def _agreed_in(order: Sequence[int], f: int, behaviours: Sequence[str], accepted: Sequence[bool]) -> Agreement:
    names = [f"c{number}" for number in order]
    observations = [one for number in order for one in does(f"c{number}", behaviours[number])]
    acceptance = {f"c{number}": accepted[number] for number in order}
    return agree([candidate(name) for name in names], PROBES, observations, acceptance, f=f)


@given(elections())
@settings(max_examples=40, deadline=None)
def test_up_to_f_faulty_candidates_change_nothing(election: tuple[int, list[str], list[bool], list[int]]) -> None:
    """Whatever at most f of n ≥ 3f + 1 do, the verdict and the behaviour that wins are those of the honest ones."""
    # shows: F7
    f, how, accepted, order = election
    found = _agreed_in(order, f, how, accepted)
    assert found.verdict == "agreed"
    assert how[int(str(found.winner)[1:])] == "right"


@given(elections(), st.sampled_from(["none pass", "two readings"]))
@settings(max_examples=40, deadline=None)
def test_faulty_candidates_never_bring_a_verdict_about(
    election: tuple[int, list[str], list[bool], list[int]], honest: str
) -> None:
    """Where no honest one passes acceptance, nothing is agreed; where honest ones differ, what wins is what more
    than f honest ones do."""
    # shows: F7
    f, how, accepted, order = election
    right = how.count("right")
    if honest == "none pass":
        accepted = [one and behaviour != "right" for one, behaviour in zip(accepted, how, strict=True)]
        assert _agreed_in(order, f, how, accepted).verdict != "agreed"
        return
    real = len(how) - f  # at least so many are honest: those that come first
    for number in range(0, real, 2):
        how[number] = "another reading"
    found = _agreed_in(order, f, how, [True] * len(how))
    if found.verdict == "agreed":
        winning = how[int(str(found.winner)[1:])]
        assert sum(one == winning for one in how[:real]) > f
    assert right >= real


@given(st.lists(behaviours, max_size=6), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_less_than_3f_plus_1_is_never_said_to_tolerate_f(how: list[str], f: int) -> None:
    """Fewer candidates than it takes are refused when f is asked for, and told as tolerating less when it is not."""
    # shows: F7
    if f and len(how) < 3 * f + 1:
        with pytest.raises(NotCandidates) as refused:
            decided(how, f)
        assert refused.value.code == "U231"
    found = decided(how)
    assert 3 * found.f + 1 <= max(1, len(how))
    assert found.f == tolerated(len(how))
    assert (found.verdict == "agreed") == (found.winner is not None)


@given(
    st.lists(st.sampled_from(["right", "wrong", "wrong 2", "silent", "equivocating"]), min_size=7, max_size=7),
    st.sets(st.integers(0, 6)),
    st.integers(2, 5),
    st.integers(0, 7),
)
@settings(max_examples=120, deadline=None)
def test_no_sequence_of_widenings_accepts_a_minority_or_more_than_f_liars(
    how: list[str], failing: set[int], start: int, most: int
) -> None:
    """Whoever wins after any number of widenings has n - f of all that were asked behind it, and passes acceptance;
    what a liar says wins only where more than f lie; and no more are asked than may be."""
    # shows: F7
    found = asked_for(how, start, most, failing)
    asked = how[: found.n]
    assert start <= found.n <= max(start, most)
    assert found.f == tolerated(found.n)
    assert 3 * found.f + 1 <= found.n or found.f == 0
    if found.verdict == "agreed":
        winner = int(str(found.winner)[1:])
        alike = sum(one == asked[winner] for one in asked)
        assert winner not in failing
        assert alike >= found.needed == found.n - found.f
        assert 2 * alike > found.n
        assert asked[winner] == "right" or sum(one != "right" for one in asked) > found.f
    if sum(one != "right" for one in asked) <= found.f and not failing & set(range(found.n)):
        assert found.verdict == "agreed"


def test_one_more_is_asked_only_where_it_may_decide() -> None:
    """Two of three that pass; not one that is decided, not three that all differ, not for nothing."""
    # shows: F7
    split = decided(["right", "right", "wrong"])
    more = wider(split, 4)
    assert more is not None
    assert (more.split, more.candidates, more.tolerated, more.needed) == ("2:1", 4, 1, 3)
    assert more.leading == {"c0", "c1"}
    assert wider(decided(["right", "right", "silent"]), 4) is not None
    assert wider(split, 3) is wider(split, 0) is None
    assert wider(decided(["right"] * 3), 4) is None
    assert wider(decided(["right", "wrong", "wrong 2"]), 7) is None
    assert wider(decided(["right", "right", "wrong"], failing=[0, 1]), 7) is None
    even = decided(["right", "right", "wrong", "wrong"])
    assert wider(even, 6) is None  # five of seven are the next that two can become
    assert wider(even, 7) is not None


def test_who_is_asked_next_is_not_an_author_of_the_leading_cluster() -> None:
    """Whoever was not asked yet, then whoever differed; nobody's second copy decides while there is somebody else."""
    # shows: F7
    made = {"c0": "one", "c1": "two", "c2": "three"}
    asked = ["one", "two", "three"]
    four = ["one", "two", "three", "four"]
    assert next_workers(four, made, asked, frozenset({"c0", "c1"})) == ("four", "three")
    assert next_workers(four[:3], made, asked, frozenset({"c0", "c1"})) == ("three",)
    assert next_workers(four[:3], made, asked, frozenset({"c0", "c2"})) == ("two",)
    assert next_workers(["one", "two"], {"c0": "one"}, ["one", "two", "one"], frozenset({"c0"})) == ("two",)
    twice = {"c0": "one", "c1": "two", "c2": "one"}
    assert next_workers(["one", "two"], twice, ["one", "two", "one"], frozenset({"c0", "c1"})) == ("two", "one")
    assert next_workers(["one"], made, asked, frozenset({"c0"})) == ("one",)


def test_several_candidates_of_one_worker_are_told() -> None:
    """f counts candidates; a mistake of the same worker in three of them is one mistake."""
    # shows: F7
    told = decided(["right"] * 4).reasons
    assert told[1:] == ("w made 4 of these 4: what it gets wrong may be wrong in all of them",)


def test_three_candidates_are_a_vote_that_tolerates_nobody() -> None:
    """With three, one that differs makes it ambiguous, and the reasons say that f is 0."""
    # shows: F7
    assert decided(["right"] * 3).verdict == "agreed"
    assert decided(["right"] * 3).f == 0
    found = decided(["right", "right", "wrong"])
    assert found.verdict == "ambiguous"
    assert "tolerates no faulty one" in found.reasons[0]


def test_the_order_in_which_observations_come_changes_nothing() -> None:
    """Observations are steps of their own, in any order and more than once."""
    names = [f"c{number}" for number in range(4)]
    ways = zip(names, ["right", "equivocating", "wrong", "right"], strict=True)
    told = [one for name, how in ways for one in does(name, how)]
    candidates = [candidate(name) for name in names]
    acceptance = dict.fromkeys(names, True)
    first = agree(candidates, PROBES, told, acceptance)
    for order in itertools.islice(itertools.permutations(told), 0, 5000, 997):
        assert agree(candidates, PROBES, [*order, *order[:2]], acceptance) == first


# -- voters


def votes(name: str, voters: Sequence[str], behaviour: str = "right") -> list[Observation]:
    return [one.model_copy(update={"voter": voter}) for voter in voters for one in does(name, behaviour)]


@pytest.mark.parametrize("lie", ["wrong", "silent", "to two readers", "invents a second look"])
@pytest.mark.parametrize(("m", "g"), [(4, 1), (7, 2)])
def test_lying_voters_change_nothing(lie: str, m: int, g: int) -> None:
    """Up to g of 3g + 1 voters may lie about every candidate, together or to each reader differently."""
    # shows: F7
    voters = [f"v{number}" for number in range(m)]
    honest, liars = voters[:-g], voters[-g:]
    told: list[Observation] = []
    names = ["c0", "c1", "c2", "c3"]
    for name in names:
        told += votes(name, honest)
        if lie == "wrong":
            told += votes(name, liars, "wrong together")
        elif lie == "to two readers":
            told += [one.model_copy(update={"reader": "a"}) for one in votes(name, liars)]
            told += [one.model_copy(update={"reader": "b"}) for one in votes(name, liars, "wrong")]
        elif lie == "invents a second look":
            told += votes(name, liars)
            for number, liar in enumerate(liars):
                told += [one.model_copy(update={"asked": 2}) for one in votes(name, [liar], f"wrong {number}")]
    found = agree([candidate(name) for name in names], PROBES, told, dict.fromkeys(names, True), voters=voters)
    assert found.verdict == "agreed"
    assert not [one for one in found.disqualified if one.what == "candidate"]
    if lie == "to two readers":
        assert {one.name for one in found.disqualified} == set(liars)


def test_a_candidate_that_shows_each_voter_another_face_is_out() -> None:
    """Two voters see one thing, two see another: the candidate is noticed and no part of any cluster."""
    # shows: F7
    names = ["c0", "c1", "c2", "c3"]
    told = [one for name in names[1:] for one in votes(name, ["v0", "v1", "v2", "v3"])]
    told += votes("c0", ["v0", "v1"]) + votes("c0", ["v2", "v3"], "wrong")
    found = agree([candidate(name) for name in names], PROBES, told, dict.fromkeys(names, True))
    assert [one.name for one in found.disqualified] == ["c0"]
    assert found.verdict == "agreed"
    assert found.winner == "c1"


def test_observations_of_another_workspace_say_nothing() -> None:
    """What was seen of an earlier attempt, or of nobody, cannot be carried over to a candidate."""
    told = [one.model_copy(update={"workspace": "00" * 32}) for name in ("c0", "c1") for one in does(name)]
    told += does("nobody")
    found = agree([candidate("c0"), candidate("c1")], PROBES, told, {"c0": True, "c1": True})
    assert found.verdict == "ambiguous"
    assert found.clusters == ()


# -- acceptance, reviews


def test_agreement_on_something_that_fails_acceptance_is_none() -> None:
    """All may do the same and be wrong: acceptance examples have the last word."""
    assert decided(["wrong"] * 4, failing=range(4)).verdict == "none"
    assert decided(["right"] * 4, failing=[0, 1, 2]).verdict == "none"
    assert decided(["right"] * 4, failing=[0, 1]).verdict == "ambiguous"


def test_without_probes_nothing_is_agreed() -> None:
    """Candidates that were asked nothing have not agreed on anything."""
    found = agree([candidate("c0"), candidate("c1")], (), (), {"c0": True, "c1": True})
    assert found.verdict == "ambiguous"


@given(st.lists(behaviours, min_size=1, max_size=5), st.booleans(), st.sampled_from(["", "  ", "it keeps passwords"]))
@settings(max_examples=40, deadline=None)
def test_a_reviewer_may_stop_and_never_approve(how: list[str], veto: bool, reason: str) -> None:
    """A veto with a reason turns agreed into ambiguous; anything else that a reviewer says changes nothing."""
    # shows: F7
    before, after = decided(how), decided(how, reviews=[Review(reviewer="a model", veto=veto, reason=reason)])
    if before.verdict == "agreed" and veto and reason.strip():
        assert after.verdict == "ambiguous"
        assert after.winner is None
        assert "it keeps passwords" in after.reasons[0]
    else:
        assert after == before


# -- doubts


def _crossings(author: str, fails_on: Iterable[str], names: Sequence[str]) -> list[Crossing]:
    """One test of the author, run on all of these."""
    test = ("tests/test_it.py::test_one",)
    ran = {name: "failed" if name in set(fails_on) else "passed" for name in names}
    return [Crossing.model_validate({"author": author, "on": name, how: test}) for name, how in ran.items()]


def test_a_malicious_test_condemns_itself() -> None:
    """A test that passes on its author's program and on no other says something of the test, and changes nothing."""
    # shows: F7
    names = ["c0", "c1", "c2", "c3"]
    crossings = _crossings("c3", ["c0", "c1", "c2"], names)
    found = decided(["right"] * 4, crossings=crossings)
    assert found.verdict == "agreed"
    assert [(one.author, one.condemned) for one in found.doubts] == [("c3", "test")]
    assert found.model_copy(update={"doubts": ()}) == decided(["right"] * 4)


def test_a_test_that_most_pass_is_a_doubt_about_who_fails_it() -> None:
    """Only a doubt: the verdict does not hear of it."""
    names = ["c0", "c1", "c2", "c3"]
    found = decided(["right"] * 4, crossings=_crossings("c0", ["c3"], names))
    assert [(one.against, one.condemned) for one in found.doubts] == [(("c3",), "candidates")]
    assert found.verdict == "agreed"


def test_a_test_that_its_author_fails_says_nothing() -> None:
    """Nor does one that could not be run elsewhere."""
    names = ["c0", "c1"]
    told = [*_crossings("c0", ["c0", "c1"], names), Crossing(author="c1", on="c0", why_not="another interface")]
    assert decided(["right"] * 2, crossings=told).doubts == ()


# -- splits


def test_a_split_names_the_smallest_input_the_answers_and_the_requirements() -> None:
    """Of two probes that show the difference, the shorter; up to the first answer that differs."""
    # shows: F7
    answers = {"c0": RIGHT, "c1": RIGHT, "c2": (RIGHT[0], "exit 0\nnotes: 1")}
    told = [seen(name, probe, [*said, "x"][: len(probe.asks)]) for name, said in answers.items() for probe in PROBES]
    found = agree([candidate(name) for name in answers], PROBES, told, dict.fromkeys(answers, True))
    assert found.verdict == "ambiguous"
    [split] = found.splits
    assert [ask.line for ask in split.input] == ["notes add", "notes list"]
    assert [(one.candidates, one.text) for one in split.answers] == [
        (("c0", "c1"), RIGHT[1]),
        (("c2",), "exit 0\nnotes: 1"),
    ]
    assert split.requirements == ("FR-002",)


def test_a_split_is_told_also_where_the_others_agree() -> None:
    """A minority may have read the specification in another way; somebody may want to know."""
    found = decided(["right", "right", "right", "wrong"])
    assert found.verdict == "agreed"
    assert found.splits[0].answers[1].candidates == ("c3",)


def test_what_is_not_needed_is_left_out_of_an_input() -> None:
    """Each ask that the difference does not need goes; how often it is tried is bounded."""
    asks = tuple(Ask(line=f"ask {number}") for number in range(40))
    told = [
        seen("c0", probe := Probe.of("console", "long", asks), ["same"] * 39 + ["one"]),
        seen("c1", probe, ["same"] * 39 + ["two"]),
    ]
    [split] = agree([candidate("c0"), candidate("c1")], [probe], told, {}).splits
    tries = []

    def differ(shorter: Probe) -> bool:
        tries.append(shorter)
        lines = {ask.line for ask in shorter.asks}
        return {"ask 3", "ask 17"} <= lines and shorter.asks[-1].line == "ask 39"

    least = smallest(split, differ, most=80)
    assert [ask.line for ask in least.input] == ["ask 3", "ask 17", "ask 39"]
    assert len(tries) <= 80
    assert len(smallest(split, differ, most=2).input) >= 3
