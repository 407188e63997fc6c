"""Unix sockets at paths."""

from __future__ import annotations

import socket
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
