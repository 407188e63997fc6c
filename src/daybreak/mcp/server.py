"""Starts the server: everything that can be wrong is told before the first message."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.clock import SystemClock
from daybreak.errors import UsageError, cut
from daybreak.mcp import asker as asking
from daybreak.mcp.calling import Caller
from daybreak.mcp.refusals import SdkMissing
from daybreak.report.saying import say

if TYPE_CHECKING:
    from biscuit_auth import PublicKey


class FolderWrong(UsageError):
    """What is to be opened for work is no folder."""

    code = "U361"


def check_sdk() -> None:
    """Raises SdkMissing."""
    if importlib.util.find_spec("mcp") is None or importlib.util.find_spec("mcp_types") is None:
        raise SdkMissing("the SDK of the Model Context Protocol is not installed", hint="pip install 'daybreak[mcp]'")


def caller(
    token_file: Path | None,
    folders: Sequence[Path],
    *,
    required: bool,
    environment: MutableMapping[str, str] = os.environ,
) -> Caller:
    """Who may ask, and where work may be done: below `folders`, or else below the working directory. The token is good
    at this moment. Raises TokenNeeded, TokenFileWrong, TokenFileExposed, FolderWrong, NotAllowed."""
    from daybreak import home

    text = asking.taken_from(environment, token_file, required=required)
    opened = tuple(_folder(one) for one in folders or (Path.cwd(),))
    credentials = asking.Credentials(text, token_file, _public(text, token_file))
    made = Caller(credentials, opened, SystemClock(), environment, places=home.places())
    found = made.asker()
    if not found.name:
        say("daybreak mcp: no token was given, so one can only look; `daybreak token mint --api …` makes one")
    return made


def run(caller: Caller) -> None:
    """Serve until the other side closes."""
    import anyio

    from daybreak.mcp import adapter

    anyio.run(adapter.serve, caller)


def _public(text: str | None, file: Path | None) -> PublicKey | None:
    if text is None and file is None:
        return None
    from daybreak import home
    from daybreak.config import usable_home
    from daybreak.policy import rootkey

    return rootkey.load_public(usable_home(home.places()).keys)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise FolderWrong(f"{cut(path)} is no folder", hint="name a folder that is there")
    return path.resolve()
