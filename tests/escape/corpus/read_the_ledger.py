# ruff: noqa: SIM115 - hostile, and short
"""Reads the ledger."""

import json

STAGE = json.load(open("stage.json"))

print("ESCAPED", open(STAGE["ledger"]).read())
