"""A coordinator in a process: has one job done that prints its process and sleeps. `... ADDRESS FOLDER CODE`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from daybreak.engine.dispatch import Job, Key
from daybreak.engine.dispatch.ray import Cluster, RayDispatch

address, folder, code = sys.argv[1:]
dispatch = RayDispatch(Cluster(address=address, token={"RAY_AUTH_MODE": "disabled"}, folder=Path(folder)), os.environ)
job = Job(
    key=Key("run-1", "step", 1, 1),
    doer="daybreak.testing.doers:run",
    body={"code": code, "time_s": 600},
    scratch=Path(folder),
    time_s=600,
)
dispatch.run(job, cancelled=threading.Event(), on_line=lambda part: os.write(1, part) and None)
