"""Messages of an agent as lines on its pipes; whatever else it prints is counted and left alone.

The library's own transport ends the conversation at the first line that is JSON but no object, and logs a traceback
for each that is no JSON; agents do print banners and warnings on their standard output.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

LINE_BYTES_MAX = 32 * 1024 * 1024
UPDATE = "session/update"


class Lines:
    """A transport of the protocol's library. `update` is called with the `update` of each `session/update`, in the
    order of the lines; requests and answers go to the library, other notifications nowhere. `heard` is called for
    each message."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        update: Callable[[object], None],
        heard: Callable[[], None],
    ) -> None:
        self._reader, self._writer, self._update, self._heard = reader, writer, update, heard
        self.garbage = 0
        """Lines that were no messages."""

    async def send(self, message: dict[str, Any]) -> None:
        """Raises ConnectionError where the agent no longer listens."""
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        await self._writer.drain()

    async def receive(self) -> dict[str, Any] | None:
        """The next message for the library; None at the end."""
        while (line := await self._line()) is not None:
            message = _message(line)
            if message is None:
                self.garbage += bool(line.strip())
                continue
            self._heard()
            if "id" in message:
                return message
            if message["method"] != UPDATE:
                continue  # of a later version of the protocol, or the agent's own
            params = message.get("params")
            if isinstance(params, Mapping):
                self._update(params.get("update"))
        return None

    async def close(self) -> None:
        self._writer.close()

    async def _line(self) -> bytes | None:
        """The next line; empty for one that is too long, which is dropped; None at the end."""
        dropped = False
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError as over:
                await self._reader.readexactly(over.consumed)
                dropped = True
            except asyncio.IncompleteReadError as end:
                return end.partial or None
            except OSError:
                return None
            else:
                if dropped:
                    self.garbage += 1
                return b"" if dropped else line


def _message(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("method", ""), str):
        return None
    if "method" in message:
        return message if isinstance(message.get("id", 0), int | str) else None
    return message if isinstance(message.get("id"), int) else None
