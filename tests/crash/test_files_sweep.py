"""A transaction stopped at every call that changes the disk, in a forked process: before it, after it, refused.

The program's own view, which is fast and sees everything; `test_files_kill` does the same from outside with strace.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daybreak.host.files import NotRecovered, system
from daybreak.host.files.disk import Disk


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("files_scene", Path(__file__).with_name("files_scene.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scene = _load()
CALLS = (
    *("write", "mkdir", "rmdir", "rename", "replace", "link", "unlink", "symlink", "fsync", "chmod", "fchmod"),
    *("fchown", "utime", "setxattr", "copy_file_range", "ftruncate"),
)
ALL = [pytest.param(mode, 1, id=f"{mode}-all", marks=pytest.mark.chaos) for mode in scene.MODES]
EVERY = {"exchange": 12, "steps": 26, "copies": 26, "plain": 13}
SWEEPS = [*(pytest.param(mode, EVERY[mode], id=f"{mode}-short") for mode in scene.MODES), *ALL]
"""The system and how many calls are between two strikes."""
AFTER_SIGNAL = {"SIGINT": 130, "SIGTERM": 143}


class Strike:
    """Counts the calls that change the disk, and does something at the n-th."""

    def __init__(self, when: int, what: Callable[[], None], *, after: bool) -> None:
        self.count = 0
        self.when, self.what, self.after = when, what, after

    def install(self) -> None:
        os.fsync = lambda _: None  # the machine goes on, so nothing is lost without it, and it is slow
        for name in CALLS:
            setattr(os, name, self.wrapped(getattr(os, name)))
        real = os.open
        striking = self.wrapped(real)
        os.open = lambda path, flags, *a, **k: (striking if flags & os.O_CREAT else real)(path, flags, *a, **k)  # type: ignore[assignment]
        system.rename_with = self.wrapped(system.rename_with)

    def wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def struck(*args: Any, **named: Any) -> Any:
            self.count += 1
            mine = self.count == self.when
            if mine and not self.after:
                self.what()
            try:
                return call(*args, **named)
            finally:
                if mine and self.after:
                    self.what()

        return struck


def in_child(work: Callable[[], int]) -> int:
    """The exit status of `work` in a forked process; negative: the signal that ended it."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            status = work()
        except SystemExit as left:
            status = int(left.code or 0)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sweep(
    tmp: Path,
    mode: str,
    what: Callable[[], None],
    check: Callable[[Path, int], None],
    *,
    every: int = 1,
    after: bool = False,
) -> int:
    """Strike at the first call, then at every n-th until there are no more; the number of calls."""
    when = 1 - every
    while True:
        when += every
        root = tmp / str(when) / "root"
        root.mkdir(parents=True)
        scene.lay_out(root)
        strike = Strike(when, what, after=after)

        def work(root: Path = root, strike: Strike = strike) -> int:
            scene.use(mode)
            strike.install()
            status: int = scene.main(root, mode)
            return status if strike.count >= strike.when else 50 + status

        status = in_child(work)
        shutil.rmtree(root.parent / "source")
        if status == 50:
            return when - 1
        check(root, status)
        shutil.rmtree(root.parent)


def states(tmp: Path, mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the folder looks like before and after."""
    root = tmp / "states" / "root"
    root.mkdir(parents=True)
    scene.lay_out(root)
    before = scene.look(root)
    assert in_child(lambda: int(scene.main(root, mode))) == 0
    (root / (".daybreak-transaction.lock")).unlink(missing_ok=True)
    return before, scene.look(root)


def recovered(root: Path, mode: str) -> dict[str, Any]:
    """The folder once recovery has run, by another process of the same system."""

    def work() -> int:
        scene.use(mode)
        scene.sys.modules["daybreak.host.files.transaction"].recover(root)
        return 0

    assert in_child(work) == 0, f"recovery failed in {root}"
    (root / ".daybreak-transaction.lock").unlink(missing_ok=True)
    found: dict[str, Any] = scene.look(root)
    return found


@pytest.mark.parametrize(("mode", "every"), [pytest.param("exchange", 6, id="exchange-short"), *SWEEPS[1:]])
def test_killed_before_any_change_of_the_disk_recovery_gives_all_or_none(tmp_path: Path, mode: str, every: int) -> None:
    """SIGKILL before each call that changes something, in each kind of system: afterwards all is old or all is new."""
    # shows: N4 X4 N14
    before, after = states(tmp_path, mode)
    outcomes = []

    def check(root: Path, status: int) -> None:
        assert status == -signal.SIGKILL
        outcomes.append(recovered(root, mode))
        assert outcomes[-1] in (before, after)

    assert sweep(tmp_path, mode, kill, check, every=every) > 80
    first_new = outcomes.index(after)
    assert outcomes == [before] * first_new + [after] * (len(outcomes) - first_new), "once it is new, it is new"
    assert first_new < len(outcomes) * 0.7, "recovery goes forward as soon as the record is there"


@pytest.mark.parametrize(("mode", "every"), SWEEPS)
def test_a_call_that_is_refused_leaves_all_or_none_at_once(tmp_path: Path, mode: str, every: int) -> None:
    """No space, or a failing disk, at each call in turn: a typed error and the old files, or the new ones."""
    # shows: N4 X4 N14
    before, after = states(tmp_path, mode)
    seen = set()

    def fail() -> None:
        raise OSError(28, "No space left on device")

    def check(root: Path, status: int) -> None:
        (root / ".daybreak-transaction.lock").unlink(missing_ok=True)
        seen.add(status)
        if status == 0:  # a refusal where the system has another way, or after the commit
            assert recovered(root, mode) == after
        else:
            assert status == 7
            assert scene.look(root) == before

    sweep(tmp_path, mode, fail, check, every=every)
    assert seen == {0, 7}


@pytest.mark.parametrize("mode", scene.MODES[:2])
@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.chaos)])
def test_a_disk_that_refuses_everything_from_some_call_on_loses_nothing(tmp_path: Path, mode: str, every: int) -> None:
    """Not even undoing is possible: the error says so, and recovery, once the disk is mended, gives all or none."""
    # shows: N4 N14
    before, after = states(tmp_path, mode)
    dead: list[bool] = []

    class Dying(Strike):
        def wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
            def struck(*args: Any, **named: Any) -> Any:
                self.count += 1
                if self.count >= self.when:
                    raise OSError(5, "Input/output error")
                return call(*args, **named)

            return struck

    for when in range(1, 400, every):
        root = tmp_path / str(when) / "root"
        root.mkdir(parents=True)
        scene.lay_out(root)
        strike = Dying(when, lambda: None, after=False)

        def work(root: Path = root, strike: Dying = strike) -> int:
            scene.use(mode)
            strike.install()
            status: int = scene.main(root, mode)
            return status if strike.count >= strike.when else 50 + status

        status = in_child(work)
        if status == 50:
            break
        assert status in (0, 7)
        dead.append((root / ".daybreak-transaction").exists())
        assert recovered(root, mode) in (before, after)
        shutil.rmtree(root.parent)
    else:
        pytest.fail("it never ended")
    assert any(dead)


@pytest.mark.parametrize("name", AFTER_SIGNAL)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.chaos)])
def test_an_interrupt_at_any_call_leaves_all_or_none_at_once(
    tmp_path: Path, name: str, every: int, *, after: bool
) -> None:
    """Ctrl-C and SIGTERM at each call: rolled back and raised, or committed and raised; nothing is left beside."""
    # shows: N4 X4
    old, new = states(tmp_path, "exchange")
    number = getattr(signal, name)

    def check(root: Path, status: int) -> None:
        assert status == AFTER_SIGNAL[name]
        assert scene.look(root) in (old, new)

    assert sweep(tmp_path, "exchange", lambda: os.kill(os.getpid(), number), check, every=every, after=after) > 80


@pytest.mark.parametrize(("mode", "every"), SWEEPS)
@pytest.mark.parametrize("back", [False, True])
def test_recovery_that_is_killed_is_recovered(tmp_path: Path, mode: str, every: int, *, back: bool) -> None:
    """Recovery itself, forward or back, is killed before each of its calls; the next one completes it."""
    # shows: N4
    before, after = states(tmp_path, mode)
    goal = before if back else after
    for when in range(1, 400, every):
        root = tmp_path / f"r{when}" / "root"
        _crash_in_the_middle(root, mode, back=back)
        strike = Strike(when, kill, after=False)

        def work(root: Path = root, strike: Strike = strike) -> int:
            scene.use(mode)
            strike.install()
            scene.sys.modules["daybreak.host.files.transaction"].recover(root)
            return 50

        status = in_child(work)
        assert recovered(root, mode) == goal
        shutil.rmtree(root.parent)
        if status == 50:
            assert when > 10
            return
        assert status == -signal.SIGKILL
    pytest.fail("it never ended")


def _crash_in_the_middle(root: Path, mode: str, *, back: bool) -> None:
    """A root whose transaction died halfway through its steps; with `back`, while it was being undone."""
    root.mkdir(parents=True)
    scene.lay_out(root)

    def work() -> int:
        scene.use(mode)
        applying = __import__("daybreak.host.files.applying", fromlist=["Applier"])
        real_forward = applying.Applier.forward

        def forward(self: Any, steps: list[Any], pause: Any = None) -> None:
            real_forward(self, steps[: len(steps) * 2 // 3])
            if not back:
                kill()
            raise OSError(5, "Input/output error")

        applying.Applier.forward = forward
        applying.Applier.back = lambda *_: kill()
        return int(scene.main(root, mode))

    assert in_child(work) == -signal.SIGKILL
    assert (root / ".daybreak-transaction" / ("back" if back else "intent")).exists()


def test_what_counts_is_synced_before_it_counts(tmp_path: Path) -> None:
    """Every new file before the record, the record and its folders before the first rename, every changed folder before
    the record goes; nothing in the root changes before the record is on the disk."""
    # shows: N4
    root = tmp_path / "root"
    root.mkdir()
    scene.lay_out(root)
    log: list[tuple[str, str]] = []
    disk_type = type(_probe(root))

    class Logged(disk_type):  # type: ignore[misc, valid-type]
        pass

    def logging(name: str) -> None:
        real = getattr(disk_type, name)

        def call(self: Any, *args: Any) -> Any:
            log.append((name, " ".join(str(one) for one in args)))
            return real(self, *args)

        setattr(Logged, name, call)

    for name in (
        "create",
        "move",
        "replace",
        "exchange",
        "sync",
        "sync_folders",
        "link",
        "make_folder",
    ):
        logging(name)
    transaction = scene.sys.modules["daybreak.host.files.transaction"]
    real_open, real_sync = transaction.open_disk, system.sync
    transaction.open_disk = Logged

    def sync(descriptor: int) -> None:
        log.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        real_sync(descriptor)

    system.sync = sync
    try:
        assert scene.main(root) == 0
    finally:
        transaction.open_disk, system.sync = real_open, real_sync
    work = ".daybreak-transaction"
    recorded = log.index(("move", f"{work}/draft {work}/intent"))
    done = log.index(("move", f"{work}/intent {work}/done"))
    synced = [what for name, what in log[:recorded] if name == "fsync"]
    created = [what.split()[0] for name, what in log[:recorded] if name == "create" and "owner" not in what]
    folders = [what.split()[0] for name, what in log[:recorded] if name == "make_folder" and "/" in what.split()[0]]
    assert folders
    assert all(str(root / path) in synced for path in created + folders)
    assert [one for one in log[recorded + 1 :] if one[0] != "fsync"][:2] == [("sync", work), ("sync", "")]
    outside = [
        (name, what)
        for name, what in log[:recorded]
        if name in ("move", "replace", "exchange") and any(not part.startswith(work) for part in what.split())
    ]
    assert outside == [], "nothing is changed before the record"
    last_change = max(number for number, (name, _) in enumerate(log[:done]) if name in ("move", "replace", "exchange"))
    changed = {what for name, what in log[last_change:done] if name == "sync"}
    assert {"", "a", "a/b", "becomes-folder", "renamed", "renamed/folder"} <= changed
    assert ("sync", work) in log[done:]


def _probe(root: Path) -> Disk:
    disk: Disk = scene.disk.open_disk(root)
    disk.close()
    return disk


def test_an_undo_that_fails_says_so(tmp_path: Path) -> None:
    """NotRecovered keeps the record; recovery finishes once the disk is well."""
    # shows: N4 F16
    root = tmp_path / "root"
    root.mkdir()
    scene.lay_out(root)
    before = scene.look(root)
    applying = __import__("daybreak.host.files.applying", fromlist=["Applier"])
    real = applying.Applier.back, applying.Applier.check_displaced

    def broken(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    applying.Applier.back = applying.Applier.check_displaced = broken
    try:
        with pytest.raises(NotRecovered) as caught, scene.Transaction(root) as files:
            scene.act(files, root)
    finally:
        applying.Applier.back, applying.Applier.check_displaced = real
    assert "recover(root)" in caught.value.hint
    assert (root / ".daybreak-transaction" / "back").exists()
    done = scene.sys.modules["daybreak.host.files.transaction"].recover(root)
    assert done.outcome == "back"
    assert scene.look(root) == before
