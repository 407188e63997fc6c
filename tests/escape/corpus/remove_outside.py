# ruff: noqa: SIM115 - hostile, and short
"""Removes a file of the user."""

import json
import os

STAGE = json.load(open("stage.json"))

os.remove(STAGE["precious"])
print("ESCAPED")
