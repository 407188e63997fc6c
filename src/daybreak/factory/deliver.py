"""The result goes to its place, whole or not at all, with a manifest that says where it comes from, and where it was
built with a signed statement of that.

A target that is there already is replaced only if it is ours and nobody changed it since: every file in it has
the hash that its manifest says, and there is no other file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from daybreak.errors import DeliveryError
from daybreak.factory.provenance import statement
from daybreak.host import tree
from daybreak.host.files import folder

MANIFEST = "daybreak.manifest.json"
PROVENANCE = statement.FILE
DELIVERED = tree.Limits(entries=2 * tree.LIMITS.entries, bytes=2 * tree.LIMITS.bytes)
"""What was verified, its manifest, and what somebody may have put beside it since."""
OURS = frozenset({MANIFEST, PROVENANCE})
"""Names that a delivery puts beside what was verified."""
FORMAT = 1
_NAMED = "provenance"
"""What the manifest calls the name of the file with the statement."""
NAMED_MAX = 5
"""How many changed files an error names."""


class NotOurs(DeliveryError):
    """The target holds something that Daybreak did not put there."""

    code = "D111"


class ChangedSince(DeliveryError):
    """The target was delivered by Daybreak and changed since."""

    code = "D112"


class DeliveredWrong(DeliveryError):
    """What arrived is not what was sent."""

    code = "D113"


class Origin(BaseModel):
    """Where a delivery comes from; the manifest's first part."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    name: str
    version: str
    run: str
    verified_at: str
    worker: str
    specification: str
    """SHA-256 of its text."""
    workspace: str
    """Hash of the tree that was verified."""
    passed: list[str]
    """The checks that passed on it, less examples that no worker has seen: against their ids, which are hashes of what
    they say, somebody could try guesses."""
    held_out: int
    """How many examples no worker has seen."""
    held_out_passed: int = 0
    """How many of these passed on it."""


@dataclass(frozen=True)
class Manifest:
    files: dict[str, str]
    """Path → SHA-256, without the manifest itself."""
    hash: str
    """SHA-256 of the manifest file."""
    provenance: str = ""
    """SHA-256 of the provenance file; empty where there is none."""


Attest = Callable[[tree.Tree], bytes]
"""Makes the provenance file of everything else that is delivered, the manifest included."""


def check_target(target: Path) -> None:
    """Whether a delivery to `target` would be refused as things are. Looks only. Raises DeliveryErrors."""
    folder.check_target(target)
    if target.exists():
        _refuse_if_not_ours(target)


def deliver(project: Path, target: Path, origin: Origin, attest: Attest | None = None) -> Manifest:
    """Write the manifest, and what `attest` makes, into `project` and put the whole at `target`; then read back every
    byte. Doing it again with the same arguments changes nothing."""
    return put(project, target, origin.model_dump(mode="json"), attest)


def put(project: Path, target: Path, head: dict[str, Any], attest: Attest | None = None) -> Manifest:
    """As `deliver`, with other words at the head of the manifest."""
    check_target(target)
    scanned = tree.scan(project, DELIVERED)
    files = scanned.files
    named = {} if attest is None else {_NAMED: PROVENANCE}
    manifest = {"format": FORMAT, **head, **named, "files": files}
    data = (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode()
    (project / MANIFEST).write_bytes(data)
    digest, signed = hashlib.sha256(data).hexdigest(), b""
    if attest is not None:
        entries = [*scanned.entries, tree.Entry(MANIFEST, False, digest, len(data))]
        signed = attest(tree.Tree(tuple(sorted(entries, key=lambda entry: entry.path))))
        (project / PROVENANCE).write_bytes(signed)
    folder.put_folder(project, target, refuse=_refuse_if_not_ours)
    differences = changes(target)
    for name, sent in ((MANIFEST, data), (PROVENANCE, signed)):
        if sent and (target / name).read_bytes() != sent:
            differences.append(f"changed {name}")
    if differences:
        raise DeliveredWrong(
            f"{target} differs from what was sent: {_named(differences)}",
            hint="the disk may be failing: look at the system's log, then deliver to another one",
        )
    return Manifest(files, digest, hashlib.sha256(signed).hexdigest() if signed else "")


def changes(target: Path) -> list[str]:
    """What differs between a delivered folder and its manifest: `changed PATH`, `added PATH`, `removed PATH`, sorted.

    Raises NotOurs if there is no readable manifest. Of the provenance file, which no manifest can have the hash of, it
    says only whether it is there where the manifest names it."""
    manifest = _read_manifest(target)
    expected: dict[str, str] = manifest["files"]
    found = {path: digest for path, digest in tree.scan(target, DELIVERED).files.items() if path != MANIFEST}
    if manifest.get(_NAMED) == PROVENANCE:
        expected = {**expected, PROVENANCE: found.get(PROVENANCE, "")}
    told = [f"changed {path}" for path in expected.keys() & found.keys() if expected[path] != found[path]]
    told += [f"added {path}" for path in found.keys() - expected.keys()]
    told += [f"removed {path}" for path in expected.keys() - found.keys()]
    return sorted(told, key=lambda one: one.split(" ", 1)[1])


def run_at(target: Path) -> str:
    """The run whose manifest lies there; empty where there is none that can be read."""
    try:
        run = _read_manifest(target).get("run")
    except NotOurs:
        return ""
    return run if isinstance(run, str) else ""


def packed(target: Path) -> bytes:
    """A delivery that nobody changed since, as a packed tree with its manifest; nothing where there is none."""
    try:
        return tree.pack(target, DELIVERED) if target.is_dir() and not changes(target) else b""
    except (NotOurs, tree.NotATree):
        return b""


def _refuse_if_not_ours(target: Path) -> None:
    if not any(target.iterdir()):
        return  # an empty folder holds nothing of anybody's
    try:
        differences = changes(target)
    except tree.NotATree as error:
        raise ChangedSince(
            f"{target} was changed since it was delivered: {error.message}", hint=_OUT_OF_THE_WAY
        ) from error
    if differences:
        raise ChangedSince(f"{target} was changed since it was delivered: {_named(differences)}", hint=_OUT_OF_THE_WAY)


_OUT_OF_THE_WAY = "nothing was touched; choose another folder with --output, or move this one away"


def _read_manifest(target: Path) -> dict[str, Any]:
    refusal = NotOurs(f"{target} is there and was not delivered by Daybreak", hint=_OUT_OF_THE_WAY)
    try:
        manifest = json.loads((target / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise refusal from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise refusal
    if not isinstance(manifest.get("files"), dict):
        raise refusal
    return manifest


def _named(differences: list[str]) -> str:
    more = len(differences) - NAMED_MAX
    return ", ".join(differences[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
