"""Short notes that a later attempt may be glad of: what failed and was then repaired, and what people want remembered.

`distil` makes them by rule: a finding of one attempt whose check passed in the next attempt of the same run. `add`
takes one from a person. `recall` gives those that fit a task, as many as a number of tokens allows. `judged` says how
an attempt went that was shown some, and so which of them help.

What checks print comes from programs that a worker wrote: it is redacted, put on one line, cut, and scanned; what looks
like an instruction to its reader is refused, and the refusal is an event. A lesson is a hint and never evidence.

Recall is full-text search (FTS5, bm25) over an index that is made in memory for each question: the view stays plain
rows that can be compared, and works on every store that has the view. `RECALLED_FROM` bounds what that costs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import apsw

from daybreak import events
from daybreak.errors import UsageError
from daybreak.ids import ALPHABET
from daybreak.ledger import Draft, Record, Statement, View
from daybreak.memory.log import Asked, Log, is_copy
from daybreak.memory.outcomes import is_evidence, root_of
from daybreak.policy import injection, redaction

Source = Literal["repair", "person"]

TEXT_MAX = 600
"""Characters of a lesson."""
MESSAGE_MAX = 300
"""Characters of a finding's message in a lesson."""
REPAIR_MAX = 200
"""Characters of what the worker said about its repair."""
GIVEN_MAX = 20_000
"""Characters that are looked at, of whatever is given; the rest is left out before anything else is done."""
PER_RUN = 5
"""Lessons from one repaired attempt; more would be a log."""
RECALLED_FROM = 3_000
"""The newest lessons that recall looks at."""
RECALLED = 20
"""The most that one recall gives."""
TERMS_MAX = 64
HELD_OUT = "held-out example"
"""The check of findings that only name a requirement; nothing is learned from them."""
EXAMPLE = "example:"
"""With this begin the names of checks that are acceptance examples."""

_BELIEVED: dict[Source, tuple[float, float]] = {"repair": (2.0, 1.0), "person": (4.0, 1.0)}
"""Beta counts before anybody has seen a lesson in a brief."""
_JUDGED_MIN = 6
_WORTH = 0.5
"""A lesson shown `_JUDGED_MIN` times or more is left out below this share of the lessons' common rate of success."""
_RELATED = 0.2
"""Of the best match; what matches less is chance."""
_OWN_WORD = 0.25
"""What people wrote for this kind of task is relevant at least so much, whatever its words."""
_SAME = 0.8
"""Share of common words from which two lessons say the same."""


class LessonUnknown(UsageError):
    """No lesson has that name, or several begin like that."""

    code = "U211"


class LessonUnfit(UsageError):
    """A text that cannot be a lesson."""

    code = "U212"


# -- the view


def _apply(record: Record) -> Iterable[Statement]:
    match record.event:
        case events.LessonLearned(run=run) | events.LessonJudged(run=run) if run and is_copy(record, run):
            pass  # it was counted where it happened
        case events.LessonLearned() as learned:
            where = (learned.task, learned.worker, learned.check, learned.run)
            yield Statement(
                "INSERT INTO view_lessons VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 0, 0, '', '')"
                " ON CONFLICT (lesson) DO UPDATE SET seen = seen + 1",
                (learned.lesson, learned.text, learned.source, *where, record.ts),
            )
            if learned.source == "person":  # who writes it again wants it again
                yield Statement(
                    "UPDATE view_lessons SET source = 'person', forgotten = '', why = '' WHERE lesson = ?",
                    (learned.lesson,),
                )
        case events.LessonForgotten() as forgotten:
            yield Statement(
                "UPDATE view_lessons SET forgotten = ?, why = ? WHERE lesson = ?",
                (record.ts, forgotten.why, forgotten.lesson),
            )
        case events.LessonJudged() as judged:
            column = "helped" if judged.solved else "failed"
            for lesson in dict.fromkeys(judged.lessons):
                yield Statement(f"UPDATE view_lessons SET {column} = {column} + 1 WHERE lesson = ?", (lesson,))
        case _:
            pass


LESSONS = View(
    name="lessons",
    version=1,
    schema="""
CREATE TABLE view_lessons (
  lesson    TEXT PRIMARY KEY,
  text      TEXT NOT NULL,
  source    TEXT NOT NULL,
  task      TEXT NOT NULL,
  worker    TEXT NOT NULL,
  "check"   TEXT NOT NULL,
  run       TEXT NOT NULL,
  learned   TEXT NOT NULL,
  seen      INTEGER NOT NULL,
  helped    INTEGER NOT NULL,
  failed    INTEGER NOT NULL,
  forgotten TEXT NOT NULL,
  why       TEXT NOT NULL
) STRICT;
CREATE INDEX view_lessons_newest ON view_lessons (learned) WHERE forgotten = '';
""",
    apply=_apply,
    of=(events.LessonLearned, events.LessonForgotten, events.LessonJudged),
    weight="low",
)
"""Every lesson; `forgotten` is empty while it may be recalled."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One note, and how it has fared."""

    lesson: str
    """Its name: of its text and root task, so the same lesson has the same one."""
    text: str
    """One line, redacted, at most `TEXT_MAX` characters. Of source `repair`: words of others, not an instruction."""
    source: Source
    task: str
    """Empty: any."""
    worker: str
    check: str
    run: str
    learned: str
    seen: int
    """How often it was learned."""
    helped: int
    """Attempts that were shown it and passed."""
    failed: int
    forgotten: str
    """When; empty while it counts."""
    why: str

    @property
    def confidence(self) -> float:
        """0 to 1: mean of the Beta distribution that its outcomes make of what was believed at first."""
        good, bad = _BELIEVED[self.source]
        return (good + self.helped) / (good + bad + self.helped + self.failed)

    @property
    def tokens(self) -> int:
        """What it takes of a brief, rather too high: no tokenizer is asked."""
        return tokens_of(self.text)


def tokens_of(text: str) -> int:
    """An upper estimate: a token for three bytes of UTF-8, and four for the line. English has one for four or five."""
    return -(-len(text.encode("utf-8", "replace")) // 3) + 4


_COLUMNS = 'lesson, text, source, task, worker, "check", run, learned, seen, helped, failed, forgotten, why'
_NAMES = tuple(_COLUMNS.replace('"', "").split(", "))


def _lesson(row: Sequence[object]) -> Lesson:
    return Lesson(**dict(zip(_NAMES, row, strict=True)))  # type: ignore[arg-type]  # as the view's own schema has them


def all_lessons(log: Asked, *, forgotten: bool = False) -> list[Lesson]:
    """The newest first; with `forgotten` also those that nobody wants."""
    where = "" if forgotten else " WHERE forgotten = ''"
    rows = log.query(f"SELECT {_COLUMNS} FROM view_lessons{where} ORDER BY learned DESC, lesson")
    return [_lesson(row) for row in rows]


# -- learning


class Finding(Protocol):
    """What `distil` reads of `agents.protocol.Finding`."""

    @property
    def check(self) -> str: ...
    @property
    def message(self) -> str: ...


class Evidence(Protocol):
    """What `distil` reads of `checks.evidence.Evidence`."""

    @property
    def check(self) -> str: ...
    @property
    def outcome(self) -> str: ...


def distil(
    findings_before: Iterable[Finding],
    evidence_after: Iterable[Evidence],
    worker: str,
    task: str,
    run: str,
    *,
    repair: str = "",
) -> list[events.Event]:
    """What is to be learned from an attempt that repaired what the one before it had failed.

    A finding counts where its check ran again and every evidence of it passed. Of acceptance examples nothing is
    learned: they are about one specification, and one that is seen today may be held out tomorrow. `repair`: the
    worker's own word of what it did, if any. Gives `LessonLearned`, and `LessonRefused` for what looks like an
    instruction, together at most `PER_RUN`.
    """
    outcomes: dict[str, set[str]] = {}
    for seen in evidence_after:
        outcomes.setdefault(seen.check, set()).add(seen.outcome)
    general = [one for one in findings_before if one.check != HELD_OUT and not one.check.startswith(EXAMPLE)]
    repaired = [one for one in general if outcomes.get(one.check) == {"passed"}]
    found: dict[str, events.Event] = {}
    for one in repaired:
        if len(found) == PER_RUN:
            break
        made = _from_repair(one, repair, worker, task, run)
        if made is not None:
            found.setdefault(made.lesson if isinstance(made, events.LessonLearned) else made.text, made)
    return list(found.values())


def _from_repair(
    finding: Finding, repair: str, worker: str, task: str, run: str
) -> events.LessonLearned | events.LessonRefused | None:
    check = _plain(finding.check, 80)
    original = finding.message[:GIVEN_MAX]
    message = _plain(_general(redaction.redact(original).text), MESSAGE_MAX)
    if not check or len(_WORD.findall(message)) < 3:
        return None  # `failed` and `exit status 1` teach nobody anything
    mended = _plain(repair, REPAIR_MAX)
    said = f" What mended it, as the worker says: {mended}" if mended else ""
    text = _plain(f"Check {check} failed with: {message}.{said}", TEXT_MAX)
    if (refused := _refused(f"{original}\n{repair[:GIVEN_MAX]}\n{text}", check, run)) is not None:
        return refused
    # named for what failed: two repairs of the same failure are one lesson, seen twice
    return events.LessonLearned(
        lesson=_name(f"{check}\n{message}", task),
        text=text,
        source="repair",
        task=task,
        worker=worker,
        check=check,
        run=run,
    )


def _refused(text: str, check: str, run: str) -> events.LessonRefused | None:
    scan = injection.scan(text)
    if not scan.suspicious:
        return None
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return events.LessonRefused(
        text=digest, kinds=sorted({mark.kind for mark in scan.marks}), score=scan.score, check=check, run=run
    )


def learn(log: Log, found: Sequence[events.Event], *, actor: str = "memory", trace: str = "") -> None:
    """Append what `distil` or `judged` gave. Raises what the ledger raises."""
    if found:
        log.append([Draft(events.MEMORY, event, actor=actor, trace=trace) for event in found])


def add(log: Log, text: str, *, task: str = "", anyway: bool = False, actor: str = "person") -> Lesson:
    """Keep a lesson of a person's, and give it back. `task` empty: for every kind.

    A text that looks like an instruction to machines (somebody else's, pasted) is refused unless `anyway`; secrets are
    taken out in any case. Raises LessonUnfit, and what the ledger raises.
    """
    learned = written(text, task=task, anyway=anyway)
    log.append([Draft(events.MEMORY, learned, actor=actor)])
    return find(log, learned.lesson)


def written(text: str, *, task: str = "", run: str = "", anyway: bool = False) -> events.LessonLearned:
    """A lesson of a person's, to be appended to `events.MEMORY`. `run`: the one that it is about. Raises LessonUnfit,
    as `add` does."""
    given: object = text
    if not isinstance(given, str) or not _WORD.search(text):
        raise LessonUnfit("there is no lesson in that", hint="say in a sentence what is to be remembered")
    if len(text) > TEXT_MAX:
        raise LessonUnfit(
            f"a lesson of {len(text):,} characters is longer than {TEXT_MAX}",
            hint="say the one thing that matters; what is longer is a note (`daybreak notes`)",
        )
    check_task(task)
    scan = injection.scan(text)
    if scan.suspicious and not anyway:
        kinds = ", ".join(sorted({mark.kind for mark in scan.marks}))
        raise LessonUnfit(
            f"it looks like an instruction to whoever reads it ({kinds}; score {scan.score:.2f})",
            hint="--anyway keeps it, if it is your own and you mean it",
        )
    kept = _plain(text, TEXT_MAX)
    return events.LessonLearned(lesson=_name(kept, task), text=kept, source="person", task=task, run=run)


def check_task(task: str) -> None:
    """Raises LessonUnfit for what names no kind of task."""
    if task and not _TASK.fullmatch(task):
        raise LessonUnfit(
            f"{task!a:.80} names no kind of task", hint="as in `build` or `repository/python`; empty for any"
        )


def find(log: Asked, lesson: str) -> Lesson:
    """The lesson of that name; a beginning that only one has is enough. Raises LessonUnknown."""
    rows = log.query(
        f"SELECT {_COLUMNS} FROM view_lessons WHERE substr(lesson, 1, ?) = ? ORDER BY lesson LIMIT 2",
        (len(lesson), lesson),
    )
    if len(rows) != 1 and (not rows or rows[0][0] != lesson):
        raise LessonUnknown(
            f"{'several lessons begin with' if rows else 'no lesson is called'} {lesson!a:.80}",
            hint="`daybreak memory list --all` shows their names",
        )
    return _lesson(rows[0])


def forget(log: Log, lesson: str, *, why: str = "", actor: str = "person") -> Lesson:
    """Keep it out of every brief from now on; learning it again by rule does not bring it back. The log keeps that it
    was. Raises LessonUnknown."""
    found = find(log, lesson)
    event = events.LessonForgotten(lesson=found.lesson, why=_plain(why, 300))
    log.append([Draft(events.MEMORY, event, actor=actor)])
    return find(log, found.lesson)


def judged(
    lessons: Iterable[Lesson | str], run: str, attempt: int, *, solved: bool, trouble: str = ""
) -> list[events.Event]:
    """How an attempt went that was shown these lessons (or their names). Nothing where none was shown, or where the
    trouble was not the worker's."""
    names = list(dict.fromkeys(one if isinstance(one, str) else one.lesson for one in lessons))
    if not names or not is_evidence(solved, trouble):
        return []
    return [events.LessonJudged(lessons=names, run=run, attempt=attempt, solved=solved)]


# -- recalling


def recall(log: Asked, text: str, task: str, tokens: int) -> list[Lesson]:
    """Lessons for a brief, the most useful first, together of at most `tokens` tokens (by `tokens_of`).

    `text` is what the task is about, in anybody's words: its words are searched for, nothing in it is a query.
    Usefulness is the match (bm25, as a share of the best one) times confidence times how near its kind of task is. What
    people wrote for this kind of task, or for any, needs no match. Left out: forgotten ones, those that did not help,
    and what says the same as one before it. Raises what the ledger raises.
    """
    if tokens <= 0:
        return []
    lessons = [_lesson(row) for row in log.query(_NEWEST, (RECALLED_FROM,))]
    common = _common_rate(lessons)
    lessons = [one for one in lessons if not _useless(one, common)]
    return _chosen(sorted(_worth(lessons, text, task), key=_by_worth), tokens)


_NEWEST = f"SELECT {_COLUMNS} FROM view_lessons WHERE forgotten = '' ORDER BY learned DESC, lesson LIMIT ?"


def _by_worth(one: tuple[float, Lesson]) -> tuple[float, str]:
    return -one[0], one[1].lesson


def _common_rate(lessons: Sequence[Lesson]) -> float:
    """How often attempts passed that were shown any lesson: hard tasks are not the fault of what was shown."""
    helped, failed = sum(one.helped for one in lessons), sum(one.failed for one in lessons)
    return (1 + helped) / (2 + helped + failed)


def _useless(lesson: Lesson, common: float) -> bool:
    return lesson.helped + lesson.failed >= _JUDGED_MIN and lesson.confidence < _WORTH * common


def _worth(lessons: Sequence[Lesson], text: str, task: str) -> Iterable[tuple[float, Lesson]]:
    matches = _matches(lessons, text)
    best = max(matches.values(), default=1.0) or 1.0
    for number, lesson in enumerate(lessons):
        match = matches.get(number, 0.0) / best
        near = _nearness(lesson.task, task)
        match = match if match >= _RELATED else 0.0
        if lesson.source == "person" and near >= 1.0:
            match = max(match, _OWN_WORD)
        if match > 0:
            yield match * near * lesson.confidence, lesson


def _nearness(of_lesson: str, task: str) -> float:
    if not of_lesson or of_lesson == task:
        return 1.25 if of_lesson else 1.0
    return 1.0 if root_of(of_lesson) == root_of(task) else 0.4


def _matches(lessons: Sequence[Lesson], text: str) -> dict[int, float]:
    """Place in `lessons` -> how well it matches, more is better. Words that every other lesson has count next to
    nothing."""
    query = query_of(text)
    if not query or not lessons:
        return {}
    database = apsw.Connection(":memory:")
    try:
        database.execute("CREATE VIRTUAL TABLE lesson USING fts5(text, tokenize = 'porter unicode61')")
        rows = ((number, f"{one.text} {one.check}") for number, one in enumerate(lessons))
        database.execute("BEGIN")  # one segment of the index instead of one for each row: five times as fast
        database.executemany("INSERT INTO lesson (rowid, text) VALUES (?, ?)", rows)
        found = database.execute("SELECT rowid, bm25(lesson) FROM lesson WHERE lesson MATCH ?", (query,))
        return {number: -score for number, score in found}
    finally:
        database.close()


_WORD = re.compile(r"[^\W\d_]{2,}")
_TERM = re.compile(r"[^\W_]{3,40}")
_TASK = re.compile(r"[a-z0-9][a-z0-9_./-]{0,99}")
_EMPTY_WORDS = frozenset(
    re.findall(
        r"[a-z]+",
        """
        the and for not with that this from are was has have had its but you your all any can must may will been were
        which when then than into out use used each one two only also other there their they them who what where why
        how our shall should would could does did done make made see get got let via per such same some more most
        """,
    )
)


def query_of(text: str) -> str:
    """An FTS5 query for any of the text's words: each a quoted string of letters and digits, so that nothing in the
    text is syntax. Empty where it has no words."""
    words = (found.lower() for found in _TERM.findall(text[:GIVEN_MAX]))
    terms = list(dict.fromkeys(word for word in words if word not in _EMPTY_WORDS))[:TERMS_MAX]
    return " OR ".join(f'"{term}"' for term in terms)


def _chosen(ordered: Iterable[tuple[float, Lesson]], tokens: int) -> list[Lesson]:
    chosen: list[Lesson] = []
    said: list[frozenset[str]] = []
    for _, lesson in ordered:
        if len(chosen) == RECALLED:
            break
        words = frozenset(_TERM.findall(lesson.text.lower()))
        if lesson.tokens > tokens or any(_alike(words, others) for others in said):
            continue
        tokens -= lesson.tokens
        chosen.append(lesson)
        said.append(words)
    return chosen


def _alike(words: frozenset[str], others: frozenset[str]) -> bool:
    either = len(words | others)
    return either > 0 and len(words & others) >= _SAME * either


# -- text


_PATH = re.compile(r"(?<![\w.])/(?:[\w.+@-]{1,100}/){1,30}(?=[\w.+@-])")
_LINE = re.compile(r"(?<=\w):\d{1,7}(?::\d{1,7})?\b")
_HASH = re.compile(r"\b(?:0x)?(?=[0-9a-f]*\d)[0-9a-f]{8,64}\b")
_TIME = re.compile(r"\b\d+(?:\.\d+)?\s?m?s\b")
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+")


def _general(text: str) -> str:
    """Without what differs from run to run: folders, line numbers, addresses, durations."""
    text = _LINE.sub("", _PATH.sub("", text))
    return _TIME.sub("some time", _HASH.sub("…", text))


def _plain(text: str, most: int) -> str:
    """Redacted, on one line, without characters that show nothing or steer, cut to `most` characters."""
    clean = text[:GIVEN_MAX].encode("utf-8", "replace").decode()
    line = _BREAKS.sub(" ", redaction.redact(clean).text).strip()
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def _name(said: str, task: str) -> str:
    """`les-` and ten characters: of the words and the root of the kind of task."""
    folded = " ".join(_TERM.findall(said.lower())) or said
    number = int.from_bytes(hashlib.sha256(f"{root_of(task)}\n{folded}".encode()).digest()[:8], "big")
    return "les-" + "".join(ALPHABET[(number >> 5 * place) & 31] for place in range(10))


def exported(lessons: Iterable[Lesson]) -> list[dict[str, object]]:
    """As JSON values, with the confidence."""
    names = _COLUMNS.replace('"', "").split(", ")
    return [{**{name: getattr(one, name) for name in names}, "confidence": round(one.confidence, 3)} for one in lessons]


assert frozenset(_BELIEVED) == frozenset(get_args(Source))
