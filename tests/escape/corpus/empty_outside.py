# ruff: noqa: SIM115 - hostile, and short
"""Empties a file of the user without opening it."""

import json
import os

STAGE = json.load(open("stage.json"))

os.truncate(STAGE["precious"], 0)
print("ESCAPED")
