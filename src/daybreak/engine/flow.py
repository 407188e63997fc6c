"""Ways in which a run stops that are not failures. Task code lets them pass."""

from __future__ import annotations

from datetime import datetime


class Stop(Exception):
    """A run stops here on purpose."""


class Parked(Stop):
    """The run needs a person: it stops with this question and goes on when somebody answers or resumes it."""

    def __init__(self, question: str, why: str = "") -> None:
        super().__init__(question)
        self.question = question
        self.why = why


class CancelHonoured(Stop):
    """Somebody asked for the run to be cancelled, and it is between two steps."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Waiting(Stop):
    """The run goes on at that time, or when a signal comes where there is none; until then it needs no worker."""

    def __init__(self, until: datetime | None, why: str) -> None:
        super().__init__(why)
        self.until = until
        self.why = why


class Paused(Stop):
    """The run is held: by a person, or because its night has nothing left that it could spend."""

    def __init__(self, why: str, code: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.code = code
