"""A build killed with SIGKILL: what was kept stays, what is delivered is what an undisturbed build delivers."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import kill_build
from tests import starter

SMALL = Path(__file__).parent / "small_spec.md"


def daybreak(home: Path, *arguments: str) -> str:
    """As in the benchmark, begun more quickly."""
    environment = {**os.environ, "DAYBREAK_HOME": str(home)}
    words = ["-m", "daybreak", *arguments]
    status, out, err = starter.run(words, folder=Path.cwd(), environment=environment, timeout_s=240)
    assert status == 0, err
    return out


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kill_build, "daybreak", daybreak)
        yield


def known(folder: Path, types_cache: Path) -> Path:
    """A folder whose home knows the types of libraries already."""
    (folder / "home" / "cache").mkdir(parents=True)
    (folder / "home" / "cache" / "types").symlink_to(types_cache)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, types_cache: Path) -> kill_build.Undisturbed:
    folder = known(tmp_path_factory.mktemp("undisturbed"), types_cache)
    return kill_build.undisturbed(folder, SMALL)


def kill_often(folder: Path, types_cache: Path, reference: kill_build.Undisturbed, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    outcomes = []
    for number in range(kills):
        after_s = chance.uniform(0.1, reference.seconds)
        place = known(folder / str(number), types_cache)
        outcomes.append(kill_build.kill_and_resume(place, after_s, reference, SMALL))
    assert not [outcome for outcome in outcomes if outcome.problems], f"seed {seed}"
    assert any(outcome.kept_before for outcome in outcomes), f"seed {seed}: nothing was kept before any kill"


def test_a_killed_build_resumes_without_doing_a_kept_step_again(
    tmp_path: Path, types_cache: Path, reference: kill_build.Undisturbed
) -> None:
    """Killed in the middle: nothing lost, nothing twice, the same bytes."""
    # shows: N14 F13 P6
    kill_often(tmp_path, types_cache, reference, kills=1, seed=5)


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_fifty_of_fifty_killed_builds_resume(
    tmp_path: Path, types_cache: Path, reference: kill_build.Undisturbed
) -> None:
    """The long form."""
    # shows: N14 F13 P6
    kill_often(tmp_path, types_cache, reference, kills=50, seed=11)
