# ruff: noqa: SIM115 - hostile, and short
"""Reads the ledger through a symbolic link in the workspace."""

import json
import os

STAGE = json.load(open("stage.json"))

os.symlink(STAGE["ledger"], "link")
print("ESCAPED", open("link").read())
