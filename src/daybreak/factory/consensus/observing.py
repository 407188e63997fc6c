"""Asking one installed program one probe, in the sandbox, and writing down what it does.

A pure function of workspace and probe as far as the program is one itself: each observation can be a step of its own,
kept by (workspace, probe), in any order, on any machine.
"""

from __future__ import annotations

import http.client
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

from daybreak.checks import sandboxed, transcripts
from daybreak.checks.examples import console
from daybreak.checks.examples.serving import serving
from daybreak.checks.examples.transcript import Command
from daybreak.checks.product import Product
from daybreak.clock import Clock, SystemClock
from daybreak.errors import CheckError
from daybreak.factory.consensus.model import Ask, Observation, Probe
from daybreak.factory.consensus.normal import Normal, kind_of, token_in
from daybreak.host.process import ServerNotReady
from daybreak.host.sandbox import Strength

READY_S = 60.0
ANSWER_S = 30.0
"""Without a byte for so long, an answer is none, and the conversation is over. Long, since a slow machine must not look
like another behaviour."""
BODY_BYTES_MAX = 1_000_000
ANSWER_CHARS_MAX = 20_000
_BETWEEN = "\x1e"
_NO_ANSWER, _TOO_LATE = "no answer", "no answer in time"


class NotObserved(CheckError):
    """Looking at a candidate was interrupted, so what was seen says nothing."""

    code = "C181"


def observe(
    product: Product | None,
    probe: Probe,
    scratch: Path,
    *,
    candidate: str,
    workspace: str,
    serve: str,
    prefix: str = "",
    require: Strength = sandboxed.WANTED,
    timeout_s: float = 300,
    asked: int = 1,
    clock: Clock | None = None,
    cancelled: threading.Event | None = None,
) -> Observation:
    """Put the probe to a program, in fresh folders below `scratch`. `product` is None where it could not be installed.

    `serve` is the shell command that starts a server, with `{port}` in it. Raises NotObserved where it was cancelled,
    and HostError where this machine cannot run it: neither is an observation.
    """
    clock = clock or SystemClock()
    answers: list[str] = []
    silent = ""
    if product is None:
        silent = "it could not be installed"
    else:
        folder = Path(tempfile.mkdtemp(prefix=f"probe-{probe.id}-", dir=scratch.resolve()))
        began = clock.now()
        if probe.face == "console":
            told, silent = _console(product, probe, folder, require, timeout_s, cancelled)
        else:
            told, silent = _http(product, probe, folder, serve, prefix, require, timeout_s, cancelled)
        normal = Normal(probe, began, clock.now())
        answers = [_answer(normal, ask, one) for ask, one in zip(probe.asks, told, strict=False)]
    if cancelled is not None and cancelled.is_set():
        raise NotObserved(f"probe {probe.id} of {candidate} was cancelled", hint="ask it again")
    return Observation(
        candidate=candidate,
        workspace=workspace,
        probe=probe.id,
        answers=tuple(answers),
        silent=silent,
        asked=asked,
    )


_Told = tuple[str, list[tuple[str, str]], str]
"""How it ended (exit status, status), headers, what was said."""


def _answer(normal: Normal, ask: Ask, told: _Told) -> str:
    status, headers, said = told
    if status in (_NO_ANSWER, _TOO_LATE):
        return status
    if not ask.exact:
        return status if status.startswith("exit") else f"{status}, {kind_of(said)}"
    if status.startswith("exit"):
        return transcripts.cut(f"{status}\n{normal.text(said)}".rstrip("\n"), ANSWER_CHARS_MAX)
    body = normal.body(said, refusal=status >= "400")
    return transcripts.cut("\n".join([status, *normal.headers(headers), body]).rstrip("\n"), ANSWER_CHARS_MAX)


# -- console


def _console(
    product: Product,
    probe: Probe,
    folder: Path,
    require: Strength,
    timeout_s: float,
    cancelled: threading.Event | None,
) -> tuple[list[_Told], str]:
    commands = [Command(_with_errors_apart(ask.line), number) for number, ask in enumerate(probe.asks)]
    ran, _ = console.run(commands, folder, product, require=require, timeout_s=timeout_s, cancelled=cancelled)
    told: list[_Told] = []
    for one in ran:
        status = _NO_ANSWER if one.exit_code is None else f"exit {one.exit_code}"
        told.append((status, [], "\n".join(one.printed)))
    return told, ""


def _with_errors_apart(line: str) -> str:
    """The command, then a mark, then what it wrote to standard error, so that the two are told apart."""
    return (
        f'{{ {line}\n}} 2>"$TMPDIR/errors"; __said=$?; printf \'{_BETWEEN}\\n\'; cat "$TMPDIR/errors"; (exit "$__said")'
    )


# -- http


def _http(
    product: Product,
    probe: Probe,
    folder: Path,
    serve: str,
    prefix: str,
    require: Strength,
    timeout_s: float,
    cancelled: threading.Event | None,
) -> tuple[list[_Told], str]:
    told: list[_Told] = []
    tokens: dict[str, str] = {}
    deadline = time.monotonic() + timeout_s
    try:
        with serving(
            *(serve, product, folder),
            prefix=prefix,
            require=require,
            ready_s=READY_S,
            timeout_s=timeout_s + READY_S,
            cancelled=cancelled,
        ) as (server, port):
            for ask in probe.asks:
                if not server.running or time.monotonic() > deadline:
                    break
                told.append(_send(ask, port, tokens.get(ask.bearer)))
                if ask.keeps and (token := token_in(told[-1][2])) is not None:
                    tokens[ask.keeps] = token
                if told[-1][0] == _TOO_LATE:
                    break
    except ServerNotReady as error:
        return [], f"its server {'ended' if error.ended else 'did not answer'} before it was ready"
    return told, ""


def _send(ask: Ask, port: int, token: str | None) -> _Told:
    method, _, target = ask.line.partition(" ")
    headers = {"Content-Type": ask.media or "application/json"} if ask.body else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        target = quote(target, safe="/?&=%:,+-._~*")
        connection.request(method, target, body=ask.body.encode() if ask.body else None, headers=headers)
        response = connection.getresponse()
        body = response.read(BODY_BYTES_MAX)
        return str(response.status), response.getheaders(), body.decode("utf-8", "backslashreplace")
    except TimeoutError:
        return _TOO_LATE, [], ""
    except (OSError, http.client.HTTPException, ValueError):
        return _NO_ANSWER, [], ""
    finally:
        connection.close()
