# ruff: noqa: SIM115 - hostile, and short
"""Climbs out of the workspace with `..`."""

import json

STAGE = json.load(open("stage.json"))

print("ESCAPED", open("../" * 40 + STAGE["ledger"].lstrip("/")).read())
