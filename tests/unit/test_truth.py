"""Ground truth: what lying programs do is looked up."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError
from daybreak.host import truth
from daybreak.host.truth import (
    NotTrue,
    ProbeMisused,
    absent,
    answers,
    changed,
    contains,
    created,
    custom,
    exists,
    expect,
    holds,
    lacks,
    only_changed,
    prints,
    unchanged,
    verify,
)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that programs say they have written; it holds an older state."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out.csv"
    path.write_text("name,total\nold,1\n")
    return path


# -- liars: every one ends with status 0

LIARS = {
    "does nothing": "pass",
    "touches the file": "os.utime(out)",
    "writes the same again": "open(out, 'w').write('name,total\\nold,1\\n')",
    "writes elsewhere": "open(os.path.join(os.path.dirname(out), 'out2.csv'), 'w').write('name,total\\nnew,2\\n')",
    "writes, then truncates": "open(out, 'w').write('name,total\\nnew,2\\n'); open(out, 'w').close()",
    "writes half": "open(out, 'w').write('name,to')",
    "removes it": "os.remove(out)",
    "puts a link to another file": "open(out + '.real', 'w').write('name,total\\nnew,2\\n'); os.remove(out);"
    "os.symlink(out + '.real', out)",
    "makes a folder of that name": "os.remove(out); os.mkdir(out)",
    "makes a pipe of that name": "os.remove(out); os.mkfifo(out)",
    "writes an error into it": "open(out, 'w').write('Internal Server Error')",
}


def program(does: str, out: Path) -> list[str]:
    """A program that says it is done and ends with status 0."""
    return [sys.executable, "-c", f"import os; out = {str(out)!r}; {does}; print('report written')"]


@pytest.mark.parametrize("does", LIARS.values(), ids=LIARS.keys())
def test_a_program_that_lies_is_refuted(does: str, out: Path) -> None:
    """Status 0 and a cheerful line are no evidence; what is on the disk is."""
    # shows: X6
    argv = program(does, out)
    with pytest.raises(NotTrue) as caught, expect(changed(out), contains(out, "new,2")):
        assert subprocess.run(argv, check=True, capture_output=True).returncode == 0
    assert caught.value.failing
    assert all(one.seen for one in caught.value.failing), "evidence, not a bare no"


def test_an_honest_program_is_verified_with_evidence(out: Path) -> None:
    """What was looked at, before and after, stays readable."""
    # shows: X6
    with expect(changed(out), contains(out, "new,2"), only_changed(out.parent, "out.csv")) as told:
        subprocess.run(program("open(out, 'w').write('name,total\\nnew,2\\n')", out), check=True, capture_output=True)
    observed = told.verified.observations
    assert [one.holds for one in observed] == [True] * 3
    assert observed[0].looked_at == str(out)
    assert observed[0].before != observed[0].seen
    assert "sha256" in observed[0].seen
    assert observed[0].as_dict()["holds"] is True
    assert "out.csv has changed" in str(told.verified)


def test_command_runs_and_looks(out: Path) -> None:
    """A good status with nothing done fails, a bad status with everything done fails too."""
    does = "open(out, 'w').write('new,2')"
    seen = truth.command(program(does, out), changed(out))
    assert "exit status 0" in seen.observations[-1].seen
    with pytest.raises(NotTrue, match="same content"):
        truth.command(program(does, out), changed(out))
    with pytest.raises(NotTrue) as caught:
        truth.command(program("open(out, 'w').write('3'); os._exit(4)", out), changed(out))
    [failing] = caught.value.failing
    assert "exit status 4" in failing.seen


def test_a_command_that_hangs_or_is_missing_is_not_true(out: Path) -> None:
    """Time is bounded; a program that is not there is an ending like others."""
    with pytest.raises(NotTrue, match="time was over"):
        truth.command([sys.executable, "-c", "while True: pass"], exists(out), timeout_s=0.5)
    with pytest.raises(NotTrue, match="nonesuch"):
        truth.command(["nonesuch-program"], exists(out))


def test_a_command_alone_is_refused(out: Path) -> None:
    """An exit status alone is never enough: the program is not even run."""
    # shows: X6
    with pytest.raises(ProbeMisused, match="nothing is expected"):
        truth.command(program("os.remove(out)", out))
    assert out.exists()


def test_all_that_does_not_hold_is_named_at_once(out: Path) -> None:
    """One look, all findings."""
    with pytest.raises(NotTrue) as caught:
        verify(exists("a"), exists(out), exists("b"), absent(out), contains(out, "nothing of that kind"))
    assert len(caught.value.failing) == 4
    assert len(caught.value.observations) == 5
    for part in ("a exists", "b exists", "absent", "nothing of that kind"):
        assert part in caught.value.message


# -- plain functions


def test_a_function_that_lies_is_refuted(out: Path) -> None:
    """Plain and async functions, each call with its own look before."""
    # shows: X6
    texts = iter(["new,2", "new,2", "new,3", "new,3"])

    def write_plain() -> bool:
        out.write_text(next(texts))
        return True

    write = expect(changed(out))(write_plain)

    @expect(changed(out))
    async def write_async() -> bool:
        return write_plain()

    assert write() is True
    with pytest.raises(NotTrue):
        write()
    assert asyncio.run(write_async()) is True
    with pytest.raises(NotTrue):
        asyncio.run(write_async())


def test_an_error_of_the_work_goes_on_with_what_it_left(out: Path) -> None:
    """The work's own error is not hidden; what does not hold is noted on it."""
    with pytest.raises(OSError, match="no room") as caught, expect(changed(out)):
        raise OSError("no room")
    assert "has changed" in "".join(caught.value.__notes__)


def test_verified_is_not_there_before_its_time(out: Path) -> None:
    """Neither inside the block nor after a refutation."""
    expectation = expect(unchanged(out))
    with expectation as told:
        with pytest.raises(ProbeMisused):
            _ = told.verified
        with pytest.raises(ProbeMisused), expectation:
            pass
    assert told.verified.observations
    with pytest.raises(NotTrue), expectation:
        out.write_text("x")
    with pytest.raises(ProbeMisused):
        _ = expectation.verified


def test_verify_refuses_probes_that_compare_with_before(out: Path) -> None:
    """`changed` without a look before would always be true."""
    for probe in (changed(out), unchanged(out), created(out), only_changed(".")):
        with pytest.raises(ProbeMisused, match="before"):
            verify(probe)


# -- probes for files


def test_created_means_that_it_was_not_there(out: Path) -> None:
    """An older file of that name is no new one."""
    with pytest.raises(NotTrue, match="there before"), expect(created(out)):
        out.write_text("new")
    with expect(created("fresh.txt"), changed("fresh.txt")):
        Path("fresh.txt").write_text("x")


def test_an_empty_file_does_not_exist_unless_it_may(out: Path) -> None:
    """A file of no bytes is the usual trace of a write that failed."""
    out.write_text("")
    with pytest.raises(NotTrue, match="an empty file"):
        verify(exists(out))
    verify(exists(out, nonempty=False))


def test_what_cannot_be_looked_at_never_holds(out: Path) -> None:
    """Neither present nor absent, neither with nor without."""
    too_long = "x" * 300
    for probe in (exists(too_long), absent(too_long), contains(too_long, "x"), lacks(too_long, "x")):
        with pytest.raises(NotTrue, match="cannot be looked at"):
            verify(probe)
    with pytest.raises(NotTrue), expect(unchanged(too_long)):
        pass


def test_unchanged_notices_content_kind_and_mode(out: Path) -> None:
    """Each of them counts; times do not."""
    with expect(unchanged(out), unchanged("nothing-there")):
        os.utime(out)

    def edit() -> None:
        out.write_text("x")

    def run_it() -> None:
        out.chmod(0o755)

    def link_it() -> None:
        out.rename("elsewhere")
        out.symlink_to("elsewhere")

    for change in (edit, run_it, link_it):
        with pytest.raises(NotTrue), expect(unchanged(out)):
            change()


def test_content_is_searched_across_seams(out: Path) -> None:
    """Text that lies over the border of two reads is found."""
    size = 1024 * 1024
    out.write_bytes(b"x" * (size - 3) + b"needle" + b"y" * size)
    verify(contains(out, "needle"), contains(out, b"y"), lacks(out, "needles"), contains(out, re.compile(r"xneedley")))


def test_patterns_need_text(out: Path) -> None:
    """Bytes that are no UTF-8 are searched as bytes; as text that is no answer, neither yes nor no."""
    out.write_bytes(b"\xff\xfe total")
    verify(contains(out, re.compile(rb"tot.l")), contains(out, "total"))
    for probe in (contains(out, re.compile("tot.l")), lacks(out, re.compile("tot.l"))):
        with pytest.raises(NotTrue, match="cannot be read"):
            verify(probe)


def test_a_probe_never_waits_for_a_pipe(out: Path) -> None:
    """A pipe that nobody writes to is seen, not opened."""
    os.mkfifo("pipe")
    for probe in (exists("pipe"), contains("pipe", "x"), absent("pipe")):
        with pytest.raises(NotTrue, match="a pipe"):
            verify(probe)


def test_a_path_means_what_it_meant_at_the_start(out: Path, tmp_path: Path) -> None:
    """Work that changes the working directory does not move the probe."""
    (tmp_path / "other").mkdir()

    def work() -> None:
        os.chdir(tmp_path / "other")
        Path("out.csv").write_text("elsewhere")

    with pytest.raises(NotTrue), expect(changed("out.csv")):
        work()


# -- probes for folders


def test_a_folder_holds_so_many_files(tmp_path: Path) -> None:
    """A partial batch is counted, and an empty file does not pass for one."""
    # shows: X6
    (tmp_path / "sub").mkdir()
    for name in ("a.csv", "b.csv", "sub/c.csv", "d.txt"):
        (tmp_path / name).write_text("x")
    verify(holds(tmp_path, 4), holds(tmp_path, 3, pattern="*.csv"), holds(tmp_path), holds(tmp_path, at_most=4))
    with pytest.raises(NotTrue, match="3 files"):
        verify(holds(tmp_path, 10, pattern="*.csv"))
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(NotTrue, match=r"empty: b\.csv"):
        verify(holds(tmp_path, 3, pattern="*.csv"))
    verify(holds(tmp_path, 3, pattern="*.csv", nonempty=False))
    (tmp_path / "e.csv").symlink_to("a.csv")
    verify(holds(tmp_path, 3, pattern="*.csv", nonempty=False))
    for wrong in (tmp_path / "nowhere", tmp_path / "a.csv"):
        with pytest.raises(NotTrue):
            verify(holds(wrong))


def test_what_else_changed_is_named(out: Path) -> None:
    """New, changed, removed, linked, and folders: everything outside the allowed places."""
    Path("keep.txt").write_text("keep")
    Path("gone.txt").write_text("gone")
    Path("sub").mkdir()

    def work() -> None:
        out.write_text("new")
        Path("sub/inside.txt").write_text("fine")
        Path("keep.txt").write_text("changed")
        Path("gone.txt").unlink()
        Path("fresh").mkdir()
        Path("link").symlink_to("out.csv")

    with pytest.raises(NotTrue) as caught, expect(only_changed(".", "out.csv", "sub")):
        work()
    assert caught.value.failing[0].seen == "also changed: fresh, gone.txt, keep.txt, link"


# -- probes that ask


def test_a_command_prints_what_is_expected(out: Path) -> None:
    """Status and output both count."""
    say = [sys.executable, "-c", "print('3 passed')"]
    verify(prints(say, r"\b3 passed"), prints([sys.executable, "-c", "raise SystemExit(3)"], "", exit_code=3))
    with pytest.raises(NotTrue, match="printed '3 passed'"):
        verify(prints(say, r"4 passed"))
    with pytest.raises(NotTrue, match="exit status 1"):
        verify(prints([sys.executable, "-c", "print('3 passed'); raise SystemExit(1)"], "3 passed"))
    with pytest.raises(NotTrue, match="time was over"):
        verify(prints([sys.executable, "-c", "while True: pass"], "", timeout_s=0.3))


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A port that accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def test_a_port_answers_or_not(listening: socket.socket) -> None:
    """A server that said it was up is asked; a closed port and a silent one are not answers."""
    # shows: X6
    port = listening.getsockname()[1]
    verify(answers(port))
    with pytest.raises(NotTrue, match="timed out"):
        verify(answers(port, sending=b"hello?", matches=b"hello!", within_s=0.3))

    def reply() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                if connection.recv(100) == b"GET / HTTP/1.0\r\n\r\n":
                    connection.sendall(b"HTTP/1.0 ")
                    connection.sendall(b"200 OK\r\n\r\n")
                    return

    thread = threading.Thread(target=reply)
    thread.start()
    verify(answers(port, sending=b"GET / HTTP/1.0\r\n\r\n", matches=rb"^HTTP/1\.\d 200"))
    thread.join()
    listening.close()
    with pytest.raises(NotTrue, match=r"for 0\.1 s"):
        verify(answers(port, within_s=0.1))


def test_a_probe_of_ones_own_needs_evidence() -> None:
    """A bare True is not evidence, and what raises has seen nothing."""
    # shows: X6
    verify(custom("the queue is empty", lambda: (True, "0 messages")))
    with pytest.raises(NotTrue, match="3 messages"):
        verify(custom("the queue is empty", lambda: (False, "3 messages")))
    with pytest.raises(NotTrue, match="no \\(bool, what was seen\\)"):
        verify(custom("the queue is empty", lambda: True))  # type: ignore[arg-type,return-value]
    with pytest.raises(NotTrue, match="ZeroDivisionError"):
        verify(custom("the queue is empty", lambda: (1 // 0 == 0, "never")))


def test_a_probe_of_ones_own_compares_with_before() -> None:
    """The look before is handed to the look after; where it failed, nothing holds."""
    rows = [1]
    grows = custom("rows grow", lambda was: (len(rows) > was, f"{len(rows)} rows"), before=lambda: len(rows))
    with expect(grows) as told:
        rows.append(2)
    assert told.verified.observations[0].before == "1"
    with pytest.raises(NotTrue), expect(grows):
        pass
    broken = custom("rows grow", lambda was: (True, "fine"), before=lambda: rows[99])
    with pytest.raises(NotTrue, match="IndexError"), expect(broken):
        pass
    with pytest.raises(ProbeMisused):
        verify(grows)


# -- strange names


def test_a_strange_name_is_told_in_one_printable_line(out: Path) -> None:
    """Newlines, bytes that are no UTF-8 and long names do not break a log."""
    names = ["line\nbreak", os.fsdecode(b"\xff\xfe"), "x" * 250, "ö"]
    for name in names:
        Path(name).write_text("x")

    def remove() -> None:
        for name in names:
            Path(name).unlink()

    with pytest.raises(NotTrue) as caught, expect(only_changed(".")):
        remove()
    assert caught.value.message.isprintable()
    assert caught.value.message.encode()
    for name in names:
        with pytest.raises(NotTrue) as one:
            verify(exists(name))
        assert one.value.message.isprintable()


# -- hostile arguments

HOSTILE = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "\0", "a\0b", "..", "/", "../" * 40, "x" * 4097, "a/" * 2040 + "a", "\ud800", "\udcff", "*[", "("]
    ),
    st.integers(),
    st.floats(),
    st.none(),
    st.binary(max_size=10),
    st.lists(st.text(max_size=3), max_size=2),
)


def refused_properly_or_seen(act: Callable[[], tuple[truth.Observation, ...]]) -> None:
    """Observations with words, or an error of ours with a hint."""
    refused: list[DaybreakError] = []
    seen: tuple[truth.Observation, ...] = ()
    try:
        seen = act()
    except DaybreakError as error:
        refused.append(error)
    assert all(error.hint for error in refused)
    assert all(one.seen for one in seen)


@settings(deadline=None, max_examples=60)
@given(value=HOSTILE)
def test_hostile_arguments_give_an_observation_or_our_error(value: object) -> None:
    """Whatever is passed: an observation, or a typed error with a hint."""
    # shows: P8
    made: list[Callable[[], truth.Probe]] = [
        lambda: exists(value),  # type: ignore[arg-type]
        lambda: absent(value),  # type: ignore[arg-type]
        lambda: contains("x", value),  # type: ignore[arg-type]
        lambda: lacks(value, "x"),  # type: ignore[arg-type]
        lambda: holds("/nonesuch", value),  # type: ignore[arg-type]
        lambda: holds("/nonesuch", pattern=value),  # type: ignore[arg-type]
        lambda: only_changed("/nonesuch", value),  # type: ignore[arg-type]
        lambda: prints(["/nonesuch"], value),  # type: ignore[arg-type]
        lambda: prints(["/nonesuch"], "", timeout_s=value),  # type: ignore[arg-type]
        lambda: answers(value, within_s=0.001),  # type: ignore[arg-type]
        lambda: answers(1, matches=value, within_s=0.001),  # type: ignore[arg-type]
        lambda: prints(["/nonesuch"], "", cwd=value),  # type: ignore[arg-type]
        lambda: prints(["/nonesuch"], "", env={"A": value}),  # type: ignore[dict-item]
        lambda: prints(["/bin/sh"], "", env=value),  # type: ignore[arg-type]
        lambda: custom(value, lambda: (True, "x")),  # type: ignore[arg-type]
        lambda: value,  # type: ignore[arg-type,return-value]
    ]
    for make in made:
        refused_properly_or_seen(lambda make=make: truth.look(make()))  # type: ignore[misc]
    for argv in (value, [value], ["/nonesuch", value]):
        refused_properly_or_seen(lambda argv=argv: truth.command(argv, exists("/")).observations)  # type: ignore[misc]
