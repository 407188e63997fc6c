# ruff: noqa: SIM115 - hostile, and short
"""Ends its guard, to be free of it."""

import json
import os

STAGE = json.load(open("stage.json"))

parent = os.getppid()
os.kill(parent, 9)
while os.getppid() == parent and STAGE["outside"]:
    pass  # being dead takes a moment; then its parent-death signal ends us too
print("still here")
