"""Files that are not there."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import ClassVar

from benchmarks.error_corpus.family import NOTHING_WRONG, Family
from benchmarks.error_corpus.session import Session
from daybreak.host import typed
from daybreak.host.files.transaction import transaction
from daybreak.host.truth import changed, contains, expect

SALES = "name,amount\napples,3\npears,4\n"


class Report(Family):
    """Sum the amounts of one CSV into a summary, of which there is an older one."""

    ASKED_AND_THERE: ClassVar = {
        "": ("data/sales.csv", "data/sales.csv"),
        "typo": ("data/sales.csv", "data/slaes.csv"),
        "case": ("data/sales.csv", "data/Sales.CSV"),
        "suffix": ("data/sales.csv", "data/sales.csv.bak"),
        "subfolder": ("data/sales.csv", "data/2026/sales.csv"),
        "dangling": ("data/sales.csv", "data/old.csv"),
        "folder": ("data/sales.csv", "data/sales.csv/sales.csv"),
        "tilde": ("~/sales.csv", "sales.csv"),
        "variable": ("$DATA/sales.csv", "data/sales.csv"),
        "pattern": ("data/*.csv", "data/sales.csv"),
        "other machine": ("/home/maria/project/data/sales.csv", "data/sales.csv"),
        "backslashes": ("data\\sales.csv", "data/sales.csv"),
        "url": ("file:///data/sales.csv", "data/sales.csv"),
        "newline": ("data/sales.csv\n", "data/sales.csv"),
        "composed": ("data/verkäufe.csv", unicodedata.normalize("NFD", "data/verkäufe.csv")),
    }
    OUTPUT_FIRST = ("subfolder", "dangling", "pattern", "newline")
    """Where the naive procedure opens its output before its input, as many do."""

    def lay(self) -> None:
        self.asked, there = self.ASKED_AND_THERE[self.trap]
        self.put(there, SALES)
        self.put("summary.txt", "total 1\n")
        if self.trap == "dangling":
            (self.folder / "data/sales.csv").symlink_to("gone.csv")
        self.culprit = "csv"

    def naive(self, session: Session) -> None:
        def output_first() -> None:
            with open(self.folder / "summary.txt", "w") as output, open(self.folder / self.asked) as source:
                output.write(f"total {total(source.read())}\n")

        def input_first() -> None:
            with open(self.folder / self.asked) as source:
                text = source.read()
            (self.folder / "summary.txt").write_text(f"total {total(text)}\n")

        session.stubborn(output_first if self.recorded in self.OUTPUT_FIRST else input_first)

    def patterned(self, session: Session) -> None:
        table = session.look(lambda: typed.read(self.folder / self.asked).value)
        amount = sum(int(row["amount"]) for row in table.records())

        def write() -> None:
            with expect(contains(self.folder / "summary.txt", f"total {amount}")), transaction(self.folder) as files:
                files.write("summary.txt", f"total {amount}\n")

        session.step(write)

    def wrong(self) -> str:
        return NOTHING_WRONG if self.text("summary.txt") == "total 7\n" else "the summary has no total of 7"


def total(text: str) -> int:
    return sum(int(line.split(",")[1]) for line in text.splitlines()[1:])


class Merge(Family):
    """Put five parts into one file, of which there is an older one."""

    MISSING: ClassVar = {"first": [0], "middle": [2], "last": [4], "two": [1, 3], "all": [0, 1, 2, 3, 4]}

    def lay(self) -> None:
        self.parts = [f"parts/{number}.csv" for number in range(5)]
        for number, part in enumerate(self.parts):
            self.put(part, f"name,amount\npart {number},{number}\n")
        self.put("all.csv", "yesterday's\n")
        gone = self.MISSING.get(self.trap, [3] if self.trap else [])
        for number in gone:
            (self.folder / self.parts[number]).unlink()
        if self.trap == "dangling":
            (self.folder / self.parts[3]).symlink_to("gone.csv")
        elif self.trap == "renamed":
            self.put("parts/3-new.csv", "name,amount\npart 3,3\n")
        elif self.trap == "empty":
            self.put(self.parts[3], "")
        self.culprit = Path(self.parts[gone[0]]).name if gone else ""

    def naive(self, session: Session) -> None:
        with open(self.folder / "all.csv", "w") as output:
            for part in self.parts:
                output.write(session.stubborn((self.folder / part).read_text))

    def patterned(self, session: Session) -> None:
        texts = []
        for part in self.parts:
            session.look(lambda part=part: typed.read(self.folder / part))
            texts.append((self.folder / part).read_text())

        def write() -> None:
            with expect(changed(self.folder / "all.csv")), transaction(self.folder) as files:
                files.write("all.csv", "".join(texts))

        session.step(write)

    def wrong(self) -> str:
        merged = self.text("all.csv") or ""
        missing = [number for number in range(5) if f"part {number}," not in merged]
        return f"parts {missing} are not in it" if missing else NOTHING_WRONG


class Move(Family):
    """Move six files into the archive: all of them, or none, because the index is made after that."""

    def lay(self) -> None:
        self.names = [f"letter-{number}.txt" for number in range(6)]
        for name in self.names:
            self.put(f"in/{name}", f"this is {name}\n")
        (self.folder / "archive").mkdir()
        at = {"first": 0, "middle": 3, "last": 5}.get(self.trap)
        if at is not None:
            (self.folder / "in" / self.names[at]).unlink()
            self.culprit = self.names[at]
        elif self.trap == "twice":
            self.names.insert(4, self.names[1])
            self.culprit = self.names[1]

    def naive(self, session: Session) -> None:
        for name in self.names:
            session.stubborn(lambda name=name: (self.folder / "in" / name).rename(self.folder / "archive" / name))

    def patterned(self, session: Session) -> None:
        def stage_all() -> None:
            for name in self.names:
                session.look(lambda name=name: files.rename(f"in/{name}", f"archive/{name}"))

        with transaction(self.folder) as files:
            stage_all()
            session.steps += 1

    def wrong(self) -> str:
        left = [name for name in self.names if self.text(f"archive/{name}") != f"this is {name}\n"]
        return f"not archived: {left}" if left else NOTHING_WRONG


class Include(Family):
    """Render three pages, each with what it includes; older ones are in their place."""

    def lay(self) -> None:
        for number in range(3):
            self.put(f"pages/{number}.html", f"<p>{number}</p>{{{{header.html}}}}")
            self.put(f"site/{number}.html", "yesterday's")
        self.put("pages/header.html", "<h1>shop</h1>{{footer.html}}")
        if self.trap in ("", "nested", "case", "folder"):
            wrong_place = {"case": "pages/Footer.html", "folder": "parts/footer.html"}.get(
                self.trap, "pages/footer.html"
            )
            if self.trap != "nested":
                self.put(wrong_place, "<i>end</i>")
            self.culprit = "footer.html"
        else:
            self.put("pages/footer.html", "<i>end</i>")
            self.put("pages/1.html", "<p>1</p>{{header.html}}{{banner.html}}")
            self.culprit = "banner.html"

    def naive(self, session: Session) -> None:
        def render(name: str) -> str:
            text = session.stubborn((self.folder / "pages" / name).read_text)
            return re.sub(r"\{\{(.*?)\}\}", lambda found: render(found[1]), text)

        for number in range(3):
            with open(self.folder / f"site/{number}.html", "w") as output:
                output.write(render(f"{number}.html"))

    def patterned(self, session: Session) -> None:
        def render(name: str) -> str:
            text: str = session.look(lambda: typed.read(self.folder / "pages" / name, "text").value)
            return re.sub(r"\{\{(.*?)\}\}", lambda found: render(found[1]), text)

        with transaction(self.folder) as files:
            for number in range(3):
                files.write(f"site/{number}.html", render(f"{number}.html"))
            session.steps += 1

    def wrong(self) -> str:
        whole = [self.text(f"site/{number}.html") or "" for number in range(3)]
        return NOTHING_WRONG if all("<i>end</i>" in text and "{{" not in text for text in whole) else "pages lack parts"


class Outputs(Family):
    """Write the result of some work into a folder that may not be there."""

    def lay(self) -> None:
        self.put("data.csv", SALES)
        self.out = "reports/2026/total.txt" if self.trap == "two levels" else "reports/total.txt"
        if self.trap == "a file above":
            self.put("reports", "a file\n")
        elif self.trap == "a dead link above":
            (self.folder / "reports").symlink_to("gone")
        elif not self.trap:
            (self.folder / "reports").mkdir()
        self.culprit = "reports"

    def naive(self, session: Session) -> None:
        amount = session.step(lambda: total((self.folder / "data.csv").read_text()))
        session.stubborn(lambda: (self.folder / self.out).write_text(f"total {amount}\n"))

    def patterned(self, session: Session) -> None:
        table = session.look(lambda: typed.read(self.folder / "data.csv").value)
        amount = sum(int(row["amount"]) for row in table.records())
        with transaction(self.folder) as files:
            session.look(lambda: files.write(self.out, f"total {amount}\n"))
            session.steps += 1

    def wrong(self) -> str:
        return NOTHING_WRONG if self.text(self.out) == "total 7\n" else "no total of 7"


class Index(Family):
    """Sum the amounts of all files that an index names."""

    def lay(self) -> None:
        names = [f"day-{number}.csv" for number in range(5)]
        for name in names:
            self.put(name, SALES)
        self.put("index.json", json.dumps(names))
        at = {"first": 0, "middle": 2, "last": 4, "dangling": 3}.get(self.trap)
        if at is not None:
            (self.folder / names[at]).unlink()
            self.culprit = names[at]
            if self.trap == "dangling":
                (self.folder / names[at]).symlink_to("gone.csv")

    def naive(self, session: Session) -> None:
        amount = 0
        for name in json.loads(session.step((self.folder / "index.json").read_text)):
            try:
                amount += total(session.stubborn((self.folder / name).read_text))
            except OSError:
                continue  # "skipping"
        session.step(lambda: (self.folder / "total.txt").write_text(f"total {amount}\n"))

    def patterned(self, session: Session) -> None:
        names = session.look(lambda: typed.read(self.folder / "index.json", into=list[str]).value)
        tables = [session.look(lambda name=name: typed.read(self.folder / name).value) for name in names]
        amount = sum(int(row["amount"]) for table in tables for row in table.records())

        def write() -> None:
            with expect(changed(self.folder / "total.txt")), transaction(self.folder) as files:
                files.write("total.txt", f"total {amount}\n")

        session.step(write)

    def wrong(self) -> str:
        return NOTHING_WRONG if self.text("total.txt") == "total 35\n" else "the total is not 35"
