"""The bottom floor: errors, events, clock, ids, config."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from daybreak import clock, config, errors, events, ids


def test_every_error_says_what_to_do_next() -> None:
    """An error without a hint cannot be made."""
    with pytest.raises(TypeError):
        errors.UsageError("something")  # type: ignore[call-arg]


def test_events_are_frozen_and_have_one_name_each() -> None:
    """Facts do not change, and their names are unique."""
    kinds = [kind for kind in events.Event.__subclasses__() if kind.__module__ == events.__name__]
    assert len(events.BY_TYPE) == len(kinds)
    asked = events.CancelAsked(run="run-1")
    with pytest.raises(AttributeError):
        asked.run = "run-2"  # type: ignore[misc]


@pytest.mark.parametrize("kind", sorted(events.BY_TYPE))
def test_an_event_reads_a_payload_with_fields_of_the_future(kind: str) -> None:
    """Fields are only ever added, so an older reader must not stumble over a newer event."""
    cls = events.BY_TYPE[kind]
    example: dict[str, object] = {"a_field_of_the_future": 1}
    for field in msgspec.structs.fields(cls):
        if field.required:
            example[field.name] = _sample(field.type)
    assert isinstance(msgspec.json.decode(msgspec.json.encode(example), type=cls), cls)


def _sample(kind: object) -> object:
    text = str(kind)
    if "Literal" in text:
        return text.split("'")[1]
    samples = {"bool": True, "dict": {}, "list": [], "int": 1, "float": 1.0, "str": "x"}
    named = [(text.index(name), value) for name, value in samples.items() if name in text]
    return min(named, key=lambda one: one[0])[1] if named else None


def test_an_id_sorts_by_time() -> None:
    """A later id is greater, whatever the random part."""
    start = datetime(2026, 11, 21, tzinfo=UTC)
    entropy = random.Random(1).randbytes
    made = [ids.new("run", start + timedelta(milliseconds=n), entropy) for n in range(50)]
    assert made == sorted(made)
    assert all(set(one.removeprefix("run-")) <= set(ids.ALPHABET) for one in made)


def test_a_stamp_is_utc_of_one_width() -> None:
    """Stamps compare as text, and a naive time is refused."""
    moment = datetime(2026, 11, 21, 6, 30, tzinfo=timezone(timedelta(hours=2)))
    assert clock.stamp(moment) == "2026-11-21T04:30:00.000000Z"
    with pytest.raises(ValueError, match="no time zone"):
        clock.stamp(datetime(2026, 11, 21))  # noqa: DTZ001 - the point of the test


def test_the_system_clock_is_aware_and_never_goes_back() -> None:
    """Wall time knows its zone; monotonic time grows."""
    system = clock.SystemClock()
    assert system.now().tzinfo is not None
    assert system.monotonic() <= system.monotonic()


def test_daybreak_home_overrules_everything(tmp_path: Path) -> None:
    """DAYBREAK_HOME wins over a project folder."""
    (tmp_path / config.PROJECT_FOLDER).mkdir()
    found = config.find_places({"DAYBREAK_HOME": "here"}, tmp_path)
    assert found.ledger == tmp_path / "here" / "ledger"


def test_a_project_keeps_keys_and_witness_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What guards the ledger does not lie beside it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    project = tmp_path / "work" / config.PROJECT_FOLDER
    (project / "deeper").mkdir(parents=True)
    found = config.find_places({}, tmp_path / "work" / "src")
    assert found.ledger == project / "ledger"
    for guard in (found.keys, found.witness):
        assert project not in guard.parents
    assert list(project.iterdir()) == [project / "deeper"], "looking makes nothing"


def test_without_a_project_the_users_folders_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's folders are the fallback, and are named as such."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = config.find_places({}, tmp_path)
    assert found.ledger == tmp_path / "data" / "daybreak" / "ledger"
    assert found.why == "the user's folders"
