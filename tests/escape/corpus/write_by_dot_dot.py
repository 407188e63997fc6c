# ruff: noqa: SIM115 - hostile, and short
"""Writes through `..`."""

import json

STAGE = json.load(open("stage.json"))

with open("../" * 40 + STAGE["precious"].lstrip("/"), "a") as file:
    file.write("broken")
print("ESCAPED")
