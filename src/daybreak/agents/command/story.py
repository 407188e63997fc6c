"""What an agent's stream has told so far: its last words, what went wrong and is not mended, what it used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from daybreak.agents.command.stream import Line
from daybreak.agents.command.trouble import Problem, complaint, shown
from daybreak.agents.protocol import Note, Told, Trouble, Usage
from daybreak.clock import Clock

PLAIN_MAX = 200
"""Lines that are no events and are kept, for messages."""


class Story:
    """Filled by a reader, asked at the end."""

    def __init__(self) -> None:
        self.said = ""
        """The agent's last message."""
        self.problem: Problem | None = None
        """What went wrong and has not been mended since."""
        self.over = False
        """The stream has said its last word."""
        self.finished = False
        """And that was the end of the work, in the agent's opinion."""
        self.cut = False
        """The last answer ended at the limit of its length."""
        self.began = False
        """At least one event was understood."""
        self.answered = 0
        """Tokens of output, as far as it says."""
        self.acted = 0
        """Tools that it used."""
        self.exits: tuple[int, ...] = (0,)
        """Exit statuses that do not speak against it."""
        self.silent = False
        """It is known to say nothing when it has finished."""
        self.plain: list[str] = []
        """Lines that were no events: the first ones."""

    def went_on(self) -> None:
        """It works again: what had gone wrong is mended, and the last word was not the last."""
        self.problem, self.over, self.finished, self.cut = None, False, False, False

    def failed(self, problem: Problem, *, over: bool = False) -> None:
        """Something went wrong. What says more is kept where both are about the same."""
        old = self.problem
        news = old is None or old.kind == "crashed" or problem.kind not in ("crashed", old.kind)
        if news or (old is not None and problem.until > old.until):
            self.problem = problem
        self.over = self.over or over
        self.finished = False

    def ended(self) -> None:
        """The agent says that it is done."""
        self.over = self.finished = True


class Meter:
    """Turns totals into differences."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def total(self, **values: int) -> Usage | None:
        """What came on top of the last totals; a total that shrank began anew. None where nothing did."""
        grown = {}
        for name, value in values.items():
            before = self._last.get(name, 0)
            grown[name] = value - before if value >= before else value
        self._last.update(values)
        return Usage(**grown) if any(grown.values()) else None


class Reader:
    """Reads one agent's stream. Subclasses say what an event means; nothing that comes can make it fail."""

    def __init__(self, clock: Clock) -> None:
        self.story = Story()
        self.meter = Meter()
        self._clock = clock

    def read(self, line: Line) -> Iterator[Told]:
        """What a line tells, for whoever is listening; the story grows."""
        text = line.text
        if self.skips(text):
            return
        event = self.headline(text) if line.cut else _event(text)
        if event is None:
            if len(self.story.plain) < PLAIN_MAX:
                self.story.plain.append(text[:2000])
            yield from self.plain(text)
            return
        try:
            for told in self.event(event):
                self.story.began = True
                self.story.answered += told.output_tokens if isinstance(told, Usage) else 0
                yield told
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            # Other programs' formats change: one event that is not understood is no reason to lose the rest.
            yield Note(text=f"an event was not understood ({type(error).__name__}): {shown(text, 120)}")

    def skips(self, text: str) -> bool:
        """Lines that say nothing new, by their beginning, so that they need not be parsed."""
        return False

    def headline(self, text: str) -> dict[str, Any] | None:
        """An event from the beginning of a line that was too long to be kept."""
        return None

    def plain(self, text: str) -> Iterator[Told]:
        """A line that is no event."""
        return iter(())

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        raise NotImplementedError

    def close(self, home: Path) -> Iterator[Told]:
        """After the end: what it left in files of its home."""
        return iter(())

    # -- for subclasses

    @property
    def now(self) -> datetime:
        return self._clock.now()

    def fail(self, text: object, *, over: bool = False, otherwise: Trouble = "crashed") -> None:
        self.story.failed(complaint(worded(text), self.now, otherwise), over=over)

    def says(self, text: object) -> Iterator[Note]:
        """A message of the agent."""
        words = worded(text)
        if words.strip():
            self.story.said = words
            yield Note(text=shown(words))

    def acts(self, name: object, on: object = "") -> Iterator[Note]:
        """It uses a tool."""
        self.story.acted += 1
        yield Note(text=shown(f"{worded(name)}: {worded(on)}" if on else worded(name), 160))


def _event(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def worded(value: object) -> str:
    """A text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        extra = {name: one for name, one in value.items() if name in {"code", "type", "status", "name", "resets_at"}}
        return f"{value['message']} {json.dumps(extra, default=str)}" if extra else str(value["message"])
    return json.dumps(value, default=str, ensure_ascii=False)


def count(value: object) -> int:
    """A number of tokens from somebody else's JSON: 0 where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**12:
        return 0
    return int(value)


def microusd(value: object) -> int:
    """US dollars from somebody else's JSON, in millionths: 0 where it is no amount."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**6:
        return 0
    return round(value * 1_000_000)
