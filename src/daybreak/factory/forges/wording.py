"""What a pull or merge request says: what was asked, what was looked at and with what outcome, and where that stands.

Nothing of it can be more than text: names of people, links and markup from checks or tasks stand in code, so that
nobody is called by it and nothing is closed by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from daybreak import events
from daybreak.ledger.record import Record
from daybreak.policy.redaction import redact

TEXT_CHARS_MAX = 50_000
ASKED_CHARS_MAX = 4_000
CELL_CHARS_MAX = 300
TITLE_CHARS_MAX = 200


class Told(BaseModel):
    """What is offered, apart from what the ledger says."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    run: str
    title: str
    asked: str
    """What was asked, where it is not an issue of that repository; empty: `closes` says it."""
    closes: str = ""
    """`#12`: the issue that is done with it."""
    checks: tuple[str, ...]
    commit: str
    base: str
    worker: str
    attempts: int
    shown: bool
    score: float
    manifest: str


def title(told: Told) -> str:
    """One line."""
    words = redact(_flat(told.title)).text
    return words if len(words) <= TITLE_CHARS_MAX else f"{words[: TITLE_CHARS_MAX - 1]}…"


def text(told: Told, records: Sequence[Record]) -> str:
    """Markdown, of which secrets were taken out. `records` are those of the run."""
    last = max((one.event.attempt for one in records if isinstance(one.event, events.CheckLooked)), default=0)
    rows = [_row(one) for one in records if isinstance(one.event, events.CheckLooked) and one.event.attempt == last]
    lines = [
        *_asked(told),
        "## How it is known to be done",
        "",
        "| check | outcome | what was seen | ledger |",
        "|---|---|---|---|",
        *rows,
        "",
        f"Score {told.score:g} of 100{_at(records, events.GateDecided)}. "
        + (
            "At least one check failed before and passes now."
            if told.shown
            else "Every check passed before already, so none shows that it is done."
        ),
        "",
        "## Where it comes from",
        "",
        f"- run {_code(told.run)}, worker {_code(told.worker)}, attempt {told.attempts}, {_cost(records)}",
        f"- commit {_code(told.commit)} on {_code(told.base)}{_at(records, events.Delivered)}",
        f"- manifest of the evidence {_code(f'sha256:{told.manifest}')}",
        "",
        f"Every line stands in the ledger: {_code(f'daybreak report {told.run}')}, `daybreak ledger verify`.",
        "A worker wrote this change; checks looked at it, no person yet.",
    ]
    return redact("\n".join(lines)).text[:TEXT_CHARS_MAX] + "\n"


def _asked(told: Told) -> list[str]:
    if told.closes:
        return [f"Closes {told.closes}", ""]
    return ["## What was asked", "", *_block(told.asked[:ASKED_CHARS_MAX]), ""]


def _row(record: Record) -> str:
    assert isinstance(record.event, events.CheckLooked)
    seen = record.event.evidence
    cells = (seen["check"], seen["outcome"], seen["summary"], _place(record))
    return "| " + " | ".join(_code(str(cell), most=CELL_CHARS_MAX) for cell in cells) + " |"


def _at(records: Sequence[Record], kind: type[events.Event]) -> str:
    found = [one for one in records if isinstance(one.event, kind)]
    return f" ({_code(_place(found[-1]))})" if found else ""


def _place(record: Record) -> str:
    return f"{record.stream}#{record.seq}"


def _cost(records: Sequence[Record]) -> str:
    """Money and tokens by the gateway's count."""
    calls = [one.event for one in records if isinstance(one.event, events.ModelCalled)]
    money = sum(call.money_microusd for call in calls)
    told = [
        one.event.result["money_microusd"]
        for one in records
        if isinstance(one.event, events.StepDone)
        and isinstance(one.event.result, dict)
        and isinstance(one.event.result.get("money_microusd"), int)
    ]
    money = max(money, sum(told))  # what workers past the gateway say of themselves counts as well
    tokens = sum(call.input_tokens + call.output_tokens for call in calls)
    return f"cost {money / 1_000_000:.4f} USD, {tokens:,} tokens"


def _flat(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _code(text: str, *, most: int = 200) -> str:
    """As code in one line, also in a cell of a table."""
    flat = _flat(text)
    flat = (flat if len(flat) <= most else f"{flat[: most - 1]}…").replace("|", "¦")
    ticks = "`" * (max((len(run) for run in re.findall(r"`+", flat)), default=0) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{ticks}{pad}{flat}{pad}{ticks}" if flat else ""


def _block(text: str) -> list[str]:
    ticks = "`" * max(3, max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return [f"{ticks}text", *text.strip().splitlines(), ticks]
