"""A night's work reaches a real OTLP receiver as spans that hang together, and never waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.daybreak_cli import Cli
from tests.unit.otlp_receiver import Received, receiver

TASK = '''
from pathlib import Path

import daybreak
from daybreak import Context, task

SITE = Path(__file__).parent / "site"
SITE.mkdir(exist_ok=True)


@task()
async def publish(ctx: Context, title: str = "mugs"):
    """Publish."""

    async def write() -> int:
        with daybreak.transaction(SITE) as files:
            files.write("index.html", title)
        return 1

    async def pay() -> str:
        return "paid"

    await ctx.step("write it", write)
    return await ctx.step("pay", pay, effect="once")
'''


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "tasks.py").write_text(TASK)
    return Cli(folder)


def settings(cli: Cli, received: Received, more: str = "") -> None:
    cli.home.mkdir(exist_ok=True)
    (cli.home / "daybreak.toml").write_text(f'[traces]\nendpoint = "{received.address}"\n{more}')


def only(found: list[Any]) -> Any:
    (one,) = found
    return one


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_night_is_one_trace_from_the_night_to_the_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Night, run, task, step, effect, file write: each below the one before; log lines name the same trace."""
    # shows: N10, F16
    monkeypatch.setenv("COLLECTOR_KEY", "hush-hush-4711")
    with receiver() as received:
        settings(cli, received, '[traces.headers]\nx-key = "env:COLLECTOR_KEY"\nauthorization = "env:COLLECTOR_KEY"\n')
        run = cli("add", "tasks.py:publish", "--arg", "title=<b>mugs</b>\x1b[2J").out.strip()
        done = cli("night", "--once")
        assert done.status == 0, done.err
        assert received.headers[0]["x-key"] == "hush-hush-4711"
        assert received.headers[0]["authorization"] == "Bearer hush-hush-4711"
        night, ran, task = (only(received.named(name)) for name in ("night", "run", "task python"))
        step, paid, effect = (only(received.named(name)) for name in ("step write it", "step pay", "effect pay"))
        file = only([one for one in received.named("file write") if one.parent_span_id == step.span_id])
    assert {one.trace_id for one in (night, ran, task, step, paid, effect, file)} == {night.trace_id}
    assert night.parent_span_id == b""
    assert [one.parent_span_id for one in (ran, task, step, paid, effect)] == [
        night.span_id, ran.span_id, task.span_id, task.span_id, paid.span_id,
    ]  # fmt: skip
    assert attributes(ran)["daybreak.run"] == run
    assert attributes(file)["file.path"].endswith("site")
    for inner, outer in ((ran, night), (task, ran), (step, task), (file, step)):
        assert outer.start_time_unix_nano <= inner.start_time_unix_nano + 2_000_000, (inner.name, outer.name)
        assert inner.end_time_unix_nano <= outer.end_time_unix_nano + 2_000_000, (inner.name, outer.name)
    assert any(line.trace_id == night.trace_id for line in received.lines)
    known = {one.span_id for one in received.spans} | {b""}
    assert {one.parent_span_id for one in received.spans} <= known, "no span hangs below one that there is not"
    assert {one.span_id for one in received.lines} <= known, "no line belongs to a span that there is not"
    assert [one.name for one in received.spans if one.parent_span_id == b""] == ["night"]
    assert "hush-hush-4711" not in str(received.spans) + str(received.lines) + done.out + done.err


def test_a_collector_that_is_gone_costs_nothing_but_the_traces(cli: Cli) -> None:
    """The night ends as it would have, and the log file says once that traces are missing."""
    # shows: F16
    with receiver() as received:
        received.status = 400
        settings(cli, received)
        cli("add", "tasks.py:publish")
        assert cli("night", "--once").status == 0
    assert received.spans == []
    assert "done" in cli("runs").out
    log = (cli.home / "logs" / "daybreak.jsonl").read_text()
    assert log.count("spans cannot be sent as traces") == 1


def test_a_night_goes_on_where_a_header_of_the_collector_is_missing(cli: Cli) -> None:
    """The log says that nothing is sent, and names the variable."""
    # shows: F16
    with receiver() as received:
        settings(cli, received, '[traces.headers]\nauthorization = "env:NOBODY_SET_THIS"\n')
        cli("add", "tasks.py:publish")
        done = cli("night", "--once")
        assert done.status == 0, done.err
    assert received.headers == []
    assert "NOBODY_SET_THIS" in (cli.home / "logs" / "daybreak.jsonl").read_text()


def test_without_the_extra_a_night_says_so_before_it_begins(cli: Cli) -> None:
    """With the way to get it; nothing is begun."""
    # shows: F16
    (cli.folder / "opentelemetry.py").write_text("raise ImportError('no', name='opentelemetry')\n")
    with receiver() as received:
        settings(cli, received)
        run = cli("add", "tasks.py:publish").out.strip()
        done = cli("night", "--once")
    assert done.status == 2
    assert "U370" in done.err
    assert "daybreak[otel]" in done.err
    assert "queued" in cli("show", run).out


def test_nothing_is_sent_where_nothing_is_to_be_sampled(cli: Cli) -> None:
    with receiver() as received:
        settings(cli, received, "sample = 0\n")
        cli("add", "tasks.py:publish")
        assert cli("night", "--once").status == 0
    assert (received.spans, received.lines, received.headers) == ([], [], [])
