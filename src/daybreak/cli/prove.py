"""`daybreak ledger prove`: hand out an event with its proof."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import Json
from daybreak.errors import UsageError

if TYPE_CHECKING:
    from daybreak.config import Places
    from daybreak.ledger import Bundle, Prover
    from daybreak.ledger.proof import Chain

EXAMPLES = (
    "Examples:  daybreak ledger prove 17 --output event.proof    daybreak ledger prove run:run-0k3#4 --chain all\n\n"
    "daybreak ledger prove 10..20 > few.proof    daybreak ledger prove --from yesterday.head --output grown.proof"
)
_RANGE = re.compile(r"([0-9]{1,15})\.\.([0-9]{1,15})")
_TEXT_BYTES = 1024 * 1024
"""The longest key or checkpoint that is read."""


class ProofAskWrong(UsageError):
    """What is to be proved, or with what, is not said in a way that has a meaning."""

    code = "U251"


class FileUnusable(UsageError):
    """A file named on the command line cannot be read, or holds no key."""

    code = "U252"


class OutputTaken(UsageError):
    """The file to write is there already, or cannot be made."""

    code = "U253"


def prove(
    events: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to prove: an event's index, STREAM#SEQ or id, or INDEX..INDEX. Repeatable.",
            show_default=False,
            metavar="EVENT",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A file that is not there yet.", show_default="standard output", metavar="FILE"
        ),
    ] = None,
    older: Annotated[
        Path | None,
        typer.Option("--from", help="A checkpoint: prove that the log continues it.", metavar="CHECKPOINT"),
    ] = None,
    at: Annotated[
        Path | None,
        typer.Option("--at", help="A checkpoint to prove in.", metavar="CHECKPOINT", show_default="the newest"),
    ] = None,
    chain: Annotated[
        str | None,
        typer.Option(
            "--chain",
            help="How many events before it in its stream go with an event: a number or `all`.",
            show_default="all up to 1000, none beyond or with several events",
            metavar="N",
        ),
    ] = None,
    payloads: Annotated[bool, typer.Option("--payloads", help="Also the payloads of the chain.")] = False,
    withhold: Annotated[
        bool, typer.Option("--without-payload", help="Prove that it happened, without saying what it says.")
    ] = False,
    disclose: Annotated[
        bool, typer.Option("--disclose", help="Of a secret event also what it says, so that it can be checked.")
    ] = False,
    cosigned: Annotated[
        bool, typer.Option("--cosigned", help="In the newest checkpoint that witnesses have cosigned.")
    ] = False,
    tlog: Annotated[bool, typer.Option("--tlog", help="As a C2SP tlog-proof, which other programs can check.")] = False,
    as_json: Json = False,
) -> None:
    """Write a proof that EVENT is in the log, which anybody can check offline with the public key alone."""
    from daybreak import home
    from daybreak.ledger import Prover, keyfile, write_bundle, write_tlog
    from daybreak.ledger.proof import find_ledger
    from daybreak.ledger.subjects import SubjectKeys

    if not events and older is None:
        raise ProofAskWrong("there is nothing to prove", hint="name an event, or a checkpoint with --from.")
    if as_json and output is None:
        raise ProofAskWrong("--json tells about a file", hint="give --output too; the proof itself is JSON.")
    if cosigned and at is not None:
        raise ProofAskWrong("--cosigned and --at were given", hint="give one of the two.")
    notes = [None if path is None else read_text(path, "the checkpoint") for path in (older, at)]
    where = home.places()
    find_ledger(where.ledger)  # before its key: where there is no ledger, no key is missing
    if cosigned:
        notes[1] = _cosigned(where)
    with Prover(where.ledger, keyfile.load_verifier(where.keys)) as prover:
        wanted = [index for name in events or [] for index in _indexes(prover, name)]
        made = prover.prove(
            wanted,
            chain=_chain(chain),
            payloads=payloads,
            withhold=withhold,
            older=notes[0],
            at=notes[1],
            disclose=SubjectKeys(where.keys, where.witness) if disclose else None,
        )
    data = write_tlog(made) if tlog else write_bundle(made)
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_new(output, data)
    _tell_made(made, output, len(data), where.keys / keyfile.PUBLIC, as_json=as_json)


def _cosigned(where: Places) -> str:
    """The newest head that a witness has cosigned, with the cosignatures. Raises NotCosigned."""
    from daybreak.ledger import keyfile
    from daybreak.ledger.witness.kept import Kept
    from daybreak.ledger.witness.proving import NotCosigned

    verifier = keyfile.with_history(where.keys, keyfile.load_verifier(where.keys))
    for head in Kept(where.witness, verifier).cosigned():
        return head.text
    raise NotCosigned(
        "no witness has cosigned a head of this ledger",
        hint='name one of the kind "tlog" in daybreak.toml, then `daybreak ledger witness check`.',
    )


def _chain(text: str | None) -> Chain:
    if text is None:
        return "auto"
    return "all" if text == "all" else arguments.whole(0, 2**53 - 1)(text)


def _indexes(prover: Prover, name: str) -> list[int]:
    from daybreak.ledger.bundle import EVENTS_MAX

    if (ends := _RANGE.fullmatch(name)) is None:
        return [prover.find(name, faces.counter("looked through"))]
    first, last = int(ends[1]), int(ends[2])
    if not first <= last < first + EVENTS_MAX:
        raise ProofAskWrong(
            f"{name} is no range of events", hint=f"write FIRST..LAST, both included, at most {EVENTS_MAX} events."
        )
    return list(range(first, last + 1))


def write_new(path: Path, data: bytes) -> None:
    """Never over a file that is there. Raises OutputTaken."""
    arguments.path(path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise OutputTaken(f"{path} is there already", hint="name another file, or move that one away.") from error
    except OSError as error:
        raise OutputTaken(f"{path} cannot be made: {error.strerror}", hint="name a file elsewhere.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)  # ours: it was made just now
        raise OutputTaken(f"{path} cannot be written: {error.strerror}", hint="look at the disk.") from error


def _tell_made(made: Bundle, output: Path | None, size: int, key: Path, *, as_json: bool) -> None:
    """`key`: the file that whoever checks it needs, beside what was made."""
    from daybreak.ledger.record import decode_header

    if as_json:
        told = {
            "output": output,
            "bytes": size,
            "events": [entry.index for entry in made.events],
            "chain": sum(len(entry.chain) for entry in made.events),
            "checkpoint": made.checkpoint,
            "key": key,
        }
        faces.result_json(told)
        return
    speak = faces.say if output is None else faces.result
    if output is not None:
        speak(f"{output}: {size:,} bytes; check it with `daybreak ledger check {output} --key {key}`")
    if len(made.events) == 1:
        entry = made.events[0]
        header = decode_header(entry.header)
        if len(entry.chain) < header.seq:
            left = header.seq - len(entry.chain)
            speak(f"the first {left:,} events of {header.stream} are not in it (--chain all puts them in)")


def read_file(path: Path, most: int, what: str) -> bytes:
    """Its first `most` bytes. Raises FileUnusable."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise FileUnusable(
            f"{what} {path} cannot be read: {error.strerror}", hint="check its name and its rights."
        ) from error


def read_text(path: Path, what: str) -> str:
    """A key or a checkpoint. Raises FileUnusable."""
    data = read_file(arguments.path(path), _TEXT_BYTES + 1, what)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FileUnusable(f"{what} {path} is not text", hint="name the file that holds it.") from error
