"""Programs are ended with everything they started, cut when they flood, and see nothing of ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daybreak.host import process
from daybreak.host.process import Finished, ProgramMissing, ProgramNotStarted, Server, ServerNotReady


def sh(script: str, folder: Path, timeout_s: float = 20, **options: object) -> Finished:
    env = process.clean_environment(folder / "scratch")
    return process.run(["sh", "-c", script], cwd=folder, env=env, timeout_s=timeout_s, **options)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def wait_for(what: Callable[[], bool], wait_s: float = 15) -> bool:
    """Ask again and again; for things that another process does."""
    pause = threading.Event()
    ends = time.monotonic() + wait_s
    while not what():
        if time.monotonic() > ends:
            return False
        pause.wait(0.01)
    return True


# -- running


def test_both_streams_and_the_exit_status_are_kept_apart(tmp_path: Path) -> None:
    """What a program prints and how it ends comes back unmixed."""
    done = sh("echo out; echo err >&2; exit 7", tmp_path)
    assert (done.exit_code, done.signal, done.stdout, done.stderr) == (7, None, b"out\n", b"err\n")
    assert not done.ok
    assert done.ending == "exit status 7"


def test_streams_can_be_merged_in_the_order_they_came(tmp_path: Path) -> None:
    """With `merge`, stderr stands between what stdout said before and after."""
    assert sh("echo a; echo b >&2; echo c", tmp_path, merge=True).stdout == b"a\nb\nc\n"


def test_input_larger_than_a_pipe_arrives_whole(tmp_path: Path) -> None:
    """A megabyte on standard input is read back unchanged."""
    sent = os.urandom(1_000_000)
    assert sh("cat", tmp_path, stdin=sent, output_bytes_max=2_000_000).stdout == sent


def test_a_program_that_does_not_read_its_input_is_no_error(tmp_path: Path) -> None:
    """Input that nobody wants is dropped."""
    assert sh("exec <&-; echo done", tmp_path, stdin=b"x" * 1_000_000).stdout == b"done\n"


def test_output_is_told_while_the_program_runs(tmp_path: Path) -> None:
    """`on_stdout` hears the first line before the program is allowed to go on."""
    heard: list[bytes] = []

    def hear(part: bytes) -> None:
        heard.append(part)
        (tmp_path / "go").touch()

    done = sh("echo first; until [ -e go ]; do sleep 0.01; done; echo second", tmp_path, on_stdout=hear)
    assert done.ok
    assert b"".join(heard) == b"first\nsecond\n"


def test_a_signal_is_told_as_a_signal(tmp_path: Path) -> None:
    """A program that a signal ended has no exit status."""
    done = sh("kill -SEGV $$", tmp_path)
    assert (done.exit_code, done.signal) == (None, signal.SIGSEGV)
    assert done.ending == "ended by signal SIGSEGV"


def test_programs_run_side_by_side_from_threads(tmp_path: Path) -> None:
    """Several threads may run programs at once; each gets its own output."""
    said: dict[int, bytes] = {}
    folders = [tmp_path / str(number) for number in range(6)]

    def go(number: int) -> None:
        folders[number].mkdir()
        said[number] = sh(f"echo {number}", folders[number]).stdout

    threads = [threading.Thread(target=go, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {number: f"{number}\n".encode() for number in range(6)}


# -- programs that cannot run


def test_a_missing_program_is_named_with_a_hint(tmp_path: Path) -> None:
    """Not finding a program is an error of this machine, not a result."""
    env = process.clean_environment(tmp_path / "scratch")
    for name in ("no-such-program-here", "./none"):
        with pytest.raises(ProgramMissing, match=name) as told:
            process.run([name], cwd=tmp_path, env=env, timeout_s=5)
        assert told.value.hint


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("#!/bin/sh\n", 0o644, "not a program"),
        ("#!/no/such/interpreter\n", 0o755, "interpreter"),
        ("no first line", 0o755, "first line"),
    ],
)
def test_what_cannot_be_started_says_why(tmp_path: Path, text: str, mode: int, why: str) -> None:
    """Not executable, without an interpreter, without a format: each told."""
    program = tmp_path / "program"
    program.write_text(text)
    program.chmod(mode)
    env = process.clean_environment(tmp_path / "scratch")
    with pytest.raises(ProgramNotStarted) as told:
        process.run([program], cwd=tmp_path, env=env, timeout_s=5)
    assert why in f"{told.value.message} {told.value.hint}"


def test_a_missing_folder_and_a_nul_are_told(tmp_path: Path) -> None:
    """Neither a folder that is not there nor a NUL in an argument ends in a hang."""
    env = process.clean_environment(tmp_path / "scratch")
    with pytest.raises(ProgramNotStarted, match="folder"):
        process.run(["sh"], cwd=tmp_path / "none", env=env, timeout_s=5)
    with pytest.raises(ProgramNotStarted, match="null"):
        process.run(["sh", "a\0b"], cwd=tmp_path, env=env, timeout_s=5)


# -- the environment


def test_nothing_of_our_environment_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and our own settings do not reach a program."""  # shows: N9
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("DAYBREAK_HOME", "/somewhere")
    monkeypatch.setenv("PYTHONSTARTUP", "/evil.py")
    seen = sh("env", tmp_path).stdout.decode()
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert not any(name.endswith("_KEY") or name.startswith("DAYBREAK") for name in names)
    assert "PYTHONSTARTUP" not in names
    assert f"HOME={tmp_path}/scratch/home" in seen
    assert "TZ=UTC" in seen


def test_no_descriptor_of_ours_is_inherited(tmp_path: Path) -> None:
    """A program holds its three streams and nothing else."""
    with open(tmp_path / "ours", "w") as ours:
        os.set_inheritable(ours.fileno(), True)
        done = sh("ls /proc/$$/fd", tmp_path)
    assert done.stdout.split() == [b"0", b"1", b"2"]


def test_a_descriptor_that_is_given_has_the_number_that_was_asked_for(tmp_path: Path) -> None:
    """`fds` gives exactly those, whatever their numbers here."""
    reading, writing = os.pipe()
    try:
        done = sh("echo hello >&9; ls /proc/$$/fd", tmp_path, fds={9: writing})
        assert os.read(reading, 100) == b"hello\n"
    finally:
        os.close(reading)
        os.close(writing)
    assert done.stdout.split() == [b"0", b"1", b"2", b"9"]


# -- limits


def test_time_over_ends_the_program_and_says_so(tmp_path: Path) -> None:
    """A program that hangs is ended at its time."""
    done = sh("echo begun; exec sleep 1000", tmp_path, timeout_s=0.3)
    assert done.timed_out
    assert done.stdout == b"begun\n"
    assert 250 <= done.duration_ms < 5_000


def test_a_flood_is_cut_and_the_program_ended(tmp_path: Path) -> None:
    """What is kept never grows past the limit."""
    done = sh("yes", tmp_path, output_bytes_max=10_000)
    assert done.output_cut
    assert not done.ok
    assert len(done.stdout) == 10_000


def test_a_flood_on_both_streams_counts_together(tmp_path: Path) -> None:
    """Splitting the flood does not double the room."""
    done = sh("yes >&2 & yes", tmp_path, output_bytes_max=10_000)
    assert len(done.stdout) + len(done.stderr) == 10_000


def test_a_file_cannot_grow_past_its_limit(tmp_path: Path) -> None:
    """The kernel stops a file that grows too large."""
    done = sh("head -c 100000 /dev/zero > big", tmp_path, file_bytes_max=5_000)
    assert not done.ok
    assert (tmp_path / "big").stat().st_size <= 5_000


def test_memory_can_be_limited(tmp_path: Path) -> None:
    """A program that asks for more memory than it may have does not get it."""
    done = process.run(
        [sys.executable, "-I", "-S", "-c", "x = bytearray(2_000_000_000)"],
        cwd=tmp_path,
        env=process.clean_environment(tmp_path / "scratch"),
        timeout_s=20,
        memory_bytes_max=500_000_000,
    )
    assert b"MemoryError" in done.stderr


def test_a_swarm_is_ended(tmp_path: Path) -> None:
    """A program that starts more processes than it may is ended with all of them."""  # shows: N14
    done = sh("for i in $(seq 60); do (echo $$; exec sleep 1000) & done; wait", tmp_path, processes_max=20)
    assert done.processes_cut
    assert not done.timed_out


def test_a_swarm_that_doubles_is_ended(tmp_path: Path) -> None:
    """Also one that grows while it is being ended (this one would stop by itself at a thousand)."""  # shows: N14
    script = "f() { if [ $1 -gt 0 ]; then f $(($1 - 1)) & f $(($1 - 1)) & fi; exec sleep 1000; }; f 9"
    done = sh(script, tmp_path, processes_max=40)
    assert done.processes_cut
    assert not done.timed_out


# -- nothing is left


def _left(script: str, folder: Path, **options: object) -> tuple[Finished, list[int]]:
    """Run a script that writes process ids into `pids`; which of them are still there afterwards?"""
    done = sh(script, folder, **options)  # type: ignore[arg-type]
    pids = [int(word) for word in (folder / "pids").read_text().split()]
    assert pids, "the script must have started something"
    return done, [pid for pid in pids if alive(pid)]


DAEMON = "setsid sh -c 'setsid sh -c \"echo \\$\\$ >> pids; trap : TERM HUP; while :; do sleep 1000; done\" & exit' & "


def test_daemons_are_ended_when_the_program_ends(tmp_path: Path) -> None:
    """A double fork into a session of its own that ignores TERM does not outlive the run."""  # shows: N14
    done, left = _left(DAEMON + "until [ -s pids ]; do sleep 0.01; done; echo bye", tmp_path, grace_s=0.1)
    assert done.ok
    assert done.stdout == b"bye\n"
    assert left == []


def test_daemons_are_ended_when_time_is_over(tmp_path: Path) -> None:
    """Time over ends the whole tree, not only the program."""
    done, left = _left(DAEMON + "sleep 1000", tmp_path, timeout_s=0.7, grace_s=0.1)
    assert done.timed_out
    assert left == []


def test_stopped_processes_are_ended(tmp_path: Path) -> None:
    """A process that has been stopped cannot hide behind that."""
    script = "sh -c 'echo $$ >> pids; kill -STOP $$' & until [ -s pids ]; do sleep 0.01; done"
    done, left = _left(script, tmp_path)
    assert done.ok
    assert left == []


def test_a_program_may_clean_up_within_the_grace(tmp_path: Path) -> None:
    """TERM comes before KILL."""
    script = "trap 'echo cleaned; exit 0' TERM; echo begun; while :; do sleep 0.01; done"
    done = sh(script, tmp_path, timeout_s=0.5, grace_s=10)
    assert done.timed_out
    assert done.stdout == b"begun\ncleaned\n"


def test_cancelling_ends_it_at_once(tmp_path: Path) -> None:
    """Setting the event ends the program and its children in well under its time."""
    cancelled = threading.Event()
    heard = lambda part: cancelled.set()  # noqa: E731
    done, left = _left(
        DAEMON + "until [ -s pids ]; do sleep 0.01; done; echo up; sleep 1000",
        tmp_path,
        timeout_s=100,
        cancelled=cancelled,
        on_stdout=heard,
        grace_s=0.1,
    )
    assert done.cancelled
    assert done.ending == "it was cancelled"
    assert left == []


def test_an_exception_while_it_runs_ends_it(tmp_path: Path) -> None:
    """Ctrl-C in our process (any exception inside `run`) leaves nothing running."""

    def interrupt(part: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sh("echo $$ > pids; echo up; sleep 1000", tmp_path, on_stdout=interrupt)
    assert not alive(int((tmp_path / "pids").read_text()))


KILLED = """
import sys, threading
from pathlib import Path
from typing import Any
from daybreak.host import process
folder = Path(sys.argv[1])
process.run(["sh", "-c", sys.argv[2]], cwd=folder, env=process.clean_environment(folder / "scratch"), timeout_s=600)
"""


def test_kill_minus_nine_of_ours_ends_every_program(tmp_path: Path) -> None:
    """When we are killed, the guard ends the program, daemons included."""  # shows: N14
    script = DAEMON + "echo $$ >> pids; sleep 1000"
    ours = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path, script])
    pids = tmp_path / "pids"
    assert wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    ours.kill()
    ours.wait()
    started = [int(word) for word in pids.read_text().split()]
    assert wait_for(lambda: not any(alive(pid) for pid in started))


def test_a_program_that_kills_its_guard_dies_with_it(tmp_path: Path) -> None:
    """The result says that the guard was lost, and is not ok; holders of its output are ended."""
    script = "sleep 1000 & echo $! >> pids; echo $$ >> pids; kill -9 $PPID; sleep 1000"
    done = sh(script, tmp_path)
    assert done.guard_lost
    assert not done.ok
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    assert wait_for(lambda: not any(alive(pid) for pid in pids))


# -- servers


SERVER = """
import http.server, sys
print("starting", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler).serve_forever()
"""


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serving(folder: Path, port: int, text: str = SERVER, **options: object) -> Server:
    (folder / "server.py").write_text(text)
    return Server(
        [sys.executable, "-I", folder / "server.py", str(port)],
        cwd=folder,
        env=process.clean_environment(folder / "scratch"),
        ready=lambda: accepts(port),
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_is_there_inside_the_block_and_gone_after_it(tmp_path: Path, port: int) -> None:
    """Ready when the block is entered, ended when it is left, its output kept."""
    with serving(tmp_path, port) as server:
        assert accepts(port)
        assert server.running
    assert not accepts(port)
    assert server.output == b"starting\n"
    assert server.finished is not None


def test_a_server_is_ended_when_the_block_raises(tmp_path: Path, port: int) -> None:
    """Whatever happens inside the block, nothing stays."""
    with pytest.raises(ZeroDivisionError), serving(tmp_path, port):
        raise ZeroDivisionError
    assert not accepts(port)


def test_a_server_that_ends_early_shows_what_it_printed(tmp_path: Path, port: int) -> None:
    """A crash at the start is told at once, not after the whole wait."""
    with (
        pytest.raises(ServerNotReady, match="exit status 3") as told,
        serving(tmp_path, port, "import sys; print('no data'); sys.exit(3)"),
    ):
        pass
    assert told.value.ended
    assert told.value.output == b"no data\n"


def test_a_server_that_never_is_ready_is_ended(tmp_path: Path, port: int) -> None:
    """Waiting has an end, and the server that was waited for ends with it."""
    text = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(1000)"
    with pytest.raises(ServerNotReady, match="not ready") as told, serving(tmp_path, port, text, ready_s=0.5):
        pass
    assert not told.value.ended
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_time_that_is_no_limit_is_refused(limit: float, tmp_path: Path) -> None:
    """Not a number would be never."""
    for times in ({"timeout_s": limit}, {"timeout_s": 5, "grace_s": limit}):
        with pytest.raises(ProgramNotStarted, match="no time limit"):
            process.run(["true"], cwd=tmp_path, env={}, **times)


@pytest.mark.parametrize(
    "wrong",
    [{"argv": []}, {"argv": ["\ud800"]}, {"argv": ["a\0b"]}, {"argv": "true"}, {"argv": None}, {"env": ""}, {"cwd": 5}],
)
def test_what_no_system_could_start_is_refused_in_words(wrong: dict[str, object], tmp_path: Path) -> None:
    """Whatever is given: ProgramNotStarted with a hint."""
    given: dict[str, Any] = {"argv": ["true"], "cwd": tmp_path, "env": {}, "timeout_s": 5, **wrong}
    with pytest.raises(ProgramNotStarted) as refused:
        process.run(given.pop("argv"), **given)
    assert refused.value.hint
