"""The saved morning report in a real browser, opened as a file: no server, no script, both widths, both themes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.browser import LOOKS
from tests.unit.morning_scene import HOSTILE, Scene

from daybreak.report import morning
from daybreak.report.morning import deriving, proofs

CHROMIUM = "/usr/bin/chromium"
OPEN = "all => all.forEach(one => one.open = true)"
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium here")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = Scene(tmp_path_factory.mktemp("page"))
    with scene.ledger() as ledger:
        scene.whole(ledger)
        coming = [
            morning.Coming(when="2026-03-02T08:00:00Z", what="schedule nightly: window 2026-03-02"),
            morning.Coming(when="", what=HOSTILE, run="run-x"),
        ]
        kept = morning.Kept(size=68, root="dGhlIHJvb3Q=", lines=["witnessed: 60 of 68 events (8 behind)"])
        now = scene.clock.now() + timedelta(hours=9)
        source, records = morning.gather(ledger, now=now, night="", coming=coming, kept=kept, zone=60)
        facts, proof = proofs.embed(ledger, source, records, report="report-1")
    path = scene.base / "morning.html"
    path.write_text(morning.html.render(deriving.derive(source), facts, proof))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_is_whole_at_both_widths_in_both_themes_without_a_server(
    browser: Any, page_file: Path, width: int, theme: str
) -> None:
    # shows: N2
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message) or dialog.dismiss())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    assert asked == [page_file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if folder := os.environ.get("DAYBREAK_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"report-{width}-{theme}.png"), full_page=True)
        page.locator("details").evaluate_all(OPEN)
        page.screenshot(path=str(Path(folder) / f"report-{width}-{theme}-open.png"), full_page=True)
    assert said == []
    page.close()


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_the_page_is_readable_at_both_widths_in_both_themes(
    browser: Any, page_file: Path, width: int, theme: str
) -> None:
    """No serious finding of axe; each width and each theme once, all of them in the long form."""
    # shows: N2
    from axe_playwright_python.sync_playwright import Axe

    # axe is a script, which the page forbids: for it alone the policy is set aside
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.locator("details").evaluate_all(OPEN)
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious]
    context.close()


def test_a_link_of_a_line_goes_to_its_event_on_the_page(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(page_file.as_uri())
    link = page.locator("#verified .card > .proof a").first
    target = link.get_attribute("href")
    link.click()
    assert page.url.endswith(target)
    assert page.locator(target).count() == 1
    assert page.locator(target).is_visible()
    dangling = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href'))"
        ".filter(href => !document.getElementById(decodeURIComponent(href.slice(1))))"
    )
    assert dangling == []
    page.close()
