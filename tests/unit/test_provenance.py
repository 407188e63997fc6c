"""What a delivery says of where it comes from: readable by others, true, and nothing that was changed passes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit import provenance_scene as scenes
from tests.unit.provenance_scene import HELD_OUT, RUN, WORKSPACE, Scene, decided

from daybreak import events
from daybreak.errors import DaybreakError
from daybreak.factory import deliver
from daybreak.factory.phases.rejected import RejectedBuild
from daybreak.factory.phases.takeover import Taken
from daybreak.factory.provenance import checking, making, statement, vouching
from daybreak.factory.provenance.checking import FolderUnusable, OtherRun, ProvenanceMissing
from daybreak.factory.provenance.statement import StatementWrong
from daybreak.factory.provenance.vouching import NotVouched
from daybreak.host.tree import NotATree
from daybreak.ledger import Prover, Verifier, dsse, keyfile
from daybreak.ledger.bundle import Bundle, Handover, Keys
from daybreak.ledger.dsse import EnvelopeByAnother, EnvelopeByEndedKey, EnvelopeChanged, EnvelopeUnreadable
from daybreak.ledger.note import NoteError, Signer
from daybreak.ledger.proofcheck import NotContinued

_RESOURCE = {
    "type": "object",
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}, {"required": ["content"]}],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "uri": {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:"},
        "digest": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]+$"},
        },
        "mediaType": {"type": "string", "pattern": "^[a-z]+/"},
        "annotations": {"type": "object"},
    },
    "additionalProperties": False,
}
_MOMENT = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "items": {"allOf": [_RESOURCE, {"required": ["name", "digest"]}]},
        },
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object",
            "required": ["buildDefinition", "runDetails"],
            "additionalProperties": False,
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "required": ["buildType", "externalParameters"],
                    "additionalProperties": False,
                    "properties": {
                        "buildType": {"type": "string", "pattern": "^[a-z]+:"},
                        "externalParameters": {"type": "object", "minProperties": 1},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": _RESOURCE},
                    },
                },
                "runDetails": {
                    "type": "object",
                    "required": ["builder"],
                    "additionalProperties": False,
                    "properties": {
                        "builder": {
                            "type": "object",
                            "required": ["id"],
                            "additionalProperties": False,
                            "properties": {
                                "id": {"type": "string", "pattern": "^[a-z]+:"},
                                "version": {"type": "object", "additionalProperties": {"type": "string"}},
                                "builderDependencies": {"type": "array", "items": _RESOURCE},
                            },
                        },
                        "metadata": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "invocationId": {"type": "string"},
                                "startedOn": _MOMENT,
                                "finishedOn": _MOMENT,
                            },
                        },
                        "byproducts": {"type": "array", "items": _RESOURCE},
                    },
                },
            },
        },
    },
    "additionalProperties": False,
}
"""What in-toto (Statement v1, ResourceDescriptor v1) and SLSA (provenance v1) ask of such a statement."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: most of the time of a test would go into it."""
    folder = tmp_path_factory.mktemp("made")
    Scene(folder).whole()
    return folder


@pytest.fixture
def scene(made: Path, tmp_path: Path) -> Scene:
    """A delivery and its home, to be spoiled."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Scene(tmp_path)


@pytest.fixture
def key(scene: Scene) -> Verifier:
    return keyfile.load_verifier(scene.home.keys)


# -- readers that know nothing of Daybreak


def test_a_reader_with_nothing_but_an_ed25519_key_verifies_it(scene: Scene, key: Verifier) -> None:
    """DSSE as its specification says, written out: the key, the encoding that is signed, the signature."""
    # shows: F12 N9
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.text.split("+", 2)[2])[1:])
    envelope = json.loads(scene.file.read_bytes())
    payload = base64.b64decode(envelope["payload"], validate=True)
    kind = envelope["payloadType"].encode()
    signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    (signature,) = envelope["signatures"]
    assert kind == b"application/vnd.in-toto+json"
    assert signature["keyid"] == f"{key.origin}+{key.key_id}"
    public.verify(base64.b64decode(signature["sig"]), signed)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature["sig"]), signed + b" ")
    for one in json.loads(payload)["subject"]:
        assert sha256((scene.out / one["name"]).read_bytes()).hexdigest() == one["digest"]["sha256"]


def test_the_statement_is_what_in_toto_and_slsa_ask_for(scene: Scene) -> None:
    """Every field that is required is there, nothing stands where the specifications know no field."""
    told = scene.stated()
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    assert told["predicate"]["buildDefinition"]["buildType"] == statement.BUILD_TYPE
    page = Path(__file__).parents[2] / "docs" / "reference" / "provenance.md"
    assert statement.BUILD_TYPE in page.read_text(), "the page of the build type"


def test_every_delivered_file_is_a_subject_but_the_envelope_itself(scene: Scene) -> None:
    """The manifest too; and what may be executed says so."""
    told = {one["name"]: one for one in scene.stated()["subject"]}
    assert set(told) == {"README.md", "run.sh", "src/notes/é.py", deliver.MANIFEST}
    assert [name for name, one in told.items() if one.get("annotations")] == ["run.sh"]


def test_it_names_what_went_in_and_what_was_seen(scene: Scene) -> None:
    """The specification, workers, models, the gate's verdict with its event, the evidence of this very workspace."""
    told = scene.stated()["predicate"]
    definition, details = told["buildDefinition"], told["runDetails"]
    assert definition["externalParameters"]["specification"] == {"sha256": "2" * 64}
    named = {one["name"]: one for one in definition["resolvedDependencies"]}
    assert named["worker"]["uri"] == "https://daybreak.local/worker/json%3Aone"
    assert named["model"]["annotations"] == {"provider": "local", "model": "small/1", "calls": 2}
    assert named["model"]["uri"].endswith("/local/small%2F1")
    assert {"ruff", "mypy", "pytest"} <= set(named)
    seen = {one["name"]: one for one in details["byproducts"]}
    assert [one["name"] for one in details["byproducts"]].count("tests") == 1, "evidence of another tree is left out"
    with scene.open() as ledger:
        gate = next(one for one in ledger.read(f"run:{RUN}") if one.type == "gate.decided")
        assert seen["gate"]["annotations"] == {"event": gate.index, "verdict": "passed", "score": 97.5}
        assert "digest" not in seen["gate"], "its payload names what was held out"
        place = {"origin": ledger.verifier.origin, "size": gate.index + 1, "root": ledger.root(gate.index + 1).hex()}
        assert seen["ledger"]["annotations"] == place
        tests = [one for one in ledger.read(f"run:{RUN}") if b'"tests"' in one.payload][-1]
        assert seen["tests"]["digest"]["sha256"] == sha256(tests.payload).hexdigest()
    assert details["metadata"]["invocationId"] == RUN


def test_what_earlier_runs_left_for_it_is_named_and_a_persons_words_are_not(tmp_path: Path) -> None:
    """A tree and artefacts that were taken over, and what was rejected."""
    scene = Scene(tmp_path)
    taken = Taken(run="run-0", phases=("design",), gates={"design": 3}, artefacts={"design": "3" * 64}, tree="4" * 64)
    rejected = RejectedBuild(run="run-9", because="Ada says no", tree="5" * 64)
    with scene.open() as ledger:
        scene.happens(ledger)
        args = scene.built(ledger).args.model_copy(update={"taken": taken, "rejected": rejected})
        scene.deliver(ledger, args=args)
    told = scene.stated()["predicate"]["buildDefinition"]["resolvedDependencies"]
    named = {one["name"]: (one["digest"]["sha256"], one["annotations"]["run"]) for one in told if "run" in str(one)}
    assert named == {
        "taken over": ("4" * 64, "run-0"),
        "taken over: design": ("3" * 64, "run-0"),
        "rejected": ("5" * 64, "run-9"),
    }
    assert "Ada says" not in json.dumps(scene.stated())
    jsonschema.Draft202012Validator(SCHEMA).validate(scene.stated())


def test_nothing_of_a_held_out_example_or_of_the_machine_is_in_it(scene: Scene) -> None:
    """Neither its name nor a hash to try guesses against, of the gate's table neither; no folder of the user's."""
    text = json.dumps(scene.stated())
    with scene.open() as ledger:
        hidden = [one for one in ledger.read(f"run:{RUN}") if HELD_OUT.encode() in one.payload]
    assert len(hidden) == 2, "the evidence and the gate's table"
    for word in (HELD_OUT, "secret", "/home", str(scene.out.parent), *(sha256(o.payload).hexdigest() for o in hidden)):
        assert word not in text
    (one,) = (one for one in scene.stated()["predicate"]["runDetails"]["byproducts"] if "held" in one["name"])
    assert one["annotations"] == {"examples": 1, "passed": 1}


def test_a_secret_in_a_name_that_a_worker_chose_is_not_handed_on(tmp_path: Path) -> None:
    """Names of models come from outside; whatever they hold cannot break the statement either."""
    secret = "ghp_" + "a1B2" * 9
    scene = Scene(tmp_path)
    with scene.open() as ledger:
        scene.happens(
            ledger, scenes.claimed(worker=f"json:{secret}"), scenes.called(model='x"}\n\u202e' * 200), decided()
        )
        scene.deliver(ledger)
    assert secret not in json.dumps(scene.stated())
    assert scene.check().verified


def test_a_folder_in_a_name_that_somebody_chose_is_not_handed_on(tmp_path: Path) -> None:
    """Programs that serve models on one's own machine call them by their files; providers may be named by address."""
    scene = Scene(tmp_path)
    with scene.open() as ledger:
        scene.happens(
            ledger,
            scenes.claimed(worker="/home/lovelace/bin/agent"),
            scenes.called("http://lovelace-laptop:8080/v1", "/home/lovelace/models/small.gguf"),
            scenes.called("local", "C:\\Users\\lovelace\\other.gguf"),
            scenes.called("local", "~lovelace/third.gguf"),
            scenes.called("local", "qwen/small:8b"),
            decided(),
        )
        scene.deliver(ledger)
    text = json.dumps(scene.stated())
    assert "lovelace" not in text
    named = scene.stated()["predicate"]["buildDefinition"]["resolvedDependencies"]
    models = {one["annotations"]["model"] for one in named if one["name"] == "model"}
    assert models == {"small.gguf", "other.gguf", "third.gguf", "qwen/small:8b"}
    assert scene.check().verified


# -- made again


def test_the_same_delivery_made_again_has_the_same_bytes(tmp_path: Path) -> None:
    """After a crash between putting and recording, whatever else the ledger has heard meanwhile."""
    # shows: N4 F12
    scene = Scene(tmp_path)
    with scene.open() as ledger:
        scene.happens(ledger)
        first = scene.deliver(ledger, tell=False)
        before = scene.file.read_bytes()
    scene.home.fill(5)
    with scene.open() as ledger:
        again = scene.deliver(ledger)
    assert (again, scene.file.read_bytes()) == (first, before)
    assert scene.check().verified


def test_a_key_that_was_rotated_between_the_crash_and_the_resumption_signs_it_anew(tmp_path: Path) -> None:
    """The ledger names the one that lies there."""
    scene = Scene(tmp_path)
    with scene.open() as ledger:
        scene.happens(ledger)
        first = scene.deliver(ledger, tell=False)
        ledger.rotate_key()
        again = scene.deliver(ledger)
    assert first.provenance != again.provenance
    assert scene.check().verified


@pytest.mark.parametrize("decision", [decided("8" * 64), decided(verdict="failed"), decided(verdict="parked")])
def test_a_delivery_that_no_gate_has_let_pass_is_refused(tmp_path: Path, decision: events.GateDecided) -> None:
    """No statement is made about another tree's decision, nor of one that went against it."""
    scene = Scene(tmp_path)
    with scene.open() as ledger:
        scene.happens(ledger, decision)
        with pytest.raises(StatementWrong, match="no gate has let pass"):
            scene.deliver(ledger)
    assert not scene.out.exists()


def test_a_delivery_whose_provenance_was_taken_away_is_not_exchanged(scene: Scene) -> None:
    """It counts among what was delivered."""
    scene.file.unlink()
    assert deliver.changes(scene.out) == [f"removed {statement.FILE}"]
    with scene.open() as ledger, pytest.raises(deliver.ChangedSince):
        scene.deliver(ledger)


def test_what_an_older_version_delivered_stays_ours_without_one(tmp_path: Path) -> None:
    """And a file of that name that somebody put there is an addition like any other."""
    scene = Scene(tmp_path)
    deliver.put(scene.project(), scene.out, {"name": "notes", "run": RUN})
    assert deliver.changes(scene.out) == []
    scene.file.write_text("mine")
    assert deliver.changes(scene.out) == [f"added {statement.FILE}"]


# -- what one key signs cannot be taken for something else


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([statement.PAYLOAD_TYPE, "text/plain", "a\nb", ""]),
    st.binary(max_size=80),
    st.from_regex(r"[a-z./-]{1,20}", fullmatch=True),
)
def test_nothing_in_an_envelope_can_be_a_head(kind: str, payload: bytes, origin: str) -> None:
    """A head's first line is its log's name, which has no space; what an envelope signs begins `DSSEv1 `."""
    # shows: N9
    signed = dsse.pae(kind, payload)
    assert signed.startswith(b"DSSEv1 ")
    assert b" " in signed.partition(b"\n")[0]
    head = Signer(origin, bytes(32)).sign(3, bytes(32)).text
    assert b" " not in head.partition("\n")[0].encode()
    for statement_of_keys in (b"daybreak: a key is handed over\n", b"daybreak: a key is revoked\n"):
        assert not signed.startswith(statement_of_keys)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.text(), st.binary()), st.tuples(st.text(), st.binary()))
def test_two_contents_never_sign_as_one(one: tuple[str, bytes], other: tuple[str, bytes]) -> None:
    """Lengths are of bytes and stand before what they measure."""
    encodable = [pair for pair in (one, other) if pair[0].encode("utf-8", "ignore").decode() == pair[0]]
    if len(encodable) == 2:
        assert (dsse.pae(*one) == dsse.pae(*other)) == (one == other)


def test_a_heads_signature_does_not_pass_in_an_envelope_nor_the_other_way(scene: Scene, key: Verifier) -> None:
    """With the real key and the real bytes."""
    head = (scene.home.witness / "head").read_text()
    body, _, signatures = head.partition("\n\n")
    raw = base64.b64decode(signatures.split(" ")[2])[4:]
    stolen = dsse.Envelope(
        statement.PAYLOAD_TYPE,
        base64.b64encode(f"{body}\n".encode()).decode(),
        [dsse.Signature(dsse.keyid_of(key), base64.b64encode(raw).decode())],
    )
    with pytest.raises(EnvelopeChanged):
        dsse.opened(stolen.data, statement.PAYLOAD_TYPE, [key])
    with scene.open() as ledger:
        payload = f"{key.origin}\n1\n{base64.b64encode(bytes(32)).decode()}\n"
        signature, _ = ledger.vouch(dsse.pae("x", payload.encode()))
        prefix = base64.b64decode(signatures.split(" ")[2])[:4]
        note = base64.b64encode(prefix + base64.b64decode(signature)).decode()
        with pytest.raises(NoteError, match="does not fit"):
            key.open(f"{payload}\n— {key.origin} {note}\n")


def test_the_ledger_signs_nothing_that_begins_as_a_head_does(scene: Scene) -> None:
    """Whoever asks: the rule is in one place."""
    with scene.open() as ledger:
        for text in (f"{ledger.verifier.origin}\n9\nAAAA\n", "", "x", "\nDSSEv1 "):
            with pytest.raises(ValueError, match="holds a space"):
                ledger.vouch(text.encode())


# -- nothing that was changed passes


def _replace(path: str, data: bytes) -> Callable[[Path], object]:
    return lambda out: (out / path).write_bytes(data)


def _link(path: str, target: str) -> Callable[[Path], object]:
    def work(out: Path) -> None:
        data = (out / path).read_bytes()
        (out / path).unlink()
        (out.parent / "twin").write_bytes(data)
        (out / path).symlink_to(target)

    return work


def _folder_elsewhere(out: Path) -> None:
    (out / "src").rename(out.parent / "moved")
    (out / "src").symlink_to(out.parent / "moved")


def _twin(out: Path) -> None:
    one = out / "src" / "notes" / unicodedata.normalize("NFC", "é.py")
    one.rename(one.with_name(unicodedata.normalize("NFD", "é.py")))


def _socket(out: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(out)
        one.bind("sock")


CHANGES: list[tuple[Callable[[Path], object], list[str]]] = [
    (_replace("README.md", b"notes!\n"), ["changed README.md"]),
    (_replace("README.md", b""), ["changed README.md"]),
    (_replace(deliver.MANIFEST, b"{}"), [f"changed {deliver.MANIFEST}"]),
    (lambda out: (out / "README.md").unlink(), ["missing README.md"]),
    (lambda out: (out / "run.sh").chmod(0o644), ["changed run.sh (it may not be executed now)"]),
    (lambda out: (out / "README.md").chmod(0o755), ["changed README.md (it may be executed now)"]),
    (_replace("src/notes/more.py", b""), ["added src/notes/more.py"]),
    (_replace(".hidden", b""), ["added .hidden"]),
    (lambda out: (out / "src" / "__pycache__").mkdir(), ["added src/__pycache__/"]),
    (lambda out: (out / ".git").mkdir(), ["added .git/"]),
    (lambda out: os.mkfifo(out / "pipe"), ["added pipe (a special file)"]),
    (_socket, ["added sock (a special file)"]),
    (lambda out: (out / "link").symlink_to("/etc/passwd"), ["added link (a symbolic link)"]),
    (_link("README.md", "../twin"), ["changed README.md (it is a symbolic link)"]),
    (
        lambda out: ((out / "README.md").unlink(), os.mkfifo(out / "README.md")),
        ["changed README.md (it is a special file)"],
    ),
    (lambda out: ((out / "README.md").unlink(), (out / "README.md").mkdir()), ["changed README.md (it is a folder)"]),
    (_folder_elsewhere, ["added src (a symbolic link)", "missing src/notes/\u00e9.py"]),
    (lambda out: (out / "src" / statement.FILE).write_text(""), [f"added src/{statement.FILE}"]),
    (_twin, ["added 'src/notes/e\\u0301.py'", "missing 'src/notes/\\xe9.py'"]),
    (lambda out: os.rename(out / "README.md", out / "readme.md"), ["missing README.md", "added readme.md"]),
    (lambda out: open(os.fsencode(out) + b"/\xff\xfe", "wb").close(), ["added '\\udcff\\udcfe'"]),
    (lambda out: (out / "a\x1b[31m\nb").write_text(""), ["added 'a\\x1b[31m\\nb'"]),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_whatever_is_changed_is_named_and_does_not_pass(
    scene: Scene, change: Callable[[Path], object], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what nobody lists by habit: caches, links, pipes, modes, twins of names. Nothing waits or is followed."""
    # shows: F12
    monkeypatch.chdir(scene.out.parent)  # a test goes elsewhere for a moment
    change(scene.out)
    assert scene.differs() == told


def test_files_of_ones_own_are_named_and_can_be_left_out_of_account(scene: Scene) -> None:
    """Only what was added; what was changed never passes."""
    (scene.out / "notes.db").write_text("mine")
    (scene.out / "venv" / "lib").mkdir(parents=True)
    found = scene.check(allow_extra=True)
    assert found.verified
    assert found.told(found.extra) == ["added notes.db", "added venv/"]
    (scene.out / "README.md").write_text("mine")
    assert not scene.check(allow_extra=True).verified


def test_a_folder_that_the_statement_does_not_speak_of_is_not_entered(scene: Scene) -> None:
    """However much lies in it, and whether or not it can be read."""
    deep = scene.out / "mine"
    for _ in range(200):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (scene.out / "mine").chmod(0)
    assert scene.differs() == ["added mine/"]
    (scene.out / "mine").chmod(0o755)


def test_a_folder_with_far_more_than_was_delivered_is_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In entries and in bytes, before memory is spent."""
    monkeypatch.setattr(checking, "DELIVERED", deliver.tree.Limits(entries=3, bytes=10_000))
    with pytest.raises(FolderUnusable, match="more than 3 files"):
        scene.check()
    monkeypatch.setattr(checking, "DELIVERED", deliver.tree.Limits(entries=3_000, bytes=100))
    with pytest.raises(FolderUnusable, match="more than 100 bytes"):
        scene.check()


# -- the envelope


def _spoiled(change: Callable[[dict[str, Any]], object]) -> Callable[[Scene], bytes]:
    def make(scene: Scene) -> bytes:
        told = scene.envelope()
        change(told)
        return json.dumps(told, separators=(",", ":")).encode() + b"\n"

    return make


def _other(told: dict[str, Any]) -> None:
    payload = json.loads(base64.b64decode(told["payload"]))
    payload["subject"].pop()
    told["payload"] = base64.b64encode(json.dumps(payload, separators=(",", ":")).encode()).decode()


def _flip(told: dict[str, Any]) -> None:
    raw = bytearray(base64.b64decode(told["signatures"][0]["sig"]))
    raw[5] ^= 1
    told["signatures"][0]["sig"] = base64.b64encode(raw).decode()


SPOILED: list[tuple[Callable[[Scene], bytes], type[DaybreakError]]] = [
    (lambda scene: b"", EnvelopeUnreadable),
    (lambda scene: b"{" * 200_000, EnvelopeUnreadable),
    (lambda scene: b"[" * 200_000 + b"]" * 200_000, EnvelopeUnreadable),
    (lambda scene: b'{"payloadType":"' + b"x" * 1_000_000, EnvelopeUnreadable),
    (lambda scene: b"\xff\xfe", EnvelopeUnreadable),
    (lambda scene: b'{"payload":"","payload":""}', EnvelopeUnreadable),
    (lambda scene: scene.file.read_bytes() * 2, EnvelopeUnreadable),
    (lambda scene: scene.file.read_bytes() + b"\n", EnvelopeUnreadable),
    (lambda scene: scene.file.read_bytes().rstrip(), EnvelopeUnreadable),
    (
        lambda scene: scene.file.read_bytes().replace(b'{"payloadType"', b'{"payload":"","payloadType"'),
        EnvelopeUnreadable,
    ),
    (lambda scene: json.dumps(scene.envelope()).encode(), EnvelopeUnreadable),
    (_spoiled(lambda told: told.update(more=1)), EnvelopeUnreadable),
    (_spoiled(lambda told: told.update(payloadType="application/json")), EnvelopeUnreadable),
    (_spoiled(lambda told: told.update(payload=told["payload"] + "=")), EnvelopeUnreadable),
    (_spoiled(lambda told: told.update(payload="!")), EnvelopeUnreadable),
    (_spoiled(lambda told: told.update(signatures=[])), EnvelopeUnreadable),
    (_spoiled(lambda told: told["signatures"].append({"keyid": "x", "sig": "AAAA"})), EnvelopeUnreadable),
    (_spoiled(lambda told: told["signatures"].append(told["signatures"][0])), EnvelopeUnreadable),
    (_spoiled(lambda told: told["signatures"][0].update(sig="")), EnvelopeChanged),
    (_spoiled(lambda told: told["signatures"][0].update(sig="AAAA")), EnvelopeChanged),
    (_spoiled(lambda told: told["signatures"][0].update(keyid="x", sig="AAAA")), EnvelopeByAnother),
    (_spoiled(_flip), EnvelopeChanged),
    (_spoiled(_other), EnvelopeChanged),
]


@pytest.mark.parametrize(("spoil", "error"), SPOILED)
def test_an_envelope_that_was_spoiled_is_refused(
    scene: Scene, spoil: Callable[[Scene], bytes], error: type[DaybreakError]
) -> None:
    """At once, with an error that says so."""
    scene.file.write_bytes(spoil(scene))
    with pytest.raises(error):
        scene.check()


def test_an_envelope_that_names_another_key_in_its_hint_is_not_the_one_in_the_ledger(scene: Scene) -> None:
    """Nothing signs the hint, so no decision follows from it; but the ledger names the file's bytes."""
    told = scene.envelope()
    told["signatures"][0]["keyid"] = "x"
    scene.file.write_bytes(json.dumps(told, separators=(",", ":")).encode() + b"\n")
    with pytest.raises(NotVouched):
        scene.check()


def _subject(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda told: told["subject"].append({"name": name, "digest": {"sha256": "0" * 64}})


def _place(told: dict[str, Any]) -> dict[str, Any]:
    place: dict[str, Any] = told["predicate"]["runDetails"]["byproducts"][-1]
    return place


FORGED: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda told: told.update(_type="https://in-toto.io/Statement/v0.1"), "Statement/v0.1"),
    (lambda told: told.update(predicateType="https://slsa.dev/provenance/v0.2"), "provenance/v0.2"),
    (lambda told: told["predicate"]["buildDefinition"].update(buildType="https://example.org/"), "example.org"),
    (lambda told: told.update(more=1), "unknown field"),
    (lambda told: told.update(subject=[]), "no file"),
    (lambda told: told["subject"].append(told["subject"][0]), "twice"),
    (lambda told: told["subject"][0]["digest"].update(sha256="0"), "not one SHA-256"),
    (lambda told: told["subject"][0]["digest"].update(sha512="0"), "not one SHA-256"),
    (lambda told: told["predicate"]["runDetails"]["byproducts"].pop(), "where in the ledger"),
    (lambda told: _place(told)["annotations"].update(size=-1), "where in the ledger"),
    (lambda told: _place(told)["annotations"].update(size=True), "where in the ledger"),
    (lambda told: _place(told)["annotations"].update(size=2**80), "can be read"),
    (lambda told: _place(told)["annotations"].update(root=None), "where in the ledger"),
    (_subject("../../etc/passwd"), "no path"),
    (_subject("/etc/passwd"), "no path"),
    (_subject("src//x"), "no path"),
    (_subject("./x"), "no path"),
    (_subject(""), "form"),
    (_subject("a\0b"), "no path"),
    (_subject("x" * 300), "no path"),
    (_subject("/".join(["a"] * 66)), "no path"),
    (_subject("/".join(["a"] * 40_000)), "no path"),
    (_subject(statement.FILE), "no path"),
]


@pytest.mark.parametrize(("forge", "why"), FORGED)
def test_a_statement_that_we_do_not_write_is_refused_although_it_is_signed(
    scene: Scene, forge: Callable[[dict[str, Any]], object], why: str
) -> None:
    """Other types, other predicates, paths that lead out of the folder: nothing of it is looked at."""
    told = scene.stated()
    forge(told)
    payload = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    with scene.open() as ledger:
        scene.forge(ledger, payload)
    with pytest.raises(StatementWrong, match=why):
        scene.check()


@pytest.mark.parametrize("payload", [b"", b"{}", b"[" * 100_000, b'{"_type":1,"_type":2}', b"\xff"])
def test_signed_bytes_that_are_no_statement_are_refused(scene: Scene, payload: bytes) -> None:
    with scene.open() as ledger:
        scene.forge(ledger, payload)
    with pytest.raises(StatementWrong):
        scene.check()


@pytest.mark.parametrize(
    "put",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(path.parent.parent / "aside"),
        lambda path: os.mkfifo(path),
    ],
)
def test_what_stands_in_the_place_of_the_file_is_not_opened(scene: Scene, put: Callable[[Path], object]) -> None:
    """Nothing, a folder, a link to the very file, a pipe that nobody writes to."""
    scene.file.rename(scene.out.parent / "aside")
    put(scene.file)
    with pytest.raises(ProvenanceMissing):
        scene.check()


def test_a_link_to_the_folder_is_not_followed(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(scene.out)
    scene.out = tmp_path / "link"
    with pytest.raises(NotATree):
        scene.check()


# -- the ledger


def test_a_well_signed_statement_that_the_ledger_does_not_name_is_refused(scene: Scene, key: Verifier) -> None:
    """Somebody who could sign for a moment, and could not write the log."""
    (scene.out / "README.md").write_text("mine\n")
    told = scene.stated()
    (one,) = (one for one in told["subject"] if one["name"] == "README.md")
    one["digest"]["sha256"] = sha256(b"mine\n").hexdigest()
    with scene.open() as ledger:
        scene.forge(ledger, told)
    assert checking.check(scene.out, [key]).verified, "with the key alone nobody can tell"
    with pytest.raises(NotVouched, match="has this provenance"):
        scene.check()


def test_the_envelope_of_another_delivery_does_not_fit_this_one(tmp_path: Path) -> None:
    """It is good, and in the ledger, and its files are others."""
    scene = Scene(tmp_path).whole()
    first = scene.file.read_bytes()
    with scene.open() as ledger:
        (tmp_path / "work" / "2").mkdir()
        scene.deliver(ledger, name="other")
    scene.file.write_bytes(first)
    (scene.out / "README.md").write_text("another\n")
    assert scene.differs() == ["changed README.md"]


def test_an_event_that_speaks_of_another_manifest_does_not_vouch(tmp_path: Path) -> None:
    """Event and statement have to agree."""
    scene = Scene(tmp_path)
    with scene.open() as ledger:
        scene.happens(ledger)
        made = scene.deliver(ledger, tell=False)
        scene.tell(ledger, deliver.Manifest(made.files, "7" * 64, made.provenance))
    with pytest.raises(NotVouched, match="another manifest"):
        scene.check()


def test_a_place_in_the_ledger_that_is_another_ones_does_not_vouch(scene: Scene) -> None:
    """The statement says which events there were when it was signed."""
    told = scene.stated()
    (place,) = (one for one in told["predicate"]["runDetails"]["byproducts"] if one["name"] == "ledger")
    place["annotations"]["root"] = "5" * 64
    with scene.open() as ledger:
        scene.forge(ledger, told)
        manifest = sha256((scene.out / deliver.MANIFEST).read_bytes()).hexdigest()
        scene.tell(ledger, deliver.Manifest({}, manifest, sha256(scene.file.read_bytes()).hexdigest()))
    with pytest.raises(NotVouched, match="are not those of the ledger"):
        scene.check()


def test_another_homes_ledger_does_not_know_the_key(scene: Scene, tmp_path: Path) -> None:
    other = Scene(tmp_path / "other").whole()
    other.out = scene.out
    with pytest.raises(EnvelopeByAnother):
        other.check()


# -- keys that go


def test_a_rotation_leaves_what_was_signed_before_good(scene: Scene, key: Verifier) -> None:
    """With the ledger, with the list of keys, and with the old public key alone."""
    # shows: N9
    with scene.open() as ledger:
        ledger.rotate_key()
        ledger.rotate_key()
    known = keyfile.with_history(scene.home.keys, keyfile.load_verifier(scene.home.keys))
    assert scene.check().verified
    assert checking.check(scene.out, [known]).verified
    assert checking.check(scene.out, [key]).verified
    with pytest.raises(EnvelopeByAnother):
        checking.check(scene.out, [known.present])


def test_a_rotation_between_signing_and_recording_is_no_lie(tmp_path: Path) -> None:
    """The event stands behind the rotation, the signature before it."""
    scene = Scene(tmp_path)
    with scene.open() as ledger:
        scene.happens(ledger)
        made = scene.deliver(ledger, tell=False)
        ledger.rotate_key()
        scene.tell(ledger, made)
    assert scene.check().verified


def test_a_revoked_key_is_believed_only_for_what_the_ledger_held_before(scene: Scene) -> None:
    """What it signed alone is nothing any more: a thief writes any time into it."""
    # shows: N9
    with scene.open() as ledger:
        at = next(one for one in ledger.read(f"run:{RUN}") if one.type == "delivered").index
        first = ledger.verifier.key_id
        with Prover(ledger.directory, ledger.verifier) as prover:
            before = prover.prove([at])
        ledger.rotate_key()
        ledger.revoke_key(first, size=at + 1, why="stolen")
    known = keyfile.with_history(scene.home.keys, keyfile.load_verifier(scene.home.keys))
    assert scene.check().verified, "the event was there before"
    with pytest.raises(EnvelopeByEndedKey, match="no event from before"):
        checking.check(scene.out, [known])
    with scene.open() as ledger, Prover(ledger.directory, ledger.verifier) as prover:
        after = prover.prove([at])
    keys = vouching.keys_of(after, [known])
    assert checking.check(scene.out, keys, vouching.by_proof(after, [known])).verified
    with pytest.raises(NotVouched, match="a key that was revoked"):  # a thief could have made it as well
        checking.check(scene.out, [known], vouching.by_proof(before, [known]))
    with scene.open() as ledger:
        ledger.revoke_key(first, size=at, why="stolen earlier")
    with pytest.raises(EnvelopeByEndedKey, match="came after that"):
        scene.check()


def test_a_key_that_handed_over_signs_nothing_of_later(tmp_path: Path) -> None:
    """A kept copy of the old secret, used for a build of after the rotation."""
    scene = Scene(tmp_path)
    with scene.open() as ledger:
        old = keyfile.load(scene.home.keys)
        ledger.rotate_key()
        scene.happens(ledger)
        scene.deliver(ledger)
        told = msgspec.json.encode(scene.stated())
        scene.file.write_bytes(dsse.sealed(statement.PAYLOAD_TYPE, told, lambda said: (old.vouch(said), old.verifier)))
        known = ledger.verifier
        with pytest.raises(EnvelopeByEndedKey, match="handed over"):
            checking.check(scene.out, [known])


# -- a proof that was handed out


def _stolen(scene: Scene, folder: Path) -> tuple[Scene, Bundle]:
    """What whoever has the first key makes of a copy of before the delivery: other files, an envelope that fits them, a
    log of his own that names it, and a proof. Meanwhile the log goes on, and the key is revoked."""
    with scene.open() as ledger:
        scene.happens(ledger)
        made = scene.deliver(ledger, tell=False)
    shutil.copytree(scene.home.root.parent, folder)
    thief = Scene(folder)
    (thief.out / "README.md").write_text("mine\n")
    told = thief.stated()
    (one,) = (one for one in told["subject"] if one["name"] == "README.md")
    one["digest"]["sha256"] = sha256(b"mine\n").hexdigest()
    with thief.open() as ledger:
        thief.forge(ledger, told)
        digests = [sha256((thief.out / name).read_bytes()).hexdigest() for name in (deliver.MANIFEST, statement.FILE)]
        thief.tell(ledger, deliver.Manifest({}, *digests))
        with Prover(ledger.directory, ledger.verifier) as prover:
            proof = prover.prove([ledger.head().size - 1])
    with scene.open() as ledger:
        scene.tell(ledger, made)
        first, size = ledger.verifier.key_id, ledger.head().size
        ledger.rotate_key()
        ledger.revoke_key(first, size=size, why="stolen")
    return thief, proof


def test_a_proof_that_a_revoked_key_signed_itself_does_not_vouch_for_what_it_signed(tmp_path: Path) -> None:
    """Its thief makes another past, with a head as old as he likes."""
    # shows: N9
    scene = Scene(tmp_path / "home")
    thief, proof = _stolen(scene, tmp_path / "thief")
    known = keyfile.with_history(scene.home.keys, keyfile.load_verifier(scene.home.keys))
    with pytest.raises(NotVouched, match="signed by a key that was revoked"):
        checking.check(thief.out, [known], vouching.by_proof(proof, [known]))


def test_a_proof_cannot_bring_an_older_key_and_leave_out_that_it_was_revoked(tmp_path: Path) -> None:
    """The handover is public; with the log's present key alone nobody would know of it. But it binds the past."""
    # shows: N9
    scene = Scene(tmp_path / "home")
    thief, proof = _stolen(scene, tmp_path / "thief")
    known = keyfile.with_history(scene.home.keys, keyfile.load_verifier(scene.home.keys))
    (rotated,) = known.history.rotations
    forged = msgspec.structs.replace(proof, keys=Keys(known.history.first, [Handover(rotated, [])]))
    with pytest.raises(NotContinued):
        checking.check(thief.out, vouching.keys_of(forged, [known.present]), vouching.by_proof(forged, [known.present]))


def test_an_older_delivery_is_well_signed_and_not_that_of_the_run_that_is_expected(scene: Scene, key: Verifier) -> None:
    """Put in the newer one's place by somebody who has both, or kept back: only the reader knows what he expects."""
    with scene.open() as ledger:
        vouch = vouching.by_ledger(ledger, vouching.keys_in(ledger))
        for look in (None, vouch):
            assert checking.check(scene.out, [key], look, run=RUN).verified
            for other in ("run-2", ""):
                with pytest.raises(OtherRun, match="is the delivery of the run run-1, not of"):
                    checking.check(scene.out, [key], look, run=other)


def test_with_a_proof_of_the_event_nothing_else_is_needed(scene: Scene, key: Verifier) -> None:
    """The folder, the proof and the public key: no ledger."""
    # shows: N3
    with scene.open() as ledger, Prover(ledger.directory, ledger.verifier) as prover:
        indexes = {one.type: one.index for one in ledger.read(f"run:{RUN}")}
        good, other = prover.prove([indexes["delivered"]]), prover.prove([indexes["gate.decided"]])
        silent = prover.prove([indexes["delivered"]], withhold=True)
    found = checking.check(scene.out, [key], vouching.by_proof(good, [key]))
    assert found.verified
    assert found.vouched is not None
    assert found.vouched.index == indexes["delivered"]
    for wrong in (other, silent):
        with pytest.raises(NotVouched, match="holds no event"):
            checking.check(scene.out, [key], vouching.by_proof(wrong, [key]))


def test_the_proof_of_another_log_does_not_vouch(scene: Scene, key: Verifier, tmp_path: Path) -> None:
    """Even if both keys are given."""
    other = Scene(tmp_path / "other").whole()
    with other.open() as ledger, Prover(ledger.directory, ledger.verifier) as prover:
        proof = prover.prove([next(one for one in ledger.read(f"run:{RUN}") if one.type == "delivered").index])
    keys = [key, keyfile.load_verifier(other.home.keys)]
    with pytest.raises(NotVouched, match="another log"):
        checking.check(scene.out, keys, vouching.by_proof(proof, keys))


def test_the_workspace_in_it_is_the_one_that_passed(scene: Scene) -> None:
    """The tree that the gate let pass, by its hash."""
    assert scene.stated()["predicate"]["buildDefinition"]["internalParameters"]["workspace"] == WORKSPACE
    assert making.NAMES in statement.BUILD_TYPE
