"""The dashboard in a real Chromium: tonight, queue, runs, one run, the report. shows: N10, N12, F14, P10"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from tests import browser, page_scene
from tests.browser import Served
from tests.page_scene import DIVIDED, DONE, FAILED, HELD_OUT, HOSTILE, MENDED, PARKED, RUNNING, SECRET

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGES = {
    "tonight": "/",
    "queue": "/queue",
    "runs": "/runs",
    "report": "/report",
    "run-done": f"/runs/{DONE}",
    "run-parked": f"/runs/{PARKED}",
    "run-failed": f"/runs/{FAILED}",
    "run-running": f"/runs/{RUNNING}",
    "run-divided": f"/runs/{DIVIDED}",
    "run-hostile": f"/runs/{HOSTILE}",
    "run-mended": f"/runs/{MENDED}",
    "changes": f"/runs/{MENDED}/diff",
    "logs": f"/runs/{MENDED}/logs",
    "transcript": f"/runs/{FAILED}/transcript",
    "cancel": f"/runs/{PARKED}/cancel",
    "undo": f"/runs/{MENDED}/undo",
}
WEIGHT_MAX = 300_000
AXED = ((360, "dark"), (1440, "light"))
"""Each width and each theme once; in the short form each page is held against axe's rules in one of them, by turns."""
LOST = "ERR_CONNECTION_REFUSED"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from browser.served(tmp_path_factory.mktemp("home"), page_scene.seed)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    yield from browser.chromium()


def _state(served: Served, run: str) -> tuple[str, int, int]:
    assert served.desk is not None
    ((state, answered, cancel),) = served.desk.home.ledger.query(
        "SELECT state, answered, cancel FROM view_runs WHERE run = ?", (run,)
    )
    return state, answered, cancel


@pytest.mark.parametrize(("width", "theme"), browser.LOOKS)
def test_every_page_is_whole_accessible_and_fits_at_both_widths_in_both_themes(
    served: Served, chromium: Browser, width: int, theme: str
) -> None:
    """No serious finding of axe, nothing wider than the screen, nothing on the console, no refusal of the policy."""
    with browser.opened(chromium, served, width=width, theme=theme) as page:
        for number, (name, address) in enumerate(PAGES.items()):
            page.goto(served.url + address)
            page.wait_for_selector(".live[data-state=on]")
            browser.shot(page, f"{name}-{width}-{theme}", whole=False)
            if (width, theme) not in AXED or AXED.index((width, theme)) == number % 2:
                assert browser.axe(page) == [], name
            assert browser.fits(page), name
            assert page.evaluate("window.harmed") is None, name
            assert browser.shift(page) < 0.02, name


def test_pages_are_light(served: Served, chromium: Browser) -> None:
    """Under 300 KB with an empty cache. How soon they are painted is measured: `benchmarks/screen.py`."""
    for name in ("tonight", "queue", "report", "run-done", "run-hostile"):
        address = PAGES[name]
        with browser.opened(chromium, served) as page:
            assert browser.weight(page, served.url + address) < WEIGHT_MAX, name


def test_hostile_text_is_shown_as_text_and_secrets_and_held_out_words_are_not(
    served: Served, chromium: Browser
) -> None:
    with browser.opened(chromium, served) as page:
        for address in ("/", "/queue", "/runs", "/report", f"/runs/{HOSTILE}", f"/runs/{DONE}", f"/runs/{MENDED}/diff"):
            page.goto(served.url + address)
            html = page.content()
            assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page.inner_text("body")), address
            assert SECRET not in html, address
            assert HELD_OUT not in html, address
            assert page.locator("img").count() == 0, address
        page.goto(f"{served.url}/runs/{HOSTILE}")
        assert "<script>window.harmed" in page.inner_text("h1")
        assert r"\u202e" in page.inner_text("h1")
        assert "more characters" in page.inner_text("main")
    with browser.opened(chromium, served, scopes=("look", "evidence", "held-out")) as page:
        page.goto(f"{served.url}/runs/{DONE}")
        assert HELD_OUT in page.content()


def test_without_the_scope_evidence_nothing_that_a_program_printed_or_a_worker_said_is_shown(
    served: Served, chromium: Browser
) -> None:
    with browser.opened(chromium, served, scopes=("look",), forgiven=("403", "404")) as page:
        page.goto(f"{served.url}/runs/{DONE}")
        assert "41 passed in 2.1s" not in page.content()
        assert "all is built" not in page.content(), "the words of workers need the scope evidence"
        assert page.locator("main form").count() == 0
        page.goto(served.url + "/report")
        assert "all is built" not in page.content()
        kept = f"/runs/{FAILED}/transcript"
        for address in (f"/runs/{DONE}/logs", f"/runs/{MENDED}/diff", f"/runs/{DONE}/cancel", kept):
            answer = page.goto(served.url + address)
            assert answer is not None
            assert answer.status == 403


def test_a_transcript_is_paged_harmless_and_without_secrets_or_held_out_words(
    served: Served, chromium: Browser
) -> None:
    with browser.opened(chromium, served, forgiven=("404",)) as page:
        page.goto(f"{served.url}/runs/{FAILED}")
        page.click("text=its transcript")
        texts = [page.content()]
        page.click("text=all of it")
        texts.append(page.content())
        assert "<script>window.harmed" in page.inner_text("pre")
        page.click("a[rel=next]")
        texts.append(page.content())
        assert "end of it" in page.inner_text("pre")
        for text in texts:
            assert SECRET not in text
            assert HELD_OUT not in text
        assert page.evaluate("window.harmed") is None
        page.go_back()
        address = page.url.replace("of=output", "of=args")
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 404


def test_a_question_is_answered_with_the_keyboard_alone(served: Served, chromium: Browser) -> None:
    """Skip link, field and button are reached by Tab; the page says what came of it, and focus is not lost."""
    with browser.opened(chromium, served) as page:
        page.goto(served.url + "/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == f"answer-{PARKED}":
                break
        assert page.evaluate("document.activeElement.id") == f"answer-{PARKED}"
        page.keyboard.type("yes")
        page.keyboard.press("Enter")
        page.wait_for_selector("#said")
        assert "Answered: yes" in page.inner_text("#said")
        page.wait_for_selector(f"#ask-{PARKED}", state="detached")
        assert page.url.partition("#")[0] == served.url + "/"
    assert _state(served, PARKED)[1] == 1


def test_an_answer_meets_only_the_question_that_was_on_the_screen(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/runs/{HOSTILE}")
        page.fill(f"#answer-{HOSTILE}", "yes")
        page.evaluate("document.querySelectorAll('input[name=question]').forEach(one => one.value = 'another')")
        page.click("form.answer button")
        page.wait_for_selector("#said")
        assert "U340" in page.inner_text("#said")
    assert _state(served, HOSTILE)[1] == 0


def test_a_run_is_cancelled_in_a_dialog_and_without_scripts_on_a_page(served: Served, chromium: Browser) -> None:
    first, second = page_scene.run_name(101), page_scene.run_name(102)
    with browser.opened(chromium, served) as page:
        page.goto(served.url + "/queue")
        page.click(f"#row-{first} [data-dialog=cancel]")
        page.wait_for_selector("dialog[open]")
        assert "Listing 101" in page.inner_text("dialog")
        browser.shot(page, "cancel-dialog", whole=False)
        assert browser.axe(page) == []
        page.click("dialog [data-close]")
        assert _state(served, first)[2] == 0
        page.click(f"#row-{first} [data-dialog=cancel]")
        page.fill("#cancel-why", "not wanted")
        page.click("dialog button.danger")
        page.wait_for_selector("#said")
    assert _state(served, first)[2] == 1
    with browser.opened(chromium, served, scripts=False) as page:
        page.goto(served.url + "/queue")
        page.click(f"#row-{second} [data-dialog=cancel]")
        page.click("button.danger")
        assert "will be cancelled" in page.inner_text("main")
    assert _state(served, second)[2] == 1


def test_the_queue_is_reordered_and_paused_by_buttons(served: Served, chromium: Browser) -> None:
    run = page_scene.run_name(119)
    with browser.opened(chromium, served) as page:
        page.goto(served.url + "/queue?q=119")
        button = page.get_by_role("button", name="Raise the priority of Listing 119 to 1")
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#said")
        assert page.inner_text(f"#row-{run} .priority") == "1"
        page.get_by_role("button", name="Pause Listing 119").click()
        page.get_by_role("button", name="Resume Listing 119").wait_for()
        assert "paused by a person" in page.inner_text(f"#row-{run}")
        page.goto(served.url + "/queue")
        page.get_by_role("button", name="Pause the queue").click()
        page.get_by_role("button", name="Let the queue go on").click()
        page.get_by_role("button", name="Pause the queue").wait_for()


def test_a_result_is_accepted_rejected_with_a_reason_and_its_undoing_shown_first(
    served: Served, chromium: Browser
) -> None:
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/runs/{DONE}")
        page.get_by_role("button", name="Accept the result").click()
        page.wait_for_selector("text=accepted by api this machine")
        page.click("#reject > summary")
        page.fill("#because", "the list is not sorted")
        page.check("#reject input[name=task]")
        page.click("#reject button")
        page.wait_for_selector("text=rejected by api this machine")
        page.goto(f"{served.url}/runs/{DONE}/undo")
        assert "Nothing is touched yet" in page.inner_text("main")


def test_what_was_delivered_is_undone_after_its_plan_was_shown_and_only_then(
    served: Served, chromium: Browser, tmp_path: Path
) -> None:
    """A folder that is really there: the plan touches nothing, the button takes it away, a repeat says so."""
    from daybreak import events
    from daybreak.factory import deliver

    assert served.desk is not None
    scene, run, output = page_scene.Scene(served.desk.home), page_scene.run_name(901), tmp_path / "shelf"
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text("print('shelf')\n")
    args = {"specification": "a" * 64, "specification_name": "s.md", "format": "md", "output": str(output)}
    scene.add(run, "Shelf that is taken back", args=args)
    scene.begin(run)
    made = deliver.put(project, output, {"run": run})
    put = {"files": 1, "replaced": ""}
    scene.tell(
        run,
        events.GateDecided(run=run, attempt=1, workspace="b" * 64, verdict="passed", score=100.0),
        events.StepDone(run=run, branch="", name="deliver", nth=0, args="0" * 64, result=put, duration_ms=1),
        events.Delivered(run=run, output=str(output), workspace="b" * 64, manifest=made.hash),
    )
    scene.end(run, "done")
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/runs/{run}")
        page.click("text=Undo …")
        assert str(output) in page.inner_text("main")
        assert "Nothing is touched yet" in page.inner_text("main")
        assert (output / "main.py").exists()
        browser.shot(page, "undo-plan", whole=False)
        page.get_by_role("button", name="Take it back").click()
        page.wait_for_selector("#said")
        assert "Undone" in page.inner_text("#said")
        assert not output.exists()
        assert page.locator("text=Undo …").count() == 0
        page.goto(f"{served.url}/runs/{run}/undo")
        assert "It is undone already" in page.inner_text("main")
        assert page.locator("button.danger").count() == 0
    with browser.opened(chromium, served, scopes=("look", "verdict"), forgiven=("403",)) as page:
        page.goto(f"{served.url}/runs/{DONE}")
        assert page.locator("text=Undo …").count() == 0


def test_what_happens_comes_to_the_screen_by_itself_and_nothing_that_is_open_closes(
    served: Served, chromium: Browser
) -> None:
    """Focus, an answer half typed and open details stay; the layout does not jump."""
    from daybreak import events
    from daybreak.ledger import Draft

    assert served.desk is not None
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/runs/{HOSTILE}")
        page.wait_for_selector(".live[data-state=on]")
        page.click("details[id^=out-] > summary >> nth=0")
        page.fill(f"#answer-{HOSTILE}", "half an ans")
        page.evaluate("window.kept = document.activeElement")
        looked = page_scene._looked(HOSTILE, 2, page_scene._seen("fresh", "passed", "seen just now"))
        for number in range(3):
            event = events.StepDone(
                run=HOSTILE, branch="", name=f"fresh {number}", nth=0, args="0" * 64, result=None, duration_ms=1
            )
            served.desk.home.ledger.append(
                [Draft(events.run_stream(HOSTILE), one, epoch=1, trace=HOSTILE) for one in (looked, event)]
            )
            page.wait_for_selector(f"text=fresh {number}", state="attached")
        assert page.input_value(f"#answer-{HOSTILE}") == "half an ans"
        assert page.evaluate("document.activeElement === window.kept")
        assert page.locator("details[id^=out-][open]").count() == 1


def test_the_page_says_that_the_server_is_gone_and_recovers_by_itself(served: Served, chromium: Browser) -> None:
    """After a restart on the same port the browser is signed out, and sees where to go on."""
    with browser.opened(
        chromium, served, forgiven=(LOST, "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY", "401", "Failed to load")
    ) as page:
        page.goto(served.url + "/queue")
        page.wait_for_selector(".live[data-state=on]")
        assert served.desk is not None
        sessions = served.desk.sessions
        served.stop()
        page.wait_for_selector(".live[data-state=lost]", timeout=5_000)
        assert "connection lost" in page.inner_text(".live")
        browser.shot(page, "lost", whole=False)
        served.start()
        served.desk.sessions = sessions  # as if this browser had signed in anew
        page.wait_for_selector(".live[data-state=on]", timeout=10_000)
        assert "up to date as of" in page.inner_text(".live")


def test_a_token_signs_in_from_the_form_and_leads_back_to_where_one_was(served: Served, chromium: Browser) -> None:
    """Browsers say `Origin: null` of a form on a page that allows no referrer: it has to count as this server's own."""
    with browser.opened(chromium, served, signed_in=False, forgiven=("401",)) as page:
        page.goto(served.url + "/runs?state=parked")
        assert page.url.startswith(served.url + "/login?next=")
        page.fill("#token", "dbt1.wrong")
        page.click("button")
        assert "Sign in" in page.inner_text("main")
        assert page.locator("[role=alert]").count() == 1
        page.fill("#token", served.token("look", "answer"))
        page.click("button")
        page.wait_for_selector(".live[data-state=on]")
        assert page.url == served.url + "/runs?state=parked"
        assert browser.axe(page) == []
        page.get_by_role("button", name="Log out").click()
        page.wait_for_selector("#token")
        for elsewhere in (
            "//127.0.0.2:9/",
            "https://example.invalid/",
            "/\\\\example.invalid",
            "/%09/example.invalid",
            "javascript:alert(1)",
        ):
            page.goto(f"{served.url}/login?next={quote(elsewhere, safe='%')}")
            page.fill("#token", served.token("look"))
            page.click("button")
            page.wait_for_selector(".live[data-state=on]")
            assert page.url == served.url + "/", elsewhere
            page.get_by_role("button", name="Log out").click()
            page.wait_for_selector("#token")


def test_when_sessions_end_with_the_server_the_page_leads_to_signing_in_and_back(
    served: Served, chromium: Browser
) -> None:
    with browser.opened(
        chromium, served, forgiven=(LOST, "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY", "401", "Failed to load")
    ) as page:
        page.goto(served.url + "/queue?q=Listing")
        page.wait_for_selector(".live[data-state=on]")
        served.stop()
        page.wait_for_selector(".live[data-state=lost]", timeout=5_000)
        served.start()
        page.wait_for_selector("#token", timeout=10_000)
        page.fill("#token", served.token("look", "steer"))
        page.click("button")
        page.wait_for_selector(".live[data-state=on]")
        assert page.url == served.url + "/queue?q=Listing"


def test_a_form_sent_after_the_session_ended_leads_to_signing_in_and_back(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served, forgiven=("401", "Failed to load")) as page:
        page.goto(served.url + "/queue?q=121")
        page.wait_for_selector(".live[data-state=on]")
        page.context.clear_cookies()
        page.get_by_role("button", name="Pause Listing 121").click()
        page.wait_for_selector("#token")
        page.fill("#token", served.token("look", "steer"))
        page.click("button")
        page.wait_for_selector(".live[data-state=on]")
        assert page.url == served.url + "/queue?q=121"


def test_light_and_dark_are_chosen_and_remembered_without_a_flash(served: Served, chromium: Browser) -> None:
    with browser.opened(chromium, served) as page:
        page.goto(served.url + "/")
        page.click("#theme button")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        answer = page.goto(served.url + "/queue")
        assert answer is not None
        assert 'data-theme="dark"' in answer.text()
        page.click("#theme button")
        assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_command_that_runs_in_another_process_is_followed_live(
    served: Served, chromium: Browser, tmp_path: Path
) -> None:
    """A real night works a real task off, and the page shows it under way and then done, untouched."""
    environment = {**os.environ, "DAYBREAK_HOME": str(served.home)}
    command = [sys.executable, "-m", "daybreak"]
    go = tmp_path / "go"
    wait = f"while [ ! -e {go} ]; do sleep 0.05; done; echo over"
    told = subprocess.run(
        [*command, "add", "--command", wait, "--check", "true", "--title", "Follow me", "--priority", "900", "--json"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    run = json.loads(told.stdout)["run"]
    with browser.opened(chromium, served) as page:
        page.goto(f"{served.url}/runs/{run}")
        page.wait_for_selector(".page-head .state:has-text('queued')")
        worker = subprocess.Popen(
            [*command, "resume", run],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            page.wait_for_selector(".page-head .state.run", timeout=20_000)
            browser.shot(page, "live-running", whole=False)
            go.touch()
            page.wait_for_selector(".page-head .state:has-text('done')", timeout=20_000)
            browser.shot(page, "live-done", whole=False)
        finally:
            go.touch()
            worker.wait(30)
