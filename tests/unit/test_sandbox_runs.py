"""Programs run in a sandbox as they do outside, except for what they may not."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daybreak.host import process, tree
from daybreak.host.process import Finished, ProgramNotStarted, Server, ServerNotReady
from daybreak.host.sandbox import Machine, Ready, Sandbox, SandboxBroken, SandboxMissing, detect, prepare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made for Linux only so far")


def machine(which: str) -> Machine:
    found = detect() if which == "full" else replace(detect(), bwrap="", bwrap_why="left out by the test")
    if found.mode().strength != which:
        pytest.skip(f"no {which} sandbox on this machine: {found.mode().words}")
    return found


@pytest.fixture(params=["full", "degraded"])
def here(request: pytest.FixtureRequest) -> Machine:
    return machine(request.param)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where the program may write; a folder that only we may enter."""
    folder = tmp_path.resolve() / "work"
    folder.mkdir(mode=0o700)
    return folder


def box(work: Path, here: Machine, **more: object) -> Ready:
    return prepare(Sandbox(writable=(work,), require="degraded", **more), here)  # type: ignore[arg-type]


def sh(script: str, work: Path, ready: Ready, **options: object) -> Finished:
    env = process.clean_environment(work / "scratch")
    return process.run(["sh", "-c", script], cwd=work, env=env, sandbox=ready, **{"timeout_s": 20, **options})  # type: ignore[arg-type]


# -- the same as outside


def test_streams_status_and_input_are_as_outside(work: Path, here: Machine) -> None:
    """What a program is given, prints and ends with is what it would be without."""
    done = sh("cat; echo err >&2; exit 7", work, box(work, here), stdin=b"in" * 100_000, output_bytes_max=10**6)
    assert (done.exit_code, done.signal, done.stdout, done.stderr) == (7, None, b"in" * 100_000, b"err\n")


def test_a_signal_is_told_as_a_signal(work: Path, here: Machine) -> None:
    """Also through the first process of the sandbox; an exit status above 128 stays one."""
    done = sh("kill -SEGV $$", work, box(work, here))
    assert (done.exit_code, done.signal) == (None, signal.SIGSEGV)
    done = sh("exit 139", work, box(work, here))
    assert (done.exit_code, done.signal) == (139, None)


def test_descriptors_and_paths_are_as_outside(work: Path, here: Machine) -> None:
    """Given descriptors have their numbers, nothing else is open, the folder has its name."""
    reading, writing = os.pipe()
    try:
        done = sh("echo hello >&9; ls /proc/$$/fd; pwd", work, box(work, here), fds={9: writing})
        assert os.read(reading, 100) == b"hello\n"
    finally:
        os.close(reading)
        os.close(writing)
    assert done.stdout.split() == [b"0", b"1", b"2", b"9", os.fsencode(work)]


def test_a_program_may_clean_up_within_the_grace(work: Path, here: Machine) -> None:
    """TERM reaches the program and not the walls around it."""
    script = "trap 'echo cleaned; exit 0' TERM; echo begun; while :; do sleep 0.01; done"
    done = sh(script, work, box(work, here), timeout_s=0.7, grace_s=10)
    assert done.timed_out
    assert done.stdout == b"begun\ncleaned\n"


def test_what_it_makes_is_ours_to_read_and_remove(work: Path, here: Machine) -> None:
    """Files of the sandbox's user belong to us outside, so they can be hashed, packed and removed."""
    (work / "given").write_text("from us")
    (work / "given").chmod(0o600)
    done = sh("cat given; echo more >> given; mkdir -m 700 a; echo x > a/b; chmod 700 a/b", work, box(work, here))
    assert done.ok, done.stderr
    assert {path.stat().st_uid for path in work.rglob("*")} == {os.geteuid()}
    assert (work / "given").read_text() == "from usmore\n"
    assert {entry.path for entry in tree.scan(work).entries} >= {"given", "a/b"}


def test_programs_side_by_side_do_not_meet(work: Path, here: Machine) -> None:
    """Several threads may run sandboxes at once."""
    said: dict[int, bytes] = {}

    def go(number: int) -> None:
        folder = work / str(number)
        folder.mkdir()
        said[number] = sh(f"echo {number} > f; cat f; ls ..", folder, box(folder, here)).stdout

    threads = [threading.Thread(target=go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: said[number].split()[0] for number in said} == {number: b"%d" % number for number in range(4)}


def test_programs_that_cannot_start_say_why(work: Path, here: Machine) -> None:
    """A folder that is not granted, an interpreter that is not there: told, not hung."""
    env = process.clean_environment(work / "scratch")
    with pytest.raises(ProgramNotStarted, match="folder"):
        process.run(["sh"], cwd=work / "none", env=env, timeout_s=10, sandbox=box(work, here))
    program = work / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    with pytest.raises(ProgramNotStarted):
        process.run([program], cwd=work, env=env, timeout_s=10, sandbox=box(work, here))


def test_python_with_its_environment_runs_inside(work: Path, here: Machine) -> None:
    """The interpreter and the packages of this environment can be used, wherever they lie."""
    done = process.run(
        [
            sys.executable,
            "-c",
            "import msgspec, asyncio, daybreak; print(daybreak.__version__); asyncio.run(asyncio.sleep(0))",
        ],
        cwd=work,
        env=process.clean_environment(work / "scratch"),
        timeout_s=30,
        sandbox=box(work, here),
    )
    assert done.ok, done.stderr


# -- what is granted and what is not


def test_python_that_was_started_by_a_path_that_leads_up_makes_the_same_sandbox(tmp_path: Path) -> None:
    # Python then calls itself /here/../there/bin/python, and the folder `here` need not be there inside.
    folder = Path(sys.executable).parent
    program = f"../{folder.name}/{Path(sys.executable).name}"
    code = """
import sys
from pathlib import Path
from daybreak.host import process
from daybreak.host.sandbox import Sandbox, detect
assert ".." in sys.executable
ran = process.run(
    [sys.executable, "-c", "import daybreak.ids; print('ran')"],
    cwd=Path(sys.argv[1]), env={}, timeout_s=60, sandbox=Sandbox(writable=(Path(sys.argv[1]),)),
)
print(detect().mode().strength, ran.stdout.decode(), ran.stderr.decode())
"""
    argv = [program, "-c", code, tmp_path.resolve()]
    ran = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [detect().mode().strength, "ran"], ran.stdout


def test_a_part_may_be_read_only_and_a_part_hidden(work: Path) -> None:
    """The longest path decides."""
    for name in ("open", "closed", "hidden"):
        (work / name).mkdir()
        (work / name / "file").write_text("here")
    (work / "secret").write_text("here")
    ready = box(work, machine("full"), readable=(work / "closed",), hidden=(work / "hidden", work / "secret"))
    done = sh("cat open/file closed/file; cat hidden/file secret; echo x > open/new; echo x > closed/new", work, ready)
    assert done.stdout == b"herehere"
    assert (work / "open" / "new").exists()
    assert not (work / "closed" / "new").exists()
    assert (work / "secret").read_text() == "here"


def test_a_folder_inside_a_hidden_one_can_be_worked_in(work: Path) -> None:
    """What is granted deeper than what is hidden is there, and nothing beside it."""
    inside = work / "hidden" / "spaces" / "one"
    inside.mkdir(parents=True)
    (work / "hidden" / "spaces" / "two").mkdir()
    (work / "hidden" / "secret").write_text("here")
    sandbox = Sandbox(readable=(work,), hidden=(work / "hidden",), writable=(inside,))
    done = sh("echo x > new; cat new; ls ../.. ..", inside, prepare(sandbox, machine("full")))
    assert done.ok, done.stderr
    assert (inside / "new").read_text() == "x\n"
    assert b"two" not in done.stdout
    assert b"secret" not in done.stdout


def test_a_single_file_may_be_granted(work: Path, here: Machine) -> None:
    """A file is a grant like a folder."""
    beside = work.parent / "beside"
    beside.mkdir()
    (beside / "one").write_text("one")
    (beside / "two").write_text("two")
    done = sh(f"cat {beside}/one; cat {beside}/two", work, box(work, here, readable=(beside / "one",)))
    assert done.stdout == b"one"
    assert not done.ok


def test_tmp_is_its_own(work: Path) -> None:
    """What is written to /tmp is seen by nobody else, and gone."""
    name = f"/tmp/daybreak-test-{secrets.token_hex(8)}"
    assert sh(f"echo x > {name} && cat {name}", work, box(work, machine("full"))).stdout == b"x\n"
    assert not Path(name).exists()


def test_no_rights_are_left(work: Path, here: Machine) -> None:
    """No capability in any set, no way to new ones, a filter in force, not root where it can be helped."""  # shows: N9
    seen = dict(
        line.split(":", 1) for line in sh("cat /proc/self/status", work, box(work, here)).stdout.decode().splitlines()
    )
    sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"] + (["CapBnd"] if here.root else [])
    assert {int(seen[name], 16) for name in sets} == {0}
    assert seen["NoNewPrivs"].strip() == "1"
    assert seen["Seccomp"].strip() == "2"
    if here.root and here.bwrap:
        assert "0" not in seen["Uid"].split()
        assert seen["Groups"].split() in ([], seen["Gid"].split()[:1])


def test_nothing_of_ours_is_in_the_list_of_users(work: Path) -> None:
    """The sandbox knows two users: root and its own."""
    done = sh("cut -d: -f1 /etc/passwd; id -un", work, box(work, machine("full")))
    assert done.stdout.split() == [b"root", b"sandbox", b"sandbox"]


def test_control_groups_are_gone_afterwards(work: Path, here: Machine) -> None:
    """None is left behind, and those of guards that were killed are swept at the next look."""
    sh("exit 0", work, box(work, here))
    for folder in here.groups.values():
        assert list(folder.glob(f"daybreak-{os.getpid()}-*")) == []


def test_a_machine_without_what_is_required_starts_nothing(work: Path) -> None:
    """The program has not run at all."""  # shows: N9
    nothing = Machine(bwrap="", landlock_abi=0, seccomp=False)
    with pytest.raises(SandboxMissing):
        prepare(Sandbox(writable=(work,)), nothing)
    assert list(work.iterdir()) == []


def test_a_sandbox_that_breaks_starts_nothing(work: Path) -> None:
    """Where bubblewrap fails, the program is not run without it, and its own words are told."""  # shows: N9
    broken = work.parent / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: no room at the inn' >&2\nexit 1\n")
    broken.chmod(0o755)
    ready = box(work, replace(machine("full"), bwrap=str(broken)))
    with pytest.raises(SandboxBroken, match="no room at the inn") as told:
        sh("touch ran", work, ready)
    assert told.value.hint
    assert not (work / "ran").exists()


KILLED = """
import sys
from pathlib import Path
from daybreak.host import process
from daybreak.host.sandbox import Sandbox
folder = Path(sys.argv[1])
process.run(["sh", "-c", sys.argv[2]], cwd=folder, env=process.clean_environment(folder / "scratch"), timeout_s=600,
            sandbox=Sandbox(writable=(folder,), require="degraded"))
"""


def test_kill_minus_nine_of_ours_ends_the_sandbox(work: Path) -> None:
    """When we are killed, nothing in the sandbox is left, whatever it ignores."""  # shows: N14
    machine("full")
    os.mkfifo(work / "held")
    script = "trap : TERM HUP INT; exec 7>held; setsid sh -c 'trap : TERM HUP; sleep 1000' & sleep 1000"
    ours = subprocess.Popen([sys.executable, "-c", KILLED, work, script])
    reading = os.open(work / "held", os.O_RDONLY)  # waits until the script has opened its end
    ours.kill()
    ours.wait()
    with open(reading, "rb") as file:
        assert file.read() == b""  # ends when the last one that holds the other end is gone


def test_when_the_guard_is_killed_the_sandbox_goes_too(work: Path) -> None:
    """Nothing in it can do that, but an operator can; the program does not stay behind."""  # shows: N14
    reading, writing = os.pipe()
    guarded = process.Guarded(
        ["sh", "-c", "trap : TERM HUP; echo up; setsid sleep 1000 & sleep 1000"],
        cwd=work,
        env=process.clean_environment(work / "scratch"),
        timeout_s=60,
        fds={9: writing},
        sandbox=box(work, machine("full")),
    )
    try:
        os.close(writing)
        while guarded.stdout != b"up\n":
            guarded.pump()
        guarded._guard.kill()
        with open(reading, "rb") as file:
            assert file.read() == b""
        while not guarded.over:
            guarded.pump()
        assert guarded.finish().guard_lost
    finally:
        guarded.close()


KILLS_ITS_GUARD = """
import fcntl, os, signal, time
reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        lock = open("lock", "w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(writing, b"+")
        os.close(writing)
        for fd in (0, 1, 2):
            os.close(fd)
        time.sleep(60)
    os._exit(0)
os.read(reading, 1)
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(60)
"""


def test_a_program_that_may_kill_its_guard_leaves_nothing(work: Path) -> None:
    """Where signals are not held back, what it has detached is ended by its control group, and that is removed."""
    # shows: N14
    here = replace(machine("degraded"), landlock_abi=5)
    if not here.groups:
        pytest.skip("no control groups on this machine")
    done = process.run(
        [sys.executable, "-I", "-S", "-c", KILLS_ITS_GUARD],
        cwd=work,
        env=process.clean_environment(work / "scratch"),
        timeout_s=20,
        sandbox=box(work, here),
    )
    assert done.guard_lost
    with open(work / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # whoever held it is gone
    assert [left for folder in here.groups.values() for left in folder.glob(f"daybreak-{os.getpid()}-*")] == []


# -- servers


SERVER = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
print("starting", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(work: Path, port: int, here: Machine, text: str = SERVER, **options: object) -> Iterator[Server]:
    (work / "server.py").write_text(text)
    with Server(
        [sys.executable, "-I", work / "server.py", str(port)],
        cwd=work,
        env=process.clean_environment(work / "scratch"),
        ready=lambda: accepts(port),
        sandbox=box(work, here, network="listen", listen_port=port),
        **options,  # type: ignore[arg-type]
    ) as server:
        yield server


def echo(port: int, body: bytes) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", data=body, timeout=20) as answer:
        return bytes(answer.read())


def test_a_server_inside_is_reached_on_its_port(work: Path, port: int, here: Machine) -> None:
    """As outside: ready when it accepts, reached with bodies of any size and by many at once, gone afterwards."""
    with serving(work, port, here) as server:
        large = os.urandom(3_000_000)
        assert echo(port, large) == large
        answers: list[bytes] = []
        threads = [threading.Thread(target=lambda n=n: answers.append(echo(port, b"%d" % n))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [b"%d" % number for number in range(8)]
        assert server.running
    assert not accepts(port)
    assert server.output == b"starting\n"


def test_a_port_that_is_taken_is_a_server_that_is_not_ready(work: Path, port: int) -> None:
    """Told as where the server itself finds it taken, so that callers try another port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ServerNotReady) as told, serving(work, port, machine("full")):
            pass
    assert told.value.ended
    assert b"in use" in told.value.output


def test_a_server_that_ends_early_shows_what_it_printed(work: Path, port: int, here: Machine) -> None:
    """A crash at the start is told at once."""
    with (
        pytest.raises(ServerNotReady, match="exit status 3") as told,
        serving(work, port, here, "import sys; print('no data'); sys.exit(3)"),
    ):
        pass
    assert told.value.output == b"no data\n"


def test_until_the_program_listens_nobody_is_let_in(work: Path, port: int) -> None:
    """Connections are refused while the port is only kept for it."""
    with (
        pytest.raises(ServerNotReady),
        serving(work, port, machine("full"), "import time; time.sleep(60)", ready_s=0.6),
    ):
        pass
    assert not accepts(port)


# -- those for whom it is


def test_the_embedded_builder_works_inside(work: Path, here: Machine) -> None:
    """An attempt needs its workspace and this environment, nothing else, and no network."""  # shows: N9
    specification = Path(__file__).parents[2] / "tests" / "crash" / "small_spec.md"
    from daybreak.factory import brief as briefs
    from daybreak.factory.spec import read_text

    text = specification.read_text()
    made = briefs.make(read_text(text, name=specification.name, format="md"), text, 1, [])
    import msgspec

    from daybreak.agents.protocol import Order

    workspace = work / "workspace"
    workspace.mkdir()
    order = Order(worker="builder", workspace=str(workspace), brief=made)
    done = process.run(
        [sys.executable, "-P", "-m", "daybreak.agents.attempt"],
        cwd=workspace,
        env=process.clean_environment(work, PYTHONPATH=":".join(filter(None, sys.path))),
        stdin=msgspec.json.encode(order),
        timeout_s=60,
        output_bytes_max=10_000_000,
        sandbox=box(work, here),
    )
    claims = [line["claim"] for line in map(json.loads, done.stdout.splitlines()) if "claim" in line]
    assert claims, done.stderr
    assert claims[-1]["outcome"] not in ("crashed", "refused"), claims[-1]
    assert len(tree.scan(workspace).entries) > 3


def test_a_shell_session_over_two_pipes_works_inside(work: Path, here: Machine) -> None:
    """Console examples are one shell that speaks with us over descriptors 8 and 9."""
    go_out, go_in = os.pipe()
    done_out, done_in = os.pipe()
    guarded = process.Guarded(
        ["/bin/sh", "-c", "read -r word <&8; python3 -c 'print(6 * 7)'; echo $word >&9"],
        cwd=work,
        env=process.clean_environment(work / "scratch", path=[Path(sys.prefix) / "bin"]),
        timeout_s=20,
        fds={8: go_out, 9: done_in},
        sandbox=box(work, here),
    )
    os.close(go_out)
    os.close(done_in)
    said = bytearray()
    try:
        guarded.listen(done_out, said.extend)
        os.write(go_in, b"word\n")
        while not guarded.over:
            guarded.pump()
        assert guarded.finish().stdout == b"42\n"
        assert bytes(said) == b"word\n"
    finally:
        guarded.close()
        os.close(go_in)
        os.close(done_out)
