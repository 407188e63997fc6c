"""The warden of one run: it mints each attempt's token, and asks the door before anything reaches outside.

The token is made from what the attempt needs; the sandbox then grants exactly what the door allowed. So what a
worker can reach stands in the ledger, ends with its time, and can be revoked while it works.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from daybreak.clock import Clock
from daybreak.config import Places
from daybreak.engine import Parked
from daybreak.engine.flow import Waiting
from daybreak.host.removal import Removal
from daybreak.host.sandbox import Sandbox, Strength
from daybreak.ledger import Ledger
from daybreak.ledger.replicas.problems import NotReplicated
from daybreak.policy import rootkey
from daybreak.policy.door import Ask, Door
from daybreak.policy.grant import TIERS, Grant
from daybreak.policy.incident import Incident, response
from daybreak.policy.journal import Journal
from daybreak.policy.naming import Act
from daybreak.policy.protected import DEFAULT
from daybreak.policy.refusal import NotAllowed

if TYPE_CHECKING:
    from biscuit_auth import PrivateKey

DELIVERY_LIFE = timedelta(minutes=10)
LIFE_MIN = timedelta(minutes=1)
UNREPLICATED = timedelta(minutes=1)
"""How long a delivery gives way to other work where the ledger is not on enough replicas."""


class Warden:
    """For one run. Its methods may be called from several threads."""

    def __init__(self, run: str, ledger: Ledger, places: Places, clock: Clock) -> None:
        self._run = run
        self._ledger = ledger
        self._keys = places.keys
        self._clock = clock
        self._journal = Journal(ledger, clock)
        self._protected = DEFAULT.guarding(places)

    @cached_property
    def _root(self) -> PrivateKey:
        return rootkey.load_or_make(self._keys)

    @cached_property
    def _door(self) -> Door:
        from biscuit_auth import KeyPair

        return Door(
            KeyPair.from_private_key(self._root).public_key,
            self._clock,
            revoked=self._journal.revoked,
            protected=self._protected,
            refused=self._refused,
        )

    def worker_sandbox(
        self,
        attempt: int,
        writable: Sequence[Path],
        readable: Sequence[Path],
        *,
        programs: Sequence[str] = (),
        secrets: Sequence[str] = (),
        network: bool = False,
        life: timedelta,
        require: Strength,
    ) -> Sandbox:
        """The sandbox of an attempt's worker: folders to change, others to read, this Python and `programs` to run.

        Each of these is asked for at the door, and so are secrets that it gets by name. Protected places inside of a
        granted folder look empty. `network` decides the tier, as
        for commands. Raises NotAllowed, and Parked where a refusal is an incident that a person must look at first.
        """
        grant = Grant.of(read=[*writable, *readable], write=writable, run=[sys.executable, *programs], secret=secrets)
        tier = "trusted" if secrets else "fetch" if network else "work"
        token = self._mint(attempt, tier, grant, min(life, TIERS[tier].longest))
        for program in (sys.executable, *programs):
            self._ask(token, attempt, "run", program)
        for name in secrets:
            self._ask(token, attempt, "secret", name)
        changes = tuple(self._ask(token, attempt, "write", path) for path in writable)
        reads = tuple(self._ask(token, attempt, "read", path) for path in readable)
        return Sandbox(
            writable=changes,
            readable=reads,
            hidden=self._inside(changes, reads),
            network="host" if network else "none",
            require=require,
        )

    def may_deliver(self, attempt: int, output: Path) -> None:
        """Ask whether the verified result may go to `output`, and see to it that what led to it is not forgotten:
        witnessed, and replicated where policy wants that. Raises as `worker_sandbox` does; Waiting where there are not
        enough replicas at present, for `UNREPLICATED`."""
        token = self._mint(attempt, "deliver", Grant.of(deliver=[output]), DELIVERY_LIFE)
        self._ask(token, attempt, "deliver", output)
        try:
            self._ledger.secure()
        except NotReplicated as problem:
            raise Waiting(self._clock.now() + UNREPLICATED, f"nothing is delivered: {problem.message}") from problem

    def command(
        self,
        number: int,
        program: str,
        *,
        writable: Sequence[Path] = (),
        readable: Sequence[Path] = (),
        network: bool = False,
        secrets: Sequence[str] = (),
        life: timedelta,
    ) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Ask for everything that command `number` of a task needs; the folders that it may change and read.

        A token names hosts and a sandbox opens the network whole or not at all, so `network` is no name to ask for: it
        decides the tier, and the task that grants it stands in the ledger. Raises as `worker_sandbox` does.
        """
        tier = "trusted" if secrets else "fetch" if network else "work"
        grant = Grant.of(read=[*writable, *readable], write=writable, run=[program], secret=secrets)
        token = self._mint(number, tier, grant, min(life, TIERS[tier].longest))
        self._ask(token, number, "run", program)
        for name in secrets:
            self._ask(token, number, "secret", name)
        return (
            tuple(self._ask(token, number, "write", path) for path in writable),
            tuple(self._ask(token, number, "read", path) for path in readable),
        )

    def may_connect(self, number: int, host: str, life: timedelta) -> None:
        """Ask whether check `number` may speak to `host` (`name:port`). Raises as `worker_sandbox` does."""
        token = self._mint(number, "fetch", Grant.of(connect=[host]), min(life, TIERS["fetch"].longest))
        self._ask(token, number, "connect", host)

    def may_offer(self, number: int, host: str, key: str, life: timedelta) -> None:
        """Ask whether we may speak to `host` (`name:port`) with the secret called `key`: to read issues, or to offer a
        verified result. Raises as `worker_sandbox` does."""
        grant = Grant.of(connect=[host], secret=[key])
        token = self._mint(number, "trusted", grant, min(life, TIERS["trusted"].longest))
        self._ask(token, number, "secret", key)
        self._ask(token, number, "connect", host)

    def untrusted(self, attempt: int, text: str, source: str) -> str:
        """Look at text of others that enters the brief of an attempt, and write down what was found; why it looks like
        instructions, or nothing.

        A worker here has neither private data nor a way out, so nothing is refused; what looks like instructions is
        an incident, and enough of those stop the run. Raises Parked then.
        """
        from daybreak.policy import injection  # late: its patterns take time, and first attempts need none
        from daybreak.policy.injection.scanner import TEXT_MAX

        found = injection.assess(text[:TEXT_MAX], private_data=False, way_out=False)
        if found.scan.suspicious:
            self._answer(self._journal.assessed(found, run=self._run, attempt=attempt, source=source))
            return found.why
        return ""

    def remains(self, attempt: int, removal: Removal) -> None:
        """Write down what a program left that could not be removed."""
        self._journal.raise_incident("remains_left", str(removal), run=self._run, attempt=attempt)

    def _inside(self, changes: Sequence[Path], reads: Sequence[Path]) -> tuple[Path, ...]:
        """Protected places, by their real paths, that lie in one of these folders: the door looks at names, and the
        name of a folder says nothing about what is in it. A workspace may have a `.docker` of its own."""
        granted, tops = (*changes, *reads), (*reads, Path.home())
        wanted = [*map(Path, self._protected.under), *(top / name for top in tops for name in self._protected.folders)]
        found = {Path(os.path.realpath(one)) for one in wanted if os.path.lexists(one)}
        return tuple(sorted(one for one in found if one.exists() and any(one.is_relative_to(top) for top in granted)))

    def _mint(self, attempt: int, tier: str, grant: Grant, life: timedelta) -> str:
        return self._journal.mint(
            self._root, run=self._run, attempt=attempt, tier=tier, grant=grant, lifetime=max(life, LIFE_MIN)
        )

    def _ask(self, token: str, attempt: int, act: Act, what: str | Path) -> Path:
        return Path(self._door.check(token, Ask(act, what, self._run, attempt)).what)

    def _refused(self, ask: Ask, error: NotAllowed) -> None:
        self._answer(self._journal.refused(ask, error))

    @staticmethod
    def _answer(incident: Incident | None) -> None:
        """Carry out what an incident calls for, as far as one run goes."""
        if incident is None:
            return
        wanted = response(incident)
        if wanted.pause_task or wanted.stop_night:
            raise Parked(wanted.question or f"{wanted.message}. Go on?", why=wanted.message)
