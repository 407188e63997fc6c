"""A program that is needed, described; and everything that can be wrong with one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from daybreak.errors import HostError
from daybreak.host.naming import named

MANAGERS = ("apt", "dnf", "brew", "winget", "pip", "npm")
"""Package managers that hints may be given for."""
NAME_BYTES_MAX = 255

_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_.+-]*")
_PACKAGE = re.compile(r"[A-Za-z0-9@][A-Za-z0-9_.@/+-]*")
_SHORT = re.compile(r"\s*(?P<name>[A-Za-z0-9_+][A-Za-z0-9_.+-]*)\s*(?P<versions>[<>=!~].*)?", re.DOTALL)


class ProgramUnfit(HostError):
    """A needed program cannot be used. `program` is what was wanted, `path` where it lies, if anywhere."""

    code = "H195"

    def __init__(self, message: str, *, hint: str, program: Program, path: Path | None = None) -> None:
        super().__init__(message, hint=hint)
        self.program, self.path = program, path


class ProgramAbsent(ProgramUnfit):
    """No folder of PATH holds the program."""

    code = "H196"


class ProgramVersionWrong(ProgramUnfit):
    """The program is there in a version out of the wanted range. `version` is the one found."""

    code = "H197"

    def __init__(self, message: str, *, hint: str, program: Program, path: Path, version: str) -> None:
        super().__init__(message, hint=hint, program=program, path=path)
        self.version = version


class ProgramVersionUnknown(ProgramUnfit):
    """The program is there but does not say its version: it hangs, crashes, or prints none."""

    code = "H198"


class ProgramUntrusted(ProgramUnfit):
    """A file of that name is there but must not be run: not executable, in a relative entry of PATH, open to
    be overwritten by anybody, or in front of the one that fits."""

    code = "H199"


class ProgramsUnfit(HostError):
    """Needed programs cannot be used. `failures` has one error each, in the order they were asked for."""

    code = "H200"

    def __init__(self, failures: Sequence[ProgramUnfit]) -> None:
        self.failures = tuple(failures)
        count = "a needed program" if len(self.failures) == 1 else f"{len(self.failures)} needed programs"
        super().__init__(
            f"{count} cannot be used: " + "; ".join(failure.message for failure in self.failures),
            hint="; ".join(dict.fromkeys(failure.hint for failure in self.failures)),
        )


class ProgramMisdescribed(HostError):
    """What was asked for is no description of a program."""

    code = "H201"


@dataclass(frozen=True)
class Program:
    """A program by its name on PATH. Raises ProgramMisdescribed for anything that is no such description.

    `name`: letters, digits and `_ . + -`; never a path. `versions`: a PEP 440 range such as `>=2.30,<3`; empty:
    any version will do, and the program is not run to ask. `version_arguments`: what makes it print its version.
    `version_pattern`: a regular expression whose first group is the version, for output that is out of the ordinary.
    `hints`: package manager (`MANAGERS`) → package name.
    """

    name: str
    versions: str = ""
    version_arguments: tuple[str, ...] = ("--version",)
    hints: Mapping[str, str] = field(default_factory=dict, hash=False)
    version_pattern: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_versions(self.name, self.versions)
        _check_arguments(self.name, self.version_arguments)
        _check_hints(self.name, self.hints)
        _check_pattern(self.name, self.version_pattern)

    @classmethod
    def of(cls, wanted: Program | str) -> Program:
        """A Program from its short form, `rg>=13`. The packages of KNOWN programs are hinted at."""
        if isinstance(wanted, Program):
            return wanted
        match = _short(wanted)
        name, versions = match["name"], (match["versions"] or "").strip()
        known = KNOWN.get(name)
        return replace(known, versions=versions) if known else cls(name, versions)

    def __str__(self) -> str:
        return f"{self.name} {self.versions}".strip()


def _short(wanted: object) -> re.Match[str]:
    match = _SHORT.fullmatch(wanted) if isinstance(wanted, str) else None
    if match is None:
        raise ProgramMisdescribed(
            f"{named(wanted)} does not name a program", hint='write a name and a range: "git>=2.30"'
        )
    return match


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > NAME_BYTES_MAX:
        raise ProgramMisdescribed(
            f"{named(name)} is no program name", hint="give the bare name, as it would be typed: git"
        )


def _check_versions(name: str, versions: object) -> None:
    if versions == "":
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        if not isinstance(versions, str):
            raise InvalidSpecifier
        SpecifierSet(versions)
    except InvalidSpecifier:
        raise ProgramMisdescribed(
            f"{named(versions)} is no range of versions of {name}", hint="write it like >=2.30 or >=2.30,<3"
        ) from None


def _check_arguments(name: str, arguments: object) -> None:
    if not isinstance(arguments, tuple) or not all(
        isinstance(one, str) and "\0" not in one and one.isprintable() and len(one) <= 4096 for one in arguments
    ):
        raise ProgramMisdescribed(
            f"the version arguments of {name} are {named(arguments)}", hint='give a tuple of texts: ("--version",)'
        )


def _check_hints(name: str, hints: object) -> None:
    if not isinstance(hints, Mapping):
        raise ProgramMisdescribed(f"the hints of {name} are {named(hints)}", hint='give {"apt": "git", ...}')
    for manager, package in hints.items():
        if manager not in MANAGERS:
            raise ProgramMisdescribed(
                f"{named(manager)} is no package manager", hint=f"there are {', '.join(MANAGERS)}"
            )
        if not isinstance(package, str) or not _PACKAGE.fullmatch(package) or len(package) > NAME_BYTES_MAX:
            raise ProgramMisdescribed(
                f"{named(package)} is no package of {manager}", hint="give the package's name and nothing else"
            )


def _check_pattern(name: str, pattern: object) -> None:
    if pattern is None:
        return
    try:
        if not isinstance(pattern, str) or re.compile(pattern).groups < 1:
            raise re.error("there is no group")
    except (re.error, RecursionError, OverflowError) as error:
        raise ProgramMisdescribed(
            f"the version pattern of {name} cannot be used: {error}", hint=r"write it like r'release (\d+)'"
        ) from None


def _same(package: str, **others: str) -> dict[str, str]:
    """The packages of a program that has one name nearly everywhere."""
    return {**dict.fromkeys(("apt", "dnf", "brew"), package), **others}


KNOWN: Mapping[str, Program] = {
    program.name: program
    for program in (
        Program("git", hints=_same("git", winget="Git.Git")),
        Program("rg", hints=_same("ripgrep", winget="BurntSushi.ripgrep.MSVC")),
        Program("fd", hints=_same("fd-find", brew="fd", winget="sharkdp.fd")),
        Program("jq", hints=_same("jq", winget="jqlang.jq")),
        Program("make", hints=_same("make", winget="GnuWin32.Make")),
        Program("curl", hints=_same("curl", winget="cURL.cURL")),
        Program("unzip", version_arguments=("-v",), hints=_same("unzip")),
        Program("gh", hints=_same("gh", winget="GitHub.cli")),
        Program("docker", hints={"apt": "docker.io", "dnf": "docker", "winget": "Docker.DockerDesktop"}),
        Program("node", hints=_same("nodejs", brew="node", winget="OpenJS.NodeJS")),
        Program("npm", hints=_same("npm", brew="node", winget="OpenJS.NodeJS")),
        Program("python3", hints=_same("python3", brew="python", winget="Python.Python.3.12")),
        Program("bwrap", hints={"apt": "bubblewrap", "dnf": "bubblewrap"}),
        Program("strace", hints={"apt": "strace", "dnf": "strace"}),
        Program("ruff", hints={"pip": "ruff", "brew": "ruff"}),
        Program("mypy", hints={"pip": "mypy", "brew": "mypy"}),
        Program("pytest", hints={"pip": "pytest"}),
        Program("prettier", hints={"npm": "prettier", "brew": "prettier"}),
        Program("tsc", hints={"npm": "typescript", "brew": "typescript"}),
    )
}
"""Programs whose packages are known, for the short form. Any version."""
