"""Incidents of level 3, which end a night: those that were raised since it began."""

from __future__ import annotations

from daybreak.engine.log import Log

_ALARMS = "SELECT incident, kind, what FROM view_incidents WHERE level >= 3"


class Alarms:
    """Nothing is an alarm where the ledger has not the views of policy's journal."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: set[str] | None = set()

    def begin(self) -> None:
        """Those that are there by now are not the night's."""
        if self._log.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'view_incidents'"):
            self._known = {name for name, _, _ in self._log.query(_ALARMS)}
        else:
            self._known = None

    def look(self) -> str:
        """One that was raised since the night began; empty where there is none."""
        if self._known is None:
            return ""
        for name, kind, what in self._log.query(_ALARMS):
            if name not in self._known:
                return f"{kind}: {what} ({name})"
        return ""
