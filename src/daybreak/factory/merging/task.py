"""A merge as it is asked for: read and checked before anything is recorded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from daybreak.engine.placement import Placement
from daybreak.errors import UsageError
from daybreak.factory.asked import Asked
from daybreak.factory.merging import branches
from daybreak.factory.merging.branches import Entry
from daybreak.factory.merging.target import Target
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository import venvs
from daybreak.factory.repository.task import CHECKS_MAX, COMMAND_CHARS_MAX
from daybreak.host.sandbox import STRENGTHS, Strength
from daybreak.host.workspaces import git
from daybreak.ledger import Ledger

KIND = "merge"
BRANCHES_MAX = 500


class MergeWrong(UsageError):
    """Branches cannot be merged like that."""

    code = "U242"


class MergeArgs(BaseModel):
    """What was asked for, as kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    repository: str
    """Real and absolute; holds `.git`."""
    into: str
    entries: tuple[Entry, ...] = ()
    """In the order in which they are merged; empty: what has been delivered by the time that the run begins."""
    checks: tuple[str, ...] = ()
    """For every branch, beside its own."""
    sandbox: Strength = "degraded"
    check_s: float = Field(default=branches.CHECK_S, gt=0)
    venvs: tuple[str, ...] = ()
    tasks: bool = True
    """A conflict becomes a task for the workers that made the branch."""
    author_name: str
    author_email: str


def asked(
    ledger: Ledger,
    repository: Path,
    names: Sequence[str] = (),
    *,
    into: str = "main",
    checks: Sequence[str] = (),
    cwd: Path,
    environment: Mapping[str, str],
    sandbox: str = "degraded",
    check_s: float = branches.CHECK_S,
    tasks: bool = True,
) -> Asked:
    """What the queue takes. Without `names`: every branch that runs of this ledger have delivered there.

    Reads, and writes nothing. Raises MergeWrong, NotMergeable, NoSuchBranch, TargetDirty, NotARepository;
    ProgramMissing without git."""
    _check_words(names, checks, check_s, into)
    if sandbox not in STRENGTHS:
        raise MergeWrong(f"there is no sandbox {sandbox!r:.80}", hint=f"one of {', '.join(STRENGTHS)}")
    folder = Path(os.path.realpath(cwd / repository))
    if not folder.is_dir():
        raise MergeWrong(f"{str(folder)[:80]!r} is no folder", hint="name the folder that holds .git")
    git.find(folder)
    target = Target(folder, into)
    target.head()
    target.refuse_dirty()
    author = repositorygit.identity(folder, environment)
    args = MergeArgs(
        repository=str(folder),
        into=into,
        entries=tuple(branches.named(ledger, folder, names, checks)),
        checks=tuple(dict.fromkeys(checks)),
        sandbox=sandbox,
        check_s=check_s,
        venvs=tuple(map(str, venvs.find(folder, environment))),
        tasks=tasks,
        author_name=author.name,
        author_email=author.email,
    )
    what = names[0] if len(names) == 1 else f"{len(names)} branches" if names else "what was delivered"
    key = hashlib.sha256(f"{folder}\n{into}".encode()).hexdigest()[:16]
    return Asked(
        kind=KIND,
        title=f"{folder.name}: merge {what} into {into}",
        args=args.model_dump(mode="json", exclude_defaults=True),
        placement=Placement(keys={f"merge:{key}": 1}),
    )


def _check_words(names: Sequence[str], checks: Sequence[str], check_s: float, into: str) -> None:
    wrong = []
    if len(names) > BRANCHES_MAX or len(checks) > CHECKS_MAX:
        wrong.append(f"more than {BRANCHES_MAX} branches or {CHECKS_MAX} checks")
    if into in names:
        wrong.append(f"{into} would be merged into itself")
    if any(not check.strip() or len(check) > COMMAND_CHARS_MAX or "\0" in check for check in checks):
        wrong.append(f"a check is empty, or longer than {COMMAND_CHARS_MAX:,} characters")
    if not check_s > 0:
        wrong.append(f"a check cannot have {check_s:g} s")
    if wrong:
        raise MergeWrong("; ".join(wrong), hint="daybreak merge --repo DIR --into main daybreak/run-0k3 ...")
