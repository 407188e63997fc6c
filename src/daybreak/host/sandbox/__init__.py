"""A sandbox for programs: what they may read, change, reach and use up.

    from daybreak.host import process
    from daybreak.host.sandbox import Sandbox

    process.run(argv, cwd=folder, env=env, timeout_s=60, sandbox=Sandbox(writable=(folder,)))

`detect().mode()` says what this machine can enforce. Docs: `docs/decisions/0006-sandbox.md`.
"""

from daybreak.host.sandbox.machine import Machine, detect
from daybreak.host.sandbox.model import (
    GAPS,
    STRENGTHS,
    Mode,
    Network,
    Sandbox,
    SandboxBroken,
    SandboxMissing,
    SandboxRefused,
    Strength,
)
from daybreak.host.sandbox.plan import Ready, prepare, python_paths

__all__ = [
    "GAPS",
    "STRENGTHS",
    "Machine",
    "Mode",
    "Network",
    "Ready",
    "Sandbox",
    "SandboxBroken",
    "SandboxMissing",
    "SandboxRefused",
    "Strength",
    "detect",
    "prepare",
    "python_paths",
]
