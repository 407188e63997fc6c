"""An agent that speaks the Agent Client Protocol and does as its first argument says.

`library` is written with the protocol library's own agent side; all others are lines of JSON by hand, because what they
do is what no library would, and they start fast. Run as a program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SESSION = "s-1"


# -- with the library


def by_the_library() -> None:
    import asyncio

    import acp
    from acp import schema

    class Scripted:
        """Asks for all that it may and may not, and writes what it was answered into `answers.json`."""

        def on_connect(self, client: Any) -> None:
            self.client = client

        async def initialize(self, protocol_version: int, **_: Any) -> schema.InitializeResponse:
            return schema.InitializeResponse(
                protocol_version=protocol_version, agent_info=schema.Implementation(name="scripted", version="1.2")
            )

        async def new_session(self, cwd: str, **_: Any) -> schema.NewSessionResponse:
            self.folder = Path(cwd)
            return schema.NewSessionResponse(session_id=SESSION)

        async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> schema.PromptResponse:
            answers: dict[str, Any] = {"prompt": prompt[0].text, "url": os.environ.get("MODEL_URL")}
            answers["config"] = (Path.home() / ".config/agent.json").read_text()
            await self.tell(acp.update_agent_message_text("I begin.\nAnd"))
            await self.tell(acp.update_agent_message_text(" go on.\n"))
            await self.tell(acp.start_tool_call("t1", "write shelf.py", kind="edit"))
            await self.cost(0.01)
            answers["edit inside"] = await self.ask("edit", str(self.folder / "shelf.py"))
            answers["edit outside"] = await self.ask("edit", "/etc/passwd")
            answers["edit above"] = await self.ask("edit", str(self.folder / ".." / "x"))
            answers["edit protected"] = await self.ask("edit", str(self.folder / "tests/test_it.py"))
            answers["edit nothing"] = await self.ask("edit", None)
            answers["run"] = await self.ask("execute", None)
            answers["fetch"] = await self.ask("fetch", None)
            await self.client.write_text_file(
                session_id=SESSION, path=str(self.folder / "new/shelf.py"), content="a\nb\n"
            )
            read = await self.client.read_text_file(session_id=SESSION, path=str(self.folder / "new/shelf.py"), line=2)
            answers["read"] = read.content
            try:
                await self.client.read_text_file(session_id=SESSION, path=str(self.folder / "absent"))
            except acp.RequestError as absent:
                answers["absent"] = [absent.code, str(absent).partition(":")[0]]
            for name, path in (("outside", "/tmp/acp-escaped"), ("link", str(self.folder / "link/x"))):
                try:
                    await self.client.write_text_file(session_id=SESSION, path=path, content="x")
                except acp.RequestError as refused:
                    answers[f"write {name}"] = refused.code
            try:
                await self.client.create_terminal(session_id=SESSION, command="true")
            except acp.RequestError as refused:
                answers["terminal"] = refused.code
            (self.folder / "answers.json").write_text(json.dumps(answers))
            await self.cost(0.03)
            await self.tell(acp.update_agent_message_text("All is done.\nNOT BUILT: the index"))
            usage = schema.Usage(total_tokens=150, input_tokens=100, output_tokens=50, cached_read_tokens=40)
            return schema.PromptResponse(stop_reason="end_turn", usage=usage)

        async def ask(self, kind: Any, path: str | None) -> Any:
            call = schema.ToolCallUpdate(
                tool_call_id="t1",
                kind=kind,
                title="something",
                locations=[schema.ToolCallLocation(path=path)] if path else None,
            )
            options = [
                schema.PermissionOption(option_id="always", name="Always", kind="allow_always"),
                schema.PermissionOption(option_id="once", name="Once", kind="allow_once"),
                schema.PermissionOption(option_id="no", name="No", kind="reject_once"),
            ]
            answer = await self.client.request_permission(session_id=SESSION, tool_call=call, options=options)
            return getattr(answer.outcome, "option_id", None)

        async def tell(self, update: Any) -> None:
            await self.client.session_update(session_id=SESSION, update=update)

        async def cost(self, dollars: float) -> None:
            cost = schema.Cost(amount=dollars, currency="USD")
            await self.tell(schema.UsageUpdate(session_update="usage_update", used=10, size=1000, cost=cost))

        async def cancel(self, session_id: str, **_: Any) -> None: ...

    asyncio.run(acp.run_agent(Scripted()))  # type: ignore[arg-type]


# -- by hand


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def receive(method: str) -> dict[str, Any]:
    for line in sys.stdin:
        message: dict[str, Any] = json.loads(line)
        if message.get("method") == method:
            return message
    sys.exit(0)


def say(text: str) -> None:
    content = {"type": "text", "text": text}
    update = {"sessionUpdate": "agent_message_chunk", "content": content}
    send(method="session/update", params={"sessionId": SESSION, "update": update})


def until_prompt(version: int = 1) -> int:
    """The id of the prompt that is to be answered."""
    send(id=receive("initialize")["id"], result={"protocolVersion": version})
    send(id=receive("session/new")["id"], result={"sessionId": SESSION})
    return int(receive("session/prompt")["id"])


def stop(reason: str) -> None:
    """Answers with a stop reason and nothing else."""
    send(id=until_prompt(), result={"stopReason": reason})
    receive("never")


def fail(code: str, message: str) -> None:
    """Answers the prompt with an error."""
    send(id=until_prompt(), error={"code": int(code), "message": "Internal error", "data": {"details": message}})
    receive("never")


def login() -> None:
    """Wants to be logged in first."""
    send(id=receive("initialize")["id"], result={"protocolVersion": 1})
    send(id=receive("session/new")["id"], error={"code": -32000, "message": "Authentication required"})
    receive("never")


def future() -> None:
    """Speaks a version that nobody knows yet."""
    send(id=receive("initialize")["id"], result={"protocolVersion": 9})
    receive("never")


def malformed() -> None:
    """Answers with something that is no answer."""
    send(id=until_prompt(), result={"stopReason": ["end_turn"]})
    receive("never")


def silent() -> None:
    """Says nothing after the prompt, ignores TERM, and has a child that does so too, in a session of its own."""
    import signal

    prompt = until_prompt()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    leave_orphan("signal.signal(signal.SIGTERM, signal.SIG_IGN);")
    say("I will think.\n")
    receive("session/cancel")
    usage = {"totalTokens": 7, "inputTokens": 4, "outputTokens": 3}
    send(id=prompt, result={"stopReason": "cancelled", "usage": usage})
    while True:
        time.sleep(60)


def deaf() -> None:
    """Never says anything at all."""
    time.sleep(600)


def chatty() -> None:
    """Never silent, never ready."""
    until_prompt()
    while True:
        say("still here\n")
        time.sleep(0.02)


def orphan() -> None:
    """Ends well, and leaves a process behind."""
    prompt = until_prompt()
    leave_orphan()
    send(id=prompt, result={"stopReason": "end_turn"})


def leave_orphan(before: str = "") -> None:
    """Twice removed, with our pipes open; its process id is in `orphan` when it is there."""
    body = f"import os, signal, time; {before} open('orphan.new', 'w').write(str(os.getpid()));"
    body += "os.rename('orphan.new', 'orphan'); time.sleep(600)"
    subprocess.Popen([sys.executable, "-S", "-E", "-c", body], start_new_session=True)
    while not os.path.exists("orphan"):
        time.sleep(0.005)


def dies(words: str = "") -> None:
    """Ends in the middle, with words on standard error."""
    until_prompt()
    say("half a")
    print(words, file=sys.stderr, flush=True)
    os._exit(3)


def garbage() -> None:
    """Prints all sorts of things between its messages."""
    print("Welcome to the agent!\n\n{not json\n[1, 2]\n42\nnull\n" + '{"id": {}}\n{"method": 5}', flush=True)
    sys.stdout.buffer.write(b"\xff\xfe\x00\n")
    sys.stdout.buffer.flush()
    send(method="session/update", params=None)
    send(method="session/update", params={"sessionId": SESSION, "update": {"sessionUpdate": "of the future", "x": []}})
    prompt = until_prompt()
    send(id=77, result={})
    send(method="nobody/knows", params={})
    say("done")
    send(id=prompt, result={"stopReason": "end_turn", "_meta": {"quota": {"token_count": {"input_tokens": 5}}}})
    receive("never")


if __name__ == "__main__":
    known = (stop, fail, login, future, malformed, silent, deaf, chatty, orphan, dies, garbage)
    chosen = {one.__name__: one for one in known}
    if sys.argv[1] == "library":
        by_the_library()
    else:
        chosen[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
