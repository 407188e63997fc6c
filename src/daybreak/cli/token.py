"""`daybreak token mint|show|revoke`: capability tokens by hand. A night mints its own, one for each attempt."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.clock import stamp
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from biscuit_auth import PrivateKey, PublicKey

    from daybreak.policy.capability import Token
    from daybreak.policy.journal import Journal

app = typer.Typer(help="Mint, look at and revoke capability tokens.", no_args_is_help=True)


class LifetimeWrong(UsageError):
    """A lifetime is a number and a unit."""

    code = "U141"


class TokenShapeless(UsageError):
    """What was given is not even the beginning of a token."""

    code = "U142"


@contextmanager
def opened() -> Iterator[tuple[Journal, PrivateKey, PublicKey]]:
    """Policy's journal over this process's ledger, and both halves of the root key."""
    from biscuit_auth import KeyPair

    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.policy import rootkey
    from daybreak.policy.journal import Journal

    where = arguments.usable_home(home.places())
    root = rootkey.load_or_make(where.keys)
    public = KeyPair.from_private_key(root).public_key
    with home.open_ledger(where) as ledger:
        yield Journal(ledger, SystemClock(), actor="person"), root, public


ATTEMPT_MAX = 1_000_000
STDIN_BYTES_MAX = 1_000_000
_LIFETIME = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_API_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,59}")


def lifetime_of(text: str) -> timedelta:
    """`90s`, `30m`, `2h`, `7d`. Raises LifetimeWrong."""
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise LifetimeWrong(
            f"{arguments.cut(text)} is no lifetime", hint="write a number in plain digits and a unit: 90s, 30m, 2h, 7d."
        )
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


Names = list[str] | None


@app.command(
    "mint",
    epilog="Examples:  daybreak token mint --api look,answer --for 12h --name phone    "
    "daybreak token mint --run run-0k3 --attempt 1 --tier work --workspace . --program '*'",
)
def mint(
    run: Annotated[str, typer.Option("--run", help="The run that it is for.", show_default=False)] = "",
    attempt: Annotated[
        int,
        typer.Option("--attempt", help="The attempt of that run.", parser=arguments.whole(0, ATTEMPT_MAX), metavar="N"),
    ] = 0,
    tier: Annotated[
        str, typer.Option("--tier", help="look, work, fetch, deliver or trusted: the most it can have.")
    ] = "look",
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            help="A folder to read, and to write where the tier has that.",
            parser=arguments.path,
            metavar="DIR",
        ),
    ] = None,
    read: Annotated[Names, typer.Option("--read", help="A folder or file to read as well. May be repeated.")] = None,
    program: Annotated[Names, typer.Option("--program", help="A program to run; '*' is any. May be repeated.")] = None,
    host: Annotated[Names, typer.Option("--host", help="HOST or HOST:PORT to connect to. May be repeated.")] = None,
    output: Annotated[Names, typer.Option("--output", help="A folder to deliver into. May be repeated.")] = None,
    secret: Annotated[Names, typer.Option("--secret", help="A secret's name. May be repeated.")] = None,
    api: Annotated[
        str,
        typer.Option(
            "--api",
            metavar="SCOPES",
            help="For a person or a program instead of a worker: scopes of `daybreak serve`, with commas; `all` is "
            "every one but held-out and admin.",
            show_default=False,
        ),
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="With --api: whom it is for, as the log will say.", show_default=False)
    ] = "",
    lifetime: Annotated[str, typer.Option("--for", help="How long it lives: 90s, 30m, 2h, 7d.")] = "30m",
    as_json: Json = False,
) -> None:
    """Make a token and print it. Whoever has its text has what it allows: keep it out of logs and arguments."""
    from daybreak.policy.capability import read as read_token
    from daybreak.policy.grant import Grant
    from daybreak.policy.grant import tier as tier_of

    if api:
        _mint_api(
            api, name, lifetime_of(lifetime), as_json, given=(run, workspace, read, program, host, output, secret)
        )
        return
    if not run or name:
        raise TokenShapeless(
            "it is not said what the token is for",
            hint="--run RUN for a worker, --api SCOPES for a person or a program",
        )
    folders = [str(workspace.resolve())] if workspace is not None else []
    grant = Grant.of(
        read=[*folders, *_absolute(read)],
        write=folders if "write" in tier_of(tier).acts else [],
        run=program or [],
        connect=host or [],
        deliver=_absolute(output),
        secret=secret or [],
    )
    with opened() as (journal, root, public):
        text = journal.mint(root, run=run, attempt=attempt, tier=tier, grant=grant, lifetime=lifetime_of(lifetime))
        token = read_token(text, public)
    if as_json:
        faces.result_json({"token": text, **_described(token)})
        return
    faces.result(text)
    faces.say(
        f"{token.label}: tier {token.tier} for {token.run} attempt {token.attempt}, until {faces.moment(token.until)}"
    )


def _mint_api(scopes: str, name: str, lifetime: timedelta, as_json: bool, *, given: tuple[object, ...]) -> None:
    """Raises TokenShapeless, GrantRefused."""
    from daybreak.policy import bearer
    from daybreak.policy.capability import read as read_token
    from daybreak.policy.grant import Grant

    if any(given):
        raise TokenShapeless("--api stands alone", hint="what a worker may do is no matter of the API: two tokens")
    if name and not _API_NAME.fullmatch(name):
        raise TokenShapeless(
            f"{arguments.cut(name)} is no name for a token", hint="1 to 60 letters, digits and ._:-, as in `phone`"
        )
    wanted = sorted(bearer.USUAL) if scopes == "all" else [one.strip() for one in scopes.split(",") if one.strip()]
    grant = Grant.of(api=wanted)
    with opened() as (journal, root, public):
        run = f"{bearer.RUN}{name or 'token'}"
        text = journal.mint(root, run=run, attempt=0, tier=bearer.TIER, grant=grant, lifetime=lifetime)
        token = read_token(text, public)
    if as_json:
        faces.result_json({"token": text, **_described(token)})
        return
    faces.result(text)
    faces.say(f"{token.label}: {', '.join(grant.api)}, until {faces.moment(token.until)}")


@app.command("show", epilog="Examples:  daybreak token show    daybreak token show - < token.txt")
def show(
    token: Annotated[
        str | None, typer.Argument(help="A token, or - to read one from standard input.", show_default="list them all")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what TOKEN allows, its signatures verified; without TOKEN list every token minted here."""
    from daybreak.policy.capability import read as read_token

    with opened() as (journal, _, public):
        if token is None:
            _list(journal, as_json)
            return
        found = read_token(_shaped(_given(token)), public)
        revoked = journal.revoked(found.revocations)
    told = {**_described(found), "revoked": revoked is not None, "why": revoked or ""}
    if as_json:
        faces.result_json(told)
        return
    for name, value in told.items():
        faces.result(f"{name:<11} {_as_text(value)}")


@app.command("revoke", epilog="Example:  daybreak token revoke tok-0k3 --why 'worker misbehaves'")
def revoke(
    token: Annotated[str, typer.Argument(help="A token, its label, its revocation id, or - for standard input.")],
    why: Annotated[str, typer.Option("--why", help="For the log.")] = "",
    as_json: Json = False,
) -> None:
    """End TOKEN now, and every narrower one that was made from it."""
    with opened() as (journal, _, public):
        revocation = journal.revoke(_given(token), public, why=why)
    if as_json:
        faces.result_json({"revoked": revocation})
    else:
        faces.result(f"revoked {revocation}")


def _absolute(paths: Names) -> list[str]:
    return [str(arguments.path(path).resolve()) for path in paths or []]


def _given(token: str) -> str:
    """The text of a token, or of its label. Raises TokenShapeless where there is none."""
    text = sys.stdin.buffer.read(STDIN_BYTES_MAX).decode("ascii", "backslashreplace") if token == "-" else token
    if not text.strip():
        raise TokenShapeless("no token was given", hint="give its text, or - and the text on standard input")
    return text.strip()


def _shaped(text: str) -> str:
    from daybreak.policy.capability import PREFIX

    if not text.startswith(PREFIX):
        raise TokenShapeless(
            f"{arguments.cut(text)} is no token: one begins with {PREFIX}",
            hint="give the text that `daybreak token mint` printed; without it nobody can be told what a label allows",
        )
    return text


def _described(token: Token) -> dict[str, Any]:
    return {
        "label": token.label,
        "run": token.run,
        "attempt": token.attempt,
        "tier": token.tier,
        "issued": stamp(token.issued),
        "until": stamp(token.until),
        "allows": token.blocks[0].grant.as_lists(),
        "narrowed_to": [block.grant.as_lists() for block in token.blocks[1:]],
        "revocation": list(token.revocations),
    }


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{act}: {', '.join(names)}" for act, names in value.items()) or "nothing"
    if isinstance(value, list):
        return " | ".join(_as_text(item) for item in value) or "-"
    return {True: "yes", False: "no", "": "-"}.get(value, str(value)) if isinstance(value, bool | str) else str(value)


def _list(journal: Journal, as_json: bool) -> None:
    rows = journal.tokens()
    if as_json:
        faces.result_json([row._asdict() for row in rows])
        return
    if not rows:
        faces.say("no token was minted here yet")
        return
    for row in rows:
        state = f"revoked {faces.moment(row.revoked)} {row.why}" if row.revoked else f"until {faces.moment(row.until)}"
        faces.result(f"{row.token}  {row.tier:<8} {row.run} attempt {row.attempt}  {state}")
