# ruff: noqa: SIM115 - hostile, and short
"""Moves a file of its own over a file of the user."""

import json
import os

STAGE = json.load(open("stage.json"))

open("mine", "w").write("broken")
os.rename("mine", STAGE["precious"])
print("ESCAPED")
