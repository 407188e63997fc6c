"""What git knows about notes. Only looks: no hook, filter, pager or monitor of a repository is run, nothing fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from daybreak.errors import UsageError
from daybreak.host import process

Key = TypeVar("Key")

TIMEOUT_S = 60.0
OUTPUT_BYTES_MAX = 64 * 1024 * 1024
COMMITS_MAX = 200
_SETTINGS = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "log.showSignature=false", "core.quotePath=false")
_ENVIRONMENT = {
    "PATH": process.DEFAULT_PATH,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_LITERAL_PATHSPECS": "1",
}


class HistoryUnknown(UsageError):
    """The notes lie in no git repository, or git refuses to look at it."""

    code = "U215"


class Change(NamedTuple):
    """A commit that changed a note."""

    commit: str
    when: str
    """RFC 3339, with the author's offset."""
    author: str
    subject: str
    text: bytes | None
    """The note as it was; None where it had another name then."""


def at_head(folder: Path, files: Sequence[Path]) -> dict[Path, bytes]:
    """The files (below `folder`) as the last commit has them; those that it does not have are left out.

    Raises HistoryUnknown, and ProgramMissing where there is no git.
    """
    return _read(folder, {path: f"HEAD:{_named(folder, path)}" for path in files})


def changes(path: Path) -> list[Change]:
    """Commits that changed the file, the newest first, at most `COMMITS_MAX`; renames are followed.

    Raises HistoryUnknown, and ProgramMissing where there is no git.
    """
    folder = path.parent
    form = "--format=%H%x00%aI%x00%an%x00%s"
    words = ["log", "--follow", f"--max-count={COMMITS_MAX}", "--no-show-signature", "--no-ext-diff", "--no-textconv"]
    told = _git(folder, [*words, form, "--", path.name], empty=b"does not have any commits")
    lines = [line.split("\0") for line in told.decode("utf-8", "replace").splitlines() if line.count("\0") == 3]
    texts = _read(folder, {line[0]: f"{line[0]}:{_named(folder, path)}" for line in lines})
    return [Change(commit, when, author, subject, texts.get(commit)) for commit, when, author, subject in lines]


def _named(folder: Path, path: Path) -> str:
    return f"./{os.path.relpath(path, folder)}"


def _read(folder: Path, names: dict[Key, str]) -> dict[Key, bytes]:
    """Objects by their names, in one call; those that are not there are left out."""
    if not names:
        return {}
    asked = "".join(f"{name}\n" for name in names.values()).encode("utf-8", "surrogateescape")
    told = _git(folder, ["cat-file", "--batch"], stdin=asked)
    found: dict[Key, bytes] = {}
    at = 0
    for key in names:
        end = told.index(b"\n", at)
        line, at = told[at:end], end + 1
        words = line.rsplit(b" ", 2)
        if len(words) == 3 and words[1] == b"blob":
            size = int(words[2])
            found[key] = told[at : at + size]
            at += size + 1
        elif not line.endswith((b" missing", b" ambiguous")):  # a folder, say: skip what it holds
            at += int(words[2]) + 1
    return found


def _git(folder: Path, arguments: list[str], *, stdin: bytes = b"", empty: bytes = b"") -> bytes:
    """What git prints. `empty`: a complaint that means that there is nothing yet."""
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    finished = process.run(
        ["git", "--no-pager", *settings, *arguments],
        cwd=folder,
        env=_ENVIRONMENT,
        timeout_s=TIMEOUT_S,
        output_bytes_max=OUTPUT_BYTES_MAX,
        stdin=stdin,
    )
    if finished.ok:
        return finished.stdout
    if empty and empty in finished.stderr:
        return b""
    lines = finished.stderr.decode("utf-8", "replace").strip().splitlines()
    why = lines[0][:200] if lines and not finished.ended_by_us else finished.ending
    raise HistoryUnknown(
        f"git knows nothing about {str(folder)!a:.80}: {why}", hint="keep notes in a git repository of your own"
    )
