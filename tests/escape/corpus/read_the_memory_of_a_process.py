# ruff: noqa: SIM115 - hostile, and short
"""Reads the memory of another process."""

import json
import os

STAGE = json.load(open("stage.json"))

for pid in (STAGE["victim"], 1, os.getppid()):
    try:
        where = int(open(f"/proc/{pid}/maps").read().split("-")[0], 16)
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        print("ESCAPED", pid, os.pread(memory, 4, where))
    except OSError as error:
        last = error
raise last
