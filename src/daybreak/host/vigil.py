"""What keeps a night going, and tells others that it goes on: the machine is kept awake, and an address is pinged.

Both are best effort and say so: whether the machine is kept awake is to be seen on the value, and a ping that fails is
an error for the caller to note.
"""

from __future__ import annotations

import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import DaybreakError, HostError, UsageError

PING_S = 10.0
"""A ping that takes longer has failed."""
HELD_S = 5.0
"""How long the system gets to say that it will stay awake."""
_HELD = b"held"
_URL_MAX = 2000
_INHIBITORS = {
    "linux": ("systemd-inhibit", "--what=idle:sleep", "--who=daybreak", "--mode=block"),
    "darwin": ("caffeinate", "-i", "-s"),
}


class PingUnusable(UsageError):
    """An address that cannot be pinged."""

    code = "U181"


class PingFailed(HostError):
    """The address did not answer that all is well."""

    code = "H252"


@dataclass(frozen=True, slots=True)
class Awake:
    """Is the machine kept from falling asleep?"""

    held: bool
    how: str
    """By what; or why not."""


@contextmanager
def awake(why: str) -> Iterator[Awake]:
    """Keep the machine awake within the block, where it can be done. Raises nothing of its own."""
    command = _INHIBITORS.get(sys.platform)
    if command is None:
        yield Awake(False, f"nothing here keeps {sys.platform} awake")
        return
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="daybreak-awake-")))
        said = (f"--why={why}",) if sys.platform == "linux" else ()
        program = (*command, *said, "/bin/sh", "-c", f"echo {_HELD.decode()}; exec sleep 2147483647")
        try:
            stack.enter_context(_Holding(program, scratch))
        except DaybreakError as problem:
            last = getattr(problem, "output", b"").decode(errors="replace").strip().splitlines()[-1:]
            state = Awake(False, f"{command[0]}: {last[0][:200] if last else problem.message[:200]}")
        else:
            state = Awake(True, command[0])
        yield state


class _Holding:
    """The inhibitor while it holds; that it ends by itself is no error of the block."""

    def __init__(self, program: tuple[str, ...], scratch: Path) -> None:
        from daybreak.host.program import clean_environment
        from daybreak.host.server import Server

        self._server: Server = Server(
            program,
            cwd=scratch,
            env=clean_environment(scratch),
            ready=lambda: _HELD in self._server.output,
            ready_s=HELD_S,
            timeout_s=14 * 86400.0,
            grace_s=0.5,
        )

    def __enter__(self) -> None:
        self._server.__enter__()

    def __exit__(self, *error: object) -> None:
        try:
            self._server.__exit__(None, None, None)
        except HostError:
            return  # it is gone either way, and the night has ended


def check_url(url: str) -> str:
    """The address, if it can be pinged. Raises PingUnusable."""
    try:
        parts = urllib.parse.urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or len(url) > _URL_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise PingUnusable(f"{url!r:.80} cannot be pinged", hint="give an address such as https://hc-ping.com/your-id")
    return url


def ping(url: str, *, timeout_s: float = PING_S) -> None:
    """GET that address and no other: where it sends one elsewhere, nobody goes there. Blocks.

    Raises PingUnusable, and PingFailed where no answer came or none with a status of 200 to 299."""
    import http.client
    import urllib.error
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object, **__: object) -> None:
            return None

    request = urllib.request.Request(check_url(url), headers={"User-Agent": "daybreak"})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=timeout_s) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as problem:
        problem.close()
        raise PingFailed(f"{_host(url)} answered {problem.code}", hint="check the address of the ping") from problem
    except (OSError, http.client.HTTPException, ValueError) as problem:
        why = f"{type(problem).__name__}: {problem}"[:200]
        raise PingFailed(f"{_host(url)} did not answer: {why}", hint="check the network and the address") from problem


def _host(url: str) -> str:
    """Without the path, which is a secret for many services."""
    return urllib.parse.urlsplit(url).hostname or "the address"
