"""What a task on a repository needs of a machine: said on the command line, kept, and asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.unit import repository_desk
from tests.unit.repository_desk import Desk, Scripted

from daybreak.engine.dispatch import Needs
from daybreak.factory import needing
from daybreak.factory.repository.task import RepositoryArgs
from daybreak.factory.spec.model import Needed


def test_words_are_read_as_a_specification_has_them() -> None:
    """Labels once each, in their order; what is left out the settings say."""
    # shows: N14
    found = needing.read(["docker", "memory=8GiB", "gpu=a100", "cpus=0.5", "docker"])
    assert found == Needed(cpus=0.5, memory_bytes=8 * 2**30, labels=("docker", "gpu=a100"))
    assert needing.read([]) == Needed()


@pytest.mark.parametrize(
    "word",
    [
        "",
        "cpus",
        "cpus=",
        "cpus=0",
        "cpus=-1",
        "cpus=NaN",
        "cpus=1e3",
        "cpus=1001",
        "cpus=٣",
        "memory=",
        "memory=8",
        "memory=1MB",
        "memory=2TiB",
        "memory=much",
        "Docker!",
        "a b",
        "gpu==1",
        "x" * 200,
        "a\nb",
        "\x1b[2J",
        "\ud800",
        "ünicode",
    ],
)
def test_what_no_machine_can_have_is_refused_in_words_that_can_be_printed(word: str) -> None:
    """Before anything is queued, with what to write instead."""
    # shows: N14
    with pytest.raises(needing.NeedsWrong) as wrong:
        needing.read([word])
    assert wrong.value.code == "U401"
    assert wrong.value.hint
    assert "\x1b" not in wrong.value.message
    wrong.value.message.encode()


def test_the_same_thing_twice_and_labels_without_end_are_refused() -> None:
    """Which of the two counts nobody could say."""
    with pytest.raises(needing.NeedsWrong, match="twice"):
        needing.read(["cpus=1", "cpus=2"])
    with pytest.raises(needing.NeedsWrong, match="51 labels"):
        needing.read([f"label{number}" for number in range(51)])


def test_it_is_kept_with_the_task_and_reaches_its_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rest from the settings; a task that says nothing is kept as before."""
    # shows: N14, F8
    got: list[Needs] = []

    def attempts(self: Desk, ctx: Any, office: Any, warden: Any, cancelled: threading.Event, needs: Any) -> Scripted:
        got.append(needs)
        return self.scripted

    monkeypatch.setattr(Desk, "_attempts", attempts)
    with repository_desk.opened(tmp_path) as desk:
        asked = desk.asked(needs=["docker", "memory=128MB"])
        assert RepositoryArgs.model_validate(asked.args).needs == Needed(memory_bytes=128_000_000, labels=("docker",))
        assert "needs" not in desk.asked().args
        desk.run(asked)
    assert set(got) == {Needs(cpus=1, memory_bytes=128_000_000, labels=("docker",))}


def test_what_attempts_get_is_a_need_with_the_settings_behind_it() -> None:
    """As for a specification."""
    from daybreak.factory import dispatching
    from daybreak.settings import Dispatching, Settings

    settings = Settings(dispatch=Dispatching(cpus=2, needs=("linux",)))
    assert dispatching.needs(settings, needing.read(["docker"])) == Needs(cpus=2, labels=("linux", "docker"))
