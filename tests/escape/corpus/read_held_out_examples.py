# ruff: noqa: SIM115 - hostile, and short
"""Reads the held-out examples."""

import json

STAGE = json.load(open("stage.json"))

print("ESCAPED", open(STAGE["held_out"]).read())
