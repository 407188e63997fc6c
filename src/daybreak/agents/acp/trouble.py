"""Why an agent did not finish: from the reason it gives for stopping, or from the error it answers with.

Where the agent speaks through the gateway, the gateway has seen the cause itself, and its word goes before this.
"""

from __future__ import annotations

from daybreak.agents.command.trouble import Problem, judged
from daybreak.agents.protocol import ClaimOutcome, Trouble
from daybreak.clock import SystemClock

AUTH_REQUIRED, METHOD_NOT_FOUND, INVALID_PARAMS = -32000, -32601, -32602

_STOPS: dict[str, tuple[ClaimOutcome, Trouble, str]] = {
    "end_turn": ("finished", "", ""),
    "max_tokens": ("partial", "context", "it came to the end of its tokens"),
    "max_turn_requests": ("partial", "budget", "it came to the end of the requests that it allows itself"),
    "refusal": ("refused", "refused", "it refused"),
    "cancelled": ("partial", "", "it broke off as cancelled, which nobody had asked for"),
}


def of_stop(reason: str) -> tuple[ClaimOutcome, Trouble, str]:
    """Outcome, trouble and a sentence (empty for a plain end)."""
    return _STOPS.get(reason, ("partial", "crashed", f"it stopped for a reason that nobody knows: {reason:.80}"))


def of_error(code: int, message: str) -> Problem:
    """For an answer that is a JSON-RPC error (0: for whatever else was said); `message` with its details."""
    found = judged(message, SystemClock().now())
    if found is not None:
        return found
    kind: Trouble = "crashed"
    if code == AUTH_REQUIRED:
        kind = "authentication"
    elif code in (METHOD_NOT_FOUND, INVALID_PARAMS):
        kind = "unavailable"
    return Problem(kind, message)
