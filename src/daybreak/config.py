"""Where Daybreak keeps its things.

One `Places` names every folder. Which one applies, first match wins:

1. `DAYBREAK_HOME=DIR`: everything below DIR.
2. a `.daybreak/` folder in the working directory or a parent: state and workspaces there, keys and
   witness in the user's own folders, because they must not lie beside what they guard.
3. the user's folders of the platform.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daybreak.errors import UsageError, cut

PROJECT_FOLDER = ".daybreak"
POSTGRES = "DAYBREAK_POSTGRES"
"""The environment variable with the address of the Postgres that holds the ledger; it may hold a password."""


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute folders; none needs to exist yet. `why` says in words how they were chosen."""

    ledger: Path
    keys: Path
    witness: Path
    workspaces: Path
    locks: Path
    cache: Path
    logs: Path
    settings: Path
    """Where the user's own `daybreak.toml` lies."""
    why: str

    @property
    def private(self) -> tuple[Path, ...]:
        """Those that no worker and no program under check may see."""
        return (
            self.ledger, self.archive, self.handed, self.keys, self.witness, self.workspaces, self.locks, self.logs,
        )  # fmt: skip

    @property
    def archive(self) -> Path:
        """Where archived events lie if the settings name no folder."""
        return self.ledger.with_name("archive")

    @property
    def handed(self) -> Path:
        """Where texts lie that were handed over as such; specifications among them have held-out examples."""
        return self.ledger.with_name("handed")

    @classmethod
    def below(cls, home: Path, why: str) -> Places:
        home = home.resolve()  # programs in a sandbox know folders by their real names
        return cls(
            ledger=home / "ledger",
            keys=home / "keys",
            witness=home / "witness",
            workspaces=home / "workspaces",
            locks=home / "locks",
            cache=home / "cache",
            logs=home / "logs",
            settings=home,
            why=why,
        )


SETTINGS = "daybreak.toml"


def find_settings(environment: Mapping[str, str], working_directory: Path, user_folder: Path) -> Path | None:
    """The settings file that applies, unread and unjudged (`settings.find` judges it); None where there is none.

    Also a link that leads nowhere, or a folder of that name: to pass them by in silence would hide a mistake."""
    if named := environment.get("DAYBREAK_CONFIG"):
        return working_directory / at_home(named)
    for folder in (working_directory, *working_directory.parents, user_folder):
        if _is_there(folder / SETTINGS):
            return folder / SETTINGS
    return None


def at_home(text: str) -> Path:
    """With this user's folder for `~`; another user's is nobody's business here."""
    return Path.home() / text[2:] if text.startswith("~/") else Path(text)


def _is_there(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:  # a name that no system takes
        return False


def find_places(environment: Mapping[str, str], working_directory: Path) -> Places:
    """The folders that apply for this environment and working directory. Creates nothing."""
    if home := environment.get("DAYBREAK_HOME"):
        return Places.below(working_directory / home, "DAYBREAK_HOME is set")
    from platformdirs import PlatformDirs  # late: costs milliseconds that --help need not pay

    user = PlatformDirs("daybreak", appauthor=False)
    for folder in (working_directory, *working_directory.parents):
        project = folder / PROJECT_FOLDER
        if project.is_dir():
            label = hashlib.sha256(str(project.absolute()).encode()).hexdigest()[:16]
            project = project.resolve()
            return Places(
                ledger=project / "ledger",
                keys=user.user_config_path / "keys" / label,
                witness=user.user_state_path / "witness" / label,
                workspaces=project / "workspaces",
                locks=project / "locks",
                cache=user.user_cache_path,
                logs=project / "logs",
                settings=user.user_config_path,
                why=f"{project} exists",
            )
    return Places(
        ledger=user.user_data_path / "ledger",
        keys=user.user_config_path / "keys" / "user",
        witness=user.user_state_path / "witness" / "user",
        workspaces=user.user_data_path / "workspaces",
        locks=user.user_data_path / "locks",
        cache=user.user_cache_path,
        logs=user.user_data_path / "logs",
        settings=user.user_config_path,
        why="the user's folders",
    )


class PlaceUnusable(UsageError):
    """A folder for state or copies lies where none can be."""

    code = "U116"


def usable(folder: Path, what: str) -> Path:
    """The folder, which need not be there yet. Raises PlaceUnusable where none can be or the log could not name it."""
    told = cut(folder)
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise PlaceUnusable(
            f"{what} {told} is not UTF-8, so the log cannot name it", hint="use another name"
        ) from error
    existing = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), None)
    if existing is not None and not existing.is_dir():
        raise PlaceUnusable(f"{what} cannot be {told}: {cut(existing)} is no folder", hint="name another place")
    return folder


def usable_home(where: Places) -> Places:
    """The same places, where a ledger can be. Raises PlaceUnusable."""
    for name in ("ledger", "keys", "witness"):
        usable(getattr(where, name), f"the folder of the {name}" if name != "keys" else "the folder of keys")
    return where
