"""A verified branch becomes a pull or merge request: pushed and offered once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from daybreak import events
from daybreak.engine import Absent, Context, Found, Kept
from daybreak.errors import PolicyError, UsageError
from daybreak.factory.forges import pushing, reaching, wording
from daybreak.factory.forges.forge import ForgeError, Request
from daybreak.factory.forges.wording import Told
from daybreak.factory.repository.task import Offer
from daybreak.factory.warden import Warden
from daybreak.policy.retry import Retry
from daybreak.settings import Settings

STEP = "request"
LOOKING = Retry(attempts=4, first_s=1.0, most_s=8.0, within_s=45.0, outage_s=20.0)


@dataclass(frozen=True)
class Offering:
    """One run offers its branch."""

    ctx: Context
    offer: Offer
    settings: Settings
    environment: Mapping[str, str]
    warden: Warden
    scratch: Callable[[], AbstractContextManager[Path]]
    looking: Retry = LOOKING

    async def go(self, repository: Path, branch: str, told: Told) -> dict[str, Any]:
        """The request: `number`, `url`, and whether it was there already. Where the forge refuses, a person is asked,
        and the answer `yes` tries again; with anything else the branch alone is what was delivered."""
        said = await self.ctx.step("wording", lambda: self._worded(told))
        while True:
            try:
                made = await self._once(repository, branch, told, said)
                await self.ctx.step("offered", partial(self._told, made, told))
                return {"request": made}
            except (ForgeError, PolicyError, UsageError) as error:
                question = f"{error.message}: offer {branch} once more?"
                answer = str(await self.ctx.ask(question)).strip().lower()
                if answer not in ("yes", "y", "true"):
                    return {"request": {"number": 0, "url": "", "why": error.message}}

    async def _once(self, repository: Path, branch: str, told: Told, said: Mapping[str, str]) -> dict[str, Any]:
        """Pushing the same commit to the same branch may be repeated, so an outage is waited out there; the request
        then follows at once, and is made once."""
        breaker = reaching.breaker(self.offer.forge)
        push = partial(self._push, repository, branch, told)
        there = await self.ctx.step("push", push, retry=reaching.RETRY, breaker=breaker)
        if there is not None:
            return dict(there)
        made = await self.ctx.step(
            STEP,
            partial(self._offer, branch, said),
            effect="once",
            lookup=lambda key: self._look(branch),
            retry=reaching.RETRY,
            breaker=breaker,
        )
        return dict(made)

    def _worded(self, told: Told) -> dict[str, str]:
        records = self.ctx.records()
        return {"title": wording.title(told), "text": wording.text(told, records)}

    def _reach(self) -> reaching.Reached:
        return reaching.reach(self.settings, self.environment, self.offer.forge, self.warden, 0)

    def _push(self, repository: Path, branch: str, told: Told) -> dict[str, Any] | None:
        """The request where there is one already."""
        reached = self._reach()
        with self.scratch() as folder:
            pushing.push(repository, told.commit, branch, self.offer.repository, reached, self.environment, folder)
        found = reached.client().request_of(self.offer.repository, branch)
        return None if found is None else _plain(found, existed=True)

    def _offer(self, branch: str, said: Mapping[str, str]) -> dict[str, Any]:
        client = self._reach().client()
        place, into = self.offer.repository, self.offer.into
        made = client.offer(place, branch=branch, into=into, title=said["title"], text=said["text"])
        return _plain(made, existed=False)

    def _told(self, made: Mapping[str, Any], told: Told) -> Kept:
        url = str(made["url"])
        done = events.Delivered(run=self.ctx.run, output=url, workspace=told.commit, manifest=told.manifest)
        return Kept(None, tell=[done])

    def _look(self, branch: str) -> Found | Absent:
        """Is there a request with this branch as its head? Names of branches hold the run, so it can only be ours.
        Some seconds of trouble are waited out: without an answer a person has to look."""
        client = self._reach().client()
        found = self.looking.run(client.request_of, self.offer.repository, branch)
        return Absent() if found is None else Found(_plain(found, existed=True))


def _plain(made: Request, *, existed: bool) -> dict[str, Any]:
    return {"number": made.number, "url": made.url[:500], "existed": existed}
