"""Proofs that lie: whatever is done to the file, the check says what is wrong, in a typed error, and quickly."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit import ledger_home as shelf

from daybreak.errors import DaybreakError
from daybreak.ledger import Bundle, Verifier, check_proof, prove, write_bundle, write_tlog
from daybreak.ledger.bundle import BUNDLE_BYTES, MAGIC, ProofUnreadable, read_proof
from daybreak.ledger.note import Signer
from daybreak.ledger.proofcheck import (
    NOTE_BYTES,
    HeadDiffers,
    HeadUnrelated,
    NotContinued,
    NotIncluded,
    ProofByAnother,
    ProofChanged,
)
from daybreak.ledger.tree import leaf_hash

REFUSALS = (ProofUnreadable, ProofByAnother, ProofChanged, NotIncluded, NotContinued, HeadDiffers, HeadUnrelated)


class Scene:
    """One good proof in both forms, its key, and the parts to make bad ones of."""

    def __init__(self, root: Path) -> None:
        home = shelf.Home(root / "home")
        home.fill(20)
        self.old = (home.witness / "head").read_text()
        home.fill(30, start=20)
        self.new = (home.witness / "head").read_text()
        self.key = Verifier.parse((home.keys / "ledger.vkey").read_text())
        self.signer = Signer.parse((home.keys / "ledger.key").read_text())
        self.made = prove(home.ledger, self.key, [17], older=self.old, chain=2, payloads=True)
        self.bundle = write_bundle(self.made)
        self.tlog = write_tlog(prove(home.ledger, self.key, [17], chain=2))
        self.other = write_bundle(prove(home.ledger, self.key, [18], chain=2))

    def check(self, data: bytes | Bundle, *heads: str) -> None:
        check_proof(data, [self.key], heads)

    def with_changes(self, change: Callable[[dict[str, Any]], object]) -> bytes:
        """The bundle in canonical form, with its content changed."""
        plain = json.loads(self.bundle)
        change(plain)
        return msgspec.json.encode(plain, order="sorted") + b"\n"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(tmp_path_factory.mktemp("scene"))
    for data in (scene.bundle, scene.tlog, scene.other):
        scene.check(data)
    return scene


@pytest.mark.parametrize("form", ["bundle", "tlog"])
def test_no_byte_can_be_changed(scene: Scene, form: str) -> None:
    """Every byte of either form, one bit of it: refused, always by one of the errors that say why."""
    # shows: N3
    data, random = getattr(scene, form), Random(7)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << random.randrange(8)
        with pytest.raises(REFUSALS):
            scene.check(bytes(changed))


@pytest.mark.parametrize("form", ["bundle", "tlog"])
def test_no_byte_can_be_cut_off_or_added(scene: Scene, form: str) -> None:
    """A file that ends early, and one that goes on."""
    # shows: N3
    data = getattr(scene, form)
    for end in range(len(data)):
        with pytest.raises(REFUSALS):
            scene.check(data[:end])
    for more in (b"\n", b" ", b"\0", b"{}", data, b"\n" + data):
        with pytest.raises(REFUSALS):
            scene.check(data + more)
        with pytest.raises(REFUSALS):
            scene.check(more + data)


Change = Callable[[dict[str, Any]], object]
LIES: dict[str, tuple[Change, type[DaybreakError], str]] = {
    "the next index": (lambda plain: plain["events"][0].update(index=18), NotIncluded, "not in the tree of 51"),
    "an index behind the end": (lambda plain: plain["events"][0].update(index=51), NotIncluded, "not among the 51"),
    "the largest index": (lambda plain: plain["events"][0].update(index=2**53 - 1), NotIncluded, "not among"),
    "a path cut short": (lambda plain: plain["events"][0]["path"].pop(), NotIncluded, "its path"),
    "a path that goes on": (lambda plain: plain["events"][0]["path"].append("A" * 43 + "="), NotIncluded, "its path"),
    "a path turned round": (lambda plain: plain["events"][0]["path"].reverse(), NotIncluded, "its path"),
    "a hash of 31 bytes": (
        lambda plain: plain["events"][0]["path"].__setitem__(0, base64.b64encode(bytes(31)).decode()),
        ProofUnreadable,
        "hash 0 of the path of event 17 has 31 bytes",
    ),
    "a path that is no base64": (
        lambda plain: plain["events"][0]["path"].__setitem__(0, "!" * 44),
        ProofUnreadable,
        "is not base64",
    ),
    "another payload": (lambda plain: plain["events"][0].update(payload="{}"), ProofChanged, "the payload of event 17"),
    "two payloads": (
        lambda plain: plain["events"][0].update(payload_base64="e30="),
        ProofUnreadable,
        "event 17 has two payloads",
    ),
    "a header of another type": (
        lambda plain: plain["events"][0].update(header=plain["events"][0]["header"].replace("step.done", "step.gone")),
        NotIncluded,
        "its header",
    ),
    "a header that is no JSON": (lambda plain: plain["events"][0].update(header="{"), ProofChanged, "cannot be read"),
    "a header with a space": (
        lambda plain: plain["events"][0].update(header=plain["events"][0]["header"] + " "),
        ProofChanged,
        "not in canonical form",
    ),
    "a header of a later version": (
        lambda plain: plain["events"][0].update(header=plain["events"][0]["header"].replace('"v":1', '"v":2')),
        ProofUnreadable,
        "has version 2",
    ),
    "a chain with a gap": (lambda plain: plain["events"][0]["chain"].pop(), ProofChanged, "one is missing"),
    "a chain turned round": (
        lambda plain: plain["events"][0]["chain"].reverse(),
        ProofChanged,
        "event 1 of the chain",
    ),
    "a chain that is too long": (
        lambda plain: plain["events"][0].update(chain=plain["events"][0]["chain"] * 9),
        ProofChanged,
        "its stream only 5",
    ),
    "a payload in the chain": (
        lambda plain: plain["events"][0]["chain"][0].update(payload=""),
        ProofChanged,
        "payload of event 0 of the chain",
    ),
    "the checkpoints changed over": (
        lambda plain: plain.update(checkpoint=plain["older"]["checkpoint"], older={**plain["older"], "path": []}),
        NotIncluded,
        "",
    ),
    "a newer checkpoint as the older one": (
        lambda plain: plain.update(
            checkpoint=plain["older"]["checkpoint"],
            older={"checkpoint": plain["checkpoint"], "path": []},
            events=plain["events"][:0],
        ),
        ProofUnreadable,
        "canonical",
    ),
    "a consistency proof cut short": (
        lambda plain: plain["older"]["path"].pop(),
        NotContinued,
        "first 21 of 51 events",
    ),
    "a version that nobody knows": (lambda plain: plain.update(format="daybreak-proof/2"), ProofUnreadable, "format"),
    "a key that nobody knows": (lambda plain: plain.update(extra=1), ProofUnreadable, "unknown field"),
    "a number below zero": (lambda plain: plain["events"][0].update(index=-1), ProofUnreadable, ">= 0"),
    "a fraction": (lambda plain: plain["events"][0].update(index=17.5), ProofUnreadable, "int"),
    "a huge number": (lambda plain: plain["events"][0].update(index=2**63), ProofUnreadable, "9007199254740991"),
    "text for a list": (lambda plain: plain.update(events="all"), ProofUnreadable, "array"),
    "nothing in it": (lambda plain: [plain.pop("events"), plain.pop("older")], ProofUnreadable, "neither an event"),
    "a thousand hashes": (lambda plain: plain["events"][0].update(path=["A" * 44] * 1000), ProofUnreadable, "length"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_named(scene: Scene, lie: str) -> None:
    """Each in a file that is otherwise well formed: the error says which part is not what was signed."""
    # shows: N3
    change, error, words = LIES[lie]
    with pytest.raises(error) as caught:
        scene.check(scene.with_changes(change))
    assert words in caught.value.message
    assert caught.value.hint


def test_parts_of_two_proofs_cannot_be_mixed(scene: Scene) -> None:
    """Header, payload, path, chain and index of the event's neighbour, in every combination but none and all."""
    # shows: N3
    theirs = json.loads(scene.other)["events"][0]
    parts = sorted(theirs)
    for chosen in range(1, 2 ** len(parts) - 1):
        taken = [part for bit, part in enumerate(parts) if chosen >> bit & 1]

        def mix(plain: dict[str, Any], taken: list[str] = taken) -> None:
            plain["events"][0].update({part: theirs[part] for part in taken})

        with pytest.raises(REFUSALS):
            scene.check(scene.with_changes(mix))


def test_another_key_or_another_log_is_named(scene: Scene) -> None:
    """The proof is true, but not by the key that was given; so with a forged note under the right name."""
    # shows: N3
    stranger = Signer("example.com/log", bytes(32))
    with pytest.raises(ProofByAnother, match=r"is of the log .* the key is that of example\.com/log"):
        check_proof(scene.bundle, [stranger.verifier])
    namesake = Signer(scene.key.origin, bytes(32))
    with pytest.raises(ProofByAnother, match=f"not signed by the key {namesake.verifier.key_id}, but by"):
        check_proof(scene.bundle, [namesake.verifier])
    check_proof(scene.bundle, [namesake.verifier, scene.key, stranger.verifier])
    with pytest.raises(ProofByAnother):
        check_proof(scene.bundle, [])

    def forge(plain: dict[str, Any]) -> None:
        plain["checkpoint"] = namesake.sign(51, bytes(32)).text

    with pytest.raises(ProofByAnother):
        scene.check(scene.with_changes(forge))


def test_a_checkpoint_by_the_right_key_over_another_tree_is_refused(scene: Scene) -> None:
    """Even the key's owner cannot put the event where it is not: sizes from nothing to beyond every disk.

    (Sizes near the true one give a path of the same shape; telling those apart takes a consistency proof.)
    """
    # shows: N3
    for size in (0, 1, 17, 18, 2**53, 2**64, 10**4000):

        def sign(plain: dict[str, Any], size: int = size) -> None:
            plain["checkpoint"] = scene.signer.sign(size, scene.key.open(scene.new).root).text
            del plain["older"]

        with pytest.raises((NotIncluded, ProofChanged)):
            scene.check(scene.with_changes(sign))


def test_a_head_that_is_no_note_or_of_another_log_is_refused(scene: Scene) -> None:
    """The head that the caller knows is checked as strictly as the proof itself."""
    with pytest.raises(ProofUnreadable, match="the head known elsewhere is no signed note"):
        scene.check(scene.bundle, "not a note")
    with pytest.raises(ProofByAnother, match="the head known elsewhere is of the log"):
        scene.check(scene.bundle, Signer("example.com/log", bytes(32)).sign(1, bytes(32)).text)
    with pytest.raises(HeadDiffers):
        scene.check(scene.bundle, scene.signer.sign(51, bytes(32)).text)
    with pytest.raises(HeadUnrelated):
        scene.check(scene.bundle, scene.signer.sign(40, bytes(32)).text)
    scene.check(scene.bundle, scene.old, scene.new)


def test_signatures_of_others_on_a_checkpoint_are_left_alone(scene: Scene) -> None:
    """As C2SP asks: a witness signs under ours; unknown keys neither help nor harm, but must be well formed."""
    # shows: N7
    line = f"— witness.example {base64.b64encode(bytes(80)).decode()}\n"

    def cosign(*lines: str) -> bytes:
        return scene.with_changes(lambda plain: plain.update(checkpoint=plain["checkpoint"] + "".join(lines)))

    scene.check(cosign(line))
    scene.check(cosign(*[line] * 20))
    for bad in (
        "\n",
        "x\n",
        "— a+b AAAAAAA=\n",
        "— a b\n",
        "— a AAAA\n",
        line[:-1],
        line.replace(" ", "  "),
        line + "\x01\n",
    ):
        with pytest.raises(ProofUnreadable, match="no signed note"):
            scene.check(cosign(bad))
    with pytest.raises(ProofUnreadable, match="more than 64 signatures"):
        scene.check(cosign(*[line] * 64))
    with pytest.raises(ProofUnreadable, match="longer than"):
        scene.check(cosign("— a " + "A" * NOTE_BYTES + "\n"))
    with pytest.raises(ProofUnreadable, match="no empty lines"):
        scene.check(scene.with_changes(lambda plain: plain.update(checkpoint="a\n\nb" + plain["checkpoint"])))


def test_the_same_content_in_another_form_is_refused(scene: Scene) -> None:
    """Pretty-printed, in another order, escaped otherwise, a key twice: two readers might read two things."""
    plain = json.loads(scene.bundle)
    with pytest.raises(ProofUnreadable, match=r"not in canonical form .* from byte 1 on"):
        scene.check(json.dumps(plain, indent=1).encode())
    with pytest.raises(ProofUnreadable, match="canonical"):
        scene.check(json.dumps(dict(reversed(plain.items()))).encode())
    with pytest.raises(ProofUnreadable, match="canonical"):
        scene.check(scene.bundle.replace(b"daybreak-proof", b"daybreak\\u002dproof"))
    with pytest.raises(ProofUnreadable, match="'index' stands in it twice"):
        scene.check(scene.bundle.replace(b'"index":17', b'"index":18,"index":17'))
    with pytest.raises(ProofUnreadable, match="its last line end is missing"):
        scene.check(scene.bundle[:-1])
    node = plain["events"][0]["path"][0]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    odd = f"{node[:-2]}{alphabet[alphabet.index(node[-2]) + 1]}="
    assert base64.b64decode(odd) == base64.b64decode(node)
    with pytest.raises(ProofUnreadable, match="odd form"):
        scene.check(scene.bundle.replace(node.encode(), odd.encode()))


TLOG_LIES = {
    "no extra": (lambda lines: lines.pop(1), "the line `extra` is missing"),
    "extra that is no base64": (lambda lines: lines.__setitem__(1, "extra !"), "not base64"),
    "extra that is no JSON": (lambda lines: lines.__setitem__(1, "extra e30="), "header"),
    "no index": (lambda lines: lines.pop(2), "does not give an index"),
    "an index with a zero in front": (lambda lines: lines.__setitem__(2, "index 017"), "does not give an index"),
    "an index below zero": (lambda lines: lines.__setitem__(2, "index -1"), "does not give an index"),
    "an index in other digits": (lambda lines: lines.__setitem__(2, "index １"), "does not give an index"),
    "a huge index": (lambda lines: lines.__setitem__(2, "index " + "9" * 5000), "does not give an index"),
    "an index of 2**53": (lambda lines: lines.__setitem__(2, f"index {2**53}"), "does not give an index"),
    "a thousand hashes": (lambda lines: lines.insert(3, "\n".join(["A" * 43 + "="] * 1000)), "longer than 64"),
    "a hash that is none": (lambda lines: lines.__setitem__(3, "?"), "not base64"),
    "no checkpoint": (lambda lines: lines.__delitem__(slice(5, None)), "cut short"),
}


@pytest.mark.parametrize("lie", TLOG_LIES)
def test_a_lie_in_a_tlog_proof_is_named(scene: Scene, lie: str) -> None:
    """The other form is read as strictly."""
    change, words = TLOG_LIES[lie]
    lines = scene.tlog.decode().split("\n")
    change(lines)
    with pytest.raises(ProofUnreadable) as caught:
        scene.check("\n".join(lines).encode())
    assert words in caught.value.message


def test_deep_and_long_files_are_refused_quickly() -> None:
    """64 MiB of brackets, of one number, of one key again and again, and one byte more than is read at all."""
    for data in (
        b"[" * BUNDLE_BYTES,
        b'{"events":' + b"[" * 1_000_000,
        b'{"events":[{"chain":' * 100_000,
        b'{"events":[{"index":' + b"9" * 10_000_000,
        b'{"checkpoint":"' + b"A" * 10_000_000,
        b'{"checkpoint":"",' + b'"format":"daybreak-proof/1",' * 100_000 + b'"format":"daybreak-proof/1"}',
        MAGIC + b"extra " + b"A" * 10_000_000,
        bytes(BUNDLE_BYTES + 1),
        b"",
        b"\xff\xfe",
        b"null",
        MAGIC,
    ):
        with pytest.raises(ProofUnreadable, match="this is no proof"):
            read_proof(data)


@given(st.binary(max_size=200))
@example(b'{"checkpoint":"\\ud800","format":"daybreak-proof/1"}\n')
def test_nonsense_is_refused(data: bytes) -> None:
    """Whatever the bytes, also behind the beginning of a tlog-proof."""
    key = Signer("example.com/log", bytes(32)).verifier
    for form in (data, MAGIC + data):
        with pytest.raises(ProofUnreadable):
            check_proof(form, [key])


def test_only_the_header_is_what_the_leaf_is(scene: Scene) -> None:
    """No inner node of the tree can be passed off as an event: leaves and nodes are hashed differently."""
    # shows: N3
    (entry,) = scene.made.events
    node = leaf_hash(entry.header.encode()) + base64.b64decode(entry.path[0])

    def inner(plain: dict[str, Any]) -> None:
        plain["events"][0].update(header=node.decode("latin-1"), index=8, path=plain["events"][0]["path"][1:])

    with pytest.raises(ProofChanged, match="header of event 8 cannot be read"):
        scene.check(scene.with_changes(inner))
