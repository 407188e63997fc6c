"""The command line, killed with SIGKILL around a delivery: `python killed_delivering.py before|after COMMAND …`.

`before`: everything lies in the scratch folder, signed; nothing is in its place. `after`: all of it is in its place,
and nothing in the ledger says so.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from daybreak.cli.main import main
from daybreak.factory import deliver

put_folder = deliver.folder.put_folder


def put(*given: Any, **named: Any) -> None:
    if when == "after":
        put_folder(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    when = sys.argv.pop(1)
    deliver.folder.put_folder = put
    main()
