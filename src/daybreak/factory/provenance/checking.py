"""Is a folder what its provenance says? Looks at the signature, the key, every file, and whatever can vouch for it.

The folder may be anybody's work. No link is followed, nothing that could make us wait is opened, and folders that the
statement does not speak of are named and not entered. Nothing here writes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daybreak.errors import DeliveryError
from daybreak.factory.deliver import DELIVERED
from daybreak.factory.provenance import statement
from daybreak.factory.provenance.statement import FILE, Resource, Statement
from daybreak.host.tree import folders
from daybreak.host.tree.shape import shown, words
from daybreak.ledger import Verifier, dsse
from daybreak.ledger.dsse import Opened

_CHUNK_BYTES = 1 << 20


class ProvenanceMissing(DeliveryError):
    """There is no provenance in the folder, or what has its name is no ordinary file."""

    code = "D171"


class FolderUnusable(DeliveryError):
    """The folder cannot be compared: it cannot be read, or holds far more than was delivered."""

    code = "D172"


class OtherRun(DeliveryError):
    """It is the delivery of another run than the one that is expected."""

    code = "D174"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in the folder that is not as it was signed."""

    kind: Literal["changed", "missing", "added"]
    path: str
    """Ends with `/` for a whole folder."""
    why: str = ""

    def words(self, *, escaped: bool = False) -> str:
        """`escaped`: letters beyond ASCII as numbers, where two names look the same."""
        name = ascii(self.path) if escaped else shown(self.path)
        return f"{self.kind} {name}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Vouched:
    """An event of the ledger that names the very file."""

    index: int
    place: str
    size: int
    """Of the signed head in which the event was proved."""
    how: Literal["ledger", "proof"]
    """What was looked at."""
    own: int
    """The event's index in the log whose key signed: another one where a log goes on from a restored copy."""


Vouching = Callable[[Opened, Statement], Vouched]
"""Finds the event. Raises NotVouched where there is none."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. Everything that is not true is either a difference or was raised."""

    statement: Statement
    opened: Opened
    differences: tuple[Difference, ...]
    """Against it, sorted by path."""
    extra: tuple[Difference, ...]
    """Added, and allowed."""
    vouched: Vouched | None

    @property
    def verified(self) -> bool:
        return not self.differences

    def told(self, found: Sequence[Difference]) -> list[str]:
        """In words, twins of names told apart."""
        forms: dict[str, int] = {}
        for one in (*self.differences, *self.extra):
            form = unicodedata.normalize("NFKC", one.path).casefold()
            forms[form] = forms.get(form, 0) + 1
        return [
            one.words(escaped=forms[unicodedata.normalize("NFKC", one.path).casefold()] > 1 and not one.path.isascii())
            for one in found
        ]


def check(
    folder: Path,
    keys: Sequence[Verifier],
    vouching: Vouching | None = None,
    *,
    run: str | None = None,
    allow_extra: bool = False,
) -> Checked:
    """Compare `folder` with its provenance. `keys`: of logs that may have signed it. `vouching`: finds the event of the
    ledger that names it; without, nothing vouches but the signature. `run`: whose delivery is expected; without, any
    earlier one passes too. `allow_extra`: what was added is told and does not count against it.

    Raises ProvenanceMissing, FolderUnusable, NotATree, StatementWrong, EnvelopeUnreadable, EnvelopeByAnother,
    EnvelopeChanged, EnvelopeByEndedKey, OtherRun, and what `vouching` raises."""
    opened = dsse.opened(read_file(folder), statement.PAYLOAD_TYPE, keys)
    told = statement.parse(opened.payload)
    vouched = None if vouching is None else vouching(opened, told)
    dsse.refuse_ended(opened.span, told.position[0], None if vouched is None else vouched.own)
    if run not in (None, told.run):
        raise OtherRun(
            f"{shown(str(folder))} is the delivery of the run {shown(told.run[:100])}, not of {shown(str(run)[:100])}",
            hint="ask for the one of that run; an older delivery is well signed too.",
        )
    found = compare(folder, told.files)
    extra = tuple(one for one in found if allow_extra and one.kind == "added")
    return Checked(told, opened, tuple(one for one in found if one not in extra), extra, vouched)


def read_file(folder: Path) -> bytes:
    """The provenance file as it is. Raises ProvenanceMissing, NotATree."""
    root = folders.open_root(folder)
    try:
        handle = folders.open_file(root, FILE)
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _missing(folder, "is no ordinary file")
            return file.read(dsse.ENVELOPE_BYTES + 1)
    except FileNotFoundError:
        raise _missing(folder, "is not there") from None
    except OSError as error:  # a link, a socket, a folder, or no right to read it
        raise _missing(folder, f"cannot be read as an ordinary file: {words(error)}") from error
    finally:
        folders.close(root)


def compare(folder: Path, expected: Mapping[str, Resource]) -> list[Difference]:
    """What is not as it was delivered, sorted by path. Raises FolderUnusable, NotATree."""
    above = {path[:at] for path in expected for at, letter in enumerate(path) if letter == "/"}
    looking = _Looking(expected, above)
    with folders.Position(folders.open_root(folder)) as position:
        try:
            looking.list(position, "")
            looking.hash(position)
        except OSError as error:
            raise FolderUnusable(
                f"{shown(str(folder))} cannot be read, or changed meanwhile: {words(error)}",
                hint="end the programs that write in the folder, then try again",
            ) from error
    looking.found += [Difference("missing", path) for path in expected if path not in looking.seen]
    return sorted(looking.found, key=lambda one: os.fsencode(one.path))


class _Looking:
    """One look at a folder."""

    def __init__(self, expected: Mapping[str, Resource], above: set[str]) -> None:
        self.expected, self.above = expected, above
        self.found: list[Difference] = []
        self.seen: set[str] = set()
        """Covered paths at which anything is."""
        self._files: list[str] = []
        self._entries = self._bytes = 0

    def list(self, position: folders.Position, prefix: str) -> None:
        """Sort out the entries of one folder, then of those in it that the statement speaks of."""
        position.go(f"{prefix}x")
        inside: list[str] = []
        for name, status in folders.entries_of(position.here):
            self._entries += 1
            if self._entries > DELIVERED.entries:
                raise _too_much(f"more than {DELIVERED.entries:,} files and folders")
            path = prefix + name
            if stat.S_ISDIR(status.st_mode) and path in self.above:
                inside.append(f"{path}/")
            elif path != FILE or prefix:
                self._one(path, status)
        for below in sorted(inside):
            self.list(position, below)

    def _one(self, path: str, status: os.stat_result) -> None:
        folder = stat.S_ISDIR(status.st_mode)
        ordinary = stat.S_ISREG(status.st_mode)
        kind = "a folder" if folder else "a symbolic link" if stat.S_ISLNK(status.st_mode) else "a special file"
        if path not in self.expected:
            at = f"{path}/" if folder else path
            self.found.append(Difference("added", at, "" if ordinary or folder else kind))
            return
        self.seen.add(path)
        executable = bool(status.st_mode & stat.S_IXUSR)
        if not ordinary:
            self.found.append(Difference("changed", path, f"it is {kind}"))
        elif os.name != "nt" and executable != bool(self.expected[path].annotations.get(statement.EXECUTABLE)):
            self.found.append(Difference("changed", path, f"it may {'' if executable else 'not '}be executed now"))
        else:
            self._files.append(path)

    def hash(self, position: folders.Position) -> None:
        """Read the ordinary files, in order of their paths."""
        for path in sorted(self._files):
            position.go(path)
            if self._digest(position.here, path.rpartition("/")[2]) != self.expected[path].digest["sha256"]:
                self.found.append(Difference("changed", path))

    def _digest(self, at: folders.Place, name: str) -> str:
        handle = folders.open_file(at, name)
        with open(handle, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return ""  # somebody exchanged it just now
            hasher = hashlib.sha256()
            while chunk := file.read(_CHUNK_BYTES):
                self._bytes += len(chunk)
                if self._bytes > DELIVERED.bytes:
                    raise _too_much(f"more than {DELIVERED.bytes:,} bytes in files that were delivered")
                hasher.update(chunk)
        return hasher.hexdigest()


def _missing(folder: Path, why: str) -> ProvenanceMissing:
    return ProvenanceMissing(
        f"{FILE} in {shown(str(folder))} {why}",
        hint="name the folder that `daybreak build` delivered; what older versions delivered has none.",
    )


def _too_much(what: str) -> FolderUnusable:
    return FolderUnusable(
        f"there are {what}: no delivery is so large", hint="check a folder that holds the result only"
    )
