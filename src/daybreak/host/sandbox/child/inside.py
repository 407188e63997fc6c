"""Next to the program: what is taken from it, just before it starts.

`confine` takes rights away. `main` (with two file descriptors: its order, and where it says how things go) is the
first process of a sandbox, process 1 of its own process namespace: it changes to the sandbox's user, starts the
program, buries orphans, opens connections to the program for the forwarder outside, and says how the program
ended. When it ends, and when nobody hears it any more, the kernel ends everything else in the sandbox.

It says `+` when the program has started, or `!` and why not (marshal); later the wait status, 4 bytes.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # `signal` builds enums, which takes longer than all the rest
import marshal
import os
import resource
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from daybreak.host.sandbox.child import kernel
else:
    import kernel

REAP_MS = 500
_LISTENING = b"0A"
_LOOPBACK = frozenset({b"00000000", b"0100007F", b"0" * 32})
"""Addresses, as /proc/net/tcp writes them, at which 127.0.0.1 reaches a listener."""


def confine(order: dict[str, Any]) -> None:
    """Take rights away from this process and all that come from it; the program's exec is next."""
    kernel.no_new_rights()
    if order["drop_capabilities"]:
        kernel.drop_capabilities()
    rules = order["landlock"]
    if rules is not None:
        kernel.landlock(**rules)
    if order["filter"]:
        kernel.filter_calls(order["filter"])


def limit(limits: dict[str, int]) -> None:
    """Never above what this process itself has as hard limit."""
    for name, value in limits.items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def default_signals() -> None:
    """Python ignores SIGPIPE and SIGXFSZ, and our guard ignores more; programs must not."""
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) is not None:
            signal.signal(number, signal.SIG_DFL)


def main(order_fd: int, said_fd: int) -> None:
    with open(order_fd, "rb", 0) as file:
        order = marshal.loads(file.read())
    os.set_inheritable(said_fd, False)
    control_fd = order["control_fd"]
    if control_fd is not None:
        os.set_inheritable(control_fd, False)
    close_others({said_fd, control_fd})
    try:
        become(order["user"])
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # the program, though of the same user, cannot look into us
        child, problem = start(order)
    except OSError as error:
        problem = {"problem": "sandbox", "errno": error.errno, "text": f"{error.filename}: {error.strerror}"}
    if problem is not None:
        os.write(said_fd, b"!" + marshal.dumps(problem))
        os._exit(127)
    os.write(said_fd, b"+")
    for fd in range(3, 10):
        try:
            os.close(fd)
        except OSError:
            continue
    for fd in (0, 1, 2):
        os.close(fd)
    status = watch(child, said_fd, control_fd)
    os.write(said_fd, status.to_bytes(4, "little"))
    os._exit(0)


def close_others(kept: set[int | None]) -> None:
    """Bubblewrap passes on whatever it was started with; the program gets 0 to 9 only."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 9 and number not in kept:
            try:
                os.close(number)
            except OSError:
                continue  # the one that listed them


def become(user: int | None) -> None:
    """Change to the sandbox's own user, without a way back."""
    if user is not None:
        kernel.empty_bounding_set()
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def start(order: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    told_out, told_in = os.pipe()
    child = os.fork()
    if child == 0:
        what = "chdir"
        told_in = above_nine(told_in)
        try:
            os.setsid()
            os.chdir(order["cwd"])
            what = "limits"
            limit(order["limits"])
            default_signals()
            what = "sandbox"
            confine(order)
            what = "exec"
            os.execve(order["program"], order["argv"], order["env"])
        except OSError as error:
            os.write(told_in, marshal.dumps({"problem": what, "errno": error.errno, "text": str(error)}))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it must reach the report
            os.write(told_in, marshal.dumps({"problem": what, "errno": 0, "text": repr(error)}))
        finally:
            os._exit(127)
    os.close(told_in)
    with open(told_out, "rb", 0) as file:
        told = file.read()
    return child, marshal.loads(told) if told else None


def above_nine(fd: int) -> int:
    """The same descriptor under a number that no program asks for (they are 3 to 9); closed on exec."""
    while fd <= 9:
        fd = os.dup(fd)
    return fd


def watch(child: int, said_fd: int, control_fd: int | None) -> int:
    """Bury orphans and answer the forwarder until the program has ended; gives its wait status.

    When the guard is gone, nobody reads any more what we say, and we end, and all with us. (A parent-death signal
    would not do: the kernel takes it as sent by the parent, which may not signal another user's process.)
    """
    control = None
    poll = select.poll()
    poll.register(said_fd, 0)  # errors only
    poll.register(os.pidfd_open(child), select.POLLIN)
    if control_fd is not None:
        import _socket

        control = _socket.socket(fileno=control_fd)
        poll.register(control_fd, select.POLLIN)
    while True:
        asked = [fd for fd, _ in poll.poll(REAP_MS)]
        if said_fd in asked:
            os._exit(1)
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                return status
            if pid == 0:
                break
        if control is not None and control_fd in asked:
            question = control.recv(8)
            if question:
                answer(control, question)
            else:
                poll.unregister(control_fd)  # the forwarder is gone


# -- connections to the program, asked for from outside; needs no right that the program does not have


def answer(control: Any, question: bytes) -> None:
    """`?` and two bytes of port: does anybody listen there? `c` and the port: a connection, please."""
    import _socket

    port = int.from_bytes(question[1:3], "big")
    if question[:1] == b"?":
        control.send(b"y" if listens(port) else b"n")
        return
    connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        connection.settimeout(2.0)
        connection.connect(("127.0.0.1", port))
        sent = connection.fileno().to_bytes(4, sys.byteorder)
        control.sendmsg([b"f"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, sent)])
    except OSError:
        control.send(b"n")
    finally:
        connection.close()


def listens(port: int) -> bool:
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/self/net/{name}", "rb", 0) as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, _, state = line.split()[1:4]
            address, _, number = local.partition(b":")
            if state == _LISTENING and int(number, 16) == port and address in _LOOPBACK:
                return True
    return False
