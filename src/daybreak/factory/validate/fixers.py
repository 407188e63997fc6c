"""What mends without thinking: fixers of the tools that check. They run in the sandbox on a copy, one after the other.

Each is a command at the top of the copy. What it leaves is a state like any other: looked at, and only kept if it is
better and no test that passed fails.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from daybreak.checks import sandboxed, transcripts
from daybreak.factory.validate.commands import NOT_FOUND
from daybreak.factory.validate.planned import Plan
from daybreak.factory.validate.pythontools import configuration, ruff
from daybreak.factory.validate.running import OUTPUT_BYTES_MAX, Room
from daybreak.host import process
from daybreak.settings import ProjectLanguage

OWN = "command: "
_LANGUAGES: dict[str, ProjectLanguage] = {
    "eslint": "javascript",
    "prettier": "javascript",
    "gofmt": "go",
    "cargo-fmt": "rust",
}


def languages(names: Sequence[str]) -> list[ProjectLanguage]:
    """Whose tools these fixers need, each once."""
    return list(dict.fromkeys("generic" if one.startswith(OWN) else _LANGUAGES.get(one, "python") for one in names))


def words(name: str, plan: Plan, room: Room, python: Sequence[str]) -> tuple[str, ProjectLanguage]:
    """The command of a fixer, as shell text, and whose tools it needs."""
    if name.startswith(OWN):
        return name.removeprefix(OWN), "generic"
    told = shlex.join(ruff(room))
    files = shlex.join(python) if python and sum(map(len, python)) < 100_000 else "."
    match name:
        case "ruff":
            options = shlex.join(configuration(plan.check("lint:python")))
            return f"{told} check --fix-only --exit-zero --no-cache --force-exclude {options} {files}", "python"
        case "imports":
            return f"{told} check --select I --fix-only --exit-zero --no-cache --force-exclude {files}", "python"
        case "ruff-format":
            return f"{told} format --quiet --no-cache --force-exclude {files}", "python"
        case "eslint":
            return "node_modules/.bin/eslint --fix .", _LANGUAGES[name]
        case "prettier":
            return "node_modules/.bin/prettier --log-level warn --write .", _LANGUAGES[name]
        case "gofmt":
            return "gofmt -w .", _LANGUAGES[name]
        case "cargo-fmt":
            return "cargo fmt", _LANGUAGES[name]
    raise AssertionError(f"there is no fixer {name}")


def run(
    names: Sequence[str], plan: Plan, room: Room, work: Path, python: Sequence[str], *, strict: bool = False
) -> list[str]:
    """Run these fixers in the folder `work`, which they change; what each said that did not end well. Raises what
    starting a program in a sandbox raises, and where it is `strict` ProgramMissing for one that is not there."""
    problems = []
    for number, name in enumerate(names):
        place = room.scratch / f"fixer-{number}"
        place.mkdir(parents=True)
        (place / "copy").symlink_to(work)  # only a name for the environment; the sandbox is given the real folder
        command, language = words(name, plan, room, python)
        modules = room.around.node_modules
        linked = language == "javascript" and modules is not None and not os.path.lexists(work / "node_modules")
        if linked and modules is not None:
            (work / "node_modules").symlink_to(modules)
        finished = process.run(
            ["/bin/sh", "-c", command],
            cwd=work,
            env=room.environment(language, place),
            timeout_s=room.limit_s,
            output_bytes_max=OUTPUT_BYTES_MAX,
            cancelled=room.cancelled,
            sandbox=room.box(language, work, *sandboxed.homes(place)),
        )
        if linked and (work / "node_modules").is_symlink():
            (work / "node_modules").unlink()
        if strict and finished.exit_code in NOT_FOUND:
            raise process.ProgramMissing(
                f"{name}: {transcripts.cut(transcripts.of(finished), 300)}", hint="install it on the machine that mends"
            )
        if not finished.ok and name != "eslint":  # which ends with 1 where something is left to be mended
            problems.append(f"{name}: {finished.ending}: {transcripts.cut(transcripts.of(finished), 400)}")
    return problems
