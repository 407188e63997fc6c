"""How workers share a build where nobody has said so: a rule for each reason, and none without one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.build_desk import GOOD, SPECIFICATION, Desk, writes

from daybreak.events import AttemptBegan, PlanMade, TaskDivided
from daybreak.factory.phases import choosing, phase
from daybreak.factory.phases.choosing import CONTESTS, DIVIDED, Chosen, Hand, Purse, choose, groups
from daybreak.factory.phases.phase import Phases, PhaseUnknown
from daybreak.factory.spec import read_text
from daybreak.factory.spec.model import Specification
from daybreak.report.progress import Progress
from daybreak.settings import Settings, SettingsWrong, Sharing, checked
from daybreak.testing.clock import FakeClock

AUTO = Phases(phases=(), paradigm="auto")
RICH = Purse(Fraction(100), 100_000_000)


def spec(*entities: str, complexity: str = "moderate", head: str = "", requirements: str = "") -> Specification:
    """Entities as `Name` or `Name -> Other`, in a language that the embedded builder does not build."""
    tables = []
    for entity in entities:
        name, _, target = entity.partition(" -> ")
        row = f"| {target.lower()} | ref {target} | |\n" if target else ""
        tables.append(f"#### {name}\n\n| field | type | rules |\n|---|---|---|\n| text | text | required |\n{row}\n")
    front = f"name: shop\nlanguage: rust\ncomplexity: {complexity}\nholdout: 0\n{head}"
    text = f"---\n{front}---\n# Shop\n\nSells.\n\n## Objectives\n- sell\n\n## Requirements\n\n"
    text += f"### Functional Requirements\n{requirements or '- **FR-001**: System MUST be quick'}\n\n"
    text += "### Key Entities\n\n" + "".join(tables) if tables else ""
    text += "## Acceptance\n\n### FR-001 it says so\n```console\n$ shop --version\nshop 0.1.0\n```\n"
    return read_text(text, name="shop.md", format="md")


def hand(name: str = "codex", kind: str = "codex", **more: Any) -> Hand:
    return Hand(name, kind, **{"budget": "hard", **more})


CODEX, GEMINI, PI = hand("codex"), hand("gemini", "gemini"), hand("pi", "pi")
BUILDER = hand("builder", "builder", budget="none")
SCRIPT = hand("a.py:a", "python", budget="none")
APART = ("Book", "Customer")
TIED = ("Book", "Loan -> Book", "Fine -> Loan")


def chosen(told: Specification, *workers: Hand, purse: Purse = RICH, phases: Phases = AUTO, taken: str = "") -> Chosen:
    return choose(told, phases, workers, purse, taken=taken)


# -- one after the other


def test_one_worker_works_alone() -> None:
    """There is nobody to share with."""  # shows: F6
    made = chosen(spec(*APART, complexity="complex"), CODEX)
    assert (made.paradigm, made.why) == ("sequential", "codex is the only worker that can be asked here")


def test_nobody_works_alone_as_well() -> None:
    """The cascade will say why nobody can be asked; the paradigm needs no error of its own."""  # shows: F6
    assert chosen(spec(*APART, complexity="complex")).why == "nobody can be asked here"


def test_what_is_simple_is_not_shared() -> None:
    """However many workers there are."""  # shows: F6
    made = chosen(spec(*APART, complexity="simple"), CODEX, GEMINI, PI)
    assert made.paradigm == "sequential"
    assert "simple" in made.why


def test_what_the_embedded_builder_covers_is_its_alone() -> None:
    """It costs nothing; the others are asked where it turns out not to do."""  # shows: F6, F8
    told = spec(*APART, complexity="complex").model_copy(update={"language": "python"})
    made = chosen(told, BUILDER, CODEX, GEMINI)
    assert (made.paradigm, made.why) == ("sequential", "the embedded builder knows how to build all of it")
    assert chosen(told, CODEX, GEMINI).paradigm == "parallel"  # it is not in the order


def test_what_is_taken_over_is_not_shared_again() -> None:
    """Candidates begin from nothing, and here something is there."""  # shows: F6, P1
    made = chosen(spec(*APART), CODEX, GEMINI, taken="run-1")
    assert made.paradigm == "sequential"
    assert "run-1" in made.why


# -- divided


def test_independent_groups_are_built_side_by_side() -> None:
    """Which they are stands in the reason."""  # shows: F6
    made = chosen(spec(*APART), CODEX, GEMINI)
    assert (made.paradigm, made.why) == ("parallel", "2 groups need nothing of each other (Book; Customer)")


def test_what_needs_each_other_becomes_a_chain() -> None:
    """By way of their references."""  # shows: F5, F6
    made = chosen(spec(*TIED), CODEX, GEMINI)
    assert (made.paradigm, made.why) == ("chain", "its parts need each other (Book, Loan and Fine)")


def test_two_things_that_need_each_other_are_one_piece_of_work() -> None:
    """A planner's attempt would cost more than it brings; of what is complex it may be worth it."""  # shows: F6
    assert chosen(spec(*TIED[:2]), CODEX, GEMINI).paradigm == "sequential"
    assert chosen(spec(*TIED[:2], complexity="complex"), CODEX, GEMINI).paradigm == "chain"


def test_a_requirement_that_names_two_entities_ties_them() -> None:
    """Although neither refers to the other."""  # shows: F6
    text = "- **FR-001**: System MUST say which customer has which book"
    assert groups(spec(*APART)) == [["Book"], ["Customer"]]
    assert groups(spec(*APART, requirements=text)) == [["Book", "Customer"]]


def test_users_tie_what_belongs_to_them() -> None:
    """Whoever may write is asked for by both."""  # shows: F6
    told = spec("Account", "Book")
    account, book = told.entities
    from dataclasses import replace

    from daybreak.agents.entities import Login

    users = replace(account, login=Login(name="text", secret="text"))
    tied = told.model_copy(update={"entities": (users, replace(book, writers="users"))})
    assert groups(tied) == [["Account", "Book"]]


def test_nobody_divides_who_is_not_asked_in_words() -> None:
    """A function of one's own would build the whole when asked for a plan."""  # shows: F6
    made = chosen(spec(*APART), SCRIPT, hand("b.py:b", "python", budget="none"))
    assert (made.paradigm, made.why) == ("sequential", "nobody here can be asked to divide it")


@pytest.mark.parametrize("limits", ["{children: 1}", "{workers: 1}"])
def test_limits_that_allow_no_sharing_are_kept(limits: str) -> None:
    """And named."""  # shows: F5, F6
    made = chosen(spec(*APART, head=f"limits: {limits}\n"), CODEX, GEMINI)
    assert made.paradigm == "sequential"
    assert "its limits allow one" in made.why


# -- candidates


def test_what_is_complex_and_in_one_piece_is_a_tournament_of_three_workers() -> None:
    """Of two it is none."""  # shows: F6
    told = spec(*TIED, complexity="complex")
    assert chosen(told, CODEX, GEMINI).paradigm == "chain"
    made = chosen(told, CODEX, GEMINI, PI)
    assert (made.paradigm, made.candidates) == ("tournament", 3)
    assert made.why == "it is complex, and 3 different workers are here"


def test_the_configuration_says_which_contest() -> None:
    """And of how many, never more than there are workers."""  # shows: F6, F7
    told = spec(*TIED, complexity="complex")
    phases = phase.configured(Settings(paradigm=Sharing(contest="consensus", candidates=4)))
    assert chosen(told, CODEX, GEMINI, PI, phases=phases) == Chosen(
        "consensus", "it is complex, and 3 different workers are here", 3
    )


# -- what it would cost


@pytest.mark.parametrize(
    ("purse", "said"),
    [
        (Purse(Fraction(5, 2), None), "tournament of 3 could take 3 USD, and 2.5 are left"),
        (Purse(Fraction(0), None), "tournament of 3 could take 3 USD, and 0 are left"),
        (Purse(None, 1_000), "tournament of 3 could take 1500 tokens, and 1000 are left"),
    ],
)
def test_what_could_cost_more_than_is_left_is_not_done(purse: Purse, said: str) -> None:
    """Three candidates, each at the most that an attempt may cost."""  # shows: N8, F6
    crew = [hand(name, money_usd=1.0, tokens=500) for name in ("one", "two", "three")]
    made = chosen(spec(*TIED, complexity="complex"), *crew, purse=purse)
    assert made.paradigm == "sequential"
    assert said in made.why
    assert chosen(spec(*TIED, complexity="complex"), *crew, purse=Purse(Fraction(3), None)).paradigm == "tournament"


def test_nothing_is_multiplied_that_nobody_can_stop() -> None:
    """A worker that can spend past the gateway is not asked several times at once."""  # shows: N8, F6
    made = chosen(spec(*APART), CODEX, hand("claude", "claude", budget="soft"))
    assert made.paradigm == "sequential"
    assert "the budget of claude is soft" in made.why


hands_ = st.builds(
    Hand,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(["codex", "pi", "python", "builder", "outside", "model"]),
    st.sampled_from(["hard", "none", "soft"]),
    st.none() | st.floats(0.01, 50),
    st.none() | st.integers(1, 10**7),
)
purses = st.builds(Purse, st.none() | st.fractions(0, 100, max_denominator=100), st.none() | st.integers(0, 10**8))
SPECS = [
    spec(*entities, complexity=complexity, head=head)
    for entities in ((), APART, TIED)
    for complexity in ("simple", "complex")
    for head in ("", "paradigm: consensus\n", "paradigm: parallel\n")
]


@given(st.sampled_from(SPECS), st.lists(hands_, max_size=5, unique_by=lambda one: one.name), purses)
def test_whatever_is_chosen_could_be_paid(told: Specification, workers: list[Hand], purse: Purse) -> None:
    """At the most that each attempt may cost; and every choice has a reason, the same one each time."""  # shows: N8
    made = choose(told, AUTO, workers, purse)
    assert made == choose(told, AUTO, workers, purse)
    assert made.why
    if made.paradigm in CONTESTS or made.paradigm in DIVIDED:
        spending = [one for one in workers if one.budget != "none"]
        assert not any(one.budget == "soft" for one in spending)
        count = made.candidates if made.paradigm in CONTESTS else 2
        most = max((Fraction(str(one.money_usd)) for one in spending if one.money_usd is not None), default=Fraction(0))
        assert purse.money_usd is None or most * count <= purse.money_usd


# -- said by somebody


def test_what_is_asked_for_stays() -> None:
    """Flag before specification before configuration; a person may know better."""  # shows: F6
    told = Settings(paradigm=Sharing(use="chain", candidates=5))
    by_flag = phase.configured(told, paradigm="tournament", asked_by="parallel", candidates=2)
    assert (by_flag.paradigm, by_flag.paradigm_by, by_flag.candidates) == ("tournament", "--paradigm asks for it", 2)
    by_file = phase.configured(told)
    assert (by_file.paradigm, by_file.paradigm_by, by_file.candidates) == ("chain", "daybreak.toml asks for it", 5)
    assert phase.configured(told, asked_by="parallel").paradigm == "auto"  # weighed when the build begins
    assert phase.configured(told, paradigm="auto").paradigm == "auto"
    assert chosen(spec(), CODEX, phases=by_flag) == Chosen("tournament", "--paradigm asks for it", 2)
    with pytest.raises(PhaseUnknown, match="tornament") as unknown:
        phase.configured(Settings(), paradigm="tornament")
    assert "did you mean tournament?" in unknown.value.hint


@pytest.mark.parametrize(
    ("asked", "workers", "paradigm", "said"),
    [
        ("consensus", [CODEX], "consensus", "the specification asks for it"),
        ("sequential", [CODEX, GEMINI], "sequential", "the specification asks for it"),
        ("chain", [CODEX], "chain", "the specification asks for it"),
        ("parallel", [SCRIPT], "sequential", "nobody here can be asked to divide the work"),
        ("consensus", [BUILDER], "sequential", "the embedded builder makes the same each time"),
    ],
)
def test_what_the_specification_asks_for_is_done_where_it_can_be(
    asked: str, workers: list[Hand], paradigm: str, said: str
) -> None:
    """And where not, it is said why."""  # shows: F6, F7
    made = chosen(spec(complexity="simple", head=f"paradigm: {asked}\n"), *workers)
    assert made.paradigm == paradigm
    assert said in made.why


def test_a_consensus_that_cannot_be_paid_is_not_begun() -> None:
    """Although the specification asks for it: its budget is in it too."""  # shows: N8, F7
    told = spec(complexity="simple", head="paradigm: consensus\nbudget: {money: 1usd, attempts: 2}\n")
    made = choose(told, AUTO, [CODEX], choosing.allowed(told))
    assert made.paradigm == "sequential"
    assert made.why == ("the specification asks for it, but consensus of 3 could take 1.5 USD, and 1 are left")


def test_an_unknown_paradigm_is_refused_where_it_is_written() -> None:
    """In a specification with its line, in the configuration with its key."""  # shows: P8
    from daybreak.factory.spec import problems_of_text

    text = SPECIFICATION.replace("complexity: simple", "complexity: simple\nparadigm: consenus")
    _, problems = problems_of_text(text, name="notes.md", format="md")
    assert [(one.code, one.line) for one in problems] == [("S126", 5)]
    assert "consensus" in problems[0].remedy
    with pytest.raises(SettingsWrong, match=r"paradigm\.use"):
        checked({"paradigm": {"use": "all"}}, Path("/x.toml"))
    with pytest.raises(SettingsWrong, match="did you mean contest"):
        checked({"paradigm": {"contst": "consensus"}}, Path("/x.toml"))


# -- in a run


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def plan_of(desk: Desk, run: str) -> dict[str, Any]:
    (event,) = desk.events(run, PlanMade)
    assert isinstance(event, PlanMade)
    return event.plan


def test_a_run_says_and_keeps_what_was_chosen_and_why(desk: Desk) -> None:
    """In its plan, in the ledger, and in the lines that people see."""  # shows: F6, F14
    run = desk.submit()
    assert desk.supervise(run).state == "done"
    plan = plan_of(desk, run)
    assert (plan["paradigm"], plan["candidates"]) == ("sequential", 0)
    assert plan["paradigm_why"] == "builder is the only worker that can be asked here"
    line = Progress(FakeClock()).take(desk.events(run, PlanMade)[0])
    assert line == "paradigm sequential: builder is the only worker that can be asked here"


def test_a_run_goes_the_way_that_was_chosen(desk: Desk) -> None:
    """A consensus of the specification's is weighed against the run's budget and then held."""  # shows: F6, F7
    desk.works = [GOOD]
    text = SPECIFICATION.replace("complexity: simple", "complexity: simple\nparadigm: tournament")
    run = desk.submit("json:one", "json:two", text=text, candidates=2)
    assert desk.supervise(run).state == "done"
    assert (plan_of(desk, run)["paradigm"], plan_of(desk, run)["candidates"]) == ("tournament", 2)
    assert len(desk.events(run, AttemptBegan)) == 2
    assert sorted(desk.asked) == ["json:one", "json:two"]


def test_a_chosen_paradigm_stays_when_workers_vanish(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was chosen once; a run that is taken up again does not choose anew."""  # shows: P6, N1
    text = SPECIFICATION.replace("complexity: simple", "complexity: simple\nparadigm: tournament")
    text = text.replace("Short texts that stay.", "Short texts that stay. [NEEDS CLARIFICATION: how short?]")
    desk.works = [GOOD]
    path = desk.folder / "notes.md"
    path.write_text(text)
    from daybreak.factory import task

    rules: dict[str, Any] = {"output": desk.output, "settings": desk.settings, "sandbox": "none", "cwd": desk.folder}
    asked = task.make(path, workers=["json:one", "json:two"], assume=False, accept_unshown=True, candidates=2, **rules)
    run = task.submit(asked, desk.engine, desk.ledger)  # type: ignore[arg-type]
    parked = desk.supervise(run)
    assert parked.state == "parked"
    monkeypatch.setattr(choosing, "choose", None)
    assert parked.question is not None
    desk.engine.answer(run, parked.question, "80 characters")
    assert desk.supervise(run).state == "done"
    assert len(desk.events(run, AttemptBegan)) == 2


def test_nobody_is_looked_for_where_somebody_has_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking starts programs."""  # shows: F6
    from daybreak.factory import asking

    monkeypatch.setattr(asking, "look", None)
    desk.works = [writes(good="yes")]
    run = desk.submit("json:one", "json:two", paradigm="sequential")
    assert desk.supervise(run).state == "done"
    assert plan_of(desk, run)["paradigm_why"] == "--paradigm asks for it"
    assert not desk.events(run, TaskDivided)
