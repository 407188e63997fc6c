"""What a forge can do for us, and how it fails. Words of its users are data: nothing of them is obeyed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from daybreak.errors import DeliveryError, UsageError
from daybreak.policy.redaction import redact
from daybreak.settings import Forge as ForgeSettings

TIMEOUT_S = 30.0
"""For one answer of a forge."""
SAID_CHARS_MAX = 300
_PLACE = re.compile(r"[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){1,20}")


class ForgeError(DeliveryError):
    """A forge did not do what was asked. `status_code` and `headers`, where there was an answer, say how it failed to
    whoever decides about another try."""

    code = "D150"
    status_code: int | None = None
    headers: Mapping[str, str] = {}


class ForgeRefused(ForgeError):
    """It will not, however often it is asked: no right, no such repository, no such branch."""

    code = "D151"


class ForgeDown(ForgeError):
    """It could not be reached, or cannot serve anybody now."""

    code = "D152"


class PlaceUnclear(UsageError):
    """A repository on a forge is named in a way that has no meaning."""

    code = "U243"


@dataclass(frozen=True, slots=True)
class Place:
    """A repository on a forge."""

    forge: str
    """Name of one of `forges` in the settings."""
    repository: str
    """`owner/name`; on GitLab also `group/subgroup/name`."""

    def __str__(self) -> str:
        return f"{self.forge}:{self.repository}"


def place(text: str) -> Place:
    """`github:owner/name`. Raises PlaceUnclear."""
    forge, colon, repository = text.strip().partition(":")
    repository = repository.strip("/").removesuffix(".git")
    usable = colon and _PLACE.fullmatch(repository)
    if not usable or any(part.strip(".") == "" or part.startswith("-") for part in repository.split("/")):
        raise PlaceUnclear(
            f"{text!r:.120} names no repository", hint="write FORGE:OWNER/NAME, such as github:octocat/hello"
        )
    return Place(forge, repository)


@dataclass(frozen=True, slots=True)
class Issue:
    """As somebody wrote it."""

    number: int
    title: str
    text: str
    author: str
    url: str


@dataclass(frozen=True, slots=True)
class Request:
    """A pull or merge request as it stands there."""

    number: int
    url: str
    open: bool = True


class Forge(Protocol):
    """One server, as we speak to it. Everything may raise ForgeRefused and ForgeDown; nothing is tried twice inside."""

    def issues(self, repository: str, *, labels: Sequence[str], assignee: str, most: int) -> list[Issue]:
        """Open ones, the oldest first, at most `most`; with all of these labels, and of that assignee: a name, `me`
        for whoever the key belongs to, empty for anybody."""
        ...

    def request_of(self, repository: str, branch: str) -> Request | None:
        """The request whose head is this branch; an open one before others."""
        ...

    def offer(self, repository: str, *, branch: str, into: str, title: str, text: str) -> Request:
        """Make a request; `into` empty: the branch that is the usual one there."""
        ...


def failed(
    what: str, name: str, status: int | None, said: object, headers: Mapping[str, str] | None = None, *, key: str = ""
) -> ForgeError:
    """The error for an answer with that status, or for none."""
    words = without_key(" ".join(str(said).split()), key)[:SAID_CHARS_MAX]
    told = {str(one).lower(): str(value) for one, value in (headers or {}).items()}
    limited = status == 429 or (
        status == 403 and ("retry-after" in told or told.get("x-ratelimit-remaining") == "0" or "rate limit" in words)
    )
    down = status is None or limited or status >= 500
    error: ForgeError
    if down:
        error = ForgeDown(
            f"{what}: forge {name} {'has had enough of us for now' if limited else 'cannot be reached'}: {words}",
            hint="it is tried again; `daybreak status` shows what waits, and until when",
        )
    else:
        error = ForgeRefused(f"{what}: forge {name} says {status}: {words}", hint=_HINTS.get(status or 0, _HINT))
    error.status_code = 503 if limited else status
    # GitHub sends the time of its next reset with every answer; it matters only where the limit was reached.
    error.headers = told if limited else {}
    return error


_HINT = "see what it says; the branch is in your repository all the same"
_HINTS = {
    401: "the key of this forge is wrong or has ended: make another one, put it where daybreak.toml names it",
    403: "the key of this forge may not do that: give it the right to read issues, push, and make requests",
    404: "look at the name; a key that may not see a repository is told that there is none",
    422: "see what it says: is the branch that it goes into there, and is there anything new?",
}


def without_key(text: str, key: str) -> str:
    """The text without the key itself, and without whatever else looks like a secret."""
    return redact(text.replace(key, "[key]") if key else text).text


def host_of(settings: ForgeSettings) -> str:
    """`name:port` of its API."""
    return _host(settings.api)


def git_address(settings: ForgeSettings) -> str:
    """Where it keeps repositories, as git reaches them: an address without a slash at the end."""
    parts = urlsplit(settings.api)
    if settings.kind == "gitlab":
        return settings.api
    host = parts.netloc.removeprefix("api.") if not parts.path else parts.netloc
    return f"{parts.scheme}://{host}"


def git_host(settings: ForgeSettings) -> str:
    """`name:port` of that."""
    return _host(git_address(settings))


def _host(address: str) -> str:
    parts = urlsplit(address)
    assert parts.hostname is not None, "the settings were checked"
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{name}:{parts.port or (80 if parts.scheme == 'http' else 443)}"
