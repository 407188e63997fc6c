"""A Ray cluster of several nodes on this machine, on the loopback only, each ended by the ids of its processes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

MIB = 1024 * 1024


class RayCluster:
    """A head without processors, which drivers connect to, and nodes that do the work."""

    def __init__(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a socket's path must be short
        self._cluster = Cluster(shutdown_at_exit=False)
        self._usual: dict[str, Any] = {
            "node_ip_address": "127.0.0.1",
            "include_dashboard": False,
            "object_store_memory": 100 * MIB,
            "memory": 2048 * MIB,
        }
        self._cluster.add_node(num_cpus=0, temp_dir=str(self.folder), **self._usual)
        self.address: str = self._cluster.address
        self.head: Any = self._cluster.head_node

    def add(self, *, cpus: int = 2, **labels: str) -> Any:
        return self._cluster.add_node(num_cpus=cpus, labels=labels, **self._usual)

    @staticmethod
    def raylet(node: Any) -> int:
        [one] = node.all_processes["raylet"]
        return int(one.process.pid)

    @classmethod
    def processes(cls, node: Any) -> list[int]:
        """The node's raylet and everything below it."""
        found, waiting = [], [cls.raylet(node)]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    waiting += [int(one) for one in (task / "children").read_text().split()]
        return found

    def kill(self, node: Any) -> None:
        """As a machine goes that loses its power: all of it at once."""
        for pid in self.processes(node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(self.folder, ignore_errors=True)


def there(pid: int) -> bool:
    """Whether a process is there that still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone_in(pid: int, limit_s: float) -> float:
    """Seconds until it was gone; fails after the limit."""
    began_s = time.monotonic()
    while there(pid):
        assert time.monotonic() - began_s < limit_s, f"process {pid} goes on"
        time.sleep(0.02)
    return time.monotonic() - began_s
