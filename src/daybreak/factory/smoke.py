"""Does a worker work at all? One tiny task, made fresh, with real checks; done like any other, and recorded like it.

A worker that builds is given a small specification, every other one a repository of one function that is missing and
the tests that want it. Nothing in here believes the worker: what `agents test` says is the gate's verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import WorkerError
from daybreak.factory.asked import Asked
from daybreak.host import process
from daybreak.settings import Settings

TIME_S = 900.0
"""Of the attempt; less where the worker's own `time_s` is less."""
_GIT_S = 30.0
PROMPT = """\
`total` in `price.py` has no body yet. Write it, as its docstring says. The tests in `tests/` want it; leave them as
they are."""
CHECK = "pytest -q"
_FILES = {
    "price.py": '''\
"""Prices in whole cents."""


def total(prices: list[int]) -> int:
    """The sum of all prices; ValueError where one is below 0."""
    raise NotImplementedError
''',
    "tests/test_price.py": """\
import pytest

from price import total


def test_nothing_costs_nothing():
    assert total([]) == 0


def test_prices_are_added():
    assert total([199, 1, 0, 250]) == 450


def test_a_price_below_nothing_is_refused():
    with pytest.raises(ValueError):
        total([5, -1])
""",
    "conftest.py": "",
}
SPECIFICATION = """\
---
name: smoke
interfaces: [cli]
complexity: simple
holdout: 0
budget: {time: 15m, attempts: 1}
---
# Smoke

Short notes that stay.

## Objectives
- keep notes

## Requirements

### Functional Requirements
- **FR-001**: System MUST add a note and say its number

### Key Entities

#### Note

| field | type | rules |
|---|---|---|
| text | text | required, 1..80 |

## Acceptance

### FR-001 adding
```console
$ smoke note add --text hello
added note 1
```
"""


class NotPrepared(WorkerError):
    """The tiny task could not be made here."""

    code = "W113"


@dataclass(frozen=True)
class Tiny:
    """A task on a folder of its own."""

    specification: Path | None = None
    """For a worker that builds."""
    repository: Path | None = None


def prepare(kind: str, folder: Path) -> Tiny:
    """The tiny task for a worker of that kind, in the empty `folder`. Raises NotPrepared, ProgramMissing."""
    if kind == "builder":
        path = folder / "smoke.md"
        path.write_text(SPECIFICATION, encoding="utf-8")
        return Tiny(specification=path)
    repository = folder / "smoke"
    for name, text in _FILES.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _commit(repository)
    return Tiny(repository=repository)


def asked(name: str, repository: Path, settings: Settings, environment: Mapping[str, str], *, sandbox: str) -> Asked:
    """What the queue takes for worker `name`: one attempt. Raises what `repositorytask.asked` does."""
    from daybreak.factory.repository import task as repositorytask

    return repositorytask.asked(
        repository,
        PROMPT,
        [CHECK],
        cwd=Path.cwd(),
        environment=environment,
        workers=[name],
        settings=settings,
        attempts=1,
        time_s=TIME_S,
        check_s=120,
        sandbox=sandbox,
    )


def _commit(repository: Path) -> None:
    """The folder as a repository with one commit, whatever the user's own git is set to."""
    environment = {
        **{f"GIT_{who}_{what}": "daybreak" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "PATH": process.DEFAULT_PATH,
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "One function is missing"]):
        ran = process.run(["git", *words], cwd=repository, env=environment, timeout_s=_GIT_S)
        if not ran.ok:
            said = ran.stderr.decode("utf-8", "replace").strip()[-300:] or ran.ending
            raise NotPrepared(f"git {words[0]} failed in {repository}: {said}", hint="see what git says")
