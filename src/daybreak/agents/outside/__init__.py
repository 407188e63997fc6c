"""Orchestrators that are not ours: plug-ins, LangGraph graphs, CrewAI crews, plain functions.

They are found (`plugin`), looked at without being loaded (`examine`), loaded in a process of their own inside the
sandbox (`child`), and what they made is verified like anybody's. `presence` says whether there is one here, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.agents.outside.presence import Mode, Seen, installed, mode
    from daybreak.agents.outside.worker import OutsideWorker

__all__ = ["Mode", "OutsideWorker", "Seen", "installed", "mode"]


def __getattr__(name: str) -> Any:
    """Each only when it is asked for: the host wants `mode` and not the worker, an attempt the other way round."""
    import importlib

    if name not in __all__:
        raise AttributeError(name)
    home = "worker" if name == "OutsideWorker" else "presence"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
