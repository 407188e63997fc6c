"""`daybreak ledger redact`, `subjects`: forget what was kept about somebody, and whom anything is kept about."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.ledger.redaction import Survey

EXAMPLES = (
    'Examples:  daybreak ledger redact customer-4711    daybreak ledger redact customer-4711 --yes --reason "asked"'
)


class RedactionNotConfirmed(UsageError):
    """What cannot be undone needs a person's word."""

    code = "U254"


def redact(
    subject: Annotated[str, typer.Argument(help="Whom everything that is kept about is to be forgotten.")],
    reason: Annotated[
        str, typer.Option("--reason", help="For the log, where it stays for good: nothing about the subject itself.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Destroy the key of SUBJECT, so that nobody can read any more what was kept under it, here or in any copy of the
    log. The events stay, and every hash, proof and view stays good. It cannot be undone."""
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.ledger import redaction

    redaction.checked_why(reason)
    with home.opened() as opened:
        found = redaction.survey(opened.ledger, subject, faces.counter("looked through"))
        if not found.forgotten:
            _ask(found, yes=yes)
        found, now = redaction.forget(opened.ledger, subject, SystemClock(), why=reason)
    if as_json:
        faces.result_json(_as_json(found, now=now))
    elif now:
        faces.result(f"{subject} is forgotten: {_size(found)}")
        faces.say(
            "copies of the folder with the subjects' keys, where you made any, can still read it: remove them too"
        )
    else:
        faces.result(f"{subject} was forgotten on {found.forgotten}: {_size(found)}; there is nothing more to do")


def subjects(as_json: Json = False) -> None:
    """Whom anything is kept about that can be forgotten, and how many were."""
    from daybreak import home

    with home.opened() as opened:
        keys = opened.ledger.subjects
        alive = sorted((keys.label(key), key) for key in keys.all())
        gone = keys.buried()
    if as_json:
        faces.result_json(
            {
                "subjects": [{"subject": label, "key": key} for label, key in alive],
                "forgotten": [{"key": stone.key, "at": stone.at, "events": stone.events} for stone in gone.values()],
            }
        )
        return
    for label, key in alive:
        faces.result(f"{label}  (key {key})")
    if gone:
        faces.result(f"and {len(gone)} that were forgotten")
    elif not alive:
        faces.say("nothing is kept under a subject: `daybreak add --secret-subject NAME` does that")


def _ask(found: Survey, *, yes: bool) -> None:
    """Raises RedactionNotConfirmed."""
    faces.say(f"of {found.subject}, {_size(found)} will be forgotten, for good:")
    for stream in found.streams[:_LISTED]:
        faces.say(f"  {stream}")
    if len(found.streams) > _LISTED:
        faces.say(f"  and {len(found.streams) - _LISTED} more")
    if yes:
        return
    hint = "say --yes, or run it on a terminal and confirm; nothing was changed."
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RedactionNotConfirmed(f"nobody confirmed that {found.subject} is to be forgotten", hint=hint)
    if not typer.confirm(f"forget {found.subject}?", err=True):
        raise RedactionNotConfirmed(f"{found.subject} was not forgotten", hint=hint)


_LISTED = 10


def _size(found: Survey) -> str:
    events = f"{'at least ' if found.at_least else ''}{found.events:,} event{'' if found.events == 1 else 's'}"
    return f"{events} in {len(found.streams)} stream{'' if len(found.streams) == 1 else 's'}"


def _as_json(found: Survey, *, now: bool) -> dict[str, Any]:
    return {
        "subject": found.subject,
        "key": found.key,
        "events": found.events,
        "streams": list(found.streams),
        "at_least": found.at_least,
        "forgotten_now": now,
    }
