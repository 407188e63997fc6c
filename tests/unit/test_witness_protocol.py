"""Being a witness: what is signed, what is refused, and that no second history is ever signed."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit import witness_desk as desk

from daybreak.ledger.note import NoteError, Signer
from daybreak.ledger.tree import Frontier, consistency_proof, fold, leaf_hash, range_root
from daybreak.ledger.witness import wire
from daybreak.ledger.witness.cosigning import Cosigner, CosignerKey
from daybreak.ledger.witness.register import Declined, RegisterBroken

LOG = Signer("log.example/1", b"\x01" * 32)
AT = datetime(2023, 3, 20, 12, 12, 27, tzinfo=UTC)


class Tree:
    """A history; `other` is one that differs from event `fork` on."""

    def __init__(self, fork: int = 1 << 40) -> None:
        self.fork = fork

    def leaf(self, at: int) -> bytes:
        return leaf_hash(b"%d%s" % (at, b"!" if at >= self.fork else b""))

    def subtree(self, height: int, position: int) -> bytes:
        return fold(b"".join(self.leaf(position * 2**height + at) for at in range(2**height)))

    def request(self, old: int, new: int, signer: Signer = LOG) -> bytes:
        head = signer.sign(new, range_root(0, new, self.subtree))
        proof = consistency_proof(old, new, self.subtree) if old <= new else []
        return wire.write(old, proof, head.text)


TREE = Tree()


def test_a_cosignature_is_as_the_specification_describes_it() -> None:
    """Key id, time and message are put together by hand from https://c2sp.org/tlog-cosignature and agree."""
    # shows: F4
    import base64
    import hashlib

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = b"\x05" * 32
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    head = LOG.sign(3, Frontier(0).root())
    text = head.text.partition("\n\n")[0] + "\n"
    seconds = 1679314347
    blob = hashlib.sha256(b"w.example/1\n\x04" + public).digest()[:4] + seconds.to_bytes(8, "big")
    blob += key.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
    line = f"— w.example/1 {base64.b64encode(blob).decode()}\n"
    cosigner = Cosigner("w.example/1", seed)
    assert cosigner.sign(head.text, AT) == line
    found = CosignerKey.parse(cosigner.key.text).find(head.text + line)
    assert found is not None
    assert (found.at, found.name) == (AT, "w.example/1")
    assert Cosigner.parse(cosigner.text).sign(head.text, AT) == line


def test_a_cosignature_that_does_not_fit_is_an_error_and_a_strangers_is_none() -> None:
    """Moved to another checkpoint, cut or with another time it is refused; by another key it is not seen."""
    mine, other = desk.cosigner(), desk.cosigner("v.example/1", 8)
    head, next_head = LOG.sign(3, b"\x03" * 32), LOG.sign(4, b"\x04" * 32)
    line = mine.sign(head.text, AT)
    assert other.key.find(head.text + line) is None
    with pytest.raises(NoteError, match="does not fit"):
        mine.key.find(next_head.text + line)
    with pytest.raises(NoteError):
        mine.key.find(head.text + line[:-9] + "AAAAAAA=\n")
    for text in ("", "x", mine.text, LOG.verifier.text, mine.key.text[:-4] + "AAAA"):
        with pytest.raises(NoteError):
            CosignerKey.parse(text)


def test_a_witness_signs_what_continues_its_last_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    """Every refusal has the status of the specification, and changes nothing."""
    # shows: F4
    register = desk.register(tmp_path, LOG.verifier)

    def status(data: bytes) -> tuple[int, str]:
        try:
            return 200, register.add(data)
        except Declined as answer:
            return answer.status, answer.body

    stranger = Signer("other.example", b"\x02" * 32)
    thief = Signer("log.example/1", b"\x09" * 32)
    assert status(TREE.request(0, 5))[0] == 200
    assert status(TREE.request(0, 5)) == (409, "5\n")
    assert status(TREE.request(5, 5))[0] == 200, "the same again is no second history"
    assert status(TREE.request(5, 12))[0] == 200
    assert status(TREE.request(5, 9)) == (409, "12\n"), "a smaller one"
    assert status(TREE.request(12, 9))[0] == 400
    assert status(Tree(fork=3).request(12, 12)) == (409, "12\n"), "another root of the same size"
    assert status(Tree(fork=3).request(12, 20))[0] == 422
    assert status(TREE.request(12, 20, stranger))[0] == 404
    assert status(TREE.request(12, 20, thief))[0] == 403
    assert status(TREE.request(0, 20)) == (409, "12\n")
    for data in (
        b"",
        b"old 12",
        b"old 012\n\n",
        b"old -1\n\nx\n",
        b"old 1\n!!\n\nx",
        b"\xff",
        b"old 1" + b"\nAA==" * 64,
    ):
        assert status(data)[0] == 400
    last = register.last(LOG.verifier.origin)
    assert last is not None
    assert last.size == 12
    assert desk.cosigner().key.find(last.text) is not None


def test_a_witness_that_has_lost_its_memory_or_key_signs_nothing(tmp_path: Path) -> None:
    """A damaged file, or one of another key, is an error at start and at each request, never a beginning."""
    register = desk.register(tmp_path, LOG.verifier)
    register.add(TREE.request(0, 5))
    with pytest.raises(RegisterBroken):
        desk.register(tmp_path, LOG.verifier, key=desk.cosigner(seed=8))
    (file,) = tmp_path.glob("*.note")
    file.write_text(file.read_text().replace("\n5\n", "\n4\n"))
    with pytest.raises(RegisterBroken):
        register.add(TREE.request(4, 6))
    with pytest.raises(RegisterBroken):
        desk.register(tmp_path, LOG.verifier)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0, 7, 20, 99])), max_size=12))
def test_whatever_is_asked_all_that_is_signed_is_one_history(asked: list[tuple[int, int, int]]) -> None:
    """Of any series of requests on four histories, the checkpoints that were cosigned are prefixes of each other."""
    with tempfile.TemporaryDirectory() as folder:
        register = desk.register(Path(folder), LOG.verifier)
        sizes: list[int] = [0]
        signed: list[tuple[int, Tree]] = []
        for old, new, fork in asked:
            tree = Tree(fork)
            try:
                register.add(tree.request(old, new))
            except Declined:
                continue
            signed.append((new, tree))
            assert new >= sizes[-1], "it never goes back"
            sizes.append(new)
        for size, tree in signed:
            longest, last = signed[-1]
            assert range_root(0, size, tree.subtree) == range_root(0, size, last.subtree)
            assert size <= longest


def test_of_many_at_once_one_history_is_signed(tmp_path: Path) -> None:
    """Threads and registers that share the folder race with two histories; only one of them gets signatures."""
    # shows: F4
    registers = [desk.register(tmp_path, LOG.verifier) for _ in range(4)]
    won: list[int] = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        start.wait()
        for size in range(1, 9):
            try:
                registers[number % 4].add(Tree(fork=number % 2 * 1000).request(0, size))
                won.append(number % 2)
            except Declined:
                pass

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1, "all begin from nothing, so only the first one continues what was seen"


def test_over_http_statuses_types_and_the_last_checkpoint_are_as_specified(tmp_path: Path) -> None:
    """Also on one connection, and for requests that are too long, of no length, or of another path."""
    with desk.witness(tmp_path, LOG.verifier) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))

        def ask(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str | None, bytes]:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()

        assert ask("POST", "/add-checkpoint", TREE.request(0, 5))[0] == 200
        assert ask("POST", "/add-checkpoint", TREE.request(0, 7)) == (409, "text/x.tlog.size", b"5\n")
        place = f"/{wire.origin_hash(LOG.verifier.origin)}/checkpoint"
        status, _, note = ask("GET", place)
        assert (status, LOG.verifier.open(note.decode()).size) == (200, 5)
        assert ask("GET", place.replace(place[1:5], "0000"))[0] == 404
        assert ask("GET", "/")[0] == 404
        assert ask("POST", "/", b"x")[0] == 404
        assert (
            ask("POST", "/add-checkpoint", b"x" * (wire.BODY_BYTES_MAX + 1))[0] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
        assert ask("PUT", "/add-checkpoint", b"x")[0] == HTTPStatus.NOT_IMPLEMENTED
        connection.close()


@contextmanager
def _served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command itself, in a process of its own."""
    (folder / "log.vkey").write_text(LOG.verifier.text)
    words = [
        "ledger",
        "witness",
        "serve",
        "--key",
        "w.key",
        "--log",
        "log.vkey",
        "--state",
        "s",
        "--listen",
        "127.0.0.1:0",
    ]
    environment = {**os.environ, "DAYBREAK_HOME": str(folder / "home")}
    process = subprocess.Popen(
        [sys.executable, "-m", "daybreak", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().rpartition(" at ")[2].strip()
        yield process, address
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _post(address: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    connection.request("POST", "/add-checkpoint", body)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data


def test_a_witness_that_is_killed_remembers_what_it_answered(tmp_path: Path) -> None:
    """After kill -9 the same command with the same state refuses another history and goes on with the first."""
    # shows: F4 F7
    with _served(tmp_path) as (process, address):
        assert _post(address, TREE.request(0, 6))[0] == 200
        process.send_signal(signal.SIGKILL)
        process.wait()
    with _served(tmp_path) as (process, address):
        assert _post(address, Tree(fork=2).request(0, 9)) == (409, b"6\n")
        assert _post(address, TREE.request(6, 9))[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "w.key").stat().st_mode & 0o077 == 0
