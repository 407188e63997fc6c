"""Who asks, and what they may at this moment: read again for every call, so that a token that was revoked, has run out
or was exchanged for a narrower one counts at once."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.errors import cut
from daybreak.mcp.refusals import TokenFileExposed, TokenFileWrong, TokenNeeded
from daybreak.policy import bearer
from daybreak.policy.bearer import Bearer, Scope, ScopeMissing

if TYPE_CHECKING:
    from biscuit_auth import PublicKey

    from daybreak.clock import Clock
    from daybreak.policy.journal import Journal

VARIABLE = "DAYBREAK_TOKEN"
FILE_BYTES_MAX = 70_000
LEAST: frozenset[Scope] = frozenset({"look"})
"""Of whoever started the server and gave it no token: what anybody may see who may start programs here."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who is known, at this moment."""

    name: str
    scopes: frozenset[Scope]

    @property
    def actor(self) -> str:
        """For events."""
        return f"mcp {self.name}" if self.name else "mcp"

    @property
    def shown(self) -> str:
        return f"the token of {self.name}" if self.name else "an assistant without a token"

    def has(self, scope: Scope) -> bool:
        return scope in self.scopes

    def needs(self, scope: Scope) -> None:
        """Raises ScopeMissing."""
        if scope not in self.scopes:
            raise ScopeMissing.of(scope, self.shown)


class Credentials:
    """Where the token comes from."""

    def __init__(self, text: str | None, file: Path | None, public: PublicKey | None) -> None:
        """At most one of `text` and `file`; `public` where there is one of them."""
        self._text, self._file, self._public = text, file, public
        self._known: tuple[bytes, Bearer] | None = None

    def asker(self, journal: Journal, clock: Clock) -> Asker:
        """Whoever asks now. Raises TokenForged, TokenElsewhere, TokenExpired, TokenRevoked, TokenFileExposed,
        TokenFileWrong."""
        text = self._text if self._file is None else read_file(self._file)
        if text is None:
            return Asker("", LEAST)
        assert self._public is not None, "there is a token"
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if self._known is None or self._known[0] != digest:
            self._known = (digest, bearer.admit(text, self._public))
        found = self._known[1]
        bearer.check(found, clock.now(), journal.revoked)
        return Asker(found.name or found.label, found.scopes)


def taken_from(environment: MutableMapping[str, str], file: Path | None, *, required: bool) -> str | None:
    """The token of the environment, which programs that are started from here then no longer see. None where there is
    none, or a file is named. Raises TokenNeeded, TokenFileWrong for both at once."""
    text = environment.pop(VARIABLE, "").strip() or None
    if text is not None and file is not None:
        raise TokenFileWrong(f"{VARIABLE} and --token-file both give a token", hint="leave one of them out")
    if text is None and file is None and required:
        raise TokenNeeded("there is no token", hint=f"give one by {VARIABLE} or --token-file, never as an argument")
    return text


def read_file(path: Path) -> str:
    """The token in it. Raises TokenFileExposed, TokenFileWrong."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
        with open(handle, "rb") as file:
            _check(path, os.fstat(file.fileno()))
            text = file.read(FILE_BYTES_MAX).decode("ascii").strip()
    except (OSError, ValueError):  # what it holds must not come near a message
        raise TokenFileWrong(f"{cut(path)} cannot be read as a token", hint="name the file that holds it") from None
    if not text:
        raise TokenFileWrong(f"{cut(path)} is empty", hint="put the token into it, and nothing else")
    return text


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise TokenFileWrong(f"{cut(path)} is no ordinary file", hint="name the file that holds the token")
    if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid not in (os.geteuid(), 0)):
        raise TokenFileExposed(
            f"others may use the token in {cut(path)}", hint=f"make it your own: chmod 600 {cut(path)}"
        )
