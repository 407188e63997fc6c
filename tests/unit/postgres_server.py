"""A real Postgres for the tests: one server for each test process, started when first wanted, a database for each test.

    with postgres_server.database() as url:
        connection = connect(url)

Where no Postgres 15 or newer is installed, the test that asks is skipped and says so. The server listens on a Unix
socket alone, belongs to an unprivileged user where the tests run as root (Postgres refuses to run as root), and dies
with the process that started it. Its files are not synced (`fsync=off`) unless that is asked for: what is killed is the
process and not the machine.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

OLDEST = 15
WHY_NOT = f"no Postgres {OLDEST} or newer was found (scripts/setup installs it)"
_INITDB = ("-U", "daybreak", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--no-instructions")
_START_S = 60.0
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql*/bin", "/usr/local/opt/postgresql*/bin")
_numbers = itertools.count()


@functools.cache
def programs() -> Path | None:
    """The folder with `postgres` and `initdb` of the newest Postgres here, if it is new enough."""
    folders = {Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder}
    for pattern in _PLACES:
        folders |= set(Path("/").glob(pattern[1:]))
    found = []
    for folder in {(folder / "postgres").resolve().parent for folder in folders if (folder / "postgres").exists()}:
        if (folder / "initdb").exists():
            said = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True, check=False
            ).stdout
            version = re.search(r"\b(\d+)[.\w]*", said.partition(")")[2])
            if version is not None:
                found.append((int(version[1]), folder))
    return next((folder for version, folder in sorted(found, reverse=True) if version >= OLDEST), None)


def available() -> bool:
    return programs() is not None


class Server:
    """One server in a temporary folder. `start` it again after `stop` or `kill`: its databases are still there."""

    def __init__(self, *, synced: bool = False, **settings: str) -> None:
        folder = programs()
        assert folder is not None, WHY_NOT
        self._programs = folder
        self._owner = _owner()
        self.root = Path(tempfile.mkdtemp(prefix="daybreak-pg-", dir="/tmp"))
        self._options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.root),
            "fsync": "on" if synced else "off",
            "full_page_writes": "on" if synced else "off",
            "shared_buffers": "32MB",
            "max_connections": "60",
            "max_wal_size": "256MB",
            "autovacuum": "off",
            "logging_collector": "off",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if self._owner is not None:
                os.chown(self.root, self._owner.pw_uid, self._owner.pw_gid)
            made = self._run([folder / "initdb", "-D", self.root / "data", *_INITDB])
            assert made.returncode == 0, made.stderr
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://daybreak@/{name}?host={self.root}"

    @property
    def log(self) -> str:
        return (self.root / "log").read_text("utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """Of the process that all others of the server descend from."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it takes connections."""
        assert self._process is None
        options = [word for name, value in self._options.items() for word in ("-c", f"{name}={value}")]
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.root / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                preexec_fn=_die_with_parent,
                **self._as_owner(),
            )
        end = time.monotonic() + _START_S
        status = self.root / "data" / "postmaster.pid"
        while True:
            with contextlib.suppress(FileNotFoundError):
                lines = status.read_text().split("\n")
                if lines[0] == str(self.pid) and len(lines) > 7 and lines[7].strip() == "ready":
                    return
            assert self._process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends every connection and writes everything down."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Ends every process of it at once, as a crash does; it recovers when it is started again."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Stop it and remove its files."""
        if self._process is not None:
            self._end(signal.SIGQUIT)
        shutil.rmtree(self.root, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(_START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, command: list[Any]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.root, **self._as_owner())

    def _as_owner(self) -> dict[str, Any]:
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}


def _owner() -> pwd.struct_passwd | None:
    """Whom the server's files belong to; None for ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("Postgres does not run as root, and there is no other user here")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


_shared: list[Server] = []


def server() -> Server:
    """That of this process, started when first asked for; skips the test that asks where there is no Postgres."""
    if not available():
        pytest.skip(WHY_NOT)
    if not _shared:
        _shared.append(Server())
        atexit.register(_close, _shared[0], os.getpid())
    return _shared[0]


def _close(shared: Server, owner: int) -> None:
    if os.getpid() == owner:  # and not in a test's fork
        shared.close()


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The address of a database that is empty and is gone afterwards, with whoever is connected to it."""
    import psycopg

    name = f"t{next(_numbers)}"
    with psycopg.connect(server().url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        yield server().url(name)
    finally:
        with psycopg.connect(server().url(), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
