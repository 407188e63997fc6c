"""A scripted model server for OpenAI's, Anthropic's and Gemini's clients; see `server.ModelServer`."""

from __future__ import annotations

from daybreak.agents.protocol import Usage
from daybreak.testing.modelserver.asking import Asked, Message, Request
from daybreak.testing.modelserver.server import ModelServer, Script
from daybreak.testing.modelserver.turns import (
    BadCall,
    Broken,
    Call,
    ContextTooLong,
    Dropped,
    FalseDone,
    Html,
    Injection,
    NoCredit,
    Overloaded,
    Pace,
    RateLimited,
    Refuse,
    Say,
    Slow,
    Stalled,
    Truncated,
    Turn,
    Unauthorized,
)

__all__ = [
    "Asked",
    "BadCall",
    "Broken",
    "Call",
    "ContextTooLong",
    "Dropped",
    "FalseDone",
    "Html",
    "Injection",
    "Message",
    "ModelServer",
    "NoCredit",
    "Overloaded",
    "Pace",
    "RateLimited",
    "Refuse",
    "Request",
    "Say",
    "Script",
    "Slow",
    "Stalled",
    "Truncated",
    "Turn",
    "Unauthorized",
    "Usage",
]
