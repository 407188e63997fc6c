"""The key that signs the heads is rotated and revoked; every older signature keeps exactly the worth that it had."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit import ledger_home as shelf

from daybreak.config import Places
from daybreak.errors import (
    DraftRefused,
    KeyExposed,
    KeyMissing,
    KeyWrong,
    LedgerBehind,
    LedgerBusy,
    LedgerForked,
    LedgerStopped,
    WitnessBroken,
)
from daybreak.events import KEYS, KeyRevoked, KeyRotated, LedgerCreated
from daybreak.host.snapshots import Store
from daybreak.ledger import Draft, Ledger, Prover, Verifier, check_proof, keyfile, write_bundle, write_tlog
from daybreak.ledger.keyfile import KeysUnmovable
from daybreak.ledger.keyring import KeyEnded, KeyHistory, Keyring, rotation
from daybreak.ledger.log import Log
from daybreak.ledger.note import NoteError, Signer
from daybreak.ledger.proofcheck import NotContinued, ProofByAnother, ProofByEndedKey, ProofChanged
from daybreak.ledger.record import decode_header
from daybreak.ledger.restore import Restorer
from daybreak.ledger.rotation import KeyRefused, RevocationRefused, source
from daybreak.ledger.snapshot import SnapshotUnsound, take
from daybreak.ledger.tree import leaf_hash
from daybreak.testing.clock import FakeClock

Home, step = shelf.Home, shelf.step


@pytest.fixture
def home(tmp_path: Path) -> Any:
    """A ledger of ten steps, closed."""
    home = Home(tmp_path / "home")
    home.fill(10)
    return home


def rotate(home: Any, **options: Any) -> Any:
    with home.open() as ledger:
        return ledger.rotate_key(**options)


def files(home: Any) -> set[str]:
    return {path.name for path in home.keys.iterdir()} - {keyfile.LOCK}


def public_only(home: Any, key: Verifier) -> Path:
    """An auditor's folder, who was once given this key."""
    folder: Path = home.root / f"public-{key.key_id}"
    folder.mkdir()
    (folder / keyfile.PUBLIC).write_text(key.text)
    return folder


def singles(keyring: Keyring) -> list[Verifier]:
    return [Verifier.parse(span.verifier.text) for span in keyring.spans]


# -- rotation


def test_a_rotation_is_signed_by_both_keys_and_the_new_one_signs_from_then_on(home: Any) -> None:
    """Names, heads and headers change at one event; everything of before stays good for whoever trusts either key."""
    # shows: N3, N9
    old = keyfile.load(home.keys)
    before = (home.witness / "head").read_text()
    record = rotate(home, why="a year is over")
    new = keyfile.load(home.keys)
    event = record.event
    assert isinstance(event, KeyRotated)
    assert (event.old, event.new) == (old.verifier.text, new.verifier.text)
    assert (event.size, record.index, event.why) == (11, 11, "a year is over")
    home.fill(5, start=10)
    with home.open() as ledger:
        assert ledger.verifier.text == new.verifier.text
        assert ledger.verifier.open(before).size == 11
        named = [decode_header(record.header).key for record in ledger.read_all()]
    assert named == [old.verifier.key_id] * 11 + [new.verifier.key_id] * 6
    assert new.verifier.open((home.witness / "head").read_text()).size == 17
    for key in (old.verifier, new.verifier):
        assert home.verify(keys=public_only(home, key)).problems == []
    assert home.verify(keys=None, witness=None).problems == []
    assert home.verify().ok
    with home.open(entropy=lambda count: b"\x05" * count) as ledger:
        ledger.rotate_key()
        with pytest.raises(KeyWrong, match="which an earlier one has"):
            ledger.rotate_key()
        ledger.append([Draft("queue", step())])
    assert home.verify().ok


@pytest.mark.parametrize("keep_old", [False, True])
def test_the_old_secret_is_destroyed_or_kept_as_asked(home: Any, keep_old: bool) -> None:
    """Destroyed: no file of the folder holds it. Kept: in a file of its own, for its owner alone."""
    # shows: N9
    old = keyfile.load(home.keys)
    secret = old.text.split("+", 4)[-1].encode()
    rotate(home, keep_old=keep_old)
    kept = f"old-{old.verifier.key_id}.key"
    expected = {"ledger.key", "ledger.vkey", "ledger.keys"} | ({kept} if keep_old else set())
    assert files(home) == expected
    assert [name for name in files(home) if secret in (home.keys / name).read_bytes()] == ([kept] if keep_old else [])
    for name in (kept, "ledger.key") if keep_old else ("ledger.key",):
        assert (home.keys / name).stat().st_mode & 0o777 == 0o600
    assert old.verifier.text in (home.keys / "ledger.keys").read_text(), "its public half stays known"


def _killed_at(home: Any, when: int, work: Callable[[Ledger], object]) -> bool:
    """In a child that kills itself before its n-th opening, renaming, linking or removing of a file; was it killed?"""
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in ("open", "os.rename", "os.link", "os.remove") and str(home.root) in str(arguments[0]):
                seen += 1
                if seen == when:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            with home.open() as ledger:
                sys.addaudithook(hook)
                work(ledger)
                status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize(("before", "keep_old"), [(0, False), (1, True)])
def test_a_crash_at_any_step_of_a_rotation_leaves_the_old_key_or_the_new_one(
    home: Any, before: int, keep_old: bool
) -> None:
    """Killed before each file that it opens, links, renames or removes, also with a list of keys from rotations
    `before`: the next opening finishes it or goes back."""
    # shows: N4, N9
    for _ in range(before):
        rotate(home)
    first = keyfile.load(home.keys).verifier.key_id
    when, went_back, finished = 0, 0, 0
    while True:
        when += 1
        copy = home.copy(f"killed-{when}")
        if not _killed_at(copy, when, lambda ledger: ledger.rotate_key(keep_old=keep_old)):
            break
        assert copy.verify().problems == [], when
        with copy.open() as ledger:
            ledger.append([Draft("queue", step(when))])
            rotated = len(ledger.verifier.spans) == before + 2
            assert keyfile.load(copy.keys).verifier.text == ledger.verifier.text, when
        went_back, finished = went_back + (not rotated), finished + rotated
        kept = {f"old-{first}.key"} if rotated and keep_old else set()
        listed = {"ledger.keys"} if rotated or before else set()
        assert files(copy) == {"ledger.key", "ledger.vkey"} | kept | listed, when
        assert copy.verify().problems == [], when
        rotate(copy)
        assert copy.verify().problems == [], when
        shutil.rmtree(copy.root)
    assert went_back >= 3
    assert finished >= 8


def test_a_rotation_that_cannot_write_its_key_changes_nothing(home: Any) -> None:
    """The key comes first: where it cannot be put down, the ledger never hears of it and goes on with the old one."""
    # shows: N14
    with home.open() as ledger:
        (home.keys / keyfile.NEXT).mkdir()
        with pytest.raises(LedgerStopped, match="could not be changed, and nothing was"):
            ledger.rotate_key()
        (home.keys / keyfile.NEXT).rmdir()
        ledger.append([Draft("queue", step())])
        ledger.rotate_key()
        (home.keys / keyfile.HISTORY).unlink()
        (home.keys / keyfile.HISTORY).mkdir()
        with pytest.raises(LedgerStopped, match="could not be changed, and nothing was"):
            ledger.rotate_key()
        assert len(ledger.verifier.spans) == 2
        ledger.append([Draft("queue", step())])
        (home.keys / keyfile.HISTORY).rmdir()
    home.open().close()
    assert len(KeyHistory.parse((home.keys / keyfile.HISTORY).read_text()).rotations) == 1
    assert home.verify().problems == []


def _refuses(*names: str) -> Callable[..., None]:
    """Instead of `os.replace` or `os.link`, for these files."""
    real = os.replace

    def refuse(here: Any, there: Any, **options: Any) -> None:
        if Path(here).name in names:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(here, there, **options)

    return refuse


def test_the_only_copy_of_the_present_key_is_not_overwritten_by_the_next_rotation(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refused when a rotation was to be finished, so its key is still on its way: the next change of keys
    finishes it first, or does nothing, whatever becomes of that change itself."""
    # shows: N4, N9
    night, other = home.open(), home.open()
    with monkeypatch.context() as disk:
        disk.setattr(os, "replace", _refuses(keyfile.NEXT))
        with pytest.raises(LedgerStopped, match="do not all say so yet"):
            other.rotate_key()
        for change in (night.rotate_key, lambda: night.revoke_key(night.verifier.key_ids[0])):
            with pytest.raises(LedgerStopped, match="could not be changed, and nothing was"):
                change()
    only = (home.keys / keyfile.NEXT).read_text()
    with monkeypatch.context() as database:
        database.setattr(night.verifier, "_source", lambda: None)
        with pytest.raises(LedgerBusy, match="cannot be asked"):
            night.rotate_key()
    assert (home.keys / keyfile.NEXT).read_text() == only
    with monkeypatch.context() as log:
        log.setattr(Log, "append_key_event", lambda *_: (_ for _ in ()).throw(LedgerBusy("held", hint="again")))
        with pytest.raises(LedgerBusy, match="held"):
            night.rotate_key()
    assert (home.keys / keyfile.SECRET).read_text() == only
    night.close()
    other.close()
    with home.open() as ledger:
        assert keyfile.load(home.keys).verifier.text == ledger.verifier.text
    assert home.verify().problems == []


def test_where_an_old_secret_could_not_be_overwritten_no_rotation_begins(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without hard links: said before the ledger hears of a new key, and the old one goes on."""
    # shows: N9, N14
    with monkeypatch.context() as disk:
        disk.setattr(os, "link", _refuses(keyfile.NEXT, keyfile.SECRET))
        with home.open() as ledger:
            with pytest.raises(KeysUnmovable, match="hard links"):
                ledger.rotate_key(keep_old=True)
            ledger.append([Draft("queue", step())])
        with home.open() as ledger:
            assert len(ledger.verifier.spans) == 1
    assert files(home) == {"ledger.key", "ledger.vkey"}
    rotate(home)
    assert home.verify().problems == []


def test_a_revocation_by_another_process_is_known_with_the_next_commit(home: Any) -> None:
    """Nobody who has the ledger open goes on believing heads by a key that was revoked meanwhile."""
    # shows: N3, N5, N9
    with home.open() as night:
        stolen = night.head().text
        night.rotate_key()
        with home.open() as other:
            other.revoke_key(other.verifier.key_ids[0], size=3, why="stolen")
        assert night.verifier.open(stolen).size == 11
        night.append([Draft("queue", step())])
        with pytest.raises(KeyEnded, match="was revoked from 3 events on"):
            night.verifier.open(stolen)


def test_a_key_on_its_way_is_never_thrown_away_by_somebody_who_knows_less(home: Any) -> None:
    """One process reads the ledger, another rotates and dies before the files are in order: the first one, about to
    clean up, asks again instead of removing the only copy of the new key."""
    # shows: N4, N5
    late = Keyring.of(keyfile.load_verifier(home.keys), source(home.database))
    when = 0
    while True:  # killed where the ledger has the rotation and the key is still on its way
        when += 1
        copy = home.copy(f"late-{when}")
        assert _killed_at(copy, when, lambda ledger: ledger.rotate_key())
        on_its_way = (copy.keys / keyfile.NEXT).exists()
        if on_its_way and copy.rows("SELECT max(leaf) FROM event") == [(11,)]:
            break
    stale = Keyring(late.history, source(copy.database))
    keyfile.settle(copy.keys, stale, lambda: None)
    assert keyfile.load(copy.keys).verifier.text == stale.text != late.text
    copy.fill(1)
    assert copy.verify().problems == []


PROGRAM = """
import sys
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.ledger import Ledger
root = Path(sys.argv[1])
with Ledger.open(root / "ledger", keys=root / "keys", witness=root / "witness", clock=SystemClock()) as ledger:
    ledger.rotate_key(keep_old=True)
    ledger.revoke_key(ledger.verifier.key_ids[0], size=3, why="lost")
"""


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("call", ["fsync", "fdatasync", "pwrite64", "rename", "renameat", "link", "unlink", "write"])
def test_a_kill_at_any_system_call_of_a_rotation_is_settled(home: Any, call: str, before: int) -> None:
    """Also inside the commit, which no Python sees; of the first rotation and of a later one."""
    # shows: N4, N9
    for _ in range(before):
        rotate(home)
    for when in range(1, 400):
        copy = home.copy("struck")
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
        command += ["-e", f"inject={call}:signal=SIGKILL:when={when}"]
        done = subprocess.run([*command, sys.executable, "-c", PROGRAM, str(copy.root)], capture_output=True, text=True)
        if "Operation not permitted" in done.stderr:
            pytest.skip("strace is not allowed here")
        copy.fill(2, start=10)
        assert copy.verify().problems == [], (call, when)
        assert not {keyfile.NEXT, keyfile.OLD} & files(copy), (call, when)
        rotate(copy)
        assert copy.verify().problems == [], (call, when)
        shutil.rmtree(copy.root)
        if done.returncode == 0:
            return
    raise AssertionError(f"more than 400 calls of {call}")


def test_another_process_takes_the_new_key_up_or_stops(home: Any, tmp_path: Path) -> None:
    """Whoever had the ledger open signs nothing more with the old key: with the new one, or not at all."""
    # shows: N5, N9
    away = tmp_path / "away"
    shutil.copytree(home.keys, away)
    with home.open() as night, home.open(keys=away) as stranger:
        for number in range(3):
            night.append([Draft("queue", step(number))])
            present = rotate(home).event.new
            night.sync_witness()  # what it knew is older than what is there, by a key that it did not know
            (record,) = night.append([Draft("queue", step(number))])
            assert night.verifier.text == present
            assert Verifier.parse(present).open(night.head().text).size == record.index + 1
        with pytest.raises(LedgerStopped, match="handed over to"):
            stranger.append([Draft("queue", step())])
    assert home.verify().problems == []


WRITER = """
import sys
from pathlib import Path
from daybreak.clock import SystemClock
from daybreak.events import StepDone
from daybreak.ledger import Draft, Ledger
root = Path(sys.argv[1])
step = StepDone(run="r", branch="", name="step", nth=0, args="", result=None)
with Ledger.open(root / "ledger", keys=root / "keys", witness=root / "witness", clock=SystemClock()) as ledger:
    print("open", flush=True)
    while not (root / "enough").exists():
        print(ledger.append([Draft("queue", step)])[0].index, flush=True)
"""


def test_a_night_goes_on_while_the_key_is_rotated_again_and_again(home: Any) -> None:
    """A process that appends without a pause, five rotations beside it: every head was by the key of its time."""
    # shows: N5, N9
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(home.root)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    for _ in range(5):
        index = int(writer.stdout.readline())
        assert rotate(home).index > index - 1
    (home.root / "enough").touch()
    rest, _ = writer.communicate(timeout=60)
    assert writer.returncode == 0
    with home.open() as ledger:
        assert ledger.head().size > int(rest.split()[-1])
        assert len(ledger.verifier.spans) == 6
    assert home.verify().problems == []


@settings(max_examples=12, deadline=None)
@given(
    acts=st.lists(
        st.sampled_from(["append", "append", "other", "rotate", "keep", "revoke", "again"]), min_size=3, max_size=9
    )
)
def test_every_head_stays_good_until_its_key_is_revoked(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str]
) -> None:
    """In any order, from two ledgers on one file: heads open as long as nobody revoked them, and all of it verifies."""
    # shows: N3, N9
    home = Home(tmp_path_factory.mktemp("acts") / "home")
    ledger, other = home.open(), home.open()
    heads = [ledger.head()]
    revoked: dict[str, int] = {}
    for act in acts:
        if act in ("rotate", "keep"):
            ledger.rotate_key(keep_old=act == "keep")
        elif act == "revoke" and len(ledger.verifier.spans) > 1:
            span = ledger.verifier.spans[0]
            assert span.end is not None
            at = revoked.get(span.verifier.key_id, span.end) - 1
            if at >= 0:
                ledger.revoke_key(span.verifier.key_id[:6], size=at, why="found")
                revoked[span.verifier.key_id] = at
        elif act == "again":
            ledger.close()
            ledger = home.open()
        else:
            (other if act == "other" else ledger).append([Draft("queue", step())])
        if act != "other":
            heads.append(ledger.head())
    ledger.append([Draft("queue", step())])
    for head in heads:
        key_id = ledger.verifier.key_of(head.size - 1)
        if head.size > revoked.get(key_id, head.size):
            with pytest.raises(KeyEnded, match="was revoked from"):
                ledger.verifier.open(head.text)
        else:
            assert ledger.verifier.open(head.text) == head
    ledger.close()
    other.close()
    assert home.verify().problems == []


# -- what is refused


def test_an_old_copy_from_before_a_rotation_is_refused(home: Any) -> None:
    """Even where the witness lags: the folder of keys knows of the rotation too."""
    # shows: N3
    old = home.copy("yesterday")
    rotate(home)
    shutil.rmtree(home.ledger)
    shutil.copytree(old.ledger, home.ledger)
    with pytest.raises(LedgerBehind, match="holds 11 events"):
        home.open()
    shutil.copy(old.witness / "head", home.witness / "head")
    with pytest.raises(LedgerBehind, match="does not know of a change of its keys"):
        home.open()
    assert "does not know of a rotation" in str(home.verify().problems)


def test_a_key_that_is_not_the_present_one_is_named(home: Any) -> None:
    """Handed over, revoked, missing, open to others, another ledger's, a damaged list: each has its own words."""
    # shows: N9
    first = home.copy("first")
    rotate(home)
    new = keyfile.load(home.keys).text
    secret = home.keys / keyfile.SECRET

    def refused(error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match) as caught:
            home.open()
        assert caught.value.hint  # type: ignore[attr-defined]

    shutil.copy(first.keys / keyfile.SECRET, secret)
    refused(KeyRefused, "handed over to [0-9a-f]{8} at 11 events")
    secret.write_text(new)
    with home.open() as ledger:
        ledger.revoke_key(keyfile.load(first.keys).verifier.key_id, size=7, why="lost with a laptop")
    shutil.copy(first.keys / keyfile.SECRET, secret)
    refused(KeyRefused, r"was revoked from 7 events on \(lost with a laptop\)")
    secret.chmod(0o644)
    refused(KeyExposed, "0644")
    secret.unlink()
    refused(KeyMissing, "ledger.key")
    secret.write_text(new)
    secret.chmod(0o600)
    (home.keys / keyfile.HISTORY).write_text("{}")
    refused(KeyWrong, "list of keys .*ledger.keys cannot be used")
    (home.keys / keyfile.HISTORY).unlink()
    home.open().close()
    assert KeyHistory.parse((home.keys / keyfile.HISTORY).read_text()).revocations, "made again from the ledger"
    other = Home(home.root.with_name("other"))
    other.fill(3)
    rotate(other)
    shutil.copy(other.keys / keyfile.HISTORY, home.keys / keyfile.HISTORY)
    refused(KeyWrong, "not one of those in")
    assert "not one of those in" in str(home.verify().problems)


def test_only_the_ledger_speaks_of_its_keys(home: Any) -> None:
    """Nobody who may append can put a rotation or a revocation there."""
    # shows: N9
    event = rotate(home).event
    revoked = KeyRevoked(origin="o", key="k", size=0, why="", by="k")
    with home.open() as ledger:
        for forged in (event, revoked):
            with pytest.raises(DraftRefused, match="by the ledger alone"):
                ledger.append([Draft(KEYS, forged)])
            with pytest.raises(DraftRefused, match="by the ledger alone"):
                ledger.submit([Draft(KEYS, forged, idem="rotated/x/2")])
        with pytest.raises(DraftRefused, match="is kept for the ledger"):
            ledger.append([Draft(KEYS, step(), idem=f"rotated/{ledger.verifier.origin}/2")])


def test_a_revocation_that_makes_no_sense_is_refused_and_stops_nothing(home: Any) -> None:
    """The present key, an unknown one, sizes that it never signed, a milder one, a reason without end."""
    # shows: N9
    rotate(home)
    home.fill(5, start=10)
    rotate(home)
    with home.open() as ledger:
        first, second, third = ledger.verifier.key_ids
        for key, size, match in (
            (third, 3, "signs now"),
            ("0" * 8, 3, "no key of this ledger"),
            ("", 3, "no key of this ledger"),
            (first, 12, "0|1 to 11 events, 12 is not"),
            (second, 10, "12 to 17 events, 10 is not"),
        ):
            with pytest.raises(RevocationRefused, match=match) as caught:
                ledger.revoke_key(key, size=size)
            assert caught.value.hint
        with pytest.raises(RevocationRefused, match="reason"):
            ledger.revoke_key(first, why="x" * 2000)
        ledger.revoke_key(second, size=14)
        with pytest.raises(RevocationRefused, match="revoked already, from 14"):
            ledger.revoke_key(second)
        record = ledger.revoke_key(second, size=11, why="none of it")
        assert isinstance(record.event, KeyRevoked)
        assert record.event.by == ledger.verifier.text
        assert [span.revoked for span in ledger.verifier.spans] == [None, 11, None]
    assert home.verify().problems == []


def test_no_character_of_the_list_of_keys_can_be_changed(home: Any) -> None:
    """Either it cannot be read, or a signature in it is wrong, or it says the same."""
    # shows: N3
    rotate(home, why="first")
    with home.open() as ledger:
        ledger.rotate_key(why="second")
        ledger.revoke_key(ledger.verifier.key_ids[0], size=4, why="lost")
    text = (home.keys / keyfile.HISTORY).read_text()
    good = KeyHistory.parse(text)
    for at in range(len(text)):
        for other in {"0", "A", '"', chr(ord(text[at]) ^ 1)} - {text[at]}:
            try:
                found = KeyHistory.parse(text[:at] + other + text[at + 1 :])
            except NoteError:
                continue
            assert found == good, (at, other)


def test_what_a_stolen_present_key_signs_anew_from_before_a_rotation_is_noticed(home: Any) -> None:
    """The destroyed key vouches for the past: a rewrite of it does not fit what both keys signed."""
    # shows: N3
    rotate(home)
    event = home.rows("SELECT payload FROM event WHERE leaf = 11")[0][0]
    thief = Home(home.root.with_name("thief"))
    thief.fill(10)  # another past of the same length
    signer = keyfile.load(home.keys)
    created = LedgerCreated(origin=signer.verifier.origin, public_key=msgspec.json.decode(event)["old"])
    _sign_anew(thief, created, msgspec.json.decode(event, type=KeyRotated), signer)
    shutil.rmtree(home.ledger)
    shutil.copytree(thief.ledger, home.ledger)
    (problem,) = home.verify(witness=None).problems
    assert problem.what == "hands over to another key after 11 other events than these"
    head = home.rows("SELECT note FROM head")[0][0]
    (home.witness / "head").write_text(head)  # the thief has been there too
    with pytest.raises(LedgerForked, match="not those after which the key was rotated"):
        home.open()


def _sign_anew(thief: Any, created: LedgerCreated, rotated: KeyRotated, signer: Signer) -> None:
    """The thief's events under the stolen name: headers, chains, tiles and head formed anew with the present key."""
    from hashlib import sha256

    from daybreak.ledger.record import encode_header
    from daybreak.ledger.rotation import idem_of
    from daybreak.ledger.tiles import Edge
    from daybreak.ledger.tree import leaf_hash

    old_id = Verifier.parse(created.public_key).key_id
    rows = thief.rows("SELECT leaf, header, payload FROM event ORDER BY leaf")
    last = decode_header(rows[0][1])
    payload = msgspec.json.encode(rotated)
    tips: dict[str, str] = {}
    hashes, statements = [], []
    for leaf, header, body in [*rows, (11, encode_header(msgspec.structs.replace(last, seq=1)), payload)]:
        fields = decode_header(header)
        if leaf == 0:
            body = msgspec.json.encode(created)
        key, idem = old_id, None
        if leaf == 11:
            key, idem = signer.verifier.key_id, idem_of("rotated", rotated.origin, 1)
            fields = msgspec.structs.replace(fields, type=KeyRotated.type)
        formed = encode_header(
            msgspec.structs.replace(
                fields, key=key, idem=idem, prev=tips.get(fields.stream), payload=sha256(body).hexdigest()
            )
        )
        tips[fields.stream] = leaf_hash(formed).hex()
        hashes.append(leaf_hash(formed))
        row = (leaf, fields.stream, fields.seq, 0, idem, formed, body)
        statements += [("DELETE FROM event WHERE leaf = ?", (leaf,)), ("INSERT INTO event VALUES (?,?,?,?,?,?,?)", row)]
    edge = Edge()
    edge.extend(hashes)
    head = signer.sign(edge.size, edge.root())
    thief.sql(*statements, ("UPDATE head SET size = ?, note = ?", (head.size, head.text)))


# -- proofs


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """300 events under each of three keys; `heads` are signed heads in the middle of each."""
    home = Home(tmp_path_factory.mktemp("rotated") / "home")
    home.heads = []
    for number in range(3):
        home.fill(150, start=300 * number)
        home.heads.append((home.witness / "head").read_text())
        home.fill(150, start=300 * number + 150)
        if number < 2:
            rotate(home)
    with home.open() as ledger:
        home.keys_of = singles(ledger.verifier)
        home.history = ledger.verifier.history
    return home


@pytest.mark.parametrize("trusted", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 1, 2, None])
def test_a_proof_is_checked_with_any_one_key_of_the_log(rotated: Any, trusted: int, at: int | None) -> None:
    """The first, a later one or the last, in a head by any of them: the proof carries how they handed over."""
    # shows: N3
    key = rotated.keys_of[trusted]
    note = None if at is None else rotated.heads[at]
    with Prover(rotated.ledger, key) as prover:
        made = prover.prove([7], at=note)
        grown = prover.prove([], older=rotated.heads[0], at=note)
    for data in (write_bundle(made), write_tlog(made)):
        proven = check_proof(data, [key], [] if note is None else [note])
        assert proven.key_id == rotated.keys_of[2 if at is None else at].key_id
    assert check_proof(write_bundle(grown), [key]).older is not None
    stranger = Signer(key.origin, b"7" * 32).verifier
    with pytest.raises(ProofByAnother):
        check_proof(made, [stranger])


def test_a_proof_with_another_hand_over_is_refused(rotated: Any) -> None:
    """Changed, left out, in another order, forged by one of the two keys, of another log, without its path."""
    # shows: N3
    key = rotated.keys_of[0]
    with Prover(rotated.ledger, key) as prover:
        made = prover.prove([7])
    assert made.keys is not None
    first, second = made.keys.handovers
    stranger = Signer(key.origin, b"7" * 32)

    def lies(*handovers: Any, start: str = made.keys.first) -> Any:
        return msgspec.structs.replace(made, keys=msgspec.structs.replace(made.keys, first=start, handovers=handovers))

    changed = msgspec.structs.replace
    forged = changed(first.rotation, new=stranger.verifier.text)
    half = changed(forged, by_new=rotation(stranger, stranger, 1, b"0" * 32, "").by_new)
    for lie, error in (
        (lies(changed(first, rotation=changed(first.rotation, size=5)), second), ProofChanged),
        (lies(changed(first, rotation=changed(first.rotation, root=second.rotation.root)), second), ProofChanged),
        (lies(changed(first, rotation=changed(first.rotation, why="another")), second), ProofChanged),
        (lies(changed(first, rotation=forged), second), ProofChanged),
        (lies(changed(first, rotation=half)), ProofChanged),
        (lies(second), ProofChanged),
        (lies(second, first), ProofChanged),
        (lies(first), ProofByAnother),
        (lies(second, start=second.rotation.old), ProofByAnother),
        (lies(changed(first, path=second.path), second), NotContinued),
        (lies(changed(first, path=[]), second), NotContinued),
    ):
        with pytest.raises(error):
            check_proof(lie, [key])
        with pytest.raises(error):
            check_proof(write_bundle(lie), [key])


def test_another_past_with_the_present_key_deceives_only_who_knows_nothing_else(rotated: Any) -> None:
    """Leaving the rotations out of a proof hides them from the bare present key, not from an older one or the list."""
    # shows: N3
    keyring = Keyring(rotated.history)
    with Prover(rotated.ledger, rotated.keys_of[2]) as prover:
        made = prover.prove([7])
        young = prover.prove([7], at=rotated.heads[0])
    signer = keyfile.load(rotated.keys)
    root = leaf_hash(made.events[0].header.encode())
    past = signer.sign(1000, root)
    lie = msgspec.structs.replace(made, keys=None)
    assert check_proof(lie, [rotated.keys_of[2]]), (
        "the same without its rotations: nothing to be seen by that key alone"
    )
    for keys in ([rotated.keys_of[0]], [rotated.keys_of[1]]):
        with pytest.raises(ProofByAnother):
            check_proof(lie, keys)
    with pytest.raises(NotContinued, match="first 602 of 903 events"):
        check_proof(lie, [keyring])
    with pytest.raises(NotContinued):
        check_proof(msgspec.structs.replace(made, checkpoint=past.text), [rotated.keys_of[2]])
    assert check_proof(msgspec.structs.replace(young, keys=None), [keyring]), "older than any rotation"
    assert check_proof(lie, [keyring, rotated.keys_of[2]]), "either key will do, as always"


def test_what_a_stolen_old_key_can_and_cannot_do(rotated: Any) -> None:
    """It convinces only those who know nothing newer: whoever has the next key, the list or a head is not deceived."""
    # shows: N3
    origin = rotated.keys_of[0].origin
    stolen, mine, next_one = (Signer(origin, bytes([number]) * 32) for number in (1, 2, 3))
    true = KeyHistory("daybreak-keys/1", stolen.verifier.text)
    true_next = rotation(stolen, next_one, 5, b"r" * 32, "the owner's")
    forged = rotation(stolen, mine, 5, b"f" * 32, "the thief's")
    owner = Keyring(msgspec.structs.replace(true, rotations=(true_next,)))
    lie = msgspec.structs.replace(true, rotations=(forged,))
    note = mine.sign(9, b"x" * 32).text
    deceived = Keyring.of(stolen.verifier)
    assert deceived.learn(lie), "who knows only the stolen key cannot tell the thief's successor from the owner's"
    assert deceived.open(note).size == 9
    assert not owner.learn(lie)
    assert not Keyring.of(Verifier.parse(true_next.new)).learn(lie)
    with pytest.raises(NoteError, match="not signed by"):
        owner.open(note)
    with pytest.raises(KeyEnded, match="handed over at 5"):
        owner.open(stolen.sign(9, b"x" * 32).text)


def test_a_head_by_a_revoked_key_is_refused_everywhere(rotated: Any, tmp_path: Path) -> None:
    """In a proof, as a head known elsewhere, outside of the ledger, in a snapshot: beyond the size, and not before."""
    # shows: N3, N9
    home = rotated.copy(f"revoked-{tmp_path.name}")
    with home.open() as ledger:
        ledger.revoke_key(rotated.keys_of[1].key_id, size=400, why="stolen")
        head = ledger.head()
    with Prover(home.ledger, rotated.keys_of[2]) as prover:
        made = prover.prove([7])
        small = prover.prove([7], at=rotated.heads[0])
        with pytest.raises(ProofByEndedKey, match=r"revoked from 400 events on \(stolen\)"):
            prover.prove([7], at=rotated.heads[1])
    for key in rotated.keys_of:
        assert check_proof(made, [key]).checkpoint == head
        assert check_proof(small, [key]).checkpoint.size == 151
        with pytest.raises(ProofByEndedKey):
            check_proof(made, [key], [rotated.heads[1]])
    with Prover(rotated.ledger, rotated.keys_of[2]) as prover:
        before = prover.prove([7], at=rotated.heads[1])
    assert check_proof(before, [rotated.keys_of[0]]), "a proof from before does not know it"
    told = KeyHistory.parse((home.keys / keyfile.HISTORY).read_text())
    with pytest.raises(ProofByEndedKey):
        check_proof(before, [Keyring(told)])
    (home.witness / "head").write_text(rotated.heads[1])
    assert "was revoked" in str(home.verify().problems)
    with pytest.raises(WitnessBroken, match="was revoked"):
        home.open()


# -- snapshots


def test_a_snapshot_from_before_a_rotation_is_restored_with_the_key_of_today(home: Any, tmp_path: Path) -> None:
    """The old secret is gone; today's key consents, and the new log shows how the one followed the other."""
    # shows: N15, N9
    places, store, clock = Places.below(home.root, "a test"), Store(tmp_path / "store"), FakeClock()
    made = [take(store, places, clock=clock)]
    rotate(home)
    home.fill(5, start=10)
    clock.advance(60)
    made.append(take(store, places, clock=clock))
    rotate(home)
    with home.open() as ledger:
        known = ledger.head()
    for number, snapshot in enumerate(made):
        restored = Restorer(store, places, clock).to(snapshot.name, tmp_path / f"new-{number}")
        assert restored.known == known.size
        other = Home(tmp_path / f"new-{number}")
        assert other.verify().problems == []
        with other.open() as ledger:
            created = next(iter(ledger.read_all())).event
            assert isinstance(created, LedgerCreated)
            assert created.continues is not None
            assert [one.new for one in created.continues.handovers][-1:] == [keyfile.load(home.keys).verifier.text]
            assert len(created.continues.handovers) == 2 - number
            ledger.rotate_key()
        assert other.verify().problems == []
        assert Restorer(store, places, clock).test_restore(snapshot.name).size == restored.size
    again = Store(tmp_path / "again")
    twice = take(again, Places.below(tmp_path / "new-0", "a test"), clock=clock, with_keys=True)
    nothing = Places.below(tmp_path / "nothing", "a test")
    Restorer(again, nothing, clock).to(twice.name, tmp_path / "new-2")
    assert Home(tmp_path / "new-2").verify().problems == []
    Restorer(store, places, clock).in_place(made[0].name)
    assert home.verify().problems == []
    assert not (home.keys / keyfile.HISTORY).exists(), "it was the old log's"
    rotate(home)
    assert home.verify().problems == []


def test_a_snapshot_signed_by_a_revoked_key_is_not_restored(home: Any, tmp_path: Path) -> None:
    """A thief of the key could have made it."""
    # shows: N9
    places, store, clock = Places.below(home.root, "a test"), Store(tmp_path / "store"), FakeClock()
    made = take(store, places, clock=clock)
    with home.open() as ledger:
        ledger.rotate_key()
        ledger.revoke_key(ledger.verifier.key_ids[0], size=5, why="stolen")
    with pytest.raises(SnapshotUnsound, match="was revoked from 5 events on"):
        Restorer(store, places, clock).to(made.name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_subscribers_hear_of_the_keys_in_the_order_of_the_log(home: Any) -> None:
    """Rotation and revocation like any other event, between what was appended before and after; one that fails hurts
    nobody."""
    # shows: N7
    heard: list[int] = []

    def fails(_: Any) -> None:
        raise ValueError("not mine")

    with home.open() as ledger:
        ledger.subscribe(fails)
        end = ledger.subscribe(lambda records: heard.extend(record.index for record in records))
        before = ledger.head().size
        ledger.append([Draft("queue", step(100))])
        rotated = ledger.rotate_key()
        ledger.append([Draft("queue", step(101))])
        revoked = ledger.revoke_key(rotated.event.old.split("+")[1])
        told = [record.index for record in ledger.read_all(after=before - 1)]
        assert heard == told
        assert {rotated.index, revoked.index} < set(told)
        end()
        ledger.rotate_key()
        assert heard == told
