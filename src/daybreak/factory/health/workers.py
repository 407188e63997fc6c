"""Who can be asked to work here, and whether outside orchestrators are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from daybreak.factory.health.finding import Finding
from daybreak.settings import Settings


def look(read: Callable[[], Settings], environment: Mapping[str, str]) -> Iterator[Finding]:
    """`read` gives `daybreak.toml` as it applies, and raises SettingsWrong where it cannot be used."""
    from daybreak.agents import found as finding
    from daybreak.agents import outside

    settings = read()
    mode = outside.mode(settings, environment)
    yield Finding("mode", "good", f"{mode.name}: {mode.why}")
    for name in settings.order:
        found = finding.find(name, settings.worker(name), settings, environment)
        if found.missing:
            yield Finding(f"worker {name}", "note", found.missing, "it is passed over until then, with that reason")
        else:
            soft = "; its budget is soft" if found.budget == "soft" else ""
            yield Finding(f"worker {name}", "good", f"can be asked {found.version}".rstrip() + soft)
