"""System calls that Python has no function for. Each raises OSError where the kernel refuses.

Made from `_ctypes` directly, because importing `ctypes` takes as long as all the rest of a launch.
"""

from __future__ import annotations

import _ctypes
import os
import stat
import struct

TYPE_CHECKING = False  # importing `typing` for this would cost time
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 28, 38, 47, 4
SECCOMP_MODE_FILTER = 2
SECUREBITS_NO_ROOT_LOCKED = 0b1111  # neither being root nor becoming root gives a capability, ever
CAPABILITY_VERSION_3 = 0x20080522

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_REC, MS_SLAVE = 0x4000, 0x80000
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH = 1, 0o2000000, 4
MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_IDMAP = 2, 4, 0x00100000

# These have the same number on every architecture.
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION, LANDLOCK_RULE_PATH_BENEATH, LANDLOCK_RULE_NET_PORT = 1, 1, 2

LANDLOCK_OF_FILES = 1 | 2 | 4 | 1 << 14 | 1 << 15  # execute, write, read, truncate, ioctl on devices

_CDECL, _USE_ERRNO = 1, 8


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _Text(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "z"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _CDECL | _USE_ERRNO
    _restype_ = _Long


_own: Any = None  # this very program, of which libc is a part
_libc = _ctypes.dlopen(_own, 0)


def call(name: str, *arguments: int | bytes | None) -> int:
    """Call a function of libc; numbers are C ints, bytes are pointers to themselves, None is the null pointer."""
    function: Any = _Function(_ctypes.dlsym(_libc, name))
    result: int = function(*arguments)
    if result < 0:
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def address(data: bytes) -> tuple[int, object]:
    """Where `data` lies in memory, and what must be kept for as long as that is used."""
    pointer = _Text(data)
    return struct.unpack("P", bytes(memoryview(pointer).cast("B")))[0], pointer


def prctl(option: int, value: int, third: int | bytes = 0) -> int:
    return call("prctl", option, value, third, 0, 0)


def unshare(flags: int) -> None:
    call("unshare", flags)


# -- rights


def empty_bounding_set() -> None:
    """From here on no exec gives a capability."""
    for number in range(64):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:
            break  # there is no such capability, nor any above it; or we may not, having none to lose


def drop_capabilities() -> None:
    """Every capability of this process, for ever, though it be root."""
    empty_bounding_set()
    try:  # noqa: SIM105 - contextlib would have to be imported
        prctl(PR_SET_SECUREBITS, SECUREBITS_NO_ROOT_LOCKED)
    except OSError:
        pass  # without CAP_SETPCAP; the empty bounding set already does it
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    call("capset", struct.pack("Ii", CAPABILITY_VERSION_3, 0), bytes(24))


def no_new_rights() -> None:
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def filter_calls(program: bytes) -> None:
    """Put a seccomp program in force, for this process and all that come from it. Needs `no_new_rights` before."""
    where, kept = address(program + b"\0")
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, struct.pack("HP", len(program) // 8, where))
    del kept


# -- Landlock


def landlock_abi() -> int:
    """The version of Landlock; 0: there is none."""
    try:
        return call("syscall", LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    except OSError:
        return 0


def landlock(
    *,
    files: int,
    network: int,
    scopes: int,
    paths: Iterable[tuple[bytes, int]],
    ports: Iterable[tuple[int, int]],
    abi: int,
) -> None:
    """Refuse what the bit sets `files`, `network`, `scopes` name, but for `paths` and `ports` with their own sets.

    A path that does not exist is passed over: nothing is granted by that.
    """
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = call("syscall", LANDLOCK_CREATE_RULESET, struct.pack("QQQ", files, network, scopes)[:size], size, 0)
    try:
        for path, allowed in paths:
            try:
                beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                if not stat.S_ISDIR(os.fstat(beneath).st_mode):
                    allowed &= LANDLOCK_OF_FILES
                rule = struct.pack("=Qi", allowed, beneath)
                call("syscall", LANDLOCK_ADD_RULE, rules, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
            finally:
                os.close(beneath)
        for port, allowed in ports:
            call("syscall", LANDLOCK_ADD_RULE, rules, LANDLOCK_RULE_NET_PORT, struct.pack("QQ", allowed, port), 0)
        call("syscall", LANDLOCK_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


# -- users and mounts


def user_namespace(lines: Sequence[str]) -> int:
    """A descriptor of a new user namespace with this mapping of users and groups, `inner outer count` a line."""
    ready_out, ready_in = os.pipe()
    go_out, go_in = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(go_in)
            unshare(CLONE_NEWUSER)
            os.write(ready_in, b"+")
            os.read(go_out, 1)
        finally:
            os._exit(0)
    try:
        os.close(ready_in)
        if not os.read(ready_out, 1):
            raise OSError(1, "no user namespace can be made", "unshare")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "wb", 0) as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for fd in (ready_out, go_out, go_in):
            os.close(fd)
        os.waitpid(child, 0)


def own_mounts() -> None:
    """Mounts from here on are seen by this process and its children only."""
    unshare(CLONE_NEWNS)
    call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)


def map_owner(path: bytes, namespace: int) -> None:
    """Mount `path` onto itself with its owners mapped as `namespace` says."""
    tree = call("syscall", OPEN_TREE, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    try:
        wanted = struct.pack("QQQQ", MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, 0, namespace)
        call("syscall", MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, wanted, len(wanted))
        call("syscall", MOVE_MOUNT, tree, b"", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)
