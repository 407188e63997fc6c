"""The guard: a tiny parent for one program, which ends the program and everything it ever started.

Run as `python -I -S guard.py ORDER REPORT LIFELINE` (three file descriptors) by `process`; imports nothing of
ours and no slow module, so that it is there in about 15 ms. It reads its order, becomes the reaper of all
descendants (PR_SET_CHILD_SUBREAPER: double forks and new sessions cannot get away), starts the program in a
session of its own, and waits until

* the program has ended, or
* its time is over, or
* it has more processes than it may, or
* the lifeline ends: its other end is held by the parent alone, so it ends when the parent lets go of it, and
  also when the parent is killed. (A parent-death signal would not do: the kernel sends it when the *thread*
  that started us ends. The program itself gets one, for the day that the guard is killed.)

Then TERM to all, a short grace, KILL until no descendant is left, and a report. Nothing is left: `waitpid`
says ECHILD only when the last one is gone.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # the module `signal` builds enums, which takes longer than all the rest
import marshal
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False  # importing `typing` for this would cost time
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
PROCESSES_LOOK_S = 0.02
KILL_PAUSE_S = 0.005


def prctl(option: int, value: int) -> int:
    """0 if it worked. By `_ctypes`, because importing `ctypes` takes as long as all the rest together."""
    try:
        import _ctypes

        own: Any = None  # this very program, of which libc is a part
        function = _ctypes.dlsym(_ctypes.dlopen(own, 0), "prctl")
        result: int = _ctypes.call_function(function, (option, value, 0, 0, 0))
        return result
    except (ImportError, AttributeError, OSError):
        import ctypes

        slow_result: int = ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
        return slow_result


def read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def main(order_fd: int, report_fd: int, lifeline_fd: int) -> None:
    for fd in (order_fd, report_fd, lifeline_fd):
        os.set_inheritable(fd, False)
    order = marshal.loads(read_all(order_fd))
    os.close(order_fd)
    for fd in order["fds"].values():
        os.set_inheritable(fd, False)
    if prctl(PR_SET_CHILD_SUBREAPER, 1) != 0:
        tell(report_fd, {"problem": "guard", "errno": 0, "text": "no PR_SET_CHILD_SUBREAPER"})
        return
    prctl(PR_SET_DUMPABLE, 0)  # other users' programs, and ours without rights, cannot open our descriptors
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the lifeline is how we are asked to end
    started = time.monotonic()
    child, problem = start(order)
    if problem:
        tell(report_fd, problem)
        return
    for fd in (0, 1, 2):
        os.close(fd)
    reason, status = watch(child, lifeline_fd, order, started)
    status = end_all(child, status, 0.0 if reason == "processes" else order["grace_s"])
    code = os.waitstatus_to_exitcode(status)
    report = {
        "exit_code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "reason": reason,
        "duration_s": time.monotonic() - started,
    }
    tell(report_fd, report)


def tell(report_fd: int, report: dict[str, Any]) -> None:
    os.write(report_fd, marshal.dumps(report))


def start(order: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """The program's process id, and what kept it from starting."""
    inner, outer = os.pipe()  # closed on exec: end of file means started
    child = os.fork()
    if child == 0:
        what = "chdir"
        outer = above_nine(outer)
        try:
            os.setsid()
            os.chdir(order["cwd"])
            what = "limits"
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            limit(order["limits"])
            rearrange(order["fds"])
            for number in range(1, signal.NSIG):  # Python ignores SIGPIPE and SIGXFSZ; programs must not
                if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) is not None:
                    signal.signal(number, signal.SIG_DFL)
            what = "exec"
            os.execve(order["program"], order["argv"], order["env"])
        except OSError as error:
            os.write(outer, marshal.dumps({"problem": what, "errno": error.errno}))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it must reach the report
            os.write(outer, marshal.dumps({"problem": what, "errno": 0, "text": repr(error)}))
        finally:
            os._exit(127)
    os.close(outer)
    said = read_all(inner)
    os.close(inner)
    if said:
        os.waitpid(child, 0)
        return child, marshal.loads(said)
    for fd in order["fds"].values():
        os.close(fd)
    return child, None


def limit(limits: dict[str, int]) -> None:
    """Never above what the guard itself has as hard limit."""
    for name, value in limits.items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def rearrange(fds: dict[int, int]) -> None:
    """Give the program its extra descriptors under the numbers that it expects."""
    copies = {target: above_nine(os.dup(source)) for target, source in fds.items()}
    for target, copy in copies.items():
        os.dup2(copy, target, inheritable=True)


def above_nine(fd: int) -> int:
    """The same descriptor under a number that nobody asks for (they are 3 to 9); closed on exec."""
    while fd <= 9:
        fd = os.dup(fd)
    return fd


def watch(child: int, lifeline_fd: int, order: dict[str, Any], started: float) -> tuple[str, int | None]:
    """Why it is over (`ended`, `time`, `processes`, `asked`), and the program's status if it has ended."""
    poll = select.poll()
    handle = os.pidfd_open(child)
    poll.register(handle, select.POLLIN)
    poll.register(lifeline_fd, select.POLLIN | select.POLLHUP)
    ends = started + order["timeout_s"] if order["timeout_s"] is not None else None
    processes_max = order["processes_max"]
    threads_before = threads_on_machine()
    while True:
        left = None if ends is None else max(0.0, ends - time.monotonic())
        wait_s = left if processes_max is None else min(PROCESSES_LOOK_S, left if left is not None else 60.0)
        events = poll.poll(None if wait_s is None else wait_s * 1000)
        ready = [fd for fd, _ in events]
        if handle in ready:
            return "ended", os.waitpid(child, 0)[1]
        if lifeline_fd in ready:
            return "asked", None
        if ends is not None and time.monotonic() >= ends:
            return "time", None
        if processes_max is not None and threads_on_machine() - threads_before > processes_max // 2:
            if len(descendants()) > processes_max:
                return "processes", None
            threads_before = threads_on_machine() - processes_max // 2 + 8  # others were busy: look again soon
        reap_orphans(child)


def reap_orphans(child: int) -> None:
    """Bury what has ended, but leave the program's own status for the one who waits for it."""
    while True:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None or found.si_pid == child:
            return
        os.waitpid(found.si_pid, 0)


def end_all(child: int, status: int | None, grace_s: float) -> int:
    """End every descendant; returns the program's status. TERM first, then KILL until none is left."""
    left, status = bury(child, status)
    if left:
        send(signal.SIGTERM)
        send(signal.SIGCONT)
    ends = time.monotonic() + grace_s
    while True:
        left, status = bury(child, status)
        if not left:
            return 0 if status is None else status
        if time.monotonic() >= ends:
            send(signal.SIGKILL)
        time.sleep(KILL_PAUSE_S)


def bury(child: int, status: int | None) -> tuple[bool, int | None]:
    """Whether any child is left, and the program's status as far as it is known."""
    while True:
        try:
            pid, found = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False, status
        if pid == 0:
            return True, status
        if pid == child:
            status = found


def send(number: int) -> None:
    """To whole groups first: the kernel signals a group at one moment, so that a swarm cannot outrun it."""
    below = descendants()
    for group in {group for _, group in below} - {os.getpgrp(), 0}:
        kill(-group, number)
    for pid, _ in below:
        kill(pid, number)


def kill(pid: int, number: int) -> None:
    try:  # noqa: SIM105 - contextlib would have to be imported
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def descendants() -> list[tuple[int, int]]:
    """Every living process below us, with its group. Some come or go while we look; callers look again."""
    children: dict[int, list[tuple[int, int]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb", 0) as file:
                    after_name = file.read(1024).rpartition(b")")[2].split()
            except OSError:
                continue
            if after_name and after_name[0] != b"Z":
                children.setdefault(int(after_name[1]), []).append((int(name), int(after_name[2])))
    found: list[tuple[int, int]] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += [pid for pid, _ in below]
    return found


def threads_on_machine() -> int:
    """How many threads there are: one small file, so that it can be looked at often."""
    with open("/proc/loadavg", "rb", 0) as file:
        return int(file.read(200).split()[3].partition(b"/")[2])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
