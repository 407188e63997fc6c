"""May a `daybreak.toml` that lies in a working directory be obeyed? It may have come with a clone of somebody else's.

One that names keys, variables of ours, the network or folders to read is obeyed only in the very words that somebody
has said yes to (`daybreak trust`, or `daybreak init`, which wrote it). What was said yes to is kept beside the keys,
where no worker can write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from daybreak.config import Places
from daybreak.errors import UsageError
from daybreak.host import files
from daybreak.settings import Settings

FILE = "trusted-settings"


class SettingsUntrusted(UsageError):
    """A `daybreak.toml` could send keys or files of ours elsewhere, and nobody has said yes to it."""

    code = "U126"


def risks(settings: Settings) -> list[str]:
    """What a hostile file could do harm with, a sentence each."""
    told = []
    for name, provider in settings.providers.items():
        if provider.key:
            told.append(f"provider {name}: sends {provider.key} to {provider.address}")
    for name, forge in settings.forges.items():
        told.append(f"forge {name}: sends {forge.key} to {forge.api}")
    told += [
        f"witness {name}: {'writes heads to' if place.path else 'sends heads to'} {place.path or place.address}"
        + (f", pushed to {place.remote}" if place.remote else "")
        for name, place in settings.witnesses.items()
    ]
    if settings.ledger.postgres:
        told.append(f"ledger: is kept in {settings.ledger.postgres}")
    dispatch = settings.dispatch
    if dispatch.engine == "ray" and dispatch.address:
        told.append(f"dispatch: has work done by the Ray cluster at {dispatch.address}, which can run programs here")
    if dispatch.engine == "ray" and dispatch.token:
        told.append(f"dispatch: sends {dispatch.token} to {dispatch.address or 'a Ray on this machine'}")
    told += [f"replicas: sends the whole ledger to {target}" for target in settings.replicas.targets]
    told += [
        f"notify channel {name}: sends messages to {channel.url or channel.url_from}"
        for name, channel in settings.notify.channels.items()
    ]
    if settings.traces.endpoint:
        told.append(f"traces: sends what happens to {settings.traces.endpoint}")
    for name, worker in settings.workers.items():
        if worker.environment:
            told.append(f"worker {name}: is given {', '.join(worker.environment)}")
        if worker.network:
            told.append(f"worker {name}: reaches the network")
        if worker.readable:
            told.append(f"worker {name}: may read {', '.join(worker.readable)}")
    return told


def check(settings: Settings, places: Places, environment: Mapping[str, str]) -> None:
    """Raises SettingsUntrusted. A file that is named by DAYBREAK_CONFIG or lies in the user's own folder is trusted."""
    if not settings.path or environment.get("DAYBREAK_CONFIG"):
        return
    path = Path(settings.path)
    told = risks(settings)
    if not told or path.parent.resolve() == places.settings.resolve() or _word(path) in _words(places):
        return
    raise SettingsUntrusted(
        f"{path} is not trusted: " + "; ".join(told),
        hint="look at it; if that is what you want, say `daybreak trust`, and again when the file changes",
    )


def trust(path: Path, places: Places) -> None:
    """From now on the file is obeyed as it is. Raises what `files` raises."""
    known = _words(places)
    if (word := _word(path)) not in known:
        places.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_file(places.keys / FILE, "".join(f"{one}\n" for one in (*known, word)), mode=0o600)


def _words(places: Places) -> list[str]:
    try:
        return (places.keys / FILE).read_text("ascii").split()
    except FileNotFoundError:
        return []


def _word(path: Path) -> str:
    """Where it lies and what it says: another one elsewhere, or another edition, is another word."""
    return hashlib.sha256(bytes(path.resolve()) + b"\0" + path.read_bytes()).hexdigest()
