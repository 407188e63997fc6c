"""Where a home's parts are put together: real clocks, an open ledger, the engine on top of it. Everything below takes
them as arguments; the faces (command line, browser, other assistants) get them from here and from nowhere else.
"""

from daybreak.home.choosing import (
    NoRuns,
    Row,
    RunOver,
    RunUnknown,
    pick_run,
    pick_unfinished,
    raise_budget,
    rows,
)
from daybreak.home.opening import (
    Home,
    database_is_known,
    open_ledger,
    opened,
    places,
    postgres,
    rules,
    settings,
    views,
    witnessed,
)

__all__ = [
    "Home",
    "NoRuns",
    "Row",
    "RunOver",
    "RunUnknown",
    "database_is_known",
    "open_ledger",
    "opened",
    "pick_run",
    "pick_unfinished",
    "places",
    "postgres",
    "raise_budget",
    "rows",
    "rules",
    "settings",
    "views",
    "witnessed",
]
