"""Handing over what was mended: as a branch, a patch or in place, with a manifest of where it comes from."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from daybreak import events
from daybreak.clock import stamp
from daybreak.engine import Kept, Parked
from daybreak.errors import DeliveryError, HostError
from daybreak.factory.validate import delivery
from daybreak.factory.validate.job import Job
from daybreak.factory.validate.state import State
from daybreak.host.workspaces import Author


async def deliver(job: Job, first: State, best: State, branch: str) -> dict[str, Any]:
    """Where the best state went (`branch`: the name of one that is made), as a step. Parked where it cannot be put
    there; nothing of the user's was touched then."""
    verified_at = await job.ctx.now()

    def put() -> Kept:
        try:
            return _send(job, first, best, verified_at, branch)
        except (DeliveryError, HostError) as error:
            raise Parked(f"{error.message}: deliver again?", why=f"{error.code}: {error.hint}") from error

    kept: dict[str, Any] = await job.ctx.step("deliver", put)
    return kept


def _send(job: Job, first: State, best: State, verified_at: datetime, branch: str) -> Kept:
    args = job.args
    job.need(best.commit)
    folder = Path(args.folder)
    patch = job.states.difference(job.base, best.commit)
    data = job.ledger.put_blob(patch)
    tree = job.tree(best.commit)
    manifest = _manifest(job, first, best, verified_at, tree, data)
    digest = job.ledger.put_blob(json.dumps(manifest, indent=2, ensure_ascii=False).encode())
    target = Path(args.patch) if args.delivery == "patch" else Path(args.root or folder)
    job.warden.may_deliver(job.site.number, target)
    if args.delivery == "patch":
        delivery.patch_file(Path(args.patch), patch)
        output = args.patch
    elif args.delivery == "in-place":
        changed = delivery.in_place(folder, job.states, job.base, best.commit)
        output = f"{folder} ({len(changed)} files changed)"
    else:
        output = _branch(job, best, patch, verified_at, digest, branch)
    told = events.Delivered(run=job.ctx.run, output=output, workspace=tree, manifest=digest)
    return Kept({"output": output, "manifest": digest, "patch": data}, tell=[told])


def _branch(job: Job, best: State, patch: bytes, verified_at: datetime, manifest: str, name: str) -> str:
    args = job.args
    with job.site.scratch() as scratch:
        commit = delivery.branch(
            scratch,
            job.clock,
            Path(args.root),
            args.prefix,
            args.commit,
            patch,
            name,
            _message(job, best, verified_at, manifest),
            Author(args.author_name, args.author_email),
            int(verified_at.timestamp()),
        )
    return f"{args.root} (branch {name}, commit {commit[:12]})"


def _manifest(job: Job, first: State, best: State, verified_at: datetime, tree: str, patch: str) -> dict[str, Any]:
    """Where the result comes from: everything that anybody needs to see the same."""
    return {
        "format": 1,
        "run": job.ctx.run,
        "folder": job.args.folder,
        "base": job.args.commit,
        "patch": patch,
        "workspace": tree,
        "attempts": job.tries,
        "verified_at": stamp(verified_at),
        "before": first.table.model_dump(mode="json"),
        "after": best.table.model_dump(mode="json"),
    }


def _message(job: Job, best: State, verified_at: datetime, manifest: str) -> str:
    table = best.table
    trailers = [
        ("Run", job.ctx.run),
        ("Gate", f"{table.verdict}, score {table.score:g} of {table.threshold:g}"),
        ("Verified", stamp(verified_at)),
        *(("Check", f"{row.check}: {row.score:g}: {row.summary}") for row in table.rows),
        ("Manifest", f"sha256:{manifest}"),
    ]
    lines = [f"Daybreak-{name}: {' '.join(value.split())[:300]}" for name, value in trailers]
    what = "Mend what the checks found" if table.verdict == "passed" else "Mend a part of what the checks found"
    return "\n".join([what, "", *lines]) + "\n"
