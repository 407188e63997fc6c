"""Durable, verified, unattended work.

The names here are public: see `docs/reference/library.md` for them and for what is promised about them. Each is
imported when it is first used, so `import daybreak` costs next to nothing and no part needs the others.

What is logged goes to the logger `daybreak` and below; nobody hears it until a program says where it goes.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from daybreak.version import __version__

if TYPE_CHECKING:
    from daybreak.client import Client
    from daybreak.engine.context import Context
    from daybreak.engine.step import Absent, Found, spend, step_key
    from daybreak.factory.tasks import task
    from daybreak.home.adding import add
    from daybreak.host import batch, files, merge, process, programs, sandbox, snapshots, truth, typed, workspaces
    from daybreak.host.batch import Batch
    from daybreak.host.files import recover, transaction, write_file
    from daybreak.host.programs import Program, guard
    from daybreak.host.sandbox import Sandbox
    from daybreak.host.truth import expect
    from daybreak.host.workspaces import Workspaces
    from daybreak.policy.amounts import AmountsUnclear
    from daybreak.policy.breaker import Breaker, BreakerOpen, BreakerRule
    from daybreak.policy.budget import Amounts, BudgetSpent, Limit
    from daybreak.policy.retry import GaveUp, Retry

logging.getLogger("daybreak").addHandler(logging.NullHandler())  # without it, warnings would go to standard error

__all__ = [
    "Absent",
    "Amounts",
    "AmountsUnclear",
    "Batch",
    "Breaker",
    "BreakerOpen",
    "BreakerRule",
    "BudgetSpent",
    "Client",
    "Context",
    "Found",
    "GaveUp",
    "Limit",
    "Program",
    "Retry",
    "Sandbox",
    "Workspaces",
    "__version__",
    "add",
    "batch",
    "expect",
    "files",
    "guard",
    "merge",
    "process",
    "programs",
    "recover",
    "sandbox",
    "snapshots",
    "spend",
    "step_key",
    "task",
    "transaction",
    "truth",
    "typed",
    "workspaces",
    "write_file",
]

_MODULES = ("batch", "files", "merge", "process", "programs", "sandbox", "snapshots", "truth", "typed", "workspaces")
_HOMES = {
    "Absent": "engine.step",
    "Amounts": "policy.budget",
    "AmountsUnclear": "policy.amounts",
    "Batch": "host.batch",
    "Breaker": "policy.breaker",
    "BreakerOpen": "policy.breaker",
    "BreakerRule": "policy.breaker",
    "BudgetSpent": "policy.budget",
    "Client": "client",
    "Context": "engine.context",
    "Found": "engine.step",
    "GaveUp": "policy.retry",
    "Limit": "policy.budget",
    "Program": "host.programs",
    "Retry": "policy.retry",
    "Sandbox": "host.sandbox",
    "Workspaces": "host.workspaces",
    "add": "home.adding",
    "expect": "host.truth",
    "guard": "host.programs",
    "recover": "host.files",
    "spend": "engine.step",
    "step_key": "engine.step",
    "task": "factory.tasks",
    "transaction": "host.files",
    "write_file": "host.files",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found: Any = import_module(f"daybreak.host.{name}")
    elif name in _HOMES:
        found = getattr(import_module(f"daybreak.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'daybreak' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
