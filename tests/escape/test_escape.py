"""Every known way out of the sandbox is tried: in full mode all are stopped, in degraded mode each is stopped or said.

The programs lie in `corpus/`, each named after what it attempts. A program that got through prints ESCAPED; where
that can be seen from outside, it is looked at from outside too. Wherever it does no harm, the same program is
also run without a sandbox and must get through, so that each of these tests can fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest

from daybreak.host import process
from daybreak.host.process import Finished
from daybreak.host.sandbox import GAPS, Machine, Ready, Sandbox, detect, prepare

CORPUS = Path(__file__).resolve().parent / "corpus"
MIB = 1024 * 1024

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made for Linux only so far")


@dataclass(frozen=True)
class Attack:
    name: str
    gap: str = ""
    """The word in `GAPS` that says that it is not covered; empty: it must be stopped in every mode."""
    free: Literal["yes", "root", "maybe", "no"] = "yes"
    """Whether it gets through without a sandbox: always, where we are root, perhaps (depends on the kernel), or
    never (it would do harm, or the guard alone stops it)."""
    limits: dict[str, int] = field(default_factory=dict)


READING = [
    Attack("read_the_ledger", "reading"),
    Attack("read_the_keys", "reading"),
    Attack("read_held_out_examples", "reading"),
    Attack("read_another_workspace", "reading"),
    Attack("read_the_home", "reading"),
    Attack("read_the_shadow", "reading", "root"),
    Attack("read_by_symbolic_link", "reading"),
    Attack("read_by_dot_dot", "reading"),
    Attack("read_by_proc_root", "reading"),
    Attack("read_by_handle", "kernel", "maybe"),
    Attack("read_an_environment", "tracing"),
    Attack("look_for_names_outside", "names"),
    Attack("use_inherited_descriptors", "", "no"),
]
WRITING = [
    Attack("write_outside", "writing"),
    Attack("write_into_what_is_readable", "writing"),
    Attack("write_by_symbolic_link", "writing"),
    Attack("write_by_hard_link", "writing"),
    Attack("write_by_dot_dot", "writing"),
    Attack("write_by_proc_root", "writing"),
    Attack("move_out", "writing"),
    Attack("remove_outside", "writing"),
    Attack("empty_outside", "truncating"),
    Attack("change_modes_outside", "metadata"),
    Attack("change_kernel_settings", "writing", "root"),
    Attack("leave_a_set_user_id_file", "set-user-id"),
    Attack("make_a_device", "", "root"),
    Attack("remount", "namespaces", "root"),
    Attack("mount_over", "namespaces", "root"),
]
NETWORK = [
    Attack("connect_by_tcp", "network"),
    Attack("connect_by_fast_open", "network", "maybe"),
    Attack("connect_by_multipath_tcp", "network", "maybe"),
    Attack("send_by_udp", "network"),
    Attack("connect_to_a_unix_socket", "unix-sockets"),
    Attack("connect_to_an_abstract_socket", "unix-sockets"),
    Attack("connect_to_the_host", "kernel", "maybe"),
    Attack("serve_the_world", "network"),
]
PROCESSES = [
    Attack("trace_a_process", "tracing"),
    Attack("read_the_memory_of_a_process", "tracing"),
    Attack("signal_a_process", "signals"),
    Attack("signal_the_parent", "signals"),
    Attack("kill_the_guard", "signals"),
    Attack("see_processes", "processes-seen"),
    Attack("share_memory_system_v", "shared-memory"),
    Attack("share_memory_posix", "reading"),
    Attack("open_the_key_ring", "kernel", "maybe"),
    Attack("make_namespaces", "namespaces", "maybe"),
    Attack("reach_rare_system_calls", "kernel"),
    Attack("type_into_the_terminal", "kernel", "maybe"),
    Attack("call_by_another_architecture", "kernel", "maybe"),
]
USING_UP = [
    Attack("fill_memory", "", "yes", {"memory_bytes": 96 * MIB}),
    Attack("fill_memory_with_many", "", "yes", {"memory_bytes": 160 * MIB}),
    Attack("fill_the_disk_with_one_file", "", "yes", {"file_bytes": 8 * MIB}),
    Attack("fill_the_disk_with_many_files", "", "yes", {"disk_bytes": 32 * MIB}),
    Attack("fill_the_disk_with_names", "", "yes", {"disk_files": 2000}),
    Attack("fill_the_disk_without_names", "", "yes", {"disk_bytes": 32 * MIB}),
    Attack("fill_the_disk_below_long_paths", "", "yes", {"disk_bytes": 32 * MIB}),
    Attack("fill_the_disk_behind_mappings", "", "yes", {"disk_bytes": 32 * MIB}),
    Attack("fill_the_scratch_folder", "", "yes", {"scratch_bytes": 16 * MIB}),
    Attack("bomb_with_forks", "", "yes", {"processes": 40}),
    Attack("bomb_with_threads", "", "yes", {"processes": 40}),
    Attack("open_many_files", "", "yes", {"open_files": 128}),
    Attack("flood_the_output", "", "no"),
    Attack("ignore_the_clock", "", "no"),
]
ATTACKS = [*READING, *WRITING, *NETWORK, *PROCESSES, *USING_UP]
BY_ITSELF = "outlive_the_parent"
COVERT = "talk_by_locks"
"""Have tests of their own."""


class Stage:
    """What an attack is aimed at, none of it granted, all of it ours to lose."""

    def __init__(self, folder: Path) -> None:
        self.mark = f"daybreak-escape-{secrets.token_hex(6)}"
        self.outside, self.workspace, self.readable = (folder / name for name in ("outside", "workspace", "readable"))
        for made in (self.outside, self.workspace, self.readable):
            made.mkdir(parents=True)
        self.names = {}
        for name, place in (
            ("ledger", "ledger/ledger.db"),
            ("key", "keys/key"),
            ("held_out", "held-out/example"),
            ("other_workspace", "workspaces/other/secret"),
            ("precious", "home/precious"),
        ):
            path = self.outside / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("SECRET")
            path.chmod(0o600)
            self.names[name] = str(path)
        self.precious = Path(self.names["precious"])
        self.heard: list[str] = []
        self.held = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        self.victim = subprocess.Popen(
            [
                "sleep",
                "60",
            ],
            env={"SECRET": "1", "PATH": process.DEFAULT_PATH},
        )
        self.held.callback(self._end_victim)
        self.marked = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)", self.mark])
        self.held.callback(lambda: (self.marked.kill(), self.marked.wait()))
        tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        unix, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            tcp.setsockopt(socket.IPPROTO_TCP, 23, 5)  # TCP_FASTOPEN
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        path = f"/tmp/{self.mark}"  # a path of a socket must be short
        unix.bind(path)
        self.held.callback(os.unlink, path)
        abstract.bind(f"\0{self.mark}")
        for listener in (tcp, unix, abstract):
            listener.listen()
        self.listeners = (tcp, udp, unix, abstract)
        for listener in self.listeners:
            listener.setblocking(False)
            self.held.callback(listener.close)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.free = probe.getsockname()[1]
        shared = Path("/dev/shm", self.mark)
        shared.write_text("SECRET")
        self.held.callback(shared.unlink)
        libc = ctypes.CDLL(None, use_errno=True)
        key = secrets.randbelow(2**30) + 1
        number = libc.shmget(key, 4096, 0o1600)
        assert number >= 0
        self.held.callback(libc.shmctl, number, 0, None)
        self.told = {
            **self.names,
            "home": str(self.precious.parent),
            "readable": str(self.readable),
            "victim": self.victim.pid,
            "parent": os.getpid(),
            "mark": self.mark,
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": path,
            "abstract": self.mark,
            "free": self.free,
            "shm_key": key,
            "shm_file": str(shared),
        }
        return self

    def __exit__(self, *_: object) -> None:
        self.held.close()

    def _end_victim(self) -> None:
        self.victim.kill()
        self.victim.wait()

    def run(self, attack: Attack, ready: Ready | None) -> Finished:
        (self.workspace / "stage.json").write_text(json.dumps({**self.told, "outside": ready is None}))
        over = threading.Event()
        visitor = threading.Thread(target=self._visit, args=(over,))
        visitor.start()
        try:
            return process.run(
                [sys.executable, "-I", CORPUS / f"{attack.name}.py"],
                cwd=self.workspace,
                env=process.clean_environment(self.workspace / "scratch"),
                timeout_s=1.0 if attack.name == "ignore_the_clock" else 20,
                output_bytes_max=10 * MIB,
                open_files_max=4096,
                sandbox=ready,
                grace_s=0.1,
            )
        finally:
            over.set()
            visitor.join()

    def _visit(self, over: threading.Event) -> None:
        """Somebody outside who tries to come in by the port that nobody was granted."""
        while not over.wait(0.02):
            with socket.socket() as one:
                one.settimeout(1)
                if one.connect_ex(("127.0.0.1", self.free)) == 0:
                    self.heard.append("let in")
                    return

    def harm(self) -> str:
        """What has happened to what was not granted; empty: nothing."""
        reached = select.select(self.listeners, [], [], 0)[0]
        for happened, words in (
            (not self.precious.exists() or self.precious.read_text() != "SECRET", "the user's file was changed"),
            (self.precious.exists() and self.precious.stat().st_mode & 0o777 != 0o600, "its mode was changed"),
            (list(self.readable.iterdir()), "what is readable was written to"),
            (self.victim.poll() is not None, "a process was ended"),
            (reached, f"{reached} was reached"),
            (self.heard, "a port was opened to the world"),
        ):
            if happened:
                return words
        return ""


def got_through(stage: Stage, done: Finished) -> str:
    """What the attack has achieved; empty: it was stopped."""
    if done.processes_cut or done.memory_cut or done.disk_cut:
        return ""  # it had too much for as long as it takes to look, and was ended
    if b"ESCAPED" in done.stdout[:10_000] or done.stdout.endswith(b"ESCAPED"):
        return done.stdout[:500].decode(errors="replace")
    if done.guard_lost:
        return "its guard was killed"
    return stage.harm()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path.resolve() / "s") as made:
        yield made


def full() -> Machine:
    """This machine; the test is skipped, with the reason, where it cannot make full sandboxes."""
    machine = detect()
    if machine.mode().strength != "full":
        pytest.skip(f"no full sandbox on this machine: {machine.mode().words}")
    return machine


def degraded(**less: object) -> Machine:
    """This machine without bubblewrap."""
    machine = replace(detect(), bwrap="", bwrap_why="left out by the test", **less)  # type: ignore[arg-type]
    if machine.mode().strength != "degraded":
        pytest.skip(f"no degraded sandbox on this machine: {machine.mode().words}")
    return machine


def granted(stage: Stage, attack: Attack, machine: Machine) -> Ready:
    box = Sandbox(
        writable=(stage.workspace,),
        readable=(stage.readable, CORPUS),
        require="degraded",
        **attack.limits,  # type: ignore[arg-type]
    )
    return prepare(box, machine)


def test_the_list_is_the_folder() -> None:
    """No program of the corpus is forgotten, and every gap that is spoken of exists."""
    assert {attack.name for attack in ATTACKS} | {BY_ITSELF, COVERT} == {path.stem for path in CORPUS.glob("*.py")}
    assert {attack.gap for attack in ATTACKS} - {""} <= set(GAPS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_full_mode_stops(stage: Stage, attack: Attack) -> None:
    """In full mode nothing gets through."""  # shows: N9
    done = stage.run(attack, granted(stage, attack, full()))
    assert got_through(stage, done) == ""
    assert b"SyntaxError" not in done.stderr
    assert b"NameError" not in done.stderr


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_degraded_mode_stops_or_says(stage: Stage, attack: Attack) -> None:
    """Without bubblewrap, what gets through is on the list of what is not covered."""  # shows: N9
    ready = granted(stage, attack, degraded())
    done = stage.run(attack, ready)
    through = got_through(stage, done)
    assert not through or attack.gap in ready.mode.not_covered, through


@pytest.mark.parametrize(
    "attack", [attack for attack in ATTACKS if attack.free in ("yes", "root")], ids=lambda attack: attack.name
)
def test_without_a_sandbox_gets_through(stage: Stage, attack: Attack) -> None:
    """The same programs succeed where nothing stops them, so the tests above can fail."""
    if attack.free == "root" and os.geteuid() != 0:
        pytest.skip("only root can do this")
    done = stage.run(attack, None)
    assert got_through(stage, done), (done.ending, done.stdout, done.stderr)


def test_gaps_of_degraded_mode_are_real(stage: Stage) -> None:
    """What is said not to be covered is not said to be on the safe side: each named gap is seen to be one."""
    machine = degraded()
    named = set(machine.mode().not_covered)
    seen = set()
    for attack in ATTACKS:
        if attack.gap in named - seen:
            done = stage.run(attack, granted(stage, attack, machine))
            if got_through(stage, done):
                seen.add(attack.gap)
    assert seen == named - {"locks"}


LAYERS: tuple[dict[str, object], ...] = ({"landlock_abi": 0}, {"own_user": False}, {"groups": {}})


@pytest.mark.parametrize("by_turns", [True, pytest.param(False, marks=pytest.mark.chaos)], ids=["by turns", "all"])
@pytest.mark.parametrize("less", LAYERS, ids=lambda less: next(iter(less)))
def test_one_layer_less_and_the_others_still_stop(stage: Stage, less: dict[str, object], *, by_turns: bool) -> None:
    """No single layer of full mode is all that stands between an attack and what it wants. In the short form each
    attack is tried without one of the layers."""  # shows: N9
    machine = replace(full(), **less)  # type: ignore[arg-type]
    attacks = [*READING, *WRITING, *PROCESSES]
    for attack in attacks[LAYERS.index(less) :: len(LAYERS)] if by_turns else attacks:
        for left in stage.workspace.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        done = stage.run(attack, granted(stage, attack, machine))
        assert got_through(stage, done) == "", (attack.name, machine.mode().words)


# -- those that need a look of their own


@pytest.mark.parametrize("make", [full, degraded])
def test_locks_on_shared_files_are_seen_and_that_is_said(stage: Stage, make: object) -> None:
    """A lock that somebody holds on a readable file can be seen in every mode, and every mode says so."""
    assert callable(make)
    with open(CORPUS / f"{COVERT}.py", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stage.told["locked"] = held.name
        ready = granted(stage, Attack(COVERT), make())
        done = stage.run(Attack(COVERT), ready)
    assert got_through(stage, done)
    assert "locks" in ready.mode.not_covered


def _holds(fd: int) -> bool:
    """Whether anybody still holds the other end of this pipe."""
    return not select.select([fd], [], [], 0)[0]


@pytest.mark.parametrize("make", [full, degraded])
def test_nothing_outlives_the_parent(stage: Stage, make: object) -> None:
    """A double fork into its own session that ignores every signal is gone when the run returns."""  # shows: N14
    assert callable(make)
    attack = Attack(BY_ITSELF)
    (stage.workspace / "stage.json").write_text(json.dumps(stage.told))
    reading, writing = os.pipe()
    try:
        done = process.run(
            [sys.executable, "-I", CORPUS / f"{BY_ITSELF}.py"],
            cwd=stage.workspace,
            env=process.clean_environment(stage.workspace / "scratch"),
            timeout_s=20,
            fds={9: writing},
            sandbox=granted(stage, attack, make()),
            grace_s=0.1,
        )
        os.close(writing)
        assert done.stdout == b"left it\n"
        assert not _holds(reading)
    finally:
        os.close(reading)


def test_without_a_guard_something_outlives_the_parent(stage: Stage) -> None:
    """The same program stays where nobody looks after it (and is ended by the test)."""
    (stage.workspace / "stage.json").write_text(json.dumps(stage.told))
    reading, writing = os.pipe()
    try:
        started = subprocess.run(
            [sys.executable, "-I", CORPUS / f"{BY_ITSELF}.py"],
            cwd=stage.workspace,
            capture_output=False,
            stdout=subprocess.DEVNULL,
            pass_fds=(writing,),
            check=True,
        )
        assert started.returncode == 0
        inode = os.fstat(writing).st_ino
        os.close(writing)
        assert _holds(reading)
        for folder in Path("/proc").glob("[0-9]*/fd"):
            with contextlib.suppress(OSError):
                if any(os.readlink(link) == f"pipe:[{inode}]" for link in folder.iterdir()):
                    pid = int(folder.parent.name)
                    if pid != os.getpid():
                        os.kill(pid, signal.SIGKILL)
    finally:
        os.close(reading)


def test_how_an_attack_was_ended_is_told(stage: Stage) -> None:
    """Whoever uses up what they may have is ended for that reason, and it is said."""
    by_name = {attack.name: attack for attack in ATTACKS}
    machine = full()
    for name, flag in (
        ("fill_the_disk_with_many_files", "disk_cut"),
        ("fill_memory", "memory_cut"),
        ("flood_the_output", "output_cut"),
        ("ignore_the_clock", "timed_out"),
    ):
        done = stage.run(by_name[name], granted(stage, by_name[name], machine))
        assert getattr(done, flag), (name, done.ending, done.stderr)
        assert not done.ok


def test_memory_is_held_without_control_groups_too(stage: Stage) -> None:
    """Where no control group can be made, the guard adds up what the processes hold."""
    by_name = {attack.name: attack for attack in ATTACKS}
    for machine in (replace(full(), groups={}), degraded(groups={})):
        for name in ("fill_memory_with_many", "bomb_with_forks", "bomb_with_threads"):
            done = stage.run(by_name[name], granted(stage, by_name[name], machine))
            assert got_through(stage, done) == "", (name, machine.mode().words)


@pytest.mark.parametrize("attack", NETWORK, ids=lambda attack: attack.name)
@pytest.mark.parametrize("make", [full, degraded])
def test_listening_lets_nothing_out(stage: Stage, attack: Attack, make: object) -> None:
    """A program that may be reached on its port reaches nobody itself, and opens no other port."""  # shows: N9
    assert callable(make)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    box = Sandbox(
        writable=(stage.workspace,),
        readable=(CORPUS,),
        network="listen",
        listen_port=port,
        require="degraded",
    )
    ready = prepare(box, make())
    done = stage.run(attack, ready)
    through = got_through(stage, done)
    assert not through or attack.gap in ready.mode.not_covered, through
