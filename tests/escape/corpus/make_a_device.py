# ruff: noqa: SIM115 - hostile, and short
"""Makes a device file of the disk."""

import json
import os

STAGE = json.load(open("stage.json"))

os.mknod("disk", 0o060600, os.stat(STAGE["readable"]).st_dev)
print("ESCAPED")
