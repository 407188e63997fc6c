"""What a task needs of a machine, as words of a command: `docker`, `gpu=a100`, `cpus=4`, `memory=8GiB`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daybreak.errors import UsageError, cut
from daybreak.factory.quantity import size_bytes
from daybreak.factory.spec.header import (
    CPUS,
    CPUS_MAX,
    CPUS_MIN,
    LABEL,
    LABELS_MAX,
    MEMORY_BYTES_MAX,
    MEMORY_BYTES_MIN,
)
from daybreak.factory.spec.model import Needed


class NeedsWrong(UsageError):
    """No machine can be asked for that."""

    code = "U401"


def read(words: Sequence[str]) -> Needed:
    """The same values, within the same limits, as `needs` in a specification. Raises NeedsWrong."""
    found: dict[str, Any] = {}
    labels: list[str] = []
    for word in words:
        name, _, text = word.partition("=")
        if name in ("cpus", "memory"):
            field, value = _cpus(word, text) if name == "cpus" else _memory(word, text)
            if field in found:
                raise NeedsWrong(f"{name} is needed twice: {cut(word)}", hint="say it once")
            found[field] = value
        elif LABEL.fullmatch(word):
            labels.append(word)
        else:
            raise NeedsWrong(
                f"no machine has a label {cut(word)}", hint="write docker, gpu=a100, cpus=4 or memory=8GiB"
            )
    once = tuple(dict.fromkeys(labels))
    if len(once) > LABELS_MAX:
        raise NeedsWrong(f"{len(once)} labels are needed", hint=f"at most {LABELS_MAX}")
    return Needed(**found, labels=once)


def _cpus(word: str, text: str) -> tuple[str, float]:
    if CPUS.fullmatch(text) and CPUS_MIN <= float(text) <= CPUS_MAX:
        return "cpus", float(text)
    raise NeedsWrong(f"{cut(word)} is no number of processors", hint=f"from {CPUS_MIN:g} to {CPUS_MAX:g}: cpus=4")


def _memory(word: str, text: str) -> tuple[str, int]:
    try:
        size = size_bytes(text)
    except ValueError as error:
        raise NeedsWrong(f"{cut(word)} is no memory: {error}", hint="write memory=512MB or memory=8GiB") from None
    if MEMORY_BYTES_MIN <= size <= MEMORY_BYTES_MAX:
        return "memory_bytes", size
    raise NeedsWrong(f"{cut(word)} is out of range", hint="from 64MiB to 1TiB")
