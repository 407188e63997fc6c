"""Programs that are not there, or are not the right ones."""

from __future__ import annotations

import subprocess

from benchmarks.error_corpus.family import NOTHING_WRONG, Family
from benchmarks.error_corpus.session import Session
from daybreak.host.files.transaction import transaction
from daybreak.host.programs import Platform, find_all
from daybreak.host.truth import command, created

# Both take an input and an output. Version 3 of shrink writes capitals; what else it does tells its other versions.
TOOL = """#!/bin/sh
if [ "$1" = --version ]; then echo "{name} {version}"; exit 0; fi
{work}
"""
SHRINK = 'tr a-z A-Z < "$1" > "$2"'
STAMP = '{ cat "$1"; echo stamped; } > "$2"'


class Pipeline(Family):
    """Clean a text, shrink it with a tool, stamp it with another."""

    def lay(self) -> None:
        self.put("in.txt", "  hello  \n")
        self.path = f"{self.folder}/bin:/usr/bin:/bin"
        self.culprit = "stamp" if self.trap == "second absent" else "shrink"
        if self.trap not in ("second absent", "both absent"):
            self.tool("stamp", "3.2", STAMP)
        if self.trap in ("absent", "both absent", "pipe", "ignored"):
            (self.folder / "bin").mkdir(exist_ok=True)
            return
        self.tool("shrink", "3.1", SHRINK)
        self.spoil()

    def spoil(self) -> None:
        """What the trap does to shrink."""
        shrink = self.folder / "bin/shrink"
        match self.trap:
            case "renamed":
                shrink.rename(shrink.with_name("shrink3"))
            case "not executable":
                shrink.chmod(0o644)
            case "too old":
                self.tool("shrink", "2.8", 'cp "$1" "$2"')
            case "too new":
                self.tool("shrink", "4.0", 'tr a-z A-Z < "$2" > "$1" 2>/dev/null; cp "$1" "$2"')
            case "pre-release":
                self.tool("shrink", "3.0.0rc1", 'cp "$1" "$2"')
            case "hidden":
                self.tool("shrink", "2.8", 'cp "$1" "$2"', folder="old")
                self.path = f"{self.folder}/old:{self.path}"
            case "library":
                self.put("bin/shrink", "#!/bin/sh\necho cannot open shared object file >&2\nexit 127\n", 0o755)
            case "crash":
                self.put("bin/shrink", "#!/bin/sh\nkill -SEGV $$\n", 0o755)
            case "interpreter":
                self.put("bin/shrink", "#!/opt/nowhere/ruby\n", 0o755)
            case "folder":
                shrink.unlink()
                shrink.mkdir()
            case "relative":
                self.tool("shrink", "3.1", 'echo oops > "$2"', folder=".")
                self.path = f".:{self.path}"

    def tool(self, name: str, version: str, work: str, *, folder: str = "bin") -> None:
        self.put(f"{folder}/{name}", TOOL.format(name=name, version=version, work=work), 0o755)

    def naive(self, session: Session) -> None:
        clean = session.step((self.folder / "in.txt").read_text).strip() + "\n"
        session.step(lambda: (self.folder / "clean.txt").write_text(clean))
        if self.recorded == "pipe":
            return self.shell(session, "cat clean.txt | shrink /dev/stdin /dev/stdout | stamp /dev/stdin out.txt")
        if self.recorded == "ignored":
            return self.shell(session, "shrink clean.txt small.txt || true; stamp small.txt out.txt")
        for argv in (["shrink", "clean.txt", "small.txt"], ["stamp", "small.txt", "out.txt"]):
            session.stubborn(lambda argv=argv: self.run(argv))
        return None

    def shell(self, session: Session, line: str) -> None:
        session.stubborn(lambda: self.run(["/bin/sh", "-c", line]))

    def run(self, argv: list[str]) -> None:
        environment = {"PATH": self.path}
        subprocess.run(argv, cwd=self.folder, env=environment, check=True, capture_output=True, timeout=60)

    def patterned(self, session: Session) -> None:
        here = Platform("linux", self.path, ("apt",))
        found = session.look(lambda: find_all("shrink>=3,<4", "stamp>=3,<4", platform=here))
        text = session.step((self.folder / "in.txt").read_text).strip() + "\n"

        def write() -> None:
            with transaction(self.folder) as files:
                files.write("clean.txt", text)

        session.step(write)
        for name, source, target in (("shrink", "clean.txt", "small.txt"), ("stamp", "small.txt", "out.txt")):
            argv = [str(found[name].path), source, target]
            session.step(
                lambda argv=argv, target=target: command(
                    argv, created(self.folder / target), cwd=self.folder, env={"PATH": "/usr/bin:/bin"}
                )
            )

    def wrong(self) -> str:
        return (
            NOTHING_WRONG if self.text("out.txt") == "HELLO\nstamped\n" else f"out.txt holds {self.text('out.txt')!r}"
        )
