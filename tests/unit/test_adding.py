"""`daybreak.add`: a program puts Python tasks into the queue, and another process finds them again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

import daybreak
from daybreak import home
from daybreak.clock import SystemClock
from daybreak.engine.placement import PlacementWrong
from daybreak.errors import DaybreakError
from daybreak.events import QUEUE, TaskAdded
from daybreak.factory.pythontask import TaskArgumentsWrong, TaskNotLoaded
from daybreak.home.adding import NotAdded
from daybreak.testing.clock import DAWN

TASKS = '''
import daybreak

@daybreak.task(title="publish a listing", project="shop")
async def publish(ctx, listing="lamp"):
    """What it does."""
    return await ctx.step("say", str.upper, listing)

@daybreak.task(every="day", at="02:30")
async def nightly(ctx):
    return 1

@daybreak.task
async def spread(ctx):
    def hand_on():
        return daybreak.add(publish, {"dedupe": daybreak.step_key()}, listing="from within").run
    return await ctx.step("hand on", hand_on)

def plain(ctx):
    return 1
'''


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, and a package with tasks that is imported from its folder."""
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    shop = tmp_path / "lib" / "added_shop"
    shop.mkdir(parents=True)
    (shop / "__init__.py").write_text("")
    (shop / "tasks.py").write_text(TASKS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("added_shop")]:
        del sys.modules[name]


def tasks() -> Any:
    from importlib import import_module

    return import_module("added_shop.tasks")


def added() -> list[TaskAdded]:
    with home.opened() as opened:
        return [one.event for one in opened.ledger.read(QUEUE) if isinstance(one.event, TaskAdded)]


def result_of(run: str) -> Any:
    with home.opened() as opened:
        done = anyio.run(opened.engine.supervise, run)
    assert done.state == "done", done
    return done.value["value"]


def test_a_function_is_found_again_from_anywhere(place: Path) -> None:
    """Its module and the folder from which that is imported are kept, not the working directory."""
    # shows: N16
    told = daybreak.add(tasks().publish, listing="chair")
    assert (told.existed, told.schedule) == (False, "")
    (task,) = added()
    assert (task.run, task.title, task.project) == (told.run, "publish a listing", "shop")
    kept = {"function": "added_shop.tasks:publish", "folder": str(place / "lib"), "args": {"listing": "chair"}}
    assert task.args == kept
    assert result_of(told.run) == "CHAIR"


def test_a_text_means_what_it_means_on_the_command_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module, or a file from the working directory."""
    monkeypatch.chdir(place / "lib")
    for text in ("added_shop.tasks:publish", "added_shop/tasks.py:publish"):
        assert result_of(daybreak.add(text).run) == "LAMP"


def test_its_place_goes_before_what_the_decorator_says() -> None:
    """With texts as on the command line; what is not said stays."""
    # shows: N16
    first = daybreak.add(tasks().publish, {"dedupe": "a word"}).run
    again = daybreak.add(tasks().publish, {"dedupe": "a word"}, listing="another")
    assert (again.run, again.existed) == (first, True)
    later = SystemClock().now() + timedelta(hours=1)
    daybreak.add(
        tasks().publish,
        {"title": "publish a chair", "priority": 5, "after": first, "not_before": "+90s", "deadline": later,
         "budget": "2usd", "keys": {"shop": 1}},
    )  # fmt: skip
    task = added()[-1]
    assert (task.title, task.project, task.priority, list(task.after)) == ("publish a chair", "shop", 5, [first])
    assert (task.keys, task.budget) == ({"shop": 1}, {"money_microusd": 2_000_000})
    assert task.not_before < task.deadline


def test_a_task_with_a_schedule_becomes_one() -> None:
    """Or a single run, where that is said."""
    # shows: N6
    assert daybreak.add(tasks().nightly) == daybreak.home.adding.Added("", False, "nightly")
    assert daybreak.add(tasks().nightly).existed
    once = daybreak.add(tasks().nightly, {"once": True})
    assert (once.run[:4], once.schedule) == ("run-", "")


def test_a_task_may_add_others() -> None:
    """From within a step, into the ledger that the night has open; once, whatever is tried again."""
    # shows: N14
    other = result_of(daybreak.add(tasks().spread).run)
    assert [task.run for task in added()][1:] == [other]
    assert result_of(other) == "FROM WITHIN"


PROGRAM = """
import sys
import daybreak

@daybreak.task
async def mine(ctx, n: int = 1):
    return n + 1

{guard}print(daybreak.add(mine, n=4).run)
"""


def started(folder: Path, guard: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(PROGRAM.format(guard=guard))
    return subprocess.run([sys.executable, str(folder / "program.py")], capture_output=True, text=True, check=False)


def test_a_program_adds_a_function_of_its_own(place: Path) -> None:
    """By its file, because nobody else can import `__main__`."""
    told = started(place, 'if __name__ == "__main__":\n    ')
    assert result_of(told.stdout.strip()) == 5, told.stderr
    assert added()[0].args["function"] == f"{place}/program.py:mine"


def test_a_program_that_would_add_again_when_the_night_loads_it_is_refused(place: Path) -> None:
    """It says where the line belongs, and nothing is recorded."""
    told = started(place, "")
    assert told.returncode == 1
    assert "__main__" in told.stderr
    assert added() == []


def _wrong() -> dict[str, tuple[Any, Any, dict[str, Any], type[DaybreakError]]]:
    async def inner(ctx: Any) -> None:
        """Nobody finds it."""

    return {
        "inner": (inner, None, {}, NotAdded),
        "lambda": (lambda ctx: None, None, {}, NotAdded),
        "built in": (print, None, {}, NotAdded),
        "nothing": (None, None, {}, NotAdded),
        "no function": ("added_shop.tasks:nothing", None, {}, TaskNotLoaded),
        "a file": ("report.toml", None, {}, TaskNotLoaded),
        "an argument": ("added_shop.tasks:publish", None, {"town": 1}, TaskArgumentsWrong),
        "no JSON": ("added_shop.tasks:publish", None, {"listing": object()}, DaybreakError),
        "a word": ("added_shop.tasks:publish", {"prioritty": 1}, {}, NotAdded),
        "no place": ("added_shop.tasks:publish", 5, {}, NotAdded),
        "a title": ("added_shop.tasks:publish", {"title": 5}, {}, NotAdded),
        "once": ("added_shop.tasks:publish", {"once": "no"}, {}, NotAdded),
        "a priority": ("added_shop.tasks:publish", {"priority": "5"}, {}, PlacementWrong),
        "a time": ("added_shop.tasks:publish", {"not_before": "soon"}, {}, DaybreakError),
        "a naive time": ("added_shop.tasks:publish", {"deadline": DAWN.replace(tzinfo=None)}, {}, PlacementWrong),
        "a budget": ("added_shop.tasks:publish", {"budget": "many"}, {}, DaybreakError),
        "a run": ("added_shop.tasks:publish", {"after": "run-0"}, {}, DaybreakError),
    }


@pytest.mark.parametrize("what", _wrong())
def test_what_cannot_be_added_is_refused_with_a_hint(what: str) -> None:
    """And nothing is recorded."""
    # shows: P8
    task, where, args, kind = _wrong()[what]
    with pytest.raises(kind) as refused:
        daybreak.add(task, where, **args)
    assert refused.value.hint
    assert len(refused.value.message) < 300
    assert added() == []
