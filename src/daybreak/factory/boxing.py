"""The sandbox of an attempt: what the door allows to its worker, as it travels to the machine that does it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from daybreak import errors
from daybreak.agents import found as finding
from daybreak.agents.protocol import Order
from daybreak.factory import lending
from daybreak.factory.office import Office
from daybreak.factory.warden import Warden
from daybreak.host import process
from daybreak.host.sandbox import Strength
from daybreak.settings import BUILDER, Worker


@dataclass(frozen=True, slots=True)
class Box:
    """A sandbox that was allowed, as it travels (see `lending`)."""

    told: dict[str, Any]
    ours: Path
    given: dict[str, Path]
    """The worker's file and the templates, where there are any."""


def allowed(
    office: Office,
    warden: Warden,
    number: int,
    order: Order,
    worker: Worker,
    found: finding.Found,
    folder: Path,
    scratch: Path,
    *,
    require: Strength,
    memory_bytes: int,
) -> Box:
    """What the door allows attempt `number`, with what of it has a name. `memory_bytes`: 0 for what a sandbox has by
    itself. Raises NotAllowed and Parked as the warden does."""
    process.clean_environment(scratch)  # the folders that it makes are asked for below
    socket = [Path(order.terms.gateway.socket)] if order.terms.gateway is not None else []
    templates = [Path(order.terms.templates)] if order.terms.templates else []
    importable = _importable(office, order.worker)
    box = warden.worker_sandbox(
        number,
        (folder, scratch / "home", scratch / "tmp"),
        [*importable, *found.readable, *map(real, worker.readable), *socket, *templates],
        programs=[found.program] if found.program else [],
        secrets=worker.environment,
        network=worker.network,
        life=timedelta(seconds=order.terms.time_s),
        require=require,
    )
    if memory_bytes:
        box = replace(box, memory_bytes=memory_bytes)
    given = {**_called("worker", importable[1:]), **_called("templates", templates)}
    own = {"workspace": folder, "scratch": scratch, "ours": importable[0], **given, **_called("gateway", socket)}
    return Box(lending.told(box, {name: real(str(path)) for name, path in own.items()}), importable[0], given)


def loaded_as(worker: Worker) -> str:
    """The name by which the attempt's process loads it: a file by its real path, the only one that a sandbox knows."""
    if worker.kind != "python":
        return BUILDER if worker.kind == "builder" else worker.kind
    module, colon, name = worker.program.rpartition(":")
    return f"{real(module)}{colon}{name}" if module.endswith(".py") else worker.program


def real(path: str) -> Path:
    return Path(os.path.realpath(os.path.expanduser(path)))


def _importable(office: Office, loaded_as: str) -> list[Path]:
    """What the worker's process imports from, beside this environment's Python: where our own package lies, and
    the worker's file. Nothing else of this process's import path, which may name the user's own folder."""
    ours = Path(errors.__file__).resolve().parent
    around = [place.resolve() for place in (*office.places.private, Path.cwd())]
    alone = any(place.is_relative_to(ours.parent) for place in around)
    paths = [ours if alone else ours.parent]
    module = loaded_as.rpartition(":")[0]
    if module.endswith(".py"):
        paths.append(Path(module).resolve())
    return [path for path in paths if path.exists()]


def _called(name: str, paths: Sequence[Path]) -> dict[str, Path]:
    """The one path there is, by that name; or nothing."""
    return {name: path for path in paths[:1]}  # noqa: B035 - at most one
