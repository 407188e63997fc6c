"""What a machine must have, said wherever work is handed over: read the same, refused the same, kept with the task."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from starlette.testclient import TestClient
from tests import api_home
from tests.notes_spec import NOTES
from tests.unit import repository_desk
from typer.testing import CliRunner

from daybreak import Client, home
from daybreak.cli.main import app
from daybreak.client import RequestRefused
from daybreak.clock import SystemClock
from daybreak.engine import Placement
from daybreak.engine.supervisor import LOCK
from daybreak.errors import DaybreakError, SpecError
from daybreak.factory import machine, needing, plan, taskfile
from daybreak.factory.merging import again as merge_again
from daybreak.factory.merging.branches import Entry
from daybreak.factory.repository.task import RepositoryArgs
from daybreak.factory.spec import read_text
from daybreak.factory.spec.model import Needed
from daybreak.factory.validate import task as validation
from daybreak.factory.verdicts import again as reject_again
from daybreak.factory.verdicts import standing
from daybreak.home import handover
from daybreak.home.handover import NotFromOutside, PlaceWords, TaskUnclear, Words
from daybreak.home.waiting import waits
from daybreak.host.locks import FileLocks
from daybreak.mcp import calling
from daybreak.mcp.asker import Asker
from daybreak.mcp.desk import Desk
from daybreak.mcp.tools import TOOLS
from daybreak.report import needed, render
from daybreak.report.run import collect

RIGHT = ["docker", "gpu=a100", "cpus=4", "memory=2GiB"]
KEPT = Needed(cpus=4, memory_bytes=2 * 2**30, labels=("docker", "gpu=a100"))
WRONG = [
    (["Docker!"], "no machine has a label 'Docker!'"),
    (["\x1b[2J"], "no machine has a label"),
    (["cpus=0"], "'cpus=0' is no number of processors"),
    (["cpus=1", "cpus=2"], "cpus is needed twice"),
    ([f"label{number}" for number in range(51)], "51 labels are needed"),
]
SETTINGS = """
order = ["one"]

[workers.one]
kind = "python"
program = "json:one"

[forges.work]
kind = "github"
address = "http://127.0.0.1:9/api/v3"
key = "env:FORGE_TOKEN"
"""
SPEC = NOTES.replace("complexity: simple\n", "complexity: simple\nneeds: {needs}\n")


@pytest.fixture(autouse=True)
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository, and a home whose settings name a worker and a forge."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "daybreak.toml").write_text(SETTINGS)
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORGE_TOKEN", "x" * 30)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return repository_desk.make(tmp_path / "work" / "calc")


def tasks() -> list[dict[str, Any]]:
    """Arguments of everything in the queue."""
    with home.opened() as opened:
        return [json.loads(args) for (args,) in opened.ledger.query("SELECT args FROM view_runs ORDER BY run")]


# -- one face each: hands a change to the repository over with these needs; the message and code where it is refused


def by_command_line(needs: list[str]) -> str:
    options = [part for one in needs for part in ("--needs", one)]
    ran = CliRunner().invoke(app, ["add", "--repo", "calc", "mend it", "--check", "true", *options])
    return "" if ran.exit_code == 0 else f"{getattr(ran.exception, 'code', '')} {ran.exception}"


class Through(httpx.BaseTransport):
    """To a server within this process."""

    def __init__(self, server: TestClient) -> None:
        self.server = server

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        told = self.server.request(
            request.method, str(request.url), content=request.read(), headers=dict(request.headers)
        )
        return httpx.Response(told.status_code, content=told.content)


def by_api(needs: list[str]) -> str:
    with (
        pytest.MonkeyPatch.context() as patch,
        api_home.api(Path.cwd().parent, patch, seeded=False) as served,
        Client(api_home.LOCAL, served.token("hand-over"), transport=Through(served.client)) as client,
    ):
        try:
            client.hand_over(task="mend it", repo="calc", checks=["true"], needs=needs)
        except RequestRefused as refused:
            return str(refused)
    return ""


def by_mcp(needs: list[str]) -> str:
    with home.opened() as opened:
        asked = Desk(opened, Asker("tester", frozenset({"hand-over"})), SystemClock(), (Path.cwd(),), os.environ)
        given = {"repository": "calc", "what": "mend it", "checks": ["true"], "needs": needs}
        try:
            calling.done(TOOLS["hand_over"], asked, given)
        except DaybreakError as refused:
            return f"{refused.code} {refused.message}"
    return ""


def by_issues(needs: list[str]) -> str:
    words = Words(
        source="work:octo/shop", labels=("daybreak",), repo=Path("calc"), checks=("true",), needs=tuple(needs)
    )
    try:
        ready = handover.ask(words, PlaceWords(), cwd=Path.cwd(), environment=os.environ, clock=SystemClock())
    except DaybreakError as refused:
        return f"{refused.code} {refused.message}"
    with home.opened() as opened:
        ready.put(opened)
    return ""


def by_validation(needs: list[str]) -> str:
    try:
        made = validation.asked(Path("calc"), cwd=Path.cwd(), environment=os.environ, needs=needs)
    except DaybreakError as refused:
        return f"{refused.code} {refused.message}"
    with home.opened() as opened:
        opened.engine.submit(made.kind, made.title, made.args, made.placement)
    return ""


FACES = [by_command_line, by_api, by_mcp, by_issues, by_validation]
Face = Callable[[list[str]], str]


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__[3:])
def test_what_is_said_is_kept_with_the_task(face: Face) -> None:
    """The same words on each face, and the same need in the ledger; without any a task is kept as before."""
    # shows: N14, F8
    assert face(RIGHT) == ""
    assert face([]) == ""
    first, second = (one.get("task", one) for one in tasks())
    assert Needed.model_validate(first["needs"]) == KEPT
    assert "needs" not in second


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__[3:])
def test_what_no_machine_can_have_is_refused_with_the_same_words(face: Face) -> None:
    """Before anything is recorded."""
    # shows: N14
    for needs, words in WRONG:
        told = face(needs)
        assert told.startswith("U401 "), (needs, told)
        assert words in told
        assert "\x1b" not in told
    assert tasks() == []


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """A need beside a check that is missing and a budget that is none."""
    words = Words(task="mend it", repo=Path("calc"), needs=("cpus=0",))
    with pytest.raises(handover.AddWrong) as caught:
        handover.ask(words, PlaceWords(budget="3 apples"), cwd=Path.cwd(), environment=os.environ, clock=SystemClock())
    assert "U401" in caught.value.message
    assert "U135" in caught.value.message
    assert "U220" in caught.value.message


def test_the_command_for_validations_takes_them_too() -> None:
    """Nothing is looked at where they are wrong."""
    ran = CliRunner().invoke(app, ["validate", "calc", "--needs", "docker", "--needs", "cpus=0"])
    assert isinstance(ran.exception, needing.NeedsWrong)
    assert tasks() == []


# -- work that comes of other work


def test_what_is_done_again_needs_what_it_needed_before(tmp_path: Path) -> None:
    """A conflict that becomes a task, and a result that a person rejected; in the home that has the repository."""
    # shows: N14
    with repository_desk.opened(tmp_path / "desk") as desk:
        asked = desk.asked(needs=RIGHT)
        bound = {"home:abc": 1_000_000}
        run = desk.engine.submit(asked.kind, asked.title, asked.args, Placement(keys={"shop": 1, **bound}))
        entry = Entry(branch="daybreak/x", commit="0" * 40, run=run, checks=("true",))
        new = merge_again.add(desk.engine.queue, desk.ledger, entry, "1" * 40, "main", [], "a change")
        rejected = reject_again.args(desk.ledger, standing.look(desk.ledger, run), "amounts must be in cents")
        [(kept, keyed)] = desk.ledger.query("SELECT args, keyed FROM view_runs WHERE run = ?", (new,))
    assert json.loads(keyed) == bound
    assert rejected is not None
    for args in (json.loads(kept), rejected):
        assert RepositoryArgs.model_validate(args).needs == KEPT


# -- where nothing can be needed


@pytest.mark.parametrize(
    "words",
    [
        Words(command="true", checks=("true",), needs=("docker",)),
        Words(text=SPEC.format(needs="{cpus: 1}"), name="notes.md", needs=("docker",)),
        Words(text='title = "a"\nunchecked = true\n[[step]]\nrun = "true"\n', name="a.toml", needs=("docker",)),
    ],
)
def test_what_says_its_needs_itself_or_has_none_takes_none(words: Words) -> None:
    """A need that nobody looks at would be none."""
    with pytest.raises(TaskUnclear, match="needs is for repo and source") as caught:
        handover.ask(words, PlaceWords(), cwd=Path.cwd(), environment=os.environ, clock=SystemClock())
    assert "specification says `needs` itself" in caught.value.hint


def test_a_task_file_says_where_needs_belong(tmp_path: Path) -> None:
    """Its commands run where it was added."""
    file = tmp_path / "a.toml"
    file.write_text('title = "a"\nneeds = ["docker"]\nunchecked = true\n[[step]]\nrun = "true"\nneeds = {cpus = 4}\n')
    with pytest.raises(taskfile.TaskFileInvalid) as caught:
        taskfile.read(file)
    assert [(one.line, one.code) for one in caught.value.problems] == [(2, "S214"), (6, "S214")]
    assert all("--needs docker" in one.remedy for one in caught.value.problems)


def test_a_specification_has_the_same_limits() -> None:
    """Fifty labels, each once."""
    fifty = [f"label{number}" for number in range(50)]
    labels = ", ".join([*fifty, "label0"])
    read = read_text(SPEC.format(needs=f"{{labels: [{labels}]}}"), name="notes.md", format="md")
    assert read.needs.labels == tuple(fifty)
    for bad in (f"{{labels: [{labels}, more]}}", "{cpus: 0}", "{labels: [Docker!]}"):
        with pytest.raises(SpecError, match=r"S12[67]"):
            read_text(SPEC.format(needs=bad), name="notes.md", format="md")


# -- what somebody outside may need


@pytest.mark.parametrize("told", ["", "[dispatch]\nmemory_gib = 16\n", '[dispatch]\nengine = "ray"\n'])
def test_work_from_outside_does_not_widen_the_memory_of_a_sandbox_here(told: str, tmp_path: Path) -> None:
    """It is the bound of the sandbox, too; on a cluster no node gives more than it has."""
    # shows: N12
    with (tmp_path / "home" / "daybreak.toml").open("a") as file:
        file.write(told)

    def ask(words: Words) -> None:
        handover.ask_outside(words, PlaceWords(), folders=[Path.cwd()], environment=os.environ, clock=SystemClock())

    change = Words(task="mend it", repo=Path("calc"), checks=("true",), needs=("memory=8GiB",))
    built = Words(text=SPEC.format(needs="{memory: 8GiB}"), name="notes.md")
    issues = Words(
        source="work:octo/shop", labels=("daybreak",), repo=Path("calc"), checks=("true",), needs=("memory=8GiB",)
    )
    for words in (change, built, issues):
        if told:
            ask(words)
            continue
        with pytest.raises(NotFromOutside, match=r"needs\.memory is 8\.0 GiB"):
            ask(words)
        handover.ask(words, PlaceWords(), cwd=Path.cwd(), environment=os.environ, clock=SystemClock())


# -- what is told afterwards


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    monkeypatch.setenv("DAYBREAK_POSTGRES", postgres_url)


@pytest.fixture
def served(tmp_path: Path, shared: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[api_home.Api]:
    with api_home.api(tmp_path, monkeypatch, seeded=False) as made:
        yield made


def test_an_assistant_and_a_browser_are_told_that_nobody_takes_it_yet(served: api_home.Api) -> None:
    """Where several homes share the ledger; also with a key that was used before, and for a schedule's run."""
    # shows: N14
    asked = Desk(served.home, Asker("t", frozenset({"hand-over", "steer"})), SystemClock(), (Path.cwd(),), os.environ)
    hand_over = TOOLS["hand_over"]
    for _ in range(2):
        told: Any = calling.done(hand_over, asked, {"command": "true", "unchecked": True, "key": "once"})
        assert "only a night of this home" in told.waits
    text = 'title = "a"\nunchecked = true\nevery = "day"\n[[step]]\nrun = "true"\n'
    made: Any = calling.done(hand_over, asked, {"task_file": text, "name": "a.toml"})
    assert (made.schedule, made.waits) == ("a", "")
    forced = served.client.post("/api/v1/schedules/a/run", headers=served.as_("steer")).json()
    assert "only a night of this home" in forced["waits"]
    name, session = served.desk.sessions.begin(None)
    browser = TestClient(served.app, base_url=api_home.LOCAL)
    browser.cookies.set("daybreak", name)
    said = browser.post(
        "/schedules/a/run", data={"csrf": session.csrf}, headers={"Origin": api_home.LOCAL}, follow_redirects=False
    )
    assert said.status_code == 303
    assert "only a night of this home" in unquote(said.headers["set-cookie"])


def test_a_schedule_that_is_made_at_the_command_line_is_done_by_its_home(shared: None) -> None:
    """Its task names a folder of this machine, as one that the server makes does."""
    Path("a.toml").write_text('title = "a"\nunchecked = true\n[[step]]\nrun = "true"\n')
    ran = CliRunner().invoke(app, ["schedule", "add", "a", "--every", "day", "--", "a.toml"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    ran = CliRunner().invoke(app, ["schedule", "run", "a", "--force", "--json"], catch_exceptions=False)
    [told] = json.loads(ran.stdout)
    assert "only a night of this home" in told["waits"]
    with home.opened() as opened:
        mine = opened.engine.queue.home_keys("command", {})
        [(keyed,)] = opened.ledger.query("SELECT keyed FROM view_runs WHERE run = ?", (told["run"],))
    assert mine
    assert json.loads(keyed).items() >= mine.items()


def test_a_run_of_another_home_is_told_as_such(shared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while a night is at work here; of a run that is to be cancelled nothing is told."""
    made = handover.ask(
        Words(command="true", unchecked=True), PlaceWords(), cwd=Path.cwd(), environment=os.environ, clock=SystemClock()
    )
    with home.opened() as opened:
        run = made.put(opened)["run"]
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "other"))
    for part in ("keys", "witness"):
        shutil.copytree(tmp_path / "home" / part, tmp_path / "other" / part)
    with home.opened() as opened, FileLocks(opened.places.locks, SystemClock()).hold(LOCK):
        assert "only a night of that home" in waits(opened, run)
        opened.engine.queue.cancel(run, "a test")
        assert waits(opened, run) == ""


def test_what_a_run_needs_is_shown_with_it(repo: Path) -> None:
    """By `show`, in the report and on its page; of a build it stands in the plan."""
    assert by_command_line(RIGHT) == ""
    spec = read_text(SPEC.format(needs="{memory: 512MB, labels: [docker]}"), name="notes.md", format="md")
    planned = plan.make(
        spec, machine.measure(Path.cwd()), worker="one", held_out=0, assume=False, sandbox="none"
    ).model_dump(mode="json")
    with home.opened() as opened:
        [(run,)] = opened.ledger.query("SELECT run FROM view_runs")
        report = collect(opened.records(run))
    assert report.needs == ["cpus=4", "memory=2GiB", "docker", "gpu=a100"]
    assert "Needs cpus=4, memory=2GiB, docker, gpu=a100." in render.to_markdown(report)
    assert "needs cpus=4, memory=2GiB, docker, gpu=a100" in CliRunner().invoke(app, ["show", run]).output
    assert needed.words(planned["needs"]) == ["memory=512000000B", "docker"]
    assert needing.read(needed.words(planned["needs"])) == spec.needs


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"cpus": "x", "memory_bytes": -1, "labels": 3},
        {"labels": {}},
        {"cpus": 10**400},
        {"memory_bytes": 10**5000},
        {"cpus": float("inf")},
    ],
    ids=["nothing", "list", "nonsense", "labels", "cpus", "memory", "infinite"],
)
def test_needs_that_make_no_sense_break_no_report(told: object) -> None:
    """What a ledger holds may come from anywhere."""
    assert needed.words(told) == []


def test_the_schema_shows_needs(served: api_home.Api) -> None:
    """What clients are made of."""
    told = served.client.get("/api/v1/openapi.json", headers=served.as_("look")).json()["components"]["schemas"]
    assert told["Task"]["properties"]["needs"]["type"] == "array"
    assert "gpu=a100" in told["Task"]["properties"]["needs"]["description"]
    assert "needs" in TOOLS["hand_over"].takes.model_json_schema()["properties"]
    assert "waits" in TOOLS["hand_over"].gives.model_json_schema()["required"]
