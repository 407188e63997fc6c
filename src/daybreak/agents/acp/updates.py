"""An agent's updates as notes and usage. Read from plain JSON: an update that we do not know is no error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from daybreak.agents.protocol import Note, Told, Usage

NOTE_CHARS_MAX = 2_000
MESSAGE_CHARS_MAX = 20_000
_TOKENS_MAX = 2**53 - 1


class Updates:
    """What a session has told so far. Words come in pieces and are noted a line at a time."""

    def __init__(self) -> None:
        self.message = ""
        """What the agent said since it last did something: at the end, its last words."""
        self.acted = False
        """It has used a tool."""
        self._line = ""
        self._money_microusd = 0

    def take(self, update: object) -> Iterator[Told]:
        """Take in the `update` of one `session/update`."""
        if not isinstance(update, Mapping):
            return
        kind = update.get("sessionUpdate")
        if kind == "agent_message_chunk":
            yield from self._say(_text(update.get("content")))
        elif kind == "tool_call":
            yield from self.flush()
            self.message, self.acted = "", True
            yield _note(f"{update.get('kind') or 'tool'}: {update.get('title') or update.get('toolCallId')}")
        elif kind == "tool_call_update" and update.get("status") == "failed":
            yield from self.flush()
            yield _note(f"failed: {update.get('title') or update.get('toolCallId')}")
        elif kind == "plan":
            yield from self._plan(update.get("entries"))
        elif kind == "usage_update":
            yield from self._cost(update.get("cost"))

    def flush(self) -> Iterator[Note]:
        """What is left of an unfinished line."""
        line, self._line = self._line, ""
        if line.strip():
            yield _note(line)

    def _say(self, text: str) -> Iterator[Note]:
        self.message = (self.message + text)[-MESSAGE_CHARS_MAX:]
        *lines, self._line = (self._line + text).split("\n")
        if len(self._line) > NOTE_CHARS_MAX:
            lines, self._line = [*lines, self._line], ""
        for line in lines:
            if line.strip():
                yield _note(line)

    def _plan(self, entries: object) -> Iterator[Note]:
        if not isinstance(entries, list) or not entries:
            return
        steps = [one for one in entries if isinstance(one, Mapping)]
        done = sum(one.get("status") == "completed" for one in steps)
        now = next((str(one.get("content")) for one in steps if one.get("status") == "in_progress"), "")
        yield _note(f"plan: {done} of {len(steps)} done" + (f", now {now}" if now else ""), done / len(entries))

    def _cost(self, cost: object) -> Iterator[Usage]:
        """The cost is that of the whole session: only what came on top is told. Other currencies are nobody's here."""
        if not isinstance(cost, Mapping) or str(cost.get("currency", "USD")).upper() != "USD":
            return
        amount = cost.get("amount")
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < 1e9:
            return
        new = round(amount * 1_000_000)
        if new > self._money_microusd:
            yield Usage(money_microusd=new - self._money_microusd)
            self._money_microusd = new


def usage(told: Mapping[str, Any] | None, meta: Mapping[str, Any] | None) -> Usage | None:
    """The tokens of the one prompt of a session: `usage` of the answer, or what Gemini puts into `_meta`.

    Agents differ in whether input has the cached part in it; the total tells them apart. None: nothing is known."""
    if told:
        read, written = _count(told, "cachedReadTokens"), _count(told, "cachedWriteTokens")
        into, out = _count(told, "inputTokens"), _count(told, "outputTokens")
        thought, total = _count(told, "thoughtTokens"), _count(told, "totalTokens")
        if total >= into + out + read + written:
            into += read + written
        if total >= into + out + thought:
            out += thought
        return Usage(input_tokens=into, cached_tokens=min(read, into), output_tokens=out)
    quota = (meta or {}).get("quota")
    counts = quota.get("token_count") if isinstance(quota, Mapping) else None
    if isinstance(counts, Mapping):
        return Usage(input_tokens=_count(counts, "input_tokens"), output_tokens=_count(counts, "output_tokens"))
    return None


def _count(told: Mapping[str, Any], key: str) -> int:
    value = told.get(key)
    return min(value, _TOKENS_MAX) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _text(content: object) -> str:
    if isinstance(content, Mapping) and isinstance(text := content.get("text"), str):
        return text
    return ""


def _note(text: str, fraction: float | None = None) -> Note:
    return Note(text=text.strip()[:NOTE_CHARS_MAX], fraction=fraction)
