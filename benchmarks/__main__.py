"""`make bench`: every figure. `python -m benchmarks NAME ...` runs some of them."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "command_line",
    "ledger_append",
    "ledger_verify",
    "ledger_size",
    "ledger_proof",
    "archive",
    "reconcile",
    "following",
    "replicas",
    "engine_steps",
    "metrics",
    "queueing",
    "budget_reserve",
    "rehearsal",
    "night_idle",
    "peers",
    "postgres_steps",
    "kill_steps",
    "build",
    "kill_build",
    "sandbox_launch",
    "file_transactions",
    "snapshots",
    "workspaces",
    "merging",
    "policy_scan",
    "error_corpus",
    "attempt",
    "gateway",
    "tracing",
    "report",
    "web",
    "screen",
    "routing",
    "repair",
    "phases",
    "accepts",
)


def main() -> None:
    asked = sys.argv[1:] or NAMES
    for name in asked:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; there are {', '.join(NAMES)}")
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
