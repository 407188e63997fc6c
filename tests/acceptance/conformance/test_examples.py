"""The examples that we ship: complete, small enough to be tried at once, and nothing promised that is not shown."""

from __future__ import annotations

import pytest

from daybreak.factory.spec import not_shown, problems_of, read

from .product import EXAMPLES

# shows: F2 F3

NAMES = ("todo", "library", "expenses")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_no_problem_and_shows_every_requirement(name: str):
    """Not even a warning; each MUST and SHOULD has an acceptance example."""
    path = EXAMPLES / name / "spec.md"
    spec, problems = problems_of(path)
    assert spec is not None
    assert problems == []
    assert not_shown(spec) == ()
    shown = {requirement for example in spec.examples for requirement in example.requirements}
    assert shown == {requirement.id for requirement in spec.requirements}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_every_section(name: str):
    """It is what a user imitates."""
    spec = read(EXAMPLES / name / "spec.md")
    assert all([spec.summary, spec.objectives, spec.stories, spec.success_criteria, spec.out_of_scope])
    assert all(story.scenarios and story.priority for story in spec.stories)
    assert spec.name == name


def test_the_first_example_is_quick_and_has_every_kind_of_block():
    """It is what `make demo` builds."""
    spec = read(EXAMPLES / "todo" / "spec.md")
    assert len(spec.examples) <= 10
    assert {example.kind for example in spec.examples} == {"console", "http", "files"}
    assert set(spec.interfaces) == {"cli", "http"}
