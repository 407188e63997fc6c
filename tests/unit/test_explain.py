"""`daybreak explain`: every error can be asked about, in whatever way it was met."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from daybreak.cli import explain, faces
from daybreak.cli.main import app
from daybreak.errors import HostError
from daybreak.report.catalogue.asked import find
from daybreak.report.catalogue.entry import entries


def said(*words: str) -> str:
    result = CliRunner().invoke(app, ["explain", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["H222"],
        ["h222"],
        ["SnapshotMissing"],
        ["snapshot-missing"],
        ["daybreak: H222 no snapshot is called x in /srv/snapshots"],
        ["no", "snapshot", "is", "called", "x", "in", "/srv/snapshots"],
        ["H222 no snapshot is called x in\n /srv/snapshots\n  `daybreak snapshot list` shows their names"],
    ],
)
def test_a_code_a_name_and_a_whole_message_lead_to_the_same(words: list[str]) -> None:
    """Whoever met an error has one of these, and pastes it as it is."""
    # shows: F16
    told = said(*words)
    assert told.startswith("H222 SnapshotMissing\n  There is no snapshot of that name.\n")
    assert "`daybreak snapshot list` shows their names" in told


def test_a_pasted_message_gets_its_own_remedy_first() -> None:
    """An error of many causes has many remedies; the one of this cause is not to be looked for."""
    here = said("H221 snapshot s1 is damaged: state.tar.zst is not the file whose checksum was noted").split(
        "In other places"
    )[0]
    assert "What to do here\n  nothing was restored from it" in here


def test_every_code_can_be_explained_and_every_message_finds_a_code() -> None:
    """Also as JSON; a message without its code finds an error that tells it."""
    known = entries()
    strays = []
    for code, one in known.items():
        assert find(code, known).entries == (one,)
        for told in one.told:
            filled = told.message.replace("<", "").replace(">", "")
            found = find(f"{code} {filled}", known)
            assert found.entries[0] is one, told
            if len(told.message) > 60 and not find(filled, known).entries:
                strays.append(told.message)
    assert strays == []


def test_part_of_a_name_lists_what_it_may_be() -> None:
    """Each with its cause, to be asked for by its code."""
    told = said("snapshot")
    assert {"H221", "H222"} <= {line[:4] for line in told.splitlines()}
    assert len(told.splitlines()) < 20


def test_what_nobody_knows_is_said_with_what_is_near() -> None:
    """Wrong usage: status 2. Nothing is explained by chance."""
    for words, near in (
        ("H226x", ""),
        ("H999", "H262"),
        ("SnapshotMising", "SnapshotMissing"),
        ("\x1b[31m \u202e", ""),
    ):
        with pytest.raises(explain.CodeUnknown) as caught:
            explain.explain([words])
        assert near in caught.value.hint
        assert "\x1b" not in caught.value.message
        assert faces.exit_status(caught.value) == 2
    with pytest.raises(explain.CodeUnknown, match="no code begins with"):
        explain.explain(["Q"], listed=True)


def test_a_text_as_long_as_a_log_is_answered() -> None:
    """Somebody pastes too much."""
    assert find("there is no run x " * 100_000, entries()).entries[0].code == "E207"


def test_families_and_lists() -> None:
    """Without anything: what the letters mean; `--list L1`: what begins so; both as JSON."""
    told = said()
    assert "U   A command, an option or the configuration is wrong." in told
    listed = said("--list", "l1").splitlines()
    assert {line[:2] for line in listed if line[0] != " "} == {"L1"}
    assert {one["code"][:1] for one in json.loads(said("--list", "W", "--json"))["errors"]} == {"W"}
    families = {one["prefix"]: one["codes"] for one in json.loads(said("--json"))["families"]}
    assert families["H"] == sum(n for prefix, n in families.items() if len(prefix) == 2 and prefix[0] == "H")
    [one] = json.loads(said("H100", "--json"))["errors"]
    assert one["name"] == "HostError"
    assert "H222" in one["below"]
    assert one["remedies"]


def test_explaining_reads_nothing_but_the_catalogue() -> None:
    """It is asked when something is broken, and answers at once: no ledger, no configuration, no sources."""
    code = "import sys; from daybreak.cli.main import app; app(['explain', 'H222'], standalone_mode=False); "
    code += "print(*sys.modules, file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    found = set(ran.stderr.split())
    assert "daybreak.report.catalogue.entry" in found
    assert not {"apsw", "daybreak.settings", "daybreak.ledger", "daybreak.report.catalogue.gathering"} & found


def test_a_person_at_a_terminal_is_told_once_where_to_ask(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs and scripts get the same lines as ever."""
    error = HostError("it broke", hint="mend it")
    faces.show_error(error)
    assert capsys.readouterr().err == "daybreak: H100 it broke\n  mend it\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    faces.show_error(error)
    assert capsys.readouterr().err == "daybreak: H100 it broke\n  mend it (daybreak explain H100)\n"
    faces.show_error(explain.CodeUnknown("nothing", hint="`daybreak explain` shows how"))
    assert capsys.readouterr().err.count("daybreak explain") == 1
