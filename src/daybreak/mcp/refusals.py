"""What this face refuses, and why."""

from __future__ import annotations

from daybreak.errors import PolicyError, UsageError


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


class CallsMany(UsageError):
    """An assistant has more calls under way than are taken at once."""

    code = "U362"


class HomeMoved(PolicyError):
    """The home that the server was started for is no longer the one that applies here."""

    code = "P355"
