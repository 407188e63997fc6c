"""Which channels fail, from the views alone: for whoever asks how everything stands."""

from __future__ import annotations

from collections.abc import Collection

from daybreak.engine.log import Log


def problems(log: Log, channels: Collection[str] | None = None) -> list[str]:
    """Which of these channels fail, each with why; none where the ledger was opened without that view. Without names:
    all that there ever were."""
    if not log.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'view_channels'"):
        return []
    gave_up = "SELECT count(*) FROM view_channels_done AS one WHERE one.channel = all_.channel AND outcome = 'failed'"
    rows = log.query(
        f"SELECT channel, tries, again, what, ({gave_up}) AS lost FROM view_channels AS all_"
        " WHERE tries <> '' OR lost > 0 ORDER BY channel"
    )
    return [
        f"{channel} fails, tried again {again[:19]}Z: {what}"
        if tries
        else f"{channel}: {lost} notices were given up ({what}): daybreak notify send --failed"
        for channel, tries, again, what, lost in rows
        if channels is None or channel in channels
    ]
