"""Unix sockets at paths. Needs nothing but Python itself."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

PATH_BYTES_MAX = 103
"""So that a path fits everywhere with its NUL."""


def sweep(path: Path) -> None:
    """Take away the socket of a process that died; nothing else, and none at which somebody listens."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            return


def reach(end: socket.socket, path: str, within_s: float, over: threading.Event) -> bool:
    """Connect to whoever listens there; `end` blocks for `within_s` afterwards. False: nobody does, has no room for so
    long, or `over` was set meanwhile. Raises nothing."""
    ends_s = time.monotonic() + within_s
    end.settimeout(within_s)
    while True:
        try:
            end.connect(path)
            return True
        except BlockingIOError:  # more have come at once than it has taken so far
            if time.monotonic() > ends_s or over.wait(0.01):
                return False
        except OSError:
            return False
