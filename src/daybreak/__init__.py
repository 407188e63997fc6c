"""Durable, verified, unattended work.

The names here are public: see `docs/reference/library.md` for them and for what is promised about them. Each is
imported when it is first used, so `import daybreak` costs next to nothing and no part needs the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daybreak.host import batch, files, merge, process, programs, sandbox, truth, typed, workspaces
    from daybreak.host.batch import Batch
    from daybreak.host.files import recover, transaction, write_file
    from daybreak.host.programs import Program, guard
    from daybreak.host.sandbox import Sandbox
    from daybreak.host.truth import expect
    from daybreak.host.workspaces import Workspaces
    from daybreak.policy.breaker import Breaker, BreakerOpen, BreakerRule
    from daybreak.policy.retry import GaveUp, Retry

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Breaker",
    "BreakerOpen",
    "BreakerRule",
    "GaveUp",
    "Program",
    "Retry",
    "Sandbox",
    "Workspaces",
    "__version__",
    "batch",
    "expect",
    "files",
    "guard",
    "merge",
    "process",
    "programs",
    "recover",
    "sandbox",
    "transaction",
    "truth",
    "typed",
    "workspaces",
    "write_file",
]

_MODULES = ("batch", "files", "merge", "process", "programs", "sandbox", "truth", "typed", "workspaces")
_HOMES = {
    "Batch": "host.batch",
    "Breaker": "policy.breaker",
    "BreakerOpen": "policy.breaker",
    "BreakerRule": "policy.breaker",
    "GaveUp": "policy.retry",
    "Program": "host.programs",
    "Retry": "policy.retry",
    "Sandbox": "host.sandbox",
    "Workspaces": "host.workspaces",
    "expect": "host.truth",
    "guard": "host.programs",
    "recover": "host.files",
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
