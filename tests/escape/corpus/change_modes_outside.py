# ruff: noqa: SIM115 - hostile, and short
"""Opens a file of the user to everybody."""

import json
import os

STAGE = json.load(open("stage.json"))

os.chmod(STAGE["precious"], 0o666)
print("ESCAPED")
