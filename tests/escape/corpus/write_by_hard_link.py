# ruff: noqa: SIM115 - hostile, and short
"""Writes through a hard link in the workspace."""

import json
import os

STAGE = json.load(open("stage.json"))

os.link(STAGE["precious"], "link")
with open("link", "a") as file:
    file.write("broken")
print("ESCAPED")
