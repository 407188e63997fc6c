"""Witnesses as `daybreak.toml` names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daybreak.clock import Clock
from daybreak.ledger.note import NoteError, Verifier
from daybreak.ledger.witness.statement import Place
from daybreak.settings import Settings, SettingsWrong, WitnessPlace

EVERY_S = {"file": 1.0, "tlog": 5.0, "git": 60.0, "timestamp": 3600.0}
"""How often each kind is asked at most, where nothing is said."""


def members(told: Settings, verifier: Verifier, clock: Clock, environment: Mapping[str, str]) -> dict[str, Place]:
    """By name, in the order of the file. Nobody is asked anything. Raises SettingsWrong."""
    return {name: _made(name, place, verifier, clock, environment) for name, place in told.witnesses.items()}


def every_s(place: WitnessPlace) -> float:
    """Seconds between two tries at least."""
    return EVERY_S[place.kind] if place.every_s is None else place.every_s


def _made(name: str, told: WitnessPlace, verifier: Verifier, clock: Clock, environment: Mapping[str, str]) -> Place:
    """Kinds that nobody uses need not be loaded."""
    if told.kind == "file":
        from daybreak.ledger.witness.elsewhere import HeadFile

        return HeadFile(name, Path(told.path), told.owner, verifier, clock)
    if told.kind == "git":
        from daybreak.ledger.witness.repository import GitRepository

        return GitRepository(
            name,
            Path(told.path),
            told.ref,
            told.remote,
            verifier,
            clock,
            timeout_s=told.timeout_s,
            environment=environment,
        )
    if told.kind == "timestamp":
        from daybreak.ledger.witness.timestamps import TimestampServer

        return TimestampServer(name, told.address, Path(told.certificates), clock, timeout_s=told.timeout_s)
    from daybreak.ledger.witness.cosigning import CosignerKey
    from daybreak.ledger.witness.remote import Remote

    try:
        key = CosignerKey.parse(told.key)
    except (NoteError, ValueError) as error:
        raise SettingsWrong(
            f"witnesses.{name}.key: {error}",
            hint="it is what the witness's operator publishes; `daybreak ledger witness serve` prints its own",
        ) from error
    return Remote(name, told.address, key, verifier, clock, timeout_s=told.timeout_s)
