"""What a token allows (`Grant`), and the tiers that bound it.

A tier says which acts an attempt may have at all, and for how long; the task then names the folders, programs and
hosts. Tiers are data: a row here is the whole truth about one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import PurePath

from daybreak.policy import naming
from daybreak.policy.naming import ANY, PATH_ACTS, Act
from daybreak.policy.refusal import AskMalformed, GrantRefused

NAMES_MAX = 200
"""Names in one grant."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Normal names by act; an empty tuple allows nothing of that act. Make one with `Grant.of`."""

    read: tuple[str, ...] = ()
    """Folders and files; a folder covers all below it."""
    write: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    """Programs by name or absolute path; `*` is any."""
    connect: tuple[str, ...] = ()
    """`host:port`; `*.example.org:443` is every host below that name, not the name itself."""
    deliver: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    api: tuple[str, ...] = ()
    """Scopes of the API."""

    @classmethod
    def of(
        cls,
        *,
        read: Iterable[str | PurePath] = (),
        write: Iterable[str | PurePath] = (),
        run: Iterable[str | PurePath] = (),
        connect: Iterable[str] = (),
        deliver: Iterable[str | PurePath] = (),
        secret: Iterable[str] = (),
        api: Iterable[str] = (),
        windows: bool = os.name == "nt",
    ) -> Grant:
        """The names in their one spelling, sorted, each once. Raises GrantRefused where one has none."""
        given = {"read": read, "write": write, "run": run, "connect": connect, "deliver": deliver, "secret": secret}
        given["api"] = api
        made = {act: _normal(act, names, windows) for act, names in given.items()}  # type: ignore[arg-type]
        grant = cls(**made)
        if len(grant.pairs()) > NAMES_MAX:
            raise GrantRefused(
                f"a grant of {len(grant.pairs())} names is more than {NAMES_MAX}",
                hint="grant the folder above, or narrow the task.",
            )
        return grant

    def names(self, act: Act) -> tuple[str, ...]:
        found: tuple[str, ...] = getattr(self, act)
        return found

    def pairs(self) -> list[tuple[Act, str]]:
        """Every (act, name), in a fixed order."""
        return [(act, name) for act in naming.ACTS for name in self.names(act)]

    def covers(self, act: Act, name: str) -> bool:
        """Is a normal name allowed? For a pattern: is all of it allowed?"""
        return any(_covers(act, granted, name) for granted in self.names(act))

    def as_lists(self) -> dict[str, list[str]]:
        """For people and events: without the acts that allow nothing, names as they are read."""
        found = {field.name: [naming.shown(name) for name in getattr(self, field.name)] for field in fields(self)}
        return {act: names for act, names in found.items() if names}


def _covers(act: Act, granted: str, name: str) -> bool:
    if granted == name or (act == "run" and granted == ANY):
        return True
    if act in PATH_ACTS:
        return name.startswith(below(granted))
    if act == "connect" and granted.startswith("*."):
        return name.endswith(granted[1:])
    return False


def below(folder: str) -> str:
    """What every path below a folder begins with."""
    return folder if folder.endswith("/") else f"{folder}/"


def _normal(act: Act, names: Iterable[str | PurePath], windows: bool) -> tuple[str, ...]:
    if isinstance(names, str | bytes):
        raise GrantRefused(f"{act} is granted as one text, not as a list of names", hint="pass a list of names.")
    try:
        return tuple(sorted({naming.normal(act, name, pattern=True, windows=windows) for name in names}))
    except AskMalformed as error:
        raise GrantRefused(f"cannot grant: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class Tier:
    """What an attempt of this tier may have at all."""

    name: str
    why: str
    acts: frozenset[Act]
    longest: timedelta
    """The longest life of a token."""


TIERS: dict[str, Tier] = {
    tier.name: tier
    for tier in (
        Tier("look", "read and answer", frozenset({"read"}), timedelta(hours=24)),
        Tier(
            "work",
            "change a workspace and run programs in it",
            frozenset({"read", "write", "run"}),
            timedelta(hours=24),
        ),
        Tier(
            "fetch",
            "the same with named hosts",
            frozenset({"read", "write", "run", "connect"}),
            timedelta(hours=24),
        ),
        Tier("deliver", "put a verified result in its place", frozenset({"read", "deliver"}), timedelta(hours=1)),
        Tier(
            "trusted",
            "named secrets as well; for code of your own that reads no untrusted text",
            frozenset({"read", "write", "run", "connect", "secret"}),
            timedelta(hours=4),
        ),
        Tier("api", "a person's own way in: the API, the dashboard, an assistant", frozenset({"api"}), timedelta(366)),
    )
}
"""By name. No tier has both a way out with secrets and untrusted text: `injection.assess` refuses that meeting."""


def tier(name: str) -> Tier:
    """Raises GrantRefused where there is none of that name."""
    found = TIERS.get(name)
    if found is None:
        raise GrantRefused(f"there is no tier {name!r}", hint=f"use one of {', '.join(TIERS)}.")
    return found


def bounded(grant: Grant, by: Tier) -> Grant:
    """The grant itself. Raises GrantRefused where it has an act that the tier has not."""
    for act, name in grant.pairs():
        if act not in by.acts:
            raise GrantRefused(
                f"tier {by.name} ({by.why}) has no {act}, but {naming.shown(name)} is granted",
                hint=f"leave it out, or take a tier that has it: {_having(act)}.",
            )
    return grant


def _having(act: Act) -> str:
    return ", ".join(found.name for found in TIERS.values() if act in found.acts)
