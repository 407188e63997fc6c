# ruff: noqa: SIM115 - hostile, and short
"""Reads the signing key."""

import json

STAGE = json.load(open("stage.json"))

print("ESCAPED", open(STAGE["key"]).read())
