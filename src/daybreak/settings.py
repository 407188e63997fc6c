"""`daybreak.toml`: who works, through which provider, in what order, and when what fails is left alone. Read by
everybody, written by people.

Where it is looked for: `DAYBREAK_CONFIG`, then `daybreak.toml` in the working directory or a parent, then the user's
folder. Nothing in it is a secret: keys are named (`env:OPENAI_API_KEY`), never written down, and no message of this
module repeats a value that could be one.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from daybreak import config
from daybreak.errors import UsageError

FILE = config.SETTINGS
BYTES_MAX = 1024 * 1024
"""A longer file is no configuration."""
KEY_BYTES_MAX = 64 * 1024
BREAKER_NAME_MAX = 200
PROVIDER_BREAKER = "provider:"
"""With this begin the names of the gateway's breakers."""
PROBLEMS_MAX = 10
"""So many are told at once."""
Api = Literal["openai", "anthropic", "gemini"]
"""Whose requests a server understands: OpenAI's chat completions and responses, Anthropic's messages, Gemini's."""

COMMANDS = ("codex", "claude", "pi", "gemini", "opencode", "qwen", "aider", "mini", "generic")
"""Kinds of workers that are programs with a stream of lines."""
WorkerKind = Literal[
    "builder",
    "python",
    "codex",
    "claude",
    "pi",
    "gemini",
    "opencode",
    "qwen",
    "aider",
    "mini",
    "generic",
    "acp",
    "model",
    "outside",
]
BUILDER = "builder"

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,200}$")]
_Label = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?(=[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?)?$")
]
_Key = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)?$")]


class SettingsWrong(UsageError):
    """The file cannot be used as it is."""

    code = "U120"


class KeyUnresolved(UsageError):
    """A key that the configuration names is not there."""

    code = "U123"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Price(_Settings):
    """US dollars for a million tokens."""

    input: float = Field(ge=0, le=10_000)
    cached: float | None = Field(default=None, ge=0, le=10_000)
    """Input that the provider had already; `input` where it is not given."""
    output: float = Field(ge=0, le=10_000)


class Provider(_Settings):
    """A server of models, as the gateway speaks to it."""

    api: Api
    address: str = Field(pattern=r"^https?://")
    """What stands before `/chat/completions`, `/responses`, `/messages` or `/models/...`."""
    key: _Key = ""
    """`env:NAME` or `file:PATH`; empty where the server wants none."""
    prices: dict[str, Price] = {}
    """By model; `*` for all others. A model without a price costs nothing that is known, and that is shown."""
    headers: dict[str, str] = {}
    """Sent along; no secrets."""


class Worker(_Settings):
    """One that can be asked to work."""

    kind: WorkerKind
    program: str = ""
    """Name or path, where it is not the usual one of its kind; for `python` and `outside` the `module:object`,
    `FILE.py:object` or folder."""
    command: tuple[str, ...] = ()
    """`generic` and `acp`: the words of the command; {prompt}, {prompt_file}, {workspace}, {model}, {url}, {token}."""
    provider: str = ""
    """Name of one of `providers`; through the gateway."""
    model: str = ""
    environment: tuple[_Variable, ...] = ()
    """Variables that are handed to it as they are, by name: what it cannot get through the gateway."""
    readable: tuple[str, ...] = ()
    """Folders that it may read beside its workspace."""
    network: bool = False
    """It may reach the network itself, past the gateway. Its budget is then soft."""
    silence_s: float = Field(default=300, gt=0, le=86_400)
    """Ended when it says nothing for so long."""
    time_s: float | None = Field(default=None, gt=0, le=7 * 86_400)
    money_usd: float | None = Field(default=None, gt=0, le=100_000)
    """The most that one attempt may cost."""
    tokens: int | None = Field(default=None, gt=0)
    """The most that one attempt may use, in and out."""
    requests: int = Field(default=200, gt=0, le=100_000)
    stream: dict[str, Any] = {}
    """`generic`: how its lines are read; see the reference."""
    options: dict[str, Any] = {}
    """For a worker of one's own."""


class Breaker(_Settings):
    """When what is called by that name is left alone; as in `policy.breaker.BreakerRule`, in seconds."""

    failures: int = Field(default=5, ge=1, le=1000)
    """So many failures"""
    within_s: float = Field(default=60, gt=0, le=86_400)
    """within so long open it."""
    open_s: float = Field(default=30, gt=0, le=86_400)
    """For so long the first time,"""
    factor: float = Field(default=2, ge=1, le=100)
    """longer by this factor each further time,"""
    most_s: float = Field(default=3_600, gt=0, le=31 * 86_400)
    """and never longer than this."""
    probes: int = Field(default=1, ge=1, le=100)
    """Calls that may pass at once to see whether it works again."""
    probe_s: float = Field(default=600, gt=0, le=86_400)
    """Such a call that has not ended after so long counts as lost."""


class Memory(_Settings):
    lessons_tokens: int = Field(default=1_500, ge=0, le=100_000)
    """The most that lessons take of a brief."""
    routing: Literal["learned", "order"] = "learned"
    hour_usd: float = Field(default=1.0, ge=0, le=10_000)
    """What an hour of waiting for a worker is worth; with 0, time does not count."""


class Role(_Settings):
    """What a worker is asked to be in a phase of a build. What is not named stays as it is shipped."""

    template: str = Field(default="", pattern=r"^([a-z][a-z0-9_-]{0,40})?$")
    """Of its brief; the role's own name where it is empty."""
    workers: tuple[_Name, ...] = ()
    """Who is asked to fill it, in that order; empty: the build's order."""
    checks: tuple[_Name, ...] = ()
    """Kinds of checks whose findings it mends."""
    writes: tuple[str, ...] = ()
    """Paths that it may change, as patterns where `*` also passes `/`; empty: any."""
    veto: Literal["blocks", "asks"] = "blocks"
    """Of a role that reviews (`reviewer`, and any other that says this): what an objection does that nobody has mended
    in the end. `blocks`: the gate fails. `asks`: a person decides."""


class Phase(_Settings):
    """What is different in one phase of a build."""

    roles: tuple[_Name, ...] | None = None
    checks: tuple[_Name, ...] | None = None
    """Kinds of checks that its gate asks for."""


class Sharing(_Settings):
    """How workers share a build, where neither the command line nor the specification says so."""

    use: Literal["auto", "sequential", "parallel", "chain", "tournament", "consensus"] = "auto"
    """auto: chosen from the plan, for each build."""
    contest: Literal["tournament", "consensus"] = "tournament"
    """What `auto` takes where several workers are to make the same thing."""
    candidates: int = Field(default=3, ge=2, le=16)
    """How many make it."""
    candidates_max: int = Field(default=4, ge=0, le=7)
    """How many a consensus may ask in the end: one more each time that they split so that one more may decide. 0, or no
    more than `candidates`: never one more."""


class Gate(_Settings):
    weights: dict[_Name, Annotated[float, Field(ge=0, le=1_000_000)]] = {}
    """By kind of check; those that are not named keep theirs."""
    gain: float = Field(default=5, ge=0, le=100)
    """Points above the best so far that a rework which does not pass must bring."""
    mutants: int = Field(default=0, ge=0, le=1_000)
    """So many small changes of the program are tried on its own tests; 0: none are."""
    strength: float = Field(default=60, ge=0, le=100)
    """Percent of them that its tests must notice."""


class Forge(_Settings):
    """A server that keeps repositories, issues, and pull or merge requests."""

    kind: Literal["github", "gitlab"]
    address: str = Field(default="", pattern=r"^(https?://.*)?$")
    """Of its API (`https://github.example.org/api/v3`, `https://gitlab.example.org`); empty: the public one."""
    key: _Key = ""
    """`env:NAME` or `file:PATH`; never a token itself."""

    @property
    def api(self) -> str:
        """Where it is spoken to, without a slash at the end."""
        usual = {"github": "https://api.github.com", "gitlab": "https://gitlab.com"}
        return (self.address or usual[self.kind]).rstrip("/")


WitnessKind = Literal["file", "git", "timestamp", "tlog"]


class WitnessPlace(_Settings):
    """A place outside the ledger that remembers its signed heads."""

    kind: WitnessKind
    path: str = ""
    """`file`: a folder; `git`: a repository."""
    owner: str = Field(default="", pattern=r"^[a-z_][a-z0-9_-]{0,31}$|^$")
    """`file`: the user whom the file is given to; only root can give it away."""
    ref: str = Field(default="refs/heads/daybreak-witness", pattern=r"^refs/heads/.+$")
    """`git`: the branch that the heads are committed to; nobody may have it checked out."""
    remote: str = ""
    """`git`: where the branch is pushed to as well, by the name of the remote or its address; empty: nowhere."""
    address: str = Field(default="", pattern=r"^(https?://.*)?$")
    """`tlog`: what stands before `/add-checkpoint`; `timestamp`: the server's address."""
    key: str = Field(default="", max_length=10_000)
    """`tlog`: the witness's public key, `name+id+base64`."""
    certificates: str = ""
    """`timestamp`: a PEM file with the certificates that its answers must lead to."""
    timeout_s: float = Field(default=10, gt=0, le=600)
    """It counts as silent after so long."""
    every_s: float | None = Field(default=None, ge=0, le=86_400)
    """It is not asked more often than that; without it 1 for a file, 5 for tlog, 60 for git, 3600 for timestamps."""


class Witnessing(_Settings):
    """Which witnesses must have seen an event before it is called *witnessed*."""

    required: tuple[_Name, ...] = ()
    """All of these."""
    at_least: int = Field(default=0, ge=0, le=100)
    """And so many of all that are named in `witnesses`."""
    deliveries: Literal["durable", "witnessed"] = "durable"
    """What an event must be before something is done outside that the ledger must not forget."""
    wait_s: float = Field(default=30, gt=0, le=3_600)
    """A delivery waits so long for the witnesses, and fails then."""
    start_s: float = Field(default=5, gt=0, le=600)
    """Work begins after so long, with whoever has answered by then."""
    believe: Literal["word", "proof"] = "word"
    """What stops work when a witness says that the ledger was cut or rewritten. `word`: also the bare word of a
    required one; `proof`: only what this ledger's own key has signed. Whoever is not believed is reported."""
    stop_after_s: float = Field(default=0, ge=0, le=31 * 86_400)
    """Work stops when nothing was *witnessed* for so long although there is something to witness; 0: it never does."""


class Copies(_Settings):
    """Where replicas of the ledger are kept, and what waits for them."""

    targets: tuple[Annotated[str, Field(min_length=1, max_length=2_000)], ...] = ()
    """Folders, best on other disks; or URLs that fsspec knows (`s3://bucket/folder`), with the extra `replicas`."""
    acknowledge: int = Field(default=0, ge=0, le=100)
    """So many of them make an event *replicated*; 0: more than half."""
    deliveries: Literal["durable", "replicated"] = "durable"
    """What everything before a delivery, and before a step that must happen once, has to be."""
    wait_s: float = Field(default=30, gt=0, le=3_600)
    """How long a delivery waits for that before its run gives way to others."""


class Place(_Settings):
    """Where the ledger is."""

    postgres: str = Field(default="", max_length=2_000)
    """The URL of the Postgres that holds it, without a password; empty: a file of this home. The environment variable
    `DAYBREAK_POSTGRES` wins over it."""
    archive: str = Field(default="", max_length=4_000)
    """The folder that `daybreak ledger archive` writes to; empty: `archive` beside the ledger's."""


class Dispatching(_Settings):
    """Where attempts and checks are done."""

    engine: Literal["local", "ray"] = "local"
    address: str = Field(default="", max_length=300, pattern=r"^([^\s/@]+:[0-9]{1,5})?$")
    """HOST:PORT of a Ray cluster; empty: one on this machine, for trying, which ends with the command."""
    token: _Key = ""
    """Where the cluster's token is; empty: what Ray's own variables RAY_AUTH_MODE and RAY_AUTH_TOKEN say."""
    allow_unauthenticated: bool = False
    """Whether to use a cluster on a network without a token."""
    cpus: float = Field(default=1, gt=0, le=10_000)
    """Processors that a job asks for where its task does not say."""
    memory_gib: float = Field(default=0, ge=0, le=1_000_000)
    """Likewise memory; 0: what a sandbox has by itself, and nothing is asked of the cluster."""
    needs: tuple[_Label, ...] = ()
    """Labels that every job asks for."""
    labels: tuple[_Label, ...] = ()
    """What this machine has: looked at where jobs are done here."""
    jobs: int = Field(default=16, ge=1, le=10_000)
    """How many jobs of one run are handed to a cluster side by side."""
    silence_s: float = Field(default=10, ge=3, le=3_600)
    """A node that says nothing for so long has lost its job."""
    listen: str = Field(default="127.0.0.1:0", max_length=300)
    """HOST:PORT where nodes reach the gateway to models."""
    advertise: str = Field(default="", max_length=300)
    """HOST or HOST:PORT by which they know it, where that is another."""


NoticeKind = Literal["report", "question", "budget", "breaker", "incident", "night", "alert"]
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_Quiet = Annotated[str, Field(pattern=rf"^({_CLOCK}-{_CLOCK})?$")]
_Digest = Annotated[str, Field(pattern=rf"^({_CLOCK}|[1-9][0-9]{{0,3}}(min|h))?$")]


class Channel(_Settings):
    """Where messages to people go."""

    url_from: _Key = ""
    """What holds its address as apprise writes it (`tgram://TOKEN/CHAT`, `mailto://...`): `env:NAME`, or `file:PATH`
    that nobody else may read. Addresses hold tokens, so they are named."""
    url: str = Field(default="", max_length=2_000)
    """The address itself, where nothing in it is secret: a web hook's or mail server's on this machine, or `json://HOST`
    alone."""
    kinds: tuple[NoticeKind, ...] = get_args(NoticeKind)
    """What is told there."""
    least: int = Field(default=2, ge=1, le=3)
    """Nothing less severe: 1 for the record, 2 worth a look, 3 at once."""
    quiet: _Quiet = ""
    """`22:00-07:00`: what comes then waits until the end."""
    through: int = Field(default=3, ge=2, le=4)
    """So severe breaks through quiet hours and digests; 4: nothing does."""
    digest: _Digest = ""
    """`07:00`, or a span (`30min`, `4h`): what comes waits for that time of day, or for so long, and goes together."""


class Notify(_Settings):
    """Who is told what happens, beside the ledger and the screen."""

    channels: dict[_Name, Channel] = {}
    zone: str = Field(default="", max_length=100)
    """The clock of quiet hours and digests, such as `Europe/Berlin`; empty: this machine's."""
    pages: str = Field(default="", max_length=500, pattern=r"^(https?://[!-~]+)?$")
    """Address of the dashboard as those who are told reach it, for links in messages; empty: none."""


class Web(_Settings):
    """The dashboard and the API: `daybreak serve`."""

    host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Where it listens. Elsewhere than on loopback only with TLS, or where --insecure says so."""
    port: int = Field(default=8420, ge=0, le=65_535)
    """0: any that is free."""
    hosts: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.\-\[\]:]{1,253}$")], ...] = ()
    """Names, without ports, that browsers may call this server by, beside those of loopback and `host`."""
    requests_per_s: float = Field(default=50, gt=0, le=100_000)
    """So many requests of one asker, each second;"""
    burst: float = Field(default=200, ge=1, le=1_000_000)
    """and so many at once."""
    body_bytes_max: int = Field(default=2_000_000, ge=1_000, le=100_000_000)
    """The longest request."""
    session_hours: float = Field(default=12, gt=0, le=24 * 31)
    """A browser is signed in for so long, and never longer than its token lives."""


AlertMetric = Literal[
    "success_share",
    "runs_ended",
    "runs_verified",
    "runs_failed",
    "runs_parked",
    "run_p50_s",
    "run_p95_s",
    "attempts",
    "attempt_solved_share",
    "attempt_p50_s",
    "attempt_p95_s",
    "money_usd",
    "money_per_verified_usd",
    "tokens",
    "requests",
    "request_trouble_share",
    "gates_failed",
    "step_failures",
    "step_retries",
    "deliveries",
    "rejections",
    "refusals",
    "incidents",
    "breaker_openings",
    "nights_failed",
    "view_drifts",
    "lapses",
    "queued",
    "questions",
    "question_age_h",
    "open_breakers",
    "open_incidents",
    "hours_since_night",
    "ledger_events",
    "ledger_mb",
]
MOMENTARY: frozenset[AlertMetric] = frozenset(
    {
        *("queued", "questions", "question_age_h", "open_breakers", "open_incidents", "hours_since_night"),
        *("ledger_events", "ledger_mb"),
    }
)
"""Metrics of one moment; all others are counted over a span."""
_Span = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(s|min|h|d)$")]
_SpanOrNone = Annotated[str, Field(pattern=r"^([1-9][0-9]{0,5}(s|min|h|d))?$")]
_SPANS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
OVER_MAX_S, AGAINST_MAX_S, FOR_MAX_S = 31 * 86_400, 92 * 86_400, 7 * 86_400


def span_s(text: str) -> int:
    """Seconds of a span such as `10min`; 0 for an empty text."""
    number = text.rstrip("smindh")
    return int(number) * _SPANS[text[len(number) :]] if text else 0


class Alert(_Settings):
    """A rule over a metric: fired once when it holds, cleared once when that is over."""

    metric: AlertMetric
    above: float | None = None
    """It holds while the metric is above this,"""
    below: float | None = None
    """or below this,"""
    rises: float | None = Field(default=None, gt=0, le=1_000_000)
    """or so many percent above the mean of the time before,"""
    falls: float | None = Field(default=None, gt=0, le=100)
    """or so many percent below it. One of the four."""
    over: _Span = "24h"
    """What the metric is counted over, in whole hours."""
    against: _Span = "7d"
    """With `rises` and `falls`: the time before that, which it is compared with."""
    at_least: int = Field(default=1, ge=1, le=1_000_000_000)
    """Of shares, times and trends: fewer cases say nothing."""
    for_: _SpanOrNone = Field(default="", alias="for")
    """It must hold for so long before it fires, and be over for so long before that is cleared."""
    clears_at: float | None = None
    """Where it is over; a tenth before the threshold where nothing is said."""
    severity: Literal["info", "warning", "critical"] = "warning"


class Measuring(_Settings):
    """What is shown of the metrics."""

    days: int = Field(default=7, ge=1, le=3_660)
    """So many days, where nobody says how many."""


ProjectLanguage = Literal["python", "javascript", "go", "rust", "java", "generic"]
CheckKind = Literal[
    "tests", "coverage", "types", "lint", "format", "security", "syntax", "complexity", "documentation", "build"
]


_Command = Annotated[str, Field(min_length=1, max_length=10_000)]


class Traces(_Settings):
    """Where spans and log lines of work go, for whoever watches many services in one place. Off without an endpoint."""

    endpoint: str = Field(default="", max_length=2_000, pattern=r"^(https?://[^\s@?#]+)?$")
    """Address of an OTLP collector over HTTP, such as `http://127.0.0.1:4318`; no password in it."""
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")], _Key] = {}
    """Headers that the collector asks for → where each value is: `env:NAME` or `file:PATH`."""
    sample: float = Field(default=1.0, ge=0, le=1)
    """The share of nights, and of runs outside of nights, that is sent; each is sent whole or not at all."""


class Validate(_Settings):
    """What `daybreak validate` asks of a project. Its commands run in the sandbox, on a copy, without a network, so a
    file that nobody trusts may name them."""

    languages: tuple[ProjectLanguage, ...] = ()
    """Only these; empty: those that are found."""
    commands: dict[str, _Command | dict[CheckKind, _Command]] = {}
    """Shell text in place of the usual check of that kind: by kind, for the language with most files (in a `generic`
    project all that there is); or by language and kind, which goes before."""
    fixers: tuple[Annotated[str, Field(min_length=1, max_length=10_000)], ...] = ()
    """Shell text that mends what it can, beside the usual fixers."""
    threshold: float = Field(default=85, ge=0, le=100)
    """What the whole score must reach; `--fix` rises to it over 60 and 75."""
    thresholds: dict[CheckKind, Annotated[float, Field(ge=0, le=100)]] = {}
    """What the score of one kind of check must reach."""
    weights: dict[CheckKind, Annotated[float, Field(ge=0, le=1_000)]] = {}
    """What a kind counts in the whole score; 0 leaves it out."""
    not_required: tuple[str, ...] = ()
    """Checks, or kinds of them, that the gate does without where they cannot look: `security`, `types:python`."""
    skip: tuple[str, ...] = ()
    """Checks, or kinds of them, that are not run at all."""
    exclude: tuple[str, ...] = ()
    """Paths that are no code of the project's, as patterns: `tests/data/**`."""
    protect: tuple[str, ...] = ()
    """Files that a worker must leave as they are, beside tests and configuration."""
    allow: tuple[str, ...] = ()
    """Files that it may change although they are protected."""
    check_s: float = Field(default=600, gt=0, le=86_400)
    """Time limit of one run of a check."""
    complexity_max: int = Field(default=10, ge=1, le=1_000)
    """Ways through a function; above that it counts as too complex."""

    @field_validator("commands", mode="before")
    @classmethod
    def _by_kind_or_language(cls, told: Any) -> Any:
        for name, value in told.items() if isinstance(told, Mapping) else ():
            if problem := _wrong_command(str(name), value):
                raise ValueError(problem)
        return told

    def commands_for(self, language: ProjectLanguage, *, first: bool) -> dict[CheckKind, str]:
        """Those for a language of a project; `first`: it is the one with most files."""
        own = self.commands.get(language, {})
        found = {kind: told for kind, told in self.commands.items() if first and isinstance(told, str)}
        return cast(dict[CheckKind, str], {**found, **(own if isinstance(own, dict) else {})})


class Settings(_Settings):
    """All of it. Without a file: the embedded builder alone."""

    order: tuple[_Name, ...] = (BUILDER,)
    """The cascade: who is asked first, and who after that."""
    workers: dict[_Name, Worker] = {}
    providers: dict[_Name, Provider] = {}
    breakers: dict[str, Breaker] = {}
    """By the name that steps call theirs, or `provider:NAME`; those without an entry follow the defaults."""
    memory: Memory = Memory()
    roles: dict[_Name, Role] = {}
    phases: dict[_Name, Phase] = {}
    gate: Gate = Gate()
    paradigm: Sharing = Sharing()
    forges: dict[_Name, Forge] = {}
    validation: Validate = Field(default=Validate(), alias="validate")
    witnesses: dict[_Name, WitnessPlace] = {}
    witness: Witnessing = Witnessing()
    replicas: Copies = Copies()
    ledger: Place = Place()
    dispatch: Dispatching = Dispatching()
    traces: Traces = Traces()
    web: Web = Web()
    notify: Notify = Notify()
    metrics: Measuring = Measuring()
    alerts: dict[_Name, Alert] = {}
    templates: str = ""
    """Folder with templates of briefs that go before ours."""
    path: str = ""
    """The file it came from; empty where there was none. Not to be set."""

    def worker(self, name: str) -> Worker:
        """Raises SettingsWrong. `builder` is always there; `module:object` and `FILE.py:object` need no entry."""
        if name in self.workers:
            return self.workers[name]
        if name == BUILDER:
            return Worker(kind="builder")
        if ":" in name:
            return Worker(kind="python", program=name)
        known = ", ".join(sorted({BUILDER, *self.workers}))
        raise SettingsWrong(
            f"there is no worker called {name!r:.80}",
            hint=f"known are {known}{nearest(name, {BUILDER, *self.workers})}; others are `[workers.NAME]` in "
            f"{self.path or FILE}, or module:object",
        )

    def provider(self, name: str) -> Provider:
        """Raises SettingsWrong."""
        if name in self.providers:
            return self.providers[name]
        known = ", ".join(sorted(self.providers)) or "none"
        raise SettingsWrong(
            f"there is no provider called {name!r:.80}",
            hint=f"known: {known}{nearest(name, self.providers)}; others are `[providers.NAME]` in {self.path or FILE}",
        )

    def forge(self, name: str) -> Forge:
        """Raises SettingsWrong."""
        if name in self.forges:
            return self.forges[name]
        known = ", ".join(sorted(self.forges)) or "none"
        raise SettingsWrong(
            f"there is no forge called {name!r:.80}",
            hint=f"known: {known}{nearest(name, self.forges)}; others are `[forges.NAME]` in {self.path or FILE}, with "
            'kind = "github" or "gitlab", and key = "env:GITHUB_TOKEN"',
        )


def find(environment: Mapping[str, str], working_directory: Path, user_folder: Path) -> Path | None:
    """The file that applies; None where there is none.

    One that was found, not named, counts only where it belongs to this user or to root and nobody else may write it:
    it names programs that will be started. Raises SettingsWrong for another.
    """
    path = config.find_settings(environment, working_directory, user_folder)
    if path is not None and not environment.get("DAYBREAK_CONFIG"):
        _refuse_foreign(path)
    return path


def postgres(environment: Mapping[str, str], settings: Settings | None) -> str | None:
    """The address of the Postgres that holds the ledger: as the environment says, else the settings; None: a file."""
    return environment.get(config.POSTGRES) or (settings.ledger.postgres if settings is not None else "") or None


def read(path: Path | None) -> Settings:
    """Settings from that file, from none the embedded builder alone. Raises SettingsWrong, with every problem in one
    message."""
    if path is None:
        return Settings()
    hint = "mend the file, or move it away; `daybreak init` writes one that is right"
    try:
        told = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as problem:
        raise SettingsWrong(f"{path} is not TOML: {problem}", hint=hint) from problem
    except RecursionError as problem:
        raise SettingsWrong(f"{path} is nested too deeply", hint=hint) from problem
    return checked(told, path)


def checked(told: Mapping[str, Any], path: Path) -> Settings:
    """Settings from the content of a file. Paths in it that are relative count from the file's folder.
    Raises SettingsWrong."""
    problems = list(_unset(told))
    settings = None
    try:
        settings = Settings.model_validate({**_tuples(told), "path": str(path)}, strict=True)
    except ValidationError as problem:
        problems += [_worded(one) for one in problem.errors(include_url=False, include_input=False)]
    if settings is not None:
        problems += _contradictions(settings, path.absolute().parent)
    if problems or settings is None:
        more = f"; and {len(problems) - PROBLEMS_MAX} more" if len(problems) > PROBLEMS_MAX else ""
        raise SettingsWrong(
            f"{path}: " + "; ".join(problems[:PROBLEMS_MAX]) + more,
            hint="mend what is named; every key is in docs/reference/daybreak-toml.md",
        )
    return _rooted(settings, path.absolute().parent)


def resolve_key(text: str, environment: Mapping[str, str]) -> str:
    """The key that `env:NAME` or `file:PATH` names; `` for ``. Never shown, by nothing: not in messages, not in the
    ledger, not in a worker's environment. Raises KeyUnresolved."""
    kind, _, name = text.partition(":")
    if not text:
        return ""
    if kind == "env" and name:
        found, where = environment.get(name, ""), f"the variable {name:.80}"
        hint = f"set {name:.80} where daybreak is started, or name another key in {FILE}"
    elif kind == "file" and name:
        path = config.at_home(name)
        found, where = _key_file(path), f"the file {path}"
        hint = "put the key into the file, alone in its first line"
    else:
        raise KeyUnresolved("a key is named in a way that is not known", hint="write env:NAME or file:PATH")
    key = found.strip()
    if not key:
        raise KeyUnresolved(f"{where} holds no key", hint=hint)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KeyUnresolved(f"what {where} holds is no key: it has spaces, lines or odd characters", hint=hint)
    return key


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for a word that is not known; `` where nothing is near."""
    found = difflib.get_close_matches(word[:200], list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


# -- reading


def _refuse_foreign(path: Path) -> None:
    try:
        seen = path.stat()
    except OSError:
        return  # `read` says why
    hint = f"look into it; if it is meant, name it: DAYBREAK_CONFIG={path}"
    if seen.st_uid not in (os.geteuid(), 0):
        raise SettingsWrong(f"{path} belongs to another user (number {seen.st_uid})", hint=hint)
    if seen.st_mode & stat.S_IWOTH:
        raise SettingsWrong(f"{path} can be changed by everybody", hint=f"chmod o-w {path}")


def _text(path: Path) -> str:
    hint = "mend the file, or move it away"
    try:
        found = _some_bytes(path, BYTES_MAX)
    except OSError as problem:
        raise SettingsWrong(f"{path} cannot be read: {problem.strerror or problem}", hint=hint) from problem
    except ValueError as problem:
        raise SettingsWrong(f"{str(path)!r:.80} is no path: {problem}", hint="name another file") from problem
    if found is None:
        raise SettingsWrong(f"{path} is no file", hint=hint)
    if len(found) > BYTES_MAX:
        raise SettingsWrong(f"{path} is longer than {BYTES_MAX} bytes", hint="that is no configuration; " + hint)
    try:
        return found.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = found.count(b"\n", 0, problem.start) + 1
        raise SettingsWrong(f"{path}, line {line}: not UTF-8", hint="save it as UTF-8") from problem


def _some_bytes(path: Path, most: int) -> bytes | None:
    """At most one byte more than that; None where it is no regular file: a pipe could keep us for ever."""
    if str(path) == os.devnull:
        return b""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _key_file(path: Path) -> str:
    hint = "make the file, readable for you alone, with the key in its first line"
    try:
        found = _some_bytes(path, KEY_BYTES_MAX)
        text = None if found is None or len(found) > KEY_BYTES_MAX else found.decode("utf-8-sig")
    except (OSError, ValueError) as problem:  # the content is in no message: UnicodeDecodeError would show some
        why = problem.strerror if isinstance(problem, OSError) else "it is no text"
        raise KeyUnresolved(f"the file {path} cannot be read: {why}", hint=hint) from None
    if text is None:
        raise KeyUnresolved(f"{path} is no file, or longer than {KEY_BYTES_MAX} bytes", hint=hint)
    return text.strip().partition("\n")[0]


# -- checking


def _tuples(told: Any, *, free: bool = False) -> Any:
    """The same with tuples for lists, as a strict reading wants them; what is the worker's own stays as it is."""
    if isinstance(told, Mapping):
        return {key: _tuples(value, free=free or key in ("stream", "options")) for key, value in told.items()}
    if isinstance(told, list) and not free:
        return tuple(_tuples(value) for value in told)
    return told


def _unset(told: Mapping[str, Any]) -> Iterator[str]:
    if "path" in told:
        yield "path: is not to be set"


_SAID: dict[str, str] = {
    "key": "is `env:NAME` or `file:PATH`; a key itself is never written down here",
    "address": "begins with http:// or https://",
    "environment": "holds names of variables, such as AWS_PROFILE, and no values",
    **dict.fromkeys(("over", "against", "for"), "is a span of time: 30s, 10min, 24h, 7d"),
    "pages": "is an address such as https://host:8420",
    "url_from": "is `env:NAME` or `file:PATH`; the address itself is never written down here",
    "quiet": "is two times of day, such as 22:00-07:00",
    "digest": "is a time of day (07:00) or a span (30min, 4h)",
    "name": "small letters, digits, - and _, beginning with a letter, at most 41",
}


def _worded(error: Any) -> str:
    """One of pydantic's findings in our words, without the value that it is about."""
    loc = [str(part) for part in error["loc"]]
    place, message = ".".join(part for part in loc if part != "[key]")[:160], str(error["msg"])
    if error["type"] == "extra_forbidden":
        return f"{place}: is not known{nearest(loc[-1], _fields(loc[:-1]))}"
    if error["type"] == "string_pattern_mismatch":
        field = next((part for part in reversed(loc) if not part.isdigit()), "")
        return f"{place}: {_SAID.get(field, _SAID['name'])}"
    if error["type"] == "literal_error":
        return f"{place}: is one of {error['ctx']['expected']}"
    if error["type"] == "value_error":
        return f"{place}: {message.removeprefix('Value error, ')}"
    if error["type"] == "missing":
        return f"{place}: is missing"
    return f"{place}: {message[:1].lower()}{message[1:]}"


def _fields(loc: list[str]) -> Iterable[str]:
    """Names of the keys that may stand at that place."""
    match loc:
        case []:
            return [field.alias or name for name, field in Settings.model_fields.items() if name != "path"]
        case ["workers", _]:
            return Worker.model_fields
        case ["providers", _]:
            return Provider.model_fields
        case ["providers", _, "prices", _]:
            return Price.model_fields
        case ["breakers", _]:
            return Breaker.model_fields
        case ["memory"]:
            return Memory.model_fields
        case ["validate"]:
            return Validate.model_fields
        case ["roles", _]:
            return Role.model_fields
        case ["phases", _]:
            return Phase.model_fields
        case ["gate"]:
            return Gate.model_fields
        case ["paradigm"]:
            return Sharing.model_fields
        case ["forges", _]:
            return Forge.model_fields
        case ["witnesses", _]:
            return WitnessPlace.model_fields
        case ["witness"]:
            return Witnessing.model_fields
        case ["replicas"]:
            return Copies.model_fields
        case ["ledger"]:
            return Place.model_fields
        case ["metrics"]:
            return Measuring.model_fields
        case ["alerts", _]:
            return [field.alias or name for name, field in Alert.model_fields.items()]
        case ["web"]:
            return Web.model_fields
        case ["notify"]:
            return Notify.model_fields
        case ["notify", "channels", _]:
            return Channel.model_fields
    return ()


def _contradictions(settings: Settings, folder: Path) -> Iterator[str]:
    """What each entry says well by itself, and what does not go together. `folder`: that paths count from."""
    if not settings.order:
        yield "order: names nobody"
    if "\0" in settings.templates:
        yield "templates: holds a zero character"
    for name in dict.fromkeys(name for name in settings.order if settings.order.count(name) > 1):
        yield f"order: names {name} more than once"
    known = {BUILDER, *settings.workers}
    for name in settings.order:
        if name not in known:
            yield f"order: there is no worker {name}{nearest(name, known)}"
    for name, role in settings.roles.items():
        for filler in role.workers:
            if filler not in known:
                yield f"roles.{name}.workers: there is no worker {filler}{nearest(filler, known)}"
    yield from (f"validate.{one}" for one in _wrong_validation(settings.validation))
    for name, worker in settings.workers.items():
        yield from (f"workers.{name}.{one}" for one in _wrong_worker(name, worker, settings))
    for name, provider in settings.providers.items():
        yield from (f"providers.{name}.{one}" for one in _wrong_provider(provider))
    for name, forge in settings.forges.items():
        yield from (f"forges.{name}.{one}" for one in _wrong_forge(forge))
    for name, place in settings.witnesses.items():
        yield from (f"witnesses.{name}.{one}" for one in _wrong_witness(place))
    for name in settings.witness.required:
        if name not in settings.witnesses:
            yield f"witness.required: there is no witness {name}{nearest(name, settings.witnesses)}"
    if settings.witness.at_least > len(settings.witnesses):
        yield f"witness.at_least: {settings.witness.at_least} of {len(settings.witnesses)} witnesses cannot be"
    yield from (f"ledger.{one}" for one in _wrong_place(settings.ledger))
    yield from (f"replicas.{one}" for one in _wrong_copies(settings.replicas, folder))
    yield from (f"notify.{one}" for one in _wrong_notify(settings.notify))
    for name, alert in settings.alerts.items():
        yield from (f"alerts.{name}.{one}" for one in _wrong_alert(alert))
    for name, breaker in settings.breakers.items():
        yield from (f"breakers.{name!r:.80}: {one}" for one in _wrong_breaker(name, breaker, settings))


def _wrong_worker(name: str, worker: Worker, settings: Settings) -> Iterator[str]:
    if name == BUILDER and worker.kind != BUILDER:
        yield f"kind: {BUILDER} is the embedded one; give yours another name"
    if worker.provider and worker.provider not in settings.providers:
        near = nearest(worker.provider, settings.providers)
        yield f"provider: there is no provider {worker.provider:.80}{near}"
    if worker.kind == "generic" and not worker.command:
        yield "command: is missing; it is the words of the command"
    if worker.kind == "acp" and not (worker.command or worker.program):
        yield "command: is missing; it is the words of the command"
    if worker.command and not worker.command[0].strip():
        yield "command: begins with an empty word"
    if worker.kind == "python" and ":" not in worker.program:
        yield "program: is module:object or FILE.py:object"
    if worker.kind == "model":
        yield from (f"{field}: is missing" for field in ("provider", "model") if not getattr(worker, field))
    for field in ("program", "model", "provider"):
        if not getattr(worker, field).isprintable():
            yield f"{field}: holds characters that cannot be seen"
    if any("\0" in word for word in (*worker.command, *worker.readable)):
        yield "command or readable: holds a zero character"


def _wrong_validation(told: Validate) -> Iterator[str]:
    for field in ("not_required", "skip"):
        for name in getattr(told, field):
            kind, _, part = name.partition(":")
            if kind not in get_args(CheckKind) or (part and part not in get_args(ProjectLanguage)):
                yield f"{field}: there is no check {name!r:.60}{nearest(kind, get_args(CheckKind))}"
    for field in ("exclude", "protect", "allow"):
        if any(not one or one.startswith("/") or "\0" in one for one in getattr(told, field)):
            yield f"{field}: a pattern is empty or begins with /; they are relative to the project"
    own = (text for one in told.commands.values() for text in ([one] if isinstance(one, str) else one.values()))
    if any("\0" in text for text in (*own, *told.fixers)):
        yield "commands or fixers: hold a zero character"


def _wrong_command(name: str, value: Any) -> str:
    """What is wrong with an entry of `validate.commands`; empty where nothing is."""
    kinds, known = get_args(CheckKind), get_args(ProjectLanguage)
    if name in kinds:
        return "" if isinstance(value, str) else f"{name} is a kind of check, and holds the text of a command"
    if name not in known:
        what = "language" if isinstance(value, Mapping) else "kind of check"
        those = known if isinstance(value, Mapping) else kinds
        return f"there is no {what} {name!r:.60}{nearest(name, those)}; there are {', '.join(those)}"
    if not isinstance(value, Mapping):
        return f"{name} is a language: write [validate.commands.{name}], with a command for each kind of check"
    for kind, text in value.items():
        if kind not in kinds:
            return f"{name}: there is no kind of check {str(kind)!r:.60}{nearest(str(kind), kinds)}"
        if not isinstance(text, str):
            return f"{name}.{kind} holds the text of a command"
    return ""


def _wrong_forge(forge: Forge) -> Iterator[str]:
    if not forge.key:
        yield "key: is missing; it names a token, `env:GITHUB_TOKEN` or `file:PATH`"
    try:
        parts = urlsplit(forge.api)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, usable = None, False
    if parts is None or not usable or not forge.address.isprintable() or " " in forge.address:
        yield "address: is no address of a server"
    elif parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        yield "address: has a user, a query or a fragment; a token is named by `key`"
    elif parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        yield "address: is http, which shows the token to everybody on the way; use https"


_WITNESS_NEEDS: dict[str, tuple[str, ...]] = {
    "file": ("path",),
    "git": ("path",),
    "timestamp": ("address", "certificates"),
    "tlog": ("address", "key"),
}
_WITNESS_TAKES = {"file": {"owner"}, "git": {"ref", "remote"}}


def _wrong_witness(place: WitnessPlace) -> Iterator[str]:
    for field in _WITNESS_NEEDS[place.kind]:
        if not getattr(place, field):
            yield f"{field}: is missing; a witness of the kind {place.kind} has one"
    takes = {*_WITNESS_NEEDS[place.kind], *_WITNESS_TAKES.get(place.kind, ()), "kind", "timeout_s", "every_s"}
    for field in sorted(place.model_fields_set - takes):
        yield f"{field}: a witness of the kind {place.kind} has none"
    for field in ("path", "ref", "remote", "certificates"):
        if not getattr(place, field).isprintable() or getattr(place, field).startswith("-"):
            yield f"{field}: begins with - or holds characters that cannot be seen"
    if not place.address:
        return
    try:
        parts = urlsplit(place.address)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, usable = None, False
    if parts is None or not usable or not place.address.isprintable() or " " in place.address:
        yield "address: is no address of a server"
    elif parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        yield "address: has a user, a query or a fragment"


def _wrong_place(place: Place) -> Iterator[str]:
    if not place.postgres:
        return
    text = place.postgres
    try:
        parts = urlsplit(text)
        names = {name for name, _ in parse_qsl(parts.query)}
    except ValueError:
        yield "postgres: is no address of a Postgres"
        return
    if not text.startswith(("postgresql://", "postgres://")) or not text.isprintable() or " " in text:
        yield "postgres: is written postgresql://user@host/database"
    elif ":" in parts.netloc.rpartition("@")[0] or names & {"password", "sslpassword", "oauth_client_secret"}:
        yield (
            "postgres: holds a password; libpq finds it in the file that PGPASSFILE names (~/.pgpass), or write the "
            f"address into the environment variable {config.POSTGRES}"
        )


def _wrong_copies(copies: Copies, folder: Path) -> Iterator[str]:
    if copies.acknowledge > len(copies.targets):
        yield f"acknowledge: {copies.acknowledge} of {len(copies.targets)} targets cannot be"
    if copies.deliveries == "replicated" and not copies.targets:
        yield "deliveries: nothing can be replicated without targets"
    first: dict[str, str] = {}
    for target in copies.targets:
        place = _place_of(target, folder)
        if place in first:
            yield f"targets: {first[place]:.200} is named more than once (as {target:.200}), and counts once"
        first.setdefault(place, target)
    for target in copies.targets:
        _, mark, rest = target.partition("://")
        if not target.isprintable():
            yield "targets: one holds characters that cannot be seen"
        elif mark and ":" in rest.partition("/")[0].rpartition("@")[0]:
            yield "targets: one holds a password; fsspec finds those in its own configuration or the environment"


_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_HOOKS = ("json", "jsons", "xml", "xmls", "form", "forms")
"""Schemes of apprise for a web hook of one's own."""
_MAIL_WORDS = frozenset({"from", "to", "cc", "bcc", "name"})


def _wrong_notify(notify: Notify) -> Iterator[str]:
    if notify.zone:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(notify.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield "zone: there is no such time zone; write Europe/Berlin or UTC"
    if notify.pages:
        try:
            parts = urlsplit(notify.pages)
            usable = bool(parts.hostname) and parts.username is None and not parts.query and not parts.fragment
        except ValueError:
            usable = False
        if not usable:
            yield "pages: is an address such as https://host:8420, without a user, a query or a fragment"
    for name, channel in notify.channels.items():
        yield from (f"channels.{name}.{one}" for one in _wrong_channel(channel))


def _wrong_channel(channel: Channel) -> Iterator[str]:
    if bool(channel.url) == bool(channel.url_from):
        yield "url_from: is missing; it names what holds the address, `env:NAME` or `file:PATH`"
    if not channel.kinds:
        yield "kinds: names nothing"
    begin, _, end = channel.quiet.partition("-")
    if channel.quiet and begin == end:
        yield "quiet: begins and ends at the same time"
    if channel.url and not _open_address(channel.url):
        yield (
            "url: may hold a secret, and is not to be written down here; name what holds it: "
            'url_from = "env:NAME" or "file:PATH"'
        )


def _open_address(url: str) -> bool:
    """Can nothing in this address be secret?"""
    try:
        parts = urlsplit(url)
        words, port = {name for name, _ in parse_qsl(parts.query)}, parts.port
    except ValueError:
        return False
    usable = bool(parts.hostname) and port != 0 and url.isascii() and url.isprintable() and " " not in url
    if not usable or parts.username is not None or parts.password is not None or parts.fragment:
        return False
    if parts.hostname in _LOOPBACK:
        return words <= _MAIL_WORDS if parts.scheme == "mailto" else parts.scheme in (*_HOOKS, "ntfy") and not words
    return parts.scheme in _HOOKS and parts.path in ("", "/") and not words


def _place_of(target: str, folder: Path) -> str:
    """The same for two names of one target, as far as names tell: links are looked at when it is opened."""
    scheme, mark, rest = target.partition("://")
    if mark and scheme not in ("file", "local"):
        return target.rstrip("/")
    return os.path.normpath(rest if mark else folder / config.at_home(target))


def _wrong_provider(provider: Provider) -> Iterator[str]:
    try:
        parts = urlsplit(provider.address)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, usable = None, False
    if parts is None or not usable or not provider.address.isprintable() or " " in provider.address:
        yield "address: is no address of a server"
    elif parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        yield "address: has a user, a query or a fragment; a key is named by `key`"
    if not provider.key.isprintable():
        yield "key: holds characters that cannot be seen"
    for header, value in provider.headers.items():
        if not _HEADER.fullmatch(header) or not value.isascii() or not value.isprintable():
            yield "headers: one has a name or a value that no header can have"
        elif header.lower() in _KEY_HEADERS:
            yield f"headers: {header} is set from `key`"


def _wrong_alert(alert: Alert) -> Iterator[str]:
    told = [name for name in ("above", "below", "rises", "falls") if getattr(alert, name) is not None]
    trend = bool({"rises", "falls"} & set(told))
    if len(told) != 1:
        yield f"above, below, rises, falls: one of the four is needed, and only one; here: {', '.join(told) or 'none'}"
    for name in ("above", "below", "clears_at"):
        if (value := getattr(alert, name)) is not None and not -1e15 < value < 1e15:
            yield f"{name}: is no number that a metric can reach"
    if alert.metric in MOMENTARY:
        if trend:
            yield f"metric: {alert.metric} is of one moment, and has no trend"
        for name in ("over", "at_least"):
            if name in alert.model_fields_set:
                yield f"{name}: {alert.metric} is of one moment, and takes none; `for` says how long it must last"
    if "against" in alert.model_fields_set and not trend:
        yield "against: goes with rises or falls"
    over_s, against_s = span_s(alert.over), span_s(alert.against)
    if over_s % 3_600 or not 3_600 <= over_s <= OVER_MAX_S:
        yield "over: is whole hours, 1h to 31d"
    elif trend and (against_s % over_s or not over_s <= against_s <= AGAINST_MAX_S):
        yield f"against: is a multiple of over ({alert.over}), at most 92d"
    if span_s(alert.for_) > FOR_MAX_S:
        yield "for: is at most 7d"
    yield from _wrong_clearing(alert)


def _wrong_clearing(alert: Alert) -> Iterator[str]:
    """A rule that is over where it holds would fire and clear each time that somebody looks."""
    back = alert.clears_at
    if back is None:
        return
    most = alert.above if alert.above is not None else alert.rises
    least = alert.below if alert.below is not None else None if alert.falls is None else -alert.falls
    if most is not None and back > most:
        yield f"clears_at: {back:g} is above the threshold {most:g}"
    if least is not None and back < least:
        yield f"clears_at: {back:g} is below the threshold {least:g}"


def _wrong_breaker(name: str, breaker: Breaker, settings: Settings) -> Iterator[str]:
    if not (0 < len(name) <= BREAKER_NAME_MAX and name.isprintable() and name.strip()):
        yield f"a name has 1 to {BREAKER_NAME_MAX} printable characters"
    provider = name.removeprefix(PROVIDER_BREAKER)
    if provider != name and provider not in settings.providers:
        yield f"there is no provider {provider!r:.80}{nearest(provider, settings.providers)}"
    if breaker.open_s > breaker.most_s:
        yield f"open_s ({breaker.open_s:g}) is longer than most_s ({breaker.most_s:g})"


_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_KEY_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key"})


def _rooted(settings: Settings, folder: Path) -> Settings:
    """With absolute paths, counted from `folder`."""

    def absolute(text: str) -> str:
        return str(folder / config.at_home(text))

    workers = {}
    for name, worker in settings.workers.items():
        changed: dict[str, Any] = {"readable": tuple(map(absolute, worker.readable))}
        if "/" in worker.program:
            changed["program"] = absolute(worker.program)
        workers[name] = worker.model_copy(update=changed)
    providers = {}
    for name, provider in settings.providers.items():
        kind, _, place = provider.key.partition(":")
        key = f"file:{absolute(place)}" if kind == "file" else provider.key
        providers[name] = provider.model_copy(update={"key": key})
    forges = {}
    for name, forge in settings.forges.items():
        kind, _, place = forge.key.partition(":")
        forges[name] = forge.model_copy(update={"key": f"file:{absolute(place)}"}) if kind == "file" else forge
    witnesses = {}
    for name, witness in settings.witnesses.items():
        paths = {one: absolute(getattr(witness, one)) for one in ("path", "certificates") if getattr(witness, one)}
        witnesses[name] = witness.model_copy(update=paths)
    channels = {}
    for name, channel in settings.notify.channels.items():
        kind, _, place = channel.url_from.partition(":")
        held = {"url_from": f"file:{absolute(place)}"} if kind == "file" else {}
        channels[name] = channel.model_copy(update=held)
    templates = absolute(settings.templates) if settings.templates else ""
    changes = {"workers": workers, "providers": providers, "forges": forges, "templates": templates}
    changes["witnesses"] = witnesses
    changes["notify"] = settings.notify.model_copy(update={"channels": channels})
    targets = tuple(one if "://" in one else absolute(one) for one in settings.replicas.targets)
    if settings.ledger.archive:
        changes["ledger"] = settings.ledger.model_copy(update={"archive": absolute(settings.ledger.archive)})
    changes["replicas"] = settings.replicas.model_copy(update={"targets": targets})
    return settings.model_copy(update=changes)
