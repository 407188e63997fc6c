"""Programs of this machine, run so that they cannot outlive us, flood us, or see our environment.

`run` runs one to its end; `Server` keeps one running inside a `with`. Each stands below a guard process (see
`guard`) that ends it and all its descendants when its time is over, when it is asked to, and when we are
gone. The environment is never inherited: callers give all of it, most of them from `clean_environment`.

What is promised: when `run` returns or raises, and when a `Server` block is left, no descendant of the
program is running. One way around is left open: a program with our rights may kill its guard; then the
program itself dies with it (parent-death signal), and whatever still holds its output pipes is ended here;
in a sandbox with a control group, whatever is in that. Keeping programs from reaching other processes, or
anything else, is the sandbox's part: give one (see `sandbox`).
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from daybreak.errors import HostError

if TYPE_CHECKING:
    from daybreak.host.sandbox import Ready, Sandbox
    from daybreak.host.sandbox.forward import Forward

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
FILE_BYTES_MAX = 256 * 1024 * 1024
OPEN_FILES_MAX = 1024
PROCESSES_MAX = 512
LOOK_S = 0.05
"""How often a cancel hook is looked at, in seconds."""
STUCK_S = 30.0
"""How much longer than its time and grace a guard may take before it counts as stuck."""

OWN_PROCESSES = 2
"""Processes of ours in a sandbox, which are not counted against the program."""

_GUARD = "import sys; sys.path.append(sys.argv[1]); import guard; guard.main(*map(int, sys.argv[2:]))"
"""By import, so that it is compiled once and not each time."""
_FOLDER = str(Path(__file__).parent)
_READ_BYTES = 65536
_FOREVER_S = 3.2e10
"""What is not below it (infinite, no number at all) is no limit."""


class ProgramMissing(HostError):
    """There is no such program."""

    code = "H131"


class ProgramNotStarted(HostError):
    """A program is there but cannot be started."""

    code = "H132"


class ServerNotReady(HostError):
    """A server ended or did not answer in time. `output` is what it printed, `ended` whether it ended."""

    code = "H133"

    def __init__(self, message: str, *, hint: str, output: bytes, ended: bool) -> None:
        super().__init__(message, hint=hint)
        self.output, self.ended = output, ended


class ProgramStuck(HostError):
    """A program could not be ended: the system does not let go of it."""

    code = "H134"


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. Exactly one of `exit_code` and `signal` is a number.

    `timed_out`, `output_cut`, `cancelled`, `processes_cut`, `memory_cut` and `disk_cut` say that it was ended, and why.
    """

    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool
    output_cut: bool
    duration_ms: int
    cancelled: bool = False
    processes_cut: bool = False
    """It had more processes than it may have."""
    guard_lost: bool = False
    """Its guard was killed, which only the program or an operator does."""
    memory_cut: bool = False
    """In a sandbox: it used more memory than it may; the kernel has ended at least one process of it, or we all."""
    disk_cut: bool = False
    """In a sandbox: it put more into its folders than it may, or hardly any room was left on their file system."""

    @property
    def ok(self) -> bool:
        """Ended by itself, with status 0."""
        return self.exit_code == 0 and not self.ended_by_us

    @property
    def ended_by_us(self) -> bool:
        cut = self.output_cut or self.processes_cut or self.memory_cut or self.disk_cut
        return cut or self.timed_out or self.cancelled or self.guard_lost

    @property
    def ending(self) -> str:
        """In words: `exit status 1`, `time was over`."""
        for happened, words in (
            (self.cancelled, "it was cancelled"),
            (self.timed_out, "time was over"),
            (self.output_cut, "it printed too much"),
            (self.processes_cut, "it started too many processes"),
            (self.memory_cut, "it used too much memory"),
            (self.disk_cut, "it wrote too much"),
            (self.guard_lost, "its guard was killed"),
        ):
            if happened:
                return words
        if self.signal is not None:
            return f"ended by signal {_signal_name(self.signal)}"
        return f"exit status {self.exit_code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def clean_environment(scratch: Path, *, path: Sequence[Path] = (), **extra: str) -> dict[str, str]:
    """The whole environment of a program: nothing of ours, so no secret leaks.

    HOME and TMPDIR lie in `scratch` and are made. PATH is `path` and then the system's own programs.
    `extra` is put on top.
    """
    home, temporary = scratch / "home", scratch / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    temporary.mkdir(exist_ok=True)
    return {
        "PATH": ":".join([*map(str, path), DEFAULT_PATH]),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        **extra,
    }


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    output_bytes_max: int = 1_000_000,
    file_bytes_max: int = FILE_BYTES_MAX,
    memory_bytes_max: int | None = None,
    open_files_max: int = OPEN_FILES_MAX,
    processes_max: int | None = PROCESSES_MAX,
    stdin: bytes = b"",
    merge: bool = False,
    fds: Mapping[int, int] | None = None,
    grace_s: float = 0.5,
    cancelled: threading.Event | None = None,
    on_stdout: Callable[[bytes], None] | None = None,
    sandbox: Sandbox | Ready | None = None,
) -> Finished:
    """Run a program to its end; blocks, and may be called from any thread.

    `argv[0]` without a slash is looked up in `env["PATH"]`. The program and all its descendants are ended
    after `timeout_s`, when stdout and stderr together pass `output_bytes_max` (what is kept is cut there),
    when `processes_max` is passed (looked at five times a second), and when `cancelled` is set. TERM comes
    first, KILL after `grace_s`. When the program ends by itself, descendants that it left are ended too.
    `file_bytes_max` and `memory_bytes_max` (address space) hold for each process, by the kernel.
    `merge` puts stderr into stdout. `fds` gives it more descriptors: {its number, 3 to 9: ours}.
    `on_stdout` gets what it prints as it comes, in this thread.
    `sandbox` says what it may have; None: whatever we have. There, processes that the program leaves are killed
    without TERM, its own limits hold besides the ones here, and `Finished.duration_ms` has the set-up in it.

    Raises ProgramMissing, ProgramNotStarted, ProgramStuck; with a sandbox also SandboxMissing, SandboxBroken,
    SandboxRefused.
    """
    guarded = Guarded(
        argv,
        cwd=cwd,
        env=env,
        timeout_s=timeout_s,
        output_bytes_max=output_bytes_max,
        file_bytes_max=file_bytes_max,
        memory_bytes_max=memory_bytes_max,
        open_files_max=open_files_max,
        processes_max=processes_max,
        stdin=stdin,
        merge=merge,
        fds=fds or {},
        grace_s=grace_s,
        cancelled=cancelled,
        on_stdout=on_stdout,
        sandbox=sandbox,
    )
    try:
        while not guarded.over:
            guarded.pump()
        return guarded.finish()
    finally:
        guarded.close()


def _check(
    argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str], timeout_s: float | None, grace_s: float
) -> None:
    """Raises ProgramNotStarted for what no system could start, and for times that are no limit (not a number)."""
    try:
        null = any(b"\0" in os.fsencode(part) for part in (*argv, cwd, *env, *env.values()))
        endless = any(not 0 <= limit < _FOREVER_S for limit in (timeout_s or 0, grace_s))
    except (TypeError, AttributeError, UnicodeEncodeError) as error:
        raise ProgramNotStarted(
            f"{argv!r:.200} cannot be started: {error}",
            hint="program, folder and environment are texts and paths that the system can name",
        ) from error
    if null or endless or not argv or isinstance(argv, str):
        why = "there is a null character in it" if null else "it names no program" if not endless else "no time limit"
        raise ProgramNotStarted(
            f"{argv!r:.200} for {timeout_s!r} s cannot be started: {why}",
            hint="name a program in a list, without NUL, and give times from 0 s to a thousand years",
        )


class Guarded:
    """A program below its guard, for callers with a loop of their own: `pump` until `over`, then `finish`;
    `close` always. One thread at a time, but `end` may be called from any."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout_s: float | None,
        output_bytes_max: int = 1_000_000,
        file_bytes_max: int = FILE_BYTES_MAX,
        memory_bytes_max: int | None = None,
        open_files_max: int = OPEN_FILES_MAX,
        processes_max: int | None = PROCESSES_MAX,
        stdin: bytes = b"",
        merge: bool = False,
        fds: Mapping[int, int] | None = None,
        grace_s: float = 0.5,
        cancelled: threading.Event | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
        sandbox: Sandbox | Ready | None = None,
    ) -> None:
        """Starts the program; see `run`. Raises ProgramMissing, ProgramNotStarted, and what `sandbox.prepare` does."""
        _check(argv, cwd, env, timeout_s, grace_s)
        self.name = str(argv[0])
        self._output_bytes_max, self._on_stdout, self._cancelled_event = (
            output_bytes_max,
            on_stdout,
            cancelled,
        )
        self._stdout, self._stderr, self._report = bytearray(), bytearray(), bytearray()
        self._ended = self._output_cut = self._cancelled = False
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._stuck_after = time.monotonic() + timeout_s + grace_s + STUCK_S if timeout_s is not None else None
        self._grace_s = grace_s
        self._to_write = memoryview(stdin)
        limits = {
            "RLIMIT_CORE": 0,
            "RLIMIT_FSIZE": file_bytes_max,
            "RLIMIT_NOFILE": open_files_max,
            **({"RLIMIT_AS": memory_bytes_max} if memory_bytes_max is not None else {}),
        }
        order: dict[str, Any] = {
            "program": os.fsencode(_find(self.name, cwd, env)),
            "argv": [os.fsencode(part) for part in argv],
            "env": {os.fsencode(name): os.fsencode(value) for name, value in env.items()},
            "cwd": os.fsencode(cwd),
            "limits": limits,
            "timeout_s": timeout_s,
            "grace_s": grace_s,
            "processes_max": processes_max,
            "fds": dict(fds or {}),
            "sandbox": None,
        }
        self._forward: Forward | None = None
        self._groups: list[Path] = []
        if sandbox is not None:
            self._forward = _put_into(sandbox, order, cwd, env)
            self._groups = [Path(folder) for folder, _ in order["sandbox"]["groups"]]
        try:
            self._start(order, merge=merge)
        except BaseException:
            if self._forward is not None:
                self._forward.close()
            raise
        if self._forward is not None:
            self._forward.begin()

    def _start(self, order: dict[str, Any], *, merge: bool) -> None:
        order_out, order_in = os.pipe()
        report_out, report_in = os.pipe()
        lifeline_out, lifeline_in = os.pipe()
        theirs = (order_out, report_in, lifeline_out)
        control = [] if self._forward is None else [self._forward.control_fd]
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _GUARD, _FOLDER, *map(str, theirs)],
                stdin=subprocess.PIPE if self._to_write else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge else subprocess.PIPE,
                bufsize=0,
                pass_fds=(*theirs, *control, *order["fds"].values()),
                start_new_session=True,  # a Ctrl-C on the terminal is ours to pass on
                env={"LANG": "C.UTF-8"},
            )
        except OSError as error:
            for fd in (order_in, report_out, lifeline_in):
                os.close(fd)
            raise ProgramNotStarted(
                f"no process can be started for {self.name}: {error.strerror}",
                hint="end other programs, or raise the limit of processes and open files",
            ) from error
        finally:
            for fd in theirs:
                os.close(fd)
        self._report_fd, self._lifeline_fd = report_out, lifeline_in
        # A broken pipe: the guard is gone; its missing report says so.
        with contextlib.suppress(BrokenPipeError), os.fdopen(order_in, "wb") as file:
            file.write(marshal.dumps(order))
        self._watch(report_out, self._take_report)
        for stream, keep in (
            (self._guard.stdout, self._take_stdout),
            (self._guard.stderr, self._take_stderr),
        ):
            if stream is not None:
                self._watch(stream.fileno(), keep)
        if self._guard.stdin is not None:
            os.set_blocking(self._guard.stdin.fileno(), False)
            self._selector.register(self._guard.stdin.fileno(), selectors.EVENT_WRITE, self._feed)

    def _watch(self, fd: int, take: Callable[[bytes], None]) -> None:
        os.set_blocking(fd, False)
        self._selector.register(fd, selectors.EVENT_READ, take)

    # -- while it runs

    def listen(self, fd: int, take: Callable[[bytes], None]) -> None:
        """Also read from a pipe of the caller's, until its end; the caller closes it after `close`."""
        self._watch(fd, take)

    @property
    def over(self) -> bool:
        """The guard has reported or is gone, and everything printed has been read."""
        return not self._selector.get_map()  # None once closed

    @property
    def stdout(self) -> bytes:
        """What has been read so far."""
        return bytes(self._stdout)

    @property
    def stderr(self) -> bytes:
        return bytes(self._stderr)

    def end(self) -> None:
        """Ask the guard to end everything; returns at once. Twice is once."""
        with self._lock:
            if not self._ended:
                self._ended = True
                os.close(self._lifeline_fd)
                self._stuck_after = min(self._stuck_after or float("inf"), time.monotonic() + self._grace_s + STUCK_S)

    def pump(self, wait_s: float | None = None) -> None:
        """Wait for something to happen, at most `wait_s` (None: as long as it takes), and take it in.

        Raises ProgramStuck."""
        if self._cancelled_event is not None and not self._cancelled:
            wait_s = LOOK_S if wait_s is None else min(wait_s, LOOK_S)
        if self._stuck_after is not None:
            left_s = max(0.0, self._stuck_after - time.monotonic())
            wait_s = left_s if wait_s is None else min(wait_s, left_s)
        for key, _ in self._selector.select(wait_s):
            if key.fd in self._selector.get_map():
                self._take(key.fd, key.data)
        if self._cancelled_event is not None and self._cancelled_event.is_set() and not self._cancelled:
            self._cancelled = True
            self.end()
        if self._stuck_after is not None and time.monotonic() > self._stuck_after:
            with contextlib.suppress(ProcessLookupError):
                self._guard.send_signal(signal.SIGCONT)  # where a program may stop it, it goes on and ends all
            self._end_groups(0.0)
            raise ProgramStuck(
                f"{self.name} cannot be ended",
                hint="look at its state with `ps`; in state D it waits for a disk or a network file system",
            )

    def drain(self) -> None:
        """Take in what is there to be read, without waiting."""
        while any(key.events & selectors.EVENT_READ for key, _ in self._selector.select(0)):
            self.pump(0)

    def _take(self, fd: int, take: Callable[[bytes], None]) -> None:
        if take == self._feed:
            take(b"")
            return
        try:
            part = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return
        if part:
            take(part)
        else:
            self._selector.unregister(fd)
            if fd == self._report_fd and not self._report:
                self._lose_guard()

    def _lose_guard(self) -> None:
        """The guard is gone without a report. End what is in the program's control groups, and as ends of our pipes
        may be held for ever, their holders. Raises ProgramStuck."""
        self._guard.wait()
        ended = self._end_groups(STUCK_S)
        for stream in (self._guard.stdout, self._guard.stderr):
            if stream is not None:
                _end_writers(stream.fileno())
        if not ended:
            raise ProgramStuck(
                f"the guard of {self.name} was killed and what it started cannot be ended",
                hint=f"end the processes in {self._groups[0] / 'cgroup.procs'}",
            )

    def _end_groups(self, wait_s: float) -> bool:
        """Whether nothing is left in them."""
        if not self._groups:
            return True
        from daybreak.host.sandbox import groups

        return groups.end(self._groups, wait_s)

    def _take_report(self, part: bytes) -> None:
        self._report += part

    def _take_stdout(self, part: bytes) -> None:
        part = self._room_for(part)
        self._stdout += part
        if self._on_stdout is not None and part:
            self._on_stdout(part)

    def _take_stderr(self, part: bytes) -> None:
        self._stderr += self._room_for(part)

    def _room_for(self, part: bytes) -> bytes:
        room = self._output_bytes_max - len(self._stdout) - len(self._stderr)
        if len(part) > room:
            self._output_cut = True
            self.end()
        return part[:room]

    def _feed(self, _: bytes) -> None:
        stdin = self._guard.stdin
        assert stdin is not None, "only a program with input is fed"
        try:
            written = os.write(stdin.fileno(), self._to_write[:_READ_BYTES])
            self._to_write = self._to_write[written:]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._to_write = self._to_write[:0]  # it does not want the rest
        if not self._to_write:
            self._selector.unregister(stdin.fileno())
            stdin.close()

    # -- afterwards

    def finish(self) -> Finished:
        """How it ended, once it is `over`. Raises ProgramNotStarted where it never started."""
        guard_code = self._guard.wait()
        report = _read_report(bytes(self._report))
        if report is not None and "problem" in report:
            raise _not_started(self.name, report, bytes(self._stderr or self._stdout))
        if report is None and guard_code > 0:
            last = (self.stderr or self.stdout).decode(errors="replace").strip().splitlines()[-1:]
            raise ProgramNotStarted(
                f"the guard of {self.name} failed: {' '.join(last)}", hint="a fault of Daybreak: report it"
            )
        return Finished(
            exit_code=report["exit_code"] if report else None,
            signal=report["signal"] if report else (-guard_code if guard_code < 0 else signal.SIGKILL.value),
            stdout=bytes(self._stdout),
            stderr=bytes(self._stderr),
            timed_out=report is not None and report["reason"] == "time",
            output_cut=self._output_cut,
            duration_ms=round(report["duration_s"] * 1000) if report else 0,
            cancelled=self._cancelled,
            processes_cut=report is not None and report["reason"] == "processes",
            guard_lost=report is None,
            memory_cut=report is not None and report["reason"] == "memory",
            disk_cut=report is not None and report["reason"] == "disk",
        )

    def close(self) -> None:
        """End everything that still runs and give back what is held; waits for it. Twice is once."""
        self.end()
        try:
            while not self.over:
                self.pump()
            self._guard.wait()
        except ProgramStuck:
            # It goes on trying; somebody must still bury it.
            threading.Thread(target=self._guard.wait, daemon=True).start()
            raise
        finally:
            self._selector.close()
            for stream in (self._guard.stdin, self._guard.stdout, self._guard.stderr):
                if stream is not None:
                    stream.close()
            if self._report_fd >= 0:
                os.close(self._report_fd)
                self._report_fd = -1
            if self._forward is not None:
                self._forward.close()


def _read_report(raw: bytes) -> dict[str, Any] | None:
    if not raw:
        return None
    report: dict[str, Any] = marshal.loads(raw)
    return report


def _put_into(sandbox: Sandbox | Ready, order: dict[str, Any], cwd: Path, env: Mapping[str, str]) -> Forward | None:
    """Put the sandbox into the order; what forwards a port into it, where one is to be."""
    from daybreak.host.sandbox import prepare
    from daybreak.host.sandbox.forward import Forward
    from daybreak.host.sandbox.model import PortTaken
    from daybreak.host.sandbox.plan import Ready

    ready = sandbox if isinstance(sandbox, Ready) else prepare(sandbox)
    box = ready.order(cwd=cwd, env_home=env.get("HOME", ""), limits=order["limits"])
    order["limits"], order["sandbox"] = box["limits"], box
    allowed = [number for number in (order["processes_max"], box["processes_max"]) if number is not None]
    order["processes_max"] = min(allowed) + OWN_PROCESSES if allowed else None
    if not ready.forwards:
        return None
    port = ready.sandbox.listen_port
    assert port is not None, "checked by Sandbox"
    try:
        forward = Forward(port)
    except OSError as error:
        raise PortTaken(
            f"port {port} cannot be given to {os.fsdecode(order['argv'][0])}: {error.strerror}",
            hint="choose another port",
        ) from error
    box["control_fd"] = forward.control_fd
    return forward


def _not_started(name: str, report: dict[str, Any], printed: bytes) -> HostError:
    number = report["errno"]
    if report["problem"] == "sandbox":
        from daybreak.host.sandbox import SandboxBroken

        last = printed.decode(errors="replace").strip().splitlines()[-1:]
        return SandboxBroken(
            f"no sandbox can be made for {name}: {': '.join([report['text'], *last])}",
            hint="`daybreak doctor` tries it and says what this machine can do",
        )
    why = os.strerror(number) if number else report.get("text", "unknown")
    if report["problem"] == "chdir":
        return ProgramNotStarted(
            f"{name} cannot be started in its folder: {why}", hint="make the folder, or name another"
        )
    hints = {
        errno.ENOENT: "its interpreter (first line, `#!`) does not exist on this machine",
        errno.ENOEXEC: "give it a first line such as `#!/bin/sh`, or run it through its interpreter",
        errno.EACCES: "make it executable: chmod +x",
        errno.E2BIG: "pass what is long as a file or on standard input",
    }
    return ProgramNotStarted(
        f"{name} cannot be started: {why}",
        hint=hints.get(number, "try to start it by hand, in the same folder"),
    )


def _find(name: str, cwd: Path, env: Mapping[str, str]) -> str:
    """The program's file. Raises ProgramMissing, ProgramNotStarted."""
    if "/" in name:
        place = Path(cwd, name)
        if not place.exists():
            raise ProgramMissing(f"there is no program {name}", hint="install it, or correct the path")
        if not place.is_file() or not os.access(place, os.X_OK):
            raise ProgramNotStarted(f"{name} is not a program that can be run", hint=f"chmod +x {name}")
        return str(place)
    found = shutil.which(name, path=env.get("PATH", DEFAULT_PATH))
    if found is None:
        raise ProgramMissing(f"there is no program {name!r} in {env.get('PATH', DEFAULT_PATH)}", hint=f"install {name}")
    return found


def _end_writers(fd: int) -> None:
    """Kill every other process that holds the writing end of this pipe."""
    wanted = os.fstat(fd).st_ino
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()) and _writes_to(process, wanted):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)


def _writes_to(process: Path, pipe: int) -> bool:
    try:
        held = list((process / "fd").iterdir())
    except OSError:
        return False  # it ended, or it is not ours to look at
    for link in held:
        try:
            if os.readlink(link) == f"pipe:[{pipe}]" and link.lstat().st_mode & stat.S_IWUSR:
                return True
        except OSError:
            continue
    return False


class Server:
    """A program that keeps running inside a `with` block, and nothing of it afterwards.

    `ready` is asked again and again (each call should take well under a second) until it says True; the
    block is entered then. Raises ServerNotReady where the program ends before that or `ready_s` is over,
    and what `run` raises. Output is kept up to `output_bytes_max`; a server that prints more is ended.
    With a sandbox of `network="listen"` it is reached at 127.0.0.1:`listen_port` as without one; a port that is
    taken already is a ServerNotReady that has ended, as where the server itself finds it taken.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str],
        ready: Callable[[], bool],
        ready_s: float = 20.0,
        timeout_s: float = 3600.0,
        output_bytes_max: int = 1_000_000,
        file_bytes_max: int = FILE_BYTES_MAX,
        memory_bytes_max: int | None = None,
        processes_max: int | None = PROCESSES_MAX,
        grace_s: float = 2.0,
        cancelled: threading.Event | None = None,
        sandbox: Sandbox | Ready | None = None,
    ) -> None:
        self._ready, self._ready_s, self._cancelled = ready, ready_s, cancelled
        self._make: Callable[[], Guarded] = lambda: Guarded(
            argv,
            cwd=cwd,
            env=env,
            timeout_s=timeout_s,
            output_bytes_max=output_bytes_max,
            file_bytes_max=file_bytes_max,
            memory_bytes_max=memory_bytes_max,
            processes_max=processes_max,
            merge=True,
            grace_s=grace_s,
            cancelled=cancelled,
            sandbox=sandbox,
        )
        self._over = threading.Event()
        self._failure: HostError | None = None
        self.finished: Finished | None = None
        """How it ended; set when the block has been left."""

    def __enter__(self) -> Self:
        self._guarded = self._made()
        self._thread = threading.Thread(target=self._pump, name=f"output of {self._guarded.name}", daemon=True)
        self._thread.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._failure is not None and error is None:
            raise self._failure

    def _made(self) -> Guarded:
        try:
            return self._make()
        except HostError as error:
            from daybreak.host.sandbox.model import PortTaken

            if not isinstance(error, PortTaken):
                raise
            raise ServerNotReady(
                error.message, hint=error.hint, output=b"address already in use", ended=True
            ) from error

    @property
    def running(self) -> bool:
        return not self._over.is_set()

    @property
    def output(self) -> bytes:
        """What it has printed so far, stdout and stderr as they came."""
        return self._guarded.stdout

    def _pump(self) -> None:
        try:
            while not self._guarded.over:
                self._guarded.pump()
            self.finished = self._guarded.finish()
        except HostError as error:
            self._failure = error
        finally:
            self._over.set()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_s
        pause_s = 0.01
        while time.monotonic() < deadline:
            if self._over.wait(pause_s):
                break
            if self._ready():
                return
            pause_s = min(0.05, pause_s * 1.5)
        if self._failure is not None:
            raise self._failure
        ended = self._over.is_set()
        name = self._guarded.name
        how = self.finished.ending if self.finished else "ended"
        early, late = f"ended before it was ready: {how}", f"was not ready after {self._ready_s:g} s"
        raise ServerNotReady(
            f"{name} {early if ended else late}",
            hint="see what it printed; try to start it by hand",
            output=self.output,
            ended=ended,
        )

    def _stop(self) -> None:
        self._guarded.end()
        self._thread.join()
        self._guarded.close()
