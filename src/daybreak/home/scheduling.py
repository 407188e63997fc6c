"""Schedules in words, as every face tells them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.engine.window import Schedule


def words(schedule: Schedule) -> str:
    """`every day at 02:30 Europe/Berlin`; the cron line where there are no simple words for it."""
    if found := re.fullmatch(r"(\d+) \* \* \* \*", schedule.cron):
        return f"every hour at :{int(found[1]):02} {schedule.zone}"
    if found := re.fullmatch(r"(\d+) (\d+) \* \* (\*|[A-Z]{3})", schedule.cron):
        day = "every day" if found[3] == "*" else f"every {found[3].capitalize()}"
        return f"{day} at {int(found[2]):02}:{int(found[1]):02} {schedule.zone}"
    return f"cron {schedule.cron!r} {schedule.zone}"
