"""The kinds of generic work: commands in steps and Python functions, each done only when a check has seen it."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
import pytest

from daybreak.errors import DaybreakError
from daybreak.events import BudgetSettled, CheckLooked, GateDecided, StepDone, StepFailed, StepTried
from daybreak.factory import pythontask, tasks
from daybreak.factory.command.run import CommandFailed, CommandMissing, CommandTimeout, SecretMissing, classify
from daybreak.factory.kinds import command, python
from daybreak.factory.pythontask import TaskArgumentsWrong, TaskNotLoaded
from daybreak.factory.tasks import TaskWrong
from daybreak.host.truth import exists
from daybreak.policy.journal import Journal
from daybreak.policy.refusal import NotAllowed
from daybreak.policy.retry import Retry
from daybreak.testing.clock import FakeClock

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)
QUICK = '{attempts = 3, first = "1ms", most = "1ms"}'


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


kinds_desk = _module("kinds_desk")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Any]:
    with kinds_desk.opened(tmp_path, {"SHOP_TOKEN": "hunter2hunter2"}) as opened:
        yield opened


def unchecked(step: str) -> str:
    return f'title = "a task"\nunchecked = true\n[[step]]\nname = "work"\n{step}\n'


# -- done means seen


def test_a_task_is_done_when_every_check_has_passed(desk: Any) -> None:
    """The evidence of each check and the gate's verdict stand in the ledger."""
    # shows: N2 N1
    done = desk.run(
        desk.file("""
title = "a report"
[[step]]
run = "echo total 3 > report.csv"
[[check]]
file = "report.csv"
contains = "total"
[[check]]
run = ["grep", "-q", "^total", "report.csv"]
""")
    )
    assert (done.state, done.value["verdict"]) == ("done", "passed")
    assert [seen.evidence["outcome"] for seen in desk.events(done.run, CheckLooked)] == ["passed", "passed"]
    [gate] = desk.events(done.run, GateDecided)
    assert (gate.verdict, gate.score) == ("passed", 100)


def test_a_command_that_only_says_so_is_not_done(desk: Any) -> None:
    """Status 0 and a cheerful line are claims; a check that sees otherwise ends the run as failed."""
    # shows: N2
    liar = desk.run(
        desk.file("""
title = "a report"
[[step]]
run = "echo report written"
[[check]]
file = "report.csv"
[[check]]
run = "true"
""")
    )
    assert (liar.state, liar.code) == ("failed", "C161")
    assert "report.csv" in liar.why
    [gate] = desk.events(liar.run, GateDecided)
    assert (gate.verdict, gate.score) == ("failed", 50)


def test_a_check_that_cannot_look_does_not_count_as_passed(desk: Any) -> None:
    """Its program is missing, or its time was over: unusable."""
    # shows: N2
    ended = desk.run(
        desk.file("""
title = "a task"
[[check]]
run = ["no-such-program-anywhere"]
[[check]]
run = "sleep 20"
limit = "200ms"
""")
    )
    assert ended.state == "failed"
    assert [seen.evidence["outcome"] for seen in desk.events(ended.run, CheckLooked)] == ["unusable", "unusable"]


def test_a_task_without_checks_says_that_it_is_not_verified(desk: Any) -> None:
    """It ends, and nothing calls that passed."""
    # shows: N2
    ended = desk.run(desk.file(unchecked('run = "true"')))
    assert (ended.state, ended.value["verdict"]) == ("done", "not verified")
    assert desk.events(ended.run, GateDecided) == []


@pytest.mark.parametrize(
    ("expect", "says"),
    [
        ('output = "written"', "written"),
        ('matches = "^rows: [0-9]+$"', "rows"),
        ("json = {count = 3}", "JSON"),
        ('files = ["out.csv"]', "out.csv"),
        ("exit = [4]", "exit status 0"),
    ],
)
def test_a_step_that_does_not_bring_about_what_is_expected_fails(desk: Any, expect: str, says: str) -> None:
    """Also when its status is fine."""
    # shows: N2
    ended = desk.run(desk.file(unchecked(f'run = "echo nothing"\nexpect = {{{expect}}}')))
    assert ended.state == "failed"
    assert says in ended.why


def test_what_is_expected_is_found_where_it_is(desk: Any) -> None:
    """JSON that holds more is fine, other statuses are fine when named, files are looked at."""
    # shows: N2
    step = """
run = '''echo '{"count": 3, "more": [1, true]}'; echo x > out.csv; exit 4'''
expect = {exit = [0, 4], json = {count = 3, more = [1, true]}, files = ["out.csv"], matches = "count"}
"""
    assert desk.run(desk.file(unchecked(step))).state == "done"
    for other in ("more = [1, 1]", "more = [1]", "count = true", "missing = 1"):
        assert desk.run(desk.file(unchecked(step.replace("count = 3, more = [1, true]", other)))).state == "failed"


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()
        self.wfile.write(b'{"up": true}')

    def log_message(self, *_: object) -> None:
        pass


def test_an_address_can_be_checked(desk: Any) -> None:
    """Status and content count; no answer at all is no pass."""
    # shows: N2
    server = HTTPServer(("127.0.0.1", 0), _Health)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        for path, contains, state in (("health", "up", "done"), ("health", "down", "failed"), ("x", "up", "failed")):
            address = f"http://127.0.0.1:{server.server_port}/{path}"
            asked = desk.file(f'title = "up"\n[[check]]\nhttp = "{address}"\ncontains = "{contains}"')
            assert desk.run(asked).state == state
    finally:
        server.shutdown()
        server.server_close()
    text = f'title = "up"\n[[check]]\nhttp = "http://127.0.0.1:{server.server_port}/health"\nlimit = "2s"'
    assert desk.run(desk.file(text)).state == "failed"


# -- trying again


def test_every_try_of_a_step_has_the_same_key(desk: Any) -> None:
    """So the other side can tell a repeat from a second order."""
    # shows: N8
    step = f"""
run = '''echo "$DAYBREAK_STEP_KEY $DAYBREAK_RUN" >> keys; test $(wc -l < keys) -ge 3 || exit 75'''
retry = {QUICK}
"""
    done = desk.run(desk.file(unchecked(step)))
    assert done.state == "done"
    lines = (desk.folder / "keys").read_text().splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == 1
    key, run = lines[0].split()
    assert (len(key), run) == (64, done.run)
    assert len(desk.events(done.run, StepTried)) == 2


def test_a_program_that_is_not_there_is_not_tried_again(desk: Any) -> None:
    """It will be missing the next time too; the shell's word for it counts as well."""
    for run in ('["no-such-program-anywhere"]', '"no-such-program-anywhere"'):
        ended = desk.run(desk.file(unchecked(f"run = {run}\nretry = {QUICK}")))
        assert ended.state == "failed"
        assert desk.events(ended.run, StepTried) == []


def test_the_same_failure_again_and_again_ends_the_tries(desk: Any) -> None:
    """Nothing changes between them."""
    step = 'run = "echo broken >&2; exit 3"\nretry = {attempts = 50, first = "1ms", most = "1ms", identical = 2}'
    ended = desk.run(desk.file(unchecked(step)))
    assert "in the same way" in ended.why
    assert len(desk.events(ended.run, StepTried)) == 1


def test_a_quota_message_parks_the_step_until_it_is_over(desk: Any) -> None:
    """No attempt is used, no worker waits, and the time is the one that the program has said."""
    # shows: N8
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)  # noqa: TID251 - the desk runs on real time
    step = f'run = "echo usage limit reached, resets at {later:%Y-%m-%dT%H:%M:%SZ} >&2; exit 1"'
    ended = desk.run(desk.file(unchecked(step)))
    assert ended.state == "waiting"
    assert later <= ended.until <= later + timedelta(minutes=2)
    [tried] = desk.events(ended.run, StepTried)
    assert (tried.kind, tried.tries["attempts"]) == ("outage", 0)


@pytest.mark.parametrize(
    ("output", "kind", "until"),
    [
        ("HTTP 429 Too Many Requests\nRetry after 20 seconds", "outage", NOW + timedelta(seconds=20)),
        ("You have hit your usage limit. Resets at 11pm (UTC)", "outage", NOW + timedelta(hours=1)),
        ("error: model overloaded", "outage", None),
        ("certificate expires 2026-11-30T00:00:00Z", "retryable", None),
        ("see you again in 20 minutes", "retryable", None),
        ("AssertionError: 3 != 4", "retryable", None),
    ],
)
def test_only_a_line_about_a_limit_is_an_outage(output: str, kind: str, until: datetime | None) -> None:
    """Programs print many times that have nothing to do with when to come back."""
    failure = classify(CommandFailed.of("it failed", hint="-", exit_status=1, output=output), NOW)
    assert (failure.kind, failure.until) == (kind, until)


def test_a_failure_that_passes_is_no_loop() -> None:
    """Time was over, or the program itself asks to be tried later; other errors are judged as everywhere."""
    assert classify(CommandTimeout("late", hint="-"), NOW).passes
    assert classify(CommandFailed.of("later", hint="-", exit_status=75, output=""), NOW).passes
    assert not classify(CommandFailed.of("no", hint="-", exit_status=1, output=""), NOW).passes
    assert classify(CommandMissing("gone", hint="-"), NOW).kind == "permanent"
    for error in (ValueError("wrong"), SecretMissing("no", hint="-"), NotAllowed("no", hint="-", missing="all")):
        assert classify(error, NOW).kind == "permanent"


# -- effects that must not be repeated


ONCE = """
run = "echo sent >> sent; exit {exit}"
effect = "once"
lookup = "{lookup}"
retry = {retry}
"""


def once(lookup: str, status: int = 1) -> str:
    return unchecked(ONCE.format(exit=status, lookup=lookup, retry=QUICK))


def test_what_was_accepted_without_an_answer_is_not_sent_again(desk: Any) -> None:
    """The lookup finds it, by the step's key; what it prints stands for the step's output."""
    # shows: N8
    done = desk.run(desk.file(once("test -s sent && test ${#DAYBREAK_STEP_KEY} = 64 && echo order 7")))
    assert done.state == "done"
    assert (desk.folder / "sent").read_text() == "sent\n"
    [kept] = [event for event in desk.events(done.run, StepDone) if event.name == "work"]
    assert kept.result["output"] == "order 7\n"


def test_what_certainly_did_not_happen_is_tried_again(desk: Any) -> None:
    """Status 1 of the lookup is that word."""
    step = once("test $(wc -l < sent) -ge 2 || exit 1")
    assert desk.run(desk.file(step)).state == "done"
    assert (desk.folder / "sent").read_text() == "sent\nsent\n"


def test_what_nobody_knows_is_asked_and_never_repeated(desk: Any) -> None:
    """Any other status of the lookup is no word at all: a person decides."""
    # shows: N8
    asked = desk.file(once("echo the shop is closed >&2; exit 2"))
    run = desk.submit(asked)
    parked = desk.supervise(run)
    assert parked.state == "parked"
    assert "the shop is closed" in parked.why
    assert desk.supervise(run).state == "parked"
    assert (desk.folder / "sent").read_text() == "sent\n"


# -- what a command may reach


def test_only_the_folder_of_the_task_can_be_changed(desk: Any, tmp_path: Path) -> None:
    """Neither what lies beside it nor the network; what is granted can be."""
    # shows: N9
    beside = tmp_path / "beside"
    beside.mkdir()
    write = f'run = "echo x > {beside}/x"'
    assert desk.run(desk.file(unchecked(write))).state == "failed"
    assert list(beside.iterdir()) == []
    granted = desk.file(unchecked(write).replace("[[step]]", f'[grant]\nwrite = ["{beside}"]\n[[step]]'))
    assert desk.run(granted).state == "done"
    reach = f"run = ['{sys.executable}', '-c', 'import socket; socket.create_connection((\"127.0.0.1\", 1), 1)']"
    assert "unreachable" not in desk.run(desk.file(unchecked(reach))).why  # its own loopback only
    network = 'run = "test $(ls /sys/class/net | wc -l) = 1 || test $(tail -n +3 /proc/net/dev | wc -l) = 1"'
    assert desk.run(desk.file(unchecked(network))).state == "done"


def test_our_own_folders_look_empty_inside_of_the_task(tmp_path: Path) -> None:
    """A home below the task's folder is no way to the ledger or the keys."""
    # shows: N9
    work = tmp_path / "work"
    work.mkdir()
    with kinds_desk.opened(work) as desk:
        step = 'run = "ls -A home/ledger home/keys home/locks; test -d home; touch home/ledger/mine || exit 9"'
        asked = desk.file(unchecked(step).replace("unchecked", 'folder = ".."\nunchecked'))
        assert Path(asked.args["folder"]) == work.resolve()
        ended = desk.run(asked)
        assert "exit status 9" in ended.why
        assert "ledger.db" not in ended.why
        assert not (desk.places.ledger / "mine").exists()


def test_a_protected_folder_cannot_be_granted(desk: Any) -> None:
    """The door says no, whatever the file says, and it is an incident."""
    # shows: N9
    text = unchecked('run = "true"').replace("[[step]]", f'[grant]\nread = ["{desk.places.keys}"]\n[[step]]')
    ended = desk.run(desk.file(text))
    assert ended.state in ("failed", "parked")
    assert Journal(desk.ledger, FakeClock()).incidents()


def test_without_a_sandbox_is_what_somebody_wrote(desk: Any, tmp_path: Path) -> None:
    """`sandbox = "none"` lets a command do what its user may, and only then."""
    text = unchecked(f'run = "echo x > {tmp_path}/outside"')
    assert desk.run(desk.file(text)).state == "failed"
    assert desk.run(desk.file(f'sandbox = "none"\n{text}')).state == "done"


def test_a_command_sees_nothing_of_our_environment_but_named_secrets(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a secret that it prints is not kept."""
    # shows: N9
    monkeypatch.setenv("ANOTHER_TOKEN", "not for you")
    step = 'run = "echo $SHOP_TOKEN; echo x${ANOTHER_TOKEN}x; echo $MODE"\nenv = {MODE = "night"}'
    text = unchecked(step).replace("[[step]]", '[grant]\nsecrets = ["SHOP_TOKEN"]\n[[step]]')
    done = desk.run(desk.file(text))
    [kept] = [event.result for event in desk.events(done.run, StepDone) if event.name == "work"]
    assert kept["output"] == "[redacted SHOP_TOKEN]\nxx\nnight\n"
    missing = desk.run(desk.file(text.replace("SHOP_TOKEN", "NO_SUCH_TOKEN")))
    assert missing.state == "failed"
    assert "NO_SUCH_TOKEN" in missing.why


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(desk: Any) -> None:
    """Nothing of it goes on writing."""
    # shows: N14
    ended = desk.run(desk.file(unchecked('run = "(sleep 2; echo late > late) & sleep 60"\nlimit = "300ms"')))
    assert ended.state == "failed"
    assert "300ms" in ended.why
    assert not (desk.folder / "late").exists()


@pytest.mark.parametrize("effect", ['effect = "idempotent"', 'effect = "once"\nlookup = "test -e done || exit 1"'])
def test_a_run_that_is_stopped_ends_its_command_and_goes_on_later(desk: Any, effect: str) -> None:
    """By a night's end or Ctrl-C: it is paused, nobody is asked, and how the command ended then is no failure."""
    # shows: N1
    os.mkfifo(desk.folder / "began")
    step = f'run = "test -e go || (echo x > began; sleep 60); echo x > done"\n{effect}'
    run = desk.submit(desk.file(unchecked(step)))

    async def stopped() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(desk.engine.supervise, run)
            await anyio.to_thread.run_sync((desk.folder / "began").read_text)
            group.cancel_scope.cancel()

    anyio.run(stopped)
    [(state,)] = desk.ledger.query("SELECT state FROM view_runs WHERE run = ?", (run,))
    assert state == "paused"
    assert desk.events(run, StepFailed) == []
    (desk.folder / "go").touch()
    assert desk.supervise(run).state == "done"
    assert (desk.folder / "done").exists()


def test_a_folder_that_is_gone_parks_the_task(desk: Any) -> None:
    """Somebody puts it back and resumes; nothing is made up in its place."""
    (desk.folder / "inner").mkdir()
    run = desk.submit(desk.file(unchecked('run = "true"').replace("unchecked", 'folder = "inner"\nunchecked')))
    (desk.folder / "inner").rmdir()
    assert desk.supervise(run).state == "parked"
    (desk.folder / "inner").symlink_to(desk.places.keys)
    assert desk.supervise(run).state == "parked"
    (desk.folder / "inner").unlink()
    (desk.folder / "inner").mkdir()
    assert desk.supervise(run).state == "done"


# -- what is kept


def test_long_output_lies_whole_in_a_blob(desk: Any) -> None:
    """The result holds its end; the blob is named where whoever copies a ledger finds it."""
    done = desk.run(desk.file(unchecked('run = "seq 1 5000"')))
    [kept] = [event for event in desk.events(done.run, StepDone) if event.name == "work"]
    assert kept.result["output"].startswith("…")
    assert kept.result["output"].endswith("5000\n")
    [blob] = command.blobs_of(kept)
    assert desk.ledger.get_blob(blob).decode().split() == [str(number) for number in range(1, 5001)]
    failed = desk.run(desk.file(unchecked('run = "seq 1 5000; exit 3"')))
    [told] = desk.events(failed.run, StepFailed)
    [blob] = command.blobs_of(told)
    assert desk.ledger.get_blob(blob).startswith(b"1\n2\n")


def test_a_budget_is_a_wall_for_a_command(desk: Any) -> None:
    """What could cost more than the run has is not begun; what was used is settled."""
    # shows: N16
    text = unchecked('run = "echo x >> made"\ncost = "2usd"')
    parked = desk.run(desk.file(f'budget = "1usd"\n{text}'))
    assert parked.state == "parked"
    assert not (desk.folder / "made").exists()
    done = desk.run(desk.file(f'budget = "3usd"\n{text}'))
    assert done.state == "done"
    [settled] = [event.event for event in desk.ledger.read_all() if isinstance(event.event, BudgetSettled)][-1:]
    assert settled.used["money_microusd"] == 2_000_000


def test_a_command_can_say_what_it_has_really_used(desk: Any) -> None:
    """On a descriptor of its own; words that nobody can read count as the worst case, also where it fails."""
    # shows: N16
    for says, used in (
        ("echo 0.5usd 300tokens >&$DAYBREAK_USED_FD", {"money_microusd": 500_000, "tokens": 300}),
        ("echo nothing much >&3", {"money_microusd": 2_000_000}),
        ("echo 1usd >&3; exit 3", {"money_microusd": 1_000_000}),
    ):
        desk.run(desk.file(f'budget = "3usd"\n{unchecked(f"run = {json.dumps(says)}")}cost = "2usd"\n'))
        settled = [record.event for record in desk.ledger.read_all() if isinstance(record.event, BudgetSettled)]
        told = next(event.used for event in reversed(settled) if "money_microusd" in event.used)
        assert {name: told.get(name) for name in used} == used


# -- Python tasks


TASK = """
from daybreak.factory.tasks import task
from daybreak.policy.retry import Retry

TRIES = []

def fails_first(n):
    TRIES.append(n)
    if len(TRIES) == 1:
        raise ConnectionError("not yet")
    return n * 2

@task(title="double", project="numbers", priority=2, budget="9attempts", dedupe="d",
      retry=Retry(attempts=3, first_s=0.001), check=lambda value: value == 6)
async def double(ctx, n: int = 3, name: str = ""):
    return await ctx.step("double", fails_first, n)

async def plain(ctx, **anything):
    "Count what is given."
    return sorted(anything)

async def looks(value):
    assert value == "right", "it is wrong"

@task(check=[looks, lambda value: bool(value)])
async def said(ctx, word):
    return word

def not_async(ctx):
    return 1
"""


def python_task(desk: Any, name: str, **args: Any) -> Any:
    (desk.folder / "mine.py").write_text(TASK)
    return pythontask.asked(f"mine.py:{name}", desk.folder, args=args)


def test_a_python_task_runs_as_its_decorator_says(desk: Any) -> None:
    """Its place in the queue, its retry for steps that name none, and its check."""
    # shows: N1 N2
    asked = python_task(desk, "double")
    assert (asked.title, asked.placement.project, asked.placement.priority) == ("double", "numbers", 2)
    done = desk.run(asked)
    assert (done.state, done.value) == ("done", {"verdict": "passed", "value": 6})
    assert len(desk.events(done.run, StepTried)) == 1
    assert len(desk.events(done.run, GateDecided)) == 1


def test_a_python_task_without_a_check_is_not_verified(desk: Any) -> None:
    """What it returns is kept, and not called passed."""
    # shows: N2
    done = desk.run(python_task(desk, "plain", b=1, a=2))
    assert done.value == {"verdict": "not verified", "value": ["a", "b"]}
    assert python_task(desk, "plain").title == "Count what is given"


def test_a_python_task_whose_check_sees_otherwise_has_failed(desk: Any) -> None:
    """A check may return, raise, or be async."""
    # shows: N2
    assert desk.run(python_task(desk, "said", word="right")).state == "done"
    failed = desk.run(python_task(desk, "said", word="wrong"))
    assert (failed.state, failed.code) == ("failed", "C162")
    assert "it is wrong" in failed.why


def test_a_probe_can_check_a_python_task(desk: Any) -> None:
    """As in `with expect(...)`, for those that need no look before."""
    (desk.folder / "probed.py").write_text(
        "from daybreak.factory.tasks import task\nfrom daybreak.host.truth import exists\n"
        f"@task(check=exists({str(desk.folder / 'made')!r}))\n"
        "async def make(ctx, text):\n    await ctx.step('write', open, 'x') if False else None\n    return text\n"
    )
    asked = pythontask.asked("probed.py:make", desk.folder, args={"text": "x"})
    assert desk.run(asked).state == "failed"
    (desk.folder / "made").write_text("x")
    assert desk.run(asked).state == "done"


def test_code_that_is_gone_parks_and_code_that_has_changed_is_loaded_anew(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was queued in the evening is found by its path in the night; also where Python keeps bytecode, which counts
    as fresh within a second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = desk.folder / "changing.py"
    path.write_text("async def work(ctx):\n    return 1\n")
    asked = pythontask.asked("changing.py:work", desk.folder)
    first, before = desk.submit(asked), python.Python.fingerprint_of(asked.args)
    path.unlink()
    parked = desk.supervise(first)
    assert parked.state == "parked"
    assert "changing.py" in parked.question
    path.write_text("async def work(ctx):\n    return 2\n")
    assert desk.supervise(first).value["value"] == 2
    assert before != python.Python.fingerprint_of(asked.args) != ""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_module_anywhere\nasync def work(ctx): ...", "no_such_module_anywhere"),
        ("x = 1\nasync def work(ctx:\n    pass", "line 2"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("x = 1\ny = x / 0", "line 2"),
        ("import json\njson.loads('{')", r"broken.py, line 2"),
        ("async def other(ctx): ...", "no work"),
    ],
)
def test_code_that_cannot_be_imported_is_told_before_anything_is_queued(tmp_path: Path, source: str, says: str) -> None:
    """With the line where it went wrong."""
    (tmp_path / "broken.py").write_text(source)
    with pytest.raises(TaskNotLoaded, match=says) as caught:
        pythontask.asked("broken.py:work", tmp_path)
    assert caught.value.hint


def test_modules_are_found_from_their_folder_and_replace_nobody(tmp_path: Path) -> None:
    """A file called json.py beside the task does not become everybody's json; another module of that name is told."""
    package = tmp_path / "shop_of_this_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "work.py").write_text("from . import names\nasync def publish(ctx):\n    return names.NAME\n")
    (package / "names.py").write_text("NAME = 'x'\n")
    (tmp_path / "json.py").write_text("raise SystemExit('mine')\n")
    assert pythontask.asked("shop_of_this_test.work:publish", tmp_path).kind == "python"
    assert json.loads("1") == 1
    with pytest.raises(TaskNotLoaded, match="another one"):
        pythontask.asked("json:loads", tmp_path)
    for path in ("nothing", ":x", "a b:c", "no-module:x", "m:not an identifier", "gone.py:x"):
        with pytest.raises(TaskNotLoaded):
            pythontask.asked(path, tmp_path)


def test_arguments_are_checked_before_anything_is_queued(desk: Any) -> None:
    """Words are read by the function's annotations: text stays text."""
    (desk.folder / "mine.py").write_text(TASK)
    asked = pythontask.asked("mine.py:double", desk.folder, words={"n": "5", "name": "007"})
    assert asked.args["args"] == {"n": 5, "name": "007"}
    with pytest.raises(TaskArgumentsWrong, match="m"):
        pythontask.asked("mine.py:double", desk.folder, words={"m": "5"})
    with pytest.raises(TaskArgumentsWrong):
        pythontask.asked("mine.py:said", desk.folder)
    with pytest.raises(DaybreakError):
        pythontask.asked("mine.py:double", desk.folder, args={"n": {1, 2}})
    with pytest.raises(TaskWrong, match="async"):
        pythontask.asked("mine.py:not_async", desk.folder)


async def _fits(ctx: Any) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    "told",
    [
        {"retry": 3},
        {"breaker": 3},
        {"budget": 3},
        {"budget": "2 apples"},
        {"check": 3},
        {"nonsense": 3},
    ],
)
def test_a_decorator_that_says_nonsense_is_refused(told: dict[str, Any]) -> None:
    """As the module is imported, not in the night."""
    with pytest.raises(DaybreakError) as caught:
        tasks.task(**told)(_fits)
    assert caught.value.hint


def test_the_decorator_leaves_the_function_what_it_was() -> None:
    """Bare or with options; functions that take no context are refused."""
    assert tasks.task(_fits) is _fits

    @tasks.task(retry=Retry(attempts=2), every="day", check=exists("x"))
    async def other(ctx: Any) -> int:
        return 1

    assert tasks.options_of(other).retry == Retry(attempts=2) or tasks.options_of(other).every == "day"
    assert dict(tasks.found_in(sys.modules[__name__]))["_fits"] is _fits

    async def takes_nothing() -> None: ...

    with pytest.raises(TaskWrong, match="context"):
        tasks.task(takes_nothing)
