"""What went wrong with a request to a model, as a trouble of the protocol: by the clients' typed errors, and by what
the server wrote."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from daybreak.agents.gateway import troubles
from daybreak.agents.protocol import Trouble
from daybreak.clock import stamp
from daybreak.host.naming import cut, told

if TYPE_CHECKING:
    from pydantic_ai.exceptions import ModelHTTPError

_SHOWN = 300
_GATEWAY = b"daybreak gateway: "
"""So begins what the gateway itself has to say."""


class Failed(Exception):
    """No answer, or none that can be read."""

    def __init__(self, trouble: Trouble, message: str, until: str = "") -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble
        self.message = message
        self.until = until


def failed(error: Exception, now: datetime) -> Failed:
    """What an error of pydantic-ai, or of a client below it, means."""
    from pydantic_ai import exceptions as known

    message = told(error, _SHOWN) if str(error) else "there was no answer in time"
    if isinstance(error, known.ContentFilterError):
        return Failed("refused", message)
    if isinstance(error, known.ModelHTTPError):
        return _of_answer(error, now)
    if isinstance(error, known.ModelTimeoutError | TimeoutError):
        return Failed("stalled", message)
    if isinstance(error, known.ModelAPIError):
        return Failed(_by_type(error) or "outage", message)
    if isinstance(error, known.UnexpectedModelBehavior):  # an answer that is none: of a proxy, of another program
        return Failed("outage", message)
    return Failed("crashed", message)


def _of_answer(error: ModelHTTPError, now: datetime) -> Failed:
    """Of an answer with a status that is no success."""
    body = _bytes(error.body)
    message = f"the server answered {error.status_code}: {_sentence(error.body)}"
    if error.status_code == 402 and _GATEWAY in body:  # of a provider, it is an account that is empty
        return Failed("budget", message)
    found = troubles.of_status(error.status_code, error.headers or {}, body, now)
    trouble = found.trouble or _by_type(error) or "unavailable"
    return Failed(trouble, message, stamp(found.until) if found.until is not None else "")


def _sentence(body: object) -> str:
    """What the server says about it, on one line."""
    while isinstance(body, dict) and (inner := body.get("error") or body.get("message")):
        body = inner
    return cut(" ".join(str(body).split()), _SHOWN)


def _bytes(body: object) -> bytes:
    """As it came over the line, or nearly; the clients hand it over read."""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body, enc_hook=str)


def _by_type(error: Exception) -> Trouble:
    from pydantic_ai import exceptions as known

    kinds: tuple[tuple[type[Exception], Trouble], ...] = (
        (known.ModelContextWindowExceededError, "context"),
        (known.ModelAuthenticationError, "authentication"),
        (known.ModelNotFoundError, "unavailable"),
        (known.ModelRequestRejectedError, "unavailable"),
        (known.ModelQuotaExceededError, "quota"),
        (known.ModelRateLimitError, "quota"),
        (known.ModelTimeoutError, "stalled"),
        (known.ModelUnavailableError, "outage"),
        (known.ModelServerError, "outage"),
        (known.ModelConnectionError, "outage"),
    )
    return next((trouble for kind, trouble in kinds if isinstance(error, kind)), "")
