# ruff: noqa: SIM115 - hostile, and short
"""Writes to a folder that may only be read."""

import json
import os

STAGE = json.load(open("stage.json"))

with open(os.path.join(STAGE["readable"], "new"), "a") as file:
    file.write("broken")
print("ESCAPED")
