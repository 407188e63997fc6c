"""How every command speaks: one form of time, one status for each kind of end."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daybreak.cli import faces, incidents
from daybreak.cli.main import app
from daybreak.clock import stamp
from daybreak.errors import HostError, PolicyError, SpecError, UsageError
from daybreak.host.snapshots import BadArgument, SnapshotDamaged, SnapshotMissing, TargetOccupied
from daybreak.policy.journal import IncidentUnknown
from daybreak.policy.refusal import TokenForged, TokenUnknown

MOMENT = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")
FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def moments(value: Any) -> list[str]:
    """Every text in a JSON document that looks like a moment."""
    if isinstance(value, dict):
        return [found for item in value.values() for found in moments(item)]
    if isinstance(value, list):
        return [found for item in value for found in moments(item)]
    return [value] if isinstance(value, str) and MOMENT.fullmatch(value) else []


def test_every_moment_in_json_has_the_form_of_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, incidents, snapshots and the log: whoever reads one of them can read all of them."""
    # shows: P8
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAYBREAK_SNAPSHOTS", raising=False)
    with incidents.opened() as journal:
        journal.raise_incident("capability_refused", "read /etc/hosts", run="run-1", attempt=1)
    spoken = 0
    for words in (
        ["token", "mint", "--run", "run-1", "--json"],
        ["token", "show", "--json"],
        ["incidents", "list", "--json"],
        ["snapshot", "create", "--json"],
        ["snapshot", "list", "--json"],
        ["ledger", "show", "--json"],
        ["runs", "--json"],
        ["doctor", "--json"],
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code in (0, 1), result.output
        found = moments(json.loads(result.stdout))
        spoken += len(found)
        assert [one for one in found if not FORM.fullmatch(one)] == [], words
    assert spoken >= 8


def test_a_moment_of_another_zone_is_told_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    """The same moment is the same text."""
    there = datetime(2026, 3, 1, 6, 30, 15, 250_000, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    faces.result_json({"at": there, "where": Path("/x")})
    assert json.loads(capsys.readouterr().out) == {"at": "2026-03-01T01:00:15.250000Z", "where": "/x"}
    assert faces.moment(there) == faces.moment(stamp(there)) == "2026-03-01 01:00:15Z"


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", datetime(2026, 1, 1)])  # noqa: DTZ001 - the point
def test_what_has_no_form_in_json_is_not_guessed(value: object) -> None:
    """A value that nobody thought of is noticed here and not by whoever reads the output."""
    with pytest.raises((TypeError, ValueError)):
        faces.result_json({"value": value})


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (UsageError, 2),
        (SpecError, 2),
        (SnapshotMissing, 2),
        (TargetOccupied, 2),
        (BadArgument, 2),
        (TokenUnknown, 2),
        (IncidentUnknown, 2),
        (SnapshotDamaged, 1),
        (TokenForged, 1),
        (HostError, 1),
        (PolicyError, 1),
    ],
)
def test_what_only_a_person_can_have_typed_is_wrong_usage(kind: Any, status: int) -> None:
    """The rest are failures."""
    assert faces.exit_status(kind.__new__(kind)) == status
