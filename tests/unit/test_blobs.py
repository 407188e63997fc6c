"""Blobs: on disk before `put` returns, whoever was killed before; and with no sync more than that takes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from daybreak.errors import BlobDamaged
from daybreak.ledger.blobs import BlobStore

pytestmark = pytest.mark.on_disk


def beginning_with(prefix: str) -> bytes:
    """Bytes whose hash begins so."""
    return next(data for n in range(100_000) if sha256(data := b"%d" % n).hexdigest().startswith(prefix))


def test_a_blob_takes_two_syncs(tmp_path: Path, synced: list[str]) -> None:
    """Of the file and of its folder; what names the folders is synced once for sixteen of them."""
    # shows: X4
    store = BlobStore(tmp_path / "blobs")
    first, second, far = (
        store.put(beginning_with("a0")),
        store.put(beginning_with("af")),
        store.put(beginning_with("0")),
    )
    at = str(tmp_path / "blobs")
    folders = [path for path in synced if ".daybreak-" not in path]
    assert folders == [str(tmp_path), at, f"{at}/a0", f"{at}/af", at, f"{at}/{far[:2]}"]
    assert len(synced) - len(folders) == 3
    assert (first[:2], second[:2]) == ("a0", "af")
    assert {path.name for path in (tmp_path / "blobs").iterdir()} == {f"{a}{b:x}" for a in "0a" for b in range(16)}


@pytest.mark.parametrize("syncs", [0, 1, 2, 3])
def test_what_another_left_when_it_was_killed_is_put_on_disk(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch, syncs: int
) -> None:
    """Folders and files that are there need not be on disk: whoever made them was killed after its n-th sync."""
    # shows: X4
    data, store = b"some bytes", tmp_path / "blobs"
    path = store / sha256(data).hexdigest()[:2] / sha256(data).hexdigest()
    store.mkdir()

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patch:
        done: list[int] = []

        def killed(_: int) -> None:
            if len(done) == syncs:
                raise Killed
            done.append(1)

        patch.setattr(os, "fsync", killed)
        patch.setattr(os, "unlink", lambda *_, **__: None)  # the dead clean nothing up
        if syncs < 3:
            with pytest.raises(Killed):
                BlobStore(store).put(data)
        else:
            BlobStore(store).put(data)
    synced.clear()
    assert BlobStore(store).put(data) == path.name
    assert str(store) in synced
    assert str(path.parent) in synced
    assert synced.index(str(store)) < synced.index(str(path.parent))
    assert path.read_bytes() == data


def test_a_sync_that_fails_is_no_success_and_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[str]
) -> None:
    """The next put of the same process does not take the folders for synced."""

    def failing(_: int) -> None:
        raise OSError(5, os.strerror(5))

    store = BlobStore(tmp_path / "blobs")
    (tmp_path / "blobs").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match=os.strerror(5)):
            store.put(b"x")
    store.put(b"x")
    assert synced[0] == str(tmp_path / "blobs")


def test_many_at_a_time_are_all_there(tmp_path: Path) -> None:
    """From several threads and stores on one folder; a damaged copy is replaced."""
    names: list[str] = []

    def work(store: BlobStore, first: int) -> Callable[[], None]:
        return lambda: names.extend(store.put(b"%d" % n) for n in range(first, first + 40))

    stores = BlobStore(tmp_path / "blobs"), BlobStore(tmp_path / "blobs")
    threads = [threading.Thread(target=work(store, first)) for store in stores for first in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 240
    assert {stores[0].get(name) for name in names} == {b"%d" % n for n in range(80)}
    path = tmp_path / "blobs" / names[0][:2] / names[0]
    path.write_bytes(b"other")
    with pytest.raises(BlobDamaged):
        stores[1].get(names[0])
    data = next(b"%d" % n for n in range(80) if sha256(b"%d" % n).hexdigest() == names[0])
    assert stores[1].put(data) == names[0]
    assert stores[1].get(names[0]) == data
