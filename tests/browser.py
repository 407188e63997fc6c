"""A real server and a real Chromium for tests of pages: what is on the screen, and what it does.

    @pytest.fixture(scope="module")
    def served(tmp_path_factory): yield from browser.served(tmp_path_factory.mktemp("home"), seed=my_seed)

    @pytest.fixture(scope="module")
    def chromium(): yield from browser.chromium()

    def test_page(served, chromium):
        with browser.opened(chromium, served, width=360, theme="dark") as page:
            page.goto(served.url + "/queue")
            browser.shot(page, "queue-360-dark")
            assert browser.axe(page) == []

What a page says on its console, and what its content security policy refused, fails the test at the end of `opened`.
Screenshots go to the folder that DAYBREAK_SCREENSHOTS names, if it does.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from daybreak.home import Home
    from daybreak.web.desk import Desk

WIDTHS = (360, 1440)
THEMES = ("light", "dark")
HEIGHTS = {360: 780, 1440: 900}
LOOKS = (
    (360, "dark"),
    (1440, "light"),
    pytest.param(360, "light", marks=pytest.mark.chaos),
    pytest.param(1440, "dark", marks=pytest.mark.chaos),
)
"""Each width and each theme once; the others in the long form."""
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
START_S = 30.0
SHOTS = "DAYBREAK_SCREENSHOTS"

Seed = Callable[["Home"], None]


@dataclass
class Served:
    """A home and the server over it, in a thread of this process. It can be stopped and begun again on its port."""

    home: Path
    port: int = 0
    desk: Desk | None = None
    scopes: frozenset[str] | None = None
    """What a browser that comes through `link` may do; None: what the server usually gives."""
    _thread: threading.Thread | None = field(default=None, repr=False)
    _server: Any = field(default=None, repr=False)
    _failed: list[BaseException] = field(default_factory=list, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def link(self, *scopes: str) -> str:
        """An address that signs one browser in."""
        assert self.desk is not None, "the server runs"
        given = frozenset(scopes) or self.scopes
        name = self.desk.sessions.link() if given is None else self.desk.sessions.link(given)  # type: ignore[arg-type]
        return f"{self.url}/login?once={name}"

    def token(self, *scopes: str) -> str:
        """What somebody would get from `daybreak token mint --api`."""
        from datetime import timedelta

        from daybreak.clock import SystemClock
        from daybreak.policy import bearer, rootkey
        from daybreak.policy.grant import Grant
        from daybreak.policy.journal import Journal

        assert self.desk is not None, "the server runs"
        opened = self.desk.home
        return Journal(opened.ledger, SystemClock(), actor="person").mint(
            rootkey.load_or_make(opened.places.keys),
            run=f"{bearer.RUN}browser",
            attempt=0,
            tier=bearer.TIER,
            grant=Grant.of(api=scopes),
            lifetime=timedelta(hours=1),
        )

    def start(self, seed: Seed | None = None) -> None:
        ready = threading.Event()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(128)
        self.port = listening.getsockname()[1]
        self._failed.clear()
        self._thread = threading.Thread(target=self._serve, args=(listening, ready, seed), daemon=True)
        self._thread.start()
        if not ready.wait(START_S) or self._failed:
            raise AssertionError(f"the server did not start: {self._failed}")

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(START_S)
            assert not self._thread.is_alive(), "the server ends"
        self._thread = self._server = None

    def _serve(self, listening: socket.socket, ready: threading.Event, seed: Seed | None) -> None:
        from daybreak import home as homes
        from daybreak.home import acting
        from daybreak.policy import rootkey
        from daybreak.web import desk, server

        try:
            with homes.opened(looking=True, through=acting.through) as opened:
                if seed is not None:
                    seed(opened)
                self.desk = desk.make(opened, rootkey.load_public(opened.places.keys))
                self._server = server.make(self.desk)
                self._server.config.load()
                ready.set()
                self._server.run(sockets=[listening])
        except BaseException as error:  # noqa: BLE001 - told by `start`
            self._failed.append(error)
            ready.set()
        finally:
            listening.close()


def served(home: Path, seed: Seed | None = None) -> Iterator[Served]:
    """The body of a fixture. `seed` is called with the open home before anything is served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAYBREAK_HOME", str(home))
        patch.setenv("DAYBREAK_LOG", "error")
        for name in ("DAYBREAK_SETTINGS", "DAYBREAK_POSTGRES"):
            patch.delenv(name, raising=False)
        patch.chdir(home)
        found = Served(home)
        found.start(seed)
        try:
            yield found
        finally:
            found.stop()


def chromium() -> Iterator[Browser]:
    """The body of a fixture: one Chromium. Skips, and says so loudly, where there is none."""
    path = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if path is None:
        names = ", ".join(CHROMIUMS)
        reason = f"NO CHROMIUM ({names}), so no page was looked at; `make test` as root installs it"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield found
        finally:
            found.close()


@contextmanager
def opened(
    chromium: Browser,
    served: Served,
    *,
    width: int = 1440,
    theme: str = "light",
    scopes: tuple[str, ...] = (),
    signed_in: bool = True,
    scripts: bool = True,
    forgiven: tuple[str, ...] = (),
) -> Iterator[Page]:
    """A page in a context of its own, signed in. `forgiven`: parts of messages that are expected on its console."""
    context = chromium.new_context(
        viewport={"width": width, "height": HEIGHTS.get(width, 900)},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        java_script_enabled=scripts,
    )
    complaints: list[str] = []
    try:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda one: complaints.append(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda one: complaints.append(f"{one}"))
        if signed_in:
            page.goto(served.link(*scopes))
        yield page
    finally:
        context.close()
    left = [one for one in complaints if not any(part in one for part in forgiven)]
    assert not left, f"the console says: {left}"


def axe(page: Page, *, least: tuple[str, ...] = ("serious", "critical")) -> list[str]:
    """What axe-core finds of these impacts, a line each."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['impact']}: {one['id']}: {one['help']}: {', '.join(str(node['target']) for node in one['nodes'][:4])}"
        for one in found
        if one["impact"] in least
    ]


def shot(page: Page, name: str, *, whole: bool = True) -> None:
    """Keep a picture, where somebody wants pictures."""
    folder = os.environ.get(SHOTS)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=whole)


def weight(page: Page, address: str) -> int:
    """Bytes that a browser with nothing kept has to load for a page."""
    page.goto(address, wait_until="load")
    told = "performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))"
    return int(page.evaluate(f"{told}.reduce((sum, one) => sum + (one.transferSize || 0), 0)"))


def first_paint_ms(page: Page) -> float:
    """When the first content was painted, from the start of the navigation."""
    told = "performance.getEntriesByName('first-contentful-paint').map(one => one.startTime)[0]"
    for _ in range(50):
        if (found := page.evaluate(told)) is not None:
            return float(found)
        page.wait_for_timeout(100)
    raise AssertionError("nothing was painted")


def shift(page: Page) -> float:
    """How much of the layout has jumped since the page was loaded."""
    return float(
        page.evaluate(
            """() => new Promise(resolve => {
              let sum = 0;
              new PerformanceObserver(list => {
                for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value;
              }).observe({type: 'layout-shift', buffered: true});
              requestAnimationFrame(() => requestAnimationFrame(() => resolve(sum)));
            })"""
        )
    )


def fits(page: Page) -> bool:
    """Nothing is wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))
