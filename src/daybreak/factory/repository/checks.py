"""Running the checks of a task on a repository: commands of its user, in the sandbox, each on a copy of its own.

A plain pytest command is run under watch, so that every test is known by its name. Of all other commands only the exit
status counts, and where a runner of tests is named the number of tests that it says it ran.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from daybreak.checks import altering, sandboxed, transcripts, watched
from daybreak.checks.watched import Tally
from daybreak.errors import CheckError
from daybreak.host import process
from daybreak.host.sandbox import Strength

CHECK, TESTS = "check", "tests"
"""Kinds of checks, as a gate knows them: commands, and pytest under watch."""
NAME_CHARS_MAX = 80
OUTPUT_BYTES_MAX = 20_000_000
ALTERING_S_MAX = 120.0
_PYTEST_SCRIPT = str(Path(__file__).with_name("suite.py"))
_CHANNEL = 9
_NOT_FOUND = frozenset({126, 127})
_SHELL = re.compile(r"[|&;<>()$`\\\"'*?\[\]#~!{}\n]")
"""What makes a command more than words; quotes are words for the shell, and checked by shlex below."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_PYTHON = re.compile(r"python[0-9.]*")
_OWN_WAY = re.compile(
    r"^(-n|--numprocesses|--dist|--cov-fail-under|--lf|--ff|--last-failed|--failed-first|-h|--help)\b"
)
"""Options with which another process runs the tests, or more than tests decides: left to pytest alone."""
_TAKES_VALUE = frozenset(
    [
        "-c",
        "-p",
        "-k",
        "-m",
        "-o",
        "-W",
        "--rootdir",
        "--confcutdir",
        "--ignore",
        "--deselect",
        "--tb",
        "--cov",
        "--import-mode",
    ]
)
_COUNTED = (
    (re.compile(r"\b(pytest|py\.test)\b"), re.compile(r"\b([1-9]\d*) passed")),
    (re.compile(r"\bunittest\b"), re.compile(r"\bRan ([1-9]\d*) tests?\b")),
)
"""Runners of tests, and how they say that there were some."""


class NotRunnable(CheckError):
    """A check cannot be run at all, whatever the repository holds."""

    code = "C172"


@dataclass(frozen=True, slots=True)
class Pytest:
    """A command that runs pytest and nothing else."""

    program: str
    """`pytest`, or the Python of `python -m pytest`."""
    module: bool
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    """As evidence names it: `tests:1 pytest -q`, `check:2 make lint`."""
    command: str
    pytest: Pytest | None = None

    @property
    def runs_python(self) -> bool:
        """Does the repository's Python decide, as far as one can see from the command? Then it matters whether the
        functions of the program do anything."""
        if self.pytest is not None:
            return True
        words = _split(self.command) or ()
        names = [PurePosixPath(word).name for word in words]
        return "unittest" in names or any(
            _PYTHON.fullmatch(name) and after.endswith(".py") for name, after in zip(names, words[1:], strict=False)
        )


@dataclass(frozen=True)
class Bench:
    """Where checks are run. Its folders are real; `files` is what they look at, and stays as it is."""

    files: Path
    scratch: Path
    venvs: tuple[Path, ...]
    """Virtual environments whose programs go before ours."""
    limit_s: float
    require: Strength
    cancelled: threading.Event


@dataclass(frozen=True)
class Seen:
    """How a check ended."""

    finished: process.Finished
    tally: Tally | None = None
    """Of pytest under watch."""
    problems: tuple[str, ...] = ()
    """Why it did not pass, in words; empty where it passed."""
    tricks: tuple[str, ...] = field(default=(), repr=False)
    """How the tests change the way they are run; what was so on the base is the repository's own way."""

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def output(self) -> str:
        return transcripts.of(self.finished)

    @property
    def unusable(self) -> bool:
        """Nothing can be said about the repository: there is no such program, or no pytest."""
        if self.tally is None:
            return self.finished.exit_code in _NOT_FOUND
        return self.tally.end is None and not self.tally.items and b"No module named 'pytest'" in self.printed

    @property
    def printed(self) -> bytes:
        return self.finished.stdout + self.finished.stderr


def plan(commands: Sequence[str]) -> list[Check]:
    """What is to be run, in order. Every name is there once."""
    found = []
    for number, command in enumerate(commands, 1):
        pytest = _as_pytest(command)
        shown = " ".join(command.split())[:NAME_CHARS_MAX]
        found.append(Check(f"{CHECK if pytest is None else TESTS}:{number} {shown}", command, pytest))
    return found


def called(name: str, command: str) -> Check:
    """The check of that name and command, one of a plan."""
    return Check(name, command, _as_pytest(command))


def _split(command: str) -> list[str] | None:
    with suppress(ValueError):
        return shlex.split(command)
    return None


def _as_pytest(command: str) -> Pytest | None:
    """None for what needs a shell, is something else, or lets more than tests decide."""
    words = _split(command)
    bare = re.sub(r"'[^']*'|\"[^\"$`\\]*\"", "", command)
    if not words or _SHELL.search(bare):
        return None
    environment = {}
    while words and _ASSIGNMENT.fullmatch(words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    name = PurePosixPath(words[0]).name if words else ""
    module = _PYTHON.fullmatch(name) is not None and words[1:3] == ["-m", "pytest"]
    if name not in ("pytest", "py.test") and not module:
        return None
    arguments = words[3:] if module else words[1:]
    if any(_OWN_WAY.match(word) for word in arguments):
        return None
    return Pytest(words[0], module, tuple(arguments), environment)


# -- running


def run(check: Check, bench: Bench, place: Path) -> Seen:
    """Run it on a fresh copy of the bench's files in `place`, which must not be there. Raises what starting a program
    and making a sandbox raise, and OSError."""
    place.mkdir(parents=True)
    shutil.copytree(bench.files, place / "copy", symlinks=True)
    return _ran(check, bench, place)


def _ran(check: Check, bench: Bench, place: Path) -> Seen:
    if check.pytest is None:
        return _command(check, bench, place)
    finished, tally = _watched(check.pytest, bench, place)
    seen = Seen(finished, tally, tricks=tuple(sorted(set(tally.tricks))))
    return replace(seen, problems=tuple(_problems(seen, tally)))


def _command(check: Check, bench: Bench, place: Path) -> Seen:
    finished = process.run(
        ["/bin/sh", "-e", "-c", check.command],
        cwd=place / "copy",
        env=_environment(bench, place),
        timeout_s=bench.limit_s,
        output_bytes_max=OUTPUT_BYTES_MAX,
        cancelled=bench.cancelled,
        sandbox=sandboxed.around(*_writable(place), readable=readable(bench.venvs), require=bench.require),
    )
    seen = Seen(finished)
    if not finished.ok:
        return replace(seen, problems=(_last_words(finished),))
    printed = transcripts.text(seen.printed)
    for runner, ran in _COUNTED:
        if runner.search(check.command) and not ran.search(printed):
            return replace(seen, problems=("it ran no test that could be seen: nothing says how many passed",))
    return seen


def _watched(pytest: Pytest, bench: Bench, place: Path) -> tuple[process.Finished, Tally]:
    """As `watched.run`, with the repository's own configuration and under its own Python."""
    copy = place / "copy"
    nonce = secrets.token_hex(16)
    told = bytearray()
    channel_out, channel_in = os.pipe()
    words = ["1" if pytest.module else "0", *pytest.arguments, "--continue-on-collection-errors"]
    try:
        try:
            guarded = process.Guarded(
                [python_of(pytest.program, bench.venvs), _PYTEST_SCRIPT, watched.WATCHING, *words],
                cwd=copy,
                env={**_environment(bench, place), **pytest.environment},
                timeout_s=bench.limit_s,
                stdin=nonce.encode() + b"\n",
                fds={_CHANNEL: channel_in},
                merge=True,
                output_bytes_max=OUTPUT_BYTES_MAX,
                cancelled=bench.cancelled,
                sandbox=sandboxed.around(*_writable(place), readable=readable(bench.venvs), require=bench.require),
            )
        finally:
            os.close(channel_in)

        def hear(part: bytes) -> None:
            told.extend(part)
            if len(told) > watched.SEEN_BYTES_MAX:
                guarded.end()

        try:
            guarded.listen(channel_out, hear)
            while not guarded.over:
                guarded.pump()
            finished = guarded.finish()
        finally:
            guarded.close()
    finally:
        os.close(channel_out)
    return finished, watched.tally(bytes(told), nonce)


def _problems(seen: Seen, tally: Tally) -> list[str]:
    """Why the tests as a whole did not pass. Takes the test of ours out of the counts."""
    finished = seen.finished
    if finished.ended_by_us:
        return [f"the tests did not come to their end: {finished.ending}"]
    if tally.end is None:
        return [f"the tests ended the test run itself ({finished.ending}), so nothing is known of them"]
    own_failed = tally.own_test in tally.failed and tally.own_test not in tally.passed
    tally.failed.pop(tally.own_test, None)
    tally.items.discard(tally.own_test)
    problems = []
    if not own_failed and tally.items:
        problems.append("a test that must fail was not seen to fail: results are changed, or tests are hidden")
    elif own_failed and (finished.exit_code != 1 or tally.end != 1):
        problems.append(f"the exit status {finished.exit_code} does not fit what was seen")
    if tally.failed:
        problems.append(f"{len(tally.failed)} failed: {watched.some(sorted(tally.failed))}")
    if lost := sorted(tally.items - tally.passed - tally.skipped - set(tally.failed)):
        problems.append(f"{len(lost)} tests have no result: {watched.some(lost)}")
    if not tally.passed:
        problems.append(
            "no test was executed and passed" if own_failed else f"no test was run: {_last_words(finished)}"
        )
    return problems


def _last_words(finished: process.Finished) -> str:
    printed = finished.stderr if finished.stderr.strip() else finished.stdout
    last = transcripts.text(printed).strip().splitlines()[-1:]
    return transcripts.cut(": ".join([finished.ending, *last]), 400)


# -- on altered copies


@dataclass(frozen=True, slots=True)
class Weighed:
    """What became of what passed, where the program was altered (see `checks.twins`)."""

    of: int
    """Tests looked at; 1 for a command."""
    unmoved: frozenset[str]
    """Pass where every function is broken too."""
    unsteady: frozenset[str]
    """Do not pass on a copy that does the same."""
    duration_ms: int = 0

    def problems(self) -> list[str]:
        counting = self.of - len(self.unmoved | self.unsteady)
        if counting and 2 * counting >= self.of:
            return []
        found = []
        if self.unmoved:
            found.append(
                f"{len(self.unmoved)} of {self.of} still pass when every function of the program raises NameError, "
                f"so they prove nothing: {watched.some(sorted(self.unmoved))}"
            )
        if self.unsteady:
            found.append(
                f"{len(self.unsteady)} of {self.of} do not pass on a copy of the program that does the same: "
                f"{watched.some(sorted(self.unsteady))}"
            )
        return found


def weigh(
    check: Check, bench: Bench, folder: Path, sources: Sequence[str], tests: Sequence[str], first_s: float
) -> Weighed | None:
    """Run a check that passed again, on a working and on a broken copy of the files in `sources` (paths), at one place
    below `folder`. Of pytest only `tests` are run. None where the sources hold no function, so nothing can be altered.

    Raises NotRunnable where they cannot be altered, and what `run` does."""
    again = check
    if check.pytest is not None:
        again = replace(check, pytest=replace(check.pytest, arguments=_only(check.pytest, tests, bench.files)))
    looked = frozenset(tests) if check.pytest is not None else frozenset({check.command[:NAME_CHARS_MAX]})
    passed: dict[str, frozenset[str]] = {}
    duration_ms = 0
    kinds = ["working", "broken"]
    if secrets.randbelow(2):
        kinds.reverse()
    for kind in kinds:
        place = folder / "twin"
        place.mkdir(parents=True)
        shutil.copytree(bench.files, place / "copy", symlinks=True)
        if not _alter(kind, bench, place, sources):
            return None
        limit_s = bench.limit_s if kind == "working" else min(bench.limit_s, max(5.0, 2 * first_s))
        seen = _ran(again, replace(bench, limit_s=limit_s), place)
        place.rename(folder / kind)
        duration_ms += seen.finished.duration_ms
        if seen.tally is None:
            passed[kind] = looked if seen.passed else frozenset()
        else:
            forged = kind == "working" and any("must fail" in problem for problem in seen.problems)
            passed[kind] = frozenset() if forged else frozenset(seen.tally.passed)
    return Weighed(len(looked), looked & passed["broken"], looked - passed["working"], duration_ms)


def _only(pytest: Pytest, tests: Sequence[str], files: Path) -> tuple[str, ...]:
    """The same arguments for these tests only; as they are where names of tests are no paths from here."""
    if not all((files / test.split("::")[0]).exists() for test in tests):
        return pytest.arguments
    kept = [
        word
        for at, word in enumerate(pytest.arguments)
        if word.startswith("-")
        or (at and pytest.arguments[at - 1] in _TAKES_VALUE)
        or not (files / word.split("::")[0]).exists()
    ]
    return (*kept, *tests)


def _alter(kind: str, bench: Bench, place: Path, sources: Sequence[str]) -> bool:
    """Alter these files of `place/copy`, outside of the reach of what runs there later; whether anything changed."""
    copy, aside = place / "copy", place / "aside"
    for path in sources:
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(copy / path, aside / path, follow_symlinks=False)
    if not aside.exists():
        return False
    finished = process.run(
        [sys.executable, "-I", "-S", altering.__file__, kind, aside],
        cwd=aside,
        env=process.clean_environment(place),
        timeout_s=ALTERING_S_MAX,
        sandbox=sandboxed.around(aside, *sandboxed.homes(place), require=bench.require),
    )
    if not finished.ok:
        raise NotRunnable(
            f"the sources cannot be altered, so it cannot be seen what the check proves: {finished.ending}",
            hint="look for a Python file that is very large or deeply nested, and split it",
        )
    changed = False
    for path in sources:
        altered = aside / path
        if altered.is_symlink() or not altered.is_file():
            continue
        data = altered.read_bytes()
        if data != (copy / path).read_bytes():
            changed = True
            mode = (copy / path).stat().st_mode
            (copy / path).unlink()
            (copy / path).write_bytes(data)
            (copy / path).chmod(mode)
    shutil.rmtree(aside)
    return changed


# -- the environment of checks


def find_venvs(repository: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Virtual environments that belong to a repository, or that its user has entered; real, and each once."""
    named = [repository / ".venv", repository / "venv"]
    if told := environment.get("VIRTUAL_ENV"):
        named.append(Path(told))
    found = [Path(os.path.realpath(path)) for path in named if (path / "pyvenv.cfg").is_file()]
    return tuple(dict.fromkeys(found))


def python_of(program: str, venvs: Sequence[Path]) -> str:
    """The Python that runs a pytest command: of the first virtual environment, else ours."""
    if "/" in program and PurePosixPath(program).is_absolute():
        name = PurePosixPath(program)
        beside = name if _PYTHON.fullmatch(name.name) else name.parent / "python"
        return str(beside)
    return next((str(venv / "bin" / "python") for venv in venvs if (venv / "bin" / "python").exists()), sys.executable)


def readable(venvs: Sequence[Path]) -> list[Path]:
    """What a sandbox must let programs of these environments read: themselves, and the Python below them."""
    found = list(venvs)
    for venv in venvs:
        real = Path(os.path.realpath(venv / "bin" / "python"))
        if real.exists() and not real.is_relative_to("/usr") and len(real.parents) > 2:
            found.append(real.parents[1])
    return list(dict.fromkeys(found))


def _environment(bench: Bench, place: Path) -> dict[str, str]:
    copy = place / "copy"
    programs = [*(venv / "bin" for venv in bench.venvs), Path(sys.executable).parent]
    paths = [copy / "src", copy] if (copy / "src").is_dir() else [copy]
    return process.clean_environment(place, path=programs, PYTHONPATH=os.pathsep.join(map(str, paths)))


def _writable(place: Path) -> tuple[Path, ...]:
    return (place / "copy", *sandboxed.homes(place))
