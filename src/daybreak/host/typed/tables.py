"""CSV (RFC 4180) and TSV: a header, and rows that are all as wide as it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from daybreak.host.typed import plain
from daybreak.host.typed.refusals import DuplicateKey, Malformed, NotWritable, shown
from daybreak.host.typed.source import Source
from daybreak.host.typed.text import Text, decode


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are text. Every row has as many as there are columns; columns have different names."""

    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def records(self) -> list[dict[str, str]]:
        """Each row by the names of its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def parse_csv(source: Source) -> tuple[Table, Text]:
    """Cells between commas, in double quotes where they must be."""
    return _parse(source, ",")


def parse_tsv(source: Source) -> tuple[Table, Text]:
    """Cells between tabs, in double quotes where they must be."""
    return _parse(source, "\t")


def render_csv(value: object, path: str) -> bytes:
    """Lines end with `\\n`. Raises NotWritable."""
    return _render(value, path, ",")


def render_tsv(value: object, path: str) -> bytes:
    """Lines end with `\\n`. Raises NotWritable."""
    return _render(value, path, "\t")


def _parse(source: Source, delimiter: str) -> tuple[Table, Text]:
    import csv
    import io

    text = decode(source, guess=True)
    reader = csv.reader(io.StringIO(text.text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    cells, line = 0, 1
    try:
        for row in reader:
            if rows and len(row) != len(rows[0]):
                raise Malformed.at(
                    source.path,
                    f"a row of {len(row)} cells, the header has {len(rows[0])}",
                    hint="give each row one cell per column; a cell with a separator or a line break needs quotes",
                    line=line,
                )
            if not rows:
                _check_header(row, source, line)
            rows.append(row)
            cells += len(row)
            if cells > source.limits.values_max:
                raise plain.too_many(source.path, source.limits, line, 1)
            line = reader.line_num + 1
    except csv.Error as error:
        raise Malformed.at(
            source.path,
            f"not a table: {error}",
            hint='a cell with a separator, a line break or a quote needs quotes; quotes inside are doubled: ""',
            line=max(reader.line_num, 1),
        ) from error
    if not rows:
        raise Malformed.at(source.path, "no header", hint="name the columns in the first line", line=1)
    return Table(rows[0], rows[1:]), text


def _check_header(columns: list[str], source: Source, line: int) -> None:
    if not columns:
        raise Malformed.at(source.path, "an empty line where the header should be", hint="name the columns", line=line)
    if twice := _twice(columns):
        raise DuplicateKey.at(
            source.path, f"two columns named {shown(twice[0])!r}", hint="give each column its own name", line=line
        )


def _twice(columns: list[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in columns if name in seen or seen.add(name)]  # type: ignore[func-returns-value]


def _render(value: object, path: str, delimiter: str) -> bytes:
    name = "CSV" if delimiter == "," else "TSV"
    parts: tuple[object, ...] = (value.columns, value.rows) if isinstance(value, Table) else (None,)
    if not isinstance(value, Table) or not all(isinstance(part, list) for part in parts):
        raise plain.unwritable(path, name, "", "is no Table of two lists")
    lines: list[str] = []
    rows: list[Any] = [value.columns, *value.rows]  # whatever the caller has put there
    for number, row in enumerate(rows):
        where = f".rows[{number - 1}]" if number else ".columns"
        if not isinstance(row, list) or not row or len(row) != len(rows[0]):
            raise plain.unwritable(path, name, where, "has the wrong width")
        if not all(isinstance(cell, str) and "\0" not in cell for cell in row):
            raise plain.unwritable(path, name, where, "has a cell that is no text, or holds NUL")
        plain.refuse_unwritable(row, path, name)
        lines.append(delimiter.join(_cell(cell, delimiter, alone=len(row) == 1) for cell in row) + "\n")
    if twice := _twice(value.columns):
        raise NotWritable.at(path, f"two columns named {shown(twice[0])!r}", hint="give each its own name")
    return "".join(lines).encode()


def _cell(cell: str, delimiter: str, *, alone: bool) -> str:
    """Quoted where it must be, and where a reader could trim it. A byte order mark in front would be taken for one."""
    special = any(one in cell for one in (delimiter, '"', "\n", "\r", "\ufeff"))
    if special or cell != cell.strip() or (alone and not cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell
