"""Attempts on nodes: what is the coordinator's machine's, or the nodes', is asked of a person or waited for, and is
said of no worker."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.unit.test_attempting import Counter, Desk, on_nodes, opened

from daybreak.agents import cascade
from daybreak.agents.cascade import Cascade, Choice, Ended
from daybreak.agents.found import Found
from daybreak.agents.gateway import Way, listening
from daybreak.clock import SystemClock
from daybreak.engine import Queue
from daybreak.engine.dispatch import AnswerFalse, JobLost
from daybreak.events import POLICY, AttemptJudged, BreakerChanged, run_stream
from daybreak.events import JobLost as JobWasLost
from daybreak.factory import attempted, cascading
from daybreak.ledger import Draft
from daybreak.memory import outcomes
from daybreak.settings import Dispatching


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with opened(tmp_path) as made:
        yield made


class Listening(Counter):
    """That listens where it is told."""

    def way(self, token: str, *, listen: str, advertise: str) -> Way:
        listener, _ = listening.bound(listen, advertise)
        listener.close()
        return super().way(token, listen=listen, advertise=advertise)


def listens(desk: Desk, listen: str, advertise: str = "") -> None:
    told: dict[str, Any] = {"engine": "ray", "listen": listen, "advertise": advertise}
    desk.office.settings = desk.office.settings.model_copy(update={"dispatch": Dispatching(**told)})


def standing(desk: Desk) -> tuple[str, str, str]:
    (row,) = desk.ledger.query("SELECT state, question, why FROM view_runs WHERE run = ?", (desk.run_id,))
    return row  # type: ignore[return-value]


def test_where_the_relay_cannot_listen_the_run_asks_a_person_and_goes_on_once_that_is_mended(desk: Desk) -> None:
    """Another program has the port: no worker can help it, so it costs no attempt, no try, and says nothing of the
    worker."""
    # shows: N14, F16
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        counter = desk.behind(Listening())
        listens(desk, listen)
        nodes = on_nodes(desk, None)
        for _ in range(2):  # also where somebody says go on and nothing was mended
            anyio.run(desk.engine.supervise, desk.run_id)
            state, question, why = standing(desk)
            assert state == "parked"
            assert question.startswith(f"the relay's listen address '{listen}' cannot be used")
            assert "already in use" in question
            assert question.endswith(": go on?")
            assert why.startswith("W210: set `listen` in [dispatch]")
            assert Queue(desk.ledger, SystemClock(), os.urandom).answer(desk.run_id, "yes")
    assert (nodes.jobs, desk.results, desk.events(JobWasLost)) == ([], [], [])
    assert desk.go().claim.outcome == "finished"
    assert standing(desk)[0] == "done"
    assert len(nodes.jobs) == len(counter.ways) == 1


def test_an_address_that_no_node_can_reach_is_asked_about_too(desk: Desk) -> None:
    """Whoever listens at all addresses must say by which one nodes find it."""
    desk.behind(Listening())
    listens(desk, "0.0.0.0:0")
    on_nodes(desk)
    anyio.run(desk.engine.supervise, desk.run_id)
    state, question, why = standing(desk)
    assert state == "parked"
    assert "nodes cannot reach 0.0.0.0" in question
    assert "`advertise` in [dispatch]" in why


@pytest.mark.parametrize("problem", [JobLost, AnswerFalse])
def test_an_attempt_that_nodes_lost_again_and_again_is_said_of_no_worker(desk: Desk, problem: Any) -> None:
    """It is no attempt of the task's, no evidence about the worker, no breaker's, and the worker is asked again when
    that has passed: nodes that go cost what they lost, and nothing else."""
    # shows: N14, F11
    desk.behind(Counter())
    nodes = on_nodes(desk, *[problem("node x fell silent", hint="it is done again") for _ in range(3)])
    result = desk.go()
    assert len(nodes.jobs) == 3
    assert [one.again for one in desk.events(JobWasLost)] == [True, True, False]
    assert (result.claim.outcome, result.claim.trouble) == ("crashed", "outage")
    assert "fell silent" in result.claim.summary

    told = attempted.told(desk.run_id, 1, "build", "w", result, "")
    records = desk.ledger.append([Draft(run_stream(desk.run_id), one, epoch=1) for one in told])
    assert [one.trouble for one in told if isinstance(one, AttemptJudged)] == ["outage"]
    assert outcomes.read(desk.ledger).tallies == {}
    assert [one for one in desk.ledger.read(POLICY) if isinstance(one.event, BreakerChanged)] == []
    assert "outage" in cascading._NO_ATTEMPTS

    now = SystemClock().now()
    course = Cascade(order=("w",), found={"w": Found()}, now=now, outcomes=cascade.outcomes(records))
    waits = course.next()
    assert isinstance(waits, Ended)
    assert waits.until is not None
    assert now < waits.until < now + timedelta(minutes=6)
    later = Cascade(order=("w",), found={"w": Found()}, now=waits.until, outcomes=course.outcomes).next()
    assert isinstance(later, Choice)
    assert later.worker == "w"
    both = Cascade(order=("w", "v"), found={"w": Found(), "v": Found()}, now=now, outcomes=course.outcomes).next()
    assert isinstance(both, Choice)
    assert both.worker == "v"


def test_what_a_worker_does_to_its_own_folder_stays_its_own_fault(desk: Desk) -> None:
    """What is no tree does not travel back, and that no node did."""
    from daybreak.host import tree

    desk.behind(Counter())
    on_nodes(desk, tree.NotATree("a socket is in it", hint=""))
    assert desk.go().claim.trouble == "crashed"
