"""Batches: nothing before all is valid, needs before needers, undone on failure, and a report that is true."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.errors import DaybreakError, HostError
from daybreak.host.batch import (
    Batch,
    BatchFailed,
    BatchInterrupted,
    BatchInvalid,
    BatchMisused,
    OnError,
    Operation,
    Report,
    Results,
)


class Broken(HostError):
    """What operations here fail with."""

    code = "H999"


def broken(*_: object) -> Any:
    """An operation, or an undo, that fails."""
    raise Broken("it broke", hint="mend it")


def statuses(report: Report) -> dict[str, str]:
    """Name → status."""
    return {one.name: one.status for one in report.outcomes}


# -- before anything is done


def test_all_problems_are_told_at_once_and_nothing_is_executed() -> None:
    """Names, needs, circles, functions that are none, and what every check says, in one error."""
    # shows: X2, P8
    done: list[str] = []
    batch = Batch()

    def refuse() -> None:
        raise Broken("no such file", hint="make it")

    batch.add("a", lambda _: done.append("a"), needs=["b"])
    batch.add("b", lambda _: done.append("b"), needs=["a"])
    batch.add("c", lambda _: done.append("c"), needs=["nowhere"])
    batch.add("c", lambda _: done.append("c"))
    batch.add("d", lambda _: done.append("d"), check=refuse)
    batch.add("e", lambda _: done.append("e"), check=lambda: ["too small", "too red"])
    batch.add("f", lambda _: done.append("f"), check=lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    batch.add("g", None, undo=5)  # type: ignore[arg-type] # hostile on purpose
    batch.add("", lambda _: done.append(""))
    batch.add("x\n", lambda _: done.append("x"))
    batch.add("h" * 201, lambda _: done.append("h"))
    batch.add("fine", lambda _: done.append("fine"))
    with pytest.raises(BatchInvalid) as caught:
        batch.run()
    said = [(one.operation[:10], one.message) for one in caught.value.problems]
    assert said == [
        ("c", "needs 'nowhere', which is not in the batch"),
        ("c", "the name is there twice"),
        ("g", "do is no function"),
        ("g", "undo is no function"),
        ("''", "the name ''"),
        ("x\n", "the name 'x\\n'"),
        ("h" * 10, f"the name {'h' * 80!r}"),
        ("a", "needs itself: a → b → a"),
        ("d", "no such file"),
        ("e", "too small"),
        ("e", "too red"),
        ("f", "division by zero"),
    ]
    assert done == []
    assert caught.value.code == "H191"
    assert all(one.hint for one in caught.value.problems)
    assert next(one for one in caught.value.problems if one.operation == "d").code == "H999"


def test_every_circle_is_named() -> None:
    """Each one as a → b → a, from the operation that was added first; a need of oneself too."""
    # shows: X2
    batch = Batch()
    for name, needs in {"a": "b", "b": "c", "c": "a", "d": "d", "e": "f", "f": "e", "g": "a"}.items():
        batch.add(name, print, needs=[needs])
    with pytest.raises(BatchInvalid) as caught:
        batch.validate()
    assert sorted(one.message for one in caught.value.problems) == [
        "needs itself: a → b → c → a",
        "needs itself: d → d",
        "needs itself: e → f → e",
    ]


@pytest.mark.parametrize("bad", ["", "explode", None, 5, ["stop"]])
def test_a_wrong_way_to_fail_is_refused(bad: Any) -> None:
    """`on_error` is one of two words."""
    # shows: P8
    with pytest.raises(BatchInvalid):
        Batch().run(on_error=bad)


@given(
    name=st.text(max_size=10) | st.integers() | st.none(),
    needs=st.lists(st.text(max_size=3) | st.integers() | st.none(), max_size=3) | st.text(max_size=3) | st.integers(),
    do=st.sampled_from([print, None, 5, "x"]),
)
@settings(deadline=None)
def test_any_nonsense_is_a_typed_refusal_or_runs(name: Any, needs: Any, do: Any) -> None:
    """Whatever is added: `add` says nothing, `run` tells all."""
    # shows: P8
    batch = Batch()
    batch.add("good", lambda _: None)
    batch.add(name, (lambda _: None) if do is print else do, needs=needs)
    try:
        assert batch.run().ok
    except BatchInvalid as error:
        assert error.hint  # noqa: PT017 - both ends are right


def test_a_check_that_answers_yes_or_no_is_a_problem() -> None:
    """`lambda: path.exists()` would otherwise say "no problems" where the file is missing."""
    # shows: X2
    for said in (True, False):
        batch = Batch()
        batch.add("a", print, check=lambda said=said: said)  # type: ignore[misc]
        assert [one.message for one in batch.problems()] == [f"its check returned {said}"]


def test_asking_for_an_operation_that_is_not_there_is_a_typed_error() -> None:
    """By name or by the handle of another batch."""
    # shows: P8
    other = Batch().add("elsewhere", print)
    report = Batch().run()
    for look in (lambda: report["nowhere"], lambda: report[other], lambda: report.value(other)):
        with pytest.raises(BatchMisused):
            look()


def test_an_empty_batch_is_done() -> None:
    """Nothing to do is done."""
    assert Batch().run().ok


# -- results


def test_results_are_handed_to_those_who_need_them() -> None:
    """By handle or by name, also through others; what is not needed is refused."""
    # shows: X2
    batch = Batch()
    one = batch.add("one", lambda _: 1)
    two = batch.add("two", lambda done: done[one] + 1, needs=[one])
    three = batch.add("three", lambda done: done[one] + done["two"] + len(done), needs=[two])
    report = batch.run()
    assert report.value(three) == 5
    assert report.value(one) + 1 == 2
    other = Batch()
    first = other.add("first", lambda _: 1)
    second = other.add("second", lambda done: done[first])
    failed = other.run()
    error = failed["second"].error
    assert error is not None
    assert (error.code, "first" in error.message) == (BatchMisused.code, True)
    with pytest.raises(BatchFailed):
        failed.value(second)


def test_order_follows_needs_and_then_the_order_of_adding() -> None:
    """Every need before its needer; the same batch always in the same order."""
    # shows: X2
    batch = Batch()
    for name, needs in {"e": "d", "d": "", "c": "d", "b": "", "a": ""}.items():
        batch.add(name, print, needs=[needs] if needs else [])
    assert batch.validate() == ["d", "b", "a", "e", "c"]


# -- failures


def test_the_first_failure_undoes_all_that_was_done_last_first() -> None:
    """Fail-fast: later ones are skipped, earlier ones undone with what they returned."""
    # shows: X2
    told: list[str] = []
    batch = Batch()
    for name in "ab":
        batch.add(
            name,
            partial(lambda name, _: told.append(f"do {name}") or name.upper(), name),  # type: ignore[func-returns-value]
            undo=lambda value: told.append(f"undo {value}"),
        )
    batch.add("no undo", lambda _: told.append("do no undo"))
    batch.add("x", broken, undo=lambda _: told.append("undo x"))
    batch.add("late", lambda _: told.append("do late"))
    report = batch.run()
    assert told == ["do a", "do b", "do no undo", "undo B", "undo A"]
    assert statuses(report) == {"a": "undone", "b": "undone", "no undo": "done", "x": "failed", "late": "skipped"}
    assert report["late"].because == "x"
    assert not report.ok
    with pytest.raises(BatchFailed, match="x: it broke") as caught:
        report.require()
    assert caught.value.hint == "mend it"


def test_going_on_skips_only_what_needs_the_failed_one() -> None:
    """Dependents of dependents too, each with its reason; what was done stays done."""
    # shows: X2
    told: list[str] = []
    batch = Batch()
    batch.add("x", broken)
    batch.add("y", lambda _: told.append("y"), needs=["x"])
    batch.add("z", lambda _: told.append("z"), needs=["y"])
    batch.add("w", lambda _: told.append("w"), undo=lambda _: told.append("undo w"))
    report = batch.run(on_error="continue")
    assert told == ["w"]
    assert statuses(report) == {"x": "failed", "y": "skipped", "z": "skipped", "w": "done"}
    assert (report["y"].because, report["z"].because) == ("x", "y")


def test_an_undo_that_fails_is_reported_and_the_others_go_on() -> None:
    """Never swallowed, never in the way."""
    # shows: X2
    told: list[str] = []
    batch = Batch()
    batch.add("a", lambda _: None, undo=lambda _: told.append("undo a"))
    batch.add("b", lambda _: None, undo=broken)
    batch.add("c", lambda _: None, undo=lambda _: told.append("undo c"))
    batch.add("x", broken)
    report = batch.run()
    assert told == ["undo c", "undo a"]
    assert statuses(report) == {"a": "undone", "b": "undo-failed", "c": "undone", "x": "failed"}
    error = report["b"].error
    assert error is not None
    assert (error.code, error.message) == ("H999", "it broke")


def test_the_report_is_json_with_durations() -> None:
    """Everything in it is plain, also of errors with odd texts."""
    # shows: X2

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    @dataclass
    class Ticking:
        now_s: float = 0.0

        def now(self) -> Any:
            raise AssertionError

        def monotonic(self) -> float:
            self.now_s += 1
            return self.now_s

    def mute(_: Results) -> None:
        raise Mute

    batch = Batch(clock=Ticking())
    batch.add("a", lambda _: object(), undo=lambda _: None)
    batch.add("b", mute)
    said = json.loads(json.dumps(batch.run().as_json()))
    assert said == {
        "ok": False,
        "on_error": "stop",
        "interrupted": None,
        "duration_s": 7.0,
        "order": ["a", "b"],
        "operations": [
            {"name": "a", "status": "undone", "duration_s": 1.0, "undo_s": 1.0, "because": None, "error": None},
            {
                "name": "b",
                "status": "failed",
                "duration_s": 1.0,
                "undo_s": 0.0,
                "because": None,
                "error": {"code": "Mute", "message": "Mute", "hint": ""},
            },
        ],
    }


# -- against a model


@dataclass
class Model:
    """What a batch should do, said in another way: by sets instead of a loop."""

    needs: dict[str, list[str]]
    failing: set[str]
    undo_failing: set[str]
    without_undo: set[str]
    on_error: OnError
    log: list[str] = field(default_factory=list)

    def expected(self, order: list[str]) -> dict[str, str]:
        """Statuses, given the order."""
        if self.on_error == "continue":
            return {name: self._continued(name) for name in order}
        first = next((at for at, name in enumerate(order) if name in self.failing), len(order))
        if first == len(order):
            return dict.fromkeys(order, "done")
        return {name: self._stopped(at, first, name) for at, name in enumerate(order)}

    def _continued(self, name: str) -> str:
        if self._below(name) & self.failing:
            return "skipped"
        return "failed" if name in self.failing else "done"

    def _below(self, name: str) -> set[str]:
        return set(self.needs[name]).union(*(self._below(need) for need in self.needs[name]))

    def _stopped(self, at: int, first: int, name: str) -> str:
        if at >= first:
            return "failed" if at == first else "skipped"
        if name in self.without_undo:
            return "done"
        return "undo-failed" if name in self.undo_failing else "undone"


@st.composite
def models(draw: st.DrawFn) -> Model:
    """A graph without circles, added in any order, with failures anywhere."""
    names = [f"n{at}" for at in range(draw(st.integers(0, 9)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True, max_size=3)) if at else []
        for at, name in enumerate(names)
    }
    order = draw(st.permutations(names))
    some = st.sets(st.sampled_from(names), max_size=3) if names else st.just(set())
    return Model(
        {name: needs[name] for name in order},
        draw(some),
        draw(some),
        draw(some),
        draw(st.sampled_from(["stop", "continue"])),
    )


def build(model: Model, wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function) -> Batch:
    """The batch of a model; what it does is logged."""
    batch = Batch()

    def do(name: str, done: Results) -> str:
        model.log.append(f"do {name}")
        assert set(done) == model._below(name)
        assert all(done[need] == need.upper() for need in done)
        if name in model.failing:
            raise Broken("it broke", hint="mend it")
        return name.upper()

    def undo(name: str, value: str) -> None:
        assert value == name.upper()
        model.log.append(f"undo {name}")
        if name in model.undo_failing:
            raise ValueError("cannot")

    for name, needs in model.needs.items():
        with_undo = None if name in model.without_undo else wrap(partial(undo, name))
        batch.add(name, wrap(partial(do, name)), needs=needs, undo=with_undo)
    return batch


def compare(model: Model, report: Report) -> None:
    """The report and what really happened, against the model."""
    order = list(report.order)
    assert sorted(order) == sorted(model.needs)
    assert all(order.index(need) < order.index(name) for name, needs in model.needs.items() for need in needs)
    expected = model.expected(order)
    assert statuses(report) == expected
    assert list(statuses(report)) == list(model.needs), "told in the order of adding"
    started = [f"do {name}" for name in order if expected[name] != "skipped"]
    undone = [f"undo {name}" for name in reversed(order) if expected[name] in ("undone", "undo-failed")]
    assert model.log == started + undone
    for one in report.outcomes:
        assert (one.because is not None) == (one.status == "skipped")
        assert (one.error is not None) == (one.status in ("failed", "undo-failed"))
    assert set(report.values) == set(report.names("done"))


@given(model=models())
@settings(max_examples=80, deadline=None)
def test_the_report_matches_a_model_for_any_graph_and_failures(model: Model) -> None:
    """Random graphs, random failures of doing and undoing, both ways to fail."""
    # shows: X2
    compare(model, build(model).run(on_error=model.on_error))


@pytest.mark.chaos
@given(model=models())
@settings(max_examples=2000, deadline=None)
def test_the_report_matches_a_model_for_very_many_graphs(model: Model) -> None:
    """The long form."""
    # shows: X2
    compare(model, build(model).run(on_error=model.on_error))


@given(model=models())
@settings(max_examples=30, deadline=None)
def test_the_async_twin_matches_the_same_model(model: Model) -> None:
    """Awaited or not, the outcome is the same."""
    # shows: X2

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        async def awaited(argument: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            return function(argument)

        return awaited

    batch = build(model, wrap)
    compare(model, anyio.run(partial(batch.run_async, on_error=model.on_error)))


def test_a_batch_can_run_again() -> None:
    """A run leaves nothing in the batch."""
    count = itertools.count()
    batch = Batch()
    batch.add("a", lambda _: next(count) and broken())
    assert batch.run().ok
    assert not batch.run().ok


# -- interrupts


@pytest.fixture
def calm() -> Iterator[None]:
    """Signal handlers are the same afterwards."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def interrupted(do: Callable[[Results], object], told: list[str]) -> tuple[Batch, Operation[None]]:
    """A batch with `do` between two others."""
    batch = Batch()
    first = batch.add("first", lambda _: told.append("do first"), undo=lambda _: told.append("undo first"))
    batch.add("middle", do, undo=lambda _: told.append("undo middle"))
    batch.add("last", lambda _: told.append("do last"))
    return batch, first


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_ctrl_c_undoes_everything_and_goes_on(on_error: OnError) -> None:
    """KeyboardInterrupt comes out after the undoing, with the report; the operation's own clean-up has run."""
    # shows: X2, N4
    told: list[str] = []

    def do(_: Results) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            told.append("never")
        finally:
            signal.raise_signal(signal.SIGINT)  # a second one does not disturb the clean-up
            told.append("clean-up")

    batch, _ = interrupted(do, told)
    with pytest.raises(KeyboardInterrupt) as caught:
        batch.run(on_error=on_error)
    report = caught.value.report  # type: ignore[attr-defined]
    assert told == ["do first", "clean-up", "undo first"]
    assert statuses(report) == {"first": "undone", "middle": "failed", "last": "skipped"}
    assert report.interrupted == "SIGINT"
    assert (report["middle"].error.code, report["last"].because) == ("SIGINT", "SIGINT")
    assert "1 undone" in caught.value.__notes__[0]


@pytest.mark.usefixtures("calm")
def test_signals_while_undoing_are_held_back_until_all_is_undone() -> None:
    """Impatience does not leave half a state."""
    # shows: X2, N4
    told: list[str] = []

    def undo(_: None) -> None:
        signal.raise_signal(signal.SIGINT)
        told.append("undone")

    batch = Batch()
    batch.add("a", lambda _: None, undo=undo)
    batch.add("b", lambda _: None, undo=undo)
    batch.add("x", broken)
    with pytest.raises(KeyboardInterrupt) as caught:
        batch.run()
    assert told == ["undone", "undone"]
    assert statuses(caught.value.report) == {"a": "undone", "b": "undone", "x": "failed"}  # type: ignore[attr-defined]


@pytest.mark.usefixtures("calm")
def test_a_signal_between_the_end_of_an_operation_and_our_note_of_it_loses_nothing() -> None:
    """It arrives in our own frame, after a function written in C has done its work: that counts, and is undone."""
    # shows: X2, N4
    told: list[str] = []
    send = itertools.starmap(os.kill, [(os.getpid(), signal.SIGINT)])
    batch = Batch()
    batch.add("a", partial(next, send), undo=lambda _: told.append("undo a"))  # no Python frame between us and the kill
    batch.add("b", lambda _: told.append("do b"))
    with pytest.raises(KeyboardInterrupt) as caught:
        batch.run()
    assert told == ["undo a"]
    assert statuses(caught.value.report) == {"a": "undone", "b": "skipped"}  # type: ignore[attr-defined]


@pytest.mark.usefixtures("calm")
def test_the_process_own_handler_of_sigterm_is_heard_after_the_undoing() -> None:
    """It is called once; when it lets the process go on, the batch ends with a typed error."""
    # shows: X2, N4
    told: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append("handler"))
    try:
        batch, _ = interrupted(lambda _: signal.raise_signal(signal.SIGTERM), told)
        with pytest.raises(BatchInterrupted) as caught:
            batch.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told[-1] == "handler"
    assert "undo first" in told
    assert caught.value.report.interrupted == "SIGTERM"


@pytest.mark.usefixtures("calm")
def test_ignored_signals_stay_ignored() -> None:
    """`nohup` and the like are respected."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        batch, _ = interrupted(lambda _: signal.raise_signal(signal.SIGTERM), [])
        assert batch.run().ok
    finally:
        signal.signal(signal.SIGTERM, before)


PROGRAM = """
import sys, time
from pathlib import Path
from daybreak.host.batch import Batch
folder = Path(sys.argv[1])
batch = Batch()
for name in "abc":
    path = folder / name
    batch.add(name, lambda _, path=path: path.touch(), undo=lambda _, path=path: path.unlink())
def wait(_):
    print("ready", flush=True)
    time.sleep(60)
batch.add("wait", wait)
batch.run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_real_process_undoes_and_then_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """The files are gone, and the process dies of that very signal."""
    # shows: X2, N4
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert program.stdout is not None
    with program, program.stdout:
        assert program.stdout.readline() == "ready\n"
        assert len(list(tmp_path.iterdir())) == 3
        program.send_signal(number)
        assert program.wait(timeout=20) == -number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_an_order_to_stop_from_inside_is_obeyed_after_undoing(error: BaseException) -> None:
    """SystemExit and its like are no outcome of an operation, also with on_error="continue"."""
    # shows: X2
    told: list[str] = []

    def do(_: Results) -> None:
        raise error

    batch, first = interrupted(do, told)
    with pytest.raises(type(error)) as caught:
        batch.run(on_error="continue")
    assert caught.value is error
    assert told == ["do first", "undo first"]
    assert error.report[first].status == "undone"  # type: ignore[attr-defined]


def test_an_undo_that_wants_to_stop_everything_is_heard_after_the_other_undos() -> None:
    """sys.exit in an undo is reported, does not keep others from being undone, and still ends the program."""
    told: list[str] = []
    batch = Batch()
    batch.add("a", lambda _: None, undo=lambda _: told.append("undo a"))
    batch.add("b", lambda _: None, undo=lambda _: sys.exit(4))
    batch.add("x", broken)
    with pytest.raises(SystemExit) as caught:
        batch.run()
    assert told == ["undo a"]
    assert statuses(caught.value.report)["b"] == "undo-failed"  # type: ignore[attr-defined]


def test_a_batch_in_another_thread_leaves_signals_alone() -> None:
    """Only the main thread may set handlers."""
    reports: list[Report] = []
    batch = Batch()
    batch.add("a", lambda _: signal.getsignal(signal.SIGTERM))
    thread = threading.Thread(target=lambda: reports.append(batch.run()))
    thread.start()
    thread.join()
    assert reports[0].ok
    assert list(reports[0].values.values()) == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelling_the_async_twin_undoes_shielded_and_goes_on(backend: str) -> None:
    """Undoing may await although the scope is cancelled."""
    # shows: X2, N4
    told: list[str] = []

    async def undo(_: object) -> None:
        await anyio.lowlevel.checkpoint()
        told.append("undo a")

    async def main() -> None:
        with anyio.CancelScope() as scope:
            batch = Batch()
            batch.add("a", lambda _: None, undo=undo)

            async def wait(_: Results) -> None:
                scope.cancel()
                await anyio.sleep_forever()

            batch.add("b", wait)
            await batch.run_async(on_error="continue")
            told.append("never")
        told.append("cancelled" if scope.cancelled_caught else "not cancelled")

    anyio.run(main, backend=backend)
    assert told == ["undo a", "cancelled"]


def test_every_error_has_its_own_code() -> None:
    """Codes H190 to H194, one each."""
    from daybreak.host import batch

    kinds = [one for one in vars(batch).values() if isinstance(one, type) and issubclass(one, DaybreakError)]
    codes = {one.code for one in kinds if one.__module__.startswith(batch.__name__)}
    assert codes == {"H190", "H191", "H192", "H193", "H194"}
