"""Other processes that check parts of a large ledger: what is found does not depend on them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable
from typing import Any

import pytest
from tests.unit import ledger_home as shelf

from daybreak import events
from daybreak.factory import blobs
from daybreak.factory.kinds import build, command, issues, merge, repository, validate
from daybreak.ledger import Draft, Record, crew, verification
from daybreak.ledger.crew import ALONE_MAX, Crew, helpers_for
from daybreak.ledger.rangecheck import PAGE
from daybreak.ledger.references import name_of

Home, step = shelf.Home, shelf.step
RANGE = PAGE
"""As small as a range can be, so that few events are several."""
LENGTH = 6 * RANGE + 100


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "RANGE", RANGE)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Where the ranges begin that helpers were given; None for the question about the whole file."""
    starts: list[int | None] = []
    give = crew._Helper.give

    def noted(helper: Any, job: Any) -> bool:
        starts.append(job.start)
        return give(helper, job)

    monkeypatch.setattr(crew._Helper, "give", noted)
    return starts


def named_blobs(record: Record) -> Iterable[str]:
    """Found by other processes under its name."""
    result = record.event.result if isinstance(record.event, events.StepDone) else None
    return [result] if isinstance(result, str) else []


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Six ranges and a bit: leases on runs, streams that begin late, a sealed event, a long payload, a blob."""
    home = Home(tmp_path_factory.mktemp("long") / "home")
    with home.open() as ledger:
        blob = ledger.put_blob(b"evidence")
        drafts = []
        for number in range(LENGTH):
            if number % 100 == 0:
                drafts.append(Draft(f"run:r{number // 500}", shelf.grant(), epoch=number % 500 // 100 + 1))
            elif number % 100 == 1:
                drafts.append(Draft(f"run:r{number // 500}", step(number), epoch=number % 500 // 100 + 1))
            elif number == RANGE + 70:
                drafts.append(Draft("control:long", step(number, {"text": "x" * 70_000})))
            else:
                drafts.append(Draft(f"control:{number % 3}", step(number, blob if number == RANGE + 5 else None)))
        ledger.append(drafts)
    return home


def told(found: Any) -> Any:
    return found.problems, found.events, found.streams, found.size, found.root, found.witnessed, found.more


def test_what_helpers_say_is_what_one_process_says(long: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole ledger with two helpers: the same events, streams and root, and helpers did some of it."""
    # shows: N3
    joined: list[int] = []
    due = Crew.due

    def counted(those: Crew, start: int) -> Any:
        answer = due(those, start)
        if answer is not None:
            joined.append(start)
        return answer

    monkeypatch.setattr(Crew, "due", counted)
    alone, together = long.verify(helpers=0), long.verify(helpers=2, blobs=named_blobs)
    assert alone.ok
    assert told(alone) == told(together)
    assert joined, "nobody helped"
    assert all(start % RANGE == 0 for start in joined)
    assert alone.events == LENGTH + 1


CHANGES = (
    ("UPDATE event SET payload = x'7b7d' WHERE leaf = ?", (RANGE,)),
    ("UPDATE event SET gen = 7 WHERE leaf = ?", (2 * RANGE + 17,)),
    (
        "UPDATE event SET header = CAST(replace(header, '\"seq\":', '\"seq\": ') AS BLOB) WHERE leaf = ?",
        (4 * RANGE - 1,),
    ),
    ("UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND n = ?", (5 * RANGE // 256 + 1,)),
)
"""The first event of a range, a column, a header at the end of one, a tile: each in a range of its own. One range is
left whole."""


def test_helpers_hide_nothing(long: Any, given: list[int | None]) -> None:
    """Whatever was changed in a range that a helper may have had is told in the same words, a lost blob as well."""
    # shows: N3
    home = long.copy("changed")
    with home.open() as ledger:
        blob = ledger.put_blob(b"evidence")
    (home.ledger / "blobs" / blob[:2] / blob).unlink()
    lost = home.verify(helpers=0, blobs=named_blobs)
    assert [problem.place for problem in lost.problems] == [f"event {RANGE + 6} (control:1, seq 168)"]
    home.sql(*CHANGES)
    alone, together = (home.verify(helpers=helpers, blobs=named_blobs) for helpers in (0, 2))
    places = "\n".join(problem.place for problem in alone.problems)
    for leaf in (RANGE, RANGE + 6, 2 * RANGE + 17, 4 * RANGE - 1):
        assert f"event {leaf} " in places
    assert "tile 11 " in places
    assert told(alone) == told(together)
    assert RANGE in given, "nobody was asked about what was changed"


def test_a_stream_that_was_exchanged_between_two_ranges_is_noticed(long: Any, given: list[int | None]) -> None:
    """Each range is whole in itself; only the seam does not fit."""
    # shows: N3
    home = long.copy("seam")
    home.sql(("UPDATE event SET stream = 'control:9' WHERE leaf < ? AND stream = 'control:1'", (RANGE,)))
    alone, together = home.verify(helpers=0), home.verify(helpers=2)
    assert not alone.ok
    assert told(alone) == told(together)
    assert RANGE in given, "nobody was asked about what lies behind the seam"


def test_helpers_that_cannot_be_had_are_done_without(long: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not there, and one that ends at once."""
    # shows: N3
    alone = told(long.verify(helpers=0))
    for program in ("/nowhere/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        assert told(long.verify(helpers=2)) == alone


def test_small_ledgers_and_unnamed_questions_are_done_alone(long: Any, given: list[int | None]) -> None:
    """Starting a helper costs more; and a lambda cannot be asked elsewhere."""
    # shows: N3
    assert helpers_for(ALONE_MAX) == 0
    assert name_of(lambda record: []) == ""
    assert name_of(blobs.of_record) == "daybreak.factory.blobs:of_record"
    assert long.verify(helpers=2, blobs=lambda record: []).ok
    assert given == [], "a helper was started"


def test_the_events_that_may_name_blobs_are_listed() -> None:
    """`ledger verify` asks about no others."""
    # shows: N3
    for kind in (build, command, issues, merge, repository, validate):
        named = re.findall(r"events\.(\w+)\(", inspect.getsource(kind.blobs_of))
        assert {getattr(events, name).type for name in named} <= blobs.of_record.of
