"""Gathers what there is to show: from events as they come, and from the views when something has changed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from daybreak import events
from daybreak.cli.screen.scene import Bar, Said, Scene, bars
from daybreak.clock import SystemClock, stamp
from daybreak.engine import nights
from daybreak.engine.purse import account_of
from daybreak.engine.view import UNDER_WAY
from daybreak.policy.accounts import Accounts
from daybreak.report import logbook
from daybreak.report.happened import Happened, happened, line, short
from daybreak.report.remaining import Timing
from daybreak.report.timeleft import Left
from daybreak.report.tree import Growth

if TYPE_CHECKING:
    from daybreak.engine import Told
    from daybreak.home import Home
    from daybreak.ledger import Record
    from daybreak.report.standing import Standing

TAIL_MAX = 200
BEGUN_MAX = 1_000
"""Steps that began since the last picture; older ones have most likely ended."""
RUNS_TOLD = 20
"""Runs whose time left is told one by one."""
TITLES_MAX = 5_000
"""Titles of runs that are remembered; the others are asked for when they are needed."""
OF_STEPS = (events.StepDone, events.StepFailed, events.StepTried)
"""Most of all events, and no line of the whole home tells of them: they only move the tree."""


@dataclass(frozen=True, slots=True)
class News:
    """A thing that happened, as a line."""

    text: str
    word: str
    told: Happened | None = None


class Watcher:
    """For one run, or (`run` empty) for the whole home. `step`, `steps` and `forget` may be called by any thread, the
    rest by the one that draws."""

    def __init__(self, home: Home, run: str = "", *, tail: bool = False, beside: bool = False) -> None:
        """`tail`: what happened stands in the picture, because nowhere else. `beside`: in the process that works, from
        which little time is taken; its owner calls `hear` and `forget`, and `close` at the end."""
        self._home = home
        self._run = run
        self._with_tail = tail
        self.clock = SystemClock()
        self._lock = threading.RLock()
        self._growths: dict[str, Growth] = {}
        self._titles: dict[str, str] = {}
        self._brief = threading.Lock()
        """Around what the work itself tells: never held while anything is read, so that nobody waits for a picture."""
        self._steps: dict[str, tuple[str, datetime]] = {}
        self._begun: deque[tuple[str, str]] = deque(maxlen=BEGUN_MAX)
        self._tail: deque[Said] = deque(maxlen=TAIL_MAX)
        self._timing = Timing(home.ledger, self.clock, beside=beside)
        self.standing: Standing | None = None
        self._bars: tuple[Bar, ...] = ()
        self._limited = False
        """Does any limit hold for the night or a run under way?"""
        self._fraction: float | None = None
        if run:
            self._grow(run)

    # -- what comes

    def take(self, record: Record) -> list[News]:
        """Lines to tell people. The ledger's own words about one run: those of its progress; else what every run comes
        to."""
        with self._lock:
            if isinstance(record.event, OF_STEPS) and not self._run:
                self._grown(record)
                return []
            if isinstance(record.event, events.TaskAdded):
                self._remember(record.event.run, record.event.title)
            if isinstance(record.event, events.RunMoved) and record.event.new not in UNDER_WAY:
                self._timing.ended(record.event.run)
            if self._run:
                return self._of_run(record)
            self._grown(record)
            found = happened(record, self._title)
            if found is None:
                return []
            told = News(line(found), found.word, found)
            if self._with_tail:
                self._tail.append(Said(" ".join(told.text.split()), told.word))
            return [told]

    def _of_run(self, record: Record) -> list[News]:
        texts = [text for text in self._grown(record) if text is not None]
        return [News(text, text.split(maxsplit=1)[0].strip(":") if text.strip() else "") for text in texts]

    def _grown(self, record: Record) -> list[str | None]:
        """What came before it and was not told of is read from the ledger first."""
        growth = self._growths.get(record.stream.removeprefix("run:"))
        if growth is None or record.stream != events.run_stream(growth.run):
            return []
        if record.seq > growth.seen + 1:
            return [growth.take(one) for one in self._home.ledger.read(record.stream, after=growth.seen)]
        return [growth.take(record)]

    def step(self, told: Told) -> None:
        """A step begins in this process."""
        if not told.started:
            return
        now = self.clock.now()
        with self._brief:
            self._steps[told.run] = (told.step, now)
            self._begun.append((told.run, told.step))

    def steps(self) -> dict[str, tuple[str, str]]:
        """Run → the step that began last, and when."""
        with self._brief:
            known = dict(self._steps)
        return {run: (step, stamp(at)) for run, (step, at) in known.items()}

    def forget(self, records: Iterable[Record]) -> None:
        """Steps of runs that have given their worker back. Quick: the work itself calls it."""
        over = [one.event for one in records if isinstance(one.event, events.RunMoved)]
        if over:
            with self._brief:
                for moved in over:
                    if moved.new not in UNDER_WAY:
                        self._steps.pop(moved.run, None)

    def hear(self) -> None:
        """Steps that began until now. Whoever calls `take` calls it before, so that what they end has begun."""
        with self._brief:
            begun = list(self._begun)
            self._begun.clear()
        with self._lock:
            for run, step in begun:
                if (growth := self._growths.get(run)) is not None:
                    growth.progress.step_started(step)

    def close(self) -> None:
        """What is worked out in the background ends."""
        self._timing.close()

    def logged(self, line: logbook.Line) -> None:
        """A line of the log, at its end; its time is that of the clock on the wall, as all others are."""
        level, text = str(line.get("level", "")), logbook.for_people(line)
        with suppress(ValueError):
            at = datetime.fromisoformat(str(line.get("ts", "")))
            text = f"{at.astimezone():%H:%M:%S} {text.partition('Z ')[2]}"
        with self._lock:
            self._tail.append(Said(short(text), "dim" if level in ("debug", "info") else level))

    # -- what stands

    def look(self) -> Standing:
        """Ask the views again. Raises what the ledger raises."""
        from daybreak.home import standing

        now = standing.look(self._home)
        with self._lock:
            self.standing = now
            under_way = [work.run for work in now.work]
            for run in under_way:
                if run not in self._growths and not self._run:
                    self._grow(run)
            if not self._run:
                for run in set(self._growths) - set(under_way):
                    del self._growths[run]
            self._bars = self._budget(now, under_way)
            self._fraction = _fraction(self._home, now)
        return now

    def _grow(self, run: str) -> None:
        growth = Growth(run, self.clock)
        for title, kind in self._home.ledger.query("SELECT title, kind FROM view_runs WHERE run = ?", (run,)):
            growth.title, growth.kind = str(title), str(kind)
        for record in self._home.ledger.read(events.run_stream(run)):
            growth.take(record)
        self._growths[run] = growth

    def _budget(self, now: Standing, under_way: Sequence[str]) -> tuple[Bar, ...]:
        wanted = {f"{nights.account_of(self._home.ledger, night.night)}": "night" for night in now.nights}
        wanted |= {account_of(run): self._title(run) or run for run in ([self._run] if self._run else under_way)}
        accounts = Accounts(self._home.ledger)
        rows = {name: row for name in wanted if (row := accounts.row(name)) is not None}
        self._limited = any(row.limit.by_name for row in rows.values())
        return tuple(bar for name, shown in wanted.items() if name in rows for bar in bars(shown, rows[name]))

    def _title(self, run: str) -> str:
        if run not in self._titles:
            for (title,) in self._home.ledger.query("SELECT title FROM view_runs WHERE run = ?", (run,)):
                self._remember(run, str(title))
        return self._titles.get(run, "")

    def _remember(self, run: str, title: str) -> None:
        if len(self._titles) >= TITLES_MAX:
            self._titles.clear()
        self._titles[run] = title

    # -- the picture

    def scene(self) -> Scene:
        """As things stand at this moment. Reads nothing but what is in memory, but for time left."""
        now = self.clock.now()
        standing = self.standing
        if standing is None:
            standing = self.look()
        with self._lock:
            growths = dict(self._growths)
            notes = self._notes(growths, standing, now)
            steps = self._steps_of(standing)
            tree = tuple(
                growth.node(now, step=steps.get(run, ""), note=notes.get(run, "")) for run, growth in growths.items()
            )
            if self._run:
                return self._scene_of_run(growths[self._run], now, tree)
            counts = ", ".join(f"{number} {state}" for state, number in standing.counts.items())
            budget = "" if self._limited or not standing.nights else "; budget: no limit"
            left = self._timing.of_all(standing, growths, now)
            return Scene(
                now=now,
                head=_head(standing, now),
                waits=_waits(standing),
                notes=_notes(standing),
                tree=tree,
                fraction=self._fraction,
                left=left,
                bars=self._bars,
                counts=f"runs: {counts or 'none'}{budget}",
                tail=tuple(self._tail),
                details=self._details(growths, standing, now),
            )

    def _scene_of_run(self, growth: Growth, now: datetime, tree: tuple[Any, ...]) -> Scene:
        left = self._timing.of_run(growth, now) if growth.began else None
        fraction = self._timing.fraction(growth, left, now)
        state, phase = growth.progress.state, growth.progress.phase
        doing = f"{state}, {phase}" if growth.kind == "build" and growth.began else state
        (node,) = tree
        return Scene(
            now=now,
            head=f"{growth.title or growth.kind}: {doing}{_since(growth.began, now)}",
            tree=node.children,
            fraction=fraction,
            left=left,
            bars=self._bars,
            counts="budget: no limit" if growth.began and not self._limited else "",
            tail=tuple(self._tail),
        )

    def _notes(self, growths: Mapping[str, Growth], standing: Standing, now: datetime) -> dict[str, str]:
        orphans = {work.run for work in standing.work if work.orphaned}
        found = {}
        for run, growth in growths.items():
            told = [_since(growth.began, now).removeprefix(", ")] if growth.began else []
            if growth.began and not self._run:
                left = self._timing.of_run(growth, now)
                fraction = self._timing.fraction(growth, left, now)
                told += [f"{fraction:.0%}"] if fraction is not None else []
                told.append(f"{left.words().partition(', from')[0]} left" if left.known else _why_not(left))
            if run in orphans:
                told.append("its owner died")
            found[run] = ", ".join(told)
        return found

    def words_left(self) -> list[str]:
        """How long all that is to be done still takes, and each run under way, as `daybreak status` says it."""
        scene = self.scene()
        told = [] if scene.left is None else [f"time left: {scene.left.words(to=' to ')}"]
        if len(self._growths) > 1:
            lefts = [(run, self.left_of(run)) for run in self._growths]
            told += [f"  {run}  {left.words(to=' to ')}" for run, left in lefts[:RUNS_TOLD] if left is not None]
        return told

    def left_of(self, run: str) -> Left | None:
        """None where it is not under way."""
        with self._lock:
            growth = self._growths.get(run)
            return None if growth is None or not growth.began else self._timing.of_run(growth, self.clock.now())

    def _steps_of(self, standing: Standing) -> dict[str, str]:
        """Run → the last step that began, as a night tells of itself, or here."""
        found = {work.run: work.step for work in standing.work}
        with self._brief:
            return found | {run: step for run, (step, _) in self._steps.items()}

    def _details(self, growths: Mapping[str, Growth], standing: Standing, now: datetime) -> dict[str, Any]:
        return {run: self._timing.of_run(growth, now).as_json() for run, growth in growths.items() if growth.began}


def _head(standing: Standing, now: datetime) -> str:
    if standing.nights:
        night = standing.nights[0]
        until = f", until {_wall(night.until)}" if night.until else ""
        more = f", and {len(standing.nights) - 1} beside it" if len(standing.nights) > 1 else ""
        ending = f", ending: {night.ending}" if night.ending else ""
        workers = "1 worker" if night.workers == 1 else f"{night.workers} workers"
        return f"night{_since(night.began, now)}{until}{ending}, {workers}{more}  {night.night}"
    return "no night is under way"


def _waits(standing: Standing) -> tuple[str, ...]:
    asks = [f"{one.title} asks: {one.question} (daybreak answer {one.run})" for one in standing.questions]
    if standing.incidents:
        worst = max(standing.incidents, key=lambda one: one.level)
        asks.append(f"{len(standing.incidents)} incidents are open, the worst: level {worst.level}, {worst.kind}")
    return tuple(asks)


def _notes(standing: Standing) -> tuple[str, ...]:
    found = [f"night {night} died; the next one goes on with what it left" for night in standing.dead]
    found += [f"breaker {one.name} is {one.state}: {one.why}" for one in standing.breakers]
    found += [f"replica {lapsed}" for lapsed in standing.replicas]
    if standing.wakes and not standing.work:
        found.append(f"next by its time: {_wall(standing.wakes)}")
    return tuple(found)


def _fraction(home: Home, standing: Standing) -> float | None:
    """Of the runs that this night leased or that wait for it, how many have come to rest."""
    if not standing.nights:
        return None
    began = min(night.began for night in standing.nights)
    ((rested,),) = home.ledger.query(
        "SELECT count(*) FROM view_runs WHERE updated >= ? AND state IN ('done', 'failed', 'cancelled', 'parked')",
        (began,),
    )
    going = sum(standing.counts.get(state, 0) for state in ("queued", "waiting", "paused", *UNDER_WAY))
    return int(rested) / (int(rested) + going) if rested or going else None


def _since(moment: str, now: datetime) -> str:
    """`, for 2 min`; nothing where there is no moment."""
    if not moment:
        return ""
    seconds = max(0, int((now - datetime.fromisoformat(moment)).total_seconds()))
    if seconds < 60:
        return f", for {seconds} s"
    minutes = seconds // 60
    return f", for {minutes} min" if minutes < 60 else f", for {minutes // 60} h {minutes % 60} min"


def _why_not(left: Left) -> str:
    return f"time left not known ({left.unknown})"


def _wall(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%H:%M")
