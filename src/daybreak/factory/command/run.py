"""Running one command of a task: in its sandbox, with its key, and with an honest account of how it ended."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from daybreak.config import Places
from daybreak.engine import Parked, spend
from daybreak.engine.flow import Paused
from daybreak.errors import PolicyError, UsageError, WorkerError
from daybreak.factory import machine, quantity
from daybreak.factory.command.task import CommandTask
from daybreak.factory.warden import Warden
from daybreak.host import process, removal
from daybreak.host.sandbox import Sandbox, SandboxMissing, SandboxRefused
from daybreak.ledger import Ledger
from daybreak.policy import amounts, failure, redaction
from daybreak.policy.budget import Amounts
from daybreak.policy.failure import Failure
from daybreak.policy.outage import reset_time

T = TypeVar("T")
Failed = TypeVar("Failed", bound="CommandFailed")

SHELL = "/bin/sh"
TAIL_CHARS = 4000
"""Of standard output and of errors, in a step's result."""
SAID_CHARS = 240
"""Of what a failed command said last, in its message; a failure is kept with 500 characters."""
GRACE = timedelta(minutes=1)
USED_FD = 3
TRY_LATER = 75
"""EX_TEMPFAIL of sysexits(3)."""
NOT_RUNNABLE, NOT_FOUND = 126, 127
"""Statuses by which a shell says that there is no such program."""

_LOOKED_LINES = 200
_OUTAGE = re.compile(
    r"\b429\b|\b529\b|too many requests|quota|rate.?limit|(?:usage|request|token|session|daily|hourly|weekly) limit|"
    r"limit (?:reached|exceeded)|overloaded|out of (?:credits?|tokens)|service unavailable",
    re.IGNORECASE,
)
"""A line in which somebody says that nobody is served now. Any other time in a program's output is only a time."""


class CommandFailed(WorkerError):
    """A command ended with a status that is not fine. `exit_status` is None where it was ended; `output` is what it
    printed last, both streams."""

    code = "W131"
    exit_status: int | None = None
    output: str = ""

    @classmethod
    def of(cls, message: str, *, hint: str, exit_status: int | None, output: str) -> Self:
        made = cls(message, hint=hint)
        made.exit_status, made.output = exit_status, output
        return made


class CommandTimeout(CommandFailed):
    """A command was ended because its time was over."""

    code = "W132"


class CommandMissing(CommandFailed, LookupError):
    """There is no such program, or it cannot be started."""

    code = "W133"


class CommandUnexpected(CommandFailed):
    """A command ended well, and what it should have brought about is not there."""

    code = "W134"


class SecretMissing(UsageError):
    """A secret that a task needs is not in the environment of whoever runs it."""

    code = "U173"


class Interrupted(Exception):
    """A command was ended because its run stops here."""


async def in_thread(function: Callable[[], T]) -> T:
    """What the function gives, which runs commands. Where the run is stopped meanwhile, that is what is raised, and not
    how the command ended because of it."""
    try:
        return await anyio.to_thread.run_sync(function)
    except Interrupted as stopped:
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise Paused(str(stopped)) from stopped


def classify(error: BaseException, now: datetime) -> Failure:
    """The failure behind what a command of a task raised.

    Status 75 may work the next time; a program that is not there, or may not have what it asks for, never will; a line
    about a quota or a limit is an outage, until the time that it names. Everything else may work the next time, as long
    as it is not always the same.
    """
    what = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    if isinstance(error, CommandMissing | PolicyError | UsageError | SandboxMissing | SandboxRefused):
        return Failure("permanent", what)
    if not isinstance(error, CommandFailed):
        return failure.classify(error, now)
    if (until := _outage(error.output, now)) is not _NONE:
        return Failure("outage", what, until)
    passes = isinstance(error, CommandTimeout) or error.exit_status == TRY_LATER
    return Failure("retryable", what, passes=passes)


_NONE = datetime.max.replace(tzinfo=UTC)
"""No outage, where None is an outage whose end nobody has named."""


def _outage(output: str, now: datetime) -> datetime | None:
    lines = output.splitlines()[-_LOOKED_LINES:]
    said = [" ".join(lines[at : at + 2])[:2000] for at, line in enumerate(lines) if _OUTAGE.search(line[:2000])]
    if not said:
        return _NONE
    told = [moment for line in said if (moment := reset_time(line, {}, now)) is not None]
    return max(told) if told else None


@dataclass(frozen=True, slots=True)
class Order:
    """One command to run."""

    what: str
    """For people: `step publish`, `lookup of step publish`."""
    number: int
    """Its place in the task, from 1; names its token."""
    command: str | tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    limit: str
    key: str = ""
    """The step's idempotency key."""
    priced: bool = False
    """It may say what it has really used, on descriptor USED_FD."""
    once: bool = False
    """A repeat must not be: whoever reads of a failure must look before running it again."""

    @property
    def argv(self) -> list[str]:
        return [SHELL, "-e", "-c", self.command] if isinstance(self.command, str) else list(self.command)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, by itself."""

    exit: int
    stdout: bytes
    stderr: bytes

    @property
    def output(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def errors(self) -> str:
        return self.stderr.decode(errors="replace")


@dataclass
class Runner:
    """Runs the commands of one task. Its methods block, and may be called from several threads."""

    run: str
    task: CommandTask
    folder: Path
    """Real."""
    ledger: Ledger
    places: Places
    warden: Warden
    environment: Mapping[str, str]
    """Where secrets come from."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def scratch(self) -> Path:
        """The run's own folder for HOME and TMPDIR of its commands."""
        return (self.places.workspaces / self.run).resolve()

    def outcome(self, order: Order) -> Outcome:
        """Run it to its end. Raises CommandTimeout, CommandMissing, CommandFailed where it was ended for what it used
        up, SecretMissing, what the sandbox and the door raise, Parked where nobody knows how it ended, and Interrupted
        where `cancelled` was set: call it by `in_thread`."""
        secrets = self._secrets()
        with self._scratch(order.number) as scratch, _used(order.priced) as fds:
            argv, cwd = self._located(order)
            env = {
                **process.clean_environment(scratch),
                **self.task.env,
                **order.env,
                **secrets,
                "DAYBREAK_RUN": self.run,
                "DAYBREAK_STEP_KEY": order.key,
                **({"DAYBREAK_USED_FD": str(USED_FD)} if fds else {}),
            }
            try:
                finished = process.run(
                    argv,
                    cwd=cwd,
                    env=env,
                    timeout_s=quantity.seconds(order.limit),
                    output_bytes_max=quantity.size_bytes(self.task.bounds.output),
                    file_bytes_max=quantity.size_bytes(self.task.bounds.disk),
                    processes_max=self.task.bounds.processes,
                    fds=fds,
                    cancelled=self.cancelled,
                    sandbox=self._sandbox(order, argv[0], scratch),
                )
            except (process.ProgramMissing, process.ProgramNotStarted) as error:
                raise CommandMissing(f"{order.what}: {error.message}", hint=error.hint) from error
        return self._ended(order, finished, secrets)

    def keep(self, outcome: Outcome) -> dict[str, Any]:
        """What a step's result says of it. What is longer than a tail lies whole in a blob."""
        kept: dict[str, Any] = {"exit": outcome.exit}
        for name, data, text in (
            ("output", outcome.stdout, outcome.output),
            ("errors", outcome.stderr, outcome.errors),
        ):
            kept[name] = tail(text)
            if len(text) > TAIL_CHARS:
                kept[f"{name}_blob"] = self.ledger.put_blob(data)
        return kept

    def failed(self, order: Order, outcome: Outcome) -> CommandFailed:
        """The error of a status that is not fine."""
        if outcome.exit in (NOT_RUNNABLE, NOT_FOUND):
            return self._failure(CommandMissing, order, f"exit status {outcome.exit}", outcome)
        return self._failure(CommandFailed, order, f"exit status {outcome.exit}", outcome)

    def unexpected(self, order: Order, why: str, outcome: Outcome) -> CommandUnexpected:
        return self._failure(CommandUnexpected, order, why, outcome)

    # -- before

    def _located(self, order: Order) -> tuple[list[str], Path]:
        cwd = Path(os.path.realpath(self.folder / order.cwd))
        if not cwd.is_dir():
            raise CommandMissing(f"{order.what}: there is no folder {cwd}", hint="make it in a step before this one")
        program, *words = order.argv
        if "/" in program and not program.startswith("/"):
            program = os.path.normpath(cwd / program)
        return [program, *words], cwd

    def _secrets(self) -> dict[str, str]:
        wanted = self.task.grant.secrets
        if missing := [name for name in wanted if name not in self.environment]:
            raise SecretMissing(
                f"{', '.join(missing)} is not set where the task runs", hint="export it for whoever runs the night"
            )
        return {name: self.environment[name] for name in wanted}

    def _sandbox(self, order: Order, program: str, scratch: Path) -> Sandbox | None:
        task = self.task
        held = task.sandbox != "none"
        writable = [self.folder, scratch / "home", scratch / "tmp", *map(Path, task.grant.write)]
        may_change, may_read = self.warden.command(
            order.number,
            program,
            writable=writable if held else (),
            readable=[Path(path) for path in task.grant.read] if held else (),
            network=task.grant.network or not held,
            secrets=task.grant.secrets,
            life=timedelta(seconds=quantity.seconds(order.limit)) + GRACE,
        )
        if not held:
            return None
        return Sandbox(
            writable=may_change,
            readable=may_read,
            hidden=tuple(self._private(may_change + may_read)),
            network="host" if task.grant.network else "none",
            memory_bytes=quantity.size_bytes(task.bounds.memory),
            processes=task.bounds.processes,
            file_bytes=quantity.size_bytes(task.bounds.disk),
            disk_bytes=quantity.size_bytes(task.bounds.disk),
            disk_files=task.bounds.files,
            require=task.sandbox,
        )

    def _private(self, granted: tuple[Path, ...]) -> Iterator[Path]:
        """Our own folders, where they lie inside of what a command may see: it finds them empty. Made now, so that it
        cannot make them."""
        for folder in self.places.private:
            if any(folder.is_relative_to(outer) for outer in granted):
                folder.mkdir(parents=True, exist_ok=True)
                yield folder

    @contextmanager
    def _scratch(self, number: int) -> Iterator[Path]:
        self.scratch.mkdir(parents=True, exist_ok=True)
        if not machine.has_room(self.scratch):
            raise Parked("the disk is full: make room, then resume", why=f"no room for {self.scratch}")
        with removal.scratch(self.scratch, tell=partial(self.warden.remains, number)) as folder:
            yield folder

    # -- after

    def _ended(self, order: Order, finished: process.Finished, secrets: Mapping[str, str]) -> Outcome:
        if finished.cancelled:
            raise Interrupted(f"interrupted while {order.what} ran")
        if finished.guard_lost:
            raise Parked(
                f"{order.what}: what watched over it was killed, so nobody knows what it still does: go on?",
                why="look for what it has left, and end that",
            )
        outcome = Outcome(
            -1 if finished.exit_code is None else finished.exit_code,
            _redacted(finished.stdout, secrets),
            _redacted(finished.stderr, secrets),
        )
        if finished.timed_out:
            raise self._failure(CommandTimeout, order, f"it took longer than {order.limit} and was ended", outcome)
        if finished.exit_code is None or finished.ended_by_us:
            raise self._failure(CommandFailed, order, finished.ending, outcome)
        return outcome

    def _failure(self, kind: type[Failed], order: Order, why: str, outcome: Outcome) -> Failed:
        both = outcome.output + outcome.errors
        said = outcome.errors if outcome.errors.strip() else outcome.output
        where = f" (blob {self.ledger.put_blob(both.encode())})" if len(both) > SAID_CHARS else ""
        words = " ".join(tail(said, SAID_CHARS).split())
        run_it = f"run it yourself: {_shown(order.argv)}"
        return kind.of(
            f"{order.what}: {why}{where}" + (f": {words}" if words else ""),
            hint=f"it may have happened all the same: look first; {run_it}" if order.once else run_it,
            exit_status=outcome.exit if outcome.exit >= 0 else None,
            output=both,
        )


@contextmanager
def _used(wanted: bool) -> Iterator[dict[int, int]]:
    """Descriptors for a command that may say what it has used, such as `0.02usd 300tokens`; it is told to the engine.
    A file without a name, so that nothing can be put in its place. What nobody can read counts as the worst case."""
    if not wanted:
        yield {}
        return
    fd = os.memfd_create("daybreak-used", os.MFD_CLOEXEC)
    try:
        yield {USED_FD: fd}
        said = os.pread(fd, amounts.TEXT_CHARS_MAX, 0).decode(errors="replace").strip()
        if said:
            with suppress(UsageError):
                spend(Amounts.parse(" ".join(said.split())))
    finally:
        os.close(fd)


def tail(text: str, most: int = TAIL_CHARS) -> str:
    """The end of a text, redacted, with `…` where something is left out."""
    cut = text if len(text) <= most else f"…{text[-most + 1 :]}"
    return redaction.redact(cut).text


def _redacted(data: bytes, secrets: Mapping[str, str]) -> bytes:
    """Without the values of the secrets that the command was given."""
    for name, value in secrets.items():
        if len(value) >= 4:
            data = data.replace(value.encode(errors="surrogateescape"), f"[redacted {name}]".encode())
    return data


def _shown(argv: list[str]) -> str:
    import shlex

    text = shlex.join(argv)
    return text if len(text) <= 200 else f"{text[:199]}…"
