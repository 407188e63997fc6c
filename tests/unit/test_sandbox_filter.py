"""The filter of system calls refuses what it must and nothing else, on both architectures."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daybreak.host.sandbox import seccomp
from daybreak.host.sandbox.calls import MACHINES, NUMBERS, number
from daybreak.host.sandbox.seccomp import RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
GENERIC = Path("/usr/include/asm-generic/unistd.h")


def verdict(program: bytes, architecture: int, call: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel would make of a call: the few BPF instructions that there are, carried out."""
    data = struct.pack("<iIQ6Q", call, architecture, 0, *(*arguments, *[0] * 6)[:6])
    steps = list(struct.iter_unpack("=HBBI", program))
    at = held = 0
    while True:
        code, when_true, when_false, value = steps[at]
        at += 1
        if code == 0x20:
            held = struct.unpack_from("<I", data, value)[0]
        elif code == 0x54:
            held &= value
        elif code == 0x06:
            return value
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            at += when_true if holds else when_false


def made(machine: str, **how: object) -> bytes:
    return seccomp.program(seccomp.rules(**{"sockets": "all", "own_ipc": True, **how}), machine)  # type: ignore[arg-type]


def ask(machine: str, name: str, *arguments: int, **how: object) -> int:
    which = number(name, machine)
    assert which is not None
    return verdict(made(machine, **how), MACHINES[machine][1], which, arguments)


both = pytest.mark.parametrize("machine", sorted(MACHINES))


@both
@pytest.mark.parametrize("name", ["ptrace", "mount", "keyctl", "bpf", "perf_event_open", "setns", "process_vm_writev"])
def test_what_is_dangerous_is_refused_whatever_its_arguments(machine: str, name: str) -> None:
    """Calls that a program of ours never needs are refused outright."""  # shows: N9
    assert ask(machine, name, 1, 2, 3) == RET_ERRNO | errno.EPERM


@both
@given(call=st.integers(0, 600), arguments=st.tuples(*[st.integers(0, 2**64 - 1)] * 6))
def test_calls_without_a_rule_are_allowed(machine: str, call: int, arguments: tuple[int, ...]) -> None:
    """Default is to allow, so that ordinary programs do not notice."""
    ruled = {number(rule.call, machine) for rule in seccomp.rules(sockets="none", own_ipc=False)}
    if call not in ruled:
        assert verdict(made(machine, sockets="none", own_ipc=False), MACHINES[machine][1], call, arguments) == RET_ALLOW


@both
@given(architecture=st.integers(0, 2**32 - 1), call=st.integers(0, 2**31 - 1))
def test_another_architecture_ends_the_program(machine: str, architecture: int, call: int) -> None:
    """The numbers of another architecture mean other calls."""
    if architecture != MACHINES[machine][1]:
        assert verdict(made(machine), architecture, call) == RET_KILL_PROCESS


def test_the_x32_numbers_end_the_program() -> None:
    """The same architecture has a second set of numbers, by which every rule could be walked around."""
    for call in (0x40000000 | 101, 0x40000000, 0x7FFFFFFF):
        assert verdict(made("x86_64"), MACHINES["x86_64"][1], call) == RET_KILL_PROCESS


@both
@given(flags=st.integers(0, 2**32 - 1), high=st.integers(0, 2**32 - 1))
def test_new_namespaces_are_refused_and_threads_are_not(machine: str, flags: int, high: int) -> None:
    """`clone` and `unshare` are refused exactly where a namespace flag is among theirs."""
    wanted = RET_ERRNO | errno.EPERM if flags & 0x7E020000 else RET_ALLOW
    assert ask(machine, "clone", high << 32 | flags) == wanted
    wanted = RET_ERRNO | errno.EPERM if flags & 0x7E020080 else RET_ALLOW
    assert ask(machine, "unshare", high << 32 | flags) == wanted


@both
def test_what_a_filter_cannot_look_into_does_not_exist(machine: str) -> None:
    """Calls with their arguments in memory say ENOSYS, on which libraries take the older call."""
    for name in ("clone3", "openat2", "io_uring_setup"):
        assert ask(machine, name) == RET_ERRNO | errno.ENOSYS


@both
@given(mode=st.integers(0, 0o7777))
def test_set_user_id_bits_are_refused_in_every_way(machine: str, mode: int) -> None:
    """No call leaves a file that runs with its owner's rights; other modes are free."""
    wanted = RET_ERRNO | errno.EPERM if mode & 0o6000 else RET_ALLOW
    ways = [("fchmod", (3, mode)), ("fchmodat", (3, 0, mode)), ("fchmodat2", (3, 0, mode)), ("mknodat", (3, 0, mode))]
    ways += [("openat", (3, 0, 0o101, mode))]
    ways += [("chmod", (0, mode)), ("creat", (0, mode)), ("open", (0, 0o101, mode))] if machine == "x86_64" else []
    assert {ask(machine, name, *arguments) for name, arguments in ways} == {wanted}
    assert ask(machine, "openat", 3, 0, 0, mode) == RET_ALLOW  # without O_CREAT this argument means nothing


@both
@given(high=st.integers(0, 2**32 - 1))
def test_typing_into_a_terminal_is_refused_also_with_high_bits(machine: str, high: int) -> None:
    """The kernel takes the low half of the request, and so does the filter."""
    assert ask(machine, "ioctl", 0, high << 32 | 0x5412) == RET_ERRNO | errno.EPERM
    assert ask(machine, "ioctl", 0, high << 32 | 0x5413) == RET_ALLOW  # the size of the window


@both
@given(family=st.integers(0, 45), kind=st.sampled_from([1, 2, 3, 5, 1 | 0o2000000]), protocol=st.integers(0, 262))
def test_sockets_are_held_to_what_is_wanted(machine: str, family: int, kind: int, protocol: int) -> None:
    """`all`: unix, internet and the routing table; `listen`: plain TCP; `none`: none at all."""
    allowed = family in (1, 2, 10) or (family == 16 and protocol == 0)
    assert (ask(machine, "socket", family, kind, protocol) == RET_ALLOW) is allowed
    plain_tcp = family in (2, 10) and kind & 0xF == 1 and protocol in (0, 6)
    assert (ask(machine, "socket", family, kind, protocol, sockets="listen") == RET_ALLOW) is plain_tcp
    assert ask(machine, "socket", family, kind, protocol, sockets="none") == RET_ERRNO | errno.EACCES


@both
def test_connecting_by_sending_is_refused_where_connecting_is(machine: str) -> None:
    """TCP Fast Open does not pass the place where Landlock looks."""
    for name, place in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        arguments = [0] * place + [0x20000000]
        assert ask(machine, name, *arguments, sockets="listen") == RET_ERRNO | errno.EACCES
        assert ask(machine, name, *[0] * (place + 1), sockets="listen") == RET_ALLOW


@both
def test_shared_memory_is_free_only_in_a_namespace_of_its_own(machine: str) -> None:
    """System V shared memory of others is out of reach, with or without bubblewrap."""
    assert ask(machine, "shmget", own_ipc=False) == RET_ERRNO | errno.EPERM
    assert ask(machine, "shmget", own_ipc=True) == RET_ALLOW


@both
def test_the_program_is_one_that_the_kernel_takes(machine: str) -> None:
    """At most 4,096 instructions, every jump lands inside, and all ways end."""
    steps = list(struct.iter_unpack("=HBBI", made(machine, sockets="listen", own_ipc=False)))
    assert len(steps) <= 4096
    for at, (code, when_true, when_false, _) in enumerate(steps):
        if code in (0x15, 0x35, 0x45):
            assert at + 1 + max(when_true, when_false) < len(steps)
    assert steps[-1][0] == 0x06


@pytest.mark.skipif(not HEADER.exists() or not GENERIC.exists(), reason="the kernel's headers are not installed")
def test_the_numbers_are_those_of_the_kernel() -> None:
    """Compared with the headers of the system, as far as those are new enough to know a call."""
    for column, path in enumerate((HEADER, GENERIC)):
        known = {}
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == "#define" and words[1].startswith("__NR") and words[2].isdigit():
                known[words[1].removeprefix("__NR").removeprefix("3264").lstrip("_")] = int(words[2])
        for name, numbers in NUMBERS.items():
            if name in known:
                assert numbers[column] == known[name], name
