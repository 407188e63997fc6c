"""Our tree, notes and encodings against implementations that share no code with them, and against published vectors."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path

import jsonschema
import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import ConsistencyProof, InclusionProof, InmemoryTree

from daybreak.ledger import tree
from daybreak.ledger.bundle import FORMAT, Bundle, Entry, Link, Older, read_proof, schema_text, write_bundle, write_tlog
from daybreak.ledger.note import Signer, Verifier

# -- Merkle trees

LEAVES = [b"%d" % number for number in range(300)]
HASHES = [tree.leaf_hash(leaf) for leaf in LEAVES]


def grown(count: int) -> InmemoryTree:
    oracle = InmemoryTree(algorithm="sha256")
    for leaf in LEAVES[:count]:
        oracle.append_entry(leaf)
    return oracle


ORACLE = grown(len(LEAVES))


def subtree(height: int, position: int) -> bytes:
    return tree.fold(b"".join(HASHES[position << height : (position + 1) << height]))


def root(size: int) -> bytes:
    return tree.range_root(0, size, subtree)


SIZES = st.integers(1, len(LEAVES))


@given(SIZES)
def test_roots_are_those_of_the_oracle(size: int) -> None:
    """Of every size."""
    # shows: N3
    assert root(size) == ORACLE.get_root(size)


@given(st.data())
def test_the_oracle_accepts_our_inclusion_proofs(data: st.DataObject) -> None:
    """The same hashes in the same order; it verifies ours, and refuses ours for a neighbour."""
    # shows: N3
    size = data.draw(SIZES)
    index = data.draw(st.integers(0, size - 1))
    ours = tree.inclusion_proof(index, size, subtree)
    theirs = ORACLE.prove_inclusion(index + 1, size)
    assert theirs.path == [HASHES[index], *ours]
    assert tree.verify_inclusion(index, size, HASHES[index], theirs.path[1:], ORACLE.get_root(size))
    InclusionProof("sha256", True, size, index + 1, theirs.rule, [HASHES[index], *ours]).verify(
        HASHES[index], root(size), index=index + 1, size=size
    )


def as_rfc(proof: ConsistencyProof) -> list[bytes]:
    """The oracle goes on down to a leaf where RFC 6962 stops at a whole subtree: fold what lies below."""
    lowest = proof.subset.index(1)
    others = any(proof.subset[lowest + 1 :])
    own = [proof.path[lowest]] if others else []
    if lowest == 0:
        return own + proof.path[1:]
    below = proof.path[0]
    for bit, node in zip(proof.rule, proof.path[1:lowest], strict=False):
        below = tree.node_hash(node, below) if bit else tree.node_hash(below, node)
    return [*own, below, *proof.path[lowest + 1 :]]


@given(SIZES, SIZES)
def test_consistency_proofs_are_those_of_the_oracle(first: int, second: int) -> None:
    """Hash by hash; and each verifies what the other made."""
    # shows: N3
    old, new = sorted((first, second))
    theirs = ORACLE.prove_consistency(old, new)
    theirs.verify(root(old), root(new), prior_size=old, later_size=new)
    ours = tree.consistency_proof(old, new, subtree)
    assert ours == as_rfc(theirs)
    assert tree.verify_consistency(old, new, ORACLE.get_root(old), ORACLE.get_root(new), as_rfc(theirs))


@given(st.integers(1, 2**48), st.data())
def test_proofs_hold_in_trees_larger_than_any_disk(size: int, data: st.DataObject) -> None:
    """A tree of equal leaves needs one hash a level: indexes and sizes far beyond 32 bits are proved all the same."""
    # shows: N3
    levels = [HASHES[0]]
    for _ in range(48):
        levels.append(tree.node_hash(levels[-1], levels[-1]))

    def equal(height: int, _: int) -> bytes:
        return levels[height]

    index = data.draw(st.integers(0, size - 1))
    whole = tree.range_root(0, size, equal)
    path = tree.inclusion_proof(index, size, equal)
    assert len(path) <= 48
    assert tree.verify_inclusion(index, size, HASHES[0], path, whole)
    assert not tree.verify_inclusion(index, size, HASHES[1], path, whole)
    old = data.draw(st.integers(1, size))
    steps = tree.consistency_proof(old, size, equal)
    assert tree.verify_consistency(old, size, tree.range_root(0, old, equal), whole, steps)
    assert old == size or not tree.verify_consistency(old, size, HASHES[1], whole, steps)


@given(st.lists(st.tuples(SIZES, st.integers(0, len(LEAVES) - 1)), min_size=1, max_size=20), st.integers(1, 50))
def test_remembered_subtrees_serve_a_tree_that_grows(asked: list[tuple[int, int]], most: int) -> None:
    """Proofs in trees of any sizes, one after the other, are the same with what earlier ones left behind."""
    # shows: N3
    kept: dict[tuple[int, int], bytes] = {}
    look = tree.remembered(subtree, kept, most)
    for size, index in asked:
        if index < size:
            assert tree.inclusion_proof(index, size, look) == tree.inclusion_proof(index, size, subtree)
            assert tree.consistency_proof(index, size, look) == tree.consistency_proof(index, size, subtree)
            assert len(kept) <= most


# The entries, roots and proofs of the reference implementation of Certificate Transparency:
# github.com/google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc, and the same in
# github.com/transparency-dev/merkle, proof/verify_test.go (Apache 2.0). There, leaves are counted from 1.
CT_LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
CT_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
ONE_OF_8 = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
CT_INCLUSION = {
    (1, 1): (),
    (1, 8): ONE_OF_8,
    (6, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        CT_ROOTS[4],
    ),
    (3, 3): (CT_ROOTS[2],),
    (2, 5): (CT_ROOTS[1], ONE_OF_8[1], "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"),
}
CT_CONSISTENCY = {
    (1, 1): (),
    (1, 8): ONE_OF_8,
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        CT_ROOTS[4],
    ),
    (2, 5): (ONE_OF_8[1], "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"),
    (6, 7): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        CT_ROOTS[4],
    ),
}


def test_the_vectors_of_certificate_transparency_come_out() -> None:
    """Roots of every size, inclusion and consistency proofs, as published."""
    # shows: N3
    hashes = [tree.leaf_hash(bytes.fromhex(leaf)) for leaf in CT_LEAVES]
    roots = [bytes.fromhex(text) for text in CT_ROOTS]

    def vector(height: int, position: int) -> bytes:
        return tree.fold(b"".join(hashes[position << height : (position + 1) << height]))

    for size, expected in enumerate(roots):
        assert tree.range_root(0, size, vector) == expected
    for (leaf, size), path in CT_INCLUSION.items():
        proof = [bytes.fromhex(node) for node in path]
        assert tree.inclusion_proof(leaf - 1, size, vector) == proof
        assert tree.verify_inclusion(leaf - 1, size, hashes[leaf - 1], proof, roots[size])
    for (old, new), path in CT_CONSISTENCY.items():
        proof = [bytes.fromhex(node) for node in path]
        assert tree.consistency_proof(old, new, vector) == proof
        assert tree.verify_consistency(old, new, roots[old], roots[new], proof)


# -- signed notes: a second reader, from https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint


def read_note(note: str, vkey: str) -> str:
    """The text of a signed note. Raises ValueError, InvalidSignature."""
    name, _, rest = vkey.partition("+")
    key_id, _, encoded = rest.partition("+")
    raw = base64.b64decode(encoded)
    assert raw[0] == 1, "Ed25519"
    assert sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id
    end = note.rindex("\n\n")
    text, lines = note[: end + 1], note[end + 2 :]
    assert lines.endswith("\n")
    for line in lines.splitlines():
        dash, signer, signature = line.split(" ")
        assert dash == "\u2014"
        blob = base64.b64decode(signature)
        if signer == name and blob[:4].hex() == key_id:
            Ed25519PublicKey.from_public_bytes(raw[1:]).verify(blob[4:], text.encode())
            return text
    raise ValueError("not signed by this key")


def read_checkpoint(note: str, vkey: str) -> tuple[str, int, bytes]:
    origin, size, digest, *extensions = read_note(note, vkey).splitlines()
    assert extensions == []
    assert str(int(size)) == size
    return origin, int(size), base64.b64decode(digest)


# The example of the reference implementation: golang.org/x/mod, sumdb/note, note_test.go (BSD 3-Clause).
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_keys_are_those_of_the_go_checksum_database() -> None:
    """Its signing key is read, gives its verification key, and both texts come out again; so does its note's text."""
    # shows: N3
    assert Signer.parse(GO_SKEY).verifier.text == GO_VKEY
    assert Signer.parse(GO_SKEY).text == GO_SKEY
    assert Verifier.parse(GO_VKEY).key_id == "c74f20a3"
    assert read_note(GO_NOTE, GO_VKEY).endswith("problem is.\n")
    with pytest.raises(InvalidSignature):
        read_note(GO_NOTE.replace("answer", "Answer"), GO_VKEY)


@given(st.integers(0, 2**53), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_second_reader_understands_our_checkpoints(size: int, digest: bytes, seed: bytes) -> None:
    """Name, size and root, under our key and no other."""
    # shows: N3
    signer = Signer("example.com/log", seed)
    note = signer.sign(size, digest).text
    assert read_checkpoint(note, signer.verifier.text) == ("example.com/log", size, digest)
    with pytest.raises(ValueError, match="not signed"):
        read_checkpoint(note, GO_VKEY)


# -- tlog-proofs: a second reader, from https://c2sp.org/tlog-proof


def read_tlog(proof: bytes) -> tuple[bytes, int, list[bytes], str]:
    """extra, index, path and checkpoint."""
    magic, *lines = proof.decode().split("\n")
    assert magic == "c2sp.org/tlog-proof@v1"
    extra = b""
    if lines[0].startswith("extra "):
        extra = base64.b64decode(lines.pop(0)[6:])
    word, index = lines.pop(0).split(" ")
    assert word == "index"
    end = lines.index("")
    return extra, int(index), [base64.b64decode(line) for line in lines[:end]], "\n".join(lines[end + 1 :])


@given(st.data())
def test_a_second_reader_can_check_our_tlog_proofs(data: st.DataObject) -> None:
    """From the file alone: the record is in `extra`, its leaf hash at the index, the path leads to the signed root."""
    # shows: N3
    size = data.draw(st.integers(1, 100))
    index = data.draw(st.integers(0, size - 1))
    signer = Signer("example.com/log", bytes(32))
    path = [base64.b64encode(node).decode() for node in tree.inclusion_proof(index, size, subtree)]
    note = signer.sign(size, root(size)).text
    proof = write_tlog(Bundle(note, FORMAT, [Entry(LEAVES[index].decode(), index, path)]))
    extra, found, nodes, checkpoint = read_tlog(proof)
    _, signed, digest = read_checkpoint(checkpoint, signer.verifier.text)
    record = json.loads(extra)["header"].encode()
    theirs = ORACLE.prove_inclusion(found + 1, signed)
    InclusionProof("sha256", True, signed, found + 1, theirs.rule, [sha256(b"\0" + record).digest(), *nodes]).verify(
        sha256(b"\0" + record).digest(), digest
    )
    assert read_proof(proof).checkpoint == note


# -- the form of a bundle

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
PATH = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=44), max_size=4)
LINK = st.builds(Link, TEXT, st.none() | TEXT, st.none() | TEXT)
ENTRY = st.builds(Entry, TEXT, st.integers(0, 2**53 - 1), PATH, st.lists(LINK, max_size=2), st.none() | TEXT)
BUNDLE = st.builds(Bundle, TEXT, st.just(FORMAT), st.lists(ENTRY, max_size=2), st.none() | st.builds(Older, TEXT, PATH))
SCHEMA_FILE = Path(__file__).parents[2] / "schema" / "proof.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())


@given(BUNDLE)
def test_a_bundle_is_canonical_json(bundle: Bundle) -> None:
    """The bytes that an independent implementation of RFC 8785 writes; read back, the same; and of the schema."""
    # shows: N3
    data = write_bundle(bundle)
    plain = json.loads(data)
    assert data == rfc8785.dumps(plain) + b"\n"
    assert read_proof(data) == bundle
    jsonschema.Draft202012Validator(SCHEMA).validate(plain)


def test_the_published_schema_is_that_of_the_code() -> None:
    """`python -m daybreak.ledger.bundle > schema/proof.schema.json` makes it; it takes what the reader takes."""
    assert SCHEMA_FILE.read_text() == schema_text()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({"checkpoint": "", "format": FORMAT, "more": 1})
