"""What this face refuses, and why."""

from __future__ import annotations

from daybreak.errors import PolicyError, UsageError
from daybreak.policy.bearer import MEANS, Scope


class ScopeLacking(PolicyError):
    """An assistant's token does not have the scope that a tool needs."""

    code = "P355"

    @classmethod
    def of(cls, scope: Scope, who: str) -> ScopeLacking:
        """`who`: of whom it is told."""
        return cls(
            f"this needs the scope {scope} ({MEANS[scope]}), which {who} does not have",
            hint=f"ask the person whose home this is; they can mint a token with `daybreak token mint --api {scope}`",
        )


class TokenFileExposed(PolicyError):
    """Others may read or change the file that an assistant's token lies in."""

    code = "P356"


class TokenNeeded(PolicyError):
    """The server was started with --require-token, and nobody gave it one."""

    code = "P357"


class TokenFileWrong(UsageError):
    """The file that should hold a token holds none."""

    code = "U356"


class SdkMissing(UsageError):
    """What speaks the Model Context Protocol is not installed."""

    code = "U357"


class ArgumentsWrong(UsageError):
    """A tool was called with arguments that it does not take."""

    code = "U358"


class QuestionChanged(UsageError):
    """The run does not ask what somebody answers: it asks something else now, or nothing."""

    code = "U359"


class NothingThere(UsageError):
    """No such tool, resource or prompt."""

    code = "U360"
