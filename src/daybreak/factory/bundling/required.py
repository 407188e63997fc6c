"""What goes into a bundle: the distributions that Daybreak and the wanted extras need, as they are installed here."""

from __future__ import annotations

import base64
import hashlib
import platform
import re
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from daybreak.errors import DaybreakError, UsageError, cut

OURS = "daybreak"
NOT_FOR_USERS = frozenset({"dev", "docs", "tests-llm"})
"""Extras for work on Daybreak itself."""
SHOWN_MOST = 5
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_")
_MANYLINUX_NAMED = {"manylinux1_": (2, 5), "manylinux2010_": (2, 12), "manylinux2014_": (2, 17)}


class ExtraUnknown(UsageError):
    """An extra that is to go into a bundle does not exist, or is not installed here."""

    code = "U391"


class InstalledDiffers(DaybreakError):
    """What is installed here is incomplete, or is not what was installed, so that it is not packed."""

    code = "U392"


def extras() -> tuple[str, ...]:
    """Those that a bundle can have, by name."""
    named = metadata.metadata(OURS).get_all("Provides-Extra") or []
    return tuple(sorted(name for name in named if name not in NOT_FOR_USERS))


def requirements(wanted: Sequence[str]) -> list[str]:
    """What Daybreak with these extras requires on this machine, without markers, sorted. Raises ExtraUnknown."""
    for name in wanted:
        if name not in extras():
            raise ExtraUnknown(f"there is no extra {cut(name)}", hint=f"there are: {', '.join(extras())}")
    found = set()
    for line in metadata.requires(OURS) or []:
        one = Requirement(line)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
            one.marker = None
            found.add(str(one))
    return sorted(found)


def closure(lines: Iterable[str], wanted: Sequence[str]) -> list[metadata.Distribution]:
    """All distributions that these requirements lead to, by name. Raises ExtraUnknown, InstalledDiffers."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    open_ = [Requirement(line) for line in lines]
    while open_:
        asked = open_.pop()
        key = (canonicalize_name(asked.name), frozenset(asked.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            one = metadata.distribution(asked.name)
        except metadata.PackageNotFoundError:
            raise _absent(asked, wanted) from None
        if not asked.specifier.contains(one.version, prereleases=True):
            raise InstalledDiffers(
                f"{asked} is required, and {one.version} is installed", hint="install Daybreak again, then bundle it"
            )
        found[key[0]] = one
        for line in one.requires or []:
            below = Requirement(line)
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in ("", *asked.extras)):
                open_.append(below)
    return [found[name] for name in sorted(found)]


def _absent(asked: Requirement, wanted: Sequence[str]) -> DaybreakError:
    if wanted:
        names = ",".join(wanted)
        return ExtraUnknown(
            f"{asked.name} is not installed here, so it cannot be packed", hint=f"pip install 'daybreak[{names}]'"
        )
    return InstalledDiffers(
        f"{asked.name} is required, and not installed", hint="install Daybreak again, then bundle it"
    )


def check_whole(distributions: Iterable[metadata.Distribution]) -> None:
    """Every file is as it was installed: what was changed by hand is not given to others in good faith.

    Raises InstalledDiffers."""
    wrong = [f"{one.name} {what}" for one in distributions for what in _wrong(one)]
    if wrong:
        more = f" and {len(wrong) - SHOWN_MOST} more" if len(wrong) > SHOWN_MOST else ""
        raise InstalledDiffers(
            f"not as it was installed: {cut('; '.join(wrong[:SHOWN_MOST]))}{more}",
            hint="install these again, then bundle",
        )


def _wrong(one: metadata.Distribution) -> Iterable[str]:
    if one.files is None:
        yield "has no record of its files"
    for file in one.files or ():
        if file.hash is None or file.suffix == ".pyc":
            continue
        try:
            digest = hashlib.new(file.hash.mode, Path(file.locate()).read_bytes()).digest()
        except (OSError, ValueError) as error:
            yield f"{file}: {error.strerror if isinstance(error, OSError) else error}"
            continue
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value.rstrip("="):
            yield f"{file} was changed"


def oldest_libc(distributions: Iterable[metadata.Distribution]) -> tuple[int, int] | None:
    """The GNU C library that all of them need at least; None where no wheel names one."""
    needed = [libc for one in distributions if (libc := _libc(one.read_text("WHEEL") or "")) is not None]
    return max(needed, default=None)


def _libc(wheel: str) -> tuple[int, int] | None:
    """Of one wheel, which runs where any of its tags says so; one that was built here needs what is here."""
    tags = [line.partition(":")[2].strip() for line in wheel.splitlines() if line.startswith("Tag:")]
    named = [(int(major), int(minor)) for tag in tags for major, minor in _MANYLINUX.findall(tag)]
    named += [libc for tag in tags for name, libc in _MANYLINUX_NAMED.items() if name in tag]
    if not named and any("-linux_" in tag for tag in tags):
        major, _, minor = platform.libc_ver()[1].partition(".")
        return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
    return min(named, default=None)
