# ruff: noqa: SIM115 - hostile, and short
"""Writes to a file of the user."""

import json

STAGE = json.load(open("stage.json"))

with open(STAGE["precious"], "a") as file:
    file.write("broken")
print("ESCAPED")
