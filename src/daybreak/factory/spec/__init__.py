"""The specification reader: Markdown, YAML, TOML or JSON becomes one model, or a list of everything wrong with it."""

from pathlib import Path

from daybreak.factory.spec.file import schema, schema_text
from daybreak.factory.spec.model import Specification
from daybreak.factory.spec.problems import CODES, Problem, SpecInvalid
from daybreak.factory.spec.reading import not_shown, problems_of, problems_of_text, read, read_text
from daybreak.factory.spec.source import Format
from daybreak.factory.spec.source import format_of as _known_format
from daybreak.factory.spec.template import template
from daybreak.factory.spec.withhold import without_examples


def format_of(path: Path) -> Format:
    """The format that the file's name stands for. Raises SpecInvalid for an unknown ending."""
    found = _known_format(path)
    if found is None:
        raise SpecInvalid([Problem(str(path), 1, "S117", f"the format of {path.name} is unknown", "name it NAME.md")])
    return found


__all__ = [
    "CODES",
    "Format",
    "Problem",
    "SpecInvalid",
    "Specification",
    "format_of",
    "not_shown",
    "problems_of",
    "problems_of_text",
    "read",
    "read_text",
    "schema",
    "schema_text",
    "template",
    "without_examples",
]
