"""One conversation with an agent: hello, session, prompt, answer; with a clock on its silence and on all of it.

Everything is in one event loop that runs only while somebody waits for the next item (see `agent`). At the end the
agent is asked to stop (`session/cancel`) where it still works, and then its guard ends it and all that it started.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from daybreak.agents import prompt
from daybreak.agents.acp import trouble, updates
from daybreak.agents.acp.confined import Confined
from daybreak.agents.acp.lines import LINE_BYTES_MAX, Lines
from daybreak.agents.acp.pipes import Pipes
from daybreak.agents.command.trouble import declines
from daybreak.agents.protocol import Claim, ClaimOutcome, Note, Told, Trouble
from daybreak.errors import HostError
from daybreak.version import __version__

if TYPE_CHECKING:
    from acp.client.connection import ClientSideConnection

PROTOCOL = 1
CANCEL_S = 1.0
"""How long an agent has to answer `session/cancel`, and to say what it used."""
_LATER_S = 60.0
"""The guard's own clock is behind ours: it is for the day that we are stopped."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a conversation needs."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    workspace: Path
    prompt: str
    files: Confined
    network: bool = False
    own_files: bool = False
    """It reads and writes files itself, as far as the sandbox lets it; we announce none."""
    authenticate: str = ""
    """The id of the way of logging in that the agent is to use; empty: none."""
    mode: str = ""
    """The id of the session's mode; empty: the agent's own."""
    config: Mapping[str, str | bool] | None = None
    """Options of the session."""
    time_s: float = 3600.0
    silence_s: float = 300.0


class Conversation:
    """Use once: `told`. Nothing of the agent runs when it has ended, however it ended."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._updates = updates.Updates()
        self._items: asyncio.Queue[Told] = asyncio.Queue()
        self._heard = time.monotonic()
        self._ends = self._heard + plan.time_s
        self._session = ""

    async def told(self) -> AsyncGenerator[Told]:
        """Notes and usage as they come; the last is the claim."""
        plan = self._plan
        try:
            pipes = await Pipes.start(
                plan.argv,
                cwd=plan.workspace,
                env=plan.environment,
                time_s=plan.time_s + _LATER_S,
                line_bytes_max=LINE_BYTES_MAX,
            )
        except HostError as problem:
            yield _claim("unavailable", f"{problem.message}; {problem.hint}")
            return
        ended = False
        try:
            lines = Lines(pipes.reader, pipes.writer, update=self._take, heard=self._hear)
            connection = self._connect(lines)
            try:
                claim = None
                async with aclosing(self._watched(connection)) as items:
                    async for item in items:
                        if isinstance(item, Claim):
                            claim = item
                            break
                        yield item
            finally:
                await connection.close()
            ended = True
            assert claim is not None, "the last item of a watched conversation is its claim"
            try:
                claim = _with_ending(claim, (await pipes.end()).ending, pipes.errors())
            except HostError as problem:  # that it never started is known only now
                claim = _claim("unavailable", f"{problem.message}; {problem.hint}")
            if lines.garbage:
                yield Note(text=f"{lines.garbage} lines on its standard output were no messages")
            yield claim
        finally:
            if not ended:
                await pipes.end()

    def _connect(self, lines: Lines) -> ClientSideConnection:
        from acp import connect_to_agent

        from daybreak.agents.acp.client import Client

        client = Client(self._plan.files, network=self._plan.network, note=self._items.put_nowait)
        return connect_to_agent(cast(Any, client), lines)

    def _hear(self) -> None:
        self._heard = time.monotonic()

    def _take(self, update: object) -> None:
        for item in self._updates.take(update):
            self._items.put_nowait(item)

    # -- the clock

    async def _watched(self, connection: ClientSideConnection) -> AsyncGenerator[Told]:
        talk = asyncio.create_task(self._talk(connection))
        talk.add_done_callback(lambda done: self._items.put_nowait(_result(done)))
        try:
            while True:
                left_s = min(self._ends, self._heard + self._plan.silence_s) - time.monotonic()
                if left_s <= 0 and self._items.empty():
                    break
                try:
                    item = await asyncio.wait_for(self._items.get(), max(left_s, 0.001))
                except TimeoutError:
                    continue
                yield item
                if isinstance(item, Claim):
                    return
            claim = self._too_late()
            await self._cancel(connection, talk)
            while not self._items.empty():
                if not isinstance(item := self._items.get_nowait(), Claim):
                    yield item
            yield claim
        finally:
            talk.cancel()
            await asyncio.wait([talk])

    def _too_late(self) -> Claim:
        if time.monotonic() >= self._ends:
            return _claim("budget", f"its time was over after {self._plan.time_s:g} s", outcome="partial")
        return _claim("stalled", f"it said nothing for {self._plan.silence_s:g} s")

    async def _cancel(self, connection: ClientSideConnection, talk: asyncio.Task[Claim]) -> None:
        """Ask it to stop; what it used comes with its answer. An agent that does not even read is not waited for."""
        if not self._session:
            return
        sent = asyncio.create_task(connection.cancel(session_id=self._session))
        await asyncio.wait([sent], timeout=CANCEL_S)
        if not sent.done():
            sent.cancel()
        elif sent.exception() is None:
            await asyncio.wait([talk], timeout=CANCEL_S)

    # -- the talk

    async def _talk(self, connection: ClientSideConnection) -> Claim:
        from acp import RequestError
        from pydantic import ValidationError

        try:
            problem = await self._begin(connection)
            return problem or await self._ask(connection)
        except RequestError as refused:
            message = _details(refused)
            found = trouble.of_error(refused.code, message)
            return _claim(found.kind, f"it answered with an error: {message}", until=found.until)
        except ValidationError as wrong:
            first = wrong.errors()[0]
            where = ".".join(map(str, first["loc"]))
            return _claim("crashed", f"it does not keep to the protocol: {wrong.title} {where}: {first['msg']}")
        except (ConnectionError, OSError):
            return _claim("crashed", "it ended in the middle of the conversation")

    async def _begin(self, connection: ClientSideConnection) -> Claim | None:
        from acp.schema import ClientCapabilities, FileSystemCapabilities, Implementation

        plan = self._plan
        hello = await connection.initialize(
            protocol_version=PROTOCOL,
            client_capabilities=ClientCapabilities(
                fs=FileSystemCapabilities(read_text_file=not plan.own_files, write_text_file=not plan.own_files),
                terminal=False,
            ),
            client_info=Implementation(name="daybreak", version=__version__),
        )
        if hello.protocol_version != PROTOCOL:
            told = hello.protocol_version
            return _claim("unavailable", f"it speaks version {told} of the protocol, and we speak {PROTOCOL}")
        if hello.agent_info is not None:
            self._items.put_nowait(Note(text=f"{hello.agent_info.name} {hello.agent_info.version}"[:200]))
        if plan.authenticate:
            await connection.authenticate(method_id=plan.authenticate)
        session = await connection.new_session(cwd=str(plan.workspace), mcp_servers=[])
        if plan.mode:
            await connection.set_session_mode(mode_id=plan.mode, session_id=session.session_id)
        for name, value in (plan.config or {}).items():
            await connection.set_config_option(config_id=name, session_id=session.session_id, value=value)
        self._session = session.session_id
        return None

    async def _ask(self, connection: ClientSideConnection) -> Claim:
        from acp import text_block

        answer = await connection.prompt(session_id=self._session, prompt=[text_block(self._plan.prompt)])
        for note in self._updates.flush():
            self._items.put_nowait(note)
        told = answer.usage.model_dump(by_alias=True) if answer.usage is not None else None
        if (used := updates.usage(told, answer.field_meta)) is not None:
            self._items.put_nowait(used)
        return self._summed_up(*trouble.of_stop(answer.stop_reason))

    def _summed_up(self, outcome: ClaimOutcome, why: Trouble, sentence: str) -> Claim:
        message = self._updates.message.strip()
        if outcome == "finished" and not self._updates.acted and declines(message):
            outcome, why, sentence = "refused", "refused", "it refused"
        return Claim(
            outcome=outcome,
            summary=": ".join(part for part in (sentence, message[-updates.NOTE_CHARS_MAX :]) if part),
            not_built=prompt.not_built(message),
            trouble=why,
        )


def _result(talk: asyncio.Task[Claim]) -> Claim:
    """What a talk came to. A fault of ours is told as one and not as the agent's."""
    if talk.cancelled():
        return _claim("crashed", "it was broken off")
    if (error := talk.exception()) is not None:
        return _claim("crashed", f"a fault of Daybreak: {type(error).__name__}: {error}"[:500])
    return talk.result()


def _claim(why: Trouble, summary: str, *, outcome: ClaimOutcome = "crashed", until: str = "") -> Claim:
    outcome = "refused" if why == "refused" else outcome
    return Claim(outcome=outcome, summary=summary[: updates.NOTE_CHARS_MAX], trouble=why, until=until)


def _with_ending(claim: Claim, ending: str, errors: str) -> Claim:
    """What is known about a crash: how the program ended, and the last that it said. A crash with the words of a
    provider's trouble in them is that trouble: agents do print a 401 and exit."""
    if claim.trouble != "crashed":
        return claim
    last = " ".join(errors.splitlines()[-3:])[-500:]
    summary = f"{claim.summary}; {ending}" + (f"; it said: {last}" if last else "")
    found = trouble.of_error(0, last)
    return msgspec.structs.replace(claim, summary=summary, trouble=found.kind, until=found.until)


def _details(error: Any) -> str:
    """The message of an error and what its data say in words."""
    parts = [str(error)]
    if isinstance(error.data, str):
        parts.append(error.data)
    elif isinstance(error.data, Mapping):
        parts += [str(one) for one in error.data.values() if isinstance(one, str | int)]
    return ": ".join(part for part in parts if part)[:1_000]
