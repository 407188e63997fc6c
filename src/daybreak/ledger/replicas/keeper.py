"""Keeps replicas up with the ledger, each on a thread of its own, and counts who has what.

A target that is lost, full or slow holds nobody up: the others go on, it is tried again after a second, then after
longer and longer, and it catches up by itself. Each change is an event.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import apsw
import msgspec

from daybreak.errors import DaybreakError, LedgerStopped
from daybreak.events import Event, ReplicaCaughtUp, ReplicaLapsed
from daybreak.ledger.note import Checkpoint, Verifier
from daybreak.ledger.replicas.copier import Copier
from daybreak.ledger.replicas.problems import NotReplicated, ReplicaLost, TargetUnknown
from daybreak.ledger.replicas.source import Source
from daybreak.ledger.replicas.standing import Memory, Standing
from daybreak.ledger.replicas.target import NoTarget, Opener, Target, open_target, place, refuse_password
from daybreak.ledger.rows import Rows

INTERVAL_S = 0.25
"""A target is not written to more often, unless somebody waits for it."""
RETRY_S, RETRY_MOST_S = 1.0, 60.0
"""A target that failed is tried again after so long, twice as long each further time, at most so long."""
SLOW_S = 30.0
"""A target that has taken nothing for so long while a round is under way counts as slow."""
LOOK_S = 5.0
"""How often a commit looks for those."""
CLOSE_S, CLOSE_READER_S = 5.0, 1.0
"""How long the last round may take when the ledger is closed, by somebody who appended and by somebody who did not.
What is missing then, the next process copies."""

_log = logging.getLogger("daybreak.ledger.replicas")


@dataclass(frozen=True, slots=True)
class Replication:
    """What is to be copied where, and what waits for it. Raises TargetUnknown for a name that holds a password."""

    targets: Sequence[str]
    """Absolute folders, or URLs that fsspec knows."""
    acknowledge: int = 0
    """So many of them make an event *replicated*; 0: more than half."""
    deliveries: Literal["durable", "replicated"] = "durable"
    """What everything before a delivery, and before a `once` step, must be."""
    wait_s: float = 30.0
    """How long a delivery waits for that before it gives way to other work."""
    opener: Opener = field(default=open_target, repr=False)

    def __post_init__(self) -> None:
        for name in self.targets:
            refuse_password(name)

    @property
    def wanted(self) -> int:
        return self.acknowledge or len(self.targets) // 2 + 1


class Replicas:
    """All targets of one open ledger."""

    def __init__(
        self,
        directory: Path,
        rule: Replication,
        verifier: Callable[[], Verifier],
        tables: Callable[[apsw.Connection], Rows],
        tell: Callable[[Event], object],
        size: int,
    ) -> None:
        """`verifier` and `tables` are as for `Source`. `tell` appends an event without waiting. `size`: of the ledger
        now. A target that cannot be opened counts as lost."""
        assert rule.targets, "who wants no replicas has none of this"
        self.rule = rule
        self.memory = Memory(directory)
        self.size = self._began = size
        self._tell = tell
        self._look_at = time.monotonic() + LOOK_S
        self._done = threading.Condition()
        opened = [_opened(rule, name, directory) for name in dict.fromkeys(rule.targets)]
        self._minders = [
            _Minder(
                self,
                Copier(target, self.memory.lock_of(target.name)),
                Source(directory, verifier, tables),
            )
            for target in opened
        ]
        for minder in self._minders:
            minder.thread.start()

    # -- counting

    @property
    def replicated(self) -> int:
        """So many events are on so many targets as the rule wants, as each of them last acknowledged."""
        return self._mark([minder.size for minder in self._minders])

    def _mark(self, sizes: Sequence[int]) -> int:
        ordered = sorted(sizes, reverse=True)
        return ordered[self.rule.wanted - 1] if self.rule.wanted <= len(ordered) else 0

    def wait(self, size: int, timeout_s: float) -> None:
        """Returns when enough targets have said, since this was called, that they hold `size` events. Those that had
        failed are tried again at once. Raises NotReplicated, which names those that do not."""
        with self._done:
            asked = [minder.ask() for minder in self._minders]
            met = self._done.wait_for(lambda: self._mark(self._confirmed(asked)) >= size, timeout_s)
            sizes = self._confirmed(asked)
        if not met:
            self.look_around(max(timeout_s, 1.0))
            left = [minder.told(size) for minder, has in zip(self._minders, sizes, strict=True) if has < size]
            having = len(self._minders) - len(left)
            raise NotReplicated(
                f"{having} of {len(self._minders)} replicas hold {size} events, {self.rule.wanted} must: "
                + "; ".join(left),
                hint="everything is durable here; mend the targets (`daybreak ledger replicas list`): they catch up "
                "by themselves.",
            )

    def _confirmed(self, asked: Sequence[int]) -> list[int]:
        return [
            minder.size if minder.answered >= number else 0 for minder, number in zip(self._minders, asked, strict=True)
        ]

    def standings(self) -> list[Standing]:
        """As this process knows them."""
        return [minder.standing for minder in self._minders]

    # -- from the ledger

    def tell(self, head: Checkpoint) -> None:
        """A commit is durable. Quick."""
        self.size = head.size
        for minder in self._minders:
            if not minder.news.is_set():
                minder.news.set()
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + LOOK_S
            self.look_around()

    def close(self) -> None:
        """A last round for those that are well, then the end of the threads; what has no time left is copied by the
        next process."""
        for minder in self._minders:
            minder.end()
        end = time.monotonic() + (CLOSE_S if self.size > self._began else CLOSE_READER_S)
        for minder in self._minders:
            minder.thread.join(max(0.0, end - time.monotonic()))
            if minder.thread.is_alive():
                _log.warning("%s did not come to an end; it is caught up the next time", minder.name)

    # -- from the minders

    def acknowledged(self) -> None:
        with self._done:
            self._done.notify_all()

    def changed(self, now: Standing) -> None:
        """Remember it, and append an event where it is another than before. What cannot be written is only logged."""
        try:
            before = self.memory.write(now)
            if before is None or (now.well and now.target not in before):
                return  # that the first copy has been made is what everybody expects
        except OSError as error:
            _log.warning("%s is %s, and that cannot be remembered: %s", now.target, now.state, error)
            return
        try:
            _log.warning("replica %s %s", now.target, now.why or "has caught up")
            standing = {**before, now.target: now}
            names = [minder.name for minder in self._minders]
            left = sum(1 for name in names if name in standing and standing[name].well)
            if now.well:
                self._tell(ReplicaCaughtUp(target=now.target, size=now.size, left=left, wanted=self.rule.wanted))
            else:
                what = f"{now.problem}"[:500]
                self._tell(
                    ReplicaLapsed(
                        target=now.target,
                        size=now.size,
                        code=now.code,
                        problem=what,
                        left=left,
                        wanted=self.rule.wanted,
                    )
                )
        except LedgerStopped:  # whoever opens the ledger next finds the same, and says so
            with contextlib.suppress(OSError):
                self.memory.write(before.get(now.target) or Standing(target=now.target))

    def look_around(self, slow_s: float = SLOW_S) -> None:
        """Notice those that are in the middle of a round for too long: they cannot say so themselves."""
        for minder in self._minders:
            minder.look(slow_s)


class _Minder:
    """Of one target: its thread."""

    def __init__(self, all_of_them: Replicas, copier: Copier, source: Source) -> None:
        self._all = all_of_them
        self._copier = copier
        self._source = source
        self.name = copier.target.name
        self.standing = all_of_them.memory.of(self.name)
        self.size = 0
        """Acknowledged to this process."""
        self.asked = 0
        self.answered = 0
        """Of those questions, how many it has answered by a whole round that began after them."""
        self.news = threading.Event()
        if not self.standing.well or self.standing.size < all_of_them.size:
            self.news.set()
        self._urgent = threading.Event()
        self._closing = threading.Event()
        self._failures = 0
        self._since: float | None = None
        """When the round that is under way began."""
        self._state = threading.Lock()
        self.thread = threading.Thread(target=self._run, name=f"ledger-replica {self.name}", daemon=True)

    def ask(self) -> int:
        """For a round now; gives its number. Under the keeper's lock."""
        self.asked += 1
        self._urgent.set()
        self.news.set()
        return self.asked

    def end(self) -> None:
        self._closing.set()
        self._urgent.set()
        self.news.set()

    def told(self, size: int) -> str:
        """In words."""
        problem = "" if self.standing.well else f" ({self.standing.code} {self.standing.problem})"
        return f"{self.name} holds {min(self.size, size)}{problem}"

    def look(self, slow_s: float) -> None:
        since = self._since
        silent_s = 0.0 if since is None else time.monotonic() - max(since, self._copier.moved_s)
        if since is not None and silent_s >= slow_s and self.standing.state in ("new", "held"):
            problem = f"it has taken nothing for {silent_s:.0f} s"
            slow = msgspec.structs.replace(self.standing, state="slow", code=ReplicaLost.code, problem=problem)
            self._stands(slow)

    def _run(self) -> None:
        try:
            while self._goes_on():
                self._urgent.clear()
                self.news.clear()
                self._round()
            if self.standing.well:
                with contextlib.suppress(OSError):
                    self._all.memory.write(self.standing)  # how far it came: whoever is next need not look
        finally:
            self._source.close()

    def _goes_on(self) -> bool:
        """Waits until there is something to do; False at the end, where everything is copied or cannot be."""
        if not self._closing.is_set():
            self._pause()
        return not self._closing.is_set() or (not self._failures and self.size < self._all.size)

    def _pause(self) -> None:
        if self._failures:
            self._urgent.wait(min(RETRY_S * 2 ** (self._failures - 1), RETRY_MOST_S))
        else:
            self.news.wait()
            self._urgent.wait(INTERVAL_S)

    def _round(self) -> None:
        asked, self._since = self.asked, time.monotonic()
        before = self.standing
        try:
            size, apart = self._copier.sync(self._source, had=before.size > 0, apart=before.apart)
        except (DaybreakError, OSError, apsw.Error) as error:
            self._failures = min(self._failures + 1, 16)
            self.size = 0  # nobody knows what it holds now
            self._stands(_lost(before, error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must go on and say so
            _log.exception("copying to %s failed in a way that nobody foresaw", self.name)
            self._failures = min(self._failures + 1, 16)
            self.size = 0
            self._stands(_lost(before, error))
        else:
            self._failures = 0
            self.size, self.answered = size, asked
            self._stands(Standing(target=self.name, state="held", size=size, apart=apart))
        finally:
            self._since = None
        self._all.acknowledged()
        self._all.look_around()

    def _stands(self, now: Standing) -> None:
        """The size alone is not worth a write: only that there is one."""
        with self._state:
            known, self.standing = self.standing, now
        same = (known.state, known.code, known.apart, known.size > 0)
        if same != (now.state, now.code, now.apart, now.size > 0):
            self._all.changed(now)


def _opened(rule: Replication, name: str, directory: Path) -> Target:
    try:
        first = next(one for one in rule.targets if place(one) == place(name))
        if first != name:
            raise TargetUnknown(f"{name} is the same place as {first}", hint="name a place of its own, or leave it out")
        return rule.opener(name, directory)
    except TargetUnknown as why:
        return NoTarget(name, why)


def _lost(before: Standing, error: Exception) -> Standing:
    code, problem, hint = ReplicaLost.code, f"{type(error).__name__}: {error}", "look at its disk, its space and rights"
    if isinstance(error, DaybreakError):
        code, problem, hint = error.code, error.message, error.hint
    elif isinstance(error, OSError):
        problem = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
    return Standing(
        target=before.target,
        state="lost",
        size=before.size,
        apart=before.apart,
        code=code,
        problem=problem,
        hint=hint,
    )
