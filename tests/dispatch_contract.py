"""What holds for everything that has jobs done, wherever: one suite for local dispatch, for nodes without Ray, and for
a real cluster."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.ray_cluster import gone_in

from daybreak.engine.dispatch import Answer, Dispatch, Job, Key, Needs, NeedsUnmet, Packed, travelling
from daybreak.engine.flow import Paused
from daybreak.errors import CheckError
from daybreak.host import tree

_numbers = itertools.count(1)
SLEEPS = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
CHILDREN = """
import os, subprocess, sys, time
grand = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
print(f"{os.getpid()} {grand.pid}", flush=True)
time.sleep(300)
"""
"""One that leaves its session, as what wants to outlive us does."""


def job(scratch: Path, doer: str, body: dict[str, Any] | None = None, **more: Any) -> Job:
    scratch.mkdir(parents=True, exist_ok=True)
    return Job(
        key=Key("run-1", "step", 1, next(_numbers)),
        doer=f"daybreak.testing.doers:{doer}",
        body=body or {},
        scratch=scratch,
        time_s=more.pop("time_s", 60),
        **more,
    )


def run(dispatch: Dispatch, one: Job, on_line: Callable[[bytes], None] = lambda part: None) -> Answer:
    return dispatch.run(one, cancelled=threading.Event(), on_line=on_line)


class Contract:
    """Subclasses have a fixture `dispatch`."""

    def test_a_doer_gets_what_the_job_holds(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """Body, trees and given files, and its answer comes back as JSON."""  # shows: N14
        (tmp_path / "result").mkdir()
        (tmp_path / "result" / "a.py").write_text("x = 1\n")
        taken = tree.take(tmp_path / "result")
        (tmp_path / "told.py").write_text("worker")
        one = job(
            tmp_path / "scratch",
            "echo",
            {"a": [1, "ü", None]},
            trees={"result": Packed(taken.tree.hash, taken.packed)},
            given={"worker": tmp_path / "told.py"},
        )
        told = run(dispatch, one).body
        assert told["body"] == {"a": [1, "ü", None]}
        assert told["trees"] == {"result": [taken.tree.hash, len(taken.packed)]}
        assert told["given"] == {"worker": "worker"}

    def test_a_lent_folder_holds_afterwards_what_the_doer_left(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """New, changed and removed files; a repository's own folder is not the doer's."""  # shows: N14
        folder = tmp_path / "workspace"
        (folder / ".git").mkdir(parents=True)
        (folder / ".git" / "HEAD").write_text("ref")
        (folder / "old").write_text("1")
        (folder / "same").write_text("2")
        body = {"write": {"new/deep": "3", "same": "4"}, "remove": ["old"]}
        told = run(dispatch, job(tmp_path / "scratch", "change", body, lent={"workspace": folder})).body
        assert {"old": "1", "same": "2"}.items() <= told["before"].items()
        assert tree.scan(folder).files.keys() == {"new/deep", "same"}
        assert (folder / "same").read_text() == "4"
        assert (folder / ".git" / "HEAD").read_text() == "ref"

    def test_links_travel_as_they_are_both_ways(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """Wherever they lead; what a doer leads elsewhere, leads there afterwards."""  # shows: N14
        folder, given = tmp_path / "workspace", tmp_path / "told"
        for one, links in ((folder, {"old": "a/b", "same": "nowhere at all"}), (given, {"templates": "a"})):
            (one / "a").mkdir(parents=True)
            (one / "a" / "b").write_text("1")
            for name, target in links.items():
                (one / name).symlink_to(target)
        body = {"write": {"c": "2"}, "remove": ["old"], "link": {"old": "/etc/passwd", "a/new": "../c"}}
        lent = job(tmp_path / "scratch", "change", body, lent={"workspace": folder}, given={"told": given})
        before = run(dispatch, lent).body["before"]
        assert before == {"a/b": "1", "old": "1"}, "it is read through, where it leads to something"
        found = tree.scan(folder, links=True).entries
        links = {one.path: (folder / one.path).readlink().as_posix() for one in found if one.link}
        assert links == {"old": "/etc/passwd", "same": "nowhere at all", "a/new": "../c"}
        assert run(dispatch, job(tmp_path / "s", "linked", given={"told": given})).body == {"told/templates": "a"}

    def test_what_does_not_travel_is_as_it_was(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """Tracked caches and environments of a repository are no change that anybody made."""  # shows: N14
        folder = tmp_path / "workspace"
        stays = {".coverage": "c", "pkg/m.pyc": "p", "pkg/__pycache__/m.pyc": "q", "tools/.venv/bin/python": "v"}
        for path, text in {**stays, "pkg/m.py": "1", "x": "2"}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        body = {"write": {"pkg/m.py": "3", "new": "4"}, "remove": ["x"]}
        run(dispatch, job(tmp_path / "scratch", "change", body, lent={"workspace": folder}))
        left = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
        assert left == {**stays, "pkg/m.py": "3", "new": "4"}

    def test_what_is_given_whole_is_there_whole(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """A repository that has caches or an environment of its own is the same to a check wherever that is done; only
        its history stays here."""  # shows: N14, F5
        folder = tmp_path / "files"
        tracked = [".coverage", ".venv/bin/python", "pkg/__pycache__/m.pyc", "pkg/m.py", "x.pyc"]
        for path in [*tracked, ".git/HEAD"]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("1")
        one = job(tmp_path / "scratch", "found", given={"files": folder}, whole=("files",))
        assert [path for path in run(dispatch, one).body if not path.startswith(".git/")] == tracked

    def test_what_is_larger_than_one_message_travels_in_pieces(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """What comes back of a large folder is heard of while it comes."""  # shows: N14
        folder = tmp_path / "workspace"
        folder.mkdir()
        data = Random(1).randbytes(2 * travelling.PIECE_BYTES)
        (folder / "large").write_bytes(data)
        body = {"write": {"new": "1"}, "skip": True}
        run(dispatch, job(tmp_path / "scratch", "change", body, lent={"workspace": folder}))
        assert (folder / "large").read_bytes() == data
        assert (folder / "new").read_text() == "1"
        assert sorted(one.name for one in folder.iterdir()) == ["large", "new"]

    def test_errors_of_ours_arrive_as_themselves(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """With code, message and hint."""  # shows: N14
        with pytest.raises(CheckError) as caught:
            run(dispatch, job(tmp_path, "fail"))
        assert (type(caught.value), caught.value.message, caught.value.hint) == (
            CheckError,
            "it could not look",
            "look again",
        )

    def test_an_unforeseen_error_of_a_doer_is_one(self, dispatch: Dispatch, tmp_path: Path) -> None:
        with pytest.raises(Exception, match="nobody foresaw it"):
            run(dispatch, job(tmp_path, "broken"))

    def test_only_functions_of_ours_are_doers(self, dispatch: Dispatch, tmp_path: Path) -> None:
        for name in ("os:system", "daybreak.testing.doers:_private", "daybreak.nowhere:echo", "daybreak.testing.doers"):
            one = job(tmp_path, "echo")
            with pytest.raises(Exception, match="there is no doer"):
                run(dispatch, Job(key=one.key, doer=name, body={}, scratch=tmp_path, time_s=5))

    def test_lines_come_while_it_works_whole_and_in_order(self, dispatch: Dispatch, tmp_path: Path) -> None:
        parts: list[bytes] = []
        told = [str(number) for number in range(500)] + ["x" * 1_000_000]
        run(dispatch, job(tmp_path, "lines", {"parts": told}), parts.append)
        assert b"".join(parts) == "".join(told).encode()

    def test_what_a_listener_raises_ends_the_job(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """A run that was lost to another owner ends what it has under way."""  # shows: N14
        pids: list[int] = []

        def hear(part: bytes) -> None:
            pids.append(int(part))
            raise RuntimeError("lost to somebody else")

        with pytest.raises(RuntimeError, match="lost to somebody else"):
            run(dispatch, job(tmp_path, "run", {"code": SLEEPS}), hear)
        gone_in(pids[0], 20)

    def test_cancelling_ends_the_whole_process_group(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """Also what has left the session."""  # shows: N14
        cancelled, pids = threading.Event(), list[int]()

        def hear(part: bytes) -> None:
            pids.extend(map(int, part.split()))
            cancelled.set()

        with pytest.raises(Paused):
            dispatch.run(job(tmp_path, "run", {"code": CHILDREN}), cancelled=cancelled, on_line=hear)
        assert len(pids) == 2
        for pid in pids:
            gone_in(pid, 20)

    def test_memory_is_limited_by_us(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """By the guard and the sandbox where it runs, not by what a scheduler was told."""  # shows: N14
        code = "held = bytearray(400 * 1024 * 1024)\nfor at in range(0, len(held), 4096): held[at] = 1"
        box = {"memory_bytes": 64 * 1024 * 1024, "require": "none"}
        told = run(dispatch, job(tmp_path, "run", {"code": code, "sandbox": box})).body
        assert told["memory_cut"]
        assert run(dispatch, job(tmp_path, "echo")).body["body"] == {}  # and who did it is there

    def test_a_job_that_no_machine_can_do_is_refused_at_once(self, dispatch: Dispatch, tmp_path: Path) -> None:
        """Saying what there is."""  # shows: N14
        for needs in (Needs(cpus=5000), Needs(labels=("nobody-has-it",))):
            with pytest.raises(NeedsUnmet, match="processors"):
                run(dispatch, job(tmp_path, "echo", needs=needs))

    def test_many_at_a_time_do_not_get_each_others_answers(self, dispatch: Dispatch, tmp_path: Path) -> None:
        found: dict[int, Any] = {}

        def ask(number: int) -> None:
            found[number] = run(dispatch, job(tmp_path / str(number), "echo", {"number": number})).body["body"]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert found == {number: {"number": number} for number in range(6)}
