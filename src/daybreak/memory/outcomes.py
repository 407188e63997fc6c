"""How attempts went, by worker and kind of task: a view of `AttemptJudged`, and what it adds up to.

A quota, an outage, a wrong key or a program that is not there say nothing about skill: such attempts are kept, shown,
and not counted. Only the newest `WINDOW` attempts of each worker at each kind of task count, because models and
programs change under the same name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daybreak import events
from daybreak.ledger import Record, Statement, View
from daybreak.memory.log import Asked, is_copy

NO_EVIDENCE = frozenset({"quota", "outage", "authentication", "unavailable"})
"""Troubles (`agents.protocol.Trouble`) that are not the worker's."""
WINDOW = 400
"""Attempts of one worker at one kind of task that count: the newest."""
LOOKED_AT = 20_000
"""Attempts of all workers together that are looked at: the newest. Bounds what an order costs."""
_MOST = 2**53 - 1


def is_evidence(solved: bool, trouble: str) -> bool:
    """Does an attempt that went so say anything about the worker?"""
    return solved or trouble not in NO_EVIDENCE


def _amount(number: int) -> int:
    return min(max(number, 0), _MOST)


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case events.AttemptBegan() as began:
            over = json.dumps(began.passed_over, ensure_ascii=False, sort_keys=True)
            yield Statement(
                "INSERT INTO view_routing_began VALUES (?, ?, ?, ?, ?, ?)",
                (record.index, began.run, began.attempt, began.worker, began.why, over),
            )
        case events.AttemptJudged() as judged:
            counts = is_evidence(judged.solved, judged.trouble) and not is_copy(record, judged.run)
            amounts = (_amount(judged.money_microusd), _amount(judged.duration_ms))
            yield Statement(
                "INSERT INTO view_routing VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.index,
                    judged.run,
                    judged.attempt,
                    judged.worker,
                    judged.task,
                    int(judged.solved),
                    judged.trouble,
                    int(counts),
                    *amounts,
                    record.ts,
                ),
            )
        case events.WorkersOrdered() as ordered:
            choices = json.dumps(ordered.choices, ensure_ascii=False, sort_keys=True)
            yield Statement(
                "INSERT INTO view_routing_ordered VALUES (?, ?, ?, ?, ?)",
                (record.index, ordered.run, ordered.task, record.ts, choices),
            )
        case _:
            pass


ROUTING = View(
    name="routing",
    version=1,
    schema="""
CREATE TABLE view_routing (
  leaf           INTEGER PRIMARY KEY,
  run            TEXT NOT NULL,
  attempt        INTEGER NOT NULL,
  worker         TEXT NOT NULL,
  task           TEXT NOT NULL,
  solved         INTEGER NOT NULL,
  trouble        TEXT NOT NULL,
  counts         INTEGER NOT NULL,
  money_microusd INTEGER NOT NULL,
  duration_ms    INTEGER NOT NULL,
  judged         TEXT NOT NULL
) STRICT;
CREATE INDEX view_routing_newest ON view_routing (worker, task, leaf) WHERE counts = 1;
CREATE INDEX view_routing_of_run ON view_routing (run, leaf);
CREATE TABLE view_routing_began (
  leaf        INTEGER PRIMARY KEY,
  run         TEXT NOT NULL,
  attempt     INTEGER NOT NULL,
  worker      TEXT NOT NULL,
  why         TEXT NOT NULL,
  passed_over TEXT NOT NULL
) STRICT;
CREATE INDEX view_routing_began_of_run ON view_routing_began (run, leaf);
CREATE TABLE view_routing_ordered (
  leaf    INTEGER PRIMARY KEY,
  run     TEXT NOT NULL,
  task    TEXT NOT NULL,
  ordered TEXT NOT NULL,
  choices TEXT NOT NULL
) STRICT;
CREATE INDEX view_routing_ordered_of_run ON view_routing_ordered (run, leaf);
""",
    apply=_apply,
    of=(events.AttemptBegan, events.AttemptJudged, events.WorkersOrdered),
    weight="low",
)
"""Every attempt that was judged (`counts`: it is evidence about the worker; what a fork copied was counted where it
happened), why each began, and every order made."""


class Tally(NamedTuple):
    """Attempts that count, added up. Money in millionths of a US dollar."""

    tried: int = 0
    solved: int = 0
    money_microusd: int = 0
    duration_ms: int = 0

    def plus(self, other: Tally) -> Tally:
        return Tally(*(mine + its for mine, its in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Outcomes:
    """Tallies by worker and kind of task."""

    tallies: Mapping[tuple[str, str], Tally] = field(default_factory=dict)

    def at(self, worker: str, task: str) -> Tally:
        """At exactly that kind of task."""
        return self.tallies.get((worker, task), Tally())

    def near(self, worker: str, task: str) -> Tally:
        """At other kinds below the same root: `repository/python` is near `repository/go`."""
        return self._sum(worker, lambda other: other != task and root_of(other) == root_of(task))

    def elsewhere(self, worker: str, task: str) -> Tally:
        """At every kind below another root."""
        return self._sum(worker, lambda other: root_of(other) != root_of(task))

    def _sum(self, worker: str, wanted: Callable[[str], bool]) -> Tally:
        total = Tally()
        for (who, what), tally in self.tallies.items():
            if who == worker and wanted(what):
                total = total.plus(tally)
        return total

    def workers(self, task: str | None = None) -> list[str]:
        """Everybody who was judged, at that kind of task or at any."""
        return sorted({who for who, what in self.tallies if task is None or what == task})

    def tasks(self) -> list[str]:
        return sorted({what for _, what in self.tallies})


def root_of(task: str) -> str:
    """`repository` of `repository/python`."""
    return task.partition("/")[0]


_ADDED = f"""
SELECT worker, task, count(*), sum(solved), sum(money_microusd), sum(duration_ms) FROM (
  SELECT worker, task, solved, money_microusd, duration_ms,
         row_number() OVER (PARTITION BY worker, task ORDER BY leaf DESC) AS nth
  FROM (SELECT * FROM view_routing WHERE counts = 1 ORDER BY leaf DESC LIMIT {LOOKED_AT})
) WHERE nth <= {WINDOW} GROUP BY worker, task
"""


def read(log: Asked) -> Outcomes:
    """All that the view `ROUTING` knows."""
    return Outcomes({(row[0], row[1]): Tally(*row[2:]) for row in log.query(_ADDED)})


class Attempt(NamedTuple):
    """One attempt as `memory why RUN` tells it; what is not known yet is empty."""

    attempt: int
    worker: str
    why: str
    """Why this worker."""
    passed_over: dict[str, str]
    task: str
    solved: bool | None
    trouble: str
    money_microusd: int
    duration_ms: int


_OF_RUN = """
SELECT began.attempt, began.worker, began.why, began.passed_over, judged.task, judged.solved, judged.trouble,
       judged.money_microusd, judged.duration_ms
FROM view_routing_began AS began
LEFT JOIN view_routing AS judged ON judged.leaf = (
  SELECT min(leaf) FROM view_routing
  WHERE run = began.run AND attempt = began.attempt AND worker = began.worker AND leaf > began.leaf)
WHERE began.run = ? ORDER BY began.leaf
"""


def of_run(log: Asked, run: str) -> list[Attempt]:
    """The run's attempts in their order, with how each was judged."""
    return [
        Attempt(
            attempt,
            worker,
            why,
            json.loads(over),
            task or "",
            None if solved is None else bool(solved),
            trouble or "",
            money or 0,
            duration or 0,
        )
        for attempt, worker, why, over, task, solved, trouble, money, duration in log.query(_OF_RUN, (run,))
    ]


class Order(NamedTuple):
    """An order of workers that was made for a run."""

    task: str
    ordered: str
    """When."""
    choices: list[dict[str, Any]]
    """Fields of `routing.Choice`, the first one first."""


def orders(log: Asked, run: str) -> list[Order]:
    """Every order that was made for the run, the oldest first."""
    sql = "SELECT task, ordered, choices FROM view_routing_ordered WHERE run = ? ORDER BY leaf"
    return [Order(task, ordered, json.loads(choices)) for task, ordered, choices in log.query(sql, (run,))]


def runs(log: Asked, beginning: str) -> list[str]:
    """Runs whose name begins so and that memory knows anything about."""
    tables = ("view_routing", "view_routing_began", "view_routing_ordered")
    parts = " UNION ".join(f"SELECT run FROM {table} WHERE substr(run, 1, ?) = ?" for table in tables)
    return sorted(str(run) for (run,) in log.query(parts, (len(beginning), beginning) * len(tables)))


class Unskilled(NamedTuple):
    """How often a worker's attempts ended in a trouble that was not its own."""

    worker: str
    trouble: str
    times: int


def troubles(log: Asked) -> list[Unskilled]:
    """Attempts that are no evidence, by worker and trouble."""
    where = "WHERE counts = 0 AND trouble <> ''"
    sql = f"SELECT worker, trouble, count(*) FROM view_routing {where} GROUP BY 1, 2 ORDER BY 1, 2"
    return [Unskilled(*row) for row in log.query(sql)]
