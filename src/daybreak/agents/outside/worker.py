"""The worker: looks at the plug-in once more, loads it in a child of its own, and turns what it tells into ours."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from daybreak.agents.acp import pointing
from daybreak.agents.acp.agent import clean
from daybreak.agents.outside.examine import examine
from daybreak.agents.outside.plugin import Plugin, locate
from daybreak.agents.protocol import Brief, Claim, ClaimOutcome, Gateway, Note, Terms, Told, Trouble, Usage
from daybreak.errors import DaybreakError, HostError
from daybreak.host.process import Guarded
from daybreak.settings import Worker

CHILD = Path(__file__).with_name("child.py")
GRACE_S = 0.5
LINE_BYTES_MAX = 1_000_000
ERRORS_BYTES_MAX = 65_536
TEXT_CHARS_MAX = 2_000
_OUTCOMES = get_args(ClaimOutcome)
_QUIET = {
    # Nothing of these leaves the sandbox, and their threads would wait for it.
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUTF8": "1",
    "PYTHONUNBUFFERED": "1",
}


class OutsideWorker:
    """`settings.program` names the plug-in (see `plugin`); options: `adapter`, `python`, `path`, `to_input`, `config`,
    `environment`, `files` (see `docs/how-to/orchestrators.md`). Every trouble is a claim."""

    def work(self, brief: Brief, workspace: Path, terms: Terms) -> Iterator[Told]:
        with tempfile.TemporaryDirectory(prefix="outside-", ignore_cleanup_errors=True) as home:
            try:
                worker = Worker.model_validate(terms.settings)
                options = Options.of(worker)
                plugin = options.examined(worker.program)
                known = pointing.values(terms, worker.model, workspace.resolve(), Path(home))
                pointing.write_files(worker.options, known, Path(home))
                given = {**gateway_environment(terms.gateway), **pointing.environment(worker.options, known)}
                child = Child(plugin, options, brief, workspace.resolve(), terms, Path(home), given)
            except DaybreakError as problem:
                summary = f"{problem.message}; {problem.hint}"
                yield Claim(outcome="crashed", summary=summary, trouble="unavailable")
                return
            with contextlib.closing(child):
                yield from child.told()


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a worker of kind `outside`, checked."""

    adapter: str = "auto"
    python: str = ""
    path: tuple[str, ...] = ()
    to_input: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, worker: Worker) -> Options:
        """Raises OptionsWrong."""
        options = worker.options
        known = {"adapter", "python", "path", "to_input", "config", "environment", "files"}
        if unknown := sorted(set(options) - known):
            raise pointing.OptionsWrong(
                f"options.{unknown[0]:.80} is not known", hint=f"known are {', '.join(sorted(known))}"
            )
        path, config = options.get("path", []), options.get("config", {})
        if not isinstance(path, list | tuple) or not all(isinstance(one, str) for one in path):
            raise pointing.OptionsWrong(f"options.path is {path!r:.80}", hint="it is a list of folders")
        if not isinstance(config, Mapping):
            raise pointing.OptionsWrong(f"options.config is {config!r:.80}", hint="it is a table")
        return cls(
            adapter=pointing.text(options, "adapter") or "auto",
            python=pointing.text(options, "python"),
            path=tuple(path),
            to_input=pointing.text(options, "to_input"),
            config=dict(config),
        )

    def examined(self, program: str) -> Plugin:
        """The plug-in, looked at and not loaded. Raises what `locate` and `examine` do, and OptionsWrong."""
        if self.python and not (os.path.isabs(self.python) and os.access(self.python, os.X_OK)):
            raise pointing.OptionsWrong(
                f"options.python: {self.python!r:.200} is no program here", hint="give the whole path of an interpreter"
            )
        plugin = locate(program, python=self.python, path=self.path)
        examine(plugin, self.adapter, to_input=self.to_input)
        return plugin


def gateway_environment(gateway: Gateway | None) -> dict[str, str]:
    """The variables by which the client libraries of the gateway's API find it, and our own names for the same."""
    if gateway is None:
        return {}
    url = gateway.url.rstrip("/")
    theirs = {
        "openai": {"OPENAI_BASE_URL": f"{url}/openai/v1", "OPENAI_API_BASE": f"{url}/openai/v1"},
        "anthropic": {"ANTHROPIC_BASE_URL": f"{url}/anthropic"},
        "gemini": {"GOOGLE_GEMINI_BASE_URL": f"{url}/gemini", "GEMINI_API_KEY": gateway.token},
    }[gateway.api]
    key = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "gemini": "GOOGLE_API_KEY"}[gateway.api]
    ours = {"MODEL_GATEWAY": url, "MODEL_GATEWAY_TOKEN": gateway.token, "MODEL": gateway.model}
    return {**theirs, key: gateway.token, **ours}


class Child:
    """The child below its guard, and what is read from it. `close` ends it and all that it started."""

    def __init__(
        self,
        plugin: Plugin,
        options: Options,
        brief: Brief,
        workspace: Path,
        terms: Terms,
        home: Path,
        given: Mapping[str, str],
    ) -> None:
        """Raises ProgramMissing, ProgramNotStarted."""
        self._ends = time.monotonic() + terms.time_s
        self._terms = terms
        self._heard = time.monotonic()
        self._rest, self._errors = bytearray(), bytearray()
        self._told: list[Told] = []
        self._claim: Claim | None = None
        order = {
            "file": str(plugin.file),
            "module": plugin.module,
            "object": plugin.object,
            "search": [str(folder) for folder in plugin.search],
            "adapter": options.adapter,
            "to_input": options.to_input,
            "config": options.config,
            "brief": msgspec.to_builtins(brief),
            "workspace": str(workspace),
        }
        our_lines, its_lines = os.pipe()
        our_errors, its_errors = os.pipe()
        its_output = os.dup(its_errors)  # the guard closes each of them once
        self._ours = (our_lines, our_errors)
        try:
            self._guarded = Guarded(
                [options.python or sys.executable, str(CHILD)],
                cwd=workspace,
                env={**clean(os.environ, home), **_QUIET, **given},
                timeout_s=terms.time_s + 60,  # for the day that we are stopped; our own clock comes first
                grace_s=GRACE_S,
                stdin=json.dumps(order).encode(),
                fds={1: its_output, 2: its_errors, 3: its_lines},
            )
        except BaseException:
            for fd in self._ours:
                os.close(fd)
            raise
        finally:
            for fd in (its_lines, its_errors, its_output):
                os.close(fd)
        self._guarded.listen(our_lines, self._take_lines)
        self._guarded.listen(our_errors, self._take_errors)

    def told(self) -> Iterator[Told]:
        """Notes and usage as they come; the last is the claim."""
        late: Claim | None = None
        while not self._guarded.over and self._claim is None and late is None:
            left_s = min(self._ends, self._heard + self._terms.silence_s) - time.monotonic()
            if left_s > 0:
                self._guarded.pump(left_s)
                yield from self._new()
            else:
                late = self._too_late()
        self._guarded.end()
        while not self._guarded.over:
            self._guarded.pump()
        yield from self._new()
        yield late or self._claim or self._unexplained()

    def close(self) -> None:
        self._guarded.close()
        for fd in self._ours:
            os.close(fd)

    def _new(self) -> Iterator[Told]:
        told, self._told = self._told, []
        yield from told

    def _too_late(self) -> Claim:
        if time.monotonic() >= self._ends:
            return _claim("budget", f"its time was over after {self._terms.time_s:g} s", outcome="partial")
        return _claim("stalled", f"it said nothing for {self._terms.silence_s:g} s")

    def _unexplained(self) -> Claim:
        last = self._errors.decode(errors="replace").strip().splitlines()[-1:]
        try:
            ending = self._guarded.finish().ending
        except HostError as problem:
            return _claim("unavailable", f"{problem.message}; {problem.hint}")
        return _claim("crashed", ": ".join([f"it ended without a result: {ending}", *last]))

    # -- reading

    def _take_errors(self, part: bytes) -> None:
        """What it prints; only the last is kept. It counts as a sign of life."""
        self._heard = time.monotonic()
        self._errors += part
        del self._errors[:-ERRORS_BYTES_MAX]

    def _take_lines(self, part: bytes) -> None:
        self._heard = time.monotonic()
        *lines, rest = (bytes(self._rest) + part).split(b"\n")
        self._rest = bytearray(rest[: LINE_BYTES_MAX + 1])
        for line in lines:
            if len(line) <= LINE_BYTES_MAX and self._claim is None:
                self._line(line)

    def _line(self, line: bytes) -> None:
        """One line of the child. The plug-in lives in the same process, so nothing about it is taken on trust."""
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            return
        match told:
            case {"note": {"text": str(text), **rest}}:
                self._told.append(_note(text, rest.get("fraction")))
            case {"usage": dict(used)}:
                self._told.extend(_usage(used))
            case {"ready": {"adapter": str(adapter)}}:
                self._told.append(_note(f"loaded, as {adapter}", None))
            case {"result": dict(result)}:
                self._claim = _result(result)
            case {"trouble": {"kind": str(kind), "message": str(message)}}:
                self._claim = _trouble(kind, message)


def _note(text: str, fraction: object) -> Note:
    known = isinstance(fraction, int | float) and not isinstance(fraction, bool) and 0 <= fraction <= 1
    return Note(text=text[:TEXT_CHARS_MAX], fraction=float(cast(float, fraction)) if known else None)


def _usage(used: dict[str, Any]) -> list[Told]:
    try:
        usage = msgspec.convert(used, Usage)
    except msgspec.ValidationError:
        return [Note(text="it told of usage in a form that nobody can read")]
    return [usage] if all(0 <= value < 2**53 for value in msgspec.structs.astuple(usage)) else []


def _result(result: dict[str, Any]) -> Claim:
    outcome, summary, missing = (
        result.get("outcome", "finished"),
        result.get("summary", ""),
        result.get("not_built", []),
    )
    if outcome not in _OUTCOMES:
        return _claim("crashed", f"it claims {outcome!r:.80}, which is none of {', '.join(_OUTCOMES)}")
    if not isinstance(missing, list) or not all(isinstance(one, str) for one in missing):
        return _claim("crashed", f"its not_built is {missing!r:.80}, and not a list of sentences")
    trouble: dict[str, Trouble] = {"refused": "refused", "crashed": "crashed"}
    return Claim(
        outcome=outcome,
        summary=str(summary)[:TEXT_CHARS_MAX],
        not_built=tuple(one[:500] for one in missing[:50]),
        trouble=trouble.get(outcome, ""),
    )


def _trouble(kind: str, message: str) -> Claim:
    if kind == "load":
        return _claim("unavailable", f"it cannot be loaded: {message}")
    if kind == "exit":
        return _claim("crashed", message)
    from daybreak.agents.acp.trouble import of_error

    found = of_error(0, message)
    return _claim(found.kind, f"it raised {message}", until=found.until)


def _claim(why: Trouble, summary: str, *, outcome: ClaimOutcome = "crashed", until: str = "") -> Claim:
    outcome = "refused" if why == "refused" else outcome
    return Claim(outcome=outcome, summary=summary[:TEXT_CHARS_MAX], trouble=why, until=until)
