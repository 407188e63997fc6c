"""A specification as Markdown that our own reader reads back as the very same specification.

`write` proves that by reading what it wrote: a model that Markdown cannot hold (a text that begins like a heading,
a comment inside a title, a part of the model that this page does not know yet) is refused, never written as
something else. `render` is the page alone, for specifications that still lack something.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import Any

from daybreak.agents.protocol import HttpOptions
from daybreak.errors import SpecError
from daybreak.factory import entity_writing
from daybreak.factory.spec import problems_of_text
from daybreak.factory.spec.blocks import parts
from daybreak.factory.spec.model import Budget, Clarification, Limits, Needed, Quality, Specification, Story
from daybreak.factory.spec.problems import Problems
from daybreak.factory.spec.questions import WORDS, find

_DEFAULT_SERVE = "{name} serve --port {{port}}"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+#/-]*", re.ASCII)
_NULLS = frozenset({"null", "Null", "NULL", "~", ""})
_FENCE = re.compile(r"`{3,}")
OPEN_QUESTIONS = "Open Questions"
"""The heading of questions that stand in no text: those of cells and of the front matter."""


class SpecUnwritable(SpecError):
    """Markdown cannot hold this specification; nothing was written."""

    code = "S229"


def write(spec: Specification) -> str:
    """The text that `read_text(…, format="md")` reads as `spec`, but for the line numbers of examples and questions.

    Raises SpecUnwritable where there is no such text.
    """
    text = render(spec)
    found, problems = problems_of_text(text, name=spec.name, format="md")
    if found is None:
        first = next(problem for problem in problems if problem.severity == "error")
        raise SpecUnwritable(
            f"{spec.name} cannot be written as Markdown: {first.message}",
            hint=f"line {first.line} of what would be written: {first.remedy}; or keep it as YAML",
        )
    if differs := difference(spec, found):
        raise SpecUnwritable(
            f"{spec.name} cannot be written as Markdown: its {differs} would be read as something else",
            hint="texts that begin like a list, a heading or a comment are no Markdown; reword them, or keep YAML",
        )
    return text


def difference(one: Specification, other: Specification) -> str | None:
    """The first part in which two specifications differ, line numbers apart; None where they say the same."""
    for name in Specification.model_fields:
        if _without_lines(getattr(one, name)) != _without_lines(getattr(other, name)):
            return name
    return None


def _without_lines(value: Any) -> Any:
    """Examples and questions without their place in the file; questions in no order, since they move with it."""
    if isinstance(value, tuple) and value and isinstance(value[0], Clarification):
        return sorted(question.question for question in value)
    if isinstance(value, tuple) and value and hasattr(value[0], "line"):
        return [item.model_copy(update={"line": 0}) for item in value]
    return value


def render(spec: Specification) -> str:
    """The page. That it reads back as the same is shown by `write` alone."""
    body = "\n\n".join(part for part in _sections(spec) if part) + "\n"
    asked = _questions_in(body)
    homeless = []
    for clarification in spec.clarifications:
        if asked[clarification.question] > 0:
            asked[clarification.question] -= 1
        else:
            homeless.append(f"- [{WORDS}: {clarification.question}]")
    if homeless:
        body += f"\n## {OPEN_QUESTIONS}\n\n" + "\n".join(homeless) + "\n"
    return front_matter(spec) + body


def _questions_in(body: str) -> Counter[str]:
    quiet = Problems("")
    _, tokens = parts(body, quiet)
    return Counter(
        question.question
        for token in tokens
        if token.type in ("inline", "html_block")
        for question in find(token.content, 1, quiet)
    )


# -- the front matter


def front_matter(spec: Specification) -> str:
    """What differs from the defaults, and the name."""
    lines = [f"name: {yaml_text(spec.name)}"]
    for key, default in (("version", "0.1.0"), ("language", "python")):
        if (value := getattr(spec, key)) != default:
            lines.append(f"{key}: {yaml_text(value)}")
    if spec.interfaces != ("cli",):
        lines.append(f"interfaces: [{', '.join(spec.interfaces)}]")
    if not spec.complexity_estimated:
        lines.append(f"complexity: {spec.complexity}")
    if spec.paradigm is not None:
        lines.append(f"paradigm: {spec.paradigm}")
    for key, pairs in (
        ("budget", _budget(spec.budget)),
        ("limits", _changed(spec.limits, Limits())),
        ("quality", _changed(spec.quality, Quality())),
        ("needs", _needs(spec.needs)),
    ):
        if pairs:
            lines.append(f"{key}: {{{', '.join(f'{name}: {value}' for name, value in pairs.items())}}}")
    if spec.holdout != 0.33:
        lines.append(f"holdout: {_share(spec.holdout)}")
    if spec.serve != _DEFAULT_SERVE.format(name=spec.name) and spec.serve:
        lines.append(f"serve: {yaml_text(spec.serve)}")
    if http := _http(spec):
        lines.append(f"http: {{{', '.join(http)}}}")
    return "\n".join(["---", *lines, "---", ""])


def _changed(value: Limits | Quality, default: Limits | Quality) -> dict[str, str]:
    pairs = {}
    for name in type(value).model_fields:
        held = getattr(value, name)
        if held != getattr(default, name):
            pairs[name] = f"[{', '.join(map(str, held))}]" if isinstance(held, tuple) else str(held)
    return pairs


def _needs(needs: Needed) -> dict[str, str]:
    pairs = {}
    if needs.cpus:
        pairs["cpus"] = f"{needs.cpus:g}"
    if needs.memory_bytes:
        mebibytes, rest = divmod(needs.memory_bytes, 1024 * 1024)
        pairs["memory"] = f"{needs.memory_bytes}B" if rest else f"{mebibytes}MiB"
    if needs.labels:
        pairs["labels"] = f"[{', '.join(needs.labels)}]"
    return pairs


def _budget(budget: Budget) -> dict[str, str]:
    default, pairs = Budget(), {}
    if budget.time_s != default.time_s:
        whole_minutes = budget.time_s % 60 == 0
        pairs["time"] = f"{budget.time_s // 60}m" if whole_minutes else f"{budget.time_s}s"
    if budget.money_usd != default.money_usd:
        pairs["money"] = f"{_plain_decimal(budget.money_usd)}usd"
    if budget.tokens != default.tokens:
        pairs["tokens"] = str(budget.tokens)
    if budget.attempts != default.attempts:
        pairs["attempts"] = str(budget.attempts)
    return pairs


def _plain_decimal(amount: Decimal) -> str:
    return f"{amount:f}"


def _share(share: float) -> str:
    text = f"{share:.9f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _http(spec: Specification) -> list[str]:
    pairs = []
    if spec.http.prefix:
        pairs.append(f"prefix: {yaml_text(spec.http.prefix)}")
    if spec.http.cors == "*":
        pairs.append('cors: "*"')
    elif spec.http.cors:
        pairs.append(f"cors: [{', '.join(yaml_text(origin, quoted=True) for origin in spec.http.cors)}]")
    if spec.http.delete_all:
        pairs.append("delete_all: true")
    default = HttpOptions()
    for name in ("envelope", "errors", "names", "page", "page_max", "put"):
        if (value := getattr(spec.http, name)) != getattr(default, name):
            pairs.append(f"{name}: {value}")
    if spec.http.statuses:
        pairs.append(f"statuses: {{{', '.join(f'{key}: {status}' for key, status in spec.http.statuses.items())}}}")
    return pairs


def yaml_text(text: str, *, quoted: bool = False) -> str:
    """A YAML scalar of this very text, on one line; in quotes unless it is a plain word."""
    if not quoted and _PLAIN.fullmatch(text) and text not in _NULLS:
        return text
    return '"' + "".join(_yaml_letter(letter) for letter in text) + '"'


def _yaml_letter(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable() and ord(letter) < 0xFFFE:
        return letter
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


# -- the sections


def heading(text: str) -> str:
    """A heading's text: `#` at its end would be taken for its closing."""
    return f"{text} #" if text.endswith("#") else text


def _sections(spec: Specification) -> list[str]:
    return [
        f"# {heading(spec.title)}",
        spec.summary,
        _listed("## Objectives", spec.objectives),
        _stories(spec),
        _requirements(spec),
        _listed("## Success Criteria", [f"**{one.id}**: {one.text}" for one in spec.success_criteria]),
        _listed("## Out of Scope", spec.out_of_scope),
        _acceptance(spec),
    ]


def _listed(title: str, items: tuple[str, ...] | list[str]) -> str:
    return f"{title}\n\n" + "\n".join(f"- {item}" for item in items) if items else ""


def _stories(spec: Specification) -> str:
    if not spec.stories:
        return ""
    return "\n\n".join(["## User Stories", *(_story(number, story) for number, story in enumerate(spec.stories, 1))])


def _story(number: int, story: Story) -> str:
    priority = f" (Priority: {story.priority})" if story.priority else ""
    parts_ = [f"### User Story {number} - {heading(story.title + priority)}", story.narrative]
    if story.scenarios:
        parts_.append("\n".join(f"{n}. {scenario}" for n, scenario in enumerate(story.scenarios, 1)))
    return "\n\n".join(part for part in parts_ if part)


def _requirements(spec: Specification) -> str:
    found = []
    if spec.requirements:
        found.append(_listed("### Functional Requirements", [f"**{one.id}**: {one.text}" for one in spec.requirements]))
    if spec.entities:
        found += ["### Key Entities", *(entity_writing.written(entity) for entity in spec.entities)]
    return "\n\n".join(["## Requirements", *found]) if found else ""


def _acceptance(spec: Specification) -> str:
    found, title = ["## Acceptance"], None
    for example in spec.examples:
        if example.title != title:
            title = example.title
            found.append(f"### {heading(example.title)}")
        found.append(_block(example.kind, example.body))
    return "\n\n".join(found) if spec.examples else ""


def _block(kind: str, body: str) -> str:
    longest = max((len(run) for run in _FENCE.findall(body)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{body}{fence}"
