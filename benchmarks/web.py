"""The API beside a long ledger: p50 and p99 of each GET with 50 open streams, against a route of the same
process that asks neither token nor ledger.

    WEB_EVENTS=1000000 python -m benchmarks web
    WEB_HOME=/tmp/long python -m benchmarks web     # a home that was filled before; left as it is but for a token
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure, lower

EVENTS = 100_000
STREAMS = 50
CALLS = 100
MS_MAX = 100.0
"""Wanted of every address."""
QUICK = ("/api/v1/status", "/api/v1/runs", "/api/v1/ledger/events?after={middle}", "/", "/queue", "/runs")
BATCH = 500
PATHS = (
    "/api/v1/status",
    "/api/v1/queue",
    "/api/v1/runs",
    "/api/v1/runs?state=done",
    "/api/v1/runs/{run}",
    "/api/v1/questions",
    "/api/v1/nights",
    "/api/v1/budgets",
    "/api/v1/breakers",
    "/api/v1/schedules",
    "/api/v1/ledger/head",
    "/api/v1/ledger/events?after={middle}",
    "/api/v1/ledger/events/{middle}",
    "/api/v1/ledger/events/{middle}/proof",
    "/api/v1/metrics/trends",
    "/metrics",
    "/",
    "/queue",
    "/runs",
    "/runs/{run}",
    "/ledger",
    "/ledger/{middle}",
    "/trends",
    "/schedules",
    "/notes",
    "/health",
)


def take(quick: bool = False) -> Iterator[Figure]:
    from daybreak import home
    from daybreak.home import acting

    with tempfile.TemporaryDirectory() as folder:
        long = os.environ.get("WEB_HOME", "")
        os.environ["DAYBREAK_HOME"] = long or folder
        with home.opened(through=acting.through) as opened:
            if long:
                ((run,),) = opened.ledger.query("SELECT run FROM view_runs ORDER BY created DESC LIMIT 1")
                size = opened.ledger.newest().size
                print(f"  {size:,} events")
                yield from _measure(opened, str(run), size // 2, PATHS)
                return
            events = 3_000 if quick else int(os.environ.get("WEB_EVENTS", EVENTS))
            began = time.monotonic()
            last = _fill(opened, events)
            print(f"  {events:,} events written in {time.monotonic() - began:.0f} s")
            yield from _measure(opened, last, events // 2, QUICK if quick else PATHS)


def _fill(opened: object, most: int) -> str:
    """Runs of six events, every tenth failed, every hundredth parked."""
    from daybreak import events as all_
    from daybreak.ledger import Draft

    ledger, run = opened.ledger, ""  # type: ignore[attr-defined]
    drafts: list[Draft] = []
    for number in range(most // 6):
        run = f"run-{number:026d}"
        stream = all_.run_stream(run)
        end = "parked" if number % 100 == 50 else "failed" if number % 10 == 0 else "done"
        question = "which?" if end == "parked" else ""
        drafts += [
            Draft(all_.QUEUE, all_.TaskAdded(task=run, run=run, kind="command", title=f"Task {number}", args={})),
            Draft(stream, all_.RunMoved(run=run, old="queued", new="queued"), epoch=0),
            Draft(stream, all_.LeaseGranted(run=run, owner="o", host="h", pid=1, night=""), epoch=1),
            Draft(stream, all_.RunMoved(run=run, old="leased", new="running"), epoch=1),
            Draft(stream, all_.StepDone(run=run, branch="", name="s", nth=0, args="", result=0, duration_ms=5), epoch=1),  # noqa: E501
            Draft(stream, all_.RunMoved(run=run, old="running", new=end, question=question), epoch=1),
        ]  # fmt: skip
        if len(drafts) >= BATCH:
            ledger.append(drafts)
            drafts = []
    if drafts:
        ledger.append(drafts)
    return run


def _measure(opened: object, run: str, middle: int, paths: Sequence[str]) -> Iterator[Figure]:
    import datetime

    import httpx

    from daybreak.clock import SystemClock
    from daybreak.policy import bearer, rootkey
    from daybreak.policy.grant import Grant
    from daybreak.policy.journal import Journal
    from daybreak.web import desk, server

    places, ledger = opened.places, opened.ledger  # type: ignore[attr-defined]
    token = Journal(ledger, SystemClock(), actor="person").mint(
        rootkey.load_or_make(places.keys), run=f"{bearer.RUN}bench", attempt=0, tier=bearer.TIER,
        grant=Grant.of(api=bearer.SCOPES), lifetime=datetime.timedelta(hours=1),
    )  # fmt: skip
    made = desk.make(opened, rootkey.load_public(places.keys))  # type: ignore[arg-type]
    made.buckets._rate = made.buckets._burst = 1e9
    running = server.make(made)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    headers = {"Authorization": f"Bearer {token}"}
    while httpx.get(f"{address}/healthz").status_code != 200:
        time.sleep(0.01)
    streams = [threading.Thread(target=_listen, args=(address, headers), daemon=True) for _ in range(STREAMS)]
    for one in streams:
        one.start()
    while made.hub.streams.total() < STREAMS:
        time.sleep(0.01)
    print(f"  {STREAMS} streams are open")
    bare: tuple[float, float] | None = None
    # the short form counts the processor's time: who is waited for on one core differs from what it is on two
    calls, now = (CALLS, time.perf_counter) if paths is PATHS else (CALLS // 4, time.process_time)
    unit = "ms" if paths is PATHS else "ms of the processor"
    with httpx.Client(base_url=address, headers=headers) as client:
        for path in ("/healthz", *paths):
            place = path.format(run=run, middle=middle)
            times = []
            for _ in range(calls):
                began = now()
                answer = client.get(place)
                times.append((now() - began) * 1000)
                assert answer.status_code == 200, answer.text
            times.sort()
            middle_ms, late_ms = statistics.median(times), times[int(len(times) * 0.99) - 1]
            if bare is None:
                bare = middle_ms, late_ms
                continue
            yield lower(path, middle_ms, unit, "a bare route", bare[0])
            if paths is PATHS:
                yield lower(f"{path}, 99 of 100", late_ms, "ms", "a bare route", bare[1], aim=MS_MAX, aim_of="value")
    running.should_exit = running.force_exit = True  # streams would hold it for long
    thread.join(10)


def _listen(address: str, headers: dict[str, str]) -> None:
    import httpx

    try:
        with httpx.stream("GET", f"{address}/live", headers=headers, timeout=None) as stream:
            for _ in stream.iter_lines():
                pass
    except httpx.HTTPError:
        return
