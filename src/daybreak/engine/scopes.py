"""Cancel scopes without a time, as cheap as they can be had.

`anyio.CancelScope()` prepares the event loop's own scope twice; `move_on_after(None)` gives the same thing prepared
once. Every append has one.
"""

from __future__ import annotations

import anyio


def scope() -> anyio.CancelScope:
    """What can be cancelled together."""
    return anyio.move_on_after(None)


def shielded() -> anyio.CancelScope:
    """What a cancellation from outside does not reach."""
    return anyio.move_on_after(None, shield=True)
