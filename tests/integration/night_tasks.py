"""Tasks of a night whose outside is one file: each effect is a line with its key, and stands there for ever.

Where the file `hold` lies beside it, an effect that has happened does not come back before the file `go` is there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from daybreak.engine import Absent, Found, step_key

HERE = Path(__file__).parent
EFFECTS = HERE / "effects"


def prepare(number: int) -> int:
    return number * number


def publish(number: int) -> str:
    """The outside takes it; the answer may be long in coming."""
    line = f"{step_key()} {number} {os.getpid()}\n".encode()
    descriptor = os.open(EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line)
    os.close(descriptor)
    until = time.monotonic() + 60
    while (HERE / "hold").exists() and not (HERE / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return f"published {number}"


def published(key: str) -> Any:
    lines = EFFECTS.read_text().splitlines() if EFFECTS.exists() else []
    return next((Found(f"published {line.split()[1]}") for line in lines if line.split()[0] == key), Absent())


async def listing(ctx: Any, number: int) -> Any:
    for turn in range(3):
        await ctx.step(f"prepare {turn}", prepare, number + turn)
    return await ctx.step("publish", publish, number, effect="once", lookup=published)


async def hangs(ctx: Any) -> Any:
    """In a thread, which nothing ends."""
    return await ctx.step("hang", publish, 0)
