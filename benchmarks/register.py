"""Every benchmark: what it measures, and whether it has a short form that `--quick` runs."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    name: str
    """Of the module in this package."""
    part: str
    """Of the product."""
    about: str
    """What is measured, in words that end a line of a list."""
    quick: bool = False
    """`take(quick=True)` is part of what CI runs: seconds, and ratios that are the same on a slow machine, a slow disk
    and one core: counts, what a seed decides, or processor time to processor time."""

    @property
    def there(self) -> bool:
        return importlib.util.find_spec(f"benchmarks.{self.name}") is not None


PARTS = LEDGER, ENGINE, OUTSIDE, FACTORY, PEOPLE, MEMORY, MACHINES = (
    "The ledger",
    "The engine",
    "The machine outside",
    "Workers, checks, gates",
    "What people see",
    "Memory",
    "Beyond one machine",
)

ALL = (
    Benchmark("ledger_append", LEDGER, "group commit beside one transaction for each event"),
    Benchmark("ledger_verify", LEDGER, "a whole ledger verified, and what is new alone", quick=True),
    Benchmark("ledger_size", LEDGER, "a ledger of a million events: opening, memory, bytes, appending"),
    Benchmark("ledger_proof", LEDGER, "proof of one event beside hashing a chain again", quick=True),
    Benchmark("archive", LEDGER, "archiving, pruning, refilling, reading from archives", quick=True),
    Benchmark("reconcile", LEDGER, "every view compared with the events", quick=True),
    Benchmark("following", LEDGER, "how soon another process has an event"),
    Benchmark("replicas", LEDGER, "what copies cost an appending ledger"),
    Benchmark("witness_commits", LEDGER, "what witnesses cost a commit, also silent and dead ones"),
    Benchmark("snapshots", LEDGER, "snapshot and restore beside `cp -r`"),
    Benchmark("engine_steps", ENGINE, "durable steps a second, alone and side by side"),
    Benchmark("peers", ENGINE, "durable steps beside DBOS, LangGraph, huey and the bare disk"),
    Benchmark("postgres_steps", ENGINE, "durable steps on Postgres beside DBOS"),
    Benchmark("kill_steps", ENGINE, "a run killed again and again: what is done twice, how soon it goes on"),
    Benchmark("queueing", ENGINE, "how long a free worker waits; how much of a night the order costs", quick=True),
    Benchmark("budget_reserve", ENGINE, "what a durable budget adds to a step", quick=True),
    Benchmark("rehearsal", ENGINE, "a hundred nights rehearsed", quick=True),
    Benchmark("night_idle", ENGINE, "processor and memory of a night that waits"),
    Benchmark("sandbox_launch", OUTSIDE, "what a sandbox adds to starting a program", quick=True),
    Benchmark("file_transactions", OUTSIDE, "what atomicity costs", quick=True),
    Benchmark("workspaces", OUTSIDE, "workspaces beside `git worktree add` and `cp -r`"),
    Benchmark("merging", OUTSIDE, "merging by meaning beside `git merge-file`", quick=True),
    Benchmark("policy_scan", OUTSIDE, "scanning, redacting, and asking the door", quick=True),
    Benchmark("gateway", OUTSIDE, "what the gateway adds to a request to a model"),
    Benchmark("build", FACTORY, "the main job, and how much of it is Daybreak itself"),
    Benchmark("kill_build", FACTORY, "builds killed at a random moment, then resumed"),
    Benchmark("attempt", FACTORY, "what an attempt costs beside its worker"),
    Benchmark("phases", FACTORY, "what phases, roles and parts cost beside workers and checks"),
    Benchmark("accepts", FACTORY, "wrong programs that gates let through, and right ones"),
    Benchmark("repair", FACTORY, "what is delivered of repairs by workers that also lie and cheat"),
    Benchmark("error_corpus", FACTORY, "how much of what goes wrong the patterns prevent"),
    Benchmark("command_line", PEOPLE, "how soon `daybreak --help` is there", quick=True),
    Benchmark("report", PEOPLE, "the morning report of a night of 1,000 tasks", quick=True),
    Benchmark("web", PEOPLE, "every page and address beside a long ledger", quick=True),
    Benchmark("screen", PEOPLE, "first paint, and how soon an event is on the screen"),
    Benchmark("metrics", PEOPLE, "what counting costs, and asking what was counted"),
    Benchmark("tracing", PEOPLE, "what traces cost", quick=True),
    Benchmark("routing", MEMORY, "what learning who is good at what saves", quick=True),
    Benchmark("learning", MEMORY, "the learning curve over 1,000 tasks, with and without memory", quick=True),
    Benchmark("dispatch", MACHINES, "what an attempt costs on a Ray cluster beside one on this machine"),
    Benchmark("relay", MACHINES, "what is carried to other machines and back"),
    Benchmark("coordinators", MACHINES, "several coordinators on one Postgres"),
    Benchmark("scaling", MACHINES, "what a coordinator costs as the queue grows, and where it breaks"),
    Benchmark("bundle", MACHINES, "Daybreak in one file: bytes, and how soon it starts"),
)
NAMES = tuple(one.name for one in ALL)


def chosen(names: list[str], *, quick: bool) -> list[Benchmark]:
    """Those that were named, or all; of these the quick ones if so. Raises KeyError for an unknown name."""
    known = {one.name: one for one in ALL}
    some = [known[name] for name in dict.fromkeys(names)] if names else list(ALL)
    return [one for one in some if one.there and (one.quick or not quick)]
