# ruff: noqa: SIM115 - hostile, and short
"""Lists other processes with their command lines."""

import json
import os

STAGE = json.load(open("stage.json"))

for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if STAGE["mark"].encode() in open(f"/proc/{pid}/cmdline", "rb").read():
            print("ESCAPED", pid)
    except OSError:
        continue
raise SystemExit("nothing")
