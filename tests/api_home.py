"""An open home with a story in it, and the API over it, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests import page_scene

from daybreak import home as homes
from daybreak.clock import SystemClock
from daybreak.home import Home, acting
from daybreak.policy import bearer, rootkey
from daybreak.policy.grant import Grant
from daybreak.policy.journal import Journal
from daybreak.web import app as apps
from daybreak.web import desk as desks
from daybreak.web.desk import Desk

LOCAL = "http://127.0.0.1"


@dataclass
class Api:
    """A server within this process, and tokens for it."""

    home: Home
    desk: Desk
    app: FastAPI
    client: TestClient
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, *scopes: str, lifetime: timedelta = timedelta(hours=1), name: str = "test") -> str:
        """A new one each time."""
        places, ledger = self.home.places, self.home.ledger
        return Journal(ledger, SystemClock(), actor="person").mint(
            rootkey.load_or_make(places.keys),
            run=f"{bearer.RUN}{name}",
            attempt=0,
            tier=bearer.TIER,
            grant=Grant.of(api=scopes),
            lifetime=lifetime,
        )

    def as_(self, *scopes: str, **more: str) -> dict[str, str]:
        """Headers of somebody with these scopes; the same token for the same scopes."""
        key = ",".join(sorted(scopes))
        if key not in self._tokens:
            self._tokens[key] = self.token(*scopes)
        return {"Authorization": f"Bearer {self._tokens[key]}", **more}


@contextmanager
def api(folder: Path, monkeypatch: pytest.MonkeyPatch, *, seeded: bool = True) -> Iterator[Api]:
    """Everything ends with the block."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    monkeypatch.setenv("DAYBREAK_HOME", str(folder / "home"))
    monkeypatch.chdir(work)
    with homes.opened(through=acting.through) as opened:
        if seeded:
            page_scene.seed(opened)
        desk = desks.make(opened, rootkey.load_public(opened.places.keys))
        made = apps.make(desk)
        with TestClient(made, base_url=LOCAL, raise_server_exceptions=True) as client:
            yield Api(opened, desk, made, client)
