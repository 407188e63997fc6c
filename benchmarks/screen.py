"""What a person waits for: first paint and weight of each page; how soon an event is on the screen and at 50 clients.

    python -m benchmarks screen

A real Chromium and a real server on loopback, both on this machine. Baselines of the same run: the page of an error
code, which asks the ledger nothing, and the append of the event alone.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from tests import browser, page_scene

from benchmarks.figures import Figure, lower
from daybreak import events
from daybreak.ledger import Draft

BARE = "/explain/L119"
PAGES = (
    "/",
    "/queue",
    "/runs",
    f"/runs/{page_scene.DONE}",
    "/report",
    "/ledger",
    "/trends",
    "/schedules",
    "/notes",
    "/health",
)
TRIES, TIMES, CLIENTS = 5, 10, 50
MS_MAX, KB_MAX = 500, 300
QUIET_S = 0.6
"""Pages are told at most a few times a second; each event is to be the first of its time."""


def take(quick: bool = False) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="daybreak-bench-") as name:
        for served in browser.served(Path(name), seed=page_scene.seed):
            for chromium in browser.chromium():
                yield from _paint(chromium, served)
                yield from _seen(chromium, served)
            yield from _heard(served)


def _paint(chromium: object, served: browser.Served) -> Iterator[Figure]:
    bare: tuple[float, float] | None = None
    for path in (BARE, *PAGES):
        with browser.opened(chromium, served) as page:  # type: ignore[arg-type]
            weight = browser.weight(page, served.url + path)
            painted = []
            for _ in range(TRIES):
                page.goto(served.url + path)
                painted.append(browser.first_paint_ms(page))
        took, weighs = statistics.median(painted), weight / 1000
        if bare is None:
            bare = took, weighs
            continue
        name = "/runs/RUN" if path.endswith(page_scene.DONE) else path
        print(f"  {name}: most {max(painted):.0f} ms")
        what = "a page that asks nothing"
        yield lower(f"first paint of {name}", took, "ms", what, bare[0], aim=MS_MAX, aim_of="value")
        yield lower(f"weight of {name}", weighs, "KB", what, bare[1], aim=KB_MAX, aim_of="value")


def _append(served: browser.Served, name: str) -> float:
    """Milliseconds of the append alone."""
    assert served.desk is not None
    run = page_scene.HOSTILE
    done = events.StepDone(run=run, branch="", name=name, nth=0, args="0" * 64, result=None, duration_ms=1)
    began = time.perf_counter()
    served.desk.home.ledger.append([Draft(events.run_stream(run), done, epoch=1, trace=run)])
    return (time.perf_counter() - began) * 1000


def _seen(chromium: object, served: browser.Served) -> Iterator[Figure]:
    appended, seen = [], []
    with browser.opened(chromium, served) as page:  # type: ignore[arg-type]
        page.goto(f"{served.url}/runs/{page_scene.HOSTILE}")
        page.wait_for_selector(".live[data-state=on]")
        for number in range(TIMES):
            time.sleep(QUIET_S)
            began = time.perf_counter()
            appended.append(_append(served, f"fresh {number}"))
            page.wait_for_selector(f"text=fresh {number}", state="attached")
            seen.append((time.perf_counter() - began) * 1000)
    yield from _told("event on the screen", seen, appended)


def _heard(served: browser.Served) -> Iterator[Figure]:
    with httpx.Client(base_url=served.url, follow_redirects=True) as client:
        client.get(served.link())
        cookies = dict(client.cookies)
    appended, heard = [], []
    for number in range(TIMES):
        ready, came = threading.Barrier(CLIENTS + 1), []
        threads = [threading.Thread(target=_listen, args=(served.url, cookies, ready, came)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        ready.wait(30)
        time.sleep(QUIET_S)
        began = time.perf_counter()
        appended.append(_append(served, f"heard {number}"))
        for thread in threads:
            thread.join(30)
        heard.append((max(came) - began) * 1000)
    yield from _told(f"event at the last of {CLIENTS} clients", heard, appended)


def _listen(url: str, cookies: dict[str, str], ready: threading.Barrier, came: list[float]) -> None:
    with httpx.stream("GET", f"{url}/live", cookies=cookies, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        ready.wait(30)
        for line in lines:
            if line == "event: changed":
                came.append(time.perf_counter())
                return


def _told(what: str, times: list[float], alone: list[float]) -> Iterator[Figure]:
    append = statistics.median(alone)
    yield lower(what, statistics.median(times), "ms", "its append alone", append)
    yield lower(f"{what}, most", max(times), "ms", "its append alone", append, aim=MS_MAX, aim_of="value")
