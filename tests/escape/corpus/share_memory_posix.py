# ruff: noqa: SIM115 - hostile, and short
"""Opens shared memory of another process."""

import json

STAGE = json.load(open("stage.json"))

print("ESCAPED", open(STAGE["shm_file"]).read())
