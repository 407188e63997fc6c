"""What a plan says of whoever would be asked: there or not, and what its budget is worth."""

from __future__ import annotations

import pytest
from tests.unit.build_desk import SPECIFICATION
from tests.unit.test_factory import ROOMY

from daybreak.cli.plan import show
from daybreak.factory import asking, plan
from daybreak.factory.spec import read_text
from daybreak.settings import Price, Provider, Settings, SettingsWrong, Worker

PRICES = {"dear": Price(input=1, output=2)}
SETTINGS = Settings(
    order=("away", "dear", "cheap", "builder"),
    providers={"p": Provider(api="openai", address="http://127.0.0.1:9/v1", prices=PRICES)},
    workers={
        "away": Worker(kind="codex", program="codex-that-nobody-has"),
        "dear": Worker(kind="model", provider="p", model="dear"),
        "cheap": Worker(kind="model", provider="p", model="unknown"),
    },
)


def test_each_is_shown_with_what_is_missing_and_how_hard_its_budget_is() -> None:
    """A model without a price is counted in tokens, and nobody knows what they cost."""  # shows: F8, N1
    away, dear, cheap, builder = asking.look(SETTINGS.order, SETTINGS, {"PATH": "/usr/bin"})
    assert "codex-that-nobody-has" in away.missing
    assert (dear.missing, dear.budget) == ("", "hard")
    assert (cheap.missing, cheap.budget) == ("", "soft")
    assert (builder.missing, builder.budget) == ("", "none")


def test_what_the_embedded_builder_cannot_build_is_said_before_it_is_asked() -> None:
    """In its own words."""  # shows: F8
    *_, builder = asking.look(SETTINGS.order, SETTINGS, {}, beyond="there are no entities")
    assert builder.missing == "there are no entities"


def test_an_unknown_worker_is_refused() -> None:
    """A plan of nobody is none."""
    with pytest.raises(SettingsWrong):
        asking.look(["nobody"], SETTINGS, {})


def test_a_plan_shows_who_would_be_asked_and_whose_budget_is_soft(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the configuration; of the embedded builder alone there is nothing to tell."""  # shows: F8, F16
    spec = read_text(SPECIFICATION, name="notes.md", format="md")
    for names, told in ((SETTINGS.order, True), (("builder",), False)):
        asked = asking.look(names, SETTINGS, {})
        fields = {"worker": ", ".join(names), "held_out": 0, "assume": True, "sandbox": "none"}
        show(plan.make(spec, ROOMY, asked=asked, **fields))  # type: ignore[arg-type]
        shown = " ".join(capsys.readouterr().out.split())
        assert ("3. cheap (model): its budget is soft" in shown) is told
        assert ("codex-that-nobody-has" in shown) is told
