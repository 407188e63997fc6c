"""What a task needs of a machine, in the words in which it is asked for: `cpus=4`, `memory=8GiB`, `docker`."""

from __future__ import annotations

from collections.abc import Mapping

GIB, MIB = 2**30, 2**20
_SHOWN_MAX = 50
_MOST = 2**60
"""More makes no sense, and huge numbers cannot be written."""


def words(told: object) -> list[str]:
    """`told` as arguments of a task and plans keep it: `cpus`, `memory_bytes`, `labels`, each or none. Nothing is said
    of what makes no sense."""
    if not isinstance(told, Mapping):
        return []
    cpus, memory, labels = told.get("cpus"), told.get("memory_bytes"), told.get("labels")
    said = [f"cpus={cpus:g}"] if isinstance(cpus, int | float) and 0 < cpus < _MOST else []
    said += [f"memory={_size(memory)}"] if isinstance(memory, int) and 0 < memory < _MOST else []
    return said + [str(one) for one in (labels if isinstance(labels, list | tuple) else ())][:_SHOWN_MAX]


def _size(size: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"
