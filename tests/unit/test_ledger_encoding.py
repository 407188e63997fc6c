"""Headers are canonical JSON; payloads are the bytes that were hashed; drafts that cannot be written are refused."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, ClassVar

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from tests.unit import ledger_home as home

from daybreak import events
from daybreak.errors import DraftRefused, LedgerTampered
from daybreak.ledger import Draft, UnknownEvent
from daybreak.ledger.record import INTEGER_MAX, Header, Submission, decode_header, encode_header
from daybreak.testing.clock import FakeClock
from daybreak.testing.memory_ledger import MemoryLedger

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
NUMBER = st.integers(0, INTEGER_MAX)
MAYBE = st.none() | TEXT
HEADERS = st.builds(
    Header,
    actor=TEXT,
    commit=MAYBE,
    epoch=st.none() | NUMBER,
    gen=NUMBER,
    id=TEXT,
    idem=MAYBE,
    key=TEXT,
    payload=TEXT,
    prev=MAYBE,
    seq=NUMBER,
    stream=TEXT,
    trace=TEXT,
    ts=TEXT,
    type=TEXT,
    v=NUMBER,
)


@given(HEADERS)
def test_the_fast_encoder_gives_canonical_json(header: Header) -> None:
    """msgspec and an independent implementation of RFC 8785 write the same bytes, and read the same back."""
    # shows: N3
    raw = encode_header(header)
    assert raw == rfc8785.dumps(msgspec.to_builtins(header))
    assert decode_header(raw) == header


@given(
    actor=TEXT.filter(lambda text: "\0" not in text),
    trace=TEXT.filter(lambda text: "\0" not in text),
    idem=TEXT.filter(lambda text: "\0" not in text),
    gen=NUMBER,
)
def test_every_accepted_draft_has_a_canonical_header(actor: str, trace: str, idem: str, gen: int) -> None:
    """Whatever a caller may put into a draft, the stored header is what RFC 8785 says, and hashes to the leaf."""
    # shows: N3
    ledger = MemoryLedger(clock=FakeClock(), entropy=home.seeded())
    (record,) = ledger.append([Draft("queue", home.step(), actor=actor, trace=trace, idem=idem, gen=gen)])
    assert record.header == rfc8785.dumps(msgspec.json.decode(record.header))
    assert record.hash == sha256(b"\x00" + record.header).digest()
    assert (record.actor, record.trace, record.idem, record.gen) == (actor, trace, idem, gen)
    assert msgspec.json.decode(record.header)["payload"] == sha256(record.payload).hexdigest()


class Odd(events.Event, frozen=True, kw_only=True):
    """Takes anything at all."""

    type: ClassVar[str] = "test.odd"
    value: Any


class Typeless(events.Event, frozen=True, kw_only=True):
    """An event class that forgot its type."""


LOOP: list[Any] = []
LOOP.append(LOOP)

BAD = {
    "nothing at all": [],
    "an event without a type": [Draft("queue", Typeless())],
    "no event": [Draft("queue", {"type": "step.done"})],  # type: ignore[arg-type]
    "a stream without a name": [Draft("", home.step())],
    "a stream with a space": [Draft("a b", home.step())],
    "a stream beyond ASCII": [Draft("grün", home.step())],
    "a stream that is too long": [Draft("s" * 201, home.step())],
    "a stream with a line end": [Draft("queue\n", home.step())],
    "a stream of bytes": [Draft(b"queue", home.step())],  # type: ignore[arg-type]
    "a negative generation": [Draft("queue", home.step(), gen=-1)],
    "a generation beyond 2**53": [Draft("queue", home.step(), gen=2**53)],
    "an epoch that is true": [Draft("queue", home.step(), epoch=True)],
    "an epoch with a fraction": [Draft("queue", home.step(), epoch=1.0)],  # type: ignore[arg-type]
    "half a surrogate pair": [Draft("queue", home.step(), actor="\ud800")],
    "a NUL": [Draft("queue", home.step(), idem="a\0b")],
    "an actor that is too long": [Draft("queue", home.step(), actor="a" * 4097)],
    "a value that is no JSON": [Draft("queue", Odd(value=object()))],
    "a surrogate in the payload": [Draft("queue", Odd(value="\ud800"))],
    "a value that contains itself": [Draft("queue", Odd(value=LOOP))],
}


@pytest.mark.parametrize("drafts", BAD.values(), ids=BAD.keys())
def test_a_draft_that_cannot_be_written_is_refused(drafts: list[Draft]) -> None:
    """Each is an error that names the stream and what is wrong, and nothing is appended."""
    # shows: N16, P8
    ledger = MemoryLedger(clock=FakeClock())
    with pytest.raises(DraftRefused) as caught:
        ledger.append(drafts)
    assert caught.value.hint
    assert len(list(ledger.read_all())) == 1


def test_a_typed_event_comes_back_typed() -> None:
    """What was appended is what is read, through the stored bytes."""
    ledger = MemoryLedger(clock=FakeClock())
    (record,) = ledger.append([Draft("queue", home.step(7, {"a": [1, 2.5, None, "ü"]}))])
    assert record.event == home.step(7, {"a": [1, 2.5, None, "ü"]})


def test_an_event_of_a_newer_version_can_be_shown() -> None:
    """An unknown type keeps its name and its fields."""
    ledger = MemoryLedger(clock=FakeClock())
    (record,) = ledger.append([Draft("queue", Odd(value={"deep": [1]}))])
    assert record.event == UnknownEvent(name="test.odd", fields={"value": {"deep": [1]}})


def test_fields_of_a_newer_version_are_passed_over() -> None:
    """A known type with a field more is still that type."""
    ledger = MemoryLedger(clock=FakeClock())
    (record,) = ledger.append([Draft("queue", home.step(1))])
    newer = msgspec.structs.replace(record, payload=record.payload[:-1] + b',"since":2}')
    assert newer.event == home.step(1)


def test_a_payload_of_another_shape_is_an_error() -> None:
    """A known type whose fields do not fit is named with its place, never guessed at."""
    ledger = MemoryLedger(clock=FakeClock())
    (record,) = ledger.append([Draft("queue", home.step(1))])
    broken = msgspec.structs.replace(record, payload=b'{"run":3}')
    with pytest.raises(LedgerTampered, match=r"event 1 \(queue, seq 0\)"):
        _ = broken.event


def test_encoding_happens_once() -> None:
    """A submission holds the bytes and their hash; the ledger stores exactly these."""
    submission = Submission([Draft("queue", home.step(3))])
    ledger = MemoryLedger(clock=FakeClock())
    (record,) = ledger.append([Draft("queue", home.step(3))])
    assert record.payload == submission.payloads[0]
    assert decode_header(record.header).payload == submission.digests[0]
