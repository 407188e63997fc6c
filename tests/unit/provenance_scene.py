"""A small delivery with its provenance, made by the real ledger and the real delivery, in milliseconds."""

from __future__ import annotations

import base64
import json
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from tests.unit import ledger_home as shelf

from daybreak import events
from daybreak.factory import deliver
from daybreak.factory.phases.wanted import BuildArgs
from daybreak.factory.provenance import checking, making, statement, vouching
from daybreak.host import tree
from daybreak.ledger import Draft, Ledger, dsse

RUN = "run-1"
WORKSPACE = "1" * 64
SPECIFICATION = "2" * 64
HELD_OUT = "0123456789ab"
VERIFIED = "2026-11-21T04:00:00.000000Z"


def seen(check: str, *, held_out: bool = False, workspace: str = WORKSPACE, output: str = "") -> events.CheckLooked:
    evidence = {"check": check, "workspace": workspace, "outcome": "passed", "summary": "", "output": output}
    return events.CheckLooked(run=RUN, attempt=1, held_out=held_out, evidence=evidence)


def claimed(worker: str = "json:one", attempt: int = 1) -> events.AttemptClaimed:
    return events.AttemptClaimed(
        run=RUN, attempt=attempt, worker=worker, outcome="finished", summary="done", workspace=WORKSPACE
    )


def called(provider: str = "local", model: str = "small/1") -> events.ModelCalled:
    return events.ModelCalled(run=RUN, attempt=1, provider=provider, model=model, status=200)


def decided(
    workspace: str = WORKSPACE, verdict: Literal["passed", "failed", "parked"] = "passed"
) -> events.GateDecided:
    table = [{"kind": "example", "checks": [f"example:{HELD_OUT}"]}]
    return events.GateDecided(
        run=RUN, attempt=1, workspace=workspace, verdict=verdict, score=97.5, threshold=80.0, table=table
    )


STORY = (
    claimed(),
    called(),
    called(),
    seen("tests", workspace="9" * 64),
    seen("tests"),
    seen(f"example:{HELD_OUT}", held_out=True, output="the secret answer"),
    decided(),
)


class Scene:
    """A home, and a folder that was delivered from it."""

    def __init__(self, root: Path) -> None:
        self.home = shelf.Home(root / "home")
        self.out = root / "out"
        self._work = root / "work"
        self._nth = len(list(self._work.glob("*")))

    def open(self) -> Ledger:
        return self.home.open()

    def happens(self, ledger: Ledger, *story: events.Event) -> None:
        stream = events.run_stream(RUN)
        if not (epoch := ledger.epoch(stream)):
            epoch = 1
            story = (shelf.grant(RUN), *(story or STORY))
        ledger.append([Draft(stream, event, epoch=epoch) for event in story])

    def built(self, ledger: Ledger, **changes: Any) -> making.Built:
        given: dict[str, Any] = {
            "run": RUN,
            "args": BuildArgs(
                specification=SPECIFICATION,
                specification_name="/home/ada/secret-plans/notes.md",
                format="md",
                output=str(self.out),
                workers=("json:one", "builder"),
            ),
            "name": "notes",
            "version": "0.1.0",
            "started": "2026-11-21T03:00:00.000000Z",
            "verified": VERIFIED,
            "workspace": WORKSPACE,
            "held_out": 1,
            "records": tuple(ledger.read(events.run_stream(RUN))),
        }
        return making.Built(**given | changes)

    def project(self) -> Path:
        self._nth += 1
        folder = self._work / str(self._nth)
        (folder / "src" / "notes").mkdir(parents=True)
        (folder / "README.md").write_text("notes\n")
        (folder / "src" / "notes" / "é.py").write_text("one = 1\n")
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        return folder

    def deliver(self, ledger: Ledger, *, tell: bool = True, **changes: Any) -> deliver.Manifest:
        origin = deliver.Origin(
            name="notes",
            version="0.1.0",
            run=RUN,
            verified_at=VERIFIED,
            worker="json:one",
            specification=SPECIFICATION,
            workspace=WORKSPACE,
            passed=["tests"],
            held_out=1,
        )
        attest = partial(making.made, ledger, self.built(ledger, **changes))
        made = deliver.deliver(self.project(), self.out, origin, attest)
        if tell:
            self.tell(ledger, made)
        return made

    def tell(self, ledger: Ledger, made: deliver.Manifest) -> None:
        told = events.Delivered(
            run=RUN,
            output=str(self.out),
            workspace=WORKSPACE,
            manifest=made.hash,
            provenance=made.provenance,
        )
        self.happens(ledger, told)

    def whole(self) -> Scene:
        with self.open() as ledger:
            self.happens(ledger)
            self.deliver(ledger)
        return self

    # -- looking

    def check(self, **given: Any) -> checking.Checked:
        """With the ledger."""
        with self.open() as ledger:
            keys = vouching.keys_in(ledger)
            return checking.check(self.out, list(keys.values()), vouching.by_ledger(ledger, keys), **given)

    def differs(self, **given: Any) -> list[str]:
        found = self.check(**given)
        return found.told(found.differences)

    @property
    def file(self) -> Path:
        return self.out / statement.FILE

    def envelope(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.file.read_bytes())
        return told

    def stated(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(base64.b64decode(self.envelope()["payload"]))
        return told

    def forge(self, ledger: Ledger, told: Any, kind: str = statement.PAYLOAD_TYPE) -> None:
        """Put another statement there, well signed by the present key."""
        payload = told if isinstance(told, bytes) else msgspec.json.encode(told)
        self.file.write_bytes(dsse.sealed(kind, payload, ledger.vouch))

    def tree(self) -> tree.Tree:
        return tree.scan(self.out)
