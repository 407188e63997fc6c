"""In the guard: control groups, the sandbox's user, and the way into bubblewrap.

Everything here is made from an order that `daybreak.host.sandbox.plan` wrote; nothing is decided here.
"""

from __future__ import annotations

import marshal
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from daybreak.host.sandbox.child import inside, kernel
else:
    import inside
    import kernel

confine = inside.confine

REMOVE_TRIES = 200
REMOVE_PAUSE_S = 0.005


# -- control groups


def make_groups(groups: list[tuple[str, dict[str, str]]]) -> None:
    """Make each folder and write its limits. Raises OSError; what was made is removed by `remove_groups`."""
    for folder, limits in groups:
        os.mkdir(folder)
        for name, value in limits.items():
            optional = name.startswith("?")
            try:
                _write(f"{folder}/{name.removeprefix('?')}", value)
            except OSError:
                if not optional:
                    raise


def join_groups(groups: list[tuple[str, dict[str, str]]]) -> None:
    for folder, _ in groups:
        try:
            _write(f"{folder}/tasks", "0")  # version 1; a single thread that moves itself waits for nobody
        except FileNotFoundError:
            _write(f"{folder}/cgroup.procs", "0")


def remove_groups(groups: list[tuple[str, dict[str, str]]]) -> None:
    """Everything in them has ended; the kernel may need a moment more to see it."""
    for folder, _ in groups:
        for _ in range(REMOVE_TRIES):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(REMOVE_PAUSE_S)
                continue
            break


def memory_group(groups: list[tuple[str, dict[str, str]]]) -> str:
    """Where it is counted how often the kernel had to end a process for want of memory; empty: nowhere."""
    for folder, _ in groups:
        for name in ("memory.events", "memory.oom_control"):
            if os.path.exists(f"{folder}/{name}"):
                return f"{folder}/{name}"
    return ""


def killed_for_memory(counted: str) -> int:
    """How often, by that file."""
    try:
        with open(counted, "rb", 0) as file:
            for line in file.read().splitlines():
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def _write(path: str, text: str) -> None:
    with open(path, "wb", 0) as file:
        file.write(text.encode())


# -- into bubblewrap


def enter(order: dict[str, Any], said_fd: int) -> NoReturn:
    """Replace this process by bubblewrap, in which `inside` starts the program. Raises OSError where it cannot."""
    box = order["sandbox"]
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    arguments = list(box["arguments"])
    if box["user"] is not None:
        arguments = [b"--userns", b"%d" % _passed(change_owners(box["user"], box["mapped"])), *arguments]
    for path, text in box["files"]:
        arguments += [b"--perms", b"0644", b"--ro-bind-data", b"%d" % _holding(text), path]
    arguments += box["arguments_at_last"]
    told = {
        **{name: order[name] for name in ("program", "argv", "env", "cwd", "limits")},
        **{name: box[name] for name in ("user", "drop_capabilities", "landlock", "filter", "control_fd")},
    }
    command = [
        *(box["bwrap"], b"--args", b"%d" % _holding(b"".join(part + b"\0" for part in arguments)), b"--"),
        *(*box["inside"], b"%d" % _holding(marshal.dumps(told)), b"%d" % _passed(said_fd)),
    ]
    if box["control_fd"] is not None:
        os.set_inheritable(box["control_fd"], True)
    os.execve(box["bwrap"], command, {b"LANG": b"C.UTF-8"})


def change_owners(user: int, paths: list[bytes]) -> int:
    """Make what root owns in `paths` appear as the sandbox's user's own, for this process and its children only;
    gives the user namespace in which that user and root exist. What the user writes is root's on the disk."""
    owners = kernel.user_namespace([f"0 {user} 1"])
    kernel.own_mounts()
    for path in paths:
        kernel.map_owner(path, owners)
    os.close(owners)
    return kernel.user_namespace(["0 0 1", f"{user} {user} 1"])


def _holding(data: bytes) -> int:
    """A descriptor to read `data` from, inherited."""
    fd = os.memfd_create("order", 0)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return _passed(fd)


def _passed(fd: int) -> int:
    """The same, inherited, and under a number that no program asks for."""
    fd = inside.above_nine(fd)
    os.set_inheritable(fd, True)
    return fd
