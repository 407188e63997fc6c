"""A task on a repository as it is asked for: read and checked before anything is recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from daybreak.errors import UsageError
from daybreak.factory import needing, task
from daybreak.factory.asked import Asked
from daybreak.factory.phases import panel
from daybreak.factory.phases.phase import Role
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.repository import guard as repositoryguard
from daybreak.factory.repository import venvs
from daybreak.factory.repository.guard import Guard
from daybreak.factory.spec.model import Needed
from daybreak.host.sandbox import STRENGTHS, Strength
from daybreak.host.workspaces import git
from daybreak.settings import BUILDER, Settings

KIND = "repository"
PROMPT_CHARS_MAX = 100_000
COMMAND_CHARS_MAX = 10_000
CHECKS_MAX = 50
ATTEMPTS_MAX = 100
TITLE_CHARS_MAX = 72
_PATTERNS_MAX, _PATTERN_CHARS_MAX = 200, 1_000


class RepositoryTaskWrong(UsageError):
    """What is asked of a repository cannot be asked like that."""

    code = "U220"


class NoWorker(UsageError):
    """Nobody is named who could work on a repository."""

    code = "U221"


class Source(BaseModel):
    """The issue that a task comes from, as it was written: data, never orders."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    forge: str
    """Name of one of `forges` in the settings."""
    repository: str
    """`owner/name` there."""
    number: int
    title: str
    text: str
    author: str = ""


class Offer(BaseModel):
    """Where the branch is offered as a pull or merge request."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    forge: str
    repository: str
    into: str = ""
    """The branch that it goes into; empty: the usual one there."""


class RepositoryArgs(BaseModel):
    """What was asked for, as kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    repository: str
    """Real and absolute; holds `.git`."""
    commit: str
    """Full hash of the base."""
    prompt: str
    """What is to be done, in the user's words."""
    checks: tuple[str, ...]
    """Shell commands that end with 0 where it is done."""
    protect: tuple[str, ...] = ()
    """Patterns beside the usual ones."""
    allow: tuple[str, ...] = ()
    """Patterns of files that a worker may touch although they are protected."""
    workers: tuple[str, ...]
    """The order in which they are asked."""
    as_written: bool = False
    """Somebody named them for this task: what is known of outcomes does not change their order."""
    attempts: int = Field(default=3, ge=1, le=ATTEMPTS_MAX)
    time_s: float = 3600
    """Of one attempt."""
    check_s: float = 600
    """Of one run of a check."""
    sandbox: Strength = "degraded"
    venvs: tuple[str, ...] = ()
    author_name: str
    author_email: str
    guards_only: bool = False
    """Go on although every check passes on the base, so that none shows that it is done."""
    source: Source | None = None
    offer: Offer | None = None
    reviewers: tuple[Role, ...] = ()
    """Who is asked for objections where every check holds."""
    needs: Needed = Needed()
    """What a machine must have on which workers work and checks are run."""

    @property
    def title(self) -> str:
        """The first line of the prompt, cut."""
        first = " ".join(self.prompt.strip().splitlines()[0].split())
        return first if len(first) <= TITLE_CHARS_MAX else f"{first[: TITLE_CHARS_MAX - 1]}…"

    def guard(self, files: Sequence[str]) -> Guard:
        """What is protected in a base that holds these files."""
        return repositoryguard.of(self.checks, files, self.protect, self.allow)


def asked(
    repository: Path,
    prompt: str,
    checks: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    base: str = "HEAD",
    protect: Sequence[str] = (),
    allow: Sequence[str] = (),
    workers: Sequence[str] = (),
    settings: Settings | None = None,
    attempts: int = 3,
    time_s: float = 3600,
    check_s: float = 600,
    sandbox: str = "degraded",
    guards_only: bool = False,
    offer: Offer | None = None,
    needs: Sequence[str] = (),
) -> Asked:
    """What the queue takes. The base is looked up now: what the user saw when asking is what is worked on.

    Without `workers` the order of the settings, less the embedded builder, which builds specifications only. `needs` as
    `needing` has them. Reads, and writes nothing. Raises RepositoryTaskWrong, NoWorker, NeedsWrong, SettingsWrong for a
    worker that there is not, PhaseUnknown for a phase or role that there is not, NotARepository, CommitUnknown;
    ProgramMissing without git."""
    _check_words(prompt, checks, protect, allow)
    if sandbox not in STRENGTHS:
        raise RepositoryTaskWrong(f"there is no sandbox {sandbox!r:.80}", hint=f"one of {', '.join(STRENGTHS)}")
    if not 1 <= attempts <= ATTEMPTS_MAX or not time_s > 0 or not check_s > 0:
        raise RepositoryTaskWrong(
            f"{attempts} attempts of {time_s:g} s with checks of {check_s:g} s cannot be",
            hint=f"1 to {ATTEMPTS_MAX} attempts, and times above 0",
        )
    folder = Path(os.path.realpath(cwd / repository))
    if not folder.is_dir():
        raise RepositoryTaskWrong(f"{str(folder)[:80]!r} is no folder", hint="name the folder that holds .git")
    found = git.find(folder)
    commit = git.resolve(found, base).hash
    author = repositorygit.identity(folder, environment)
    args = RepositoryArgs(
        repository=str(folder),
        commit=commit,
        prompt=prompt,
        checks=tuple(checks),
        protect=tuple(protect),
        allow=tuple(allow),
        workers=_ordered(workers, settings or Settings(), cwd),
        as_written=bool(workers),
        attempts=attempts,
        time_s=time_s,
        check_s=check_s,
        sandbox=sandbox,
        venvs=tuple(map(str, venvs.find(folder, environment))),
        author_name=author.name,
        author_email=author.email,
        guards_only=guards_only,
        offer=offer,
        reviewers=panel.configured(settings or Settings()),
        needs=needing.read(needs),
    )
    return Asked(
        kind=KIND, title=f"{folder.name}: {args.title}", args=args.model_dump(mode="json", exclude_defaults=True)
    )


def _check_words(prompt: str, checks: Sequence[str], protect: Sequence[str], allow: Sequence[str]) -> None:
    wrong = []
    if not prompt.strip():
        wrong.append("nothing says what is to be done")
    if not checks:
        wrong.append("no check decides whether it is done")
    if len(checks) > CHECKS_MAX or len(set(checks)) < len(checks):
        wrong.append(f"a check is given twice, or there are more than {CHECKS_MAX}")
    if any(not check.strip() for check in checks):
        wrong.append("a check is empty")
    for what, texts, most in (
        ("the prompt", (prompt,), PROMPT_CHARS_MAX),
        ("a check", checks, COMMAND_CHARS_MAX),
        ("a pattern", (*protect, *allow), _PATTERN_CHARS_MAX),
    ):
        if any(len(text) > most or "\0" in text or not _encodes(text) for text in texts):
            wrong.append(f"{what} is no text, or longer than {most:,} characters")
    if len(protect) + len(allow) > _PATTERNS_MAX or any(
        not text or text.startswith("/") for text in (*protect, *allow)
    ):
        wrong.append(f"a pattern is empty or begins with /, or there are more than {_PATTERNS_MAX}")
    if wrong:
        raise RepositoryTaskWrong(
            "; ".join(wrong),
            hint="daybreak add --repo DIR 'do this' --check 'pytest -q'; patterns are relative, such as 'tests/**'",
        )


def _encodes(text: str) -> bool:
    return text.encode("utf-8", "ignore").decode() == text


def _ordered(workers: Sequence[str], settings: Settings, cwd: Path) -> tuple[str, ...]:
    """Names of workers as they are asked, each once. Raises NoWorker, SettingsWrong."""
    names = [name for name in task.ordered(workers, settings, cwd) if settings.worker(name).kind != BUILDER]
    if not names:
        raise NoWorker(
            "nobody is named who could work on a repository; the embedded builder builds specifications only",
            hint="give --worker, or name workers in daybreak.toml (`daybreak init` writes one)",
        )
    return tuple(names)
