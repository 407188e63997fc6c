"""Two commits into one tree: by git, and where git sees a conflict, by meaning.

Everything happens in a git folder of ours. Only a file that both sides changed is merged by meaning; a file that one
side removed, moved elsewhere or made into something else stays a conflict, which names it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import CheckError
from daybreak.factory.repository import git as repositorygit
from daybreak.host.merge import Conflict, Conflicts, MergeRefused, TooLarge, merge
from daybreak.host.workspaces import Author, git

SHOWN_CHARS_MAX = 2_000
CHANGE_BYTES_MAX = 40_000
_ORDINARY = frozenset({"100644", "100755"})
_GIT_MIN = "2.38"


class NotJoined(CheckError):
    """Git cannot merge these two commits at all."""

    code = "C195"


@dataclass(frozen=True, slots=True)
class Clash:
    """One thing that nobody can decide from the files alone."""

    path: str
    where: str
    """For people: `def area`, `lines 3-5`; empty: the file as a whole."""
    kind: str
    suggestion: str
    ours: str = ""
    """What the target has there, cut; empty where it has nothing, or nothing that can be shown."""
    theirs: str = ""

    @property
    def words(self) -> str:
        """In one line."""
        place = f"{self.path} ({self.where})" if self.where else self.path
        return " ".join(f"{place}: {self.kind}: {self.suggestion}".split())[:500]


@dataclass(frozen=True, slots=True)
class Joined:
    """`tree` is empty exactly where there are clashes."""

    tree: str
    by_meaning: tuple[str, ...] = ()
    """Paths that git could not merge."""
    clashes: tuple[Clash, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Stage:
    mode: str
    blob: str


def contains(git_dir: Path, commit: str, other: str) -> bool:
    """Is `other` the commit itself or one of its ancestors? Raises NotJoined."""
    ran = repositorygit.ask(git_dir, ["merge-base", "--is-ancestor", other, commit])
    if not ran.ok and ran.exit_code != 1:
        raise NotJoined(f"git cannot compare two commits: {repositorygit.said(ran)}", hint="see `git log` of both")
    return ran.ok


def base(git_dir: Path, ours: str, theirs: str) -> str:
    """The commit that both come from; empty where there is none."""
    ran = repositorygit.ask(git_dir, ["merge-base", ours, theirs])
    return ran.stdout.decode().strip() if ran.ok else ""


def tree_of(git_dir: Path, commit: str) -> str:
    """The hash of a commit's tree. Raises NotJoined."""
    return _ok(git_dir, ["rev-parse", f"{commit}^{{tree}}"]).decode().strip()


def join(git_dir: Path, ours: str, theirs: str) -> Joined:
    """Merge `theirs` into `ours`. Raises NotJoined: no common past, an object that is missing, git before 2.38."""
    ran = repositorygit.ask(git_dir, ["merge-tree", "--write-tree", "-z", "--no-messages", ours, theirs])
    if ran.ended_by_us or ran.exit_code not in (0, 1) or not ran.stdout.strip():
        raise NotJoined(
            f"git cannot merge {theirs[:12]} into {ours[:12]}: {repositorygit.said(ran)}",
            hint=f"git {_GIT_MIN} or newer merges without touching files; both must come from one commit",
        )
    first, *rest = ran.stdout.split(b"\0")
    tree = first.decode("ascii", "replace").strip()
    stages = _stages(rest)
    if not stages:
        return Joined(tree)
    return _by_meaning(git_dir, tree, stages)


def _stages(lines: Sequence[bytes]) -> dict[str, dict[int, _Stage]]:
    """By path, what base (1), ours (2) and theirs (3) have there."""
    found: dict[str, dict[int, _Stage]] = {}
    for line in lines:
        if not line:
            continue
        head, _, path = line.partition(b"\t")
        mode, blob, stage = head.decode().split()
        found.setdefault(os.fsdecode(path), {})[int(stage)] = _Stage(mode, blob)
    return found


def _by_meaning(git_dir: Path, tree: str, stages: dict[str, dict[int, _Stage]]) -> Joined:
    clashes: list[Clash] = []
    notes: list[str] = []
    merged: dict[str, tuple[str, bytes]] = {}
    for path, sides in sorted(stages.items()):
        outcome = _one(git_dir, path, sides)
        if isinstance(outcome, tuple):
            mode, content, steps_down = outcome
            merged[path] = mode, content
            notes += [f"{path}: {note}" for note in steps_down]
        else:
            clashes += outcome
    if clashes:
        return Joined("", clashes=tuple(clashes), notes=tuple(notes))
    return Joined(_written(git_dir, tree, merged), tuple(merged), notes=tuple(notes))


def _one(git_dir: Path, path: str, sides: dict[int, _Stage]) -> tuple[str, bytes, tuple[str, ...]] | list[Clash]:
    """A file's mode and content, or what is to be decided."""
    if set(sides) != {1, 2, 3}:
        kind = "add/add" if set(sides) == {2, 3} else "delete/modify" if 1 in sides else "file/folder"
        return [Clash(path, "", kind, _SUGGESTIONS[kind], _shown(git_dir, sides.get(2)), _shown(git_dir, sides.get(3)))]
    if not {side.mode for side in sides.values()} <= _ORDINARY:
        return [Clash(path, "", "file/folder", _SUGGESTIONS["file/folder"])]
    before, ours, theirs = (_content(git_dir, sides[number].blob) for number in (1, 2, 3))
    try:
        result = merge(before, ours, theirs, path)
    except (TooLarge, MergeRefused) as error:
        return [Clash(path, "", "modify/modify", error.message)]
    if isinstance(result, Conflicts):
        return [_clash(one, path) for one in result.conflicts]
    mode = sides[3].mode if sides[1].mode == sides[2].mode else sides[2].mode
    return mode, result.content, result.steps_down


_SUGGESTIONS = {
    "add/add": "both sides added it: take one, or put them together",
    "delete/modify": "one side removed or moved what the other changed: decide",
    "file/folder": "it became something else on one side: decide which",
}


def _clash(conflict: Conflict, path: str) -> Clash:
    return Clash(
        conflict.path or path,
        conflict.where,
        conflict.kind,
        conflict.suggestion,
        (conflict.ours or "")[:SHOWN_CHARS_MAX],
        (conflict.theirs or "")[:SHOWN_CHARS_MAX],
    )


def _shown(git_dir: Path, side: _Stage | None) -> str:
    if side is None or side.mode not in _ORDINARY:
        return ""
    content = _content(git_dir, side.blob)[: 4 * SHOWN_CHARS_MAX]
    return "" if b"\0" in content else content.decode("utf-8", "replace")[:SHOWN_CHARS_MAX]


def _written(git_dir: Path, tree: str, merged: dict[str, tuple[str, bytes]]) -> str:
    """The tree with these files in it."""
    lines = []
    for path, (mode, content) in merged.items():
        blob = _ok(git_dir, ["hash-object", "-w", "--stdin"], stdin=content).decode().strip()
        lines.append(b"%s %s 0\t%s\0" % (mode.encode(), blob.encode(), os.fsencode(path)))
    index = {"GIT_INDEX_FILE": str(git_dir / "joined-index")}
    _ok(git_dir, ["read-tree", tree], extra=index)
    _ok(git_dir, ["update-index", "-z", "--index-info"], stdin=b"".join(lines), extra=index)
    return _ok(git_dir, ["write-tree"], extra=index).decode().strip()


def commit(git_dir: Path, tree: str, parents: Sequence[str], message: str, author: Author, seconds: int) -> str:
    """Write a commit; its hash. The same arguments give the same commit. Raises NotJoined."""
    who = {"NAME": author.name, "EMAIL": author.email, "DATE": f"@{seconds} +0000"}
    identity = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in who.items()}
    words = ["commit-tree", tree, *(word for parent in parents for word in ("-p", parent))]
    return _ok(git_dir, words, stdin=message.encode(), extra=identity).decode().strip()


def _content(git_dir: Path, blob: str) -> bytes:
    return _ok(git_dir, ["cat-file", "blob", blob])


def _ok(git_dir: Path, words: Sequence[str], *, stdin: bytes = b"", extra: dict[str, str] | None = None) -> bytes:
    ran = repositorygit.ask(git_dir, words, stdin=stdin, extra=extra)
    if not ran.ok:
        raise NotJoined(f"git {words[0]} failed: {repositorygit.said(ran)}", hint="see what it says; is the disk full?")
    return ran.stdout


def applied(git_dir: Path, commit: str, patch: bytes) -> str:
    """The tree of a commit with a patch on top, without any files. Raises NotJoined."""
    if not patch:
        return tree_of(git_dir, commit)
    index = {"GIT_INDEX_FILE": str(git_dir / "applied-index")}
    _ok(git_dir, ["read-tree", commit], extra=index)
    _ok(git_dir, ["apply", "--cached", "--whitespace=nowarn", "-"], stdin=patch, extra=index)
    return _ok(git_dir, ["write-tree"], extra=index).decode().strip()


def patch(git_dir: Path, old: str, new: str) -> bytes:
    """What leads from one tree or commit to another, for `git apply`. Raises NotAdopted."""
    return git.patch(git_dir, old, new)


def change(git_dir: Path, ours: str, theirs: str) -> str:
    """What `theirs` did since both were one, as text with three lines around each change; cut."""
    before = base(git_dir, ours, theirs)
    if not before:
        return ""
    words = ["diff-tree", "-p", "--no-color", "--no-ext-diff", "--no-textconv", before, theirs]
    return _ok(git_dir, words)[:CHANGE_BYTES_MAX].decode("utf-8", "replace")
