"""What a turn means, before an API puts it in its own form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from daybreak.agents.protocol import Usage
from daybreak.testing.agent import ScriptWrong
from daybreak.testing.modelserver.asking import Content, Request
from daybreak.testing.modelserver.turns import (
    BadCall,
    Call,
    Dropped,
    Failing,
    FalseDone,
    Html,
    Injection,
    Part,
    Refuse,
    Say,
    Slow,
    Speech,
    Stalled,
    Told,
    Truncated,
)

Stop = Literal["end", "tools", "length", "filter", "sequence", "refusal", "malformed"]


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Refusal:
    text: str


@dataclass(frozen=True)
class Invocation:
    id: str
    tool: str
    raw: str
    """The arguments as text; for a tool with free text, that."""
    arguments: dict[str, Any] | None
    """None where `raw` is no JSON object."""


@dataclass(frozen=True)
class Answer:
    """One answer of the model."""

    pieces: tuple[Text | Refusal | Invocation, ...]
    stop: Stop
    usage: Usage | None
    """None: not told."""

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces if isinstance(piece, Text))

    @property
    def refusal(self) -> str | None:
        found = [piece.text for piece in self.pieces if isinstance(piece, Refusal)]
        return "".join(found) if found else None

    @property
    def calls(self) -> tuple[Invocation, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Invocation))


@dataclass(frozen=True)
class Failure:
    """An error in an API's own form."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def check(turn: Any, *, speech: bool = False) -> None:
    """Raises ScriptWrong where `turn` is no turn; with `speech`, where it is one that says nothing."""
    match turn:
        case Slow(turn=inner) | Dropped(turn=inner) | Stalled(turn=inner) if not speech:
            check(inner, speech=True)
        case Injection(obeyed=obeyed, until=until) if not speech:
            check(obeyed)
            check(until)
        case _ if isinstance(turn, Failing | Html) and not speech:
            return
        case list() | tuple():
            if not turn:
                raise ScriptWrong("an empty list is no turn", hint='a model that says nothing is Say("")')
            for part in turn:
                if not isinstance(part, Part):
                    raise _unsayable(part)
        case _ if not isinstance(turn, Speech):
            raise _unsayable(turn)


def _unsayable(said: Any) -> ScriptWrong:
    return ScriptWrong(
        f"a model cannot say {said!r:.80} here", hint="see the turns in daybreak.testing.modelserver.turns"
    )


def answer(turn: Any, request: Request) -> Answer:
    """What `turn`, which `check` has let pass as speech, says to `request`."""
    parts = turn if isinstance(turn, list | tuple) else [turn]
    cut: Stop | None = None
    pieces: list[Text | Refusal | Invocation] = []
    stop: Stop = "end"
    usage: Told = None
    for part in parts:
        usage = getattr(part, "usage", None) or usage
        match part:
            case Say(text=text, stop=why):
                pieces.append(Text(text))
                cut = cut if why == "end" else why
            case FalseDone(text=text):
                pieces.append(Text(text))
            case Refuse(text=text):
                pieces.append(Refusal(text))
                cut = "refusal"
            case Call() | BadCall():
                pieces.append(_invocation(part, f"call_{request.number}_{len(pieces)}"))
                stop = "tools"
            case Truncated(text=text, call=call):
                pieces += [Text(text)] if text else []
                pieces += [_invocation(call, f"call_{request.number}_{len(pieces)}")] if call else []
                cut = "length"
    reckoned = _estimate(pieces, request.content) if usage is None else usage
    return Answer(tuple(pieces), cut or stop, None if reckoned == "omitted" else reckoned)


def _invocation(call: Call | BadCall, made_id: str) -> Invocation:
    raw = call.arguments if isinstance(call.arguments, str) else json.dumps(dict(call.arguments), ensure_ascii=False)
    try:
        read = json.loads(raw)
    except ValueError:
        read = None
    return Invocation(call.id or made_id, call.tool, raw, read if isinstance(read, dict) else None)


def tokens(text: str) -> int:
    """An estimate: a token for each four characters begun."""
    return -(-len(text) // 4)


def input_tokens(content: Content) -> int:
    """An estimate of what was asked, without the descriptions of tools."""
    said = sum(tokens(message.text) for message in content.messages)
    called = sum(tokens(json.dumps(call.arguments)) + 4 for message in content.messages for call in message.calls)
    return said + called + 4 * len(content.messages) + 8 * len(content.tools)


def _estimate(pieces: list[Text | Refusal | Invocation], content: Content) -> Usage:
    out = sum(tokens(piece.raw) + 4 if isinstance(piece, Invocation) else tokens(piece.text) for piece in pieces)
    return Usage(requests=1, input_tokens=input_tokens(content), output_tokens=max(1, out))


def chunks(text: str, chars: int = 12) -> list[str]:
    """`text` in pieces; never in none."""
    return [text[at : at + chars] for at in range(0, len(text), chars)] or [""]
