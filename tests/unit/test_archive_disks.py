"""Disks on which archives lie: not mounted, not reached, not yet written out, and mounted again elsewhere."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from tests.unit.archive_shelf import archived, blanks, files, filled, pruned, said, table
from tests.unit.ledger_home import Home, step

from daybreak.ledger import Draft, redaction
from daybreak.ledger.archive import writing
from daybreak.ledger.archive.archiving import archive
from daybreak.ledger.archive.problems import ArchiveDamaged, ArchiveMissing, ArchiveUnwritable
from daybreak.ledger.archive.pruning import move, prune, refill, standings

pytestmark = pytest.mark.on_disk

UNREACHED = "/" + "x" * 300
"""A folder whose files cannot even be looked for: the system answers with an error, and not with no."""


def test_no_event_is_pruned_before_its_file_is_on_disk(tmp_path: Path, synced: list[str]) -> None:
    """A file that somebody copied may stand in memory alone: it and its name are written out before the log says that
    the events go."""
    # shows: N1 N3
    home = filled(tmp_path / "home")
    archived(home)
    shutil.copytree(home.root / "archive", tmp_path / "copied")
    shutil.rmtree(home.root / "archive")
    with home.open() as ledger:
        (entry,) = move(ledger, tmp_path / "copied")
        synced.clear()
        list(prune(ledger, witnessed=10**6, dry_run=True))
        assert synced == [], "nothing is changed"
        list(prune(ledger, witnessed=10**6))
    assert blanks(home) > 480
    assert synced[:2] == [str(tmp_path / "copied" / entry.name), str(tmp_path / "copied")]
    assert any("witness" in one for one in synced[2:]), "the head with the event about it came later"


def test_a_file_that_cannot_be_written_out_keeps_its_events_in_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads well, and the disk says that it is not there yet."""
    # shows: N1 N3

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    home = filled(tmp_path / "home")
    archived(home)
    with home.open() as ledger:
        size = ledger.head().size
        monkeypatch.setattr(writing, "sync", refuse)
        with pytest.raises(ArchiveUnwritable, match="Input/output"):
            list(prune(ledger, witnessed=10**6))
        assert ledger.head().size == size
    assert blanks(home) == 0


class _Died(BaseException):
    pass


def test_a_file_that_was_left_by_somebody_who_died_is_written_out_before_it_is_told(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its name and the sync of its folder: the next one takes the file, and makes sure of both."""
    # shows: N1 N3
    home = filled(tmp_path / "home")

    def die(_: Path) -> None:
        raise _Died

    with home.open() as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(writing, "sync_folder", die)
            with pytest.raises(_Died):
                list(archive(ledger, home.root / "archive", end=512))
        (path,) = files(home)
        synced.clear()
        (one,) = archive(ledger, home.root / "archive", end=512)
    assert not one.new
    assert synced[:2] == [str(path), str(path.parent)]


# -- not mounted


def test_where_a_disk_is_not_mounted_nothing_is_written_in_its_place(tmp_path: Path) -> None:
    """Files that are not where they were are not made again unasked, nor new ones beside where they should be; and a
    folder that was named is not made."""
    # shows: N3
    home = filled(tmp_path / "home")
    disk, away = tmp_path / "mount", tmp_path / "away"
    with pytest.raises(ArchiveUnwritable, match=str(disk)):
        archived(home, folder=disk)
    disk.mkdir()
    (first,) = archived(home, folder=disk)
    for gone in ("unpruned", "pruned"):
        disk.rename(away)
        with home.open() as ledger:
            ledger.append([Draft("control:0", step(n)) for n in range(300)])
        for there in (False, True):
            if there:
                disk.mkdir()
            with pytest.raises((ArchiveMissing, ArchiveUnwritable)) as refused:
                archived(home, folder=disk)
            assert refused.value.hint
            assert "--again" in refused.value.hint or not there, gone
        assert list(disk.iterdir()) == [], "nothing lies under the mount point"
        disk.rmdir()
        away.rename(disk)
        if gone == "unpruned":
            with home.open() as ledger:
                list(prune(ledger, witnessed=10**6))
    assert table(home) == [first.entry._replace(pruned=True)]
    assert [one.entry.start for one in archived(home, folder=disk)] == [512, 1024]
    assert home.verify().ok


def test_a_file_that_was_made_again_does_not_make_the_first_one_worthless(tmp_path: Path) -> None:
    """Both hold the same events, as the tree says: whichever is mounted is read, put back, and in order."""
    # shows: N3
    home = filled(tmp_path / "home")
    one, other, away = tmp_path / "one", tmp_path / "other", tmp_path / "away"
    one.mkdir()
    other.mkdir()
    (first,) = archived(home, folder=one)
    one.rename(away)
    with home.open() as ledger:
        before = said(ledger)
        ledger.append([Draft("control:0", step(1))])
        with pytest.raises(ArchiveMissing) as refused:
            list(archive(ledger, other, end=512))
        assert "--again" in refused.value.hint
        assert "pruned" not in refused.value.message
        (second,) = archive(ledger, other, end=512, again=True)
        assert second.entry.sha256 != first.entry.sha256
        list(prune(ledger, witnessed=10**6))
    other.rename(tmp_path / "lost")
    away.rename(other)
    found = home.verify()
    assert found.ok, found.problems
    assert home.verify(incremental=True).ok
    with home.open() as ledger:
        assert said(ledger)[: len(before)] == before
        assert [done.entry.start for done in refill(ledger, 0, 10)] == [0]
    assert blanks(home) == 0
    (other / second.entry.name).unlink()
    shutil.copy(tmp_path / "lost" / second.entry.name, other)
    assert archived(home, folder=other) == []
    assert home.verify().ok


# -- not reached


def test_a_disk_that_answers_with_an_error_is_one_that_misses_a_file(tmp_path: Path) -> None:
    """Reading, repeating, pruning, refilling, listing and verifying say which file cannot be reached; and the ledger
    goes on."""
    # shows: N1 N3
    home, before = pruned(tmp_path / "home", most=256)
    (home.root / "archive").rename(tmp_path / "away")
    home.sql(f"UPDATE archive SET folder = '{UNREACHED}'")
    large = [path for path in (home.ledger / "blobs").rglob("*") if path.is_file()]
    for path in large:
        path.unlink()
    with home.open() as ledger:
        with pytest.raises(ArchiveMissing, match="cannot be reached"):
            list(ledger.read_all())
        with pytest.raises(ArchiveMissing, match="cannot be reached"):
            ledger.append([Draft("control:0", step(0, {"n": 0}), idem="k/0")])
        ledger.append([Draft("control:0", step(77, "goes on"))])
        with pytest.raises(ArchiveMissing):
            list(refill(ledger, 0, 10))
        for check in (False, True):
            found = standings(ledger, check=check)
            assert [(one.path, "cannot be reached" in one.problem) for one in found] == [(None, True)] * 2
        with pytest.raises(ArchiveMissing, match="cannot be reached"):
            list(archive(ledger, Path(UNREACHED), end=512))
        with pytest.raises(ArchiveDamaged, match="cannot be reached"):
            move(ledger, Path(UNREACHED))
        ledger.append([Draft("control:0", step(78, "goes on"))])
        assert move(ledger, tmp_path / "away")
        assert said(ledger)[: len(before)] == before, "a large one is in its archive"
    home.sql(f"UPDATE archive SET folder = '{UNREACHED}'")
    assert all("cannot be reached" in problem.what for problem in home.verify().problems)
    assert not home.verify().ok


def test_a_file_that_cannot_be_reached_is_not_taken_for_lost(tmp_path: Path) -> None:
    """Unknown is not gone: it is not made again, whatever is asked."""
    # shows: N3
    home = filled(tmp_path / "home")
    archived(home)
    (home.root / "archive").rename(tmp_path / "away")
    home.sql(f"UPDATE archive SET folder = '{UNREACHED}'")
    with home.open() as ledger:
        for again in (False, True):
            with pytest.raises(ArchiveMissing, match="cannot be reached"):
                list(archive(ledger, home.root / "archive", end=512, again=again))
    assert files(home) == []


def test_a_file_that_vanishes_while_its_large_payloads_are_read_is_missing(tmp_path: Path) -> None:
    """Not an error of the system's own."""
    # shows: N3
    home, _ = pruned(tmp_path / "home")
    with home.open() as ledger:
        record = next(one for one in ledger.read_all() if len(one.payload) > 65_536)
        digest = next(iter(path.name for path in (home.ledger / "blobs").rglob("*") if path.is_file()))
        with ledger._locked_rows() as read:
            assert read.shelf.blob(record.index, digest)
            (home.root / "archive").rename(tmp_path / "away")
            with pytest.raises(ArchiveMissing):
                read.shelf.blob(record.index, digest)


# -- moved


def test_who_has_the_ledger_open_finds_files_that_were_moved_meanwhile(tmp_path: Path) -> None:
    """Another process said where they are: a reader that knew the old place looks again."""
    # shows: N3 N14
    home, before = pruned(tmp_path / "home")
    with home.open() as ledger, home.open() as other:
        assert next(ledger.read("run:r1")).seq == 0, "this is in the first stretch of the file"
        (home.root / "archive").rename(tmp_path / "away")
        assert len(move(other, tmp_path / "away")) == 1
        assert said(ledger)[: len(before)] == before
        assert said(ledger)[: len(before)] == before


# -- forgetting


@pytest.mark.parametrize("state", ["missing", "damaged"])
def test_a_subject_is_forgotten_although_an_archive_is_not_there(tmp_path: Path, state: str) -> None:
    """What is said of how much that was is a least; when the archive comes back, what was secret in it stays so."""
    # shows: N7
    from daybreak.events import Answered
    from daybreak.testing.clock import FakeClock

    home = Home(tmp_path / "home")
    with home.open() as ledger:
        secret = Answered(run="r", question="where?", answer="Marylebone")
        ledger.append([Draft("control:a", secret, subject="ada")] * 3)
        ledger.append([Draft("control:a", step(n)) for n in range(400)])
        ledger.append([Draft("control:b", secret, subject="ada")])
        list(archive(ledger, home.root / "archive", end=256))
        list(prune(ledger, witnessed=10**6))
    (path,) = files(home)
    whole = path.read_bytes()
    path.rename(tmp_path / "away") if state == "missing" else path.write_bytes(whole[:100] + b"?" + whole[101:])
    with home.open() as ledger:
        told = redaction.survey(ledger, "ada")
        assert (told.events, told.at_least) == (1, True)
        found, now = redaction.forget(ledger, "ada", FakeClock())
        assert (found.events, found.at_least, now) == (1, True, True)
        assert list(ledger.subjects.all()) == []
    path.write_bytes(whole)
    with home.open() as ledger:
        assert next(ledger.read("control:a")).redacted
        list(refill(ledger, 0, 256))
        assert next(ledger.read("control:a")).redacted
        again = redaction.survey(ledger, "ada")
        assert (again.events, again.at_least) == (4, False)
    assert home.verify().ok
