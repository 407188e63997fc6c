"""The filter of system calls: rules in, a BPF program out.

By default everything is allowed; the rules name what is refused, and where it matters for which arguments. What
is refused gives an error (a program can go on without it); a call of another architecture ends the program,
since its numbers mean something else.

What the rules are for, beyond namespaces and file rules: the kernel's rarely used corners (mount, keyctl, bpf,
perf, io_uring, ...) that attacks on kernels go through; other processes (ptrace and its relatives); new
namespaces, which give back what was taken; typing into a terminal (TIOCSTI); address families that network
namespaces do not hold back (vsock); and set-user-id files, which would outlive the sandbox in the workspace.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from daybreak.host.sandbox.calls import MACHINES, number

RET_KILL_PROCESS, RET_ERRNO, RET_ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
X32_BIT = 0x40000000

_LOAD_WORD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS = 0x15, 0x35, 0x45
_TEST_LENGTH = 3
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16

NEW_NAMESPACES = 0x7E020000
NEW_TIME_NAMESPACE = 0x80
SET_ID_BITS = 0o6000
O_MAKES = 0o100 | 0o20000000
"""O_CREAT and the bit of O_TMPFILE: only then `open` has a mode."""
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
NETLINK_ROUTE = 0
SOCK_TYPE_MASK, SOCK_STREAM = 0xF, 1
IPPROTO_TCP = 6
MSG_FASTOPEN = 0x20000000

Sockets = Literal["all", "listen", "none"]
"""`all`: unix and internet sockets; `listen`: TCP sockets only; `none`: no sockets but pairs."""


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on the low 32 bits of an argument, after `mask`: equal to `value`, unequal, or any bit of it."""

    argument: int
    how: Literal["equal", "unequal", "any"]
    value: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Rule:
    """Refuse a call with an error where all tests hold (none: always)."""

    call: str
    error: int = errno.EPERM
    tests: tuple[Test, ...] = ()


_NEVER = (
    *("acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module"),
    *("fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module", "ioperm", "iopl"),
    *("kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "modify_ldt", "mount", "mount_setattr"),
    *("move_mount", "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree", "open_tree_attr"),
    *("perf_event_open", "pidfd_getfd", "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev"),
    *("ptrace", "quotactl", "quotactl_fd", "reboot", "request_key", "setdomainname", "sethostname", "setns"),
    *("settimeofday", "swapoff", "swapon", "syslog", "umount2", "userfaultfd", "uselib", "vhangup"),
)
_AS_IF_TOO_NEW = ("clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""Their arguments lie in memory, where a filter cannot look; programs fall back to older calls on ENOSYS."""
_SHARED_MEMORY = ("shmget", "semget", "msgget")


def rules(*, sockets: Sockets, own_ipc: bool) -> list[Rule]:
    """What is refused. `own_ipc`: System V shared memory is in a namespace of its own, so it may be used."""
    found = [Rule(name) for name in _NEVER]
    found += [Rule(name, errno.ENOSYS) for name in _AS_IF_TOO_NEW]
    found += [] if own_ipc else [Rule(name) for name in _SHARED_MEMORY]
    found += [
        Rule("unshare", tests=(Test(0, "any", NEW_NAMESPACES | NEW_TIME_NAMESPACE),)),
        Rule("clone", tests=(Test(0, "any", NEW_NAMESPACES),)),
        *(Rule("ioctl", tests=(Test(1, "equal", request),)) for request in (TIOCSTI, TIOCLINUX)),
        *(
            Rule(name, tests=(Test(argument, "any", SET_ID_BITS),))
            for name, argument in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("creat", 1))
        ),
        *(Rule(name, tests=(Test(argument, "any", SET_ID_BITS),)) for name, argument in (("mknod", 1), ("mknodat", 2))),
        Rule("open", tests=(Test(1, "any", O_MAKES), Test(2, "any", SET_ID_BITS))),
        Rule("openat", tests=(Test(2, "any", O_MAKES), Test(3, "any", SET_ID_BITS))),
        Rule("socketpair", errno.EAFNOSUPPORT, (Test(0, "unequal", AF_UNIX),)),
    ]
    return found + _socket_rules(sockets)


def _socket_rules(sockets: Sockets) -> list[Rule]:
    internet = (Test(0, "unequal", AF_INET), Test(0, "unequal", AF_INET6))
    if sockets == "none":
        return [Rule("socket", errno.EACCES)]
    if sockets == "listen":
        return [
            Rule("socket", errno.EACCES, internet),
            Rule("socket", errno.EACCES, (Test(1, "unequal", SOCK_STREAM, SOCK_TYPE_MASK),)),
            Rule("socket", errno.EACCES, (Test(2, "unequal", 0), Test(2, "unequal", IPPROTO_TCP))),
            # A connection that is opened by sending does not pass the place where Landlock looks.
            *(
                Rule(name, errno.EACCES, (Test(argument, "any", MSG_FASTOPEN),))
                for name, argument in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3))
            ),
        ]
    return [
        Rule("socket", errno.EAFNOSUPPORT, (*internet, Test(0, "unequal", AF_UNIX), Test(0, "unequal", AF_NETLINK))),
        Rule("socket", errno.EAFNOSUPPORT, (Test(0, "equal", AF_NETLINK), Test(2, "unequal", NETLINK_ROUTE))),
    ]


def program(found: Sequence[Rule], machine: str) -> bytes:
    """The BPF program for `machine` (`x86_64` or `aarch64`): 8 bytes an instruction, native order.

    Rules for calls that the architecture does not have are left out. Raises KeyError for another machine.
    """
    parts = [
        _statement(_LOAD_WORD, _OFFSET_ARCHITECTURE),
        _jump(_JUMP_EQUAL, MACHINES[machine][1], 1, 0),
        _statement(_RETURN, RET_KILL_PROCESS),
        _statement(_LOAD_WORD, _OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        parts += [_jump(_JUMP_AT_LEAST, X32_BIT, 0, 1), _statement(_RETURN, RET_KILL_PROCESS)]
    by_call: dict[str, list[Rule]] = {}
    for rule in found:
        by_call.setdefault(rule.call, []).append(rule)
    for name, same in by_call.items():
        which = number(name, machine)
        if which is not None:
            block = list(_block(same))
            parts += [_jump(_JUMP_EQUAL, which, 0, len(block)), *block]
    return b"".join([*parts, _statement(_RETURN, RET_ALLOW)])


def _block(same: Sequence[Rule]) -> Iterator[bytes]:
    """What is done for one call, once its number is known; always returns."""
    for rule in same:
        for place, test in enumerate(rule.tests):
            after = _TEST_LENGTH * (len(rule.tests) - place - 1) + 1  # what is jumped over where it does not hold
            yield _statement(_LOAD_WORD, _OFFSET_ARGUMENTS + 8 * test.argument)  # its low word: little-endian
            yield _statement(_AND, test.mask)
            if test.how == "unequal":
                yield _jump(_JUMP_EQUAL, test.value, after, 0)
            else:
                yield _jump(_JUMP_EQUAL if test.how == "equal" else _JUMP_BITS, test.value, 0, after)
        yield _statement(_RETURN, RET_ERRNO | rule.error)
        if not rule.tests:
            return
    yield _statement(_RETURN, RET_ALLOW)


def _statement(code: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, 0, 0, value)


def _jump(code: int, value: int, when_true: int, when_false: int) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, value)
