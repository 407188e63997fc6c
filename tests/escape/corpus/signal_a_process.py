# ruff: noqa: SIM115 - hostile, and short
"""Ends another process."""

import json
import os

STAGE = json.load(open("stage.json"))

os.kill(STAGE["victim"], 15)
print("ESCAPED")
