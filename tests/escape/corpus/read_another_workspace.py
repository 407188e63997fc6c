# ruff: noqa: SIM115 - hostile, and short
"""Reads the workspace of another attempt."""

import json

STAGE = json.load(open("stage.json"))

print("ESCAPED", open(STAGE["other_workspace"]).read())
