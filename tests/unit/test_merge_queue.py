"""Branches are merged one after the other, each only after its checks have passed on the merged result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.merge_desk import MergeDesk, opened
from tests.unit.repository_desk import git, put

from daybreak import events
from daybreak.factory.kinds import merge as kind
from daybreak.factory.merging import branches, joined
from daybreak.factory.merging.branches import NotMergeable
from daybreak.factory.merging.target import NoSuchBranch, Target, TargetDirty
from daybreak.factory.merging.task import MergeWrong
from daybreak.factory.repository.task import RepositoryArgs
from daybreak.host.workspaces import Author

ADD = "def add(one, other):\n    return one + other\n"
MUL = "\n\ndef mul(one, other):\n    return one * other\n"
SUB = "\n\ndef sub(one, other):\n    return one - other\n"
PARSES = "grep -q 'def add' calc.py"
FILES = {
    "check.sh": "test -s notes.txt\n",
    "calc.py": ADD,
    "limit.txt": "5\n",
    "count.txt": "1\n",
    ".gitignore": "__pycache__/\n",
}
WITHIN = 'test "$(cat count.txt)" -le "$(cat limit.txt)"'
"""Passes for a higher count alone and for a lower limit alone, not for both: what no merge of text can see."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[MergeDesk]:
    with opened(tmp_path, FILES) as made:
        yield made


def test_a_branch_that_fails_on_the_merged_result_is_left_out_and_stops_nobody(desk: MergeDesk) -> None:
    """Both branches pass alone and merge without a conflict; together they are wrong."""  # shows: F5
    desk.branch("count", {"count.txt": "4\n"})
    desk.branch("limit", {"limit.txt": "3\n"})
    desk.branch("more", {"notes.txt": "said\n"})

    ended, told = desk.merge("count", "limit", "more", checks=[WITHIN])

    assert ended.state == "done"
    assert [one["branch"] for one in told["merged"]] == ["count", "more"]
    assert [one["branch"] for one in told["left_out"]] == ["limit"]
    assert WITHIN in told["left_out"][0]["why"]
    assert (desk.show("main:count.txt"), desk.show("main:limit.txt")) == ("4\n", "5\n")
    assert desk.show("main:notes.txt") == "said\n"
    parents = git(desk.repo, "log", "-1", "--format=%P", "main").split()
    assert parents[1] == desk.head("more"), "a merge commit says where it comes from"
    assert (desk.repo / "count.txt").read_text() == "4\n", "the files of a clean worktree follow"
    assert git(desk.repo, "status", "--porcelain") == ""


def test_what_git_cannot_merge_is_merged_by_meaning(desk: MergeDesk) -> None:
    """Two functions added at one place are a conflict of lines only."""  # shows: F5
    desk.branch("mul", {"calc.py": ADD + MUL})
    desk.branch("sub", {"calc.py": ADD + SUB})

    _, told = desk.merge("mul", "sub", checks=[PARSES])

    assert [one["by_meaning"] for one in told["merged"]] == [[], ["calc.py"]]
    assert {"def mul", "def sub", "def add"} <= {line.split("(")[0] for line in desk.show("main:calc.py").splitlines()}
    assert "Daybreak-Merged-By-Meaning: calc.py" in git(desk.repo, "log", "-1", "--format=%B", "main")


def test_a_conflict_is_named_and_left_out(desk: MergeDesk) -> None:
    """Nobody's side is taken; the branch that came first stays."""
    desk.branch("four", {"limit.txt": "4\n"})
    desk.branch("six", {"limit.txt": "6\n"})
    desk.branch("gone", {"limit.txt": None})
    lone = git(desk.repo, "commit-tree", git(desk.repo, "rev-parse", "main^{tree}").strip(), "-m", "alone").strip()
    git(desk.repo, "branch", "lone", lone)

    _, told = desk.merge("four", "six", "gone", "lone", checks=["true"])

    assert [one["branch"] for one in told["left_out"]] == ["six", "gone", "lone"]
    assert "cannot merge" in told["left_out"][2]["why"], "it has no common past"
    assert "limit.txt" in told["left_out"][0]["conflicts"][0]
    assert "delete/modify" in told["left_out"][1]["conflicts"][0]
    assert desk.show("main:limit.txt") == "4\n"
    assert "task" not in told["left_out"][0], "nobody is asked to mend what no worker has made"


def test_a_conflict_of_a_worker_becomes_a_task_on_the_target_as_it_is(desk: MergeDesk) -> None:
    """The same workers and checks, the conflict in the brief, and no second one for the same conflict."""  # shows: F5
    branch = desk.deliver({"limit.txt": "4\n"}, check="grep -q 4 limit.txt")
    desk.branch("main", {"limit.txt": "6\n"})
    git(desk.repo, "reset", "-q", "--hard")

    _, told = desk.merge()
    _, again = desk.merge()

    assert [one["branch"] for one in told["left_out"]] == [branch]
    task = desk.task(told["left_out"][0]["task"])
    args = RepositoryArgs.model_validate(task.args)
    assert args.commit == desk.head("main")
    assert args.checks == ("grep -q 4 limit.txt",)
    assert "limit.txt" in args.prompt
    assert "+4" in args.prompt
    assert again["left_out"][0]["task"] == told["left_out"][0]["task"]


def test_what_a_run_verified_stays_true_and_protected(desk: MergeDesk) -> None:
    """A later branch is looked at with the checks of earlier ones; a worker's branch cannot change what judges it; and
    what somebody put on top of a verified branch was verified by nobody."""
    branch = desk.deliver({"notes.txt": "said\n"}, check="sh check.sh")
    args = desk.asked(branch).args
    desk.branch("breaks", {"notes.txt": ""}, base=branch)
    desk.branch("lying", {"check.sh": "true\n"})
    [entry] = args["entries"]
    own = {"branch": "breaks", "commit": desk.head("breaks"), "checks": ["true"]}
    lying = {**entry, "branch": "lying", "commit": desk.head("lying")}

    _, told = desk.run_args({**args, "entries": [entry, own, lying]})

    assert [one["branch"] for one in told["merged"]] == [branch]
    broken, caught = (one["why"] for one in told["left_out"])
    assert "check:1 sh check.sh failed" in broken
    assert "check.sh was changed, and is protected" in caught
    desk.branch("tip", {"notes.txt": "more\n"}, base=branch)
    git(desk.repo, "branch", "-f", branch, "tip")
    with pytest.raises(NotMergeable, match="somebody has changed it"):
        desk.asked(branch)
    assert "run" not in desk.asked(branch, checks=["true"]).args["entries"][0]
    assert branches.delivered(desk.ledger, desk.repo, ()) == []


def test_an_ignored_file_in_the_way_is_never_overwritten(desk: MergeDesk) -> None:
    """Git takes what it ignores for expendable; it is the user's all the same."""  # shows: N6
    desk.branch("adds", {".gitignore": "", "__pycache__/x.txt": "theirs\n"})
    desk.branch("folder", {"__pycache__": "theirs\n"})
    desk.branch("known", {"loose.txt": "theirs\n"})
    put(desk.repo, {"__pycache__/x.txt": "mine\n", "loose.txt": "mine\n"})
    for name in ("adds", "folder", "known"):
        with pytest.raises(TargetDirty, match=r"__pycache__|loose\.txt"):
            Target(desk.repo, "main").move(desk.head(name), desk.head("main"), desk.repo / ".git")
    assert (desk.repo / "__pycache__/x.txt").read_text() == (desk.repo / "loose.txt").read_text() == "mine\n"
    assert desk.head("main") != desk.head("adds")


def test_files_that_go_through_a_filter_are_left_to_the_user(desk: MergeDesk) -> None:
    """A filter is a program that a repository names; none of them is run here."""  # shows: N10
    marker = desk.repo.parent / "ran"
    for key in ("smudge", "clean"):
        git(desk.repo, "config", f"filter.evil.{key}", f"sh -c 'touch {marker}; cat'")
    put(desk.repo, {".git/info/attributes": "*.txt filter=evil\n"})
    desk.branch("count", {"count.txt": "4\n"})
    with pytest.raises(TargetDirty, match="filter"):
        Target(desk.repo, "main").move(desk.head("count"), desk.head("main"), desk.repo / ".git")
    (desk.repo / "count.txt").write_text("7\n")
    with pytest.raises(TargetDirty, match=r"count\.txt"):
        Target(desk.repo, "main").refuse_dirty()
    assert not marker.exists()


def test_uncommitted_work_stops_it_before_anything_happens(desk: MergeDesk) -> None:
    """Refused when asked for; parked where it became so later; the file stays as it was."""  # shows: N6
    desk.branch("count", {"count.txt": "4\n"})
    put(desk.repo, {"untracked.txt": "mine\n"})  # which is nobody's business
    asked = desk.asked("count", checks=["true"])
    (desk.repo / "count.txt").write_text("mine\n")

    with pytest.raises(TargetDirty, match=r"count\.txt"):
        desk.asked("count", checks=["true"])
    ended = desk.supervise(asked)

    assert ended.state == "parked"
    assert "count.txt" in ended.question
    assert (desk.repo / "count.txt").read_text() == "mine\n"
    assert desk.show("main:count.txt") == "1\n"


def test_a_target_that_moves_meanwhile_is_joined_and_looked_at_again(
    desk: MergeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare and swap: somebody's commit in between is never lost."""  # shows: F5
    desk.branch("count", {"count.txt": "4\n"})
    git(desk.repo, "checkout", "-q", "-b", "elsewhere")
    move = Target.move
    turns: list[str] = []

    def late(self: Target, new: str, old: str, objects: Path) -> bool:
        if not turns:
            turns.append(desk.branch("main", {"notes.txt": "said\n"}, base="main"))
        return move(self, new, old, objects)

    monkeypatch.setattr(Target, "move", late)
    _, told = desk.merge("count", checks=["true"])

    assert len(told["merged"]) == 1
    assert desk.show("main:notes.txt") == "said\n"
    assert desk.show("main:count.txt") == "4\n"
    assert not (desk.repo / "notes.txt").exists(), "who has another branch checked out sees nothing of it"


def test_files_follow_when_the_owner_died_right_after_the_branch(
    desk: MergeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moving once more brings the files, and nothing else."""  # shows: N1
    desk.branch("count", {"count.txt": "4\n", "notes.txt": "said\n"})
    old, new = desk.head("main"), desk.head("count")
    with monkeypatch.context() as patched:
        patched.setattr("daybreak.factory.merging.target._follow", lambda *_: None)
        assert Target(desk.repo, "main").move(new, old, desk.repo / ".git")
    assert (desk.repo / "count.txt").read_text() == "1\n"
    for _ in range(2):
        assert Target(desk.repo, "main").move(new, old, desk.repo / ".git")
        assert (desk.repo / "count.txt").read_text() == "4\n"
        assert git(desk.repo, "status", "--porcelain") == ""


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.unit.merge_desk import opened
from daybreak.factory.merging import target
target._follow = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with opened(Path({folder!r}), {{}}) as desk:
    print(desk.submit(desk.asked("count", "more", checks=["true"])), flush=True)
    desk.finish()
"""


@pytest.mark.chaos
def test_a_kill_between_branch_and_files_is_mended_on_resume(tmp_path: Path) -> None:
    """The branch moved, its owner died before the files followed: the next one brings them."""
    # shows: N1
    with opened(tmp_path, FILES) as desk:
        desk.branch("count", {"count.txt": "4\n"})
        desk.branch("more", {"notes.txt": "said\n"})
    script = textwrap.dedent(KILLED.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path)))
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with opened(tmp_path, FILES) as desk:
        assert desk.show("main:count.txt") == "4\n"
        assert (desk.repo / "count.txt").read_text() == "1\n"
        ended, told = desk.resume(done.stdout.strip())
        assert [one["branch"] for one in told["merged"]] == ["count", "more"]
        assert (desk.repo / "count.txt").read_text() == "4\n"
        assert git(desk.repo, "status", "--porcelain") == ""
        assert git(desk.repo, "rev-list", "--merges", "--count", "main").strip() == "2"
        assert ended.state == "done"


def test_bad_words_are_refused_before_anything_is_recorded(desk: MergeDesk) -> None:
    """Names and checks that cannot be are said at once."""
    with pytest.raises(NotMergeable, match="there is no branch 'nothing'"):
        desk.asked("nothing", checks=["true"])
    with pytest.raises(NotMergeable, match="no run of this ledger"):
        desk.asked(desk.branch("own", {"count.txt": "2\n"}))
    with pytest.raises(NoSuchBranch):
        desk.asked("own", into="trunk", checks=["true"])
    with pytest.raises(MergeWrong, match="into itself"):
        desk.asked("main", checks=["true"])
    with pytest.raises(MergeWrong, match="a check is empty"):
        desk.asked("own", checks=[" "])


def test_the_evidence_of_every_merge_stands_in_the_ledger(desk: MergeDesk) -> None:
    """What was looked at names the merged tree, its blobs are known, and a second run changes nothing."""
    desk.branch("count", {"count.txt": "4\n"})
    ended, told = desk.merge("count", checks=[WITHIN])

    looked = desk.events(ended.run, events.CheckLooked)
    decided = desk.events(ended.run, events.GateDecided)
    delivered = desk.events(ended.run, events.Delivered)
    assert [one.evidence["workspace"] for one in looked] == [decided[0].workspace]
    assert delivered[0].workspace == decided[0].workspace
    assert told["merged"][0]["commit"][:12] in delivered[0].output
    blobs = [blob for event in desk.events(ended.run) for blob in kind.blobs_of(event)]
    assert len(blobs) >= 3
    assert all(desk.ledger.get_blob(blob) for blob in blobs)
    before = desk.head("main")
    _, again = desk.merge("count", checks=[WITHIN])
    assert [one["branch"] for one in again["already"]] == ["count"]
    assert desk.head("main") == before


def test_joining_keeps_modes_and_says_what_it_cannot_decide(tmp_path: Path) -> None:
    """An executable stays one; a link against a file, and a file against a folder, are conflicts."""
    with opened(tmp_path, {**FILES, "run.py": "print(1)\n"}) as desk:
        desk.branch("mode", {"run.py": "print(1)\n\n\ndef one():\n    return 1\n"}, executable=["run.py"])
        desk.branch("text", {"run.py": "print(1)\n\n\ndef two():\n    return 2\n"})
        desk.branch("link", {"count.txt": Path("limit.txt")})
        desk.branch("count", {"count.txt": "4\n"})
        desk.branch("one", {"new.txt": "one\n"})
        desk.branch("two", {"new.txt": "two\n"})
        git_dir = desk.repo / ".git"
        made = joined.join(git_dir, desk.head("mode"), desk.head("text"))
        assert made.by_meaning == ("run.py",)
        commit = joined.commit(git_dir, made.tree, [desk.head("mode")], "m", Author("a", "a@b"), 0)
        assert git(desk.repo, "ls-tree", commit, "run.py").startswith("100755")
        assert commit == joined.commit(git_dir, made.tree, [desk.head("mode")], "m", Author("a", "a@b"), 0)
        assert joined.join(git_dir, desk.head("link"), desk.head("count")).clashes
        [clash] = joined.join(git_dir, desk.head("one"), desk.head("two")).clashes
        assert (clash.kind, clash.ours, clash.theirs) == ("add/add", "one\n", "two\n")
        with pytest.raises(joined.NotJoined):
            joined.join(git_dir, desk.head("one"), "0" * 40)


def test_a_bare_repository_and_a_linked_worktree_are_served(tmp_path: Path) -> None:
    """A branch that nobody has checked out moves alone; one in a linked worktree takes that worktree's files along."""
    with opened(tmp_path, FILES) as desk:
        linked = tmp_path / "linked"
        git(desk.repo, "checkout", "-q", "--detach")
        git(desk.repo, "worktree", "add", "-q", str(linked), "main")
        desk.branch("count", {"count.txt": "4\n"})
        assert Target(desk.repo, "main").worktree() == linked.resolve()
        _, told = desk.merge("count", checks=["true"])
        assert told["merged"]
        assert (linked / "count.txt").read_text() == "4\n"
        (linked / "count.txt").write_text("mine\n")
        with pytest.raises(TargetDirty):
            Target(desk.repo, "main").refuse_dirty()
        bare = tmp_path / "bare.git"
        git(tmp_path, "clone", "-q", "--bare", str(desk.repo), str(bare))
        assert Target(bare, "main").worktree() is None
        Target(bare, "main").refuse_dirty()


def test_a_rebase_in_the_middle_is_in_the_way(desk: MergeDesk) -> None:
    """Git is about to write there itself."""
    (desk.repo / ".git" / "MERGE_HEAD").write_text(desk.head("main") + "\n")
    with pytest.raises(TargetDirty, match="in the middle"):
        Target(desk.repo, "main").refuse_dirty()


def test_the_command_merges_and_says_what_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`daybreak merge`: one document, and a status that a script can go by; `--queue` leaves it to the night."""
    from typer.testing import CliRunner

    from daybreak.cli.main import app

    with opened(tmp_path, FILES) as desk:
        desk.branch("count", {"count.txt": "4\n"})
        desk.branch("six", {"count.txt": "6\n"})
        repo = desk.repo
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "other-home"))
    words = ["merge", "--repo", str(repo), "count", "six", "--check", "true"]
    queued = CliRunner().invoke(app, [*words, "--queue", "--json"])
    assert queued.exit_code == 0, queued.output
    assert json.loads(queued.stdout)["run"].startswith("run-")
    done = CliRunner().invoke(app, [*words, "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [one["branch"] for one in told["merged"]] == ["count"]
    assert "count.txt" in told["left_out"][0]["conflicts"][0]
    shown = CliRunner().invoke(app, ["merge", "--repo", str(repo), "count", "--check", "true"])
    assert shown.exit_code == 0
    assert "already   count" in shown.stdout
