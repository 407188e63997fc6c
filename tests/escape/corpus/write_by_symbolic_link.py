# ruff: noqa: SIM115 - hostile, and short
"""Writes through a symbolic link in the workspace."""

import json
import os

STAGE = json.load(open("stage.json"))

os.symlink(STAGE["precious"], "link")
with open("link", "a") as file:
    file.write("broken")
print("ESCAPED")
