"""How the channels stand, for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from daybreak.clock import stamp
from daybreak.report.notify.rounds import Rounds, breaker_name
from daybreak.settings import Channel


@dataclass(frozen=True, slots=True)
class ChannelLine:
    """Moments are texts as in the ledger; empty where there is none."""

    channel: str
    address: str
    """What holds it; itself where nothing in it is secret."""
    kinds: Sequence[str]
    quiet: str
    digest: str
    sent: str
    """The last message that went."""
    waiting: int
    """Notices that it has not had."""
    next: str
    """When they are sent."""
    tries: int
    """How often the next message was tried in vain."""
    problem: str
    """Why the last try failed."""
    given_up: int
    """Notices that are not tried again by themselves."""
    breaker: str
    """Of its breaker, where it is not closed."""
    tested: str
    test: str
    """Why the last test failed; empty where it went."""

    @property
    def failing(self) -> bool:
        return bool(self.tries or self.given_up or (self.tested and self.test))


def look(rounds: Rounds) -> list[ChannelLine]:
    """Every channel of the settings."""
    return [_line(rounds, name, channel) for name, channel in rounds.told.channels.items()]


def _line(rounds: Rounds, name: str, channel: Channel) -> ChannelLine:
    found = rounds.standing(name)
    waiting = rounds.waiting(name) if found is not None else []
    _, moment = rounds.plan(name) if found is not None else ([], None)
    gave_up = "SELECT count(*) FROM view_channels_done WHERE channel = ? AND outcome = 'failed'"
    circuit = rounds.log.query("SELECT state FROM view_circuits WHERE name = ?", (breaker_name(name),))
    tries = found.tries if found is not None else None
    return ChannelLine(
        channel=name,
        address=channel.url_from or channel.url,
        kinds=channel.kinds,
        quiet=channel.quiet,
        digest=channel.digest,
        sent=found.sent if found is not None else "",
        waiting=len(waiting),
        next=stamp(moment) if moment is not None else "",
        tries=tries.attempts + tries.outages if tries is not None else 0,
        problem=found.what if found is not None else "",
        given_up=int(rounds.log.query(gave_up, (name,))[0][0]),
        breaker=str(circuit[0][0]) if circuit and circuit[0][0] != "closed" else "",
        tested=found.tested if found is not None else "",
        test=found.test if found is not None else "",
    )


def as_json(lines: Sequence[ChannelLine]) -> list[dict[str, Any]]:
    return [{**asdict(one), "kinds": list(one.kinds), "failing": one.failing} for one in lines]


def as_text(lines: Sequence[ChannelLine]) -> list[str]:
    """Lines for people."""
    told = []
    for one in lines:
        when = ", ".join(
            [*([f"quiet {one.quiet}"] if one.quiet else []), *([f"digest {one.digest}"] if one.digest else [])]
        )
        told.append(f"{one.channel}  {one.address}  {' '.join(one.kinds)}{f'  ({when})' if when else ''}")
        told.append(f"    last sent {_at(one.sent) or 'never'}; {_waiting(one)}")
        if one.tries:
            told.append(f"    failing, {one.tries} {'try' if one.tries == 1 else 'tries'}: {one.problem}")
        elif one.given_up:
            told.append(f"    {one.given_up} given up: {one.problem}: daybreak notify send --failed")
        if one.breaker:
            told.append(f"    its breaker is {one.breaker.replace('_', '-')}")
        if one.tested:
            told.append(f"    tested {_at(one.tested)}: {one.test or 'it went'}")
    return told


def _waiting(one: ChannelLine) -> str:
    if not one.waiting:
        return "nothing waits"
    return f"{one.waiting} wait{'s' if one.waiting == 1 else ''} until {_at(one.next)}"


def _at(text: str) -> str:
    return f"{text[:10]} {text[11:19]}Z" if text else ""
