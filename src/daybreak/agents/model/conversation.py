"""What a model is sent: everything said so far, made shorter where it would not fit; and what is kept of it for the day
after a crash."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from daybreak.agents.model.tools import Result

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelRequestPart, ModelResponse, ToolCallPart

CHARS_A_TOKEN = 3.5
"""Of English and of programs; rather too few."""
LATEST = 4
"""So many messages at the end are shortened only when that of the others is not enough."""
_KEPT_CHARS = 300
_SHORT = "\n[… {} characters of this are left out here, because it was long ago; read it again if you need it …]\n"


class Conversation:
    """`standing`: what holds all the time; `prompt`: the task."""

    def __init__(self, standing: str, prompt: str) -> None:
        from pydantic_ai.messages import SystemPromptPart, UserPromptPart

        self._messages: list[ModelMessage] = []
        self._next: list[ModelRequestPart] = [SystemPromptPart(content=standing), UserPromptPart(content=prompt)]

    def say(self, text: str) -> None:
        """Words of ours, with the next request."""
        from pydantic_ai.messages import UserPromptPart

        self._next.append(UserPromptPart(content=text))

    def hear(self, answer: ModelResponse) -> None:
        """An answer. One without content is left out: no API takes it back."""
        from pydantic_ai.messages import TextPart

        parts = [one for one in answer.parts if not (isinstance(one, TextPart) and not one.content.strip())]
        if not any(one.part_kind in ("text", "tool-call") for one in parts):
            return
        self._messages, self._next = self.request(), []
        self._messages.append(dataclasses.replace(answer, parts=[_sendable(one) for one in parts]))

    def give(self, call: ToolCallPart, result: Result) -> None:
        """What a tool said to a call of the last answer."""
        from pydantic_ai.messages import ToolReturnPart

        self._next.append(ToolReturnPart(tool_name=call.tool_name, content=result.text, tool_call_id=call.tool_call_id))

    def request(self) -> list[ModelMessage]:
        """All that the next request sends. Results of tools go first: APIs want them right after the calls."""
        from pydantic_ai.messages import ModelRequest

        parts = sorted(self._next, key=lambda part: part.part_kind != "tool-return")
        return [*self._messages, ModelRequest(parts=parts)]

    @property
    def tokens(self) -> int:
        """An estimate of the next request."""
        parts = [part for message in self.request() for part in message.parts]
        return int(sum(_length(part) for part in parts) / CHARS_A_TOKEN) + 8 * len(parts)

    def fit(self, tokens: int, goal: int) -> int:
        """Where it is more than `tokens`, shorten tool output and then what was written in calls, oldest first, until
        it is at most `goal` or nothing is left. The same conversation is always shortened in the same way. Gives how
        many were shortened."""
        if self.tokens <= tokens:
            return 0
        done = 0
        old = max(0, len(self._messages) - LATEST)
        for places in (range(old), range(old, len(self._messages))):
            for kind in ("tool-return", "tool-call"):
                for at in places:
                    if self.tokens <= goal:
                        return done
                    done += self._shorten(at, kind)
        if self.tokens > goal:
            shorter = [_shorter(part) for part in self._next]
            done += sum(new is not part for new, part in zip(shorter, self._next, strict=True))
            self._next = shorter
        return done

    def _shorten(self, at: int, kind: str) -> int:
        message = self._messages[at]
        parts: Any = [_shorter(part) if part.part_kind == kind else part for part in message.parts]
        done = sum(new is not part for new, part in zip(parts, message.parts, strict=True))
        if done:
            self._messages[at] = dataclasses.replace(message, parts=parts)
        return done


def _sendable(part: Any) -> Any:
    """Servers refuse to be sent a call whose arguments are no object, even where the model made it."""
    if part.part_kind != "tool-call" or part.args is None or isinstance(part.args, dict):
        return part
    try:
        is_object = isinstance(msgspec.json.decode(part.args), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        is_object = False
    return part if is_object else dataclasses.replace(part, args={"unreadable": str(part.args)[:500]})


def _length(part: Any) -> int:
    content = part.args if part.part_kind == "tool-call" else getattr(part, "content", "")
    return len(content) if isinstance(content, str) else len(json.dumps(content, default=str))


def _shorter(part: Any) -> Any:
    """The part itself where there is nothing to shorten."""
    if part.part_kind == "tool-return":
        cut = _cut(part.content)
        return part if cut == part.content else dataclasses.replace(part, content=cut)
    if part.part_kind == "tool-call":
        told = msgspec.json.decode(part.args) if isinstance(part.args, str) and part.args else part.args
        if not isinstance(told, dict):
            return part
        shorter = {name: _cut(value) if isinstance(value, str) else value for name, value in told.items()}
        return part if shorter == told else dataclasses.replace(part, args=shorter)
    return part


def _cut(text: str) -> str:
    if len(text) <= 2 * _KEPT_CHARS + 200:
        return text
    return text[:_KEPT_CHARS] + _SHORT.format(len(text) - 2 * _KEPT_CHARS) + text[-_KEPT_CHARS:]


# -- what is kept


class Tape:
    """What an attempt has told as turns before a crash, played once from the beginning."""

    def __init__(self, turns: Sequence[Any]) -> None:
        self._turns = list(turns)
        self._at = 0
        self.torn = ""
        """Why the rest of it could not be used."""

    def answer(self) -> ModelResponse | None:
        """The next recorded answer."""
        from pydantic import ValidationError
        from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse

        content = self._take("answer")
        if content is None:
            return None
        try:
            (answer,) = ModelMessagesTypeAdapter.validate_python([content])
        except (ValidationError, ValueError, TypeError) as problem:
            self._tear(type(problem).__name__)
            return None
        if not isinstance(answer, ModelResponse):
            self._tear("it is no answer")
            return None
        return answer

    def result(self, call: ToolCallPart) -> Result | None:
        """The recorded result of a call."""
        content = self._take("result")
        if content is None:
            return None
        if not isinstance(content, dict) or content.get("call") != call.tool_call_id:
            self._tear("a result of another call")
            return None
        return Result(str(content.get("text", "")), failed=content.get("failed") is True)

    def _take(self, kind: Literal["answer", "result"]) -> Any:
        if self._at >= len(self._turns):
            return None
        turn = self._turns[self._at]
        self._at += 1
        content = turn.get(kind) if isinstance(turn, dict) else None
        if content is None:
            self._tear(f"no {kind}, which was expected")
        return content

    def _tear(self, why: str) -> None:
        self.torn = f"turn {self._at} of {len(self._turns)}: {why}"
        self._turns = []


def answer_turn(answer: ModelResponse) -> dict[str, Any]:
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    return {"answer": ModelMessagesTypeAdapter.dump_python([answer], mode="json", exclude_none=True)[0]}


def result_turn(call: ToolCallPart, result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {"call": call.tool_call_id, "tool": call.tool_name[:80], "text": result.text}
    return {"result": {**told, "failed": True} if result.failed else told}
