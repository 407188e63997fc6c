"""The one verification of the ledger that a server runs, for its pages and its API."""

from __future__ import annotations

from fastapi import Request

from daybreak.web.desk import Desk
from daybreak.web.pages.verifying import Verifying


def verifying_of(request: Request, desk: Desk) -> Verifying:
    """The one of this server."""
    found = getattr(request.app.state, "verifying", None)
    if not isinstance(found, Verifying):
        found = request.app.state.verifying = Verifying(desk.home.places, desk.clock)
    return found
