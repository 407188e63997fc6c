"""Keys of a ledger on Postgres: what one process of a home, or another home, does with them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit import ledger_home as shelf
from tests.unit import postgres_server

from daybreak.ledger import Draft, keyfile

Home, step = shelf.Home, shelf.step

DIES_AFTER_POSTGRES = """
import os, signal, sys
from pathlib import Path
from tests.unit import ledger_home as shelf
from daybreak.ledger.postgres.store import Store

commit = Store.commit

def and_die(self, batch):
    commit(self, batch)
    if any(record.type == "key.rotated" for record in batch.records):
        os.kill(os.getpid(), signal.SIGKILL)

Store.commit = and_die
shelf.Home(Path(sys.argv[1]), [shelf.STEPS], sys.argv[2]).open().rotate_key()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[shelf.Home]:
    with postgres_server.database() as url:
        yield Home(tmp_path / "home", [shelf.STEPS], url)


@pytest.mark.parametrize("then", ["opened", "rotated by one that had it open"])
def test_a_rotation_that_only_postgres_knows_of_loses_no_key(home: shelf.Home, then: str) -> None:
    """Killed between the commit there and that of the mirror, the new key's only copy is not taken for a leftover."""
    # shows: N3, N16
    night = home.open()
    night.append([Draft("queue", step(0))])
    if then == "opened":
        night.close()
    rotating = subprocess.run([sys.executable, "-c", DIES_AFTER_POSTGRES, home.root, str(home.postgres)], timeout=60)
    assert rotating.returncode == -signal.SIGKILL
    assert (home.keys / keyfile.NEXT).exists()
    if then != "opened":
        night.rotate_key()
        night.append([Draft("queue", step(1))])
        night.close()
    with home.open() as ledger:
        ledger.append([Draft("queue", step(2))])
        assert len(ledger.verifier.spans) == (2 if then == "opened" else 3)
        assert keyfile.load(home.keys).verifier.text == ledger.verifier.text


def test_a_revocation_by_another_home_is_heard_with_the_next_append(home: shelf.Home) -> None:
    """An open ledger refuses from then on what the revoked key signed."""  # shows: N3, N16
    with home.open() as night:
        first = night.verifier.text
        night.rotate_key()
        other = home.beside("other")
        with other.open() as elsewhere:
            elsewhere.revoke_key(first.split("+")[1])
        night.append([Draft("queue", step(1))])
        assert len(night.verifier.history.revocations) == 1
