"""What an agent may ask of us: permission, and files of its workspace. Everything is answered at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from acp import RequestError
from acp.schema import (
    AllowedOutcome,
    DeniedOutcome,
    PermissionOption,
    ReadTextFileResponse,
    RequestPermissionResponse,
    ToolCallUpdate,
    WriteTextFileResponse,
)

from daybreak.agents.acp import permission
from daybreak.agents.acp.confined import Confined, FileAbsent
from daybreak.agents.protocol import Note
from daybreak.errors import WorkerError


class Client:
    """Our side of the protocol. `note` is told of every refusal."""

    def __init__(self, files: Confined, *, network: bool, note: Callable[[Note], None]) -> None:
        self._files, self._network, self._note = files, network, note

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption], **_: Any
    ) -> RequestPermissionResponse:
        decision = permission.decide(tool_call, self._files, network=self._network)
        chosen = permission.option(options, decision)
        if not permission.is_yes(options, chosen):
            why = decision.why if not decision.allowed else f"{decision.why}, but there is no yes that holds only once"
            self._note(Note(text=f"permission refused: {why}"))
        outcome = (
            DeniedOutcome(outcome="cancelled")
            if chosen is None
            else AllowedOutcome(outcome="selected", option_id=chosen)
        )
        return RequestPermissionResponse(outcome=outcome)

    async def read_text_file(
        self, session_id: str, path: str, line: int | None = None, limit: int | None = None, **_: Any
    ) -> ReadTextFileResponse:
        try:
            return ReadTextFileResponse(content=self._files.read(path, line, limit))
        except FileAbsent as problem:  # no refusal: in the words by which agents know that they may make it
            raise RequestError(-32002, f"Resource not found: {problem.message}", {"uri": path}) from problem
        except WorkerError as problem:
            self._refuse("read", problem)

    async def write_text_file(self, session_id: str, path: str, content: str, **_: Any) -> WriteTextFileResponse:
        try:
            self._files.write(path, content)
        except WorkerError as problem:
            self._refuse("write", problem)
        return WriteTextFileResponse()

    async def create_terminal(self, session_id: str, command: str, **_: Any) -> NoReturn:
        """Not announced. Without this the library would answer with null, as if there were one."""
        raise RequestError.method_not_found("terminal/create")

    def _refuse(self, what: str, problem: WorkerError) -> NoReturn:
        self._note(Note(text=f"{what} refused: {problem.message}"))
        raise RequestError(-32602, problem.message, {"hint": problem.hint})
