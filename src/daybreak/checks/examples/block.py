"""What is wrong with a block, before anything runs."""

from __future__ import annotations

import re

from daybreak.checks.example import Fault
from daybreak.checks.examples import exchange, listing, transcript

_UNUSABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and lone surrogates: no shell, header or UTF-8 file can hold them."""


def faults(kind: str, body: str, *, product: str | None = None) -> list[Fault]:
    """Everything wrong with a block of that kind, by line; empty where it can run.

    With `product`, the name of the command, a console block that never runs it is a fault: it shows nothing.
    """
    if unprintable := _UNUSABLE.search(body):
        line = body[: unprintable.start()].count("\n")
        return [Fault(line, f"the character {unprintable[0]!r} cannot stand in an example", "leave it out")]
    if kind == "console":
        commands, found = transcript.read(body)
        if product is not None and commands and not transcript.runs(commands, product):
            found.append(Fault(0, f"the block never runs {product}", f"let a command run `{product}`"))
        return found
    if kind == "http":
        return exchange.read(body)[1]
    if kind == "files":
        return listing.read(body)[1]
    return [Fault(0, f"there is no kind of example {kind!r}", "write ```console, ```http or ```files")]
