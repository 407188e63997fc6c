"""Runs one acceptance example on a product, or on nothing, and says what was seen."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.evidence import Evidence, Mark, Outcome
from daybreak.checks.example import Example
from daybreak.checks.examples import block, console, exchange, listing, null, transcript
from daybreak.checks.product import Product
from daybreak.errors import HostError
from daybreak.host.process import ServerNotReady
from daybreak.host.sandbox import Strength

READY_S = 20.0
NOTHING_READY_S = 5.0
"""How long something may take to serve an http example when nothing is installed."""


SERVER_LONGER_S = 10.0
"""How much longer a server may run than its block, so that the requests' time is over first."""


def run_example(
    example: Example,
    product: Product,
    scratch: Path,
    *,
    serve: str,
    prefix: str = "",
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 60,
    cancelled: threading.Event | None = None,
) -> Evidence:
    """Run an example in fresh empty folders below `scratch`, ended after `timeout_s` with all it started.

    `serve` starts the product for http examples, `prefix` stands before its /health. The evidence is
    `unusable` where the block cannot be read or this machine cannot run it, never for what the product did.
    """
    started = time.monotonic()
    seen = _Seen(example, serve)
    if found := block.faults(example.kind, example.body):
        seen.unusable = f"the example cannot be read: {found[0].message}"
    else:
        folder = Path(tempfile.mkdtemp(prefix=f"{example.kind}-", dir=scratch.resolve()))
        try:
            _run(
                seen,
                product,
                folder,
                prefix=prefix,
                require=require,
                timeout_s=timeout_s,
                ready_s=READY_S,
                cancelled=cancelled,
            )
        except HostError as error:
            seen.unusable = f"it cannot be run here: {error.message}"
        if cancelled is not None and cancelled.is_set():
            seen.unusable = "it was cancelled"
    return seen.evidence(product.workspace, round((time.monotonic() - started) * 1000))


def proves(
    example: Example,
    name: str,
    scratch: Path,
    *,
    serve: str,
    prefix: str = "",
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 20,
) -> str | None:
    """Why an example proves nothing: what that does nothing it passes on. None: it proves something.

    It is run on nothing; a console example also on commands that end with 0 and with 1 and say nothing; an
    http example on servers that answer every request with 200 and with 404 and nothing. `name` is the
    product's command. Raises HostError where this machine cannot run it.
    """
    folder = Path(tempfile.mkdtemp(prefix="null-", dir=scratch.resolve()))


    def passes(product: Product) -> bool:
        return _passes(example, product, Path(tempfile.mkdtemp(dir=folder)), serve, prefix, timeout_s, require)

    if passes(null.nothing(name, folder / "nothing")):
        return "it passes where nothing is installed"
    if example.kind == "console":
        for code in (0, 1):
            product = null.program(name, code, folder / f"exit-{code}")
            if passes(product):
                return f"it passes on a program that ends with status {code} and says nothing"
    if example.kind == "http":
        for status in (200, 404):
            if _passes_on_silence(example, status, timeout_s):
                return f"it passes on a server that answers every request with {status} and nothing"
    return None


def _passes(
    example: Example,
    product: Product,
    folder: Path,
    serve: str,
    prefix: str,
    timeout_s: float,
    require: Strength,
) -> bool:
    seen = _Seen(example, serve)
    ready_s = min(NOTHING_READY_S, timeout_s)
    _run(
        seen,
        product,
        folder,
        prefix=prefix,
        require=require,
        timeout_s=timeout_s,
        ready_s=ready_s,
        stop_early=True,
    )
    return not seen.marks


def _passes_on_silence(example: Example, status: int, timeout_s: float) -> bool:
    from daybreak.checks.examples import web

    with null.server(status) as port:
        talk = web.hold(exchange.read(example.body)[0], port, timeout_s=timeout_s, stop_early=True)
    return not talk.problems


class _Seen:
    """What is seen of one example while it runs."""

    def __init__(self, example: Example, serve: str) -> None:
        self.example, self.serve = example, serve
        self.marks: list[Mark] = []
        self.output: list[str] = []
        self.count, self.unusable = 0, ""

    def mark(self, line: int, message: str) -> None:
        self.marks.append(Mark(message=message, place=f"{self.example.title}, line {self.example.line + line}"))

    def evidence(self, workspace: str, duration_ms: int) -> Evidence:
        outcome: Outcome = "unusable" if self.unusable else "failed" if self.marks else "passed"
        what = {"console": "commands", "http": "requests", "files": "claims"}[self.example.kind]
        wrong = len(self.marks)
        summary = self.unusable or (
            f"{wrong} difference{'s' * (wrong != 1)}: {self.marks[0].message.splitlines()[0]}"
            if self.marks
            else f"{self.count} {what if self.count != 1 else what[:-1]} as expected"
        )
        return Evidence(
            check=f"example:{self.example.id}",
            workspace=workspace,
            outcome=outcome,
            summary=summary,
            command=self.serve if self.example.kind == "http" else "",
            counts={what: self.count, "differences": wrong},
            marks=tuple(self.marks),
            requirements=self.example.requirements,
            output=transcripts.cut("\n".join(self.output)),
            duration_ms=duration_ms,
        )


def _run(
    seen: _Seen,
    product: Product,
    folder: Path,
    *,
    prefix: str,
    require: Strength,
    timeout_s: float,
    ready_s: float,
    stop_early: bool = False,
    cancelled: threading.Event | None = None,
) -> None:
    if seen.example.kind == "console":
        _run_console(seen, product, folder, require, timeout_s, stop_early, cancelled)
    elif seen.example.kind == "http":
        _run_http(seen, product, folder, prefix, require, timeout_s, ready_s, stop_early, cancelled)
    else:
        _run_files(seen, product)


# -- console


def _run_console(
    seen: _Seen,
    product: Product,
    folder: Path,
    require: Strength,
    timeout_s: float,
    stop_early: bool,
    cancelled: threading.Event | None,
) -> None:
    commands, _ = transcript.read(seen.example.body)
    ran, finished = console.run(
        commands,
        folder,
        product,
        require=require,
        timeout_s=timeout_s,
        stop_early=stop_early,
        cancelled=cancelled,
    )
    seen.count = len(ran)
    for one in ran:
        seen.output += [f"$ {one.command.text}", *one.printed]
        seen.output += [f"[{one.why or one.exit_code}]"] if one.exit_code != 0 else []
        if not one.as_expected:
            seen.mark(one.command.line, _difference(one))
    if finished.ended_by_us and not seen.marks and not stop_early:
        seen.mark(0, f"the shell did not end by itself: {finished.ending}")


def _difference(ran: console.Ran) -> str:
    command = ran.command
    told = [f"$ {command.text}"]
    if ran.exit_code is None:
        told.append(f"it has no exit status: {ran.why}")
    elif ran.exit_code != command.exit_code:
        told.append(f"expected exit status {command.exit_code}, got {ran.exit_code}")
    if not transcript.matches(command, ran.printed):
        told.append("expected (-) and printed (+) differ:")
        told += transcript.difference(command.expected, ran.printed)
    return transcripts.cut("\n".join(told), 4_000)


# -- http


def _run_http(
    seen: _Seen,
    product: Product,
    folder: Path,
    prefix: str,
    require: Strength,
    timeout_s: float,
    ready_s: float,
    stop_early: bool,
    cancelled: threading.Event | None,
) -> None:
    from daybreak.checks.examples import web  # late: httpx takes a tenth of a second, and most callers only read
    from daybreak.checks.examples.serving import serving

    exchanges, _ = exchange.read(seen.example.body)
    seen.count = len(exchanges)
    started = time.monotonic()
    try:
        with serving(
            seen.serve,
            product,
            folder,
            prefix=prefix,
            require=require,
            ready_s=min(ready_s, timeout_s),
            timeout_s=timeout_s + SERVER_LONGER_S,
            cancelled=cancelled,
        ) as (server, port):
            left_s = timeout_s - (time.monotonic() - started)
            talk = web.hold(exchanges, port, timeout_s=left_s, stop_early=stop_early)
            for line, problem in talk.problems:
                seen.mark(line, problem)
            if not server.running:
                seen.mark(0, "the server ended before the last answer")
    except ServerNotReady as error:
        seen.mark(0, error.message)
        seen.output.append(transcripts.text(error.output))
        return
    seen.output += [*talk.log, "-- what the server printed:", transcripts.text(server.output)]


# -- files


def _run_files(seen: _Seen, product: Product) -> None:
    claims, _ = listing.read(seen.example.body)
    seen.count = len(claims)
    for claim in claims:
        if problem := listing.problem(claim, product.tree):
            seen.mark(claim.line, problem)
            seen.output.append(problem)
