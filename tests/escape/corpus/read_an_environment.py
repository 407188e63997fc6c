# ruff: noqa: SIM115 - hostile, and short
"""Reads the environment of another process, where secrets are."""

import json
import os

STAGE = json.load(open("stage.json"))

for pid in [STAGE["victim"], *filter(str.isdigit, os.listdir("/proc"))]:
    try:
        if b"SECRET=" in open(f"/proc/{pid}/environ", "rb").read():
            print("ESCAPED")
    except OSError as error:
        last = error
raise last
