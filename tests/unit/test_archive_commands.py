"""`daybreak ledger archive`, `archives`, `prune` and `refill` from the command line."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
from tests.unit.archive_shelf import blanks, filled, said
from tests.unit.ledger_commands import good, refused, run
from tests.unit.ledger_home import Home
from typer.main import get_command

from daybreak import home as places
from daybreak.cli import archive as commands
from daybreak.cli.arguments import PlaceUnusable
from daybreak.ledger.archive.problems import ArchiveMissing, ArchiveUnwritable, PruneRefused, RangeUnknown

COMMAND = cache(get_command)
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "archive.md"
WITNESS = '[witnesses.other]\nkind = "file"\npath = "{folder}"\n[witness]\nrequired = ["other"]\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """700 events at DAYBREAK_HOME; no witness is named yet."""
    home = filled(tmp_path / "home")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("typer.testing._get_command", COMMAND)
    monkeypatch.setattr(places, "views", list)
    monkeypatch.setenv("DAYBREAK_HOME", str(home.root))
    monkeypatch.chdir(work)
    return home


def test_events_go_into_files_out_of_the_database_and_back(home: Home, tmp_path: Path) -> None:
    """The whole way: what each command says to people and to programs, and when it refuses."""
    # shows: N3 F16
    with home.open() as ledger:
        before = said(ledger)
    assert "nothing is archived" in good("archives")
    assert "events 0 to 255" in good("archive", "--keep", "300")
    (made,) = json.loads(good("archive", "--json"))
    assert (made["start"], made["end"], made["new"]) == (256, 512, True)
    assert Path(made["file"]).parent == home.root / "archive"
    assert "nothing to archive" in run("archive").stderr

    assert "witnesses.NAME" in refused(PruneRefused, "prune").hint
    assert blanks(home) == 0
    (home.root / "daybreak.toml").write_text(WITNESS.format(folder=tmp_path / "outside"))
    assert "events 0 to 255: 254 would be pruned" in good("prune", "--dry-run")
    assert blanks(home) == 0
    told = json.loads(good("prune", "--shrink", "--json"))
    assert [one["end"] for one in told["ranges"]] == [256, 512]
    assert told["bytes_after"] < told["bytes_before"]
    assert told["witnessed"] >= 512
    assert "nothing to prune" in run("prune").stderr

    assert good("archives", "--check").count("pruned, whole") == 2
    assert "whole" in good("verify")
    assert len(json.loads(good("show", "--json"))) > 700
    (home.root / "archive").rename(tmp_path / "moved")
    listed = run("archives", "--json")
    assert (listed.exit_code, [one["problem"] for one in json.loads(listed.stdout)]) == (1, ["missing", "missing"])
    assert run("verify").exit_code == 1
    assert "whole" in good("verify", "--archives", str(tmp_path / "moved"))
    assert "--in DIR" in refused(ArchiveMissing, "refill", "0-10").hint
    assert good("archives", "--in", str(tmp_path / "moved")).count("there") == 2
    assert "events 0 to 255" in good("refill", "0-10")
    assert [one["end"] for one in json.loads(good("refill", "--all", "--json"))] == [512]
    assert "nothing of that" in run("refill", "--all").stderr
    refused(RangeUnknown, "refill", "1000-1001")
    assert blanks(home) == 0
    with home.open() as ledger:
        assert said(ledger)[: len(before)] == before
    assert home.verify().ok


def test_which_events_is_said_once_and_clearly(home: Home, tmp_path: Path) -> None:
    """Days, counts, ranges and folders that make no sense are refused before anything is written."""
    # shows: F16
    misnamed = commands.ArchiveMisnamed
    refused(misnamed, "archive", "--all", "--keep", "5")
    for moment in ("yesterday", "2026-13-01", "", "٢٠٢٦-01-01"):
        refused(misnamed, "archive", "--before", moment)
    for which in ("", "5", "5-5", "9-5", "0-٥", "0-99999999999999999999"):
        refused(misnamed, "refill", which)
    refused(misnamed, "refill")
    refused(misnamed, "refill", "0-5", "--all")
    refused(misnamed, "archive", "--to", str(home.ledger / "inside"))
    (tmp_path / "file").write_text("")
    refused(PlaceUnusable, "archive", "--to", str(tmp_path / "file"))
    assert not (home.root / "archive").exists()
    assert json.loads(good("archive", "--before", "2020-01-01", "--json")) == []
    to = ("archive", "--before", "2099-01-01T00:00:00+00:00", "--to", "here", "--json")
    assert "mount" in refused(ArchiveUnwritable, *to).hint
    assert not (tmp_path / "work" / "here").exists(), "a folder that was named may be a disk that is not there"
    (tmp_path / "work" / "here").mkdir()
    assert len(json.loads(good(*to))) == 1


def test_the_folder_of_the_settings_is_used_and_counts_from_them(home: Home) -> None:
    """`[ledger] archive`, as it stands in the file."""
    # shows: F16
    (home.root / "daybreak.toml").write_text('[ledger]\narchive = "long/ago"\n')
    (home.root / "long" / "ago").mkdir(parents=True)
    good("archive")
    assert len(list((home.root / "long" / "ago").glob("*.dbarchive"))) == 1
    shutil.rmtree(home.root / "long")
    assert "MISSING" in good("archives"), "no event of it was pruned, so that nothing is lost"
    (home.root / "long" / "ago").mkdir(parents=True)
    assert "--again" in refused(ArchiveMissing, "archive").hint
    assert "events 0 to 511" in good("archive", "--again")


def test_what_a_witness_once_had_prunes_nothing(home: Home, tmp_path: Path) -> None:
    """It has to say so now: who cannot be asked, and what somebody wrote down for it, count for nothing."""
    # shows: N3
    outside = tmp_path / "outside"
    (home.root / "daybreak.toml").write_text(WITNESS.format(folder=outside) + "wait_s = 2\n")
    good("archive")
    assert "would be pruned" in good("prune", "--dry-run")
    (standing,) = (home.witness / "kept").rglob("standing/other.json")
    told = json.loads(standing.read_bytes())
    shutil.rmtree(outside)
    outside.write_text("no folder")
    assert "0 events are witnessed" in refused(PruneRefused, "prune", "--dry-run").message
    for state in ("well", "failing"):
        standing.write_text(json.dumps(told | {"state": state, "size": 10**9}))
        assert "0 events are witnessed" in refused(PruneRefused, "prune").message
    assert blanks(home) == 0
    outside.unlink()
    standing.write_text(json.dumps(told))
    assert "pruned" in good("prune"), "it is there again, and was shown everything"


def test_the_page_names_the_commands_that_there_are() -> None:
    """Each command line in it is one that the program takes."""
    # shows: F16
    told = set(re.findall(r"^daybreak ledger ([a-z]+)", PAGE.read_text(), flags=re.MULTILINE))
    assert {"archive", "archives", "prune", "refill", "verify"} <= told
    for command in told:
        assert "Usage" in good(command, "--help")
