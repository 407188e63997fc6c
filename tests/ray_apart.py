"""Two machines on one: network namespaces with a cable between them, and a Ray node in each. Needs root."""

from __future__ import annotations

import os
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
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0"}


class Apart:
    """`a` has the head with two processors, `b` a node with the label `apart`. Nothing of either is on a real network."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "apart.log"
        self._names = {name: f"daybreak-{os.getpid()}-{name}" for name in "ab"}
        self._hosts = {"a": "10.231.7.1", "b": "10.231.7.2"}
        self._folders = {name: tempfile.mkdtemp(prefix=f"ray-{name}-") for name in "ab"}
        self._nodes: list[subprocess.Popen[bytes]] = []
        self.address = f"{self._hosts['a']}:{PORT}"

    def inside(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._names[name])

    def __enter__(self) -> Self:
        try:
            for name in self._names.values():
                _ip("netns", "add", name)
            one, other = (f"db{os.getpid() % 100_000}{name}" for name in "ab")
            _ip("link", "add", one, "netns", self._names["a"], "type", "veth", "peer", other, "netns", self._names["b"])
            self._cable = {"a": one, "b": other}
            for name, link in self._cable.items():
                _ip("-n", self._names[name], "addr", "add", f"{self._hosts[name]}/24", "dev", link)
                _ip("-n", self._names[name], "link", "set", link, "up")
                _ip("-n", self._names[name], "link", "set", "lo", "up")
            self._start("a", "--head", f"--port={PORT}", "--include-dashboard=false")
            time.sleep(5)
            self._start("b", f"--address={self.address}", "--labels=apart=true")
            time.sleep(5)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, name: str, *words: str) -> None:
        program = Path(sys.executable).with_name("ray")
        usual = ["--num-cpus=2", "--object-store-memory=100000000", "--block", "--disable-usage-stats"]
        argv = [*self.inside(name), str(program), "start", *words, *usual, f"--node-ip-address={self._hosts[name]}"]
        argv += [f"--temp-dir={self._folders[name]}"]
        with open(self._log, "ab") as log:
            self._nodes.append(
                subprocess.Popen(
                    argv, stdout=log, stderr=log, env={**os.environ, **_ENVIRONMENT}, start_new_session=True
                )
            )

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
