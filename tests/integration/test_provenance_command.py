"""`daybreak provenance` on a real build: it passes as it was delivered, at home and elsewhere, and in no other way."""

from __future__ import annotations

import base64
import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests import starter
from tests.integration import daybreak_cli
from tests.integration.daybreak_cli import Cli, Ran
from tests.unit import postgres_server

HERE = Path(__file__).parent
ONE_EXAMPLE = daybreak_cli.ONE_EXAMPLE.replace("{holdout}", "0.5")
PROVENANCE = "daybreak.provenance.json"


@dataclass(frozen=True)
class Kills:
    """What was seen of a build that was killed with SIGKILL around its delivery, and resumed."""

    cli: Cli
    before: list[str]
    """In the folder when it was killed before the delivery was put in its place, and after the kill."""
    put: bytes
    """The provenance that lay there after the kill between putting and recording."""
    unrecorded: Ran
    """`verify` at that moment."""


def killed(cli: Cli, when: str, *words: str | Path) -> None:
    command = [str(HERE / "killed_delivering.py"), when, *map(str, words)]
    status, out, err = starter.run(command, folder=cli.folder, environment=cli.environment(), timeout_s=240)
    assert status == -signal.SIGKILL, out + err


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory, types_cache: Path) -> Kills:
    """One example, held out, built once, and killed twice on its way to the folder."""
    cli = Cli(tmp_path_factory.mktemp("built")).knowing(types_cache)
    killed(cli, "before", "build", cli.spec(ONE_EXAMPLE), "--output", "result")
    before = sorted(one.name for one in cli.folder.iterdir())
    killed(cli, "after", "resume")
    put, unrecorded = (cli.folder / "result" / PROVENANCE).read_bytes(), cli("provenance", "verify", "result")
    ran = cli("resume", "--json")
    assert ran.status == 0, ran.out + ran.err
    return Kills(cli, before, put, unrecorded)


@pytest.fixture
def built(kills: Kills) -> Cli:
    """Tests that change it work on a copy."""
    return kills.cli


@pytest.fixture
def copy(built: Cli, tmp_path: Path) -> Cli:
    copied = Cli(tmp_path / "copy")
    shutil.copytree(built.folder, copied.folder)
    shutil.copytree(built.home, copied.home, symlinks=True)
    return copied


@pytest.fixture
def stranger(built: Cli, tmp_path: Path) -> Cli:
    """Somebody without a home of ours, who was given the folder and the public key."""
    other = Cli(tmp_path / "stranger")
    shutil.copytree(built.folder / "result", other.folder / "result")
    shutil.copy(built.home / "keys" / "ledger.vkey", other.folder)
    return other


def test_a_build_that_is_killed_around_its_delivery_is_delivered_with_the_very_provenance_that_the_ledger_names(
    kills: Kills,
) -> None:
    """Killed before: nothing is there. Killed between putting and recording: all of it is there, and does not pass at
    home, where the ledger knows nothing of it. Resumed: the same bytes, and it passes."""
    # shows: N4 N14 F12
    assert kills.before == ["notes.md"]
    assert (kills.unrecorded.status, "D173" in kills.unrecorded.err) == (1, True), kills.unrecorded.err
    assert (kills.cli.folder / "result" / PROVENANCE).read_bytes() == kills.put
    told = kills.cli("provenance", "verify", "result", "--json").json()
    assert (told["verified"], told["provenance"]) == (True, sha256(kills.put).hexdigest())
    assert sorted(one.name for one in kills.cli.folder.iterdir()) == ["notes.md", "result"], "no leftovers"


def test_a_build_passes_at_home_and_says_what_vouches_for_it(built: Cli) -> None:
    """Signature, every file, and the event that names the statement; the digest is the one in the ledger."""
    # shows: F12 N3
    ran = built("provenance", "verify", "result")
    assert (ran.status, ran.out.splitlines()[0]) == (0, "result: verified"), ran.out + ran.err
    told = built("provenance", "verify", "result", "--json").json()
    assert told["verified"] is True
    assert f"notes 0.1.0 of the run {told['run']}, finished {told['finished']}" in ran.out, "an older one would show"
    assert told["not_looked"] == []
    events = {one["index"]: one for one in built("ledger", "show", told["run"], "--json").json()}
    delivered = events[told["event"]["index"]]
    assert delivered["type"] == "delivered"
    data = (built.folder / "result" / "daybreak.provenance.json").read_bytes()
    assert delivered["payload"]["provenance"] == told["provenance"] == sha256(data).hexdigest()


def test_others_read_it_with_an_ed25519_function_alone(built: Cli) -> None:
    """The encoding that is signed, written out; every delivered file is a subject, and every subject is there."""
    key = base64.b64decode((built.home / "keys" / "ledger.vkey").read_text().split("+", 2)[2])[1:]
    result = built.folder / "result"
    envelope = json.loads((result / "daybreak.provenance.json").read_text())
    payload = base64.b64decode(envelope["payload"])
    kind = b"application/vnd.in-toto+json"
    signed = b"DSSEv1 28 " + kind + b" " + str(len(payload)).encode() + b" " + payload
    Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)
    subjects = {one["name"]: one["digest"]["sha256"] for one in json.loads(payload)["subject"]}
    files = {str(one.relative_to(result)): one for one in result.rglob("*") if one.is_file()}
    files.pop("daybreak.provenance.json")
    assert subjects == {name: sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda out: (out / "README.md").write_text("mine"), "changed README.md"),
    (lambda out: (out / "src" / "notes" / "cli.py").unlink(), "missing src/notes/cli.py"),
    (lambda out: (out / "src" / "notes" / "__pycache__").mkdir(), "added src/notes/__pycache__/"),
    (lambda out: (out / "conftest.py").symlink_to("/etc/passwd"), "added conftest.py (a symbolic link)"),
]


def test_whatever_is_altered_is_named_and_fails(built: Cli, tmp_path: Path) -> None:
    """Each change by itself; of the result in its place nothing is touched."""
    # shows: F12
    for number, (change, told) in enumerate(CHANGES):
        out = tmp_path / str(number)
        shutil.copytree(built.folder / "result", out)
        change(out)
        ran = built("provenance", "verify", out)
        assert (ran.status, ran.out.splitlines()[:2]) == (1, [f"{out}: NOT VERIFIED", f"  {told}"]), ran.err
    out = tmp_path / "2"
    ran = built("provenance", "verify", out, "--allow-extra", "--json")
    assert (ran.status, ran.json()["verified"]) == (0, True)
    assert [one["path"] for one in ran.json()["extra"]] == ["src/notes/__pycache__/"]


def test_elsewhere_the_key_shows_the_signature_and_a_proof_the_rest(built: Cli, stranger: Cli) -> None:
    """Without a home, a ledger, a network; what was not looked at is said."""
    # shows: N3
    ran = stranger("provenance", "verify", "result")
    assert (ran.status, "U400" in ran.err) == (2, True), ran.out + ran.err
    ran = stranger("provenance", "verify", "result", "--key", "ledger.vkey")
    assert ran.status == 0, ran.err
    for missing in ("whether the log names it", "whether its key was revoked", "an older one passes too"):
        assert missing in ran.out
    told = built("provenance", "verify", "result", "--json").json()
    proof = stranger.folder / "delivered.proof"
    assert built("ledger", "prove", str(told["event"]["index"]), "--output", proof).status == 0
    with_all = ("provenance", "verify", "result", "--key", "ledger.vkey", "--proof", proof, "--run", told["run"])
    ran = stranger(*with_all)
    assert ran.status == 0, ran.err
    (left,) = (line for line in ran.out.splitlines() if line.startswith("not looked at"))
    assert "whether its key was revoked" in left
    ran = stranger(*with_all[:-1], "run-another")
    assert (ran.status, "D174" in ran.err) == (1, True), ran.out + ran.err
    assert not stranger.home.exists(), "nothing is written"


def test_keys_come_and_go(copy: Cli) -> None:
    """After a rotation all is good; after a revocation only what the ledger held before it."""
    # shows: N9
    told = copy("provenance", "verify", "result", "--json").json()
    first, index = told["key"], told["event"]["index"]
    assert copy("ledger", "keys", "rotate").status == 0
    assert copy("provenance", "verify", "result").status == 0
    assert copy("provenance", "verify", "result", "--offline").status == 0
    assert copy("ledger", "keys", "revoke", first, "--reason", "stolen").status == 0
    assert copy("provenance", "verify", "result").status == 0, "the log held it before"
    ran = copy("provenance", "verify", "result", "--offline")
    assert (ran.status, "L313" in ran.err) == (1, True), ran.out + ran.err
    assert copy("ledger", "keys", "revoke", first, "--at", str(index), "--reason", "earlier").status == 0
    ran = copy("provenance", "verify", "result")
    assert (ran.status, "L313" in ran.err) == (1, True), ran.out + ran.err


def test_a_log_that_goes_on_from_a_restored_copy_still_vouches_for_what_was_delivered_before(copy: Cli) -> None:
    """The new log has another name and key, and every event stands one further on."""
    # shows: N15
    before = copy("provenance", "verify", "result", "--json").json()
    assert copy("snapshot", "create").status == 0
    assert copy("snapshot", "restore", "newest", "--to", copy.folder / "again-home").status == 0
    (copy.folder / "again").mkdir()
    ran = Cli(copy.folder / "again")("provenance", "verify", copy.folder / "result", "--json")
    assert ran.status == 0, ran.out + ran.err
    told = ran.json()
    assert (told["log"], told["key"]) == (before["log"], before["key"])
    assert told["event"]["index"] == before["event"]["index"] + 1


def test_reports_name_it_and_pages_that_do_still_check(built: Cli, copy: Cli) -> None:
    """The run's report, the morning's in every form, and the page byte for byte."""
    told = copy("provenance", "verify", "result", "--json").json()
    where = built.folder / "result"
    assert f"daybreak provenance verify {where}" in copy("report", told["run"], "--markdown").out
    (one,) = copy("report", "--json").json()["verified"]
    assert one["provenance"] == told["provenance"]
    assert told["provenance"][:16] in copy("report").out
    assert copy("report", "--html", "page.html").status == 0
    assert told["provenance"][:16] in (copy.folder / "page.html").read_text()
    ran = copy("report", "check", "page.html")
    assert ran.status == 0, ran.out + ran.err


def test_a_statement_that_was_altered_keeps_undo_from_moving_the_folder(built: Cli) -> None:
    """It counts among what was delivered; afterwards nothing has moved."""
    file = built.folder / "result" / "daybreak.provenance.json"
    run = built("provenance", "show", "result", "--json").json()["predicate"]["runDetails"]["metadata"]["invocationId"]
    good = file.read_bytes()
    file.write_bytes(good.replace(b"A", b"B", 1))
    ran = built("undo", run)
    assert ran.status != 0
    assert "changed daybreak.provenance.json" in ran.out + ran.err
    file.write_bytes(good)
    assert built("provenance", "verify", "result").status == 0


def test_what_it_says_is_shown_and_called_unchecked(built: Cli) -> None:
    """For people; and nothing of the example that no worker saw, nor of the machine."""
    ran = built("provenance", "show", "result")
    assert ran.status == 0
    assert "unchecked" in ran.err
    assert "held-out examples (examples 1, passed 1)" in ran.out
    text = built("provenance", "show", "result", "--json").out
    assert "example:" not in text
    assert str(built.folder) not in text
    assert str(built.home) not in text


def test_a_ledger_in_postgres_vouches_in_a_home_that_has_no_mirror_of_it_yet(
    copy: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine of the same log, with its keys; a folder with nothing begins no log by being asked."""
    # shows: N18
    with postgres_server.database() as url:
        ran = copy("ledger", "copy", copy.home / "ledger", url)
        assert ran.status == 0, ran.out + ran.err
        monkeypatch.setenv("DAYBREAK_POSTGRES", url)
        other, nobody = Cli(tmp_path / "other"), Cli(tmp_path / "nobody")
        for cli in (other, nobody):
            shutil.copytree(copy.folder, cli.folder)
        for name in ("keys", "witness"):
            shutil.copytree(copy.home / name, other.home / name)
        ran = other("provenance", "verify", "result")
        assert (ran.status, "in the ledger, head of" in ran.out) == (0, True), ran.out + ran.err
        ran = nobody("provenance", "verify", "result")
        assert (ran.status, "U400" in ran.err, nobody.home.exists()) == (2, True, False), ran.out + ran.err


def test_a_folder_without_one_does_not_pass_and_is_told_why_that_can_be(copy: Cli) -> None:
    """Taken away, or delivered by a version that made none."""
    (copy.folder / "result" / PROVENANCE).unlink()
    ran = copy("provenance", "verify", "result")
    assert (ran.status, "D171" in ran.err) == (1, True), ran.out + ran.err
    assert "what older versions delivered has none" in ran.err
