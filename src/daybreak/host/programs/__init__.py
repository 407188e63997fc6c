"""Needed programs: found on PATH, in a version that fits, before any work is begun.

    git = find(Program("git", ">=2.30", hints={"apt": "git", "brew": "git", "winget": "Git.Git"}))
    subprocess.run([git.path, "status"])

    @guard("git>=2.30", "rg>=13")
    def release() -> None: ...

`find` looks for one and says what is wrong with it; `find_all` and `guard` name everything that is missing at once,
with the command that installs it on this platform. Nothing is found in a relative entry of PATH, nothing that
anybody may overwrite, and nothing by a name that would run another file than the one that was looked at.

Owns the search and the versions; running programs for their work is `daybreak.host.process`. POSIX is tested as it is;
the rules of Windows (PATHEXT, drive paths, `taskkill`) by a `Platform` that is passed in.
"""

from daybreak.host.programs.cache import DiskCache
from daybreak.host.programs.guarding import Guard, find_all, guard
from daybreak.host.programs.platforms import Platform
from daybreak.host.programs.program import (
    KNOWN,
    Program,
    ProgramAbsent,
    ProgramMisdescribed,
    ProgramsUnfit,
    ProgramUnfit,
    ProgramUntrusted,
    ProgramVersionUnknown,
    ProgramVersionWrong,
)
from daybreak.host.programs.search import Found, find

__all__ = [
    "KNOWN",
    "DiskCache",
    "Found",
    "Guard",
    "Platform",
    "Program",
    "ProgramAbsent",
    "ProgramMisdescribed",
    "ProgramUnfit",
    "ProgramUntrusted",
    "ProgramVersionUnknown",
    "ProgramVersionWrong",
    "ProgramsUnfit",
    "find",
    "find_all",
    "guard",
]
