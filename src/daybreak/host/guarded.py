"""A program below its guard: started, listened to, fed, ended; see `guard` for the other side."""

from __future__ import annotations

import contextlib
import marshal
import os
import selectors
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.host.program import Finished, ProgramNotStarted, ProgramStuck, check, find, not_started, without_ups

if TYPE_CHECKING:
    from daybreak.host.sandbox import Ready, Sandbox
    from daybreak.host.sandbox.forward import Forward

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
        check(argv, cwd, env, timeout_s, grace_s)
        self.name = without_ups(str(argv[0]))
        argv = [self.name, *argv[1:]]
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
            "program": os.fsencode(find(self.name, cwd, env)),
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
            raise not_started(self.name, report, bytes(self._stderr or self._stdout))
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
