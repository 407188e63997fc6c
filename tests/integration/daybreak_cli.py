"""The real command line, in a process of its own, with its state in a folder of the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """`folder` is the working directory; state lies beside it in `folder-home`, caches in one place for all tests."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-home")

    def environment(self) -> dict[str, str]:
        return {**os.environ, "DAYBREAK_HOME": str(self.home), "COLUMNS": "200"}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "daybreak", *map(str, arguments)]

    def __call__(self, *arguments: str | Path) -> Ran:
        ran = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def spec(self, text: str | None = None, *, holdout: float = 0, name: str = "notes.md") -> Path:
        path = self.folder / name
        path.write_text(SMALL_SPEC.replace("{holdout}", str(holdout)) if text is None else text)
        return path
