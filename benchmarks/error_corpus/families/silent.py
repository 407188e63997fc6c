"""Programs and functions that say that they did it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from typing import ClassVar

from benchmarks.error_corpus.family import NOTHING_WRONG, Family
from benchmarks.error_corpus.session import Session
from daybreak.host.truth import (
    Probe,
    answers,
    changed,
    command,
    contains,
    expect,
    holds,
    only_changed,
    prints,
    unchanged,
    valid,
)

GOOD = '{"day": "2026-11-21", "rows": [1, 2, 3]}'
OLD = '{"day": "2026-11-20", "rows": [9]}'
WRITE = f"printf '%s' '{GOOD}' > out/report.json"


class Lying(Family):
    """A program `export.sh` that ends with 0; the naive procedure goes by that, and by a file being there."""

    noticing_counts: ClassVar[bool] = True
    expects_file: ClassVar[str] = ""

    def script(self, lines: str) -> None:
        self.put("export.sh", f"#!/bin/sh\n{lines}\necho done\nexit 0\n", 0o755)

    def argv(self) -> list[str]:
        return ["/bin/sh", str(self.folder / "export.sh"), "--day", "2026-11-21"]

    def naive(self, session: Session) -> None:
        def run() -> None:
            ran = subprocess.run(self.argv(), cwd=self.folder, capture_output=True, text=True, timeout=60)
            if ran.returncode != 0 or "done" not in ran.stdout:
                raise RuntimeError("export failed")

        session.stubborn(run)
        if self.expects_file and not (self.folder / self.expects_file).exists():
            raise RuntimeError("no report")

    def patterned(self, session: Session) -> None:
        session.step(lambda: command(self.argv(), *self.probes(), cwd=self.folder))

    def probes(self) -> list[Probe]:
        """What the task says must be true afterwards."""
        raise NotImplementedError


class Exporter(Lying):
    """Export one day into out/report.json, where an older report lies; nothing else may change."""

    expects_file = "out/report.json"
    SCRIPTS: ClassVar = {
        "": WRITE,
        "nothing": ":",
        "touches": "touch out/report.json",
        "same again": f"printf '%s' '{OLD}' > out/report.json",
        "elsewhere": f"printf '%s' '{GOOD}' > report.json",
        "empty": ": > out/report.json",
        "half": 'printf \'%s\' \'{"day": "2026-11-21", "rows": [1, 2\' > out/report.json',
        "error page": "printf '<html>502, day 2026-11-21</html>' > out/report.json",
        "link": f"printf '%s' '{GOOD}' > report.tmp; ln -sf ../report.tmp out/report.json",
        "folder": "rm out/report.json; mkdir out/report.json",
        "side effect": f"{WRITE}; rm data/input.csv",
        "yesterday's": 'printf \'%s\' \'{"day": "2026-11-19", "rows": [4]}\' > out/report.json',
        "no -e": "cd nowhere/in/particular 2>/dev/null; nonesuch-export > /dev/null 2>&1",
    }

    def lay(self) -> None:
        self.put("data/input.csv", "1\n2\n3\n")
        self.put("out/report.json", OLD)
        self.script(self.SCRIPTS[self.trap])
        self.culprit = "nothing changes" if self.trap == "side effect" else "report.json"

    def probes(self) -> list[Probe]:
        report = self.folder / "out/report.json"
        return [changed(report), valid(report), contains(report, "2026-11-21"), only_changed(self.folder, "out")]

    def wrong(self) -> str:
        if self.text("data/input.csv") is None:
            return "the input is gone"
        try:
            report = json.loads(self.text("out/report.json") or "")
        except ValueError:
            return "the report is no JSON"
        return NOTHING_WRONG if report == json.loads(GOOD) else "the report is another one"


class Parts(Lying):
    """Split a file into five parts."""

    def lay(self) -> None:
        count = 4 if self.trap else 5
        self.put("out/.keep", "-")
        self.script(f'i=0; while [ $i -lt {count} ]; do echo part > out/part-$i.txt; i=$((i+1)); done; echo "5 parts"')
        self.culprit = "5"

    def probes(self) -> list[Probe]:
        return [holds(self.folder / "out", 5, pattern="part-*.txt")]

    def wrong(self) -> str:
        there = [number for number in range(5) if self.text(f"out/part-{number}.txt")]
        return NOTHING_WRONG if len(there) == 5 else f"only parts {there}"


class Server(Lying):
    """Start a service. In the healthy world it listens already."""

    def lay(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        if not self.trap:
            self.socket.listen()
        self.script("echo listening")
        self.culprit = str(self.port)

    def probes(self) -> list[Probe]:
        return [answers(self.port, within_s=0.1)]

    def wrong(self) -> str:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return NOTHING_WRONG
        except OSError as error:
            return str(error)

    def close(self) -> None:
        self.socket.close()


class Tests(Lying):
    """Run the tests."""

    def lay(self) -> None:
        self.put("tests.txt", "one\ntwo\n")
        select = "tests-renamed.txt" if self.trap else "tests.txt"
        self.script(f'n=$(cat {select} 2>/dev/null | wc -l); echo ran >> ran-$n; echo "$n passed"')
        self.culprit = "passed"

    def probes(self) -> list[Probe]:
        return [prints(self.argv(), r"\b[1-9]\d* passed", cwd=self.folder), unchanged(self.folder / "tests.txt")]

    def wrong(self) -> str:
        return NOTHING_WRONG if self.text("ran-2") else "not one test was run"


class Function(Family):
    """A plain function that keeps a record, and gives True."""

    noticing_counts = True

    def lay(self) -> None:
        self.put("store/record.json", OLD)
        self.culprit = "record.json"
        if self.trap:
            (self.folder / "store/record.json").unlink()
            (self.folder / "store/record.json").mkdir()

    def save(self) -> bool:
        """As it is found in many programs."""
        with contextlib.suppress(OSError):
            (self.folder / "store/record.json").write_text(GOOD)
        return True

    def naive(self, session: Session) -> None:
        if not session.stubborn(self.save):
            raise RuntimeError("not saved")

    def patterned(self, session: Session) -> None:
        record = self.folder / "store/record.json"
        session.step(expect(changed(record), valid(record))(self.save))

    def wrong(self) -> str:
        return NOTHING_WRONG if self.text("store/record.json") == GOOD else "nothing was saved"
