"""The pages ledger, trends, schedules, notes and health in a real Chromium, over a ledger of 12,000 events with names
that mean harm in it.

shows: N10
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import httpx
import pytest
from tests import browser, past_scene
from tests.browser import Served
from tests.page_scene import HELD_OUT, SECRET

from daybreak.clock import SystemClock
from daybreak.config import Places
from daybreak.ledger import check_proof, keyfile, read_proof
from daybreak.web.pages.verifying import Verifying

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVENTS = 12_000
HOSTILE = "run:run-pasthostile"
PAGES = (
    "/ledger",
    f"/ledger?of={HOSTILE}",
    "/ledger?kind=incident.raised",
    "/trends?days=14",
    "/schedules",
    "/notes?forgotten=true",
    "/health",
    "/explain/L119",
)
AXE = {360: "light", 1440: "dark"}
"""Rules are held against each page at each width, once in each theme; in the short form at one of them, by turns."""
ALIKE = ("/ledger", "/ledger?kind=incident.raised")
"""Made as the page of a stream is."""
WRITTEN = "only-somebody-who-may-see-words-reads-this"
SLOWER_MAX = 12.0
"""A page may take so many times what the page takes that asks the ledger nothing."""
WEIGHT_MAX = 300_000


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weeks of work, for whoever makes a copy of it."""
    home = tmp_path_factory.mktemp("past")
    past_scene.make(home)
    return home


@pytest.fixture(scope="module")
def served(past: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(past, home)
    past_scene.many(home, EVENTS)
    (home / "notes").mkdir()
    head = "---\nversion: 3\nupdated: 2026-01-02\nverified_on: 2026-01-20\nconfidence: 0.8\n---\n"
    title = "<script>window.harmed = true</script>"
    (home / "notes" / "search.md").write_text(f"{head}# {title} {SECRET} {WRITTEN}\nIt answers 429.\n")
    (home / "notes" / "outside.md").symlink_to("/etc/passwd")
    Path(os.fsdecode(os.fsencode(home / "notes") + b"/odd\xff.md")).write_text(head)
    yield from browser.served(home)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    yield from browser.chromium()


def name_of(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")


def hostile_index(served: Served) -> int:
    assert served.desk is not None
    sql = "SELECT leaf FROM event WHERE stream = ? ORDER BY seq"
    return int(served.desk.home.ledger.query(sql, (HOSTILE,))[4][0])


def harmless(page: Page) -> None:
    assert page.evaluate("window.harmed") is None
    text = page.content()
    for never in (HELD_OUT, SECRET, "\u202e", "\x1b"):
        assert never not in text, never[:20]


# -- every page


@pytest.mark.parametrize("by_turns", [True, pytest.param(False, marks=pytest.mark.chaos)])
def test_every_page_is_whole_harmless_and_within_reach_of_everybody(
    served: Served, chromium: Browser, *, by_turns: bool
) -> None:
    """At both widths and in both themes, which a page takes from the browser without being loaded again."""
    with browser.opened(chromium, served) as page:
        held = 0
        for path in (*PAGES, f"/ledger/{hostile_index(served)}", "/notes/history?of=search.md"):
            answer = page.goto(served.url + path)
            assert answer is not None
            assert answer.status == 200, path
            if path == "/health":
                page.wait_for_selector("#findings:not([hx-get])", timeout=30_000)
            harmless(page)
            held += path not in ALIKE
            for number, width in enumerate(browser.WIDTHS):
                page.set_viewport_size({"width": width, "height": browser.HEIGHTS[width]})
                assert browser.fits(page), (path, width)
                for theme in browser.THEMES:
                    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
                    browser.shot(page, f"{name_of(path)}-{width}-{theme}")
                    if theme == AXE[width] and path not in ALIKE and not (by_turns and number == held % 2):
                        assert browser.axe(page) == [], (path, width, theme)


def test_pages_say_the_same_without_scripts(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served, scripts=False) as page:
        page.goto(f"{served.url}/trends?days=14")
        assert page.locator("#chart-outcomes-table tbody tr").count() == 14
        page.goto(f"{served.url}/schedules")
        page.get_by_role("button", name="Run backup now").click()
        assert "is in the queue" in page.locator("#said").inner_text()


def test_a_page_weighs_little_paints_soon_and_does_not_jump(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served) as page:
        assert browser.weight(page, f"{served.url}/trends?days=90") < WEIGHT_MAX
        page.wait_for_selector("#chart-failures canvas")
        assert browser.shift(page) < 0.05
        assert browser.weight(page, f"{served.url}/ledger") < WEIGHT_MAX
        assert browser.shift(page) < 0.05


def test_charts_are_drawn_from_their_tables_and_again_in_the_other_theme(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/trends?days=14")
        for name in ("success", "outcomes", "cost", "durations", "failures"):
            page.wait_for_selector(f"#chart-{name} canvas")
        before = page.locator("#chart-outcomes canvas").evaluate("one => one.toDataURL()")
        page.get_by_role("button", name="Switch between light and dark").click()
        page.wait_for_function(
            "before => document.querySelector('#chart-outcomes canvas').toDataURL() !== before", arg=before
        )
        page.get_by_text("The numbers of “Failures by kind”", exact=False).click()
        assert page.locator("#chart-failures-table").is_visible()
        harmless(page)


# -- the ledger


def test_one_walks_from_the_list_to_an_event_its_neighbour_and_its_proof(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/ledger")
        page.get_by_label("Stream, run or event").fill("run-pasthostile")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ledger?of=run-pasthostile**")
        page.locator(".events .place").nth(2).click()
        page.wait_for_selector("text=in the signed head")
        index = int(page.url.rpartition("/")[2])
        page.get_by_role("link", name="Event before").click()
        page.wait_for_url(f"**/ledger/{index - 1}")
        with page.expect_download() as waiting:
            page.get_by_role("link", name="Proof without what it says").click()
        data = Path(waiting.value.path()).read_bytes()
        made = read_proof(data)
        check_proof(made, [keyfile.load_verifier(served.home / "keys")])
        assert made.events[0].index == index - 1
        assert made.events[0].payload is None
        page.goto(f"{served.url}/ledger?of={HOSTILE}%234")
        assert page.url.endswith(f"/ledger/{hostile_index(served)}")


def test_a_check_runs_beside_the_pages_and_says_what_it_found(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/ledger")
        page.get_by_role("button", name="Verify").click()
        page.wait_for_selector("#verification progress, #verification :text('nothing wrong')")
        page.wait_for_selector("#verification :text('nothing wrong')", timeout=60_000)
        assert "Every one of the" in page.locator("#verification").inner_text()
        page.goto(f"{served.url}/ledger")
        page.get_by_role("button", name="Verify what is new").click()
        page.wait_for_selector("#verification :text('older events were taken from the check')", timeout=60_000)
        assert page.get_by_role("button", name="Verify everything").count() == 0  # that needs the scope admin


def test_a_check_of_a_changed_ledger_names_the_place(past: Path, tmp_path: Path) -> None:
    shutil.copytree(past, tmp_path / "home")
    places = Places.below(tmp_path / "home", "a test")
    other = apsw.Connection(str(places.ledger / "ledger.db"))
    trigger = other.execute("SELECT sql FROM sqlite_schema WHERE name = 'event_stays'").fetchall()[0][0]
    other.execute("DROP TRIGGER event_stays")
    other.execute("UPDATE event SET payload = x'7b7d' WHERE leaf = 7")
    other.execute(trigger)
    other.close()
    verifying = Verifying(places, SystemClock())
    assert verifying.begin()
    assert not verifying.begin()
    until = time.monotonic() + 60
    while verifying.check is not None and verifying.check.running and time.monotonic() < until:
        time.sleep(0.05)  # another program ends, which tells nobody here
    check = verifying.check
    assert check is not None
    assert (check.state, check.ok) == ("done", False)
    assert any("7" in place for place, _ in check.problems)


# -- forms


def test_a_schedule_is_removed_and_set_again(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served, width=360) as page:
        page.goto(f"{served.url}/schedules")
        page.get_by_role("button", name="Remove prices").click()
        page.get_by_role("button", name="Set prices again").click()
        page.get_by_role("button", name="Remove prices").wait_for()
    assert served.desk is not None
    told = served.desk.home.ledger.query("SELECT removed FROM view_schedules WHERE name = 'prices'")
    assert told == [(0,)]


def test_a_lesson_is_written_found_and_forgotten(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/notes")
        page.get_by_label("A sentence or two").fill("Invoices are numbered <b>without</b> gaps.")
        page.get_by_role("button", name="Keep it").click()
        page.wait_for_selector(".lines :text('Invoices are numbered')")
        page.goto(f"{served.url}/notes?q=INVOICES")
        (text,) = page.locator("#lessons-title >> xpath=ancestor::section >> css=.lines > li > p:first-child").all()
        assert text.inner_text() == "Invoices are numbered <b>without</b> gaps."
        page.get_by_text("Forget it").click()
        page.get_by_label("Why, for whoever asks later").fill("no longer so")
        page.get_by_role("button", name=re.compile("Forget lesson")).click()
        page.wait_for_selector("text=No lesson has these words")


def test_an_incident_is_closed_with_a_reason_and_by_name(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/health")
        form = page.locator(f"#incident-{past_scene.INCIDENT}")
        form.get_by_label("What it was, and what was done").fill("a test of ours")
        page.get_by_role("button", name=f"Close incident {past_scene.INCIDENT}").click()
        form.wait_for(state="detached")
    assert served.desk is not None
    found = served.desk.home.ledger.query("SELECT why FROM view_incidents WHERE incident = ?", (past_scene.INCIDENT,))
    assert found == [("a test of ours",)]


# -- who may what


@pytest.fixture
def looker(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, follow_redirects=True) as client:
        client.get(served.link("look"))
        yield client


def test_whoever_may_only_look_sees_no_words_of_workers_and_changes_nothing(
    served: Served, looker: httpx.Client
) -> None:
    index = hostile_index(served)
    for path in (*PAGES, f"/ledger/{index}"):
        answer = looker.get(path)
        assert answer.status_code == 200, path
        for never in (HELD_OUT, SECRET, WRITTEN, *(["invoice"] if path != "/schedules" else [])):
            assert never not in answer.text, (path, never)
    assert looker.get(f"/ledger/{index}/proof").status_code == 200
    assert looker.get(f"/ledger/{index}/proof?payload=1").status_code == 403
    assert looker.get("/notes/history?of=search.md").status_code == 403
    assert served.desk is not None
    before = served.desk.home.ledger.newest().size
    session = next(iter(served.desk.sessions._known.values()))
    for path in (
        "/ledger/verify",
        "/schedules/backup/remove",
        "/schedules/gone/set",
        "/notes/lessons",
        "/health/incidents/inc-1/close",
    ):
        for csrf in ("", session.csrf):
            answer = looker.post(path, data={"csrf": csrf}, headers={"Origin": served.url})
            assert answer.status_code == 403, path
    assert served.desk.home.ledger.newest().size == before


def test_a_payload_with_a_secret_or_an_example_leaves_in_no_proof(served: Served) -> None:
    with httpx.Client(base_url=served.url, follow_redirects=True) as client:
        client.get(served.link())
        index = hostile_index(served)
        assert client.get(f"/ledger/{index}/proof?payload=1").status_code == 403  # it holds a secret
        assert client.get(f"/ledger/{index + 1}/proof?payload=1").status_code == 403  # it was held out
        said = json.loads(client.get("/ledger/5/proof?payload=1").content)
        assert said["events"][0]["payload"]


@pytest.mark.parametrize("name", ["999999999", "9" * 400, "x", "-1", "queue%23999999", "%00", "%F0%9F%92%A9"])
def test_an_event_that_is_not_there_is_said_to_be_not_there(served: Served, looker: httpx.Client, name: str) -> None:
    assert looker.get(f"/ledger/{name}", headers={"Accept": "text/html"}).status_code == 404


@pytest.mark.parametrize("path", ["/trends?days=0", "/trends?days=91", "/notes?page=0", f"/ledger?of={'x' * 301}"])
def test_what_no_page_can_show_is_refused(looker: httpx.Client, path: str) -> None:
    assert looker.get(path, headers={"Accept": "text/html"}).status_code == 422
