"""What a client asked, in one form for all APIs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Api = Literal["openai", "anthropic", "gemini"]
Operation = Literal["chat", "responses", "messages", "generate", "count", "models", "unknown"]
Role = Literal["system", "user", "assistant", "tool"]
Outcome = Literal["", "answered", "cut", "client left", "server closed"]


@dataclass(frozen=True)
class Asked:
    """A call that the client gives back to the model as what it had said."""

    id: str
    tool: str
    arguments: Any
    """The object; the text where it is no JSON object."""


@dataclass(frozen=True)
class Message:
    """One message; results of tools are messages of their own with the role `tool`."""

    role: Role
    text: str = ""
    calls: tuple[Asked, ...] = ()
    call_id: str = ""
    """With the role `tool`: of which call (for Gemini without ids, the name of the tool)."""


@dataclass(frozen=True)
class Content:
    """What the body of a request says."""

    model: str = ""
    stream: bool = False
    messages: tuple[Message, ...] = ()
    tools: tuple[str, ...] = ()
    free_tools: frozenset[str] = frozenset()
    """Those of the tools that take free text instead of an object."""


@dataclass(eq=False)
class Request:
    """One request, as it came. Everything but `turn` and `outcome` stands when it is in `server.requests`."""

    number: int
    """Counts from 0 through all completions of the server."""
    api: Api
    operation: Operation
    method: str
    path: str
    """With the query."""
    headers: Mapping[str, str]
    """Names in small letters."""
    body: Any
    """Parsed JSON; bytes where it is none."""
    key: str
    """The key that was used, in whichever header or query field the API has it."""
    content: Content
    turn: Any = None
    """What the script gave it."""
    outcome: Outcome = ""
    """How it ended; empty while it is under way."""
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.content.messages

    @property
    def model(self) -> str:
        return self.content.model

    @property
    def stream(self) -> bool:
        return self.content.stream

    @property
    def tools(self) -> tuple[str, ...]:
        """The names of the tools that it offers."""
        return self.content.tools

    @property
    def tool_outputs(self) -> tuple[str, ...]:
        return tuple(message.text for message in self.messages if message.role == "tool")

    @property
    def text(self) -> str:
        """All that was said, one message below the other; for searching."""
        return "\n".join(message.text for message in self.messages)

    def wait(self, timeout_s: float = 10.0) -> Outcome:
        """How it ended, as soon as it has; empty when it did not in time."""
        self._over.wait(timeout_s)
        return self.outcome

    def end(self, outcome: Outcome) -> None:
        """For the server."""
        self.outcome = outcome
        self._over.set()
