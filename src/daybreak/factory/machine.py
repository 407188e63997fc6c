"""What this machine has, as far as a plan depends on it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from daybreak.host.sandbox import Strength, detect

DISK_BYTES_MIN = 200 * 1024 * 1024
DISK_BYTES_LEAST = 32 * 1024 * 1024
MEMORY_BYTES_MIN = 512 * 1024 * 1024
SHELL = "/bin/sh"


class Machine(BaseModel):
    """Measured when the plan was made. Memory is what Linux calls available; None where it does not say."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    cores: int
    disk_bytes_free: int
    memory_bytes_free: int | None
    shell: str | None
    sandbox: Strength = "none"
    """The strongest sandbox that programs can be given here."""
    sandbox_words: str = ""
    """Its layers, and what it lacks."""

    def shortages(self) -> list[str]:
        """What is too little for a build, each as a sentence."""
        short = []
        if self.disk_bytes_free < DISK_BYTES_MIN:
            short.append(f"only {_mib(self.disk_bytes_free)} MiB of disk are free, {_mib(DISK_BYTES_MIN)} are needed")
        if self.memory_bytes_free is not None and self.memory_bytes_free < MEMORY_BYTES_MIN:
            short.append(
                f"only {_mib(self.memory_bytes_free)} MiB of memory are free, {_mib(MEMORY_BYTES_MIN)} are needed"
            )
        if self.shell is None:
            short.append("there is no /bin/sh, which console examples run in")
        return short


def cores() -> int:
    """How many programs can run side by side: the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_room(folder: Path) -> bool:
    """Whether there is disk enough to go on in `folder`: far less than to begin."""
    try:
        free = shutil.disk_usage(folder).free
    except FileNotFoundError:
        free = shutil.disk_usage(_existing(folder)).free
    return free >= DISK_BYTES_LEAST


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def measure(folder: Path) -> Machine:
    """This machine now; disk is that of `folder` or of its nearest parent that exists."""
    mode = detect().mode()
    return Machine(
        cores=cores(),
        disk_bytes_free=shutil.disk_usage(_existing(folder)).free,
        memory_bytes_free=_memory_bytes_free(Path("/proc/meminfo")),
        shell=_shell(),
        sandbox=mode.strength,
        sandbox_words=mode.words,
    )


def _shell() -> str | None:
    """The one that examples run in; what PATH says of another is not asked."""
    return SHELL if os.access(SHELL, os.X_OK) else None


def _memory_bytes_free(meminfo: Path) -> int | None:
    if not meminfo.exists():
        return None
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _mib(count: int) -> int:
    return count // (1024 * 1024)
