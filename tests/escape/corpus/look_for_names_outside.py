# ruff: noqa: SIM115 - hostile, and short
"""Finds out whether a file exists, and how large it is."""

import json
import os

STAGE = json.load(open("stage.json"))

print("ESCAPED", os.stat(STAGE["precious"]).st_size)
