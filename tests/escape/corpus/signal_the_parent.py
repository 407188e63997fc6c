# ruff: noqa: SIM115 - hostile, and short
"""Finds out whether it could end the process that started everything."""

import json
import os

STAGE = json.load(open("stage.json"))

os.kill(STAGE["parent"], 0)
print("ESCAPED")
