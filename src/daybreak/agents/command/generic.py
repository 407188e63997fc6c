"""Any program: a command, how its lines are read, and what counts as success, all from the configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from daybreak.agents.command.adapter import Job, Launch
from daybreak.agents.command.story import Reader, count, microusd
from daybreak.agents.command.trouble import Problem, cut_short, judged, shown, until
from daybreak.agents.protocol import Told, Trouble, Usage
from daybreak.clock import Clock
from daybreak.errors import WorkerError
from daybreak.settings import Worker

PLACES = ("prompt", "prompt_file", "workspace", "model", "url", "token")
ARGUMENT_BYTES_MAX = 128 * 1024 - 1
"""What the system takes as one word of a command."""
_PLACE = re.compile(r"\{(\w+)\}")


class StreamWrong(WorkerError):
    """A `generic` worker is not described as it must be."""

    code = "W151"


def _path(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", text):
        raise ValueError("give names of keys (or numbers of list items) with dots between: message.content.0.text")
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as problem:
        raise ValueError(f"no regular expression: {problem}") from None
    return text


Path_ = Annotated[str, AfterValidator(_path)]
Pattern = Annotated[str, AfterValidator(_pattern), Field(min_length=1, max_length=2_000)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UsagePaths(_Model):
    """Where the numbers are in an event."""

    input: Path_ | None = None
    cached: Path_ | None = None
    output: Path_ | None = None
    money: Path_ | None = None
    """US dollars."""
    cumulative: bool = False
    """The numbers are totals so far, not what came since."""


class Match(_Model):
    """An event with this value at this place."""

    path: Path_
    equals: str | int | bool | None = None
    """None: something is there."""


class Success(_Model):
    """All that is given must hold; at least one beside `exit` must be."""

    exit: tuple[int, ...] = (0,)
    event: Match | None = None
    """An event that says that it has finished."""
    pattern: Pattern | None = None
    """A line of its output that says so."""
    silent: bool = False
    """It says nothing when it has finished: the exit status is all there is, and it is taken for it."""

    @model_validator(mode="after")
    def _enough(self) -> Success:
        if self.event is None and self.pattern is None and not self.silent:
            raise ValueError("an exit status alone proves nothing: give `event` or `pattern`, or say `silent = true`")
        return self


class Stream(_Model):
    """How the output of a `generic` worker is read: `[workers.NAME.stream]`."""

    format: Literal["jsonl", "text"] = "text"
    text: Path_ | None = None
    """jsonl: where the agent's words are."""
    tool: Path_ | None = None
    """jsonl: where the name of a tool is that it uses."""
    error: Path_ | None = None
    """jsonl: where an error is."""
    usage: UsagePaths = UsagePaths()
    trouble: dict[Trouble, tuple[Pattern, ...]] = {}
    """Lines, of standard error too, that say what went wrong; they go before what Daybreak knows by itself."""
    success: Success

    @model_validator(mode="after")
    def _fits(self) -> Stream:
        if self.format == "text" and (self.text or self.tool or self.error or self.success.event):
            raise ValueError("`text`, `tool`, `error` and `success.event` are places in JSON: set format = 'jsonl'")
        if "" in self.trouble:
            raise ValueError("a trouble has a name")
        return self


def described(worker: Worker) -> Stream:
    """How `worker` is to be read; its command is looked at too. Raises StreamWrong, with every problem."""
    problems = [
        f"command: {{{name}}} is no place, there are {', '.join(PLACES)}"
        for word in worker.command
        for name in _PLACE.findall(word)
        if name not in PLACES
    ]
    if not worker.command:
        problems.append("command: give the words of the command")
    try:
        stream = Stream.model_validate(worker.stream)
    except ValidationError as wrong:
        problems += [f"stream.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in wrong.errors()[:10]]
    if problems:
        raise StreamWrong(
            "; ".join(problems)[:1_000], hint="see the reference of coding agents, part `generic`, for an example"
        )
    return stream


def at(event: Any, path: str | None) -> Any:
    """What lies at `a.b.0.c`; None where nothing does."""
    if path is None:
        return None
    for name in path.split("."):
        if isinstance(event, Mapping):
            event = event.get(name)
        elif isinstance(event, list) and name.isdigit() and int(name) < len(event):
            event = event[int(name)]
        else:
            return None
    return event


class GenericReader(Reader):
    def __init__(self, stream: Stream, clock: Clock) -> None:
        super().__init__(clock)
        self._stream = stream
        self._troubles = [(kind, re.compile(one)) for kind, many in stream.trouble.items() for one in many]
        self._success = re.compile(stream.success.pattern) if stream.success.pattern else None
        self.story.exits = stream.success.exit
        self.story.finished = stream.success.silent
        self.story.began = self.story.silent = stream.success.silent

    def plain(self, text: str) -> Iterator[Told]:
        if self._stream.format == "text":
            self.story.began = True
            yield from self.says(text)
            if self._success is not None and self._success.search(text):
                self.story.problem, self.story.finished = None, True
        self.complains(text)

    def event(self, event: dict[str, Any]) -> Iterator[Told]:
        if self._stream.format == "text":
            yield from self.plain(json.dumps(event))
            return
        self.story.began = True
        if (said := at(event, self._stream.text)) is not None:
            yield from self.says(said)
            if self._success is not None and self._success.search(self.story.said):
                self.story.problem, self.story.finished = None, True
        if (tool := at(event, self._stream.tool)) is not None:
            self.story.problem = None
            yield from self.acts(tool)
        yield from self._used(event)
        if (error := at(event, self._stream.error)) is not None and error is not False:
            text = error if isinstance(error, str) else json.dumps(error, default=str)
            if not self.complains(text):
                self.fail(text)
        wanted = self._stream.success.event
        if wanted is not None and (value := at(event, wanted.path)) is not None and wanted.equals in (None, value):
            self.story.problem, self.story.finished = None, True

    def complains(self, text: str) -> bool:
        """Whether one of the configured patterns says that something went wrong."""
        for kind, pattern in self._troubles:
            if pattern.search(text):
                told = until(text, self.now) if kind == "quota" else ""
                self.story.failed(Problem(kind, shown(text), told))
                return True
        if self._stream.format == "text" and cut_short(text) and judged(text, self.now) is None:
            self.story.cut = True
        return False

    def _used(self, event: dict[str, Any]) -> Iterator[Told]:
        paths = self._stream.usage
        numbers = {
            "input_tokens": count(at(event, paths.input)),
            "cached_tokens": count(at(event, paths.cached)),
            "output_tokens": count(at(event, paths.output)),
            "money_microusd": microusd(at(event, paths.money)),
        }
        if not any(numbers.values()):
            return
        grown = self.meter.total(**numbers) if paths.cumulative else Usage(**numbers)
        if grown is not None:
            yield grown


class Generic:
    name: ClassVar[str] = "a program of one's own"
    program: ClassVar[str] = ""
    install: ClassVar[str] = "see its own documentation"
    apis: ClassVar[tuple[str, ...]] = ()
    keys: ClassVar[tuple[str, ...]] = ()

    def launch(self, job: Job) -> Launch:
        """Raises StreamWrong."""
        described(job.worker)
        prompt = job.room.home / "prompt.md"
        values = {
            "prompt": job.prompt,
            "prompt_file": str(prompt),
            "workspace": str(job.room.workspace),
            "model": job.model,
            "url": job.url(),
            "token": job.token,
        }
        words = [_PLACE.sub(lambda found: values[found[1]], word) for word in job.worker.command]
        words[0] = job.program[0] if job.program else words[0]
        if any(len(word.encode()) > ARGUMENT_BYTES_MAX for word in words):
            raise StreamWrong(
                "the prompt is too long for a word of a command", hint="use {prompt_file} in place of {prompt}"
            )
        uses = any("{prompt" in word for word in job.worker.command)
        return Launch(tuple(words), {}, {prompt: job.prompt}, b"" if uses else job.prompt.encode())

    def reader(self, worker: Worker, clock: Clock) -> Reader:
        return GenericReader(described(worker), clock)


adapter = Generic()
