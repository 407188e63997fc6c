"""The kinds of task, each in a module of its own.

A kind brings along what it needs: checks, builders, gateways. Most commands only look, so each kind is imported when
somebody asks for it: by the engine when a run of it is taken up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daybreak.clock import Clock
    from daybreak.config import Places
    from daybreak.engine import TaskFunction
    from daybreak.factory.office import Office
    from daybreak.ledger import Ledger


class Kinds(Mapping[str, "TaskFunction"]):
    """Kind → the function that does tasks of it, made when it is first asked for and then kept.

    `instead` has what is used in place of kinds of the same names."""

    def __init__(
        self,
        ledger: Ledger,
        places: Places,
        clock: Clock,
        office: Office,
        instead: Mapping[str, TaskFunction] = MappingProxyType({}),
    ) -> None:
        def build() -> TaskFunction:
            from daybreak.factory.kinds.build import Build

            return Build(ledger, places, clock, office)

        def command() -> TaskFunction:
            from daybreak.factory.kinds.command import Command

            return Command(ledger, places, clock)

        def issues() -> TaskFunction:
            from daybreak.factory.kinds.issues import Issues

            return Issues(ledger, places, clock, office, os.urandom)

        def merge() -> TaskFunction:
            from daybreak.factory.kinds.merge import Merge

            return Merge(ledger, places, clock, office, os.urandom)

        def python() -> TaskFunction:
            from daybreak.factory.kinds.python import Python

            return Python()

        def repository() -> TaskFunction:
            from daybreak.factory.kinds.repository import Repository

            return Repository(ledger, places, clock, office)

        def validate() -> TaskFunction:
            from daybreak.factory.kinds.validate import Validation

            return Validation(ledger, places, clock, office)

        self._makers: dict[str, Callable[[], TaskFunction]] = {
            "build": build,
            "command": command,
            "issues": issues,
            "merge": merge,
            "python": python,
            "repository": repository,
            "validate": validate,
        }
        self._made: dict[str, TaskFunction] = dict(instead)

    def __getitem__(self, kind: str) -> TaskFunction:
        if kind not in self._made:
            self._made[kind] = self._makers[kind]()
        return self._made[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)
