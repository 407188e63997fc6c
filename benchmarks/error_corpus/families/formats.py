"""Files that are not what their names say."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any, ClassVar

from benchmarks.error_corpus.family import NOTHING_WRONG, Family
from benchmarks.error_corpus.session import Session
from daybreak.host import typed
from daybreak.host.files.transaction import transaction
from daybreak.host.truth import changed, expect


def packed() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("book.csv", "name,amount\nMüller,3\nWeiß,4\n")
    return memory.getvalue()


class Totals(Family):
    """Read names and amounts from a JSON or a CSV file; write the names, and the sum."""

    JSON: ClassVar = {
        "": '{"Müller": 3, "Weiß": 4}'.encode(),
        "error page": b"<!DOCTYPE html><html><body>Bad Gateway</body></html>",
        "truncated": '{"Müller": 3, "We'.encode(),
        "duplicate": '{"Müller": 3, "Weiß": 1, "Müller": 0, "Weiß": 4}'.encode(),
        "nan": '{"Müller": NaN, "Weiß": 4}'.encode(),
        "latin": '{"Müller": 3, "Weiß": 4}'.encode("latin-1"),
    }
    CSV: ClassVar = {"ragged": "name,amount\nMüller,3\nWeiß\n".encode(), "archive": packed()}

    def lay(self) -> None:
        self.name = "book.csv" if self.trap in self.CSV else "book.json"
        self.put(self.name, {**self.JSON, **self.CSV}[self.trap])
        self.put("totals.txt", "yesterday's\n")
        self.culprit = self.name

    def naive(self, session: Session) -> None:
        def read() -> dict[str, Any]:
            if self.name.endswith(".json"):
                with open(self.folder / self.name, encoding="utf-8", errors="replace") as file:
                    return dict(json.load(file))
            with open(self.folder / self.name, encoding="utf-8", errors="ignore", newline="") as file:
                return {row.get("name") or "": int(row.get("amount") or 0) for row in csv.DictReader(file)}

        book = session.stubborn(read)
        session.step(lambda: (self.folder / "totals.txt").write_text(written(book)))

    def patterned(self, session: Session) -> None:
        value = session.look(lambda: typed.read(self.folder / self.name).value)
        book = value if isinstance(value, dict) else {row["name"]: int(row["amount"]) for row in value.records()}

        def write() -> None:
            with expect(changed(self.folder / "totals.txt")), transaction(self.folder) as files:
                files.write("totals.txt", written(book))

        session.step(write)

    def wrong(self) -> str:
        return NOTHING_WRONG if self.text("totals.txt") == "Müller, Weiß: 7\n" else f"{self.text('totals.txt')!r}"


def written(book: dict[str, Any]) -> str:
    return f"{', '.join(sorted(book))}: {sum(book.values())}\n"
