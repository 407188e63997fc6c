"""What is wrong with a specification: every problem with its place, its cause and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from daybreak.errors import SpecError

Severity = Literal["error", "warning"]

CODES: dict[str, str] = {
    "S110": "the file is not there",
    "S111": "it is not a file",
    "S112": "the file cannot be read",
    "S113": "the file is too large",
    "S114": "the file holds nothing",
    "S115": "the text is not UTF-8",
    "S116": "the file is not text",
    "S117": "the format is unknown",
    "S118": "the syntax is broken",
    "S119": "the structure is nested too deep or refers to itself",
    "S120": "the front matter is missing or broken",
    "S121": "a key is unknown",
    "S122": "a key occurs twice",
    "S123": "something needed is left out",
    "S124": "a value has the wrong shape",
    "S125": "the name cannot be used",
    "S126": "a value is not of its type",
    "S127": "a value is out of range",
    "S130": "the title is missing or occurs twice",
    "S131": "there is no objective",
    "S132": "there is no requirement",
    "S133": "a numbered line is malformed",
    "S134": "a number is used twice",
    "S135": "a section occurs twice",
    "S136": "a block or comment is not closed",
    "S137": "a user story is malformed",
    "S138": "an open question is malformed",
    "S139": "a part of an entity is malformed",
    "S140": "the table of an entity is missing or malformed",
    "S141": "a row has the wrong number of cells",
    "S142": "an entity cannot have this name",
    "S143": "a field cannot have this name",
    "S144": "a name is used twice",
    "S145": "two names clash in what is built from them",
    "S146": "a type is unknown",
    "S147": "the choices are malformed",
    "S148": "a rule is unknown",
    "S149": "a rule is given twice or contradicts another",
    "S150": "a rule does not fit the type",
    "S151": "a value does not fit its field",
    "S152": "a lower limit lies above the upper one",
    "S153": "a regular expression cannot be used",
    "S154": "a field is unknown",
    "S155": "an entity is unknown",
    "S156": "something refers to itself in a circle",
    "S157": "a plural cannot be used",
    "S158": "an action cannot be used",
    "S159": "a line of totals cannot be used",
    "S160": "an acceptance block has no heading that names a requirement",
    "S161": "a heading names an unknown requirement",
    "S162": "an acceptance block is of an unknown kind",
    "S163": "an acceptance block is malformed",
    "S164": "an acceptance block uses a face that the result does not have",
    "S170": "a login, or what hangs on one, cannot be used",
    "S171": "a rule about another entity does not fit",
    "S172": "a line below a table cannot be used",
    "S180": "a heading is not known, what stands below it is not read",
    "S181": "a text is not read",
    "S182": "no acceptance example shows a requirement",
    "S183": "an open question",
    "S184": "a value has no effect",
    "S185": "a requirement says neither MUST nor SHOULD nor MAY",
    "S186": "a pattern may take very long",
}
"""What each code stands for. From S180 on they are warnings. A code never changes its meaning."""

_WORD_LENGTH_MAX = 60
_TEXT_LENGTH_MAX = 400
"""Of a message or remedy, in characters; what a person wrote may be longer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. `line` counts from 1; 1 also where the place is not known more closely."""

    file: str
    line: int
    code: str
    message: str
    """What is wrong."""
    remedy: str
    """What to write instead."""
    severity: Severity = "error"


class SpecInvalid(SpecError):
    """A specification cannot be used; `problems` holds everything that is wrong, sorted by line."""

    code = "S101"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        errors = [problem for problem in self.problems if problem.severity == "error"]
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        lines = [f"{errors[0].file} has {count}"] if errors else ["the specification cannot be used"]
        lines += [f"{problem.file}:{problem.line}: {problem.code} {problem.message}" for problem in errors]
        super().__init__("\n".join(lines), hint=_hint(errors))


def _hint(errors: list[Problem]) -> str:
    if len(errors) == 1:
        return errors[0].remedy
    name = errors[0].file if errors else "FILE"
    return f"`daybreak spec check {name}` says for each what to write instead"


@dataclass(slots=True)
class Problems:
    """Collects while a specification is read, so that everything is told at once."""

    file: str
    found: list[Problem] = field(default_factory=list)
    last: int | None = None
    """The file's last line: what is missing below it is told there."""

    def add(self, line: int, code: str, message: str, remedy: str, severity: Severity = "error") -> None:
        line = max(1, line if self.last is None else min(line, self.last))
        self.found.append(Problem(self.file, line, code, _told(message), _told(remedy), severity))

    def warn(self, line: int, code: str, message: str, remedy: str) -> None:
        self.add(line, code, message, remedy, "warning")

    @property
    def errors(self) -> bool:
        return any(problem.severity == "error" for problem in self.found)

    def sorted(self) -> list[Problem]:
        """By line, then code; equal ones once."""
        return sorted(dict.fromkeys(self.found), key=lambda problem: (problem.line, problem.code))


def _told(text: str) -> str:
    return text if len(text) <= _TEXT_LENGTH_MAX and text.isprintable() else cut(text, _TEXT_LENGTH_MAX)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    if len(word) > _WORD_LENGTH_MAX:
        return None
    by_fold = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), list(by_fold), n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None


def meant(word: str, known: Iterable[str], otherwise: str) -> str:
    """A remedy: the word that was probably meant, or `otherwise`."""
    near = nearest(word, known)
    return f"did you mean {near}?" if near is not None and near != word else otherwise


def listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def cut(text: str, length: int = 60) -> str:
    """The text on one line without control characters, shortened for a message."""
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"
