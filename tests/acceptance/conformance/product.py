"""A program that the embedded builder made, run from outside: real processes, real sockets, real files.

A product is known only by its specification: its command is what its own pyproject.toml names under
`[project.scripts]`. To stay quick, commands are started by a *starter*: a process that has imported nothing but
the standard library (for servers also the web framework), and forks. Everything of the product is imported after the
fork, with the environment, the working directory and the streams of that one command, and the interpreter ends it as
it would end any program.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from daybreak.agents.builder import generate
from daybreak.agents.protocol import Brief
from daybreak.factory.spec import Specification, read_text

SPECS = Path(__file__).parent / "specs"
EXAMPLES = Path(__file__).parents[3] / "examples"
PATIENCE_S = 30.0
SAMPLE_FIELDS = """
    id title code pages big rating weight price cost read flag shelf mood published due starts ends tags marks
    amounts days steps switches maker origin mask best_before seen_at created_at updated_at
""".split()  # noqa: SIM905 - a list of thirty words reads better as words
"""What is printed of a sample, in table order: all but secrets and links."""

STARTER = r"""
import argparse, base64, collections, csv, dataclasses, datetime, decimal, enum, functools, gc, importlib, io, json, os
import pathlib, re, sqlite3, sys, typing, unicodedata

for name in sys.argv[1:]:
    importlib.import_module(name)
gc.freeze()
while True:
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    order = json.loads(line)
    if order["verb"] == "wait":
        _, status = os.waitpid(order["pid"], 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(json.dumps(pid), flush=True)
        continue
    break
os.setpgid(0, 0)
words = [base64.b64decode(word) for word in order["argv"]]
for number, path, flags in (
    (0, order["stdin"], os.O_RDONLY),
    (1, order["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    (2, order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
):
    handle = os.open(path, flags, 0o600)
    os.dup2(handle, number)
    os.close(handle)
sys.stdin = open(0, encoding="utf-8", closefd=False)
os.chdir(order["cwd"])
os.environ.clear()
os.environ.update(order["env"])
sys.argv = [os.fsdecode(word) for word in words]
sys.path.insert(0, order["src"])
__import__(order["module"])
sys.exit(getattr(sys.modules[order["module"]], order["function"])())
"""


@dataclass(frozen=True)
class Result:
    """What one command printed, and its exit status. `lines` and `problems` are stdout and stderr by line."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def problems(self) -> list[str]:
        return self.err.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def done(self) -> Self:
        """This result, having made sure that the command succeeded."""
        assert (self.status, self.err) == (0, ""), self
        return self


SERVER_MODULES = ("fastapi", "uvicorn", "uvicorn.protocols.http.h11_impl", "uvicorn.lifespan.on")


class Starter:
    """Forks commands; `modules` are imported once before all of them."""

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", STARTER, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, **order: Any) -> int:
        """The process id of a new command."""
        return int(self._ask({"verb": "start", **order}))

    def wait(self, pid: int) -> int:
        """Its exit status; below zero the signal that ended it."""
        return int(self._ask({"verb": "wait", "pid": pid}))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(PATIENCE_S)


def brief(spec: Specification, text: str) -> Brief:
    """What the builder is given for a specification, field by field."""
    return Brief(
        name=spec.name,
        version=spec.version,
        language=spec.language,
        interfaces=spec.interfaces,
        title=spec.title,
        summary=spec.summary,
        requirements=spec.requirements,
        entities=spec.entities,
        http=spec.http,
        serve=spec.serve or f"{spec.name} serve --port {{port}}",
        specification=text,
    )


@dataclass
class Product:
    """A built project on disk, and how to run it."""

    root: Path
    brief: Brief
    name: str
    module: str
    function: str
    commands: Starter
    servers: Starter
    runs: Iterator[int] = field(default_factory=lambda: itertools.count())

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return self.package.upper() + "_DB"

    def environment(self, **more: str) -> dict[str, str]:
        """What a command sees: little, so that nothing comes in from the test run."""
        keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return keep | {"LANG": "C.UTF-8", "TZ": "UTC", **more}

    def start(self, by: Starter, argv: tuple[str | bytes, ...], cwd: Path, stem: Path, **env: str) -> int:
        """Fork a command; its output goes to `stem`.out and `stem`.err. Its process id, known to `by`."""
        words = [os.fsencode(word) for word in (self.name, *argv)]
        return by.start(
            argv=[base64.b64encode(word).decode() for word in words],
            cwd=str(cwd),
            env=self.environment(**env),
            src=str(self.root / "src"),
            module=self.module,
            function=self.function,
            stdin=os.devnull,
            stdout=f"{stem}.out",
            stderr=f"{stem}.err",
        )

    def desk(self, folder: Path) -> Desk:
        """A fresh working directory and database in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        return Desk(self, folder)


def build(source: Path | str, folder: Path, commands: Starter, servers: Starter) -> Product:
    """Read a specification, build it, write it to `folder`."""
    text = source if isinstance(source, str) else source.read_text(encoding="utf-8")
    spec = read_text(text, name="spec.md", format="md")
    given = brief(spec, text)
    for path, content in generate(given).items():
        target = folder / path
        assert target.resolve().is_relative_to(folder.resolve()), path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    scripts = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert list(scripts) == [spec.name], scripts
    module, _, function = scripts[spec.name].partition(":")
    return Product(folder, given, spec.name, module, function, commands, servers)


@dataclass
class Desk:
    """One working directory with one database: where a user sits."""

    product: Product
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "data.sqlite"

    def run(self, *argv: str | bytes, **env: str) -> Result:
        """Run one command and wait for its end. The environment names the database unless told otherwise."""
        stem = self.folder / f".run-{next(self.product.runs)}"
        seen = {self.product.variable: str(self.database)} | env
        pid = self.product.start(self.product.commands, argv, self.folder, stem, **seen)
        status = self.product.commands.wait(pid)
        out, err = Path(f"{stem}.out"), Path(f"{stem}.err")
        result = Result(status, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))
        assert "Traceback" not in result.err, result.err
        out.unlink()
        err.unlink()
        return result

    def add(self, entity: str, *options: str) -> int:
        """Add a record that must be accepted; its id."""
        result = self.run(entity, "add", *options).done()
        words = result.out.split()
        assert words[0] == "added", result
        assert result.out == " ".join(words) + "\n", result
        return int(words[-1])

    def fails(self, *argv: str, status: int) -> list[str]:
        """Run a command that must be refused with that status; its lines on stderr, without the program's name."""
        result = self.run(*argv)
        assert (result.status, result.out) == (status, ""), result
        assert result.err.endswith("\n"), result
        prefix = f"{self.product.name}: "
        for line in result.problems:
            assert line.startswith(prefix), result
        return [line.removeprefix(prefix) for line in result.problems]

    def records(self, entity: str, *options: str) -> list[dict[str, Any]]:
        """The records that `list --json` prints."""
        found = self.run(entity, "list", *options, "--json").done().json
        assert isinstance(found, list)
        return found

    def ids(self, entity: str, *options: str) -> list[int]:
        return [record["id"] for record in self.records(entity, *options)]

    def record(self, entity: str, number: int) -> dict[str, Any]:
        shown = self.run(entity, "show", str(number), "--json").done().json
        assert isinstance(shown, dict)
        return shown

    def write(self, name: str, content: str | bytes) -> str:
        """A file beside the database; its name."""
        raw = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(raw)
        return name

    @contextlib.contextmanager
    def serve(self, prefix: str = "") -> Iterator[Site]:
        """The product as a server on this database, ready, and ended afterwards."""
        port = free_port()
        stem = self.folder / f".serve-{next(self.product.runs)}"
        names = {self.product.variable: str(self.database)}
        pid = self.product.start(self.product.servers, ("serve", "--port", str(port)), self.folder, stem, **names)
        root = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=root + prefix, timeout=PATIENCE_S, trust_env=False) as client:
            try:
                until_ready(client, root, prefix, pid, Path(f"{stem}.err"))
                yield Site(client, port, prefix)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGTERM)
                    self.product.servers.wait(pid)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_ready(client: httpx.Client, root: str, prefix: str, pid: int, log: Path) -> None:
    """Wait until `/health` answers 200, with or without the prefix (the format leaves open which)."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        for address in {f"{root}/health", f"{root}{prefix}/health"}:
            with contextlib.suppress(httpx.TransportError):
                if client.get(address).status_code == 200:
                    return
        time.sleep(0.01)
    raise AssertionError(f"the server {pid} never became ready: {log.read_text(encoding='utf-8')}")


@dataclass
class Site:
    """A running server."""

    client: httpx.Client
    port: int
    prefix: str

    @property
    def root(self) -> str:
        """Scheme, host and prefix, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def call(self, method: str, path: str, body: Any = ..., **headers: str) -> httpx.Response:
        """One request; `body` is sent as JSON, bytes verbatim with `Content-Type: application/json`."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if body is ...:
            return self.client.request(method, path, headers=named)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.request(method, path, content=raw, headers={"Content-Type": "application/json"} | named)

    def post(self, path: str, **values: Any) -> dict[str, Any]:
        """Add a record that must be accepted; the record."""
        answer = self.call("POST", path, values)
        assert answer.status_code == 201, answer.text
        record = answer.json()
        assert isinstance(record, dict)
        return record

    def get(self, path: str, **query: str) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, path: str, **query: str) -> list[int]:
        return [record["id"] for record in self.get(path, **query)]

    def problem(self, answer: httpx.Response, status: int) -> dict[str, Any]:
        """The problem document of an answer, having checked its form."""
        assert answer.status_code == status, (answer.status_code, answer.text)
        assert answer.headers["Content-Type"].split(";")[0] == "application/problem+json"
        document = answer.json()
        assert isinstance(document, dict)
        assert {"type", "title", "status", "detail", "errors"} == set(document), document
        assert document["status"] == status
        assert all(isinstance(document[key], str) for key in ("type", "title", "detail")), document
        assert isinstance(document["errors"], list)
        assert all({"field", "message"} == set(error) for error in document["errors"]), document
        return document

    def messages(self, answer: httpx.Response, status: int = 422) -> list[str]:
        return [error["message"] for error in self.problem(answer, status)["errors"]]


def fresh(folder: Path) -> Path:
    """`folder`, empty."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
