"""Fixtures that several of these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit import postgres_server


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty database of a real Postgres."""
    with postgres_server.database() as url:
        yield url
