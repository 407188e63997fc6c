"""Proofs from real ledgers: what goes in, what comes out, and what is refused before a file is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit import ledger_home as shelf

from daybreak.errors import BlobMissing, LedgerForeign, LedgerForked, LedgerMissing, LedgerStopped, LedgerTampered
from daybreak.ledger import Draft, Proven, Prover, Verifier, check_proof, prove, read_proof, write_bundle, write_tlog
from daybreak.ledger.bundle import BUNDLE_BYTES, EVENTS_MAX, ProofTooLarge, ProofUnreadable
from daybreak.ledger.proof import CHAIN_AUTO, EventUnknown
from daybreak.ledger.proofcheck import HeadDiffers, HeadUnrelated, NotContinued, NotIncluded, ProofByAnother

STREAMS = 3
COUNT = 700
"""More than two tiles of leaves, and a tail."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A ledger that grew in two parts; `heads` are its signed heads after each."""
    home = shelf.Home(tmp_path_factory.mktemp("proofs") / "home")
    home.fill(COUNT // 2, streams=STREAMS)
    first = (home.witness / "head").read_text()
    home.fill(COUNT - COUNT // 2, streams=STREAMS, start=COUNT // 2)
    home.heads = (first, (home.witness / "head").read_text())
    home.key = Verifier.parse((home.keys / "ledger.vkey").read_text())
    return home


@pytest.fixture(scope="module")
def prover(home: Any) -> Any:
    with Prover(home.ledger, home.key) as prover:
        yield prover


def records(home: Any) -> Any:
    with home.open() as ledger:
        return list(ledger.read_all())


def test_a_proof_says_what_the_ledger_says(home: Any, prover: Prover) -> None:
    """The event, its place, its payload and all of its stream before it, from the file alone."""
    # shows: N3
    record = records(home)[17]
    proven = check_proof(write_bundle(prover.prove([17])), [home.key])
    (event,) = proven.events
    assert (event.index, event.event.hash, event.event.payload) == (17, record.hash, record.payload)
    assert (event.event.header.stream, event.event.header.seq) == (record.stream, record.seq) == ("control:1", 5)
    assert event.complete
    assert [link.header.seq for link in event.chain] == [0, 1, 2, 3, 4]
    assert {link.payload for link in event.chain} == {None}
    assert proven.checkpoint.text == home.heads[1]
    assert proven.key_id == home.key.key_id
    assert (proven.older, proven.heads) == (None, 0)


@settings(max_examples=60)
@given(index=st.integers(0, COUNT), size=st.integers(0, 1), chain=st.sampled_from([0, 1, 7, "all", "auto"]))
def test_any_event_is_proved_in_any_head_that_covers_it(
    home: Any, prover: Prover, index: int, size: int, chain: Any
) -> None:
    """Old heads and new ones, with any length of chain; not in a head that is older than the event."""
    # shows: N3
    at = home.heads[size]
    if index >= int(at.split("\n")[1]):
        with pytest.raises(NotIncluded, match=f"event {index} is newer"):
            prover.prove([index], at=at, chain=chain)
        return
    made = prover.prove([index], at=at, chain=chain, payloads=index % 2 == 0)
    (event,) = check_proof(write_bundle(made), [home.key], [at]).events
    assert len(event.chain) == min(event.event.header.seq, {"all": COUNT, "auto": COUNT}.get(chain, chain))
    assert all((link.payload is not None) == (index % 2 == 0) for link in event.chain)
    if chain == 0:
        assert check_proof(write_tlog(made), [home.key], [at]).events == (event,)


def test_several_events_are_proved_at_once(home: Any, prover: Prover) -> None:
    """Each with its own path; without chains unless they are asked for."""
    made = prover.prove([3, 699, 3])
    assert [event.index for event in check_proof(write_bundle(made), [home.key]).events] == [3, 699, 3]
    assert [len(event.chain) for event in check_proof(made, [home.key]).events] == [0, 0, 0]
    whole = prover.prove([3, 699], chain="all", payloads=True)
    assert all(event.complete for event in check_proof(whole, [home.key]).events)
    with pytest.raises(ProofTooLarge, match="do not fit"):
        prover.prove([0] * (EVENTS_MAX + 1))
    with pytest.raises(ProofTooLarge, match="one event"):
        write_tlog(made)


def test_a_head_that_somebody_kept_is_shown_to_be_continued(home: Any, prover: Prover) -> None:
    """From the file alone: the newer tree begins with the older one; either head may be compared with it."""
    # shows: N3
    old, new = home.heads
    data = write_bundle(prover.prove(older=old))
    for heads in ([], [old], [new], [old, new]):
        proven = check_proof(data, [home.key], heads)
        assert isinstance(proven, Proven)
        assert proven.older is not None
        assert (proven.older.text, proven.checkpoint.text, proven.events) == (old, new, ())
        assert proven.heads == len(heads)
    with_event = check_proof(write_bundle(prover.prove([5], older=old, chain=0)), [home.key], [old])
    assert with_event.events[0].index == 5
    assert (
        check_proof(prover.prove(older=new), [home.key]).older == check_proof(prover.prove([0]), [home.key]).checkpoint
    )
    with pytest.raises(NotContinued, match="the older checkpoint is of"):
        prover.prove(older=new, at=old)
    with pytest.raises(ProofUnreadable, match="neither"):
        prover.prove()


def test_a_proof_that_says_nothing_about_a_known_head_is_refused(home: Any, prover: Prover) -> None:
    """The caller knows a head: it is not silently left out of the comparison."""
    # shows: N3
    with pytest.raises(HeadUnrelated, match="of 351 events, the proof is about 701"):
        check_proof(prover.prove([5]), [home.key], [home.heads[0]])


def test_two_histories_under_one_key_are_noticed_with_a_head_from_elsewhere(home: Any, tmp_path: Path) -> None:
    """Whoever holds the key forks the log: the proof alone is true, the head that somebody kept shows the fork."""
    # shows: N3, N7
    one = shelf.Home(tmp_path / "one")
    one.fill(5)
    key = Verifier.parse((one.keys / "ledger.vkey").read_text())
    other = one.copy("other")
    one.fill(5, start=5)
    other.fill(5, start=50)
    theirs = prove(other.ledger, key, [8])
    check_proof(theirs, [key])
    head = (one.witness / "head").read_text()
    with pytest.raises(HeadDiffers, match="two histories of 11 events"):
        check_proof(theirs, [key], [head])
    for ask in ({"older": head}, {"at": head}):
        with pytest.raises(LedgerForked, match="not one of this ledger"):
            prove(other.ledger, key, [8], **ask)
    one.fill(1, start=90)
    with pytest.raises(LedgerForked, match="is of 12 events, the ledger holds 11"):
        prove(other.ledger, key, older=(one.witness / "head").read_text())


def test_an_event_is_named_by_index_place_or_id(home: Any, prover: Prover) -> None:
    """The three names that `ledger show` prints; what nothing is called says so."""
    record = records(home)[123]
    assert prover.find("123") == 123
    assert prover.find(f"{record.stream}#{record.seq}") == 123
    heard: list[tuple[int, int]] = []
    assert prover.find(record.id, lambda *told: heard.append(told)) == 123
    assert heard == [(0, COUNT + 1)]
    assert check_proof(prove(home.ledger, home.key, [record.id, 7]), [home.key]).events[0].event.header.id == record.id
    for name in ("701", "9999999999999999", "control:1#999", "nobody#0", "ev-nothing", record.id[:-1], "", "a b", "-1"):
        with pytest.raises(EventUnknown):
            prover.find(name)
    for index in (-1, COUNT + 1):
        with pytest.raises(EventUnknown):
            prover.prove([index])


def test_text_that_looks_like_an_id_is_not_taken_for_one(tmp_path: Path) -> None:
    """Somebody puts another event's id into a header's free text, with quotes and all."""
    home = shelf.Home(tmp_path / "home")
    with home.open() as ledger:
        (real,) = ledger.append([Draft("queue", shelf.step())])
        ledger.append(
            [Draft("queue", shelf.step(1), actor=f'"id":"{real.id}"', trace=real.id, idem=f'","id":"{real.id}"')]
        )
    key = Verifier.parse((home.keys / "ledger.vkey").read_text())
    with Prover(home.ledger, key) as prover:
        assert prover.find(real.id) == real.index


def test_what_an_event_says_can_be_withheld(home: Any, prover: Prover) -> None:
    """That it happened is proved all the same, and the payload is nowhere in the file."""
    # shows: N16
    record = records(home)[40]
    data = write_bundle(prover.prove([40], withhold=True))
    (event,) = check_proof(data, [home.key]).events
    assert event.event.payload is None
    assert event.event.header.payload in data.decode()
    assert json.loads(record.payload)["args"] not in data.decode()


def test_a_chain_is_all_of_the_stream_or_nothing_of_it(tmp_path: Path) -> None:
    """Unless somebody asks for a number: a cut that nobody asked for would look like a whole."""
    home = shelf.Home(tmp_path / "home")
    with home.open() as ledger:
        ledger.append([Draft("queue", shelf.step(number)) for number in range(CHAIN_AUTO + 2)])
    key = Verifier.parse((home.keys / "ledger.vkey").read_text())
    with Prover(home.ledger, key) as prover:
        last = f"queue#{CHAIN_AUTO}"
        assert check_proof(prover.prove([prover.find(last)]), [key]).events[0].complete
        over = prover.find(f"queue#{CHAIN_AUTO + 1}")
        assert check_proof(prover.prove([over]), [key]).events[0].chain == ()
        assert check_proof(prover.prove([over], chain="all"), [key]).events[0].complete
        some = check_proof(prover.prove([over], chain=2), [key]).events[0]
        assert not some.complete
        with pytest.raises(ProofTooLarge, match="too long for a tlog-proof"):
            write_tlog(prover.prove([over], chain="all"))


def test_odd_payloads_come_out_byte_for_byte(tmp_path: Path) -> None:
    """Nothing, signs that JSON escapes, text of other scripts, and one that lies beside the ledger as a blob."""
    home = shelf.Home(tmp_path / "home")
    odd = [None, "", '\u0000\u001f"\\/ \u2028 \U0001f600', {"ключ": [1.5, -0.0, 1e300]}, "x" * 200_000]
    with home.open() as ledger:
        made = ledger.append([Draft("queue", shelf.step(number, value)) for number, value in enumerate(odd)])
    key = Verifier.parse((home.keys / "ledger.vkey").read_text())
    with Prover(home.ledger, key) as prover:
        for record in made:
            (event,) = check_proof(write_bundle(prover.prove([record.index])), [key]).events
            assert event.event.payload == record.payload
        with pytest.raises(ProofTooLarge, match="tlog-proof"):
            write_tlog(prover.prove([made[-1].index]))
        shutil.rmtree(home.ledger / "blobs")
        with pytest.raises(BlobMissing):
            prover.prove([made[-1].index])
        assert check_proof(prover.prove([made[-1].index], withhold=True), [key]).events[0].event.payload is None


def test_bare_proofs_are_those_of_the_open_ledger(home: Any, prover: Prover) -> None:
    """Path by path, from the same file; and none of what is not there."""
    # shows: N3
    with home.open() as ledger:
        for index in (0, 255, 256, 511, 512, COUNT):
            assert prover.inclusion_proof(index) == ledger.inclusion_proof(index)
            assert prover.consistency_proof(index) == ledger.consistency_proof(index)
        assert prover.consistency_proof(COUNT + 1) == ledger.consistency_proof(COUNT + 1)
    for index in (-1, COUNT + 2):
        with pytest.raises(EventUnknown):
            prover.inclusion_proof(index)
        with pytest.raises(EventUnknown):
            prover.consistency_proof(index)


def test_a_proof_that_would_be_too_long_is_given_up_early(home: Any, prover: Prover, monkeypatch: Any) -> None:
    """Before all of it is in memory, and with a way out."""
    monkeypatch.setattr("daybreak.ledger.bundle.BUNDLE_BYTES", 20_000)
    with pytest.raises(ProofTooLarge, match="longer than") as caught:
        prover.prove([600], chain="all", payloads=True)
    assert "shorter chain" in caught.value.hint
    monkeypatch.setattr("daybreak.ledger.bundle.BUNDLE_BYTES", BUNDLE_BYTES)


def test_a_proof_is_made_while_others_append(home: Any) -> None:
    """What stands in one proof is one state of the ledger, and an old Prover sees what is new."""
    # shows: N3
    busy = home.copy("busy")
    with Prover(busy.ledger, home.key) as prover, busy.open() as ledger:
        for number in range(5):
            (record,) = ledger.append([Draft("queue", shelf.step(number))])
            proven = check_proof(prover.prove([record.index, 3]), [home.key])
            assert proven.checkpoint == ledger.head() == prover.head()


def test_a_copy_on_a_medium_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the shared memory beside the file can be made there, so it is read as one that does not change."""
    copy = shelf.Home(tmp_path / "home")
    copy.fill(9)
    key = Verifier.parse((copy.keys / "ledger.vkey").read_text())

    def refuse(path: Path) -> None:
        raise apsw.CantOpenError(str(path))

    monkeypatch.setattr("daybreak.ledger.database.connect_reader", refuse)
    check_proof(prove(copy.ledger, key, [5]), [key])
    (copy.ledger / "ledger.db-wal").write_bytes(b"events")
    with pytest.raises(LedgerStopped, match="holds events"):
        prove(copy.ledger, key, [5])


def test_no_proof_comes_from_what_is_no_ledger(home: Any, tmp_path: Path) -> None:
    """Nothing there, another file, another's key: typed, and nothing is made."""
    with pytest.raises(LedgerMissing):
        prove(tmp_path, home.key, [0])
    assert list(tmp_path.iterdir()) == []
    stranger = shelf.Home(tmp_path / "stranger")
    stranger.fill(1)
    with pytest.raises(ProofByAnother, match="is of the log"):
        prove(stranger.ledger, home.key, [0])
    stranger.sql("PRAGMA application_id = 7")
    with pytest.raises(LedgerForeign):
        prove(stranger.ledger, home.key, [0])


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE event SET payload = CAST('{}' AS BLOB) WHERE leaf = 40", LedgerTampered),
        (
            "UPDATE event SET header = CAST(replace(CAST(header AS TEXT), 'step', 'stop') AS BLOB) WHERE leaf = 40",
            NotIncluded,
        ),
        ("DELETE FROM event WHERE leaf = 40", LedgerTampered),
        ("DELETE FROM tile WHERE level = 0 AND n = 0", LedgerTampered),
        ("UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND n = 0", NotIncluded),
        ("DELETE FROM head", LedgerTampered),
    ],
)
def test_a_ledger_that_was_tampered_with_gives_no_proof(
    home: Any, tmp_path: Path, statement: str, what: type[Exception]
) -> None:
    """A proof that would not check is never handed out."""
    # shows: N3, N7
    shutil.copytree(home.root, tmp_path / "home")
    broken = shelf.Home(tmp_path / "home")
    broken.sql(statement)
    with pytest.raises(what):
        prove(broken.ledger, home.key, [40])


def test_a_proof_in_either_form_says_the_same(home: Any, prover: Prover) -> None:
    """What goes into a tlog-proof comes out of it, so nothing is lost by handing that out."""
    made = prover.prove([20], chain=2, payloads=True)
    assert read_proof(write_tlog(made)) == read_proof(write_bundle(made)) == made
