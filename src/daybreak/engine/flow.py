"""Ways in which a run stops that are not failures. Task code lets them pass."""

from __future__ import annotations


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
