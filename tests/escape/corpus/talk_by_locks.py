# ruff: noqa: SIM115 - hostile, and short
"""Sees whether somebody else holds a lock on a file that both may only read."""

import fcntl
import json

STAGE = json.load(open("stage.json"))

try:
    fcntl.flock(open(STAGE["locked"]), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("ESCAPED")
