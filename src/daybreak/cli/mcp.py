"""`daybreak mcp`: other assistants use this home, as far as a token lets them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from daybreak.cli import arguments

EXAMPLES = (
    'What an assistant\'s configuration needs:  {"mcpServers": {"daybreak": {"command": "daybreak", "args": ["mcp", '
    '"--folder", "/home/me/shop"], "env": {"DAYBREAK_TOKEN": "dbt1..."}}}}\n\n'
    "Make the token:  daybreak token mint --api look,hand-over,answer --for 12h --name assistant\n\n"
    "Examples:  daybreak mcp --token-file ~/.config/daybreak/assistant.token    daybreak mcp --require-token"
)


def mcp(
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="The file that holds the token, for your eyes only (mode 0600); read again at every call.",
            show_default="the variable DAYBREAK_TOKEN",
            parser=arguments.path,
        ),
    ] = None,
    require_token: Annotated[
        bool, typer.Option("--require-token", help="Refuse to start where there is none, instead of only looking.")
    ] = False,
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Work that is handed over may be done below this folder only. Repeatable; paths count from the first.",
            show_default="the working directory",
            parser=arguments.path,
        ),
    ] = None,
) -> None:
    """Serve this home to another assistant over standard input and output (Model Context Protocol).

    An assistant starts it; what it may do is what its token allows: look, evidence, hand-over, steer, answer, verdict
    and so on. Without a token it can look, and nothing else. A token that is revoked, has run out or is exchanged for
    a narrower one counts at the next call.
    """
    from daybreak.mcp import server

    server.check_sdk()
    server.run(server.caller(token_file, folder or (), required=require_token))
