"""`daybreak notify list|test|send`: messages to people, by the channels of `daybreak.toml`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import faces
from daybreak.cli.arguments import Json

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.config import Places
    from daybreak.report.notify.rounds import Rounds

app = typer.Typer(help="See how messages to you go out, try a channel, send what is due.", no_args_is_help=True)
NO_CHANNELS = "no channels: name one as `[notify.channels.NAME]` in daybreak.toml"


@contextmanager
def opened(*, looking: bool = False) -> Iterator[tuple[Rounds, Places, Clock]]:
    from daybreak import home
    from daybreak.clock import SystemClock
    from daybreak.config import usable_home
    from daybreak.home import logging, notifying

    told, where, clock = home.settings(), usable_home(home.places()), SystemClock()
    with logging.writing(where), home.open_ledger(where, told, looking=looking) as ledger:
        yield notifying.rounds(ledger, told, where, clock), where, clock


@app.command("list", epilog="Examples:  daybreak notify list    daybreak notify list --json")
def list_(as_json: Json = False) -> None:
    """List the channels: what each is told, when it last was, what waits for what, and what fails."""
    from daybreak.report.notify import listing
    from daybreak.report.notify.sending import installed

    with opened(looking=True) as (rounds, _, _):
        lines = listing.look(rounds)
    if as_json:
        faces.result_json({"installed": installed(), "channels": listing.as_json(lines)})
        return
    for line in listing.as_text(lines):
        faces.result(line)
    if not lines:
        faces.say(NO_CHANNELS)
    elif not installed():
        faces.say("apprise is not installed, so nothing can be sent: pip install 'daybreak[notify]'")


@app.command("test", epilog="Examples:  daybreak notify test    daybreak notify test phone")
def try_(
    channel: Annotated[str | None, typer.Argument(help="Its name; all without one.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Send a test message to CHANNEL now, whatever its quiet hours are, and say what happened."""
    from daybreak.home import notifying
    from daybreak.report.notify.sending import ChannelUnknown
    from daybreak.settings import nearest

    with opened() as (rounds, _, _):
        known = list(rounds.told.channels)
        if channel is not None and channel not in known:
            raise ChannelUnknown(
                f"there is no channel {channel!r:.80}",
                hint=f"known: {', '.join(known) or 'none'}{nearest(channel, known)}; others are "
                "`[notify.channels.NAME]` in daybreak.toml",
            )
        found = notifying.test(rounds, known if channel is None else [channel])
    if as_json:
        plain = {
            name: {"ok": error is None}
            | ({} if error is None else {"code": error.code, "message": error.message, "hint": error.hint})
            for name, error in found.items()
        }
        faces.result_json({"channels": plain})
    else:
        if not found:
            faces.say(NO_CHANNELS)
        for name, error in found.items():
            if error is None:
                faces.result(f"{name}: its server took the message; look whether it arrived")
            else:
                faces.result(f"{name}: {error.code} {error.message}\n    {error.hint}")
    if any(error is not None for error in found.values()):
        raise typer.Exit(faces.EXIT_FAILED)


@app.command("send", epilog="Examples:  daybreak notify send    daybreak notify send --failed")
def send(
    failed: Annotated[
        bool, typer.Option("--failed", help="Also what was given up, and all that waits, at once.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send what is due now. A night does that by itself; this is for timers, and for mornings without a night."""
    from daybreak.home import notifying
    from daybreak.host.locks import FileLocks
    from daybreak.report.notify import listing

    with opened() as (rounds, where, clock):
        rounds.open_channels()
        rounds.warn()
        locks = FileLocks(where.locks, clock)
        owner = locks.owner(notifying.LOCK)
        went = notifying.send(rounds, locks.hold, failed=failed, wait_s=10.0) if rounds.due(failed=failed) else 0
        lines = listing.look(rounds)
    if as_json:
        faces.result_json({"sent": went, "channels": listing.as_json(lines)})
    else:
        if not lines:
            faces.say(NO_CHANNELS)
        faces.result(f"{went} message{'' if went == 1 else 's'} sent")
        if owner is not None and not went:
            faces.say(f"{owner} sends at this moment")
        for line in lines:
            if line.tries or line.given_up:
                faces.say(f"{line.channel}: {line.problem}")
    if any(line.tries or line.given_up for line in lines):
        raise typer.Exit(faces.EXIT_FAILED)
