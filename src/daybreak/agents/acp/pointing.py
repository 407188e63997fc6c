"""What points a program at the gateway: words, variables and files with `{url}`, `{token}` and `{model}` in them.

Only these names are replaced, wherever they stand in braces; all other braces stay, so JSON needs no escapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daybreak.agents.protocol import Terms
from daybreak.errors import WorkerError

NAMES = ("url", "token", "model", "workspace", "home")
_PLACE = re.compile(r"\{(" + "|".join(NAMES) + r")\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class OptionsWrong(WorkerError):
    """The options of a worker cannot be used as they are."""

    code = "W170"


def values(terms: Terms, model: str, workspace: Path, home: Path) -> dict[str, str]:
    """What the names stand for; url and token are empty where there is no gateway."""
    gateway = terms.gateway
    return {
        "url": gateway.url.rstrip("/") if gateway else "",
        "token": gateway.token if gateway else "",
        "model": (gateway.model if gateway else "") or model,
        "workspace": str(workspace),
        "home": str(home),
    }


def filled(text: str, known: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: known[found[1]], text)


def points(texts: Sequence[str]) -> bool:
    """Is the gateway named in any of them?"""
    return any("{url}" in text for text in texts)


def environment(options: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """`options["environment"]`: variables, filled in. Raises OptionsWrong."""
    told = texts(options, "environment")
    for name, value in told.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            raise OptionsWrong(
                f"options.environment: {name!r:.80} cannot be set",
                hint="names are letters, digits and _; values have no NUL",
            )
    return {name: filled(value, known) for name, value in told.items()}


def write_files(options: Mapping[str, Any], known: Mapping[str, str], home: Path) -> None:
    """`options["files"]`: files of the agent's home (path to content), filled in. Raises OptionsWrong."""
    for name, content in texts(options, "files").items():
        place = Path(name.removeprefix("~/"))
        if place.is_absolute() or ".." in place.parts or not place.parts or "\0" in name:
            raise OptionsWrong(
                f"options.files: {name!r:.80} does not lie in the agent's home",
                hint="give a path below it, such as `.config/agent/settings.json`",
            )
        try:
            (home / place).parent.mkdir(parents=True, exist_ok=True)
            (home / place).write_text(filled(content, known), encoding="utf-8")
        except (OSError, UnicodeEncodeError) as problem:
            raise OptionsWrong(f"options.files: {name!r:.80}: {problem}", hint="give another path") from problem


def texts(options: Mapping[str, Any], key: str) -> dict[str, str]:
    """A table of texts among the options; empty where there is none. Raises OptionsWrong."""
    told = options.get(key, {})
    if not isinstance(told, Mapping) or not all(isinstance(one, str) for pair in told.items() for one in pair):
        raise OptionsWrong(f"options.{key} is {told!r:.80}", hint="it is a table of texts")
    return dict(told)


def text(options: Mapping[str, Any], key: str) -> str:
    """A text among the options; empty where there is none. Raises OptionsWrong."""
    told = options.get(key, "")
    if not isinstance(told, str):
        raise OptionsWrong(f"options.{key} is {told!r:.80}", hint="it is a text")
    return told


def flag(options: Mapping[str, Any], key: str) -> bool:
    """A yes or no among the options; no where there is none. Raises OptionsWrong."""
    told = options.get(key, False)
    if not isinstance(told, bool):
        raise OptionsWrong(f"options.{key} is {told!r:.80}", hint="it is true or false")
    return told
