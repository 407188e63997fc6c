"""Looking for one program: on PATH, trusted, in a version that fits."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import HostError
from daybreak.host.naming import named
from daybreak.host.programs import asking
from daybreak.host.programs.cache import PROCESS_CACHE, Cache, Key
from daybreak.host.programs.cache import checked as checked_cache
from daybreak.host.programs.platforms import Platform
from daybreak.host.programs.platforms import checked as checked_platform
from daybreak.host.programs.program import (
    Program,
    ProgramAbsent,
    ProgramMisdescribed,
    ProgramUntrusted,
    ProgramVersionUnknown,
    ProgramVersionWrong,
)
from daybreak.host.programs.versions import fits, read_version

VERSION_TIMEOUT_S = 10.0
"""How long a program may take to say its version; then it and all it started are ended."""
_OUTPUT_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A program that may be used. Give `path` to what runs it, not the name."""

    program: Program
    path: Path
    """Absolute, as it stands on PATH; links are not followed, because some programs look at their own name."""
    version: str | None
    """In PEP 440's spelling; None where any version will do."""

    def __fspath__(self) -> str:
        return str(self.path)


def find(
    wanted: Program | str,
    *,
    platform: Platform | None = None,
    at: Path | None = None,
    timeout_s: float = VERSION_TIMEOUT_S,
    cache: Cache | None = PROCESS_CACHE,
) -> Found:
    """The program on PATH, in a version that fits; or at the absolute path `at`, without a search.

    It is run with its `version_arguments` once for each state of its file (see `cache`), at most `timeout_s` seconds,
    and only where a range is wanted. Raises ProgramAbsent, ProgramVersionWrong, ProgramVersionUnknown,
    ProgramUntrusted, each with the command that mends it here; ProgramMisdescribed for bad arguments.
    """
    program = Program.of(wanted)
    platform = checked_platform(platform)
    check_time(timeout_s)
    cache = checked_cache(cache)
    path = _first(program, platform) if at is None else _given(program, at, platform)
    if not program.versions:
        return Found(program, path, None)
    version = _version(program, path, platform, timeout_s, cache)
    if fits(version, program.versions):
        return Found(program, path, version)
    if at is None:
        _refuse_shadowed(program, path, version, platform, timeout_s, cache)
    raise ProgramVersionWrong(
        f"{program.name} {version} at {path} is not {program.versions}",
        hint=platform.install_hint(program),
        program=program,
        path=path,
        version=version,
    )


def check_time(timeout_s: object) -> None:
    """Raises ProgramMisdescribed."""
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 < timeout_s <= 3600:
        raise ProgramMisdescribed(f"a time of {named(timeout_s)} s", hint="give 0 < seconds <= 3600")


# -- where it is


def _first(program: Program, platform: Platform) -> Path:
    """The file that the name stands for. Raises ProgramAbsent, ProgramUntrusted."""
    not_executable: Path | None = None
    for folder in platform.folders:
        if "\0" in folder:
            continue
        for path in _named(program, folder, platform):
            if not Path(folder).is_absolute():
                raise ProgramUntrusted(
                    f"{program.name} lies in {folder or '.'!r}, a relative entry of PATH",
                    hint=f"take {folder or 'the empty entry'!r} out of PATH",
                    program=program,
                    path=path,
                )
            if not _executable(path, platform):
                not_executable = not_executable or path
                continue
            _refuse_open(program, path, platform)
            return path
    if not_executable is not None:
        raise ProgramUntrusted(
            f"{not_executable} is there but may not be executed",
            hint=f"chmod +x {not_executable}, if it is what you want; or {platform.install_hint(program)}",
            program=program,
            path=not_executable,
        )
    raise ProgramAbsent(
        f"{program.name} is not on PATH", hint=platform.install_hint(program), program=program, path=None
    )


def _named(program: Program, folder: str, platform: Platform) -> Iterator[Path]:
    """The ordinary files of that name in a folder."""
    for extension in platform.extensions:
        path = Path(folder, program.name + extension)
        try:
            if stat.S_ISREG(path.stat().st_mode):
                yield path
        except (OSError, ValueError):
            continue  # not there, not reachable, or an entry that is no path at all


def _executable(path: Path, platform: Platform) -> bool:
    if platform.system == "win32":
        return True  # by its extension, which it has
    return bool(path.stat().st_mode & 0o111) and os.access(path, os.X_OK)


def _refuse_open(program: Program, path: Path, platform: Platform) -> None:
    """Anybody may write the file, or the folder it is found in: then it is anybody's program."""
    if platform.system == "win32":
        return  # access lists are not looked at
    real = Path(os.path.realpath(path))
    for place in dict.fromkeys((path.parent, real.parent, real)):
        if place.stat().st_mode & stat.S_IWOTH:
            raise ProgramUntrusted(
                f"{place} may be written by anybody, and {program.name} would be run from there",
                hint=f"chmod o-w {place}, or take it out of PATH",
                program=program,
                path=path,
            )


def _given(program: Program, at: Path, platform: Platform) -> Path:
    try:
        path = Path(at)
        usable = path.is_absolute() and path.is_file() and _executable(path, platform)
    except Exception:  # noqa: BLE001 - no path at all, or somebody else's __fspath__
        usable = False
    if not usable:
        raise ProgramUntrusted(
            f"{named(at, 200)} is no absolute path of a program", hint=platform.install_hint(program), program=program
        )
    _refuse_open(program, path, platform)
    return path


def _refuse_shadowed(
    program: Program, front: Path, version: str, platform: Platform, timeout_s: float, cache: Cache | None
) -> None:
    """Name the one that would fit, where one stands behind the one that does not."""
    behind = [
        path
        for folder in platform.folders
        if "\0" not in folder and Path(folder).is_absolute()
        for path in _named(program, folder, platform)
        if _executable(path, platform) and not os.path.samefile(path, front)
    ]
    for path in behind:
        try:
            _refuse_open(program, path, platform)
            other = _version(program, path, platform, timeout_s, cache)
        except HostError:
            continue  # it is not what was asked about; the one in front is reported
        if fits(other, program.versions):
            raise ProgramUntrusted(
                f"{program.name} {version} at {front} hides {other} at {path}, which is {program.versions}",
                hint=f"put {path.parent} before {front.parent} in PATH, or remove {front}",
                program=program,
                path=front,
            )


# -- what it says


def _version(program: Program, path: Path, platform: Platform, timeout_s: float, cache: Cache | None) -> str:
    try:
        key = Key.of(path, program.version_arguments)
    except OSError as error:
        raise ProgramAbsent(
            f"{path} went away: {error.strerror}", hint=platform.install_hint(program), program=program, path=path
        ) from None
    given: object = cache.get(key) if cache is not None else None
    said = given if isinstance(given, str) else None  # a cache is no evidence: nonsense is no answer
    fresh = said is None
    if said is None:
        said = _ask(program, path, platform, timeout_s)
    version = read_version(said, name=program.name, pattern=program.version_pattern)
    if version is None:
        first = ascii(said.strip().splitlines()[0][:80]) if said.strip() else "nothing"
        raise _unknown(program, path, platform, f"printed {first}")
    if fresh and cache is not None:
        cache.put(key, said)
    return version


def _ask(program: Program, path: Path, platform: Platform, timeout_s: float) -> str:
    """What it prints on stdout, else on stderr. Raises ProgramVersionUnknown."""
    answer = asking.ask(
        [str(path), *program.version_arguments],
        cwd=path.parent,
        env=asking.small_environment(platform.path),
        timeout_s=timeout_s,
        output_bytes_max=_OUTPUT_BYTES_MAX,
        system=platform.system,
    )
    if answer.ending or answer.exit_code != 0:
        raise _unknown(program, path, platform, answer.words)
    return (answer.stdout if answer.stdout.strip() else answer.stderr).decode("utf-8", "replace")


def _unknown(program: Program, path: Path, platform: Platform, why: str) -> ProgramVersionUnknown:
    command = " ".join([str(path), *program.version_arguments])
    return ProgramVersionUnknown(
        f"the version of {program.name} is not known, and {program.versions} is wanted: `{command}`: {why}",
        hint=f"see what that command does; or {platform.install_hint(program)}",
        program=program,
        path=path,
    )
