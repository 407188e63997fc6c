"""What a run delivered is taken back: all of it can be got back, what changed since is refused, and a crash between any
two steps is finished by saying it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit import merge_desk
from tests.unit.repository_desk import ADD, SUB
from tests.unit.verdict_scene import ADA, CHECK, Scene, files, gate, git, step

from daybreak import events
from daybreak.engine import verdicts as said
from daybreak.factory import deliver, verdicts
from daybreak.factory.blobs import blobs_of
from daybreak.factory.verdicts.hands import UndoRefused
from daybreak.factory.verdicts.standing import NotFinished
from daybreak.factory.verdicts.undoing import NothingToUndo
from daybreak.host.locks import FileLocks, LockHeld
from daybreak.ledger import Ledger


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def words(ledger: Ledger, run: str) -> list[str]:
    return [record.type for record in ledger.read(events.control_stream(run))]


# -- folders


def test_a_folder_moves_aside_and_what_it_had_replaced_is_there_again(scene: Scene) -> None:
    """The newest delivery first; a plan touches nothing, twice is once, and not a byte is lost."""  # shows: F14
    out = scene.base / "out"
    with scene.ledger() as ledger:
        first = scene.build(ledger, out, "one")
        before = files(out)
        second = scene.build(ledger, out, "two")
        with pytest.raises(UndoRefused, match=f"was delivered by run {second} since") as refused:
            scene.undo(ledger, first)
        assert f"daybreak undo {second}" in refused.value.hint

        planned = scene.plan(ledger, second)
        assert (planned.undone, planned.changed) == (False, False)
        assert "the delivery that it replaced is there again" in planned.parts[0].done
        assert words(ledger, second) == []
        assert (out / "main.py").read_text() == "two"

        done = scene.undo(ledger, second)
        assert (done.undone, done.changed) == (True, True)
        assert files(out) == before
        assert Path(done.parts[0].kept, "main.py").read_text() == "two"
        assert words(ledger, second) == ["result.undoing", "result.undone"]
        once = scene.undo(ledger, second)
        assert (once.undone, once.changed, once.parts) == (True, False, done.parts)

        assert "nothing was there before" in scene.undo(ledger, first).parts[0].done
        assert not out.exists()
        assert sorted(path.name for path in scene.base.glob("out*")) == sorted(
            [f"out.undone-{first}", f"out.undone-{second}"]
        )
        assert [said.of(ledger, run).word for run in (first, second)] == ["undone", "undone"]  # type: ignore[union-attr]
        kept = next(one for one in ledger.read(events.run_stream(second)) if isinstance(one.event, events.StepDone))
        assert len(list(blobs_of(kept.event))) == 1, "a snapshot keeps what was replaced"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda out: (out / "main.py").write_text("mine"), "changed main.py"),
        (lambda out: (out / "mine.txt").write_text("mine"), "added mine.txt"),
        (lambda out: (out / "main.py").unlink(), "removed main.py"),
        (lambda out: (out / deliver.MANIFEST).unlink(), f"removed {deliver.MANIFEST}"),
        (lambda out: (out / ".git").mkdir(), "added .git"),
        (lambda out: (out / "link").symlink_to("/etc"), "link"),
    ],
)
def test_a_folder_that_somebody_changed_stays(scene: Scene, change: Callable[[Path], object], told: str) -> None:
    """It is named what changed, and no intent is recorded."""  # shows: F14, F16
    out = scene.base / "out"
    with scene.ledger() as ledger:
        run = scene.build(ledger, out, "one")
        change(out)
        before = sorted(path.name for path in out.iterdir())
        for attempt in (scene.plan, scene.undo):
            with pytest.raises(UndoRefused, match="changed since") as refused:
                attempt(ledger, run)
            assert told in refused.value.message
        assert sorted(path.name for path in out.iterdir()) == before
        assert words(ledger, run) == []


def test_what_is_in_the_way_or_gone_is_said(scene: Scene) -> None:
    """Nobody's folder is replaced, a result that was moved away is nobody's loss, and two do not undo at once."""
    # shows: F14
    out = scene.base / "out"
    with scene.ledger() as ledger:
        run = scene.build(ledger, out, "one")
        aside = out.with_name(f"out.undone-{run}")
        aside.mkdir()
        with pytest.raises(UndoRefused, match="is in the way"):
            scene.undo(ledger, run)
        aside.rmdir()
        with FileLocks(scene.places.locks, scene.around["clock"]).hold(f"verdict-{run}"), pytest.raises(LockHeld):
            scene.undo(ledger, run)
        out.rename(scene.base / "elsewhere")
        assert "not there any more" in scene.undo(ledger, run).parts[0].done

        busy = scene.run(ledger, "build", {}, [], "running")
        with pytest.raises(NotFinished):
            scene.undo(ledger, busy)
        command = scene.run(ledger, "command", {}, [gate("passed")])
        with pytest.raises(NothingToUndo, match="only its author knows"):
            scene.undo(ledger, command)
        issues = scene.run(ledger, "issues", {}, [step("add", [{"number": 1, "run": "run-x"}])])
        with pytest.raises(NothingToUndo, match="run-x"):
            scene.undo(ledger, issues)


# -- branches


def test_a_branch_that_nobody_merged_goes_and_its_commit_stays(scene: Scene) -> None:
    """A request outside is named and not called undone."""  # shows: F13, F14
    with scene.ledger() as ledger:
        run, repo = scene.branch(ledger, offer=True)
        name = f"daybreak/{run}"
        commit = git(repo, "rev-parse", name).strip()
        git(repo, "checkout", "-q", name)
        with pytest.raises(UndoRefused, match="is checked out"):
            scene.undo(ledger, run)
        git(repo, "checkout", "-q", "main")
        done = scene.undo(ledger, run)
        assert done.remains == ("the request https://hub.example/ada/calc/pull/7: close it there",)
        assert git(
            repo, "for-each-ref", "--format=%(refname) %(objectname)", "refs/daybreak", "refs/heads/daybreak"
        ) == (f"refs/daybreak/undone/{run} {commit}\n")
        assert said.of(ledger, run).remains == done.remains  # type: ignore[union-attr]


def test_a_branch_that_moved_or_that_others_build_on_stays(scene: Scene) -> None:
    """The commits are named."""  # shows: F13, F14
    with scene.ledger() as ledger:
        run, repo = scene.branch(ledger)
        git(repo, "branch", "daybreak/run-other", f"daybreak/{run}")
        with pytest.raises(UndoRefused, match="daybreak/run-other"):
            scene.undo(ledger, run)
        git(repo, "branch", "-q", "-D", "daybreak/run-other")
        git(repo, "checkout", "-q", f"daybreak/{run}")
        (repo / "calc.py").write_text(ADD)
        git(repo, "commit", "-q", "-a", "-m", "mine on top")
        git(repo, "checkout", "-q", "main")
        with pytest.raises(UndoRefused, match="mine on top"):
            scene.undo(ledger, run)
        assert git(repo, "for-each-ref", "refs/daybreak") == ""
        assert words(ledger, run) == []


def test_what_was_merged_is_reverted_by_the_merge_queue(tmp_path: Path) -> None:
    """With what came since kept, and undone only when that is merged; the merge itself can be undone as well."""
    # shows: F13, F14
    with merge_desk.opened(tmp_path, {"calc.py": ADD, "other.py": "x = 1\n"}) as desk:
        around = {**Scene(tmp_path).around, "places": desk.places}
        branch = desk.deliver({"calc.py": ADD + SUB}, check=CHECK)
        (run,) = desk.runs
        merged, _ = desk.merge(branch)
        desk.branch("later", {"other.py": "x = 2\n"}, base="main")
        git(desk.repo, "merge", "-q", "--no-edit", "later")
        first = verdicts.undo(desk.ledger, run, actor=ADA, **around)
        assert not first.undone
        assert "revert -m 1" in first.parts[0].done
        assert verdicts.undo(desk.ledger, run, actor=ADA, **around).waits == first.waits, "one task, however often"
        assert "result.undone" not in words(desk.ledger, run)
        (waits,) = first.waits
        _, outcome = desk.resume(waits)
        assert outcome["verdict"] == "passed"
        done = verdicts.undo(desk.ledger, run, actor=ADA, **around)
        assert done.undone
        assert (desk.show("main:calc.py"), desk.show("main:other.py")) == (ADD, "x = 2\n")
        assert desk.branches() == ["later", "main"]
        assert git(desk.repo, "for-each-ref", "--format=%(refname)", "refs/daybreak").split() == [
            f"refs/daybreak/undone/{run}"
        ]
        whole = verdicts.plan(desk.ledger, merged.run, **around)
        assert whole.parts[0].done == "reverted in main", "there is nothing left of it"


def test_a_merge_without_a_check_is_refused_with_the_command(scene: Scene) -> None:
    """By whom it was merged does not matter; with a check it becomes a task, killed between branch and task or not."""
    # shows: F13, F14
    with scene.ledger() as ledger:
        run, repo = scene.branch(ledger)
        git(repo, "merge", "-q", "--ff-only", f"daybreak/{run}")
        git(repo, "branch", "release")
        commit = git(repo, "rev-parse", "--short=12", "main").strip()
        with pytest.raises(UndoRefused, match=r"main, release"):
            scene.plan(ledger, run)
        assert f"revert {commit}" in scene.plan(ledger, run, into="main").parts[0].done
        own = scene.run(ledger, "validate", {"delivery": "branch", "root": str(repo)}, [
            step("take", {"commit": "x", "bundle": "y"}),
            step("deliver", {"output": f"{repo} (branch daybreak/x, commit {commit})", "manifest": "", "patch": ""}),
        ])  # fmt: skip
        git(repo, "branch", f"daybreak/{own}", "main")
        git(repo, "branch", "-q", "-D", "release", f"daybreak/{run}")
        with pytest.raises(UndoRefused) as refused:
            scene.undo(ledger, own)
        assert f"git -C {repo} revert {commit}" in refused.value.hint


# -- in place


def test_files_go_back_unless_one_of_them_changed(scene: Scene) -> None:
    """All or none; what else is in the folder stays, and the patch brings it all back."""  # shows: F5, F14
    with scene.ledger() as ledger:
        run, project = scene.in_place(ledger)
        (project / "unrelated.txt").write_text("mine")
        delivered = files(project)
        (project / "a.txt").write_text("mine")
        with pytest.raises(UndoRefused, match=r"changed since they were delivered: a\.txt") as refused:
            scene.undo(ledger, run)
        assert refused.value.changed == ("a.txt",)
        (project / "a.txt").write_text("A\n")
        done = scene.undo(ledger, run)
        assert files(project) == {
            "a.txt": "a\n", "b.txt": "b\n", "gone.txt": "was here\n", "unrelated.txt": "mine",
        }  # fmt: skip
        patch = done.parts[0].kept.partition(" (")[0]
        git(project, "apply", patch)
        assert files(project) == delivered


def test_a_patch_file_moves_aside(scene: Scene) -> None:
    """Unless it changed."""  # shows: F14
    path = scene.base / "fix.patch"
    with scene.ledger() as ledger:
        blob = ledger.put_blob(b"patch")
        told = [step("take", {}), step("deliver", {"output": str(path), "manifest": "", "patch": blob})]
        run = scene.run(ledger, "validate", {"delivery": "patch"}, told)
        path.write_bytes(b"changed")
        with pytest.raises(UndoRefused, match="changed since"):
            scene.undo(ledger, run)
        path.write_bytes(b"patch")
        assert Path(scene.undo(ledger, run).parts[0].kept).read_bytes() == b"patch"
        assert not path.exists()


# -- killed


def _folder(scene: Scene, ledger: Ledger) -> tuple[str, Callable[[], object]]:
    out = scene.base / "out"
    scene.build(ledger, out, "one")
    run = scene.build(ledger, out, "two")
    return run, lambda: (files(out)["main.py"], files(out.with_name(f"out.undone-{run}"))["main.py"])


def _branch(scene: Scene, ledger: Ledger) -> tuple[str, Callable[[], object]]:
    run, repo = scene.branch(ledger)
    return run, lambda: git(repo, "for-each-ref", "--format=%(refname)", "refs/daybreak", "refs/heads/daybreak")


def _reverted(scene: Scene, ledger: Ledger) -> tuple[str, Callable[[], object]]:
    run, repo = scene.branch(ledger)
    git(repo, "merge", "-q", "--no-ff", "--no-edit", f"daybreak/{run}")

    def seen() -> object:
        with scene.ledger() as again:
            tasks = [one.event for one in again.read(events.QUEUE) if isinstance(one.event, events.TaskAdded)]
        revert = git(repo, "rev-parse", f"daybreak/undo-{run}^{{tree}}", "main^1^{tree}").split()
        return [task.kind for task in tasks], revert[0] == revert[1]

    return run, seen


def _changed(scene: Scene, ledger: Ledger) -> tuple[str, Callable[[], object]]:
    run, project = scene.in_place(ledger)
    return run, lambda: (files(project), sorted(path.name for path in scene.base.glob("*.patch")) != [])


EXPECTED = {
    _folder: ("one", "two"),
    _reverted: (["repository", "merge"], True),
    _changed: ({"a.txt": "a\n", "b.txt": "b\n", "gone.txt": "was here\n"}, True),
}


@pytest.mark.parametrize(
    ("make", "points"),
    [
        (_folder, ["looked", "intended", "staged", "renamed", "done", "said"]),
        (_branch, ["kept"]),
        (_reverted, ["branched"]),
        pytest.param(_branch, ["looked", "intended", "removed", "done", "said"], marks=pytest.mark.chaos),
        pytest.param(_reverted, ["looked", "intended", "queued", "done"], marks=pytest.mark.chaos),
        pytest.param(_changed, ["looked", "intended", "kept", "changed", "done", "said"], marks=pytest.mark.chaos),
    ],
)
def test_a_kill_at_any_step_is_finished_by_saying_it_again(
    scene: Scene, make: Callable[[Scene, Ledger], tuple[str, Callable[[], object]]], points: list[str]
) -> None:
    """Killed at each point in turn, every time anew from what the kill before has left."""  # shows: N5, F14
    for number, point in enumerate(points):
        own = Scene(scene.base / str(number))
        own.base.mkdir()
        with own.ledger() as ledger:
            run, seen = make(own, ledger)
        assert own.killed_at(run, point), point
        with own.ledger() as ledger:
            done = own.undo(ledger, run)
            told = words(ledger, run)
        assert done.undone or done.waits
        assert told == ["result.undoing", *(["result.undone"] if done.undone else [])], point
        expected = EXPECTED.get(make, f"refs/daybreak/undone/{run}\n")
        assert seen() == expected, point
