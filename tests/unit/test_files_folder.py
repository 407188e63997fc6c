"""Putting folders: what happens when others do something at the same time."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from daybreak.errors import DeliveryError
from daybreak.host import files


def folder(path: Path, content: str) -> Path:
    """A small folder with two files that say the same."""
    (path / "sub").mkdir(parents=True)
    (path / "a").write_text(content)
    (path / "sub" / "b").write_text(content)
    return path


def content(path: Path) -> set[str]:
    """What its two files say: one word where it is whole."""
    return {(path / "a").read_text(), (path / "sub" / "b").read_text()}


class LateChange(DeliveryError):
    """Somebody changed the target in the last moment."""


def test_a_change_of_the_last_moment_is_not_lost(tmp_path: Path) -> None:
    """Somebody edits the target between the check and the exchange: it is exchanged back, with the edit."""
    # shows: F12
    target, new = folder(tmp_path / "out", "old"), folder(tmp_path / "new", "new")

    def refuse(old: Path) -> None:
        assert content(target) == {"new"}, "asked when the old one has no name any more"
        if (old / "precious").exists():
            raise LateChange("changed", hint="none")

    (target / "precious").write_text("the user's work")
    with pytest.raises(LateChange):
        files.put_folder(new, target, refuse=refuse)
    assert content(target) == {"old"}
    assert (target / "precious").read_text() == "the user's work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"]
    (target / "precious").unlink()
    files.put_folder(new, target, refuse=refuse)
    assert content(target) == {"new"}


@pytest.mark.parametrize("name", ["out", "o[u]t*", "a b?"])
def test_only_what_is_a_leftover_is_removed(tmp_path: Path, name: str) -> None:
    """Another target's folders, files, links, other names and folders in use stay; a dead delivery's folder goes,
    whatever characters the target's name has."""
    target = tmp_path / name
    dead = folder(tmp_path / f".{name}.daybreak-0123456789ab", "half")
    stays = [folder(tmp_path / other, "mine") for other in (f".{name}.daybreak-notes", ".out2.daybreak-0123456789ab")]
    link = tmp_path / f".{name}.daybreak-00000000000a"
    link.symlink_to(stays[0])
    file = tmp_path / f".{name}.daybreak-00000000000b"
    file.write_text("a file")
    living = folder(tmp_path / f".{name}.daybreak-00000000000c", "in use")
    descriptor = os.open(living, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    files.remove_leftovers(target)
    assert not dead.exists()
    assert all(path.exists() for path in (*stays, link, file, living))
    os.close(descriptor)
    files.remove_leftovers(target)
    assert not living.exists()


def test_deliveries_at_the_same_time_leave_one_whole_folder(tmp_path: Path) -> None:
    """Eight at once to one target: each is whole or refused with a DeliveryError, and nothing is left beside it."""
    # shows: F12 N4
    sources = [folder(tmp_path / "sources" / str(number), str(number)) for number in range(8)]
    (tmp_path / "place").mkdir()
    target = tmp_path / "place" / "out"
    barrier = threading.Barrier(len(sources))
    refused: list[DeliveryError] = []
    broken: list[BaseException] = []

    def put(source: Path) -> None:
        barrier.wait()
        for _ in range(5):
            try:
                files.put_folder(source, target)
            except DeliveryError as error:
                refused.append(error)
            except BaseException as error:  # noqa: BLE001 - shown below
                broken.append(error)

    threads = [threading.Thread(target=put, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    assert len(refused) < 40
    assert len(content(target)) == 1
    assert [path.name for path in target.parent.iterdir()] == ["out"]
