"""Makes the statement of one build from what the ledger says of its run.

Everything in it was written down before the delivery begins, but for the versions of the programs of the process that
delivers: the same delivery made again after a crash by the same programs has the same statement. Of examples that no
worker has seen it holds how many there are and how many passed: no name, no word, and no hash against which somebody
could try guesses. Of the machine it holds no path and no address.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol
from urllib.parse import quote

from daybreak import events
from daybreak.factory.phases.wanted import BuildArgs
from daybreak.factory.provenance import statement
from daybreak.factory.provenance.statement import Resource, Statement
from daybreak.host.tree import Tree
from daybreak.ledger import Record, Verifier, dsse
from daybreak.policy.redaction import redact
from daybreak.version import __version__

NAMES = "https://daybreak.local"
_TOOLS = ("bandit", "coverage", "hatchling", "mypy", "pytest", "ruff")
"""Programs of this environment that build and check what is built."""
_HELD_OUT = "held-out examples"
_TEXT_MAX = 200
"""Characters of a name that somebody else has chosen."""
_PLACE = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]*:/")
"""How a folder of somebody's machine, or an address, begins: programs that serve models call these by their files."""


class Signing(Protocol):
    """What is needed of the ledger that signs."""

    @property
    def verifier(self) -> Verifier: ...
    def root(self, size: int) -> bytes: ...
    def vouch(self, statement: bytes) -> tuple[str, Verifier]: ...


@dataclass(frozen=True, slots=True)
class Built:
    """What is known of a build that passed its gate."""

    run: str
    args: BuildArgs
    name: str
    version: str
    started: str
    verified: str
    """Moments as in the ledger."""
    workspace: str
    """Hash of the tree that was verified."""
    held_out: int
    records: tuple[Record, ...]
    """The run's own stream."""


def made(ledger: Signing, built: Built, delivered: Tree) -> bytes:
    """The file: the statement about every file of `delivered`, signed with the ledger's key. Raises as
    `Ledger.vouch`."""
    told = stated(built, delivered, ledger.verifier.origin, ledger.root)
    return dsse.sealed(statement.PAYLOAD_TYPE, told.data, ledger.vouch)


def stated(built: Built, delivered: Tree, origin: str, root: Callable[[int], bytes]) -> Statement:
    """The statement alone. `root`: of the ledger's first so many events."""
    gate = _gate(built)
    size = gate.index + 1
    details = statement.Details(
        builder=statement.Builder(id=f"https://{origin}", version=_versions()),
        metadata=statement.Metadata(invocation_id=built.run, started_on=built.started, finished_on=built.verified),
        byproducts=[
            _decided(gate, origin),
            *_evidence(built, gate),
            *_unseen(built, gate, origin),
            Resource(
                name=statement.LEDGER,
                uri=f"https://{origin}",
                annotations={"origin": origin, "size": size, "root": root(size).hex()},
            ),
        ],
    )
    return Statement(
        type=statement.STATEMENT,
        subject=[_subject(entry.path, entry.sha256, entry.executable) for entry in delivered.entries],
        predicate_type=statement.PREDICATE,
        predicate=statement.Predicate(build_definition=_definition(built, gate), run_details=details),
    )


def _subject(path: str, digest: str, executable: bool) -> Resource:
    return Resource(
        name=path, digest={"sha256": digest}, annotations={statement.EXECUTABLE: True} if executable else {}
    )


def _definition(built: Built, gate: Record) -> statement.Definition:
    args = built.args
    asked = {
        "specification": {"sha256": args.specification},
        "format": args.format,
        "workers": [_cut(worker) for worker in args.workers],
        "sandbox": args.sandbox,
        "assume": args.assume,
        "acceptUnshown": args.accept_unshown,
        "drafted": bool(args.requirement),
    }
    decided = gate.event
    assert isinstance(decided, events.GateDecided)
    inside = {
        "name": built.name,
        "version": built.version,
        "workspace": built.workspace,
        "phases": [phase.name for phase in args.phases.ahead] if args.phases is not None else [],
        "heldOut": built.held_out,
        "threshold": decided.threshold,
        "attempts": sum(isinstance(record.event, events.AttemptClaimed) for record in built.records),
    }
    return statement.Definition(
        build_type=statement.BUILD_TYPE,
        external_parameters=asked,
        internal_parameters=inside,
        resolved_dependencies=[
            Resource(name="specification", digest={"sha256": args.specification}, media_type=_MEDIA[args.format]),
            *_taken(args),
            *_workers(built.records),
            *_tools(),
        ],
    )


_MEDIA: Mapping[str, str] = {
    "md": "text/markdown",
    "yaml": "application/yaml",
    "toml": "application/toml",
    "json": "application/json",
}


def _taken(args: BuildArgs) -> Iterator[Resource]:
    """What earlier runs left, where this build began with it, or was told what a person rejected in it."""
    if (taken := args.taken) is not None:
        left = {f"taken over: {_cut(name)}": blob for name, blob in taken.artefacts.items()}
        for name, blob in {"taken over": taken.tree, **left}.items():
            if blob:
                yield Resource(name=name, digest={"sha256": blob}, annotations={"run": taken.run})
    if (rejected := args.rejected) is not None and rejected.tree:
        yield Resource(name="rejected", digest={"sha256": rejected.tree}, annotations={"run": rejected.run})


def _workers(records: Iterable[Record]) -> Iterator[Resource]:
    """Who was asked, in which attempts, and which models answered through the gateway."""
    attempts: dict[str, list[int]] = {}
    models: dict[tuple[str, str], int] = {}
    for record in records:
        match record.event:
            case events.AttemptClaimed(worker=worker, attempt=attempt):
                attempts.setdefault(_cut(worker), []).append(attempt)
            case events.ModelCalled(provider=provider, model=model):
                key = (_cut(provider), _cut(model))
                models[key] = models.get(key, 0) + 1
    for worker, numbers in sorted(attempts.items()):
        yield Resource(name="worker", uri=_uri("worker", worker), annotations={"attempts": sorted(set(numbers))})
    for (provider, model), calls in sorted(models.items()):
        yield Resource(
            name="model",
            uri=_uri("model", provider, model),
            annotations={"provider": provider, "model": model, "calls": calls},
        )


def _tools() -> Iterator[Resource]:
    for name in _TOOLS:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        yield Resource(name=name, uri=f"pkg:pypi/{name}@{quote(version, safe='')}")


def _versions() -> dict[str, str]:
    return {"daybreak": __version__, "python": sys.version.split()[0]}


def _gate(built: Built) -> Record:
    """The decision that let this workspace pass: the last such one about it."""
    for record in reversed(built.records):
        told = record.event
        if isinstance(told, events.GateDecided) and (told.workspace, told.verdict) == (built.workspace, "passed"):
            return record
    raise statement.wrong("no gate has let pass what is delivered")


def _decided(gate: Record, origin: str) -> Resource:
    """By its place: its payload lists the held-out examples, so a hash of that would be one to try guesses against. The
    root of the ledger's tree, whose last event it is, holds it all the same."""
    decided = gate.event
    assert isinstance(decided, events.GateDecided)
    return Resource(
        name="gate",
        uri=f"https://{origin}",
        annotations={"event": gate.index, "verdict": decided.verdict, "score": decided.score},
    )


def _evidence(built: Built, gate: Record) -> Iterator[Resource]:
    """What checks saw of what is delivered, in the ledger's order; of held-out examples nothing."""
    for record, seen in _looked(built, gate):
        if not seen.held_out:
            told = {"event": record.index, "outcome": str(seen.evidence.get("outcome", ""))}
            yield Resource(name=_cut(str(seen.evidence.get("check", ""))), digest=_digest(record), annotations=told)


def _unseen(built: Built, gate: Record, origin: str) -> Iterator[Resource]:
    """How the held-out examples ended, as one number."""
    outcomes = {
        str(seen.evidence.get("check", "")): seen.evidence.get("outcome") == "passed"
        for _, seen in _looked(built, gate)
        if seen.held_out
    }
    if outcomes:
        told = {"examples": len(outcomes), "passed": sum(outcomes.values())}
        yield Resource(name=_HELD_OUT, uri=f"https://{origin}", annotations=told)


def _looked(built: Built, gate: Record) -> Iterator[tuple[Record, events.CheckLooked]]:
    """What was seen of the delivered workspace before the gate decided."""
    for record in built.records:
        seen = record.event
        if not isinstance(seen, events.CheckLooked) or record.index > gate.index:
            continue
        if seen.evidence.get("workspace") == built.workspace:
            yield record, seen


def _digest(record: Record) -> dict[str, str]:
    """Of the event's payload, as its header names it."""
    return {"sha256": sha256(record.payload).hexdigest()}


def _uri(kind: str, *names: str) -> str:
    return "/".join([NAMES, kind, *(quote(name, safe="") for name in names)])


def _cut(name: str) -> str:
    """A name as it may be handed on: no folder, no address, no secret, no half of a character, not too long."""
    if _PLACE.match(name):
        name = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return redact(name).text.encode("utf-8", "replace").decode()[:_TEXT_MAX]
