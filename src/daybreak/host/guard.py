"""The guard: a tiny parent for one program, which ends the program and everything it ever started.

Run by `process` as a Python of its own that calls `main` with three file descriptors; imports nothing of
ours and no slow module, so that it is there in about 10 ms. It reads its order, becomes the reaper of all
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

With a sandbox in the order, the program starts inside of it (see `sandbox.child`), and it is over also when the
memory or the disk that it may use is used up.
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
    from collections.abc import Callable
    from typing import Any

    from daybreak.host.sandbox.child import disk, outside

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
LOOK_S, SELDOM_S, FOR_EVER_S = 0.02, 0.1, 1e9
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
    box = order["sandbox"]
    if box is not None:
        load_sandbox(box)
    if prctl(PR_SET_CHILD_SUBREAPER, 1) != 0:
        tell(report_fd, {"problem": "guard", "errno": 0, "text": "no PR_SET_CHILD_SUBREAPER"})
        return
    prctl(PR_SET_DUMPABLE, 0)  # other users' programs, and ours without rights, cannot open our descriptors
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the lifeline is how we are asked to end
    try:
        report = guard(order, box, lifeline_fd)
    finally:
        if box is not None:
            outside.remove_groups(box["groups"])
    tell(report_fd, report)


def guard(order: dict[str, Any], box: dict[str, Any] | None, lifeline_fd: int) -> dict[str, Any]:
    """Start the program, wait, end all; what is to be reported."""
    started = time.monotonic()
    child, said_fd, problem = start(order, box)
    if problem:
        return problem
    for fd in (0, 1, 2):
        os.close(fd)
    reason, status = watch(child, lifeline_fd, order, started)
    status = end_all(child, status, 0.0 if reason in ("processes", "memory", "disk") else order["grace_s"])
    if said_fd >= 0:
        status = inner_status(said_fd, status)
    code = os.waitstatus_to_exitcode(status)
    return {
        "exit_code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "reason": "memory" if box is not None and hungry(box)() else reason,
        "duration_s": time.monotonic() - started,
    }


def load_sandbox(box: dict[str, Any]) -> None:
    """Its modules lie in a folder of their own, so that this program needs no search path."""
    global disk, outside
    sys.path.append(box["folder"])
    import disk as loaded_disk  # type: ignore[import-not-found]
    import outside as loaded_outside  # type: ignore[import-not-found]

    disk, outside = loaded_disk, loaded_outside


def inner_status(said_fd: int, status: int) -> int:
    """The program's own status, as the first process of its sandbox said it; `status` is bubblewrap's."""
    said = read_all(said_fd)
    if len(said) == 4:
        return int.from_bytes(said, "little")
    code = os.waitstatus_to_exitcode(status)
    return int(signal.SIGKILL) if code > 128 else status  # the sandbox was ended before the program


def tell(report_fd: int, report: dict[str, Any]) -> None:
    os.write(report_fd, marshal.dumps(report))


def start(order: dict[str, Any], box: dict[str, Any] | None) -> tuple[int, int, dict[str, Any] | None]:
    """The program's process id, where its status will be told (-1: it is the process's own), and what kept it from
    starting."""
    inner, outer = os.pipe()  # closed on exec: end of file means started; bubblewrap passes it on
    boxed = box is not None and bool(box["bwrap"])
    problem = None
    if box is not None:
        try:
            outside.make_groups(box["groups"])
        except OSError as error:
            return 0, -1, {"problem": "sandbox", "errno": error.errno, "text": f"control group: {error.strerror}"}
    guard_pid = os.getpid()
    child = os.fork()
    if child == 0:
        what = "sandbox" if boxed else "chdir"
        outer = above_nine(outer)
        try:
            os.setsid()
            if box is not None:
                outside.join_groups(box["groups"])
                if box["control_fd"] is not None:
                    box["control_fd"] = above_nine(box["control_fd"])
            if not boxed:
                os.chdir(order["cwd"])
            what = "limits"
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard_pid:
                os._exit(127)  # the guard was killed before it could take us along
            if not boxed:
                limit(order["limits"])
            rearrange(order["fds"])
            if boxed:
                what = "sandbox"
                outside.enter(order, outer)
            for number in range(1, signal.NSIG):  # Python ignores SIGPIPE and SIGXFSZ; programs must not
                if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) is not None:
                    signal.signal(number, signal.SIG_DFL)
            if box is not None:
                what = "sandbox"
                outside.confine(box)
            what = "exec"
            os.execve(order["program"], order["argv"], order["env"])
        except OSError as error:
            problem = {"problem": what, "errno": error.errno, "text": f"{error.filename}: {error.strerror}"}
        except BaseException as error:  # noqa: BLE001 - whatever it is, it must reach the report
            problem = {"problem": what, "errno": 0, "text": repr(error)}
        finally:
            os.write(outer, (b"!" if boxed else b"") + marshal.dumps(problem))
            os._exit(127)
    os.close(outer)
    problem = started_inside(inner) if boxed else started_here(inner)
    if problem is not None:
        os.close(inner)
        end_all(child, None, 0.0)
        return child, -1, problem
    for fd in [*order["fds"].values(), *([box["control_fd"]] if box and box["control_fd"] is not None else [])]:
        os.close(fd)
    return child, inner if boxed else -1, None


def started_here(inner: int) -> dict[str, Any] | None:
    said = read_all(inner)
    problem: dict[str, Any] | None = marshal.loads(said) if said else None
    return problem


def started_inside(inner: int) -> dict[str, Any] | None:
    """`+`: it has started; `!`: why not; nothing: bubblewrap failed and has printed why."""
    said = os.read(inner, 1)
    if said == b"+":
        return None
    if said == b"!":
        return started_here(inner)
    return {"problem": "sandbox", "errno": 0, "text": "bubblewrap failed"}


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
    """Why it is over (`ended`, `time`, `processes`, `memory`, `disk`, `asked`), and the program's status if it has
    ended."""
    poll = select.poll()
    handle = os.pidfd_open(child)
    poll.register(handle, select.POLLIN)
    poll.register(lifeline_fd, select.POLLIN | select.POLLHUP)
    ends = started + order["timeout_s"] if order["timeout_s"] is not None else None
    looks = [look for look in (swarm(order), *appetite(order["sandbox"])) if look is not None]
    while True:
        left = None if ends is None else max(0.0, ends - time.monotonic())
        wait_s = left if not looks else min(LOOK_S, left if left is not None else 60.0)
        events = poll.poll(None if wait_s is None else wait_s * 1000)
        ready = [fd for fd, _ in events]
        if handle in ready:
            return "ended", os.waitpid(child, 0)[1]
        if lifeline_fd in ready:
            return "asked", None
        if ends is not None and time.monotonic() >= ends:
            return "time", None
        for look in looks:
            if look.finds():
                return look.reason, None
        reap_orphans(child)


class Look:
    """Something that is looked at again and again. First at what is cheap and about the whole machine: only where
    that has fallen by `step` since, or it was long ago, at the program's own part (`exact`). Others of the machine
    may hide a fall; then it is `seldom_s` (or fifty times what a look takes, if that is more) until it is found."""

    def __init__(
        self, reason: str, cheap: Callable[[], int], step: int, exact: Callable[[], bool], seldom_s: float
    ) -> None:
        self.reason, self._cheap, self._step, self._exact, self._seldom_s = reason, cheap, step, exact, seldom_s
        self._level = cheap()
        self._due = time.monotonic() + seldom_s

    def finds(self) -> bool:
        now, value = time.monotonic(), self._cheap()
        fallen = self._level - value > self._step
        if not fallen and now < self._due:
            return False
        if self._exact():
            return True
        if fallen:
            self._level = value + self._step - self._step // 8  # others were busy: look again soon
        self._due = now + max(self._seldom_s, 50 * (time.monotonic() - now))
        return False


def swarm(order: dict[str, Any]) -> Look | None:
    """Too many processes; in a sandbox, threads too?"""
    processes_max, boxed = order["processes_max"], order["sandbox"] is not None
    if processes_max is None:
        return None

    def too_many() -> bool:
        found: bool = sum(threads if boxed else 1 for _, _, threads in descendants()) > processes_max
        return found

    seldom_s = SELDOM_S if boxed else FOR_EVER_S
    return Look("processes", lambda: -threads_on_machine(), processes_max // 2, too_many, seldom_s)


def appetite(box: dict[str, Any] | None) -> list[Look]:
    """Too much memory, too much on the disk?"""
    if box is None:
        return []
    wanted = box["watch"]
    killed = hungry(box)
    memory_bytes, folders = wanted["memory_bytes"], wanted["folders"]
    bytes_max, files_max = wanted["disk_bytes"], wanted["disk_files"]
    # One process that the kernel had to end is the end of all: what is left of a program is no program.
    looks = [Look("memory", lambda: -killed(), 0, lambda: killed() > 0, FOR_EVER_S)]
    if memory_bytes is not None:

        def too_hungry() -> bool:
            held: bool = sum(memory_of(pid) for pid, _, _ in descendants()) > memory_bytes
            return held

        looks.append(Look("memory", memory_left, memory_bytes // 4, too_hungry, SELDOM_S))

    holdings = disk.Holdings(folders, bytes_max, files_max, lambda: [pid for pid, _, _ in descendants()])
    for folder in folders:  # each may lie on its own file system
        for which, most in enumerate((bytes_max, files_max)):
            looks.append(Look("disk", disk.free(folder, which), most // 4, holdings.too_full, 10 * SELDOM_S))
        looks.append(floor(folder))
    return looks


def floor(folder: bytes) -> Look:
    """Hardly any room left on the file system of a folder?"""
    below = disk.below_floor(folder)
    return Look("disk", lambda: -below(), 0, below, FOR_EVER_S)


def hungry(box: dict[str, Any]) -> Callable[[], int]:
    """How many of its processes the kernel has ended for want of memory, where a control group counts that."""
    counted = outside.memory_group(box["groups"])
    return lambda: outside.killed_for_memory(counted) if counted else 0


def memory_left() -> int:
    """Bytes that the machine could still give."""
    with open("/proc/meminfo", "rb", 0) as file:
        for line in file.read(4096).splitlines():
            if line.startswith(b"MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def memory_of(pid: int) -> int:
    """Bytes of a process, with its part of what it shares."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb", 0) as file:
            for line in file.read(4096).splitlines():
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        with open(f"/proc/{pid}/statm", "rb", 0) as file:
            return int(file.read(200).split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0  # it is gone


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
    for group in {group for _, group, _ in below} - {os.getpgrp(), 0}:
        kill(-group, number)
    for pid, _, _ in below:
        kill(pid, number)


def kill(pid: int, number: int) -> None:
    try:  # noqa: SIM105 - contextlib would have to be imported
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def descendants() -> list[tuple[int, int, int]]:
    """Every living process below us, with its group and how many threads it has. Some come or go while we look;
    callers look again."""
    children: dict[int, list[tuple[int, int, int]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb", 0) as file:
                    after_name = file.read(1024).rpartition(b")")[2].split()
            except OSError:
                continue
            if after_name and after_name[0] != b"Z":
                ours = (int(name), int(after_name[2]), int(after_name[17]))
                children.setdefault(int(after_name[1]), []).append(ours)
    found: list[tuple[int, int, int]] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += [pid for pid, _, _ in below]
    return found


def threads_on_machine() -> int:
    """How many threads there are: one small file, so that it can be looked at often."""
    with open("/proc/loadavg", "rb", 0) as file:
        return int(file.read(200).split()[3].partition(b"/")[2])
