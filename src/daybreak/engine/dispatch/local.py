"""Jobs done here, in the thread that asks for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from daybreak.engine.dispatch import doers
from daybreak.engine.dispatch.job import Answer, Doing, Job, Key, Needs, Node, OnLine
from daybreak.engine.dispatch.problems import NeedsUnmet
from daybreak.engine.flow import Paused

HERE = Node("")
LOOK_S = 0.2


class Local:
    """Nothing is packed, and nothing is lost by itself: when the process ends, so does what it does."""

    remote = False

    def __init__(self, at_a_time: int = 1, labels: Sequence[str] = (), *, in_turn: bool = False) -> None:
        """`labels`: what this machine is said to have. `in_turn`: no more than `at_a_time` are done at once, whoever
        asks; without it whoever asks keeps to that."""
        self.at_a_time = at_a_time
        self._labels = frozenset(labels)
        self._places = threading.Semaphore(at_a_time) if in_turn else None
        self._benches = doers.Benches()

    def run(
        self,
        job: Job,
        *,
        cancelled: threading.Event,
        on_line: OnLine,
        on_node: Callable[[Node], None] | None = None,
    ) -> Answer:
        self._refuse_unmet(job.needs)
        with self._place(cancelled):
            return self._done(job, cancelled, on_line)

    @contextmanager
    def _place(self, cancelled: threading.Event) -> Iterator[None]:
        """Raises Paused where it is cancelled before there is one."""
        if self._places is None:
            yield
            return
        while not self._places.acquire(timeout=LOOK_S):
            if cancelled.is_set():
                raise Paused("interrupted while a job waited for its turn")
        try:
            yield
        finally:
            self._places.release()

    def _done(self, job: Job, cancelled: threading.Event, on_line: OnLine) -> Answer:
        kept, lock = self._benches.of(job.bench)
        doing = Doing(
            body=job.body,
            scratch=job.scratch,
            kept=kept,
            lock=lock,
            cancelled=cancelled,
            tell=on_line,
            here=True,
            trees=job.trees,
            lent=job.lent,
            given=job.given,
        )
        body = doers.find(job.doer)(doing)
        if cancelled.is_set():  # what it saw may be the interruption
            raise Paused("interrupted while a job was done")
        return Answer(body, HERE)

    def _refuse_unmet(self, needs: Needs) -> None:
        missing = [one for one in needs.labels if one not in self._labels]
        cores = os.cpu_count() or 1
        if missing or needs.cpus > cores:
            raise NeedsUnmet(
                f"this machine does not have {needs}: it has {cores} processors"
                + (f" and the labels {', '.join(sorted(self._labels))}" if self._labels else " and no labels"),
                hint="say what it has: [dispatch] labels = [...] in daybreak.toml; or use a cluster that has it "
                '([dispatch] engine = "ray")',
            )

    def late(self, run: str) -> list[tuple[Key, Node]]:
        return []

    def over(self, bench: str) -> None:
        self._benches.drop(bench)

    def close(self) -> None:
        self._benches.drop_all()
