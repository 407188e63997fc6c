"""A validation as it is asked for: read and checked before anything is recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from daybreak.errors import DaybreakError, UsageError
from daybreak.factory import needing, task
from daybreak.factory.asked import Asked
from daybreak.factory.phases import panel
from daybreak.factory.phases.phase import Role
from daybreak.factory.repository import git as repositorygit
from daybreak.factory.spec.model import Needed
from daybreak.factory.validate import shadow
from daybreak.factory.validate.surroundings import Surroundings
from daybreak.host.sandbox import STRENGTHS, Strength
from daybreak.host.workspaces import git
from daybreak.settings import BUILDER, Settings, Validate

KIND = "validate"
Delivery = Literal["", "branch", "patch", "in-place"]
ATTEMPTS_MAX = 100
SHOWN_MAX = 5


class ValidateWrong(UsageError):
    """A folder, or what is to be done with it, cannot be asked like that."""

    code = "U222"


class TreeDirty(UsageError):
    """In place would mix what is mended with what the user has not committed."""

    code = "U223"


class ValidateArgs(BaseModel):
    """What was asked for, as kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    folder: str
    """Real and absolute."""
    root: str = ""
    """The top of the repository that it lies in; empty outside of one."""
    prefix: str = ""
    """Its folder in there, with `/` at the end."""
    commit: str = ""
    """Of the files of this commit; empty: of those in the folder as they are when the run begins."""
    fix: bool = False
    delivery: Delivery = ""
    """Where what was mended goes; empty exactly without `fix`."""
    patch: str = ""
    """The file to be written, with `delivery` patch."""
    even_if_dirty: bool = False
    settings: Validate = Validate()
    settings_path: str = ""
    """Where they were read; empty: nowhere."""
    around: Surroundings
    workers: tuple[str, ...] = ()
    """Who is asked where fixers are not enough, in that order; none: nobody."""
    as_written: bool = False
    attempts: int = Field(default=3, ge=0, le=ATTEMPTS_MAX)
    time_s: float = 3600
    """Of one attempt."""
    sandbox: Strength = "degraded"
    author_name: str = ""
    author_email: str = ""
    notes: tuple[str, ...] = ()
    reviewers: tuple[Role, ...] = ()
    """Who is asked for objections to what was mended, where every check holds."""
    needs: Needed = Needed()
    """What a machine must have on which workers work and checks are run."""

    @property
    def where(self) -> shadow.Where:
        return shadow.Where(Path(self.root) if self.root else None, self.prefix)


def asked(
    folder: Path,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    validate: Validate | None = None,
    validate_path: str = "",
    fix: bool = False,
    patch: Path | None = None,
    in_place: bool = False,
    even_if_dirty: bool = False,
    workers: Sequence[str] = (),
    settings: Settings | None = None,
    attempts: int = 3,
    time_s: float = 3600,
    sandbox: str = "degraded",
    needs: Sequence[str] = (),
) -> Asked:
    """What the queue takes. `validate` says how the project is looked at, `settings` who may mend it; without `workers`
    those in its order, less the embedded builder, which builds specifications only. `needs` as `needing` has them.

    Reads, and writes nothing. Raises ValidateWrong, NeedsWrong, TreeDirty, ProjectUnclear, SettingsWrong for a worker
    that there is not, CommitUnknown; ProgramMissing without git."""
    real = Path(os.path.realpath(cwd / folder))
    _check_words(real, fix, patch, in_place, even_if_dirty, sandbox, attempts, time_s)
    needed = needing.read(needs)
    place = shadow.where(real)
    delivery = _delivery(real, place, fix, patch, in_place)
    notes: list[str] = []
    commit, author = "", git.Author()
    changed = shadow.dirty(real, place) if fix else []
    if place.root is not None and fix:
        author = repositorygit.identity(place.root, environment)
    if delivery == "branch":
        assert place.root is not None
        commit = git.resolve(git.find(place.root), "HEAD").hash
        if changed:
            notes.append(f"{len(changed)} files that are not committed ({_some(changed)}) are not part of it")
    elif delivery == "in-place" and changed and not even_if_dirty:
        raise TreeDirty(
            f"{len(changed)} files in {real} are not committed: {_some(changed)}",
            hint="commit or stash them, take a --patch FILE, or say --even-if-dirty, which keeps them",
        )
    found = _ordered(workers, settings or Settings(), cwd) if fix and attempts else ()
    args = ValidateArgs(
        folder=str(real),
        root=str(place.root or ""),
        prefix=place.prefix,
        commit=commit,
        fix=fix,
        delivery=delivery,
        patch=str(Path(os.path.abspath(cwd / patch))) if patch is not None else "",
        even_if_dirty=even_if_dirty,
        settings=validate or Validate(),
        settings_path=validate_path,
        around=Surroundings.of(real, environment),
        workers=found,
        as_written=bool(workers),
        attempts=attempts,
        time_s=time_s,
        sandbox=_strength(sandbox),
        author_name=author.name,
        author_email=author.email,
        notes=tuple(notes),
        reviewers=panel.configured(settings or Settings()) if fix else (),
        needs=needed,
    )
    title = f"{'mend' if fix else 'validate'} {real.name or real}"
    return Asked(kind=KIND, title=title, args=args.model_dump(mode="json", exclude_defaults=True))


def _check_words(
    real: Path,
    fix: bool,
    patch: Path | None,
    in_place: bool,
    even_if_dirty: bool,
    sandbox: str,
    attempts: int,
    time_s: float,
) -> None:
    if not real.is_dir():
        raise ValidateWrong(f"{str(real)!r:.200} is no folder", hint="name the folder of a project")
    try:
        str(real).encode()
    except UnicodeEncodeError as error:
        raise ValidateWrong(f"{str(real)!a:.200} is not UTF-8", hint="rename the folder") from error
    wrong = []
    if not fix and (patch is not None or in_place or even_if_dirty):
        wrong.append("--patch, --in-place and --even-if-dirty say where --fix puts its result, and there is no --fix")
    if patch is not None and in_place:
        wrong.append("--patch and --in-place exclude each other")
    if even_if_dirty and not in_place:
        wrong.append("--even-if-dirty belongs to --in-place")
    if sandbox not in STRENGTHS:
        wrong.append(f"there is no sandbox {sandbox!r:.80}, only {', '.join(STRENGTHS)}")
    if not 0 <= attempts <= ATTEMPTS_MAX or not time_s > 0:
        wrong.append(f"{attempts} attempts of {time_s:g} s cannot be: 0 to {ATTEMPTS_MAX}, and a time above 0")
    if patch is not None and os.path.lexists(patch):
        wrong.append(f"{str(patch)!r:.200} is there already, and is not overwritten")
    if wrong:
        raise ValidateWrong("; ".join(wrong), hint="see `daybreak validate --help`")


def _delivery(real: Path, place: shadow.Where, fix: bool, patch: Path | None, in_place: bool) -> Delivery:
    if not fix:
        return ""
    if patch is not None:
        return "patch"
    if in_place:
        return "in-place"
    if place.root is None:
        raise ValidateWrong(
            f"{real} lies in no git repository, so there can be no branch",
            hint="say --patch FILE or --in-place (`git init` and a commit first keep a way back)",
        )
    return "branch"


def _ordered(workers: Sequence[str], settings: Settings, cwd: Path) -> tuple[str, ...]:
    """Names of workers, each once; nobody where only the embedded builder is there. Raises SettingsWrong."""
    names = task.ordered(workers, settings, cwd)
    return tuple(name for name in names if settings.worker(name).kind != BUILDER)


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - SHOWN_MAX} more" if len(paths) > SHOWN_MAX else ""
    return ", ".join(paths[:SHOWN_MAX]) + more


def _strength(word: str) -> Strength:
    found: Strength = next(one for one in get_args(Strength) if one == word)
    return found


def explained(problem: DaybreakError) -> str:
    """An error in one line, for a row of the table."""
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message
