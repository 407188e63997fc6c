"""What a task file says: commands in steps, and the checks that decide whether the task is done.

Values are those of TOML. Lengths of time, sizes and amounts are text with a unit, read as the task is read; what a
model holds is what was written, so that it looks the same in the ledger as in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from daybreak.engine.placement import AT_ONCE_MAX, Rate
from daybreak.engine.step import Effect
from daybreak.errors import UsageError
from daybreak.factory import quantity
from daybreak.host.sandbox import Strength
from daybreak.policy.budget import Limit
from daybreak.policy.retry import Retry

NAME_CHARS_MAX = 80
TEXT_CHARS_MAX = 20_000
STEPS_MAX, CHECKS_MAX, WORDS_MAX = 200, 200, 1000
LIMIT_DEFAULT = "1h"
LIMIT_S_MAX = timedelta(hours=23).total_seconds()
"""A token of a step lives a day at most."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, str_max_length=TEXT_CHARS_MAX)


# -- values with a form of their own


def _name(value: Any) -> Any:
    if isinstance(value, str) and not (0 < len(value) <= NAME_CHARS_MAX and value.isprintable() and value.strip()):
        raise ValueError(f"a name has 1 to {NAME_CHARS_MAX} printable characters, on one line")
    return value


def _words(value: Any) -> Any:
    """Shell text, or a list whose first word is the program."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError('a command is a list of texts such as ["make", "all"], or one text for the shell')
    if not words or not words[0].strip() or len(words) > WORDS_MAX or any("\0" in word for word in words):
        raise ValueError(f"a command names a program, has at most {WORDS_MAX} words, and no NUL in them")
    return value


def _relative(value: Any) -> Any:
    if isinstance(value, str) and (not value or "\0" in value or "\n" in value):
        raise ValueError("a path is text on one line, not empty")
    return value


def _moment(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError("write a date and time with its offset, such as 2026-11-22T07:00:00+01:00")
    return value


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a length of time is text with a unit: 90s, 10min, 1h 30min or 2 days")
    quantity.seconds(value)
    return value


def _limit(value: Any) -> Any:
    if not 0 < quantity.seconds(_seconds(value)) <= LIMIT_S_MAX:
        raise ValueError("a limit is more than nothing and at most 23h")
    return value


def _size(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a size is text with a unit: 512MB, 4GB or 4GiB")
    if not 4096 <= quantity.size_bytes(value) < 1 << 50:
        raise ValueError("a size is from 4096 B to 1000 TB")
    return value


def _pattern(value: Any) -> Any:
    if isinstance(value, str):
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"it is no regular expression: {error}") from None
    return value


_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def _environment(value: Any) -> Any:
    for name, text in value.items() if isinstance(value, dict) else ():
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name) or "\0" in str(text):
            raise ValueError(f"{str(name)[:40]!r} is no name of an environment variable, or holds a NUL")
        if name.startswith("DAYBREAK_"):
            raise ValueError(f"{name} is set by Daybreak: names that begin with DAYBREAK_ are its own")
    return value


def _rates(value: Any) -> Any:
    for rate in value.values() if isinstance(value, dict) else ():
        _typed(Rate.of, rate)
    return value


def _amounts(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError('amounts are text such as "2usd 30min 100000tokens"')
    _typed(Limit.parse, value)
    return value


def _cost(value: Any) -> Any:
    _amounts(value)
    worst = Limit.parse(value)
    if worst.time_ms is not None or worst.attempts is not None:
        raise ValueError("a cost is money and tokens: time is the run's own, and each try is one attempt")
    return value


def _typed(read: Callable[[Any], object], value: Any) -> None:
    """Errors of our own as pydantic gathers them."""
    try:
        read(value)
    except UsageError as error:
        raise ValueError(f"{error.message}: {error.hint}") from None


def _whole(value: Any) -> Any:
    return {"attempts": value} if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, BeforeValidator(_name)]
Command = Annotated[str | tuple[str, ...], BeforeValidator(_words)]
PathText = Annotated[str, BeforeValidator(_relative)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Length = Annotated[str, BeforeValidator(_seconds)]
TimeLimit = Annotated[str, BeforeValidator(_limit)]
Size = Annotated[str, BeforeValidator(_size)]
AmountsText = Annotated[str, BeforeValidator(_amounts)]
Cost = Annotated[str, BeforeValidator(_cost)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
Environment = Annotated[dict[str, str], BeforeValidator(_environment)]


# -- tables


class RetryTable(_Table):
    """When a failed step is tried again; `retry = 4` is `{attempts = 4}`."""

    attempts: int = Field(default=5, ge=1, le=1000)
    first: Length = "1s"
    factor: float = Field(default=2.0, ge=1, le=100)
    most: Length = "5min"
    within: Length | None = None
    outage: Length = "1 day"
    identical: int = Field(default=3, ge=2, le=1000)

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        _typed(lambda table: table.rule(), self)
        return self

    def rule(self) -> Retry:
        return Retry(
            attempts=self.attempts,
            first_s=quantity.seconds(self.first),
            factor=self.factor,
            most_s=quantity.seconds(self.most),
            within_s=None if self.within is None else quantity.seconds(self.within),
            outage_s=quantity.seconds(self.outage),
            identical=self.identical,
        )


RetryText = Annotated[RetryTable, BeforeValidator(_whole, json_schema_input_type=int | RetryTable)]


class Expected(_Table):
    """What must be seen when a command has ended; an exit status alone says little."""

    exit: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(default=(0,), min_length=1)
    """Statuses that are fine."""
    output: str | None = None
    """Text that standard output holds."""
    matches: Pattern | None = None
    """A regular expression that is found in standard output."""
    data: Any = Field(default=None, alias="json")
    """Standard output is JSON that holds at least this."""
    files: tuple[PathText, ...] = ()
    """Ordinary files, not empty, that are there afterwards; relative to the task's folder."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


class Step(_Table):
    run: Command
    """A list is a program and its arguments; one text is for `/bin/sh -e -c`."""
    name: Name = ""
    cwd: PathText = "."
    env: Environment = {}
    effect: Effect = "idempotent"
    """What a repeat would mean: `pure` nothing at all, `idempotent` nothing new, `once` something that must not be."""
    lookup: Command | None = None
    """Of `once`: asked whether it has happened. Status 0: yes, and what it prints stands for the step's output.
    Status 1: certainly not. Anything else: it cannot tell, and a person is asked."""
    retry: RetryText | None = None
    breaker: Name | None = None
    """What the step calls: while that fails again and again, nobody calls it for a while."""
    cost: Cost | None = None
    """Money and tokens that one try can cost at most."""
    limit: TimeLimit = LIMIT_DEFAULT
    expect: Expected = Expected()

    @model_validator(mode="after")
    def _lookup_fits(self) -> Self:
        if self.lookup is not None and self.effect != "once":
            raise ValueError('a lookup belongs to a step with effect = "once"')
        return self


class Check(_Table):
    """Looks whether the task is done: a command, a file, or an address."""

    name: Name = ""
    run: Command | None = None
    cwd: PathText = "."
    env: Environment = {}
    expect: Expected | None = None
    file: PathText | None = None
    http: str | None = Field(default=None, pattern=r"^https?://[^\s]{1,2000}$")
    status: int | None = Field(default=None, ge=100, le=599)
    """Of `http`; 200 where nothing else is said."""
    contains: str | None = Field(default=None, min_length=1)
    """Text in the file or the answer."""
    matches: Pattern | None = None
    """A regular expression that is found there."""
    absent: bool = False
    """Of `file`: it must not be there."""
    limit: TimeLimit = "10min"

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        given = [name for name in ("run", "file", "http") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a check has exactly one of run, file and http, this one has {' and '.join(given) or 'none'}"
            )
        belongs = {
            "run": {"cwd", "env", "expect"}, "file": {"contains", "matches", "absent"},
            "http": {"status", "contains", "matches"},
        }[given[0]]  # fmt: skip
        if strange := self.model_fields_set - belongs - {"name", "limit", given[0]}:
            raise ValueError(f"{', '.join(sorted(strange))} means nothing beside {given[0]}")
        if self.absent and (self.contains or self.matches):
            raise ValueError("a file that must be absent contains nothing")
        return self


class Grant(_Table):
    """What the commands may have beside the task's folder, the system's programs and this Python."""

    network: bool = False
    write: tuple[PathText, ...] = ()
    read: tuple[PathText, ...] = ()
    secrets: tuple[str, ...] = ()
    """Names of environment variables, taken from whoever runs the task when a step begins; never kept."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        if wrong := [name for name in self.secrets if not _ENV_NAME.fullmatch(name) or name.startswith("DAYBREAK_")]:
            raise ValueError(f"{wrong[0][:40]!r} is no name of an environment variable of yours")
        return self


class Bounds(_Table):
    """The most that one command may use."""

    memory: Size = "4GiB"
    disk: Size = "64GiB"
    """What the writable folders may hold, with what was in them before."""
    files: int = Field(default=2_000_000, ge=1, le=10**12)
    processes: int = Field(default=512, ge=1, le=10**6)
    output: Size = "32MB"
    """Of what it prints."""


Every = Literal["hour", "day", "week"]


class CommandTask(_Table):
    """A whole task file."""

    title: Annotated[str, BeforeValidator(_name)]
    folder: PathText = "."
    """Where the commands run and what they may change; relative to the task file."""
    project: str = Field(default="", max_length=NAME_CHARS_MAX)
    priority: int = 0
    after: tuple[str, ...] = ()
    """Runs that must be done before."""
    not_before: Moment | None = None
    deadline: Moment | None = None
    keys: dict[str, Annotated[int, Field(ge=1, le=AT_ONCE_MAX)]] = {}
    rates: Annotated[dict[str, str], BeforeValidator(_rates)] = {}
    dedupe: str = Field(default="", max_length=200)
    budget: AmountsText | None = None
    every: Every | None = None
    at: str | None = None
    """Of `every`: `HH:MM`; of an hour `:MM`."""
    on: str | None = None
    """Of `every = "week"`: mon to sun."""
    cron: str | None = None
    zone: str = "UTC"
    catch_up: Literal["skip", "once", "all"] = "once"
    retry: RetryText | None = None
    """Of every step that has none of its own."""
    breaker: Name | None = None
    """Of every step that has none of its own."""
    env: Environment = {}
    sandbox: Strength = "degraded"
    """The least that must hold the commands; `none` lets them do whatever you may."""
    grant: Grant = Grant()
    bounds: Bounds = Bounds()
    step: tuple[Step, ...] = Field(default=(), max_length=STEPS_MAX)
    check: tuple[Check, ...] = Field(default=(), max_length=CHECKS_MAX)
    unchecked: bool = False
    """Nothing decides whether it is done; the result then says `not verified`."""

    @property
    def steps(self) -> tuple[tuple[str, Step], ...]:
        """With the name of each: its own, or `step N`."""
        return tuple((step.name or f"step {number}", step) for number, step in enumerate(self.step, 1))

    @property
    def checks(self) -> tuple[tuple[str, Check], ...]:
        """With the name of each: its own, or what it looks at with its number."""
        return tuple(
            (check.name or f"{number} {_looked_at(check)}", check) for number, check in enumerate(self.check, 1)
        )


def _looked_at(check: Check) -> str:
    command = check.run if isinstance(check.run, str | None) else " ".join(check.run)
    return " ".join((command or check.file or check.http or "").split())[:60]
