"""Puts examples and probes to programs, each started by forking (see `hosts`). Runs as `python -I asking.py ORDER`,
inside of one sandbox, and tells JSON lines on standard output; `programs` is the other side.

An order names one specification and some programs, each as the files in which it differs from the first. Asked of each:
the visible examples, the held-out ones, the probes of the consensus, the judge's; in this order, and no further where
something is noticed. `measured` asks the first program everything, and tells with each answer which lines ran.

What is expected, and how answers are compared, is the product's own code: `checks.examples`, `factory.consensus`.
Only the way that programs start differs from theirs: a command that is one plain call is a fork of a process that has
the program imported, all else goes through a real shell. `programs.Bench.compared` shows how often that changes a
verdict.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.accepts.hosts import PLAIN, SERVERS, Hosted, Nursery, fresh

RIGHT = "as the right one"
READY_S = 30.0
BLOCK_S = 60.0
_TOKEN = r"""(?:[\w@%+=:,./^-]|'[^']*'|"[^"\\$`!]*")+"""
_PLAIN = re.compile(rf"(?:{_TOKEN}[ \t]+)*{_TOKEN}")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")


def plain_words(text: str, name: str) -> tuple[dict[str, str], list[str]] | None:
    """Variables and arguments where the line is one call of the program and nothing that only a shell can do."""
    if not _PLAIN.fullmatch(text.strip()):
        return None
    words = shlex.split(text)
    set_ = list(itertools.takewhile(_ASSIGNED.match, words))
    rest = words[len(set_) :]
    if not rest or rest[0] != name:
        return None
    return {one.partition("=")[0]: one.partition("=")[2] for one in set_}, rest[1:]


@dataclass
class Running:
    """One program and where it may work."""

    order: dict[str, Any]
    place: Path
    commands: Hosted
    servers: Hosted
    product: Any
    lines: Path | None = None
    """Where the lines that ran are written, one file for each command."""
    unmeasured: bool = False
    _count: int = 0

    def folder(self) -> Path:
        self.unmeasured = False
        if self.lines:
            fresh(self.lines)
        return fresh(self.place / "asked")

    def command(self, text: str, folder: Path) -> tuple[int, str, str]:
        work, env = folder / "work", self.product.environment(folder)
        work.mkdir(exist_ok=True)
        found = plain_words(text, self.order["name"])
        if found is None:
            self.unmeasured = True
            ran = subprocess.run(
                ["/bin/sh", "-c", text], cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            out, err = (one.decode("utf-8", "backslashreplace") for one in (ran.stdout, ran.stderr))
            return ran.returncode, out, err
        return self.commands.run(found[1], work, {**env, **found[0]}, self._lines())

    def _lines(self) -> Path | None:
        self._count += 1
        return self.lines / f"{self._count}.json" if self.lines else None

    @contextlib.contextmanager
    def serving(self, folder: Path) -> Iterator[int | None]:
        """The port; None where no server comes up."""
        from daybreak.checks.examples import serving

        work, port = folder / "work", serving.free_port()
        work.mkdir()
        found = plain_words(self.order["serve"].replace("{port}", str(port)), self.order["name"])
        assert found is not None, "a server that is started some other way"
        if self.servers.dead:
            yield None
            return
        pid = self.servers.start(found[1], work, {**self.product.environment(folder), **found[0]}, self._lines())
        try:
            ready, deadline = serving._health(port, self.order["prefix"]), time.monotonic() + READY_S
            while not (up := ready()) and time.monotonic() < deadline and self.servers.is_alive(pid):
                time.sleep(0.004)
            yield port if up else None
        finally:
            self.servers.stop(pid)

    # -- what is asked

    def passes(self, example: Any) -> bool:
        from daybreak.checks.examples import exchange, transcript, web

        folder = self.folder()
        if example.kind == "http":
            with self.serving(folder) as port:
                if port is None:
                    return False
                talk = web.hold(exchange.read(example.body)[0], port, timeout_s=BLOCK_S, stop_early=True)
                return not talk.problems
        for command in transcript.read(example.body)[0]:
            code, out, err = self.command(command.text, folder)
            printed = [*transcript.lines_of(out), *transcript.lines_of(err)]
            if code != command.exit_code or not transcript.matches(command, printed):
                return False
        return True

    def answers(self, probe: Any, known: Sequence[str] | None) -> list[str]:
        """In order; where they are `known`, up to the first that is another."""
        from daybreak.clock import SystemClock
        from daybreak.factory.consensus.normal import Normal
        from daybreak.factory.consensus.observing import _answer

        found: list[str] = []
        clock = SystemClock()
        began = clock.now()
        for ask, told in self._told(probe):
            found.append(_answer(Normal(probe, began, clock.now()), ask, told))
            if known is not None and found[-1:] != known[len(found) - 1 : len(found)]:
                return found
        return found

    def _told(self, probe: Any) -> Iterator[tuple[Any, Any]]:
        from daybreak.checks.examples import transcript
        from daybreak.factory.consensus import observing
        from daybreak.factory.consensus.normal import token_in

        folder = self.folder()
        if probe.face == "console":
            for ask in probe.asks:
                code, out, err = self.command(ask.line, folder)
                said = transcript.lines_of(f"{out}{observing._BETWEEN}\n{err}")
                yield ask, (f"exit {code}", [], "\n".join(said))
            return
        tokens: dict[str, str] = {}
        with self.serving(folder) as port:
            if port is None:
                return
            for ask in probe.asks:
                told = observing._send(ask, port, tokens.get(ask.bearer))
                yield ask, told
                if ask.keeps and (token := token_in(told[2])) is not None:
                    tokens[ask.keeps] = token
                if told[0] == observing._TOO_LATE:
                    return

    def ran(self) -> dict[str, list[int]] | None:
        """Which lines the last question ran, by path; None: not known."""
        if self.lines is None or self.unmeasured:
            return None
        found: dict[str, set[int]] = {}
        for file in self.lines.iterdir():
            for path, lines in json.loads(file.read_text()).items():
                found.setdefault(path, set()).update(lines)
        return {path: sorted(lines) for path, lines in found.items()}


class Asking:
    """All that there is to ask about one specification."""

    def __init__(self, order: dict[str, Any]) -> None:
        from daybreak.factory.consensus import probes
        from daybreak.factory.spec import read_text

        self.order = order
        spec = read_text(order["spec"], name="spec.md", format="md")
        held = set(order["held_out"])
        # The cheap ones first: a server answers sooner than commands.
        examples = sorted((one for one in spec.examples if one.kind != "files"), key=lambda one: one.kind != "http")
        self.examples = {one.id: one for one in examples}
        self.visible = [one.id for one in examples if one.id not in held]
        self.held_out = [one.id for one in examples if one.id in held]
        self.probes: dict[str, Any] = {}
        self.sets: dict[str, list[str]] = {"consensus": [], "judge": []}
        for name, seeds in order["seeds"].items():
            for seed, most in seeds:
                for probe in probes(spec, seed, most):
                    if self.probes.setdefault(probe.id, probe) is probe:
                        self.sets[name].append(probe.id)
        self.known: dict[str, list[str]] = order["known"]

    def measure(self, running: Running) -> Iterator[dict[str, Any]]:
        for id_, example in self.examples.items():
            yield {"item": id_, "passes": running.passes(example), "lines": running.ran()}
        for id_, probe in self.probes.items():
            yield {"item": id_, "answers": running.answers(probe, None), "lines": running.ran()}

    def judge(self, running: Running, wanted: set[str] | None, most: str) -> dict[str, Any]:
        """What notices the program, asking no further than `most`; `wanted`: only these can."""

        def of(ids: Sequence[str]) -> Iterator[str]:
            return (one for one in ids if wanted is None or one in wanted)

        def difference(ids: Sequence[str]) -> str:
            for id_ in of(ids):
                if (
                    id_ in self.known
                    and (found := running.answers(self.probes[id_], self.known[id_])) != self.known[id_]
                ):
                    return f"{id_} {len(found)} {found[-1] if found else ''}"[:2000]
            return RIGHT

        told: dict[str, Any] = {"visible": all(running.passes(self.examples[one]) for one in of(self.visible))}
        if told["visible"]:
            told["held_out"] = all(running.passes(self.examples[one]) for one in of(self.held_out))
            if told["held_out"] and most != "examples":
                told["behaviour"] = difference(self.sets["consensus"])
                if told["behaviour"] == RIGHT and most == "judge":
                    told["judged_wrong"] = difference(self.sets["judge"]) != RIGHT
        return told


def main(order: dict[str, Any]) -> None:
    commands, servers = Nursery.start(PLAIN), Nursery.start(SERVERS)
    import httpx._transports.default as transports

    from daybreak.checks.product import Product, make_prefix, write_program

    # A client for each request, as the checks have it, but what it trusts is read once.
    transports.create_ssl_context = functools.cache(transports.create_ssl_context)  # type: ignore[attr-defined]
    asking = Asking(order)
    top = Path(order["place"])
    for number, program in enumerate(order["programs"]):
        place = fresh(top / str(number))
        prefix = place / "prefix"
        make_prefix(prefix)
        (prefix / "lib").rmdir()
        shutil.copytree(order["lib"], prefix / "lib", ignore=shutil.ignore_patterns("__pycache__"))
        for path, text in program["files"].items():
            (prefix / "lib" / path).write_text(text)
        called = f"import sys; from {order['package']}.cli import console; sys.argv[0] = {order['name']!r}; console()"
        write_program(prefix / "bin" / order["name"], f'#!/bin/sh\nexec "{prefix}/bin/python3" -c "{called}" "$@"\n')
        product = Product(name=order["name"], workspace="0" * 64, tree=Path(order["tree"]), prefix=prefix)
        at = (prefix / "bin" / order["name"], prefix / "lib", order["package"])
        measured = order["measured"]
        with (
            Hosted(commands, *at, ("cli",), measured) as plain,
            Hosted(servers, *at, ("cli", "api"), measured) as served,
        ):
            running = Running(order, place, plain, served, product, place / "lines" if measured else None)
            if program.get("everything"):
                for told in asking.measure(running):
                    _tell(told)
            else:
                wanted = None if program["items"] is None else set(program["items"])
                told = asking.judge(running, wanted, program["most"])
                _tell({"id": program["id"], **told})
        shutil.rmtree(place, ignore_errors=True)
    for nursery in (commands, servers):
        nursery.close()


def _tell(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
