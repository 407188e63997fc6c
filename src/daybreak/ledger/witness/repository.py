"""Heads as commits of a git repository of the user's choice, on a branch of their own.

Only objects and that one branch are written, the branch by compare and swap; index, working tree, configuration and
hooks are left alone. Each ledger has a file of its own in the branch, so that one repository serves several. Where a
remote is named, the branch is pushed there, never by force, and only what is there counts. Where the remote's branch
went on without this one (another machine, a fresh clone here), a commit joins the two.

A branch that somebody here may rewrite is worth as much as their word; a remote that refuses forced pushes, or the
clones of others, are worth more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from daybreak.clock import Clock
from daybreak.errors import DaybreakError
from daybreak.host import process
from daybreak.host.workspaces import git
from daybreak.ledger.note import Checkpoint, NoteError, Verifier
from daybreak.ledger.witness.statement import Log, Statement, WitnessFalse, WitnessRefuses, WitnessSilent

FILE = "head"
_SAFE = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
)
_ENVIRONMENT = {
    "PATH": process.DEFAULT_PATH,
    "LC_ALL": "C.UTF-8",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_AUTHOR_NAME": "daybreak",
    "GIT_AUTHOR_EMAIL": "daybreak@localhost",
    "GIT_COMMITTER_NAME": "daybreak",
    "GIT_COMMITTER_EMAIL": "daybreak@localhost",
}
_ALONE = {"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ALLOW_PROTOCOL": ""}
"""What is done in the repository itself needs nothing of the user's, and reaches nothing."""
_PASSED_ON = (
    *("HOME", "PATH", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "GIT_SSL_CAINFO"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
"""To reach the remote takes the user's own git: address, keys and helpers are theirs."""
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
TRIES = 5
"""Several processes may commit at the same moment."""


class GitRepository:
    """A branch of a repository on this machine."""

    kind = "git"

    def __init__(
        self,
        name: str,
        path: Path,
        ref: str,
        remote: str,
        verifier: Verifier,
        clock: Clock,
        *,
        timeout_s: float,
        environment: Mapping[str, str],
    ) -> None:
        """`environment` is what git needs to reach the remote; nothing of it is used for anything else."""
        self.name = name
        self.path = path
        self.ref = ref
        self.remote = remote
        self.where = " ".join(filter(None, (str(path), ref, remote)))
        self._verifier = verifier
        self._clock = clock
        self._timeout_s = timeout_s
        self._outside = {name: environment[name] for name in _PASSED_ON if environment.get(name)}
        self._folder = re.sub(r"[^A-Za-z0-9._-]", "-", verifier.origin).strip(".-") or "ledger"

    def show(self, head: Checkpoint, log: Log) -> Statement:
        now = self._clock.now()
        far: str | None = None
        for _ in range(TRIES):
            tip = self._tip()
            parents = [one for one in (far, tip) if one is not None]
            present = [found for one in parents if (found := self._head_in(one)) is not None]
            for found in present:
                log.compare(found)
            newest = max([*present, head], key=lambda one: one.size)
            if (far or newest is head) and not self._move(self._commit(parents, newest, now), tip):
                continue
            if not self.remote or (refused := self._push()) is None:
                return Statement(newest.size, now)
            far = self._fetched()
            if far is None or self._holds(far):
                raise refused
        raise WitnessSilent(f"{self.ref} of {self.path} moves each time", hint="it is tried again later.")

    def highest(self, log: Log) -> Checkpoint | None:
        """The branch's; where a remote is named, what that one has."""
        tip = self._tip()
        here = None if tip is None else self._head_in(tip)
        if not self.remote:
            return here
        if here is not None:
            log.compare(here)
        far = self._fetched()
        return None if far is None else self._head_in(far)

    def worth(self) -> Sequence[str]:
        repository = self._repository()
        if repository.common_dir.stat().st_uid != os.geteuid():
            words = [f"the repository belongs to user number {repository.common_dir.stat().st_uid}"]
        else:
            words = ["the repository belongs to the ledger's user, who can rewrite the branch here"]
        if self.remote:
            words.append(f"it is also at {self.remote}: worth as much as nobody here may force a push there")
        return words

    # -- the repository

    def _repository(self) -> git.Repository:
        try:
            return git.find(self.path)
        except DaybreakError as error:
            raise WitnessRefuses(f"witness {self.name}: {error.message}", hint=error.hint) from error
        except OSError as error:
            raise WitnessSilent(
                f"witness {self.name}: {error}", hint="look at the repository and its rights."
            ) from error

    def _tip(self, ref: str = "") -> str | None:
        ran = self._run(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref or self.ref}^{{commit}}"])
        if ran.exit_code == 1:
            return None
        return self._said(ran, f"find {ref or self.ref}")

    def _head_in(self, commit: str) -> Checkpoint | None:
        """This ledger's head in that commit; None where it has no such file. Raises WitnessFalse where it is not signed
        by the ledger's key."""
        if not self._listed(commit, f"{self._folder}/{FILE}"):
            return None
        ran = self._run(["cat-file", "blob", f"{commit}:{self._folder}/{FILE}"])
        if not ran.ok:
            raise self._failed(ran, f"read the head in {commit[:12]}")
        try:
            return self._verifier.open(ran.stdout.decode())
        except (NoteError, ValueError) as error:
            raise WitnessFalse(
                f"witness {self.name}: the head in {commit[:12]} of {self.path} cannot be used: {error}",
                hint="somebody changed it or the key; look at the branch's history.",
            ) from error

    def _listed(self, commit: str, *path: str) -> list[str]:
        """The commit's entries, as `ls-tree` writes them; with a path that one alone, if it is there."""
        ran = self._run(["ls-tree", "--full-tree", "-z", commit, *path])
        if not ran.ok:
            raise self._failed(ran, "read the branch")
        return [entry for entry in ran.stdout.decode("utf-8", "surrogateescape").split("\0") if entry]

    def _commit(self, parents: Sequence[str], head: Checkpoint, now: datetime) -> str:
        file = self._said(self._run(["hash-object", "-w", "--stdin"], stdin=head.text.encode()), "store the head")
        ours = self._tree([f"100644 blob {file}\t{FILE}"])
        others = self._others(parents)
        tree = self._tree([*others, f"040000 tree {ours}\t{self._folder}"])
        above = [word for parent in parents for word in ("-p", parent)]
        when = f"{int(now.timestamp())} +0000"
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        text = f"{self._verifier.origin}: {head.size} events\n".encode()
        ran = self._run(["commit-tree", tree, *above], stdin=text, extra=dates)
        return self._said(ran, "make a commit")

    def _others(self, parents: Sequence[str]) -> list[str]:
        """What else the branch holds: other ledgers' heads, or whatever the user keeps there. Of two branches that are
        joined, the first one's where both have it."""
        entries = [entry for parent in reversed(parents) for entry in self._listed(parent)]
        by_name = {entry.partition("\t")[2]: entry for entry in entries}
        by_name.pop(self._folder, None)
        return list(by_name.values())

    def _tree(self, entries: Sequence[str]) -> str:
        data = "".join(f"{entry}\0" for entry in entries).encode("utf-8", "surrogateescape")
        return self._said(self._run(["mktree", "-z"], stdin=data), "make a tree")

    def _move(self, commit: str, parent: str | None) -> bool:
        repository = self._repository()
        if (where := git.checked_out_at(repository, self.ref)) is not None:
            raise WitnessRefuses(
                f"witness {self.name}: {self.ref} is checked out at {where}",
                hint="name a branch in `ref` that nobody has checked out.",
            )
        words = ["update-ref", "--no-deref", "-m", "daybreak: witnessed", self.ref, commit, parent or "0" * len(commit)]
        ran = self._run(words)
        if not ran.ok and self._tip() == parent:
            raise self._failed(ran, f"move {self.ref}")
        return ran.ok

    # -- the remote

    def _push(self) -> WitnessSilent | None:
        """Why the remote did not take it; None where it did."""
        words = [
            "push",
            "--porcelain",
            "--quiet",
            "--no-verify",
            "--no-signed",
            "--",
            self.remote,
            f"{self.ref}:{self.ref}",
        ]
        ran = self._run(words, far=True)
        return None if ran.ok else self._failed(ran, f"push to {self.remote}")

    def _holds(self, commit: str) -> bool:
        """Does the branch here go on from that commit?"""
        ran = self._run(["merge-base", "--is-ancestor", commit, self.ref])
        if not ran.ok and ran.exit_code != 1:
            raise self._failed(ran, f"compare {self.ref} with that of {self.remote}")
        return ran.ok

    def _fetched(self) -> str | None:
        """The tip of the remote's branch, with its objects here; None where it has none."""
        ran = self._run(["ls-remote", "--", self.remote, self.ref], far=True)
        if not ran.ok:
            raise self._failed(ran, f"ask {self.remote}")
        tip = ran.stdout.decode("ascii", "replace").partition("\t")[0].strip()
        if not _HASH.fullmatch(tip):
            return None
        ran = self._run(
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", self.remote, self.ref], far=True
        )
        if not ran.ok:
            raise self._failed(ran, f"fetch from {self.remote}")
        return self._tip(tip)

    # -- git itself

    def _run(
        self, words: Sequence[str], *, stdin: bytes = b"", extra: Mapping[str, str] | None = None, far: bool = False
    ) -> process.Finished:
        surroundings = {**_ENVIRONMENT, **(self._outside if far else _ALONE), **(extra or {})}
        surroundings["GIT_DIR"] = str(self._repository().git_dir)
        return process.run(
            ["git", "--no-pager", *_SAFE, *words],
            cwd=self.path if far else Path("/"),  # a remote may be a path beside the repository
            env=surroundings,
            timeout_s=self._timeout_s,
            stdin=stdin,
        )

    def _said(self, ran: process.Finished, what: str) -> str:
        found = ran.stdout.decode("ascii", "replace").strip()
        if not ran.ok or not _HASH.fullmatch(found):
            raise self._failed(ran, what)
        return found

    def _failed(self, ran: process.Finished, what: str) -> WitnessSilent:
        lines = ran.stderr.decode("utf-8", "replace").strip().splitlines() or [ran.ending]
        return WitnessSilent(
            f"witness {self.name}: git could not {what}: {lines[-1][:300]}",
            hint=f"look at {self.path}; it is tried again later.",
        )
