"""Schemathesis calls the API with whatever its own description allows, and with what it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from tests.api_home import Api, api

from daybreak.web import limits

LONG = bool(os.environ.get("DAYBREAK_CHAOS"))
EXAMPLES = 150 if LONG else 5
SKIPPED = "/events/stream$"
"""It never ends; `test_api_stream` has it."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch, api(tmp_path_factory.mktemp("api"), patch) as found:
        yield found


@pytest.fixture(scope="module")
def described(served: Api) -> schemathesis.schemas.BaseSchema:
    found = schemathesis.openapi.from_dict(served.app.openapi())
    found.app = served.app
    return found


def _excluded() -> tuple[object, ...]:
    """Ours are told apart in tests of their own."""
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    return (positive_data_acceptance,)


# shows: P10
def test_no_request_makes_a_server_error_or_an_answer_outside_of_the_schema(
    served: Api, described: schemathesis.schemas.BaseSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FREE", "FREE_ALL"):  # a wrong token is tried at every address, which is guessing
        monkeypatch.setattr(limits, name, 10**9)
    everything = served.as_(
        "look", "evidence", "hand-over", "steer", "answer", "verdict", "undo", "incidents", "held-out", "admin"
    )
    served.desk.hosts = frozenset({"testserver"})  # what Schemathesis calls it where it goes by itself
    served.desk.buckets._rate = served.desk.buckets._burst = 1e9
    wrong: list[str] = []
    for found in described.exclude(path_regex=SKIPPED).get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @_given(operation)
        def call(case: schemathesis.Case) -> None:
            headers = dict(everything)
            response = case.call(session=served.client, headers=headers, base_url="http://127.0.0.1")
            case.validate_response(response, excluded_checks=list(_excluded()), headers=headers)

        try:
            call()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all operations are called, then all that is wrong is told
            wrong.append(f"{operation.label}: {error} {getattr(error, 'exceptions', '')}"[:3000])
    assert not wrong, "\n\n".join(wrong)


def _given(operation: object) -> object:
    from hypothesis import given

    return given(case=operation.as_strategy())  # type: ignore[attr-defined]
