"""`daybreak provenance verify|show`: is a delivered folder what its signed statement says, and what does that say?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.factory.provenance.checking import Checked
    from daybreak.factory.provenance.statement import Statement
    from daybreak.ledger import Verifier

EXAMPLES = (
    "Examples:  daybreak provenance verify result    "
    "daybreak provenance verify result --key ledger.vkey --proof delivered.proof    daybreak provenance show result"
)
NAMED_MAX = 20
"""How many differences are named in a line of their own."""

app = typer.Typer(
    help="Check where a delivered build comes from, and that nobody changed it.",
    no_args_is_help=True,
    epilog=EXAMPLES,
)


class NoKey(UsageError):
    """There is nothing to check a signature with."""

    code = "U400"


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `daybreak build` delivered.")]


@app.command("verify", epilog=EXAMPLES)
def verify(
    folder: Folder,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            "-k",
            help="The log's public key, the first or a later one: a file (ledger.vkey, or `ledger keys export --json`) "
            "or its text. Repeatable. Then this home's ledger is not asked.",
            metavar="KEY",
            show_default="this home's",
        ),
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option("--proof", help="Of the event `delivered`, as `ledger prove` writes it.", metavar="FILE"),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", help="Whose delivery it must be: any other, such as an older one, does not pass.", metavar="RUN"
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="With the keys alone: do not look into this home's ledger.")
    ] = False,
    allow_extra: Annotated[
        bool, typer.Option("--allow-extra", help="Files that were added are named and do not count against it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check signature, key, every file of DIR and the ledger. Exit 0 if all is as it was delivered, else 1.

    Without a ledger, what was not looked at is said. Nothing is written, and no link in DIR is followed.
    """
    from daybreak.factory.provenance import checking, vouching

    arguments.path(folder)
    if key or proof is not None or offline:
        keys = _keys(key or [])
        look = None
        if proof is not None:
            bundle = _proof(proof)
            look = vouching.by_proof(bundle, keys)
            keys = [*vouching.keys_of(bundle, keys)]
        found = checking.check(folder, keys, look, run=run, allow_extra=allow_extra)
    else:
        found = _with_ledger(folder, run=run, allow_extra=allow_extra)
    missing = not_looked(found, run_named=run is not None)
    if as_json:
        faces.result_json(_as_json(folder, found, missing))
    else:
        _tell(folder, found, missing)
    if not found.verified:
        sys.exit(faces.EXIT_FAILED)


@app.command("show", epilog=EXAMPLES)
def show(folder: Folder, as_json: Json = False) -> None:
    """Show what the statement in DIR says. Nothing of it is checked: `verify` does that."""
    from daybreak.factory.provenance import checking, statement
    from daybreak.ledger import dsse

    _, payload = dsse.read(checking.read_file(arguments.path(folder)), statement.PAYLOAD_TYPE)
    told = statement.parse(payload)
    if as_json:
        import msgspec

        faces.result_json(msgspec.to_builtins(told))
        return
    for line in _lines(told):
        faces.result(line)
    faces.say("this is what it says, unchecked: `daybreak provenance verify` checks it")


def _with_ledger(folder: Path, *, run: str | None, allow_extra: bool) -> Checked:
    from daybreak import home
    from daybreak.factory.provenance import checking, vouching
    from daybreak.ledger import keyfile
    from daybreak.ledger.proof import find_ledger

    where = home.places()
    # a ledger in Postgres brings its mirror by itself
    elsewhere = (where.keys / keyfile.PUBLIC).exists() and home.postgres(where) is not None
    if not (elsewhere or where.ledger.exists()):
        raise NoKey(
            "there is no ledger here that could know of it",
            hint="give the public key of the log that signed it: --key ledger.vkey",
        )
    if not elsewhere:
        find_ledger(where.ledger)
    with home.open_ledger(where, looking=True) as ledger:
        keys = vouching.keys_in(ledger)
        look = vouching.by_ledger(ledger, keys)
        return checking.check(folder, list(keys.values()), look, run=run, allow_extra=allow_extra)


def _keys(told: list[str]) -> list[Verifier]:
    """Those that were given, else what this home's folder of keys knows. Raises NoKey, FileUnusable, KeyWrong."""
    from daybreak import home
    from daybreak.cli.check import read_key
    from daybreak.ledger import keyfile

    if told:
        return [read_key(one) for one in told]
    keys = home.places().keys
    if not (keys / keyfile.PUBLIC).exists():
        raise NoKey("there is no public key here", hint="give the key of the log that signed it: --key ledger.vkey")
    return [keyfile.with_history(keys, keyfile.load_verifier(keys))]


def _proof(path: Path) -> Any:
    from daybreak.cli.prove import read_file
    from daybreak.ledger.bundle import BUNDLE_BYTES, read_proof

    return read_proof(read_file(arguments.path(path), BUNDLE_BYTES + 1, "the proof"))


def not_looked(found: Checked, *, run_named: bool) -> list[str]:
    """What nobody has looked at, in sentences."""
    if found.vouched is not None and found.vouched.how == "ledger":
        return []
    missing = []
    if found.vouched is None:
        missing.append(
            "whether the log names it: a key that was stolen and not yet revoked could have signed it "
            "(check it at its home, or with --proof)"
        )
    missing.append("whether its key was revoked or handed over since, beyond what was given says")
    if not run_named:
        missing.append("whether it is the delivery that you expect: an older one passes too (name its run with --run)")
    return missing


def _tell(folder: Path, found: Checked, missing: list[str]) -> None:
    told, span = found.statement, found.opened.span
    faces.result(f"{folder}: {'verified' if found.verified else 'NOT VERIFIED'}")
    for one in found.told(found.differences)[:NAMED_MAX]:
        faces.result(f"  {one}")
    if (more := len(found.differences) - NAMED_MAX) > 0:
        faces.result(f"  and {more:,} more (--json names all)")
    if any(one.kind == "added" for one in found.differences):
        faces.result("  what was added is covered by nothing; --allow-extra leaves it out of account")
    inside = told.predicate.build_definition.internal_parameters
    when = told.predicate.run_details.metadata.finished_on
    faces.result(f"{inside.get('name', '?')} {inside.get('version', '')} of the run {told.run}, finished {when}")
    faces.result(f"signed by {span.verifier.key_id} of {span.verifier.origin}: {len(told.subject):,} files")
    if found.vouched is not None:
        seen = found.vouched
        faces.result(f"named by {seen.place} (event {seen.index:,}) in the {seen.how}, head of {seen.size:,} events")
    for one in found.told(found.extra)[:NAMED_MAX]:
        faces.result(f"not covered: {one}")
    if (more := len(found.extra) - NAMED_MAX) > 0:
        faces.result(f"not covered: {more:,} more (--json names all)")
    for sentence in missing:
        faces.result(f"not looked at: {sentence}")


def _as_json(folder: Path, found: Checked, missing: list[str]) -> dict[str, Any]:
    span, seen = found.opened.span, found.vouched
    event = None if seen is None else {"index": seen.index, "place": seen.place, "head": seen.size, "in": seen.how}
    return {
        "folder": folder,
        "verified": found.verified,
        "run": found.statement.run,
        "finished": found.statement.predicate.run_details.metadata.finished_on,
        "files": len(found.statement.subject),
        "differences": [{"kind": one.kind, "path": one.path, "why": one.why} for one in found.differences],
        "extra": [{"kind": one.kind, "path": one.path, "why": one.why} for one in found.extra],
        "provenance": found.opened.digest,
        "log": span.verifier.origin,
        "key": span.verifier.key_id,
        "event": event,
        "not_looked": missing,
    }


def _lines(told: Statement) -> list[str]:
    """A page about it. Every text in it was chosen by somebody else."""
    build, run = told.predicate.build_definition, told.predicate.run_details
    inside = build.internal_parameters
    lines = [
        f"run        {run.metadata.invocation_id}, {run.metadata.started_on} to {run.metadata.finished_on}",
        f"built      {inside.get('name', '?')} {inside.get('version', '')}, {len(told.subject):,} files",
        f"builder    {run.builder.id} ({', '.join(f'{name} {one}' for name, one in run.builder.version.items())})",
    ]
    lines += [f"asked      {name}: {value}" for name, value in build.external_parameters.items()]
    for one in build.resolved_dependencies:
        digest = f" sha256:{one.digest['sha256'][:16]}…" if "sha256" in one.digest else ""
        lines.append(f"from       {one.name} {one.uri}{digest}{_annotated(one.annotations)}")
    lines += [f"seen       {one.name}{_annotated(one.annotations)}" for one in run.byproducts]
    return lines


def _annotated(notes: dict[str, Any]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in notes.items())})" if notes else ""
