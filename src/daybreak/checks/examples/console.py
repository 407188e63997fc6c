"""Runs `console` blocks: one POSIX shell, command by command.

The shell reads its commands from a file of ours and speaks with us over two pipes (8: go on, 9: done) that
are closed for the commands themselves. Before each command it is given a fresh random word, which it says
back with the exit status when the command is done. So nothing that a program prints can be taken for the end
of a command, and after that word everything that the command itself printed is there to be read.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.examples import transcript
from daybreak.checks.examples.transcript import Command
from daybreak.checks.product import Product
from daybreak.host.process import Finished, Guarded
from daybreak.host.sandbox import Sandbox, Strength

SHELL = "/bin/sh"
OUTPUT_BYTES_MAX = 1_000_000
FILE_BYTES_MAX = 64 * 1024 * 1024

# `(exit N)` gives the command the `$?` of the one before.
_ONE_COMMAND = """\
IFS= read -r __word <&8 || exit 125
{{ (exit "${{__status:-0}}"); eval {command}
}} 8<&- 9>&-
__status=$?
printf '%s %s\\n' "$__word" "$__status" >&9
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command did."""

    command: Command
    printed: tuple[str, ...]
    """Lines of standard output, then of standard error."""
    exit_code: int | None
    """None: it did not end, or never began."""
    why: str = ""
    """Where there is no exit code: what happened."""

    @property
    def as_expected(self) -> bool:
        return self.exit_code == self.command.exit_code and transcript.matches(self.command, self.printed)


def run(
    commands: Sequence[Command],
    folder: Path,
    product: Product,
    *,
    require: Strength = sandboxed.WANTED,
    timeout_s: float,
    stop_early: bool = False,
    cancelled: threading.Event | None = None,
) -> tuple[list[Ran], Finished]:
    """Run the commands in the empty `folder`/work, in order; one entry each, also for those that never began.

    Of `folder`, which is real and empty, they can change this, HOME and TMPDIR, and nothing beside these.
    `stop_early` ends after the first that is not as expected. Raises HostError where there is no shell.
    """
    work = folder / "work"
    work.mkdir()
    script = folder / "session.sh"
    script.write_text(
        "".join(_ONE_COMMAND.format(command=shlex.quote(command.text)) for command in commands), "utf-8"
    )
    env = product.environment(folder)
    readable = [script, product.prefix, product.tree, *product.readable]
    sandbox = sandboxed.around(work, *sandboxed.homes(folder), readable=readable, require=require)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(_session(script, work, env, sandbox, timeout_s, cancelled))
        ran: list[Ran] = []
        for command in commands:
            ran.append(session.do(command))
            if stop_early and not ran[-1].as_expected:
                session.guarded.end()
                break
        session.wait()
        finished = session.guarded.finish()
        return [_with_reason(one, finished) for one in ran], finished


def _with_reason(ran: Ran, finished: Finished) -> Ran:
    if ran.exit_code is not None or ran.why:
        return ran
    # The shell itself ended with this command (`exit 3`, or a syntax error), or we ended it.
    if finished.ended_by_us or finished.signal is not None:
        return Ran(ran.command, ran.printed, None, finished.ending)
    return Ran(ran.command, ran.printed, finished.exit_code)


@contextlib.contextmanager
def _session(
    script: Path,
    work: Path,
    env: dict[str, str],
    sandbox: Sandbox,
    timeout_s: float,
    cancelled: threading.Event | None,
) -> Iterator[_Session]:
    go_out, go_in = os.pipe()
    done_out, done_in = os.pipe()
    try:
        try:
            guarded = Guarded(
                [SHELL, script],
                cwd=work,
                env=env,
                timeout_s=timeout_s,
                output_bytes_max=OUTPUT_BYTES_MAX,
                file_bytes_max=FILE_BYTES_MAX,
                fds={8: go_out, 9: done_in},
                cancelled=cancelled,
                sandbox=sandbox,
            )
        finally:
            os.close(go_out)
            os.close(done_in)
        try:
            yield _Session(guarded, go_in, done_out)
        finally:
            guarded.close()
    finally:
        os.close(go_in)
        os.close(done_out)


class _Session:
    def __init__(self, guarded: Guarded, go_fd: int, done_fd: int) -> None:
        self.guarded, self._go_fd = guarded, go_fd
        self._said = bytearray()
        self._over = False
        guarded.listen(done_fd, self._hear)

    def _hear(self, part: bytes) -> None:
        self._said += part

    def do(self, command: Command) -> Ran:
        if self._over:
            return Ran(command, (), None, "the shell had ended before")
        out, err = len(self.guarded.stdout), len(self.guarded.stderr)
        word = secrets.token_hex(16)
        self._said.clear()
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go_fd, word.encode() + b"\n")
        while (code := self._code(word)) is None and not self.guarded.over:
            self.guarded.pump()
        self.guarded.drain()
        self._over = code is None
        printed = transcript.lines_of(transcripts.text(self.guarded.stdout[out:]))
        printed += transcript.lines_of(transcripts.text(self.guarded.stderr[err:]))
        return Ran(command, tuple(printed), code)

    def _code(self, word: str) -> int | None:
        for line in bytes(self._said).decode("ascii", "replace").split("\n")[:-1]:
            said, _, code = line.partition(" ")
            if said == word and code.isdigit():
                return int(code)
        return None

    def wait(self) -> None:
        while not self.guarded.over:
            self.guarded.pump()
