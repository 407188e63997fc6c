"""A process that is killed in the middle of its work: at every place where it opens, renames or makes something."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.error_corpus.family import NOTHING_WRONG, Family
from benchmarks.error_corpus.session import Session
from daybreak.errors import HostError
from daybreak.host.files.transaction import recover

ROOT = Path(__file__).parents[3]
PLACES_MAX = 60
FILES = {"one file": ("a.txt",), "two files": ("a.txt", "b.txt")}

# Killed by itself, at its n-th system event inside the folder: the same places for both ways. Each file is written in
# four pieces, each read from a file of its own.
CHILD = """
import os, signal, sys
from pathlib import Path
way, folder, place, names = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split("/")
from daybreak.host.files.transaction import transaction
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link")
seen = 0
def hook(event, arguments):
    global seen
    if event in EVENTS and armed:
        seen += 1
        if seen == place:
            os.kill(os.getpid(), signal.SIGKILL)
armed = False
sys.addaudithook(hook)
armed = True
if way == "naive":
    for name in names:
        with open(folder / name, "w", buffering=1) as output:
            for piece in range(4):
                output.write((folder / f"new-{piece}").read_text())
else:
    with transaction(folder) as files:
        for name in names:
            files.write(name, "".join((folder / f"new-{piece}").read_text() for piece in range(4)))
"""


class Killed(Family):
    """Write the files again; whoever reads them later sees all of them old, or all of them new."""

    claims = False

    def lay(self) -> None:
        self.names = FILES[self.recorded]
        self.lay_old()
        for piece in range(4):
            self.put(f"new-{piece}", f"new {piece}\n")
        self.mixtures: list[int] = []
        self.culprit = "killed"

    def lay_old(self) -> None:
        for name in self.names:
            self.put(name, "old\n")

    def naive(self, session: Session) -> None:
        session.steps += 1  # not timed: a sweep is many sessions
        self.sweep("naive")

    def patterned(self, session: Session) -> None:
        session.steps += 1
        self.sweep("patterned")

    def sweep(self, way: str) -> None:
        """Once for every place, until it is not reached any more: then the work ends by itself. Without a trap nobody
        kills."""
        for place in range(1, PLACES_MAX) if self.trap else [-1]:
            self.lay_old()
            argv = [sys.executable, "-c", CHILD, way, str(self.folder), str(place), "/".join(self.names)]
            ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
            if way == "patterned":
                recover(self.folder)
            if self.is_mixture():
                self.mixtures.append(place)
            if ran.returncode == 0:
                return
            if ran.returncode != -signal.SIGKILL:
                raise HostError(f"the child ended with {ran.returncode}: {ran.stderr[-500:]}", hint="see the benchmark")
        raise HostError("the child never came to its end", hint="raise PLACES_MAX")

    def is_mixture(self) -> bool:
        new = "".join(f"new {piece}\n" for piece in range(4))
        return {self.text(name) for name in self.names} not in ({"old\n"}, {new})

    def wrong(self) -> str:
        return f"after a kill at {self.mixtures} the files were neither old nor new" if self.mixtures else NOTHING_WRONG
