"""Many items, of which some do not work."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from benchmarks.error_corpus.family import NOTHING_WRONG, Family
from benchmarks.error_corpus.session import Session
from daybreak.host import typed
from daybreak.host.batch import Batch
from daybreak.host.files.transaction import Transaction, transaction
from daybreak.host.truth import command, created, valid

COUNT = 8


class Convert(Family):
    """Turn eight JSON lists into CSV files; a reader needs all of them, or yesterday's."""

    def lay(self) -> None:
        words = self.trap.split()
        self.items = [(f"in/{number}.json", f"out/{number}.csv") for number in range(COUNT)]
        self.skip = "skip" in self.recorded.split()
        self.outside.mkdir(exist_ok=True)
        for number, (source, target) in enumerate(self.items):
            self.put(source, json.dumps([number, number + 1]))
            self.put(target, "yesterday's\n")
        if self.trap.startswith(("same", "target")):
            self.spoil_target()
        elif self.trap == "malformed two":
            for number in (2, 6):
                self.put(self.items[number][0], "[1,")
            self.culprit = "2.json"
        elif self.trap:
            self.spoil_source(words[0], int(words[1]) % COUNT)

    def spoil_source(self, how: str, number: int) -> None:
        source = self.items[number][0]
        self.culprit = f"{number}.json"
        match how:
            case "malformed":
                self.put(source, "[1, 2")
            case "shape":
                self.put(source, '{"rows": 3}')
            case "empty":
                self.put(source, "")
            case "missing":
                (self.folder / source).unlink()

    def spoil_target(self) -> None:
        target = {
            "same target": "out/1.csv",
            "target is a folder": "out/folder.csv",
            "target outside": f"../{self.outside.name}/5.csv",
            "target through a link": "linked/5.csv",
        }[self.trap]
        (self.folder / "out/folder.csv").mkdir()
        (self.folder / "linked").symlink_to(self.outside)
        self.items[5] = (self.items[5][0], target)
        self.culprit = target.split("/")[-1]

    def naive(self, session: Session) -> None:
        def convert(source: str, target: str) -> None:
            with open(self.folder / target, "w") as output, open(self.folder / source) as file:
                output.write("".join(f"{number + 0}\n" for number in json.load(file)))

        for source, target in self.items:
            try:
                session.stubborn(lambda source=source, target=target: convert(source, target))
            except (OSError, ValueError, TypeError):
                if not self.skip:
                    raise

    def patterned(self, session: Session) -> None:
        with transaction(self.folder) as files:
            batch = Batch()
            for source, target in self.items:
                self.add(session, batch, files, source, target)
            session.look(batch.validate)
            batch.run().require()

    def add(self, session: Session, batch: Batch, files: Transaction, source: str, target: str) -> None:
        """Named by its target, so that no two have the same."""

        def check() -> None:
            session.look(lambda: typed.read(self.folder / source, into=list[int]))

        def do(_: Any) -> None:
            numbers = typed.read(self.folder / source, into=list[int]).value
            session.step(lambda: files.write(target, "".join(f"{number}\n" for number in numbers)))

        batch.add(target, do, check=check)

    def wrong(self) -> str:
        wanted = {f"out/{number}.csv": f"{number}\n{number + 1}\n" for number in range(COUNT)}
        off = [name for name, text in wanted.items() if self.text(name) != text]
        return f"not converted: {off}" if off or any(self.outside.iterdir()) else NOTHING_WRONG


class Build(Family):
    """Five targets, some made from others: file `x.txt` is the names of all it was made from, and its own."""

    def lay(self) -> None:
        needs: dict[str, list[str]] = {
            "base": [],
            "core": ["base"],
            "app": ["core"],
            "docs": ["base"],
            "all": ["app", "docs"],
        }
        order = list(needs)
        match self.trap:
            case "wrong order":
                order = ["base", "app", "core", "docs", "all"]
            case "reversed":
                order = order[::-1]
            case "circle":
                needs["base"] = ["docs"]
            case "unknown":
                needs["docs"] = ["base", "theme"]
            case "itself":
                needs["docs"] = ["docs"]
        self.targets = [(name, needs[name]) for name in order]
        self.culprit = {"unknown": "theme"}.get(self.trap, "docs")
        self.put("out/.keep", "-")

    def make(self, name: str, needs: list[str]) -> str:
        return "".join((self.folder / f"out/{need}.txt").read_text() for need in needs) + f"{name}\n"

    def naive(self, session: Session) -> None:
        for name, needs in self.targets:
            text = session.stubborn(lambda name=name, needs=needs: self.make(name, needs))
            (self.folder / f"out/{name}.txt").write_text(text)

    def patterned(self, session: Session) -> None:
        batch = Batch()
        for name, needs in self.targets:
            self.add(session, batch, name, needs)
        session.look(batch.validate)
        batch.run().require()

    def add(self, session: Session, batch: Batch, name: str, needs: list[str]) -> None:
        path = self.folder / f"out/{name}.txt"

        def do(_: Any) -> None:
            text = session.step(lambda: self.make(name, needs))
            path.write_text(text)

        batch.add(name, do, needs=needs, undo=lambda _: path.unlink())

    def wrong(self) -> str:
        return NOTHING_WRONG if (self.text("out/all.txt") or "").endswith("all\n") else "there is no `all`"


class Tool(Family):
    """Run a converter over eight files. It fails where nobody can know it before."""

    def lay(self) -> None:
        how, _, place = self.trap.partition(" ")
        number = int(place) % COUNT if place else -1
        self.culprit = f"{number}.json" if self.trap else ""
        bad = {"fails": "exit 1", "lies": "exit 0"}.get(how, "true")
        self.put("convert", f'#!/bin/sh\ncase "$1" in *{number}.txt) {bad};; esac\ncp "$1" "$2"\n', 0o755)
        self.put("out/.keep", "-")
        for one in range(COUNT):
            self.put(f"in/{one}.txt", json.dumps([one]))

    def argv(self, number: int) -> list[str]:
        place = self.folder
        return ["/bin/sh", f"{place}/convert", f"{place}/in/{number}.txt", f"{place}/out/{number}.json"]

    def naive(self, session: Session) -> None:
        for number in range(COUNT):
            session.stubborn(
                lambda number=number: subprocess.run(self.argv(number), check=True, capture_output=True, timeout=60)
            )

    def patterned(self, session: Session) -> None:
        batch = Batch()
        for number in range(COUNT):
            self.add(session, batch, number)
        session.look(batch.validate)
        batch.run().require()

    def add(self, session: Session, batch: Batch, number: int) -> None:
        target = self.folder / f"out/{number}.json"

        def do(_: Any) -> None:
            try:
                session.step(lambda: command(self.argv(number), created(target), valid(target)))
            except Exception:
                target.unlink(missing_ok=True)
                raise

        batch.add(str(target), do, undo=lambda _: target.unlink())

    def wrong(self) -> str:
        off = [number for number in range(COUNT) if self.text(f"out/{number}.json") != f"[{number}]"]
        return f"not converted: {off}" if off else NOTHING_WRONG
