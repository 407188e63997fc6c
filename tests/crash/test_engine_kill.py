"""A real owner on a real ledger, killed and interrupted at random moments."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.engine import VIEWS, Engine
from daybreak.ledger import Ledger

OWNER = Path(__file__).with_name("engine_owner.py")
STRACE = shutil.which("strace")
STEPS = 12


def begin(home: Path, steps: int = STEPS) -> subprocess.Popen[str]:
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-X", "faulthandler", str(OWNER), str(home), str(home / "journal"), str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def strike(home: Path, number: signal.Signals, after_s: float) -> int:
    """One owner's life: struck `after_s` behind its start of work, unless it ended before. Its exit status."""
    with begin(home) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n", owner.communicate()[1]
        try:
            owner.wait(after_s)
        except subprocess.TimeoutExpired:
            owner.send_signal(number)
        _, errors = owner.communicate(timeout=30)
    assert owner.returncode in (0, -number, 1, 130), errors
    if owner.returncode == 1:
        assert "KeyboardInterrupt" in errors, errors
    return owner.returncode


def work_duration_s(home: Path) -> float:
    """How long the work takes here and now, undisturbed."""
    with begin(home) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        began = time.monotonic()
        assert owner.wait(60) == 0
    return time.monotonic() - began


def check_story(home: Path) -> None:
    """No step that was recorded is computed again, the effect happened once, and the value is right."""
    known: set[str] = set()
    ends = []
    for line in (home / "journal").read_text().splitlines():
        word, *rest = line.split()
        match word:
            case "born":
                known = set(rest)
            case "computed":
                assert rest[0] not in known, f"{rest[0]} was recorded and computed again"
            case "end":
                ends.append(line)
    squares = [number * number for number in range(STEPS)]
    inner = sum(squares[: STEPS // 2])
    assert set(ends) == {f"end done {json.dumps([*squares, inner, inner, inner, 'paid'])}"}
    assert set(Counter((home / "journal.effects").read_text().split()).values()) == {1}


@pytest.mark.parametrize("deaths", [6, pytest.param(24, marks=pytest.mark.chaos)])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_a_run_survives_its_owners_deaths(tmp_path: Path, number: signal.Signals, deaths: int) -> None:
    """Killed or interrupted at random moments, the run goes on each time where it stopped, and ends once."""
    # shows: N14 F13
    duration_s = work_duration_s(tmp_path / "measured")
    moments = random.Random(int(number))
    home = tmp_path / "struck"
    struck = 0
    for round_number in range(deaths * 4):
        status = strike(home, number, moments.uniform(0, duration_s / 2))
        struck += status != 0
        if status == 0 and round_number >= deaths:
            break
        if status == 0:
            check_story(home)
            shutil.rmtree(home)  # it got through: again from the start, until there were enough deaths
        if struck >= deaths:
            break
    assert struck >= deaths / 2
    while strike(home, signal.SIGKILL, 60) != 0:
        pass
    check_story(home)


@pytest.mark.skipif(STRACE is None, reason="strace is missing: system calls cannot be counted")
def test_a_step_costs_one_sync(tmp_path: Path) -> None:
    """Thirty more steps are thirty more syncs of the ledger's log, and no other sync."""
    # shows: N4
    few, many = (syncs(tmp_path / str(steps), steps) for steps in (2, 22))
    # 20 more in the root, and 10 more in each of three children that run side by side and may share
    alone = 20
    assert alone + 10 <= many - few <= alone + 30


@pytest.mark.skipif(STRACE is None, reason="strace is missing: system calls cannot be counted")
def test_a_step_alone_costs_exactly_one_sync(tmp_path: Path) -> None:
    """Counted step by step: between two of its own steps' computations a run syncs exactly once."""
    # shows: N4
    trace = tmp_path / "trace"
    traced(tmp_path / "home", 10, trace)
    marks = [
        "sync" if "sync(" in line else "computed"
        for line in trace.read_text().splitlines()
        if ("sync(" in line and "-wal" in line) or ("write(" in line and '"computed ' in line)
    ]
    text = " ".join(marks)
    assert "computed sync " * 9 + "computed sync" in text, text


def traced(home: Path, steps: int, trace: Path) -> None:
    home.mkdir()
    command = [str(STRACE), "-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,write", "-s", "16", "-o", str(trace)]
    command += [sys.executable, str(OWNER), str(home), str(home / "journal"), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def syncs(home: Path, steps: int) -> int:
    """Syncs of the write-ahead log in a whole run."""
    trace = home.with_suffix(".trace")
    traced(home, steps, trace)
    return len(re.findall(r"f(?:data)?sync\(\d+<[^>]*-wal>", trace.read_text()))


def test_an_interrupted_owner_records_that_the_run_is_paused(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the work: the ledger says `paused`, and the lock is free."""
    # shows: X4
    home, number = tmp_path / "home", signal.SIGINT
    with begin(home, steps=5000) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        while "computed" not in (home / "journal").read_text():
            assert owner.poll() is None
        owner.send_signal(number)
        owner.communicate(timeout=30)
    places = Places.below(home, "test")
    opened = Ledger.open(places.ledger, keys=places.keys, witness=places.witness, clock=SystemClock(), views=VIEWS)
    with opened as ledger:
        engine = Engine(ledger, {}, places.locks, SystemClock(), os.urandom)
        (resumable,) = engine.resumable()
    assert (resumable.state, resumable.owner) == ("paused", None)
    assert "interrupted" in resumable.why
