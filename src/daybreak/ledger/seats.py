"""Who works on a ledger that several homes share: every process that takes runs has a seat there, and beats.

A seat is named `HOME/PROCESS`: a random word that a home keeps in its folder of locks, and another one of the process.
So nobody takes another machine of the same name, or another home on one machine, for itself. Seats and beats are no
part of the log and never evidence: grants of leases, epochs and what was taken over are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from daybreak import ids
from daybreak.errors import EngineError
from daybreak.host.durable import make_folder, sync_folder

_BOOT = Path("/proc/sys/kernel/random/boot_id")
FILE = "home"
"""In a home's folder of locks: the home's word."""
LEASE_S = 60.0
"""A process that has a seat and is silent for so long is taken for dead."""
BEAT_MOST_S = 5.0


class HomeCopied(EngineError):
    """Two machines work under the name of one home."""

    code = "E264"


class KeysDiffer(EngineError):
    """Homes on one ledger have different keys where they must have one."""

    code = "E267"


class HomeNameBroken(EngineError):
    """The file with a home's name for others cannot be read or written."""

    code = "E265"


class Sitter(NamedTuple):
    """Somebody who has a seat."""

    seat: str
    host: str
    pid: int
    night: str
    """That it works for; empty where it is a command of a person."""
    lease_s: float
    """It promises to beat more often than this."""
    silent_s: float
    """Since its last beat, by the clock of the ledger's server."""
    beat: str
    """Differs from the last look's where it has beaten meanwhile."""
    mark: str = ""
    """What all homes must have in common; empty where it does not say."""
    place: str = ""
    """Where its home's folder lies; see `place_of`."""
    elder: bool = True
    """It took its seat before this process."""

    @property
    def lives(self) -> bool:
        return self.silent_s < self.lease_s

    def __str__(self) -> str:
        what = f"night {self.night}, " if self.night else ""
        return f"{what}process {self.pid} on {self.host}"


class Turn(Protocol):
    """Something that this home alone does now."""

    size: int
    """So many events the ledger held when it was taken: what others did in their turn is among them."""

    def release(self) -> None: ...


class Seats(Protocol):
    """This process's seat, and those of others. Safe to use from several threads."""

    @property
    def me(self) -> str:
        """The name of this process's seat, taken or not."""
        ...

    @property
    def taken(self) -> bool: ...

    async def sit(self, *, night: str = "", lease_s: float = LEASE_S, alone: bool = False) -> Sequence[Sitter]:
        """Take the seat and beat from now on. With a night, beats go on only as long as `feed` is called.

        `alone`: only where no other home's night is at work; those that are, else nothing: in one step, so that of two
        at the same moment one is told of the other. Raises LedgerError, HomeCopied.
        """
        ...

    async def others(self) -> Sequence[Sitter]:
        """All seats but this one, the oldest first. Raises LedgerError where nobody can be asked."""
        ...

    def look(self) -> Sequence[Sitter]:
        """As `others`, without an event loop."""
        ...

    def feed(self) -> None:
        """The night goes on."""
        ...

    def lapse_s(self) -> float:
        """How long this process was silent, where that was longer than its lease; told once. Else 0."""
        ...

    def turn(self, name: str) -> Turn:
        """What only one of all homes does at a time: taken at once, or LockHeld is raised. Raises LedgerError."""
        ...

    def stand(self) -> None:
        """Give the seat up. Raises nothing."""
        ...


def home_of(seat: str) -> str:
    return seat.partition("/")[0]


def beat_s(lease_s: float) -> float:
    """How often to beat."""
    return min(BEAT_MOST_S, lease_s / 6)


def is_here(seat: str, host: str, me: str, my_host: str) -> bool:
    """Was that an owner of this home? Where one of the two has no seat, the names of the hosts have to do."""
    return home_of(seat) == home_of(me) if seat and me else host == my_host


def name_of(locks: Path) -> str:
    """The word of the home whose locks lie there; empty where it has none yet. Raises HomeNameBroken."""
    path = locks / FILE
    try:
        word = path.read_text("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as problem:
        raise _broken(path, str(problem)) from problem
    if not word.isalnum() or len(word) > 64:
        raise _broken(path, "it holds no word")
    return word


def named(locks: Path, entropy: ids.Entropy) -> str:
    """As `name_of`; made where there is none. Raises HomeNameBroken."""
    if word := name_of(locks):
        return word
    path = locks / FILE
    fresh = path.with_name(f".{FILE}.{entropy(6).hex()}")
    try:
        make_folder(locks)
        with fresh.open("x", encoding="ascii") as file:
            file.write(entropy(8).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # whole, and only one of two at the same moment
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        sync_folder(locks)
    except OSError as problem:
        raise _broken(path, str(problem)) from problem
    return name_of(locks)


def place_of(locks: Path, host: str) -> str:
    """A word for the folder itself, which a copy of it does not have, on whatever machine and under whatever name. It
    is that of one boot: where nothing says which, that of the host. Raises HomeNameBroken."""
    path = locks / FILE
    try:
        found = path.stat()
    except OSError as problem:
        raise _broken(path, str(problem)) from problem
    try:
        machine = _BOOT.read_text("ascii").strip()
    except (OSError, ValueError):
        machine = host
    return sha256(f"{machine}\n{found.st_dev}\n{found.st_ino}".encode()).hexdigest()[:32]


def _broken(path: Path, why: str) -> HomeNameBroken:
    return HomeNameBroken(
        f"{path}, by which other homes know this one, cannot be used: {why}",
        hint="while nothing works in this home, remove the file: another one is made",
    )
