"""From what a sandbox grants and what the machine can, to the order that the guard carries out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from daybreak.host import place
from daybreak.host.program import without_ups
from daybreak.host.sandbox import seccomp
from daybreak.host.sandbox.machine import (
    GROUP_PREFIX,
    INSTALL_HINT,
    LANDLOCK_NETWORK,
    LANDLOCK_SCOPES,
    Machine,
    detect,
)
from daybreak.host.sandbox.model import Mode, Sandbox, SandboxMissing, SandboxRefused

CHILD = Path(__file__).resolve().parent / "child"
"""What the guard and the first process of a sandbox import."""

_BEGIN = "import sys; sys.path.append(sys.argv[1]); import inside; inside.main(*map(int, sys.argv[2:]))"

USER_FIRST, USER_COUNT = 0x7000_0000, 0x0800_0000
"""Users of sandboxes: numbers that no distribution and no container tool gives away (systemd's list of user ids)."""
PLAIN_USER = 1000

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_SETTINGS = (
    *("alternatives", "ld.so.cache", "ld-musl-x86_64.path", "ld-musl-aarch64.path", "localtime", "nsswitch.conf"),
    *("os-release", "ssl/openssl.cnf"),
)
"""In /etc: what programs need to run, and nothing that says who uses the machine. Each costs 0.3 ms."""
_SETTINGS_OF_THE_NETWORK = (
    *("ca-certificates", "gai.conf", "host.conf", "hosts", "pki/ca-trust", "pki/tls/certs", "protocols"),
    *("resolv.conf", "services", "ssl/certs"),
)

# Landlock's rights on files.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_BLOCK, _REFER, _TRUNCATE, _IOCTL_DEV = 64, 2048, 8192, 16384, 32768
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_BIND, _CONNECT = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2


@dataclass(frozen=True)
class Ready:
    """A sandbox that can be had: `process.run` takes it. `mode` is what it is on this machine."""

    sandbox: Sandbox
    machine: Machine
    mode: Mode

    def order(self, *, cwd: Path, env_home: str, limits: dict[str, int]) -> dict[str, Any]:
        """For the guard; marshal can write it. Raises SandboxRefused where a granted path is not as it must be."""
        box, machine = self.sandbox, self.machine
        for path in (*box.writable, *box.readable):
            _check_real(path)
        own = machine.root and machine.own_user
        user = USER_FIRST + int.from_bytes(os.urandom(8), "big") % USER_COUNT if own and machine.bwrap else None
        groups = _groups(machine, box)
        counted = any("pids.max" in wanted for _, wanted in groups)
        return {
            "folder": str(CHILD),
            "bwrap": os.fsencode(machine.bwrap),
            "user": user,
            "mapped": [os.fsencode(path) for path in _tops((*box.writable, *box.readable, *python_paths()))],
            "arguments": _arguments(box, machine) if machine.bwrap else [],
            "arguments_at_last": [b"--remount-ro", b"/"],
            "files": _files(user if user is not None else PLAIN_USER if machine.root else os.getuid(), env_home),
            "inside": [os.fsencode(part) for part in (_python(), "-I", "-S", "-c", _BEGIN, CHILD)],
            "drop_capabilities": machine.root,
            "landlock": _landlock(box, machine),
            "filter": _filter(box, machine),
            "limits": _limits(box, limits, own_user=bool(machine.bwrap) and (user is not None or not machine.root)),
            "groups": groups,
            "control_fd": None,
            "watch": {
                "memory_bytes": None
                if any("memory" in next(iter(wanted)) for _, wanted in groups)
                else box.memory_bytes,
                "folders": [os.fsencode(path) for path in _tops(box.writable)],
                "disk_bytes": box.disk_bytes,
                "disk_files": box.disk_files,
            },
            "processes_max": None if counted else box.processes,
        }

    @property
    def forwards(self) -> bool:
        """The program listens in a network namespace of its own and must be reached through its first process."""
        return self.sandbox.network == "listen" and bool(self.machine.bwrap)


def prepare(sandbox: Sandbox, machine: Machine | None = None) -> Ready:
    """Check that this machine can enforce what is asked. Raises SandboxMissing, with nothing started; SandboxRefused
    for what is no sandbox."""
    given: tuple[object, object] = (sandbox, machine)
    if not isinstance(given[0], Sandbox) or not isinstance(given[1], Machine | None):
        raise SandboxRefused(
            f"{place.shown(sandbox)} is no sandbox, or {place.shown(machine)} no machine",
            hint="give a Sandbox(writable=(folder,)) and leave the machine out",
        )
    machine = detect() if machine is None else machine
    mode = machine.mode(sandbox.network)
    if not mode.reaches(sandbox.require):
        raise SandboxMissing(
            f"a {sandbox.require} sandbox is required, this machine has: {mode.words}", hint=INSTALL_HINT
        )
    if sandbox.require != "none" and sandbox.network != "host" and "network" in mode.not_covered:
        raise SandboxMissing(
            f"network {sandbox.network!r} cannot be held to that here: {mode.words}", hint=INSTALL_HINT
        )
    if not machine.bwrap and (sandbox.hidden or _carved_out(sandbox)):
        raise SandboxMissing("parts of a granted folder can only be taken out by bubblewrap", hint=INSTALL_HINT)
    return Ready(sandbox, machine, mode)


def _carved_out(box: Sandbox) -> bool:
    """Something read-only lies inside something writable, which Landlock cannot express."""
    return any(path.is_relative_to(outer) for path in box.readable for outer in box.writable)


def _check_real(path: Path) -> None:
    try:
        real = os.path.realpath(path, strict=True)
    except OSError as error:
        raise SandboxRefused(
            f"{place.cut(str(path))} cannot be granted: {error.strerror}", hint="make it first"
        ) from error
    if real != str(path):
        raise SandboxRefused(
            f"{place.cut(str(path))} leads through a symbolic link to {place.cut(real)}",
            hint="if that is meant, grant the real path",
        )


# -- paths


@cache
def python_paths() -> tuple[Path, ...]:
    """What this environment's Python needs to be read: its installation, the environment, this package; real
    paths, and also those with links in them by which it calls itself."""
    named = {Path(sys.prefix), Path(sys.exec_prefix), Path(sys.base_prefix), Path(sys.base_exec_prefix), _package()}
    found = {path for one in named for path in (one.absolute(), one.resolve())}
    for link in _links(Path(without_ups(sys.executable)).absolute()):
        if not any(link.is_relative_to(path) for path in found):
            found.add(link)
    return tuple(sorted(path for path in found if not _is_system(path)))


def _package() -> Path:
    """This package's folder, which is two above."""
    return Path(__file__).resolve().parents[2]


def _links(path: Path) -> Iterator[Path]:
    while path.is_symlink():
        yield path
        path = Path(os.path.normpath(path.parent / path.readlink()))


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(system) for system in _SYSTEM)


@cache
def _python() -> str:
    return os.path.realpath(sys.executable)


def _tops(paths: Iterable[Path]) -> list[Path]:
    """Those that lie in no other."""
    found: list[Path] = []
    for path in sorted(set(paths), key=lambda one: len(one.parts)):
        if not any(path.is_relative_to(outer) for outer in found):
            found.append(path)
    return found


def _settings(box: Sandbox) -> Iterator[str]:
    for name in (*_SETTINGS, *(_SETTINGS_OF_THE_NETWORK if box.network == "host" else ())):
        if os.path.exists(f"/etc/{name}"):
            yield f"/etc/{name}"


# -- bubblewrap

_HIDE = "hide"


def _arguments(box: Sandbox, machine: Machine) -> list[bytes]:
    words: list[str | Path | int] = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--die-with-parent", "--as-pid-1", "--hostname", "sandbox", "--cap-drop", "ALL"]
    words += [] if box.network == "host" else ["--unshare-net"]
    if machine.root and machine.own_user:  # until `inside` has become the sandbox's user
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            words += ["--cap-add", capability]
    else:
        words += ["--unshare-user"]
        words += ["--uid", PLAIN_USER, "--gid", PLAIN_USER] if machine.root else []
    words += _system_words(box)
    scratch: list[str | Path | int] = ["--perms", "1777", "--size", box.scratch_bytes, "--tmpfs"]
    words += ["--proc", "/proc", "--dev", "/dev", *scratch, "/dev/shm", *scratch, "/tmp"]
    if machine.root and not machine.own_user:  # root, though without rights, owns what lies there
        words += ["--ro-bind", "/proc/sys", "/proc/sys"]
    words += _granted_words(box)
    return [os.fsencode(str(word)) for word in words]


def _system_words(box: Sandbox) -> list[str | Path | int]:
    words: list[str | Path | int] = []
    for name in _SYSTEM:
        if os.path.islink(name):
            words += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            words += [*_parents(Path(name)), "--ro-bind", name, name]
    for name in _settings(box):
        words += _parents(Path(name))
        target = os.path.realpath(name)
        if os.path.islink(name) and _is_system(Path(target)):
            words += ["--symlink", target, name]
        else:
            words += ["--ro-bind-try", name, name]
    return words


def _granted_words(box: Sandbox) -> list[str | Path | int]:
    """Shorter paths first, so that longer ones lie on top of them. One that is granted and hidden is hidden."""
    how = dict.fromkeys(python_paths(), "--ro-bind")
    how |= dict.fromkeys(box.readable, "--ro-bind") | dict.fromkeys(box.writable, "--bind")
    how |= dict.fromkeys(box.hidden, _HIDE)
    words: list[str | Path | int] = []
    for path in sorted(how, key=lambda one: len(one.parts)):
        if how[path] != _HIDE:
            words += [*_parents(path), how[path], path, path]
        elif next((how[outer] for outer in path.parents if outer in how), "") == _HIDE:
            continue  # would only show its name
        elif path.is_dir() and not path.is_symlink():
            words += ["--perms", "0555", "--size", 4096, "--tmpfs", path]
        elif path.exists():
            words += ["--ro-bind", "/dev/null", path]
    return words


def _parents(path: Path) -> list[str | Path | int]:
    """Without this, bubblewrap makes folders on the way as closed as they are outside, also to the sandbox's user."""
    words: list[str | Path | int] = []
    for parent in reversed(path.parents[:-1]):
        words += ["--perms", "0755", "--dir", parent]
    return words


def _files(user: int, home: str) -> list[tuple[bytes, bytes]]:
    """Users and groups as the sandbox knows them."""
    home = home if home.isprintable() and ":" not in home else "/tmp"
    passwd = f"root:x:0:0:root:/nonexistent:/bin/false\nsandbox:x:{user}:{user}:sandbox:{home}:/bin/sh\n"
    return [
        (b"/etc/passwd", os.fsencode(passwd)),
        (b"/etc/group", f"root:x:0:\nsandbox:x:{user}:\n".encode()),
    ]


# -- the kernel's own layers


def _filter(box: Sandbox, machine: Machine) -> bytes:
    if not machine.seccomp:
        return b""
    sockets: seccomp.Sockets = "all"
    if not machine.bwrap and box.network != "host":
        sockets = "none" if box.network == "none" else "listen"
    return seccomp.program(seccomp.rules(sockets=sockets, own_ipc=bool(machine.bwrap)), machine.architecture)


def _landlock(box: Sandbox, machine: Machine) -> dict[str, Any] | None:
    """Below bubblewrap a second line, and what keeps mounts and abstract sockets out of reach; else the only one."""
    abi = machine.landlock_abi
    if not abi:
        return None
    handled = (1 << 13) - 1
    handled |= (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEV if abi >= 5 else 0)
    write = handled & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
    device = (_READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV) & handled
    if machine.bwrap:
        allowed = [("/", _READ), ("/dev", device), ("/dev/shm", write), ("/tmp", write)]
    else:
        allowed = [(path, _READ) for path in (*_SYSTEM, *_settings(box), "/etc/passwd", "/etc/group", "/proc")]
        allowed += [(f"/dev/{name}", device) for name in ("null", "zero", "full", "random", "urandom")]
        allowed += [(str(path), _READ) for path in (*python_paths(), *box.readable)]
        allowed += [(str(_package().parent), _READ_DIR)]  # so that it is found by `import`
    allowed += [(str(path), write) for path in box.writable]
    held_back = not machine.bwrap and box.network != "host" and abi >= LANDLOCK_NETWORK
    return {
        "files": handled,
        "network": _BIND | _CONNECT if held_back else 0,
        "scopes": _ABSTRACT_SOCKETS | _SIGNALS if abi >= LANDLOCK_SCOPES else 0,
        "paths": [(os.fsencode(path), rights) for path, rights in allowed],
        "ports": [(box.listen_port, _BIND)] if held_back and box.listen_port is not None else [],
        "abi": abi,
    }


def _limits(box: Sandbox, limits: dict[str, int], *, own_user: bool) -> dict[str, int]:
    """`limits` and the sandbox's own, the smaller of both."""
    own = {"RLIMIT_FSIZE": box.file_bytes, "RLIMIT_NOFILE": box.open_files}
    own |= {"RLIMIT_CPU": box.cpu_s} if box.cpu_s is not None else {}
    # Counted per user and user namespace, so only where the sandbox has one of these to itself.
    own |= {"RLIMIT_NPROC": box.processes} if own_user and _counts_by_namespace() else {}
    return {**limits, **{name: min(value, limits.get(name, value)) for name, value in own.items()}}


def _counts_by_namespace() -> bool:
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    return (major, minor) >= (5, 14)


def _groups(machine: Machine, box: Sandbox) -> list[tuple[str, dict[str, str]]]:
    """Folders to make, with what to write into each; `?`: only where there is such a file. The two processes of
    ours that a sandbox holds are not counted against it."""
    name = f"{GROUP_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
    memory, tasks = str(box.memory_bytes), str(box.processes + 2)
    wanted = {
        "memory": {"memory.limit_in_bytes": memory, "?memory.memsw.limit_in_bytes": memory},
        "pids": {"pids.max": tasks},
        "unified": {"memory.max": memory, "?memory.swap.max": "0", "?memory.oom.group": "0", "pids.max": tasks},
    }
    return [(str(folder / name), wanted[controller]) for controller, folder in sorted(machine.groups.items())]
