"""Two machines on one: network namespaces with a cable between them, and a Ray node in each. Needs root."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

PORT = 6390


class Apart:
    """`a` has the head with two processors, `b` a node with the label `apart`. Neither is on a real network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = {name: f"daybreak-{os.getpid()}-{name}" for name in "ab"}
        self._hosts = {"a": "10.231.7.1", "b": "10.231.7.2"}
        self._folders = {name: tempfile.mkdtemp(prefix=f"ray-{name}-") for name in "ab"}
        self._nodes: list[subprocess.Popen[bytes]] = []
        self.address = f"{self._hosts['a']}:{PORT}"
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

    def inside(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._names[name])

    def __enter__(self) -> Self:
        try:
            for name in self._names.values():
                _ip("netns", "add", name)
            one, two = (f"db{os.getpid() % 100_000}{name}" for name in "ab")
            _ip("link", "add", one, "netns", self._names["a"], "type", "veth", "peer", two, "netns", self._names["b"])
            self._cable = {"a": one, "b": two}
            for name, link in self._cable.items():
                _ip("-n", self._names[name], "addr", "add", f"{self._hosts[name]}/24", "dev", link)
                _ip("-n", self._names[name], "link", "set", link, "up")
                _ip("-n", self._names[name], "link", "set", "lo", "up")
            for name, other in (("a", "b"), ("b", "a")):  # Ray finds its own address by the way to everywhere
                _ip("-n", self._names[name], "route", "add", "default", "via", self._hosts[other])
            self._start("a", "--head", f"--port={PORT}", "--include-dashboard=false")
            self._start("b", f"--address={self.address}", "--labels=apart=true")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, name: str, *words: str) -> None:
        program = Path(sys.executable).with_name("ray")
        usual = ["--num-cpus=2", "--object-store-memory=100000000", "--block", "--disable-usage-stats"]
        argv = [*self.inside(name), str(program), "start", *words, *usual, f"--node-ip-address={self._hosts[name]}"]
        argv += [f"--temp-dir={self._folders[name]}"]
        said = self._folder / f"apart-{name}.log"
        with open(said, "wb") as log:
            self._nodes.append(
                subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **self.token}, start_new_session=True)
            )

        until_s = time.monotonic() + 90
        while b"Ray runtime started" not in said.read_bytes():
            assert self._nodes[-1].poll() is None, said.read_text()
            assert time.monotonic() < until_s, said.read_text()
            time.sleep(0.1)

    def cut(self) -> None:
        """Pull the cable."""
        _ip("-n", self._names["a"], "link", "set", self._cable["a"], "down")

    def __exit__(self, *_: object) -> None:
        for name in self._names.values():
            told = subprocess.run(["ip", "netns", "pids", name], capture_output=True, check=False, text=True)
            for pid in told.stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        for node in self._nodes:
            node.kill()
            node.wait()
        for name in self._names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        for folder in self._folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
