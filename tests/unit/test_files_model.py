"""File transactions against a model: a dictionary that is copied, changed and then taken or thrown away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.host import files as host_files
from daybreak.host.files import disk, system, transaction

NAMES = ("a", "b", "c")
PATHS = [*NAMES, *(f"{one}/{two}" for one in NAMES for two in NAMES), "a/b/c", "a/b/a", "c/c/c"]
Tree = dict[str, str | None]
"""Path → content; None for a folder."""


def look(root: Path) -> Tree:
    return {
        place.relative_to(root).as_posix(): None if place.is_dir() else place.read_text() for place in root.rglob("*")
    }


def parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


class Model:
    """The files as they should be. Folders that a transaction makes only on the way to a file go with their last file,
    unless they are inside a folder that it puts as a whole."""

    def __init__(self, tree: Tree) -> None:
        self.tree = dict(tree)
        self.made: set[str] = set()
        self.whole: set[str] = set()

    def copy(self) -> Model:
        other = Model(self.tree)
        other.made, other.whole = set(self.made), set(self.whole)
        return other

    def act(self, name: str, *values: str) -> bool:
        done: bool = getattr(self, name)(*values)
        while empty := {folder for folder in self.made if not self.inside(folder)}:
            self.made -= empty
            for folder in empty:
                del self.tree[folder]
        return done

    def inside(self, folder: str) -> list[str]:
        return [path for path in self.tree if path.startswith(folder + "/")]

    def blocked(self, path: str) -> bool:
        return any(self.tree.get(folder) is not None for folder in parents(path))

    def give(self, path: str, content: str | None) -> None:
        for folder in parents(path):
            if folder not in self.tree:
                self.tree[folder] = None
                if not self.whole & set(parents(folder)):
                    self.made.add(folder)
        self.tree[path] = content

    def write(self, path: str, content: str) -> bool:
        if self.blocked(path) or (path in self.tree and self.tree[path] is None):
            return False
        self.give(path, content)
        return True

    def delete(self, path: str) -> bool:
        if path not in self.tree:
            return False
        for one in [path, *self.inside(path)]:
            del self.tree[one]
            self.made.discard(one)
            self.whole.discard(one)
        return True

    def rename(self, source: str, target: str) -> bool:
        tree = self.tree
        if source not in tree or target.startswith(source + "/") or self.blocked(target):
            return False
        if source == target:
            return True
        if target in tree and (tree[source] is None or tree[target] is None):
            return False
        moved = [(path, target + path[len(source) :]) for path in [source, *self.inside(source)]]
        contents, made = {new: tree[old] for old, new in moved}, {new for old, new in moved if old in self.made}
        staged = self.whole & {source, *parents(source)}
        self.delete(source)
        if staged and contents[target] is None:
            self.whole.add(target)
        for path, content in contents.items():
            self.give(path, content)
        self.made |= {path for path in made if not self.whole & set(parents(path))}
        return True

    def put_folder(self, path: str, content: str) -> bool:
        if self.blocked(path) or self.tree.get(path) is not None:
            return False
        if path in self.tree:
            self.delete(path)
        self.give(path, None)
        self.whole.add(path)
        for name, text in ((f"{path}/a", content), (f"{path}/b", None), (f"{path}/b/c", content)):
            self.give(name, text)
        return True


ACTS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(PATHS), st.sampled_from("xyz")),
    st.tuples(st.just("delete"), st.sampled_from(PATHS)),
    st.tuples(st.just("rename"), st.sampled_from(PATHS), st.sampled_from(PATHS)),
    st.tuples(st.just("put_folder"), st.sampled_from(PATHS), st.sampled_from("xyz")),
)
START = st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from("123")), max_size=6)


def lay_out(root: Path, start: list[tuple[str, str]]) -> Tree:
    root.mkdir()
    model = Model({})
    for path, text in start:
        if model.write(path, text):
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    return model.tree


def do(files: host_files.Transaction, sources: Path, act: tuple[str, ...]) -> bool:
    """Whether the transaction took it; a tangle it may refuse although the model could."""
    try:
        if act[0] == "put_folder":
            files.put_folder(act[1], sources / act[2])
        else:
            getattr(files, act[0])(*act[1:])
    except host_files.FilesError as error:
        assert not isinstance(error, host_files.ChangedMeanwhile | host_files.NotRecovered)  # noqa: PT017 - of all errors
        if isinstance(error, host_files.TooTangled):
            raise
        return False
    return True


@pytest.fixture(params=["exchange", "steps", "plain"])
def poor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system offers."""
    if request.param == "steps":
        monkeypatch.setattr(system, "_rename_call", lambda: None)
    if request.param == "plain":
        module: Any = sys.modules["daybreak.host.files.transaction"]
        monkeypatch.setattr(module, "open_disk", lambda root: disk.open_disk(root, platform="win32"))


@pytest.mark.usefixtures("poor")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=START, acts=st.lists(ACTS, max_size=8), fails=st.booleans(), breaks=st.none() | st.integers(0, 6))
def test_a_transaction_is_a_dictionary_taken_or_thrown_away(
    tmp_path_factory: pytest.TempPathFactory,
    start: list[tuple[str, str]],
    acts: list[tuple[str, ...]],
    breaks: int | None,
    *,
    fails: bool,
) -> None:
    """Whatever is done in whatever order: what can be read inside, and what is there afterwards, is what the model
    says; after an exception, or a disk that fails in the middle of the commit, it is what was there before."""
    # shows: X4 N4
    home = tmp_path_factory.mktemp("model")
    root, sources = home / "root", home / "sources"
    for name in "xyz":
        (sources / name / "b").mkdir(parents=True)
        (sources / name / "a").write_text(name)
        (sources / name / "b" / "c").write_text(name)
    before = lay_out(root, start)
    model = Model(before)
    happened = "committed"
    try:
        with transaction(root) as files:
            for act in acts:
                tried = model.copy()
                expected = tried.act(*act)
                try:
                    assert do(files, sources, act) == expected
                except host_files.TooTangled:
                    continue
                model = tried if expected else model
                for path in PATHS:
                    assert files.exists(path) == (path in model.tree), path
                    if (text := model.tree.get(path)) is not None:
                        assert files.read(path).decode() == text
            if fails:
                raise ZeroDivisionError
            _break_after(breaks)
    except (ZeroDivisionError, host_files.FilesError) as error:
        happened = type(error).__name__
    finally:
        _break_after(None)
    (root / ".daybreak-transaction.lock").unlink(missing_ok=True)
    if happened == "committed":
        assert look(root) == model.tree
    else:
        assert happened == ("ZeroDivisionError" if fails else "FilesError")
        assert look(root) == before


def _break_after(count: int | None) -> None:
    """From the `count`-th step on, the disk refuses to go forward; None: it is well."""
    from daybreak.host.files import applying

    real = applying.Applier.__dict__.get("_real_forward") or applying.Applier.forward
    applying.Applier._real_forward = real  # type: ignore[attr-defined]

    def forward(self: applying.Applier, steps: Any, pause: Any = lambda: None) -> None:
        real(self, steps[:count], pause)
        if count is not None and count < len(steps):
            raise OSError(5, "Input/output error")

    applying.Applier.forward = forward  # type: ignore[method-assign]
