"""Task files: what is accepted, and that everything wrong is told at once, with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.engine.window import ScheduleWrong
from daybreak.factory import asked as asking
from daybreak.factory import quantity, taskfile
from daybreak.factory.asked import Asked, NotScheduled
from daybreak.factory.taskfile import TaskFileInvalid
from daybreak.policy.budget import Limit

ROOT = Path(__file__).parents[2]
SMALL = """\
title = "a report"
[[step]]
run = "make report"
[[check]]
file = "report.csv"
"""
WHOLE = """\
title = "publish the listings"
folder = "."
project = "shop"
priority = 5
after = ["run-1"]
not_before = 2026-11-21T22:00:00Z
deadline = 2026-11-22T07:00:00+01:00
dedupe = "listings"
budget = "2usd 30min"
retry = 4
breaker = "shop"
sandbox = "full"

[keys]
shop = 1

[rates]
shop = "30/hour"

[env]
MODE = "night"

[grant]
network = true
write = ["out"]
read = ["data"]
secrets = ["SHOP_TOKEN"]

[bounds]
memory = "1GiB"
output = "1MB"

[[step]]
name = "publish"
run = ["publish", "--all"]
cwd = "out"
env = {STAGE = "one"}
effect = "once"
lookup = "shop-has $DAYBREAK_STEP_KEY"
retry = {attempts = 3, first = "1s", most = "1min", within = "1h", outage = "2 days"}
breaker = "other"
cost = "0.05usd"
limit = "10min"
expect = {exit = [0, 4], output = "done", matches = "^\\\\d+ listings$", json = {count = 3}, files = ["out/log.txt"]}

[[check]]
name = "there"
run = "test -s out/log.txt"
expect = {output = ""}
limit = "1min"

[[check]]
file = "out/log.txt"
contains = "total"

[[check]]
http = "http://127.0.0.1:8000/health"
status = 204
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Asked]:
    for name in ("out", "data"):
        (tmp_path / name).mkdir()

    def reading(text: str) -> Asked:
        path = tmp_path / "task.toml"
        path.write_text(text)
        return taskfile.read(path)

    return reading


def problems(read: Callable[[str], Asked], text: str) -> list[tuple[int, str]]:
    with pytest.raises(TaskFileInvalid) as caught:
        read(text)
    assert caught.value.hint
    return [(one.line, one.code) for one in caught.value.problems]


# -- what is accepted


def test_a_small_file_is_enough(read: Callable[[str], Asked], tmp_path: Path) -> None:
    """A title, something to do, and how one can tell that it is done."""
    # shows: N1
    asked = read(SMALL)
    assert (asked.kind, asked.title, asked.schedule) == ("command", "a report", None)
    assert asked.args["folder"] == str(tmp_path.resolve())


def test_everything_that_a_file_can_say_arrives(read: Callable[[str], Asked], tmp_path: Path) -> None:
    """Its place in the queue, its steps as they were written, and granted folders by their real names."""
    # shows: N1 N8
    asked = read(WHOLE)
    placed = asked.placement
    assert (placed.project, placed.priority, placed.after, placed.dedupe) == ("shop", 5, ("run-1",), "listings")
    assert (placed.keys, placed.rates) == ({"shop": 1}, {"shop": "30/hour"})
    assert placed.not_before == datetime(2026, 11, 21, 22, tzinfo=UTC)
    assert placed.budget == Limit.parse("2usd 30min")
    task = asked.args["task"]
    assert task["grant"]["write"] == [str((tmp_path / "out").resolve())]
    assert task["step"][0]["expect"]["json"] == {"count": 3}
    assert json.loads(json.dumps(task)) == task


def test_the_published_schema_takes_what_the_reader_takes(read: Callable[[str], Asked]) -> None:
    """An independent reader of the schema agrees, also about a name that is unknown."""
    import tomllib

    read(WHOLE)
    told = tomllib.loads(WHOLE)
    told["not_before"], told["deadline"] = (told[name].isoformat() for name in ("not_before", "deadline"))
    jsonschema.validate(told, taskfile.schema())
    jsonschema.validate(tomllib.loads(SMALL), taskfile.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**told, "sandbx": "none"}, taskfile.schema())


def test_the_schema_in_the_repository_is_the_one_that_is_made() -> None:
    """`python -m daybreak.factory.taskfile > schema/task.schema.json` makes it."""
    assert (ROOT / "schema" / "task.schema.json").read_text() == taskfile.schema_text()


# -- what is refused


def test_a_task_that_nothing_checks_is_refused(read: Callable[[str], Asked]) -> None:
    """Unless it says so itself; an exit status alone never makes a task done."""
    # shows: N2
    text = 'title = "a"\n[[step]]\nrun = "true"\n'
    assert problems(read, text) == [(1, "S215")]
    assert read(f"unchecked = true\n{text}").args["task"]["unchecked"] is True
    assert problems(read, f"unchecked = true\n{SMALL}") == [(1, "S218")]


def test_everything_that_is_wrong_is_told_at_once_with_its_line(read: Callable[[str], Asked]) -> None:
    """Shapes, values, names, clashes: one look at the file mends all of it."""
    text = """\
title = "bad"
priority = "high"
sandbx = "none"
folder = "."

[[step]]
run = []
limit = "5 parsecs"
effect = "twice"

[[step]]
name = "a"
run = "x"
retry = {attempts = 0}

[[step]]
name = "a"
runn = "x"

[grant]
write = ["nowhere"]

[[check]]
file = "a"
http = "http://x"
"""
    found = problems(read, text)
    assert found == [
        (2, "S213"),
        (3, "S214"),
        (7, "S213"),
        (8, "S213"),
        (9, "S213"),
        (14, "S213"),
        (16, "S213"),
        (17, "S216"),
        (18, "S214"),
        (21, "S217"),
        (23, "S213"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        'title = ""',
        "title = 3",
        'title = "a\\nb"',
        "priority = 1001",
        'rates = {shop = "many"}',
        "keys = {shop = 0}",
        'budget = "2 apples"',
        "budget = 2",
        "not_before = 2026-11-21T22:00:00",
        "not_before = 7",
        'every = "moon"',
        'at = "02:30"',
        'every = "day"\ncron = "* * * * *"',
        'every = "day"\nzone = "Mars/Base"',
        'every = "day"\nafter = ["run-1"]',
        'cron = "61 * * * *"',
        'env = {DAYBREAK_RUN = "mine"}',
        'env = {"a b" = "x"}',
        'sandbox = "none"\ngrant = {network = true}',
        "retry = 0",
        'retry = {first = "2 parsecs"}',
        'bounds = {memory = "lots"}',
        'folder = "nowhere"',
        'folder = "/etc"',
        'grant = {read = ["/"]}',
        'breaker = ""',
        "grant = {secrets = ['PATH=1']}",
    ],
)
def test_a_value_that_cannot_be_used_is_refused_in_words(read: Callable[[str], Asked], line: str) -> None:
    """Never a traceback, never a value that is quietly another one."""
    text = SMALL if line.startswith("title") else SMALL.replace('title = "a report"', 'title = "a"')
    whole = f"{line}\n{text}" if not line.startswith("title") else text.replace('title = "a report"', line)
    [(found, _)] = problems(read, whole)
    assert found <= 2


@pytest.mark.parametrize(
    "step",
    [
        "run = ''",
        "run = ['']",
        "run = [1]",
        "run = {}",
        "run = 'a'\nlookup = 'b'",
        "run = 'a'\nlimit = '25h'",
        "run = 'a'\nlimit = 60",
        "run = 'a'\nlimit = '0s'",
        "run = 'a'\nname = 'ctx.mine'",
        "run = 'a'\ncost = 'dear'",
        "run = 'a'\ncost = '10min'",
        "run = 'a'\nexpect = {matches = '('}",
        "run = 'a'\nexpect = {exit = []}",
        "run = 'a'\nexpect = {exit = [256]}",
        "run = 'a'\nexpect = {jsn = 1}",
    ],
)
def test_a_step_that_cannot_be_run_is_refused(read: Callable[[str], Asked], step: str) -> None:
    """Before anything is in the queue."""
    found = problems(read, f"title = 'a'\nunchecked = true\n[[step]]\n{step}\n")
    assert len(found) == 1


@pytest.mark.parametrize(
    "check",
    [
        "name = 'a'",
        "file = 'a'\nrun = 'b'",
        "file = 'a'\nstatus = 200",
        "run = 'a'\ncontains = 'b'",
        "file = 'a'\nabsent = true\ncontains = 'b'",
        "http = 'ftp://a'",
        "http = 'http://a'\nstatus = 7",
    ],
)
def test_a_check_looks_at_exactly_one_thing(read: Callable[[str], Asked], check: str) -> None:
    """And says nothing that means nothing beside it."""
    assert len(problems(read, f"title = 'a'\n[[check]]\n{check}\n")) == 1


def test_what_is_no_text_or_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    """Broken syntax, other encodings, no file, a folder, too much of it."""
    path = tmp_path / "task.toml"
    for data, line, code in (
        (b"title = 'a'\nrun = = 1\n", 2, "S118"),
        (b"title = 'a'\n\xff\xfe", 2, "S212"),
        (b"title = '" + b"a" * 70_000 + b"'", 1, "S212"),
        (b"a." * 3000 + b"b = 1", 1, "S119"),
    ):
        path.write_bytes(data)
        with pytest.raises(TaskFileInvalid) as caught:
            taskfile.read(path)
        assert [(one.line, one.code) for one in caught.value.problems] == [(line, code)]
    for missing in (tmp_path / "nothing.toml", tmp_path):
        with pytest.raises(TaskFileInvalid, match="S211"):
            taskfile.read(missing)


_TOML = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=20).map(lambda text: json.dumps(text).replace("\\ud", "x")),
        st.sampled_from(['"run"', '"10min"', '"2usd"', "2026-11-21T22:00:00Z", "2026-11-21", "07:00:00"]),
    ).map(lambda value: str(value).lower() if isinstance(value, bool | float) else str(value)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["run", "name", "file", "exit", "attempts", "x"]), inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        ),
    ),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    [
        "title",
        "folder",
        "step",
        "check",
        "unchecked",
        "retry",
        "grant",
        "bounds",
        "env",
        "keys",
        "rates",
        "every",
        "cron",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_KEYS, _TOML, max_size=6))
def test_no_file_brings_the_reader_down(tmp_path: Path, told: dict[str, str]) -> None:
    """Whatever stands in it: it is accepted, or refused with its problems."""
    path = tmp_path / "task.toml"
    path.write_text("\n".join(f"{key} = {value}" for key, value in told.items()))
    refused = None
    try:
        taskfile.read(path)
    except TaskFileInvalid as error:
        refused = error
    assert refused is None or (refused.problems and refused.hint)


# -- schedules and quantities


@pytest.mark.parametrize(
    ("told", "cron"),
    [
        ({"every": "hour", "at": ":15"}, "15 * * * *"),
        ({"every": "hour"}, "0 * * * *"),
        ({"every": "day", "at": "02:30"}, "30 2 * * *"),
        ({"every": "week", "on": "fri", "at": "18:00"}, "0 18 * * FRI"),
        ({"cron": "*/20 6-9 * * mon-fri"}, "*/20 6-9 * * mon-fri"),
    ],
)
def test_a_schedule_in_words_becomes_its_cron_line(told: dict[str, Any], cron: str) -> None:
    """The window in which it runs is the engine's; here are only the words."""
    # shows: N6
    made = asking.schedule(**told)
    assert made is not None
    assert made.cron == cron


@pytest.mark.parametrize(
    "told",
    [
        {"every": "hour", "at": "02:30"},
        {"every": "day", "at": "25:00"},
        {"every": "day", "on": "mon"},
        {"on": "mon"},
        {"cron": "* * * * *", "at": "02:30"},
        {"every": "year"},
    ],
)
def test_a_schedule_that_says_two_things_is_refused(told: dict[str, Any]) -> None:
    """Nothing is guessed about when somebody's work runs."""
    with pytest.raises(ScheduleWrong):
        asking.schedule(**told)


def test_a_task_of_a_schedule_cannot_wait_for_one_run(read: Callable[[str], Asked]) -> None:
    """What fits one run only is refused where there will be many."""
    asked = read(SMALL).placed(after=("run-1",))
    with pytest.raises(NotScheduled, match="after"):
        asked.template()
    assert read(f'every = "day"\npriority = 3\nbudget = "2usd"\n{SMALL}').template().place == {
        "priority": 3,
        "budget": {"money_microusd": 2_000_000},
    }


def test_lengths_and_sizes_are_read_as_people_write_them() -> None:
    """And nothing else is: a number without its unit is refused."""
    lengths = {"90s": 90, "10min": 600, "1h 30min": 5400, "2 days": 172_800, "500ms": 0.5, "1.5h": 5400, "1w": 604_800}
    assert {text: quantity.seconds(text) for text in lengths} == lengths
    sizes = {"512MB": 512_000_000, "4GiB": 4 * 2**30, "4096": 4096, "1.5k": 1500}
    assert {text: quantity.size_bytes(text) for text in sizes} == sizes
    for wrong in ("", "10", "5 parsecs", "-1s", "1e3s", "s"):
        with pytest.raises(ValueError, match="write"):
            quantity.seconds(wrong)
    for wrong in ("", "lots", "-1MB", "4PB"):
        with pytest.raises(ValueError, match="write"):
            quantity.size_bytes(wrong)
