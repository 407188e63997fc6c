"""Recovery: what it does with records that lie, and with what others have changed since the crash."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.host import files as host_files
from daybreak.host.files import applying, recover, transaction

WORK = ".daybreak-transaction"


def look(root: Path) -> dict[str, str | None]:
    return {
        place.relative_to(root).as_posix(): None if place.is_dir() else place.read_text() for place in root.rglob("*")
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    (place / "sub").mkdir(parents=True)
    (place / "a").write_text("a")
    (place / "sub" / "b").write_text("b")
    return place


def crash(root: Path, steps_done: int, *, back: bool = False) -> None:
    """A process that dies in the middle of its commit (or, with `back`, of undoing it)."""
    child = os.fork()
    if child == 0:
        try:
            real = applying.Applier.forward

            def forward(self: applying.Applier, steps: Any, pause: Any) -> None:
                real(self, steps[:steps_done])
                if back:
                    raise OSError(5, "Input/output error")
                os.kill(os.getpid(), signal.SIGKILL)

            applying.Applier.forward = forward  # type: ignore[method-assign]
            applying.Applier.back = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
            with transaction(root) as files:
                files.write("a", "new a")
                files.write("new/file", "new")
                files.delete("sub/b")
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


AFTER = {"a": "new a", "new": None, "new/file": "new", "sub": None}
BEFORE = {"a": "a", "sub": None, "sub/b": "b"}


@pytest.mark.parametrize("done", range(5))
@pytest.mark.parametrize("back", [False, True])
def test_recovery_says_what_it_did(root: Path, done: int, *, back: bool) -> None:
    """Forward or back, with the paths; a second time there is nothing to do."""
    # shows: N4
    crash(root, done, back=back)
    found = recover(root)
    assert found == host_files.Recovery("back" if back else "forward", ("a", "new/file", "sub/b"), ())
    assert look(root) == (BEFORE if back else AFTER)
    assert recover(root) == host_files.Recovery()


def test_the_next_transaction_recovers_first(root: Path) -> None:
    """Nobody needs to call `recover`."""
    crash(root, 1)
    with transaction(root) as files:
        assert files.recovered.outcome == "forward"
        assert files.read("new/file") == b"new"


def test_what_had_not_come_to_its_commit_is_cleaned_away(root: Path) -> None:
    """A work folder without a record is removed."""
    (root / WORK).mkdir()
    (root / WORK / "12345678-0").write_text("staged")
    assert recover(root) == host_files.Recovery("cleaned")
    assert look(root) == BEFORE


@pytest.mark.parametrize("done", range(5))
@pytest.mark.parametrize("back", [False, True])
def test_what_others_put_there_after_the_crash_is_kept(root: Path, done: int, *, back: bool) -> None:
    """Recovery completes or undoes, and everything that somebody else wrote meanwhile is still there, and named."""
    # shows: N4
    crash(root, done, back=back)
    for name in ("a", "new/file", "sub/b"):
        place = root / name
        place.parent.mkdir(exist_ok=True)
        place.with_name("theirs").write_text(f"theirs {name}")
        place.with_name("theirs").replace(place)
    found = recover(root)
    after = look(root)
    kept = {path: text for path, text in after.items() if text and text.startswith("theirs")}
    assert sorted(kept.values()) == ["theirs a", "theirs new/file", "theirs sub/b"], "nothing of theirs is lost"
    assert not (root / WORK).exists()
    assert set(found.kept) <= {*kept, "new"}
    if back:
        # What the transaction had taken away is there again; the rest they had replaced themselves.
        assert ("a" in after.values()) == (done >= 2)
        assert ("b" in after.values()) == (done >= 4)
    else:
        # What the transaction had not put there yet is there now; the rest they replaced afterwards.
        assert ("new a" in after.values()) == (done < 2)
        assert ("new" in after.values()) == (done < 3)


@pytest.mark.parametrize("done", range(5))
@pytest.mark.parametrize("back", [False, True])
def test_what_others_removed_after_the_crash_stops_nobody(root: Path, done: int, *, back: bool) -> None:
    """Recovery ends, whatever is missing."""
    crash(root, done, back=back)
    for name in ("a", "new/file", "sub/b"):
        (root / name).unlink(missing_ok=True)
    assert recover(root).outcome == ("back" if back else "forward")
    assert not (root / WORK).exists()


def record(root: Path, steps: object, name: str = "intent") -> None:
    body = json.dumps(steps).encode()
    (root / WORK).mkdir(exist_ok=True)
    (root / WORK / name).write_bytes(b"daybreak-intent-1 " + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


SLOT = f"{WORK}/00000000-0"


@pytest.mark.parametrize(
    "steps",
    [
        *([["make", "../outside/x"]], [["make", "/tmp/x"]], [["make", f"{WORK}/x"]], [["make", 3]], [["make"]], 3, {}),
        *([["move", "a", "../outside/a", 1]], [["move", "../outside/precious", "a", 1]], [["move", "a", "b", "1"]]),
        *([["swap", "../outside/precious", SLOT, None, ["file", 1, 1, 1]]], [["swap", "a", SLOT, None, None]]),
        [["swap", "a", "../outside/precious", ["file", 1, 1, 1], None]],
        [["swap", "a", f"{WORK}/../../outside/precious", ["file", 1, 1, 1], None]],
        [["swap", "a", SLOT, ["file", 1, 1], None]],
        [["swap", "a", SLOT, ["pipe", 1, 1, 1], None]],
        *([["explode", "a"]], [[]], [3]),
    ],
)
def test_a_record_that_leads_out_of_the_root_is_refused(root: Path, tmp_path: Path, steps: object) -> None:
    """With a right checksum and wrong steps: IntentDamaged, nothing is touched, nothing is removed."""
    # shows: N9 P8
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    record(root, steps)
    for _ in range(2):
        with pytest.raises(host_files.IntentDamaged) as caught:
            recover(root)
        assert caught.value.hint
    assert look(outside) == {"precious": "precious"}
    assert (root / WORK / "intent").exists()
    assert (root / "a").read_text() == "a"


def test_a_true_record_beside_a_link_does_not_lead_out(root: Path, tmp_path: Path) -> None:
    """A folder of the record has become a symbolic link: neither way is gone, and the record is kept."""
    # shows: N9
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b").write_text("precious")
    crash(root, 0)
    (root / "sub").rename(root / "was-sub")
    (root / "sub").symlink_to(outside)
    with pytest.raises(host_files.NotRecovered), transaction(root):
        pass
    assert look(outside) == {"b": "precious"}
    (root / "sub").unlink()
    (root / "was-sub").rename(root / "sub")
    recover(root)
    assert look(root) in (BEFORE, AFTER)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), cut=st.floats(0, 1, exclude_max=True))
def test_a_damaged_record_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, damage: tuple[float, int], cut: float
) -> None:
    """Any byte changed, any end cut off: IntentDamaged, and the files stay as the crash left them."""
    # shows: N14
    root = tmp_path_factory.mktemp("damaged")
    (root / "a").write_text("a")
    record(root, [["swap", "a", SLOT, ["file", 1, 1, 1], ["file", (root / "a").stat().st_ino, 1, 1]]])
    good = (root / WORK / "intent").read_bytes()
    at = int(damage[0] * len(good))
    for bad in (good[:at] + bytes([good[at] ^ damage[1]]) + good[at + 1 :], good[: int(cut * len(good))]):
        (root / WORK / "intent").write_bytes(bad)
        with pytest.raises(host_files.IntentDamaged):
            recover(root)
    assert (root / "a").read_text() == "a"


def test_recovery_that_cannot_go_forward_goes_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when recovery comes: all is undone instead, and said so."""
    # shows: N4 N14
    crash(root, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(applying.Applier, "forward", full)
    assert recover(root).outcome == "back"
    assert look(root) == BEFORE


def test_recovery_that_can_go_neither_way_keeps_the_record(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails altogether: NotRecovered, again and again, until it is mended; then all is well."""
    # shows: N4 N14 F16
    crash(root, 2)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(applying.Applier, "forward", broken)
        patch.setattr(applying.Applier, "back", broken)
        for enter in (recover, lambda root: transaction(root).__enter__()):
            with pytest.raises(host_files.NotRecovered):
                enter(root)
    recover(root)
    assert look(root) in (BEFORE, AFTER)


def test_a_file_that_cannot_be_removed_afterwards_does_not_undo_a_commit(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cleaning up fails: the transaction is committed all the same, and the next one cleans up."""
    module: Any = __import__("sys").modules["daybreak.host.files.transaction"]
    real: Callable[..., None] = module.clean_up

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "clean_up", fails)
    with transaction(root) as files:
        files.write("a", "new a")
        files.write("new/file", "new")
        files.delete("sub/b")
    assert files.committed
    assert (root / WORK / "done").exists()
    monkeypatch.setattr(module, "clean_up", real)
    (root / "a").write_text("later")
    assert recover(root).outcome == "cleaned"
    assert look(root) == {**AFTER, "a": "later"}
