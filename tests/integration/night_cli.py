"""The command line with the commands of the night, in a process of its own: `python night_cli.py ARGUMENTS`.

`NIGHT_FAST` sets a night's waits to fractions of a second.
"""

from __future__ import annotations

import dataclasses
import os

from daybreak import home
from daybreak.cli import main, night, status, unlock
from daybreak.engine import night as words
from daybreak.engine.nights import NIGHTS
from daybreak.ledger.views import View

_views = home.views


def _all_views() -> list[View]:
    found = _views()
    return found if any(view.name == NIGHTS.name for view in found) else [*found, NIGHTS]


def _register() -> None:
    known = {command.name for command in main.app.registered_commands}
    for module, name in ((night, "night"), (status, "status"), (unlock, "unlock")):
        if name not in known:
            main.app.command(name, epilog=module.EXAMPLES)(getattr(module, name))


def _hasten() -> None:
    fast = {
        "poll_s": 0.05,
        "leave_s": 0.5,
        "lease_s": 1.5,
        "recover_s": 0.2,
        "grace_s": float(os.environ.get("NIGHT_GRACE", "5")),
    }
    plan = words.Plan
    words.Plan = lambda **fields: plan(**{**fast, **fields})  # type: ignore[assignment,misc]
    assert dataclasses.is_dataclass(plan)


if __name__ == "__main__":
    home.views = _all_views
    _register()
    if os.environ.get("NIGHT_FAST"):
        _hasten()
    main.main()
