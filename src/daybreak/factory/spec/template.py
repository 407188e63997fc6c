"""The specification that `daybreak spec new NAME` begins with: commented, small, and ready to be built."""

from __future__ import annotations

from importlib.resources import files

from daybreak.factory.spec import names
from daybreak.factory.spec.problems import Problem, SpecInvalid


def template(name: str) -> str:
    """A valid specification of a task list called `name`. Raises SpecInvalid where nothing can have that name."""
    if fault := names.name_fault(name):
        raise SpecInvalid([Problem(name, 1, "S125", *fault)])
    title = " ".join(part.capitalize() for part in name.replace("_", "-").split("-") if part)
    text = (files("daybreak.factory.spec") / "template.md").read_text(encoding="utf-8")
    return text.replace("@NAME@", name).replace("@TITLE@", title)
