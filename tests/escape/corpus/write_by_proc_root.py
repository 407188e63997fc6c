# ruff: noqa: SIM115 - hostile, and short
"""Writes through the root folder of other processes."""

import json
import os
import sys

STAGE = json.load(open("stage.json"))

for pid in ["self", *filter(str.isdigit, os.listdir("/proc"))]:
    try:
        with open(f"/proc/{pid}/root/{STAGE['precious']}", "a") as file:
            file.write("broken")
        print("ESCAPED")
        sys.exit()
    except OSError as error:
        last = error
raise last
