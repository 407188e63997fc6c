"""Every command that a page shows is run, page by page, in a home where a night has been, and ends as it says.

What a page names (`run-0k3`, `/mnt/second`, `17`) stands for what is here. A command may be refused where the page
needs what a test has not (somebody's Postgres, a forge, a coding agent): then by the very code that is named below.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import starter
from tests.unit.test_documented_commands import ELLIPSIS, PAGES, in_pages, words

ROOT = Path(__file__).parents[2]
RUN_ELSEWHERE = {"queue.md", "rehearse.md", "first-night.md", "README.md"}
"""Whole sessions of these are run in tests of their own, with what they print; the README's way is CI's demo."""
BUILDS = re.compile(r"^(build|bundle|validate|agents test)\b")
"""They take long and are run by many other tests."""
LASTING = re.compile(
    r"^(night\b(?!.*--once)|ledger follow|logs .*--follow|status --watch|ledger witness serve|serve\b|mcp\b)"
)
"""They go on until somebody ends them."""
NOT_HERE = {
    "schedule install --from": "writes a service of the user's machine",
    "ledger copy": "needs a Postgres of somebody's",
    "unlock supervisor": "ends a process after asking a person",
    "merge": "a merge has tests of its own",
    "ledger redact": "asks a person",
}
REFUSED = {
    "add --from github:": "U",
    "add --repo . 'sort the list by date' --check 'pytest -q' --request": "U",
    "add --repo . 'sort the list by date, newest first'": "U120",
    "add --repo . 'test the parser of dates'": "U221",
    "ledger prove 17 --cosigned": "L189",
    "ledger prove 17 --disclose": "L174",
    "ledger check all.proof": "U252",
    "ledger check verdict.proof --key ledger.vkey --witness-key": "U252",
    "ledger check verdict.proof --key ledger.vkey --head": "U252",
    "ledger check verdict.proof --key keys.json": "U252",
    "ledger refill": "L217",
    "ledger replicas restore /mnt/second/replica --to": "H226",
    "ledger witness serve": "U252",
    "logs publish": "U196",
    "memory why run-0k3": "U216",
    "night --join": "U380",
    "notify test phone": "U290",
    "schedule run backup ": "U157",
    "schedule install --dry-run": "H241",
    "provenance verify result --key ledger.vkey --proof": "U252",
    "provenance": "H121",
    "resume run-0k3 --answer": "U113",
    "snapshot restore 20261121": "H222",
    "undo run-0k9 --dry-run": "U274",
    "init --model": "U125",
}
"""What needs somebody's workers, witnesses, channels or times, and the code with which it is refused here."""
SETTINGS = """
[witnesses.disk]
kind = "file"
path = "{folder}/witness"

[witness]
required = ["disk"]

[replicas]
targets = ["{folder}/mnt/second/replica"]
"""
KIRO = ROOT / "tests" / "corpus" / "imports" / "kiro-loans" / "requirements.md"
NOTE = """---
version: 3
updated: 2026-03-02
verified_on: 2026-03-20
confidence: 0.8
---
# The shop's search

It answers 429 after 20 requests a minute.
"""
TASKS = """
from daybreak import Context, task


@task(project="shop")
async def publish(ctx: Context, shop: str = "here"):
    async def put() -> str:
        return "published"

    return await ctx.step("publish", put)


@task()
async def ask(ctx: Context):
    return await ctx.ask("which one?")


@task()
async def fail(ctx: Context):
    raise ValueError("it is broken")
"""


@dataclass
class Scene:
    """A working directory, and a home below it."""

    folder: Path
    home: Path
    names: dict[str, str]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DAYBREAK_HOME": str(self.home),
            "HOME": str(self.folder.parent),
            "COLUMNS": "200",
            "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
        }  # fmt: skip

    def __call__(self, *told: str) -> tuple[int, str, str]:
        command = ["-m", "daybreak", *told]
        return starter.run(command, folder=self.folder, environment=self.environment(), timeout_s=120)

    def shell(self, text: str) -> None:
        subprocess.run(["sh", "-ec", text], cwd=self.folder, env=self.environment(), check=True, capture_output=True)

    def filled(self, line: str) -> list[str]:
        for name, here in self.names.items():
            line = re.sub(rf"(?<![\w/]){re.escape(name)}(?!\w)", here, line)
        return [one.replace("~/", f"{self.folder.parent}/") for one in words(line)]


def made(folder: Path) -> Scene:
    """A night has been here: done, failed, parked; a schedule, a note, a key, a proof."""
    scene = Scene(folder / "work", folder / "home", {})
    scene.folder.mkdir(parents=True)
    scene.home.mkdir()
    (folder / "mnt" / "second").mkdir(parents=True)
    (folder / "witness").mkdir()
    (scene.home / "daybreak.toml").write_text(SETTINGS.format(folder=folder))
    (scene.folder / "tasks.py").write_text(TASKS)
    (scene.folder / "shop_tasks.py").write_text(TASKS)
    (scene.folder / "names.txt").write_text("b\na\n")
    (scene.folder / "backup.toml").write_text('title = "Backup"\nunchecked = true\n\n[[step]]\nrun = "true"\n')
    scene.shell("git init -q -b main . && git add -A && git commit -qm first && git branch my-branch")
    runs = []
    for told in (
        ("--command", "echo one > one", "--check", "test -s one"),
        ("--command", "echo two > two", "--check", "test -s two"),
        ("--command", "true", "--unchecked"),
        ("tasks.py:ask",),
        ("tasks.py:fail",),
    ):
        status, out, err = scene("add", *told)
        assert status == 0, err
        runs.append(out.strip())
    assert scene("night", "--once")[0] == 0
    night = re.findall(r"night-\w+", scene("report", "--night")[1])[0]
    for told in (
        ("ledger", "keys", "rotate", "--why", "a test"),
        ("schedule", "add", "backup", "--every", "day", "--at", "02:30", "--", "backup.toml"),
        ("memory", "add", "--task", "build", "Keep amounts in cents."),
        ("snapshot", "create"),
        ("spec", "new", "shelf"),
    ):
        status, _, err = scene(*told)
        assert status == 0, (told, err)
    scene.shell("cp shelf.md shop.md; cp shelf.md notes.md; mkdir -p notes .kiro/specs/loans")
    shutil.copy(KIRO, scene.folder / ".kiro/specs/loans/requirements.md")
    (scene.folder / "notes" / "search.md").write_text(NOTE)
    lesson = re.findall(r"les-\w+", scene("memory", "list")[1])[0]
    (scene.folder / "ledger.vkey").write_text(scene("ledger", "keys", "export")[1].splitlines()[-1] + "\n")
    old = json.loads(scene("ledger", "keys", "list", "--json")[1])["keys"][0]["id"]
    scene.names = {
        "RUN": runs[0], "run-0k3": runs[0], "run-0k7": runs[1], "run-0k9": runs[2], "night-0k3": night,
        "les-0k3": lesson, "17": "3", "4711": "3", "/mnt": str(folder / "mnt"),
        "0-65536": "0-4", "5f2a91c0": old,
    }  # fmt: skip
    return scene


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each page gets a copy."""
    folder = tmp_path_factory.mktemp("seed")
    scene = made(folder)
    (folder / "names").write_text("\n".join(f"{name}={here}" for name, here in scene.names.items()))
    return folder


@pytest.fixture
def scene(seed: Path, tmp_path: Path) -> Scene:
    here = tmp_path / "here"
    shutil.copytree(seed, here, symlinks=True)
    (here / "home" / "daybreak.toml").write_text(SETTINGS.format(folder=here))
    names = dict(line.split("=", 1) for line in (here / "names").read_text().splitlines())
    return Scene(
        here / "work", here / "home", {name: told.replace(str(seed), str(here)) for name, told in names.items()}
    )


def shown(page: str) -> list[tuple[str, str]]:
    return [(place, line) for place, line in in_pages() if place.split(":")[0] == page and not ELLIPSIS.search(line)]


def lasting(scene: Scene, told: list[str]) -> tuple[int, str, str]:
    """Begun, and ended as people end it once it has said something or opened its ledger."""
    process = subprocess.Popen(
        [sys.executable, "-m", "daybreak", *told],
        cwd=scene.folder,
        env={**scene.environment(), "DAYBREAK_LOG": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.wait(2.5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return 0 if process.returncode in (130, -2) else process.returncode, out, err


def refused(line: str, status: int, err: str) -> str:
    """What is wrong with how it ended; empty where nothing is."""
    if status in (0, 130):
        return ""
    if "Traceback" in err or "this is an error in Daybreak" in err:
        return err[-600:]
    for beginning, code in REFUSED.items():
        if line.startswith(beginning) and re.search(rf"\b{code}\d{{0,3}}\b", err):
            return ""
    return f"{status}: {err[-400:]}"


TRIED = sorted({page.name for page in PAGES} - RUN_ELSEWHERE)
SHORT = {"verdicts.md", "recovering.md", "keys.md", "schedules.md"}
"""Pages that every run of the tests goes through; the others are for `make chaos`."""


@pytest.mark.parametrize(
    "page", [page if page in SHORT else pytest.param(page, marks=pytest.mark.chaos) for page in TRIED]
)
def test_the_commands_of_a_page_do_what_the_page_says(scene: Scene, page: str) -> None:
    """In the order of the page; none crashes, and each that ends otherwise than well is one of those named above."""
    # shows: N15
    wrong = []
    for place, line in shown(page):
        if BUILDS.match(line) or any(line.startswith(one) for one in NOT_HERE):
            continue
        told = scene.filled(line)
        status, _, err = lasting(scene, told) if LASTING.match(line) else scene(*told)
        if why := refused(line, status, err):
            wrong.append(f"{place}: daybreak {line}\n    {why}")
    assert not wrong, "\n".join(wrong)
