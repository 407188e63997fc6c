"""What every ledger promises; the same tests on the real one and on the one in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit import ledger_home as shelf

from daybreak.errors import (
    BlobMissing,
    DraftRefused,
    FenceMissing,
    IdemConflict,
    LeaseLost,
    LedgerStopped,
)
from daybreak.events import KEYS, LedgerCreated
from daybreak.ledger import Draft, Ledger, Record
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

Home, step, grant = shelf.Home, shelf.step, shelf.grant

AnyLedger = Ledger | MemoryLedger
RUN = "run:r1"


@pytest.fixture(params=["disk", "memory", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., AnyLedger]:
    """Opens a fresh ledger of either kind."""

    def open_one(views: Any = ()) -> AnyLedger:
        if request.param == "disk":
            return Home(tmp_path, views).open(entropy=shelf.seeded())
        if request.param == "postgres":
            url = request.getfixturevalue("postgres_url")
            return Home(tmp_path, views, url).open(entropy=shelf.seeded())
        return MemoryLedger(clock=FakeClock(), views=views, entropy=shelf.seeded())

    return open_one


@pytest.fixture
def ledger(opened: Callable[..., AnyLedger]) -> Iterator[AnyLedger]:
    with opened([shelf.STEPS]) as ledger:
        yield ledger


def test_the_first_event_names_the_key(ledger: AnyLedger) -> None:
    """Every ledger begins with its own creation, in the stream of keys."""
    # shows: N3
    (first,) = ledger.read(KEYS)
    assert (first.index, first.seq) == (0, 0)
    assert first.event == LedgerCreated(origin=ledger.head().origin, public_key=ledger.verifier.text)


def test_positions_have_no_gaps(ledger: AnyLedger) -> None:
    """Leaf indexes count over all streams, seq inside each."""
    # shows: N16
    ledger.append([Draft("queue", step(0)), Draft("control:a", step(1)), Draft("queue", step(2))])
    ledger.append([Draft("control:a", step(3))])
    places = [(record.index, record.stream, record.seq) for record in ledger.read_all()]
    assert places == [(0, KEYS, 0), (1, "queue", 0), (2, "control:a", 0), (3, "queue", 1), (4, "control:a", 1)]
    assert ledger.streams() == [KEYS, "queue", "control:a"]
    assert [record.index for record in ledger.read("queue", after=0)] == [3]
    assert [record.index for record in ledger.read_all(after=3)] == [4]
    assert list(ledger.read("nobody")) == []


def test_what_append_returns_is_what_is_read(ledger: AnyLedger) -> None:
    """Record by record, byte by byte."""
    written = ledger.append(
        [Draft("queue", step(n, {"n": n}), actor="me", trace="t", idem=f"k{n}", gen=1) for n in range(3)]
    )
    assert list(ledger.read("queue")) == written
    assert [record.event for record in written] == [step(n, {"n": n}) for n in range(3)]
    assert len({record.id for record in written}) == 3


def test_the_head_covers_everything(ledger: AnyLedger) -> None:
    """After each append the signed head has the size of the log."""
    # shows: N3
    for size in range(2, 6):
        ledger.append([Draft("queue", step())])
        head = ledger.head()
        assert head.size == size
        assert ledger.verifier.open(head.text) == head


def test_a_stale_owner_is_refused(ledger: AnyLedger) -> None:
    """Once a newer epoch is granted, events of the older one are dropped, with nothing of their submission."""
    # shows: N5
    ledger.append([Draft(RUN, grant(), epoch=1), Draft(RUN, step(0), epoch=1)])
    ledger.append([Draft(RUN, grant(owner="other"), epoch=2)])
    assert ledger.epoch(RUN) == 2
    before = list(ledger.read_all())
    with pytest.raises(LeaseLost, match="epoch 1"):
        ledger.append([Draft("queue", step(7)), Draft(RUN, step(1), epoch=1)])
    with pytest.raises(LeaseLost):
        ledger.append([Draft(RUN, step(1), epoch=3)])
    assert list(ledger.read_all()) == before
    ledger.append([Draft(RUN, step(1), epoch=2)])


def test_two_owners_never_both_win_a_lease(ledger: AnyLedger) -> None:
    """The second grant of an epoch is refused, although that epoch is the current one by then."""
    # shows: N5
    ledger.append([Draft(RUN, grant(owner="a"), epoch=1)])
    with pytest.raises(LeaseLost):
        ledger.append([Draft(RUN, grant(owner="b"), epoch=1)])
    with pytest.raises(LeaseLost):
        ledger.append([Draft(RUN, grant(owner="b"), epoch=3)])
    assert ledger.epoch(RUN) == 1


def test_a_repeated_grant_of_the_same_owner_is_the_same_grant(ledger: AnyLedger) -> None:
    """With an idempotency key the owner may ask again; another owner's key of the same name is a conflict."""
    # shows: N5
    first = ledger.append([Draft(RUN, grant(owner="a"), epoch=1, idem="lease")])
    assert ledger.append([Draft(RUN, grant(owner="a"), epoch=1, idem="lease")]) == first
    with pytest.raises(IdemConflict):
        ledger.append([Draft(RUN, grant(owner="b"), epoch=1, idem="lease")])


def test_a_run_takes_no_event_without_an_epoch(ledger: AnyLedger) -> None:
    """Neither before its first lease nor after; other streams take it until they have a lease."""
    # shows: N5
    with pytest.raises(FenceMissing):
        ledger.append([Draft(RUN, step())])
    with pytest.raises(FenceMissing):
        ledger.append([Draft(RUN, grant())])
    ledger.append([Draft("control:x", step())])
    ledger.append([Draft("control:x", grant(), epoch=1)])
    with pytest.raises(FenceMissing):
        ledger.append([Draft("control:x", step())])


def test_a_grant_is_undone_with_its_submission(ledger: AnyLedger) -> None:
    """If a later draft of the submission is refused, the epoch has not moved."""
    # shows: N5
    with pytest.raises(LeaseLost):
        ledger.append([Draft(RUN, grant(), epoch=1), Draft(RUN, step(), epoch=2)])
    assert ledger.epoch(RUN) == 0
    ledger.append([Draft(RUN, grant(), epoch=1)])
    assert [record.seq for record in ledger.read(RUN)] == [0]


def test_a_repeat_returns_the_first_record(ledger: AnyLedger) -> None:
    """The same key with the same payload is the same event, across submissions and inside one."""
    # shows: N16
    draft = Draft("queue", step(1, {"a": 1}), idem="k")
    (first,) = ledger.append([draft])
    assert ledger.append([draft]) == [first]
    again = ledger.append([draft, Draft("queue", step(2), idem="k2"), Draft("queue", step(2), idem="k2")])
    assert again[0] == first
    assert again[1] == again[2]
    assert len(list(ledger.read("queue"))) == 2


def test_a_key_used_for_something_else_is_a_conflict(ledger: AnyLedger) -> None:
    """Another payload or type under the same key is refused; another generation or stream is another key."""
    # shows: N16
    ledger.append([Draft("queue", step(1), idem="k")])
    for event in (step(2), grant()):
        with pytest.raises(IdemConflict):
            ledger.append([Draft("queue", event, idem="k", epoch=1 if event == grant() else None)])
    with pytest.raises(IdemConflict):
        ledger.append([Draft("queue", step(5), idem="n"), Draft("queue", step(6), idem="n")])
    ledger.append([Draft("queue", step(2), idem="k", gen=1), Draft("control:k", step(2), idem="k")])
    ledger.append([Draft("queue", step(5), idem="n")])


def test_one_refused_submission_fails_nobody_else(ledger: AnyLedger) -> None:
    """Submissions that wait together are judged one by one."""
    # shows: N5
    ledger.append([Draft(RUN, grant(), epoch=1)])
    futures = [ledger.submit([Draft(RUN, step(n), epoch=n % 2)]) for n in range(20)]
    outcomes = [future.exception(timeout=30) for future in futures]
    assert [type(error) for error in outcomes] == [LeaseLost, type(None)] * 10
    assert [record.event for record in ledger.read(RUN)][1:] == [step(n) for n in range(1, 20, 2)]


def test_a_large_payload_lies_in_the_blob_store(ledger: AnyLedger) -> None:
    """Over 64 KiB the bytes go beside the ledger under their hash, and come back as if they had not."""
    large = step(1, {"text": "x" * 100_000})
    (record,) = ledger.append([Draft("queue", large, idem="big")])
    assert next(ledger.read("queue")).event == large
    assert ledger.has_blob(record.header.split(b'"payload":"')[1][:64].decode())
    assert ledger.append([Draft("queue", large, idem="big")]) == [record]


def test_a_blob_is_found_by_its_hash(ledger: AnyLedger) -> None:
    """Put twice it is one blob; an unknown one is an error that names it."""
    digest = ledger.put_blob(b"some bytes")
    assert ledger.put_blob(b"some bytes") == digest
    assert ledger.get_blob(digest) == b"some bytes"
    assert not ledger.has_blob("0" * 64)
    with pytest.raises(BlobMissing, match="0000"):
        ledger.get_blob("0" * 64)


def test_a_view_changes_with_its_event(ledger: AnyLedger) -> None:
    """What append returned is in the view, and a rebuilt view is the same."""
    # shows: N7
    ledger.append([Draft("queue", step(n)) for n in range(3)])
    assert ledger.query("SELECT nth FROM view_steps ORDER BY leaf") == [(0,), (1,), (2,)]
    assert ledger.query("SELECT leaf FROM view_steps WHERE nth = ?", (1,)) == [(2,)]
    assert ledger.compare_views() == []
    ledger.rebuild_views()
    assert ledger.query("SELECT nth FROM view_steps ORDER BY leaf") == [(0,), (1,), (2,)]


def test_a_query_cannot_write(ledger: AnyLedger) -> None:
    """There is no second way to change state."""
    # shows: N3
    with pytest.raises(apsw.ReadOnlyError):
        ledger.query("DELETE FROM view_steps")


def test_a_view_can_refuse_an_event(opened: Callable[..., AnyLedger]) -> None:
    """A broken constraint refuses that submission alone; what else waited is appended."""
    # shows: N16
    with opened([shelf.STEPS, shelf.ONCE]) as ledger:
        futures = [ledger.submit([Draft("queue", step(n // 2)), Draft("control:c", step(100 + n))]) for n in range(6)]
        kinds = [type(future.exception(timeout=30)) for future in futures]
        assert kinds == [type(None), DraftRefused] * 3
        assert ledger.query("SELECT nth FROM view_once ORDER BY nth") == [(0,), (1,), (2,), (100,), (102,), (104,)]
        assert ledger.query("SELECT count(*) FROM view_steps") == [(6,)]
        assert ledger.compare_views() == []
        assert [record.index for record in ledger.read_all()] == list(range(7))


def test_subscribers_hear_every_new_record_once(ledger: AnyLedger) -> None:
    """In order, before append returns; repeats are not new; a failing subscriber disturbs nobody."""
    # shows: F16
    heard: list[Record] = []

    def fail(records: list[Record]) -> None:
        raise ValueError("a subscriber's own mistake")

    end_fail = ledger.subscribe(fail)
    end = ledger.subscribe(heard.extend)
    ledger.append([Draft("queue", step(1), idem="a"), Draft("queue", step(2))])
    ledger.append([Draft("queue", step(1), idem="a")])
    assert [record.event for record in heard] == [step(1), step(2)]
    end()
    end_fail()
    ledger.append([Draft("queue", step(3))])
    assert len(heard) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_append_side_by_side(ledger: AnyLedger, backend: str) -> None:
    """From asyncio and from trio; each task sees its own records, and refusals reach their own task only."""

    async def one(number: int) -> None:
        for turn in range(3):
            (record,) = await ledger.append_async([Draft(f"control:{number}", step(turn))])
            assert (record.stream, record.seq) == (f"control:{number}", turn)
        with pytest.raises(FenceMissing):
            await ledger.append_async([Draft(RUN, step())])

    async def all_of_them() -> None:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(one, number)

    anyio.run(all_of_them, backend=backend)
    assert len(list(ledger.read_all())) == 61


def test_a_large_payload_can_be_appended_from_a_task(ledger: AnyLedger) -> None:
    """The blob is stored without blocking the loop."""
    large = step(1, "y" * 70_000)
    (record,) = anyio.run(ledger.append_async, [Draft("queue", large)])
    assert record.event == large


def test_a_closed_ledger_takes_and_gives_nothing(opened: Callable[..., AnyLedger]) -> None:
    """Every use after close says so."""
    ledger = opened()
    ledger.append([Draft("queue", step())])
    ledger.sync_witness()
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerStopped, match="closed"):
        ledger.append([Draft("queue", step())])
    with pytest.raises(LedgerStopped, match="closed"):
        ledger.submit([Draft("queue", step())])
    with pytest.raises(LedgerStopped, match="closed"):
        anyio.run(ledger.append_async, [Draft("queue", step())])
    with pytest.raises(LedgerStopped, match="closed"):
        list(ledger.read_all())


def test_the_same_entropy_gives_the_same_ledger(tmp_path: Path) -> None:
    """Real and memory ledger hold the same bytes for the same drafts, clock and entropy."""
    # shows: N20
    kept = []
    for ledger in (
        Home(tmp_path).open(entropy=shelf.seeded(5)),
        MemoryLedger(clock=FakeClock(), entropy=shelf.seeded(5)),
    ):
        with ledger:
            ledger.append([Draft("queue", step(1), actor="me")])
            ledger.append([Draft(RUN, grant(), epoch=1), Draft(RUN, step(2), epoch=1)])
            kept.append((list(ledger.read_all()), ledger.head()))
    assert kept[0] == kept[1]


class TwoLedgers(RuleBasedStateMachine):
    """Whatever is appended in whatever order, both ledgers answer alike and the disk one verifies."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.home = Home(Path(self.folder.name), [shelf.ONCE])
        self.entropy = shelf.seeded(1)
        self.disk = self.home.open(entropy=shelf.seeded(1))
        self.memory = MemoryLedger(clock=FakeClock(), views=[shelf.ONCE], entropy=shelf.seeded(1))

    def teardown(self) -> None:
        self.disk.close()
        assert self.home.verify().problems == []
        self.folder.cleanup()

    @rule(
        drafts=st.lists(
            st.builds(
                Draft,
                stream=st.sampled_from(["queue", "run:a", "control:b"]),
                event=st.one_of(
                    st.integers(0, 8).map(step), st.sampled_from("ab").map(lambda owner: grant("a", owner))
                ),
                epoch=st.none() | st.integers(0, 3),
                idem=st.none() | st.sampled_from(["x", "y"]),
                gen=st.integers(0, 1),
            ),
            min_size=1,
            max_size=3,
        )
    )
    def append(self, drafts: list[Draft]) -> None:
        answers = [_answer(ledger, drafts) for ledger in (self.disk, self.memory)]
        assert answers[0] == answers[1]

    @precondition(lambda self: len(list(self.memory.read_all())) > 1)
    @rule()
    def reopen(self) -> None:
        self.disk.close()
        self.disk = self.home.open()

    @invariant()
    def the_same_epochs(self) -> None:
        for stream in ("queue", "run:a", "control:b"):
            assert self.disk.epoch(stream) == self.memory.epoch(stream)


def _answer(ledger: AnyLedger, drafts: list[Draft]) -> Any:
    """What came of it, without the labels (the two ledgers draw different random numbers after a reopening)."""
    try:
        return [(record.index, record.stream, record.seq, record.payload) for record in ledger.append(drafts)]
    except (LeaseLost, DraftRefused) as error:
        return type(error)


TestTwoLedgers = TwoLedgers.TestCase
TestTwoLedgers.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
