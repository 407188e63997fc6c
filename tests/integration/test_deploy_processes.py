"""The services of deploy/compose.yaml as processes: the same commands and environment, without containers.

shows: N15, N18
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.daybreak_cli import SMALL_SPEC
from tests.integration.test_deploy import DEPLOY, compose, documents
from tests.unit import postgres_server

DAYBREAK = Path(sys.executable).parent / "daybreak"
COORDINATORS = ("coordinator-1", "coordinator-2")
WAIT_S = 240.0
LOOK_S = 0.25


class Composed:
    """Services of the file, each in its own home, all with the volumes `keys`, `witness` and `work` that they share."""

    def __init__(self, root: Path, postgres: str) -> None:
        self.root = root
        self.services = compose("compose.yaml")["services"]
        self.port = _free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        told = (DEPLOY / "daybreak.toml").read_text("utf-8")
        assert "postgresql://daybreak@postgres/daybreak" in told
        (root / "daybreak.toml").write_text(told.replace("postgresql://daybreak@postgres/daybreak", postgres))
        (root / "pgpass").touch(0o600)
        for shared in ("keys", "witness", "work"):
            (root / shared).mkdir(0o700)
        _certificate(root)

    def run(self, service: str, *words: str) -> str:
        """What a command prints there, as `docker compose exec` would; without words, the service's own."""
        command = [str(DAYBREAK), *words] if words else self.command(service)
        done = subprocess.run(
            command, env=self.environment(service), cwd=self.root / "work", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, service: str) -> None:
        with (self.root / f"{service}.log").open("wb") as log:
            self.running[service] = subprocess.Popen(
                self.command(service),
                env=self.environment(service),
                cwd=self.root / "work",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def command(self, service: str) -> list[str]:
        def here(word: str) -> str:
            word = word.replace("/run/secrets/", f"{self.root}/").replace("--port=8420", f"--port={self.port}")
            return word.replace("--host=0.0.0.0", "--host=127.0.0.1").replace("--until=07:00", "--for=1h")

        return [str(DAYBREAK), *(here(word) for word in self.services[service]["command"])]

    def environment(self, service: str) -> dict[str, str]:
        [home] = [
            name
            for name, _, place in (volume.partition(":") for volume in self.services[service]["volumes"])
            if place == "/var/lib/daybreak"
        ]
        folder = self.root / home
        if not folder.exists():
            folder.mkdir(0o700)
            for shared in ("keys", "witness"):
                assert f"{shared}:/var/lib/daybreak/{shared}" in self.services[service]["volumes"]
                (folder / shared).symlink_to(self.root / shared)
        told = {
            name: value.replace("/etc/daybreak", str(self.root)).replace("/run/secrets", str(self.root))
            for name, value in self.services[service]["environment"].items()
        }
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("DAYBREAK_", "PG"))}
        return plain | told | {"DAYBREAK_HOME": str(folder)}

    def ask(self, path: str, token: str = "") -> Any:
        """The dashboard's answer, once it answers."""
        trusted = ssl.create_default_context(cafile=str(self.root / "tls_crt"))
        request = urllib.request.Request(f"https://localhost:{self.port}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        end = time.monotonic() + WAIT_S
        while True:
            try:
                with urllib.request.urlopen(request, context=trusted, timeout=10) as answer:
                    return json.load(answer)
            except OSError:
                assert time.monotonic() < end, self.said()
                assert self.running["dashboard"].poll() is None, self.said()
                time.sleep(LOOK_S)

    def done(self, run: str, token: str) -> dict[str, Any]:
        end = time.monotonic() + WAIT_S
        while (found := self.ask(f"/api/v1/runs/{run}", token))["state"] not in ("done", "failed", "parked"):
            assert time.monotonic() < end, f"{found}\n{self.said()}"
            time.sleep(LOOK_S)
        return dict(found)

    def said(self) -> str:
        return "\n".join(f"== {name}\n{(self.root / f'{name}.log').read_text('utf-8')}" for name in self.running)

    def end(self) -> dict[str, int]:
        """As `docker compose stop`: SIGTERM, and after the time that the file allows SIGKILL."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(60) for name, process in self.running.items()}

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _certificate(root: Path) -> None:
    """As docs/how-to/scale-out.md makes it."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365"]
    made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made += ["-keyout", str(root / "tls_key"), "-out", str(root / "tls_crt")]
    subprocess.run(made, check=True, capture_output=True)


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    with postgres_server.database() as url:
        services = Composed(tmp_path, url)
        try:
            services.run("begin")
            for name in ("dashboard", *COORDINATORS):
                services.start(name)
            yield services
        finally:
            services.close()


@pytest.mark.timeout(600)
def test_what_compose_starts_does_a_task_that_was_added_on_a_coordinator(composed: Composed) -> None:
    assert composed.ask("/healthz") == {"status": "ok"}
    token = composed.run("dashboard", "token", "mint", "--api", "look", "--name", "test").split()[0]
    named = documents("base/secrets.example.yaml")[0]["data"].keys() - {"head"}
    assert {path.name for path in (composed.root / "keys").glob("[!.]*")} == named, (
        "what is made a secret in Kubernetes"
    )
    added = composed.run("coordinator-1", "add", "--command", "echo it > made", "--check", "test -s made", "--json")
    assert composed.done(json.loads(added)["run"], token)["state"] == "done", composed.said()
    assert (composed.root / "work" / "made").read_text() == "it\n"
    ended = composed.end()
    assert {name: ended[name] for name in COORDINATORS} == dict.fromkeys(COORDINATORS, 130)
    composed.run("dashboard", "ledger", "verify")


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_one_coordinator_killed_in_a_build_and_the_other_delivers_it(composed: Composed) -> None:
    token = composed.run("dashboard", "token", "mint", "--api", "look", "--name", "test").split()[0]
    (composed.root / "work" / "spec.md").write_text(SMALL_SPEC.format(holdout="0"))
    run = json.loads(composed.run("dashboard", "add", "spec.md", "--json"))["run"]
    end = time.monotonic() + WAIT_S
    while not (busy := [name for name in COORDINATORS if _children(composed.running[name].pid)]):
        assert time.monotonic() < end, composed.said()
        time.sleep(LOOK_S)
    killed = composed.running.pop(busy[0])
    killed.kill()
    killed.wait()
    assert composed.done(run, token)["state"] == "done", composed.said()
    assert (composed.root / "work" / "notes" / "pyproject.toml").is_file()
    composed.end()
    composed.run("dashboard", "ledger", "verify")


def _children(pid: int) -> list[str]:
    """Guards of programs that it has under way."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue
            found += [child] if b"guard" in words else []
    return found
