"""Fixtures that several of these tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.unit import postgres_server


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty database of a real Postgres."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The path of everything that was synced, as it was then called, in this order."""
    told: list[str] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        told.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return told
