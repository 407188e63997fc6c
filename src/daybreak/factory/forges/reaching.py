"""A forge by its name in the settings, past the door: only then is the key read, and it goes nowhere but there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec

from daybreak import settings as config
from daybreak.errors import UsageError
from daybreak.factory.forges import forge
from daybreak.factory.forges.forge import Forge
from daybreak.factory.warden import Warden
from daybreak.policy.retry import Retry
from daybreak.settings import Forge as ForgeSettings
from daybreak.settings import Settings

LIFE = timedelta(minutes=15)
RETRY = Retry(attempts=5, first_s=2.0, most_s=120.0, outage_s=86_400.0)
"""Outages and limits are waited out for a day; what a forge refuses is not tried again."""
_MODULES = {"github": "github", "gitlab": "gitlab"}


class ClientMissing(UsageError):
    """The client library of that kind of forge is not installed."""

    code = "U244"


@dataclass(frozen=True)
class Reached:
    """A forge with its key. Not to be shown or kept."""

    name: str
    settings: ForgeSettings
    key: str

    def __repr__(self) -> str:
        return f"Reached({self.name})"

    def client(self) -> Forge:
        """Speaks to it with the key."""
        if self.settings.kind == "github":
            from daybreak.factory.forges.github import GitHub

            return GitHub(self.name, self.settings.api, self.key)
        from daybreak.factory.forges.gitlab import GitLab

        return GitLab(self.name, self.settings.api, self.key)


def breaker(name: str) -> str:
    """The name of a forge's breaker."""
    return f"forge:{name}"


def check(settings: Settings, environment: Mapping[str, str], name: str) -> ForgeSettings:
    """The forge of that name, where everything is there that it takes; for a face, before anything is recorded.
    Raises SettingsWrong, KeyUnresolved, ClientMissing."""
    told = settings.forge(name)
    if find_spec(_MODULES[told.kind]) is None:
        raise ClientMissing(
            f"forge {name} is a {told.kind}, and its client is not installed",
            hint="install it: pip install 'daybreak[forges]'",
        )
    config.resolve_key(told.key, environment)
    return told


def reach(settings: Settings, environment: Mapping[str, str], name: str, warden: Warden, number: int) -> Reached:
    """Ask the door for the forge's hosts and its key, then read the key. Raises what `check` and the door raise."""
    told = check(settings, environment, name)
    for host in dict.fromkeys((forge.host_of(told), forge.git_host(told))):
        warden.may_offer(number, host, f"forge.{name}", LIFE)
    return Reached(name, told, config.resolve_key(told.key, environment))
