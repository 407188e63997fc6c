"""Totals: counts, sums and means by the values of a field."""

from __future__ import annotations

import re

from daybreak.agents.entities import Field, Measure, Total
from daybreak.factory.spec import questions
from daybreak.factory.spec.located import Scalar
from daybreak.factory.spec.problems import Problems, cut, listed, meant

_FORM = re.compile(r"(?P<measures>.*?)(?:\s+by\s+(?P<month>month\s+of\s+)?(?P<by>\S+))?", re.DOTALL)
_MEASURE = re.compile(r"(?P<kind>sum|mean)\s+(?P<field>\S+)")
EXAMPLE = "write it like `count`, `sum pages` by shelf"
_NUMERIC = frozenset({"integer", "number", "decimal"})


def column(measure: Measure) -> str:
    """As printed: `count`, `sum_pages`, `mean_rating`."""
    return measure.kind if measure.field is None else f"{measure.kind}_{measure.field}"


def read(line: Scalar, where: str, fields: dict[str, Field], problems: Problems) -> Total | None:
    """The line of totals, or None with problems."""
    return _Line(line.line, where, fields, problems).read(questions.without(line.text))


class _Line:
    def __init__(self, line: int, where: str, fields: dict[str, Field], problems: Problems) -> None:
        self.line, self.where, self.fields, self.problems = line, f"{where}, totals", fields, problems
        self.good = True

    def refuse(self, message: str, remedy: str, code: str = "S159") -> None:
        self.good = False
        self.problems.add(self.line, code, f"{self.where}: {message}", remedy)

    def read(self, text: str) -> Total | None:
        found = _FORM.fullmatch(" ".join(text.replace("`", "").split()))
        assert found is not None, "the form matches every text"
        measures = [self.measure(part.strip()) for part in found["measures"].split(",")]
        by = self.by(found["by"], month=bool(found["month"])) if found["by"] else None
        kept = [measure for measure in measures if measure is not None]
        columns = [column(measure) for measure in kept] + ([by] if by else [])
        for name in dict.fromkeys(columns):
            if columns.count(name) > 1:
                self.refuse(
                    f"two columns would be called {name}", "write each measure once, and group by another field"
                )
        if not self.good:
            return None
        return Total(measures=tuple(kept), by=by, by_month=bool(found["month"]))

    def measure(self, text: str) -> Measure | None:
        if text == "count":
            return Measure(kind="count")
        found = _MEASURE.fullmatch(text)
        if found is None:
            self.refuse(f"{cut(text)!r} is no measure" if text else "a measure is missing", EXAMPLE)
            return None
        field = self.field(found["field"])
        if field is None:
            return None
        if field.type.name not in _NUMERIC:
            self.refuse(
                f"{field.name} is no number, it has no {found['kind']}", "use an integer, number or decimal, or count"
            )
            return None
        return Measure(kind="sum" if found["kind"] == "sum" else "mean", field=field.name)

    def field(self, name: str) -> Field | None:
        field = self.fields.get(name)
        if field is None:
            self.refuse(
                f"there is no field {cut(name)}",
                meant(name, self.fields, f"the fields are {listed(self.fields)}"),
                "S154",
            )
        return field

    def by(self, name: str, *, month: bool) -> str | None:
        field = self.field(name)
        if field is None:
            return None
        if month and field.type.name not in ("date", "timestamp"):
            self.refuse(f"{name} is no date and has no month", f"write by {name}, or by month of a date or timestamp")
        elif field.type.name in ("list", "link") or field.secret:
            kind = "secret" if field.secret else f"a {field.type.name}"
            self.refuse(f"{name} is {kind} and cannot group", "group by another field")
        return name
