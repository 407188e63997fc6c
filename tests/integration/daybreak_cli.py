"""The real command line, in a process of its own, with its state in a folder of the test."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import starter

SMALL_SPEC = """\
---
name: notes
interfaces: [cli]
complexity: simple
holdout: {holdout}
---
# Notes

Short texts that stay.

## Objectives
- keep notes

## Requirements

### Functional Requirements
- **FR-001**: System MUST add a note and say its number
- **FR-002**: System MUST list the notes
- **FR-003**: System MUST delete a note

### Key Entities

#### Note

| field | type | rules |
|---|---|---|
| text | text | required, 1..80 |
| pinned | boolean | default false |

## Acceptance

### FR-001 adding
```console
$ notes note add --text hello
added note 1
```

### FR-002 listing
```console
$ notes note add --text hello
added note 1
$ notes note list
id  text   pinned
1   hello  false
```

### FR-003 deleting
```console
$ notes note add --text goodbye
added note 1
$ notes note delete 1
deleted note 1
$ notes note list
no notes
```
"""

ONE_EXAMPLE = "".join(
    line
    for line in SMALL_SPEC.partition("### FR-002 listing")[0].splitlines(keepends=True)
    if not line.startswith(("- **FR-002", "- **FR-003"))
)
"""The same with the first requirement only: each example costs the runs that show that it proves something."""


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """`folder` is the working directory; state lies beside it in `folder-home`."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-home")

    def knowing(self, types: Path) -> Cli:
        """This one, whose builds share what mypy knows of libraries (the fixture `types_cache`)."""
        (self.home / "cache").mkdir(parents=True)
        (self.home / "cache" / "types").symlink_to(types)
        return self

    def environment(self) -> dict[str, str]:
        return {**os.environ, "DAYBREAK_HOME": str(self.home), "COLUMNS": "200"}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "daybreak", *map(str, arguments)]

    def __call__(self, *arguments: str | Path) -> Ran:
        words = self.command(*arguments)[1:]
        return Ran(*starter.run(words, folder=self.folder, environment=self.environment(), timeout_s=240))

    def spec(self, text: str | None = None, *, holdout: float = 0, name: str = "notes.md") -> Path:
        path = self.folder / name
        path.write_text(SMALL_SPEC.replace("{holdout}", str(holdout)) if text is None else text)
        return path
