"""Workspaces off a commit of a user's git repository, without a trace in that repository.

`git worktree add` would write into the user's repository, and run what its configuration names. So each workspace has
a git folder of its own, outside of the workspace and out of a worker's reach, which borrows the user's objects
(`objects/info/alternates`) and has its own index, HEAD and configuration: the user's hooks, filters, file-system
monitors and stashes are not there to be run or changed. `git worktree list`, branches and index stay as they are.

The user's own git folder is named to git in two places only: to look up a commit, and to move one branch at the end by
compare and swap. There the repository's configuration is read, and it is hostile input: hooks and the file-system
monitor are switched off, and no transport is allowed, so that a lazy fetch reaches nothing and starts nothing.

Not covered: submodules (their folders are empty), filters such as Git LFS (files are as they are stored), partial
clones that lack an object.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak.host import durable, place, process
from daybreak.host.workspaces.copying import leads_out
from daybreak.host.workspaces.problems import (
    ChangesUnclear,
    CommitUnknown,
    NotAdopted,
    NotARepository,
    TargetMoved,
    WorkspaceNotMade,
    WorkspaceRefused,
)

TIMEOUT_S = 600.0
PATCH_BYTES_MAX = 256 * 1024 * 1024
_OUTPUT_BYTES_MAX = 16 * 1024 * 1024
_FILE_BYTES_MAX = 1 << 40
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH = re.compile(r"\w[\w.+-]*(/\w[\w.+-]*)*")
_NAME_CHARACTERS_MAX = 255
_SETTINGS = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false")
_SAFE = tuple(part for setting in _SETTINGS for part in ("-c", setting))
_ENVIRONMENT = {
    "PATH": process.DEFAULT_PATH,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "",  # the empty list: nothing is fetched from anywhere, whatever the configuration says
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
}
"""Nothing of ours and nothing of the user's."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A user's repository, as far as its files tell: no program was asked."""

    git_dir: Path
    common_dir: Path
    """The same, but for a linked worktree."""

    @property
    def objects(self) -> Path:
        return self.common_dir / "objects"


@dataclass(frozen=True, slots=True)
class Commit:
    hash: str
    object_format: str
    """sha1 or sha256."""


@dataclass(frozen=True, slots=True)
class Author:
    name: str = "daybreak"
    email: str = "daybreak@localhost"


def find(folder: Path) -> Repository:
    """The repository whose top is `folder`, or which it is (bare). Raises NotARepository.

    Folders above are not searched: whoever names a folder in somebody's home means that folder."""
    dot = folder / ".git"
    if dot.is_file():
        told = dot.read_bytes()[:4096].decode("utf-8", "surrogateescape").removeprefix("gitdir:").strip()
        git_dir = folder / told
    else:
        git_dir = dot if dot.is_dir() else folder
    common = git_dir / "commondir"
    if common.is_file():
        common_dir = git_dir / common.read_bytes()[:4096].decode("utf-8", "surrogateescape").strip()
    else:
        common_dir = git_dir
    if not ((git_dir / "HEAD").exists() and (common_dir / "objects").is_dir() and (common_dir / "refs").is_dir()):
        raise NotARepository(
            f"{place.cut(str(folder))} is not the top of a git repository", hint="name the folder that holds .git"
        )
    return Repository(git_dir.resolve(), common_dir.resolve())


def resolve(repository: Repository, name: Any) -> Commit:
    """The commit that a branch, a tag, a hash or an expression such as `HEAD~2` names. Raises CommitUnknown,
    NotARepository."""
    usable = isinstance(name, str) and 0 < len(name) <= _NAME_CHARACTERS_MAX and name.isprintable()
    if not usable or name.startswith(("-", ":", "^")) or ".." in name or not _encodes(name):
        raise CommitUnknown(f"{place.shown(name)} cannot name a commit", hint="name a branch, a tag or a hash")
    known = _branch_head(repository, name)
    if known is not None:
        return Commit(known, "sha1" if len(known) == 40 else "sha256")
    finished = _run(
        ["rev-parse", "--show-object-format", f"{name}^{{commit}}", "--"], git_dir=repository.git_dir, cwd=Path("/")
    )
    lines = finished.stdout.decode("utf-8", "replace").split()
    if finished.ok and len(lines) >= 2 and _HASH.fullmatch(lines[1]):
        return Commit(lines[1], lines[0])
    said = _said(finished)
    if not lines:
        raise NotARepository(
            f"git cannot read {place.cut(str(repository.git_dir))}: {said}", hint="see what `git status` says there"
        )
    raise CommitUnknown(
        f"{place.cut(str(repository.git_dir))} has no commit {place.shown(name)}",
        hint="name a branch, a tag or a hash that `git log` shows",
    )


def _branch_head(repository: Repository, name: str) -> str | None:
    """Where HEAD or a branch is, if a file of its own says so: the common case, without starting git. A branch always
    names a commit; whether that is there is seen when its files are written."""
    ref = f"refs/heads/{name}"
    if name == "HEAD":
        ref = _short(repository.git_dir / "HEAD").removeprefix("ref:").strip()
    elif any((repository.common_dir / place / name).exists() for place in ("refs/tags", "refs", "")):
        return None  # git would take the other one first, or ask
    elif f" refs/tags/{name}\n".encode() in _packed(repository):
        return None
    if not ref.startswith("refs/heads/") or ".." in ref:
        return None
    head = _short(repository.common_dir / ref)
    return head if _HASH.fullmatch(head) else None


def _packed(repository: Repository) -> bytes:
    packed = repository.common_dir / "packed-refs"
    return packed.read_bytes() if packed.is_file() else b""


def _short(path: Path) -> str:
    """The text of a small file; empty where there is none, or where it is a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        ordinary = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return file.read(4096).decode("utf-8", "surrogateescape").strip() if ordinary else ""


# -- the workspace's own git folder


def prepare(git_dir: Path, repository: Repository, commit: Commit) -> None:
    """Make a git folder by hand that borrows the repository's objects. Raises OSError."""
    for name in ("objects/info", "objects/pack", "refs/heads", "info"):
        (git_dir / name).mkdir(parents=True)
    (git_dir / "HEAD").write_text(commit.hash + "\n")
    (git_dir / "config").write_text(_configuration(commit.object_format))
    alternates = os.fsencode(repository.objects)
    (git_dir / "objects/info/alternates").write_bytes(quoted(alternates) + b"\n")
    shallow = repository.common_dir / "shallow"
    if shallow.is_file():
        shutil.copyfile(shallow, git_dir / "shallow")


def _configuration(object_format: str) -> str:
    folds_case = "true" if sys.platform in ("darwin", "win32") else "false"
    version = 0 if object_format == "sha1" else 1
    extension = f"[extensions]\n\tobjectFormat = {object_format}\n" if version else ""
    return (
        f"[core]\n\trepositoryFormatVersion = {version}\n\tbare = false\n\tfileMode = true\n"
        f"\tignoreCase = {folds_case}\n\tautocrlf = false\n"
        "\tlogAllRefUpdates = false\n\tuntrackedCache = false\n"
        f"[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n{extension}"
    )


def quoted(path: bytes) -> bytes:
    """As the alternates file wants it: a path with unusual bytes in the manner of C."""
    if path.isascii() and path.decode().isprintable() and not path.startswith((b'"', b"#")):
        return path
    return b'"' + re.sub(rb'[^ -~]|["\\]', lambda found: b"\\%03o" % found[0][0], path) + b'"'


def check_out(git_dir: Path, work: Path, commit: Commit) -> list[str]:
    """Write the files of the commit into `work`; gives what is not covered, in words. Raises WorkspaceNotMade."""
    work.mkdir(mode=0o700)
    workers = min(4, os.cpu_count() or 1)
    reading = ["-c", f"checkout.workers={workers}", "read-tree", "-m", "-u", commit.hash]
    finished = _run(reading, git_dir=git_dir, cwd=work, work=work)
    if not finished.ok:
        raise WorkspaceNotMade(
            f"the files of commit {commit.hash[:12]} could not be written: {_said(finished)}",
            hint="make room if the disk is full; in a partial clone fetch what is missing (`git fetch --refetch`)",
        )
    return sorted(_not_covered(work))


def _not_covered(work: Path) -> Iterator[str]:
    pending = [""]
    while pending:
        where = pending.pop()
        with os.scandir(work / where) as found:
            entries = list(found)
        if not entries and where:
            yield f"{where} is a submodule; its folder is empty"  # git keeps no other empty folders
        for entry in entries:
            path = f"{where}/{entry.name}" if where else entry.name
            if entry.is_symlink():
                leads_to = os.readlink(entry.path)
                if leads_out(path, leads_to):
                    yield f"{path} is a link that leads out of the workspace, to {leads_to}"
            elif entry.is_dir():
                pending.append(path)
            elif entry.name == ".gitattributes":
                yield from _filters(path, Path(entry.path).read_bytes())


def _filters(path: str, attributes: bytes) -> Iterator[str]:
    for used in sorted(set(re.findall(rb"^[^#\n]*\sfilter=(\S+)", attributes, re.MULTILINE))):
        words = " (Git LFS: files are pointers)" if used == b"lfs" else ""
        yield f"the filter {used.decode('utf-8', 'replace')} of {path} is not run{words}"


def give_history(git_dir: Path, work: Path, repository: Repository, commit: Commit) -> None:
    """Put a git folder of its own into the workspace, so that `git log` and `git diff` work there. What is done with
    it is a worker's business: we never read it, and never run git with its configuration."""
    inner = work / ".git"
    prepare(inner, repository, commit)
    with (inner / "config").open("a") as file:
        file.write("[user]\n\tname = worker\n\temail = worker@localhost\n")
    shutil.copyfile(git_dir / "index", inner / "index")


# -- its changes


def tree(git_dir: Path, work: Path, base: str) -> str:
    """The hash of the tree that the workspace holds now, ignored files left out as git does. Raises ChangesUnclear."""
    for folder in _links(git_dir, work, base):
        if any((work / folder).iterdir() if (work / folder).is_dir() else ()):
            raise ChangesUnclear(
                f"files were put into the submodule {folder}", hint="submodules are not covered; move the files out"
            )
    _ok(_run(["add", "--all"], git_dir=git_dir, cwd=work, work=work), "take in the changes")
    looking = ["diff-index", "--cached", "--raw", "--no-renames", "-z", base]
    raw = _ok(_run(looking, git_dir=git_dir, cwd=work, work=work), "look at the changes")
    for head, path in zip(*[iter(raw.split(b"\0")[:-1])] * 2, strict=True):
        if head.split()[1] == b"160000":
            raise ChangesUnclear(
                f"{os.fsdecode(path)} is a repository of its own", hint="remove its .git folder, then its files count"
            )
    return _ok(_run(["write-tree"], git_dir=git_dir, cwd=work, work=work), "write the tree").decode().strip()


def _links(git_dir: Path, work: Path, base: str) -> list[str]:
    """The submodules of the commit."""
    listing = _run(["ls-tree", "-r", "-z", base], git_dir=git_dir, cwd=work, output_bytes_max=PATCH_BYTES_MAX)
    out = _ok(listing, "list the commit")
    return [os.fsdecode(line.split(b"\t", 1)[1]) for line in out.split(b"\0") if line.startswith(b"160000 ")]


def check_words(message: Any, author: Any) -> None:
    """Raises WorkspaceRefused for what cannot stand in a commit."""
    known = isinstance(author, Author) and all(_is_name(part) for part in (author.name, author.email))
    if not _is_text(message) or not known:
        raise WorkspaceRefused("the message or the author cannot stand in a commit", hint="use printable text")


def commit_tree(git_dir: Path, tree: str, base: str, message: str, author: Author, seconds: int) -> str:
    """Write a commit with one parent; gives its hash. The same arguments give the same commit."""
    who = {"NAME": author.name, "EMAIL": author.email, "DATE": f"@{seconds} +0000"}
    identity = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in who.items()}
    arguments = ["commit-tree", tree, "-p", base]
    finished = _run(arguments, git_dir=git_dir, cwd=git_dir, stdin=message.encode(), extra=identity)
    return _ok(finished, "write the commit").decode().strip()


def patch(git_dir: Path, base: str, tree: str) -> bytes:
    """The changes from `base` to `tree` for `git apply`, binary files included; empty where there are none."""
    flags = ["--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv"]
    arguments = ["diff-tree", "-p", *flags, base, tree]
    finished = _run(arguments, git_dir=git_dir, cwd=git_dir, output_bytes_max=PATCH_BYTES_MAX)
    return _ok(finished, "write the patch")


# -- into the user's repository


def carry_objects(git_dir: Path, repository: Repository) -> None:
    """Copy what the workspace's store holds into the repository's, durably. Objects are named by their content, so one
    that is there already is the same, and a crash leaves some that nobody refers to, which git clears away."""
    store = repository.objects
    for path in sorted((git_dir / "objects").rglob("*"), key=lambda one: one.suffix == ".idx"):  # packs before indexes
        target = store / path.relative_to(git_dir / "objects")
        if path.is_dir() or path.parent.name == "info" or target.exists():
            continue
        try:
            if not target.parent.is_dir():
                target.parent.mkdir()
                _like_owner(target.parent, store)
                durable.sync_folder(store)
            _put(path, target)
        except OSError as error:
            raise NotAdopted(
                f"{store} could not be written: {error.strerror}",
                hint="no branch was changed; make room or mend the rights",
            ) from error


def _put(path: Path, target: Path) -> None:
    temporary = target.parent / f"tmp_obj_{os.urandom(6).hex()}"  # git's own naming: `git gc` removes leftovers
    try:
        shutil.copyfile(path, temporary)
        temporary.chmod(0o444)
        _like_owner(temporary, target.parent)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            durable.sync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
        durable.sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _like_owner(path: Path, folder: Path) -> None:
    """As root: what is made in a user's repository belongs to that user."""
    if os.geteuid() == 0:
        status = folder.stat()
        os.chown(path, status.st_uid, status.st_gid)


def check_branch(branch: Any) -> str:
    """Its full name. Raises WorkspaceRefused. Stricter than git: letters, digits and `._+-/`."""
    fine = isinstance(branch, str) and len(branch) <= _NAME_CHARACTERS_MAX and _BRANCH.fullmatch(branch)
    if not fine or not _encodes(branch) or ".." in branch or re.search(r"\.(lock)?(/|$)", branch):
        raise WorkspaceRefused(f"{place.shown(branch)} cannot name a branch", hint="use letters, digits and ._+-/")
    return f"refs/heads/{branch}"


def checked_out_at(repository: Repository, ref: str) -> Path | None:
    """The git folder of the worktree that has this branch checked out, if any."""
    for git_dir in (repository.common_dir, *sorted((repository.common_dir / "worktrees").glob("*"))):
        head = git_dir / "HEAD"
        if head.is_symlink():  # how git wrote it long ago
            text = f"ref: {os.readlink(head)}"
        else:
            text = head.read_bytes()[:4096].decode("utf-8", "replace").strip() if head.is_file() else ""
        if text == f"ref: {ref}":
            return git_dir
    return None


def move_branch(repository: Repository, ref: str, new: str, expected: str | None) -> None:
    """Compare and swap: `ref` becomes `new` if it is `expected` (None: if there is no such branch). Raises
    TargetMoved."""
    finished = _run(
        ["update-ref", "--no-deref", "-m", "daybreak: adopted", ref, new, expected or "0" * len(new)],
        git_dir=repository.git_dir,
        cwd=Path("/"),
    )
    if not finished.ok:
        raise TargetMoved(
            f"{ref} is not where it was, or cannot be written: {_said(finished)}",
            hint="the branch was not changed; merge with what is there now, or name another branch",
        )
    for below in (ref, f"logs/{ref}"):
        path = repository.common_dir / below
        while path != repository.common_dir and path.exists():
            _like_owner(path, repository.common_dir)
            path = path.parent


# -- git itself


def _run(
    arguments: list[str],
    *,
    git_dir: Path,
    cwd: Path,
    work: Path | None = None,
    stdin: bytes = b"",
    output_bytes_max: int = _OUTPUT_BYTES_MAX,
    extra: dict[str, str] | None = None,
) -> process.Finished:
    environment = {**_ENVIRONMENT, "GIT_DIR": str(git_dir), **(extra or {})}
    if work is not None:
        environment["GIT_WORK_TREE"] = str(work)
    return process.run(
        ["git", "--no-pager", *_SAFE, *arguments],
        cwd=cwd,
        env=environment,
        timeout_s=TIMEOUT_S,
        output_bytes_max=output_bytes_max,
        file_bytes_max=_FILE_BYTES_MAX,
        stdin=stdin,
    )


def _ok(finished: process.Finished, what: str) -> bytes:
    if not finished.ok:
        raise NotAdopted(
            f"git could not {what}: {_said(finished)}", hint="the workspace is as it was; mend the cause and try again"
        )
    return finished.stdout


def _said(finished: process.Finished) -> str:
    lines = finished.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines and not finished.ended_by_us else finished.ending


def _is_text(text: Any) -> bool:
    return isinstance(text, str) and "\0" not in text and _encodes(text)


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text.isprintable() and bool(text.strip(" .,:;<>\"'")) and not set(text) & set("<>")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_folder(path: Path) -> bool:
    """A real one, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
