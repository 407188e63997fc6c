"""Programs of this machine, run so that they cannot outlive us, flood us, or see our environment.

`run` runs one to its end; `Server` keeps one running inside a `with`. Each stands below a guard process (see
`guard`) that ends it and all its descendants when its time is over, when it is asked to, and when we are
gone. The environment is never inherited: callers give all of it, most of them from `clean_environment`.

What is promised: when `run` returns or raises, and when a `Server` block is left, no descendant of the
program is running. One way around is left open: a program with our rights may kill its guard; then the
program itself dies with it (parent-death signal), and whatever still holds its output pipes is ended here;
in a sandbox with a control group, whatever is in that. Keeping programs from reaching other processes, or
anything else, is the sandbox's part: give one (see `sandbox`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.host.guarded import (
    FILE_BYTES_MAX,
    LOOK_S,
    OPEN_FILES_MAX,
    OWN_PROCESSES,
    PROCESSES_MAX,
    STUCK_S,
    Guarded,
)
from daybreak.host.program import (
    DEFAULT_PATH,
    Finished,
    ProgramMissing,
    ProgramNotStarted,
    ProgramStuck,
    ServerNotReady,
    clean_environment,
)
from daybreak.host.server import Server

if TYPE_CHECKING:
    from daybreak.host.sandbox import Ready, Sandbox

__all__ = [
    "DEFAULT_PATH",
    "FILE_BYTES_MAX",
    "LOOK_S",
    "OPEN_FILES_MAX",
    "OWN_PROCESSES",
    "PROCESSES_MAX",
    "STUCK_S",
    "Finished",
    "Guarded",
    "ProgramMissing",
    "ProgramNotStarted",
    "ProgramStuck",
    "Server",
    "ServerNotReady",
    "clean_environment",
    "run",
]


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    output_bytes_max: int = 1_000_000,
    file_bytes_max: int = FILE_BYTES_MAX,
    memory_bytes_max: int | None = None,
    open_files_max: int = OPEN_FILES_MAX,
    processes_max: int | None = PROCESSES_MAX,
    stdin: bytes = b"",
    merge: bool = False,
    fds: Mapping[int, int] | None = None,
    grace_s: float = 0.5,
    cancelled: threading.Event | None = None,
    on_stdout: Callable[[bytes], None] | None = None,
    sandbox: Sandbox | Ready | None = None,
) -> Finished:
    """Run a program to its end; blocks, and may be called from any thread.

    `argv[0]` without a slash is looked up in `env["PATH"]`. The program and all its descendants are ended
    after `timeout_s`, when stdout and stderr together pass `output_bytes_max` (what is kept is cut there),
    when `processes_max` is passed (looked at five times a second), and when `cancelled` is set. TERM comes
    first, KILL after `grace_s`. When the program ends by itself, descendants that it left are ended too.
    `file_bytes_max` and `memory_bytes_max` (address space) hold for each process, by the kernel.
    `merge` puts stderr into stdout. `fds` gives it descriptors: {its number, 0 to 9: ours, each once}.
    `on_stdout` gets what it prints as it comes, in this thread.
    `sandbox` says what it may have; None: whatever we have. There, processes that the program leaves are killed
    without TERM, its own limits hold besides the ones here, and `Finished.duration_ms` has the set-up in it.

    Raises ProgramMissing, ProgramNotStarted, ProgramStuck; with a sandbox also SandboxMissing, SandboxBroken,
    SandboxRefused.
    """
    guarded = Guarded(
        argv,
        cwd=cwd,
        env=env,
        timeout_s=timeout_s,
        output_bytes_max=output_bytes_max,
        file_bytes_max=file_bytes_max,
        memory_bytes_max=memory_bytes_max,
        open_files_max=open_files_max,
        processes_max=processes_max,
        stdin=stdin,
        merge=merge,
        fds=fds or {},
        grace_s=grace_s,
        cancelled=cancelled,
        on_stdout=on_stdout,
        sandbox=sandbox,
    )
    try:
        while not guarded.over:
            guarded.pump()
        return guarded.finish()
    finally:
        guarded.close()
