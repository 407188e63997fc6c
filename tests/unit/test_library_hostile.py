"""Batch, programs and ground truth under hostile arguments: ours, short, with a hint, and never a wait."""

from __future__ import annotations

import functools
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak.errors import DaybreakError
from daybreak.host import truth
from daybreak.host.batch import Batch, BatchInvalid, BatchMisused, Operation
from daybreak.host.batch.outcome import Results
from daybreak.host.programs import DiskCache, Platform, Program, ProgramMisdescribed, find, find_all, guard
from daybreak.host.programs.cache import PROCESS_CACHE
from daybreak.host.programs.search import Found

MESSAGE_CHARACTERS_MAX = 700


class Silent:
    """Cannot be told in words."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class Crooked:
    """A path that raises when it is asked for."""

    def __fspath__(self) -> str:
        raise RuntimeError("no")


class NoPath:
    """A path that is none."""

    def __fspath__(self) -> int:
        return 5


class Breaking:
    """Something to go through that breaks off."""

    def __iter__(self) -> Iterator[str]:
        yield "a"
        raise RuntimeError("no")


def generator() -> Iterator[int]:
    """Does its work later."""
    yield 1


HOSTILE: list[Any] = [
    *(None, 0, 5, -1, True, False, 1.5, float("nan"), float("inf"), 10**5000, b"a", b"\xff" * 5000, "", "x", "\0"),
    *("a\0b", "\ud800", "\udcff", "x" * 4096, "x/" * 3000, "y" * 100_000, "..", "/dev/zero", "pipe", "/proc/self/mem"),
    *(Path("pipe"), Path("/dev/zero"), Path("\ud800"), [], {}, (), [[]], [""], ["x" * 100_000], {"a": 5}, {5: "a"}),
    *(
        set(),
        object(),
        type,
        print,
        Silent(),
        [Silent()],
        Crooked(),
        NoPath(),
        Breaking(),
        generator,
        Batch(),
        Platform,
    ),
    functools.partial(generator),
]


def batches(one: Any) -> list[Callable[[], object]]:
    """Every public function of batches, with the hostile argument in each place."""

    def added(*names: object, **options: Any) -> Batch:
        batch = Batch()
        for name in names:
            batch.add(name, options.get("do", lambda _: 1), **{k: v for k, v in options.items() if k != "do"})  # type: ignore[arg-type]
        return batch

    def raising(_: Results) -> None:
        raise ValueError(one)

    results = Results({}, frozenset(), "reader")
    return [
        lambda: Batch(clock=one).run(),
        lambda: added(one).run(),
        lambda: added(one).problems(),
        lambda: added(one, one).validate(),
        lambda: added("a", do=one).problems(),
        lambda: added("a", needs=one).run(),
        lambda: added("a", needs=[one]).run(),
        lambda: added("a", needs=[one, one]).validate(),
        lambda: added("a", check=one).problems() if not callable(one) else None,
        lambda: added("a", check=lambda: one).run(),
        lambda: added("a", undo=one).run(),
        lambda: added("a", do=raising).run().require(),
        lambda: Batch().run(on_error=one),
        lambda: Batch().run()[one],
        lambda: Batch().run().value(one),
        lambda: Batch().run().names(one),
        lambda: results[one],
        lambda: one in results,
        lambda: results[Operation(one, print)],
    ]


def programs(one: Any) -> list[Callable[[], object]]:
    """Every public function of programs."""
    here = Platform("linux", "/bin:/usr/bin")
    return [
        lambda: Platform(one, "/bin"),
        lambda: Platform("linux", one),
        lambda: Platform("linux", "/bin", one),
        lambda: Platform("linux", "/bin", (one,)),
        lambda: Platform("linux", "/bin", (), one),
        lambda: Platform("linux", "/bin", (), (one,)),
        lambda: Platform("linux", "/bin", root=one),
        lambda: Platform.this(one),
        lambda: Platform.this({"PATH": one}),
        lambda: Platform.this({"PATH": "/bin", "PATHEXT": one}, "win32"),
        lambda: Platform.this({}, one),
        lambda: here.install_hint(one),
        lambda: Program(one),
        lambda: Program("git", one),
        lambda: Program("git", version_arguments=one),
        lambda: Program("git", version_arguments=(one,)),
        lambda: Program("git", hints=one),
        lambda: Program("git", hints={"apt": one}),
        lambda: Program("git", version_pattern=one),
        lambda: Program.of(one),
        lambda: find(one),
        lambda: find("git", platform=one),
        lambda: find("git>=1", platform=one),
        lambda: find("git", at=one),
        lambda: find("git", timeout_s=one),
        lambda: find("git", cache=one),
        lambda: find("git>=1", cache=one),
        lambda: find_all(one),
        lambda: find_all("git", platform=one),
        lambda: find_all("git", timeout_s=one),
        lambda: find_all("git", cache=one),
        lambda: find_all(platform=one, cache=one, timeout_s=one),
        lambda: guard(one),
        lambda: guard("git", platform=one),
        lambda: guard("git", timeout_s=one),
        lambda: guard("git", cache=one),
        lambda: guard("git")(one),
        lambda: DiskCache(one),
        lambda: find("git>=1", cache=DiskCache(one)) if "/" not in str(type(one)) and one != "x" else None,
    ]


def probes(one: Any) -> list[Callable[[], object]]:
    """Every public function of ground truth."""
    made: list[Callable[[], Any]] = [
        lambda: truth.exists(one),
        lambda: truth.exists("a", nonempty=one),
        lambda: truth.absent(one),
        lambda: truth.created(one),
        lambda: truth.changed(one),
        lambda: truth.unchanged(one),
        lambda: truth.contains(one, "a"),
        lambda: truth.contains("a", one),
        lambda: truth.lacks("a", one),
        lambda: truth.valid(one),
        lambda: truth.holds(one),
        lambda: truth.holds(".", one),
        lambda: truth.holds(".", at_least=one),
        lambda: truth.holds(".", at_most=one),
        lambda: truth.holds(".", pattern=one),
        lambda: truth.holds(".", nonempty=one),
        lambda: truth.only_changed(".", one),
        lambda: truth.only_changed(one) if one != "/" else None,
        lambda: truth.prints(one, "a"),
        lambda: truth.prints(["/nonesuch", one], "a"),
        lambda: truth.prints(["/nonesuch"], one),
        lambda: truth.prints(["/nonesuch"], "a", cwd=one),
        lambda: truth.prints(["/nonesuch"], "a", env=one),
        lambda: truth.prints(["/nonesuch"], "a", env={"A": one}),
        lambda: truth.prints(["/nonesuch"], "a", timeout_s=one),
        lambda: truth.prints(["/nonesuch"], "a", exit_code=one),
        lambda: truth.answers(one, within_s=0.01),
        lambda: truth.answers(1, one, within_s=0.01) if one != "x" else None,  # which would ask the network
        lambda: truth.answers(1, within_s=one) if one not in (5, 1.5, True) else None,
        lambda: truth.answers(1, sending=one, within_s=0.01),
        lambda: truth.answers(1, matches=one, within_s=0.01),
        lambda: truth.custom(one, lambda: (True, "x")),
        lambda: truth.custom("a", one),
        lambda: truth.custom("a", lambda: one),
        lambda: truth.custom("a", lambda: (True, one)),
        lambda: truth.custom("a", lambda before: (True, "x"), before=one),
        lambda: truth.custom("a", lambda before: (True, "x"), before=lambda: one),
        lambda: truth.custom("a", lambda: (_ for _ in ()).throw(ValueError(one))),
        lambda: one,
    ]
    return [
        *(lambda make=make: truth.look(make()) for make in made),  # type: ignore[misc]
        *(lambda make=make: truth.verify(make()) for make in made),  # type: ignore[misc]
        lambda: truth.expect(one),
        lambda: truth.expect(truth.absent("a"))(one),
        lambda: truth.command(one, truth.absent("a")),
        lambda: truth.command(["/nonesuch"], one),
        lambda: truth.command(["/nonesuch"], truth.absent("a"), cwd=one),
        lambda: truth.command(["/nonesuch"], truth.absent("a"), env=one),
        lambda: truth.command(["/nonesuch"], truth.absent("a"), timeout_s=one),
        lambda: truth.command(["/nonesuch"], truth.absent("a"), exit_code=one),
    ]


@pytest.fixture
def bell() -> Iterator[None]:
    """Whoever waits for ever is interrupted."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError("it would wait for ever")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("bell")
@pytest.mark.parametrize("uses", [batches, programs, probes], ids=lambda one: one.__name__)
@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_hostile_arguments_are_typed_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, uses: Callable[[Any], list[Callable[[], object]]]
) -> None:
    """Wrong types, devices, pipes, endless words, objects that raise: an error of ours, or it works."""
    # shows: P8, X2, X3, X6
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    os.mkfifo("pipe")
    for number, use in enumerate(uses(HOSTILE[at])):
        try:
            use()
        except DaybreakError as error:
            assert error.hint, number  # noqa: PT017 - both ends are right
            assert len(error.message) <= MESSAGE_CHARACTERS_MAX, (number, error.message[:900])  # noqa: PT017
            assert len(error.hint) <= MESSAGE_CHARACTERS_MAX, (number, error.hint[:900])  # noqa: PT017


@pytest.mark.parametrize("one", ["x", 5, [], 0, "", {}, True], ids=repr)
def test_what_is_no_platform_and_no_cache_is_refused_before_the_search(one: Any) -> None:
    """Also where it counts as false, and for every way to ask."""
    # shows: X3, P8
    for use in (
        lambda: find("git", platform=one),
        lambda: find("git", cache=one),
        lambda: find_all("git", platform=one),
        lambda: find_all("git", cache=one),
        lambda: guard("git", platform=one),
        lambda: guard("git", cache=one),
    ):
        with pytest.raises(ProgramMisdescribed):
            use()


def test_a_disk_cache_takes_a_text_for_a_path_and_nothing_else(tmp_path: Path) -> None:
    """As `open` does; bytes, nothing, NUL and what is too long are refused when it is made."""
    # shows: X3, P8
    PROCESS_CACHE.clear()
    cache = DiskCache(str(tmp_path / "cache.json"))
    find("git>=1", cache=cache)
    assert cache.path == tmp_path / "cache.json"
    assert cache.path.is_file()
    for bad in (b"cache", 5, None, "", "a\0b", "x" * 4097, "\ud800", Crooked(), []):
        with pytest.raises(ProgramMisdescribed):
            DiskCache(bad)  # type: ignore[arg-type] # hostile on purpose


def test_a_cache_that_answers_nonsense_is_not_believed() -> None:
    """A cache is no evidence: then the program is asked."""
    # shows: X3

    class Lying:
        def get(self, key: object) -> Any:
            return 5

        def put(self, key: object, text: str) -> None:
            """Forgets."""

    PROCESS_CACHE.clear()
    found = find("git>=1", cache=Lying())
    assert isinstance(found, Found)
    assert found.version


@pytest.mark.usefixtures("bell")
def test_endless_and_broken_needs_are_refused_when_added() -> None:
    """Going through them would never end, or ends in somebody else's error."""
    # shows: X2, P8
    for needs in (itertools.repeat("b"), Breaking()):
        with pytest.raises(BatchMisused):
            Batch().add("a", print, needs=needs)


def test_many_problems_are_counted_and_the_first_are_told() -> None:
    """The message stays readable; `problems` has all of them."""
    # shows: X2
    batch = Batch()
    batch.add("a", print, needs=[f"missing {number}" for number in range(500)])
    with pytest.raises(BatchInvalid) as caught:
        batch.run()
    assert len(caught.value.problems) == 500
    assert "500 problem(s)" in caught.value.message
    assert "490 more" in caught.value.message


def test_a_status_that_does_not_exist_is_refused() -> None:
    """A misspelled status would else be an empty list: nothing failed."""
    # shows: X2
    with pytest.raises(BatchMisused):
        Batch().run().names("fialed")  # type: ignore[arg-type] # hostile on purpose


def test_a_probe_of_ones_own_that_breaks_is_an_observation_that_does_not_hold() -> None:
    """Whatever the probe does, the others are looked at."""
    # shows: X6, P8

    class Broken:
        needs_before = False

        def __init__(self, late: bool, gives: Any = None) -> None:
            self.late, self.gives = late, gives

        def start(self) -> Any:
            if not self.late:
                raise RuntimeError("no")
            return (lambda: self.gives) if self.gives is not None else self._look

        def _look(self) -> Any:
            raise RuntimeError("no")

    for broken in (Broken(late=False), Broken(late=True), Broken(late=True, gives=5)):
        seen = truth.look(broken, truth.absent("/nonesuch"))
        assert [one.holds for one in seen] == [False, True]
        assert seen[0].seen
