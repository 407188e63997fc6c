# ruff: noqa: SIM115 - hostile, and short
"""Lists the user's home and reads what lies in it."""

import json
import os

STAGE = json.load(open("stage.json"))

home = STAGE["home"]
print("ESCAPED", next(open(os.path.join(home, name)).read() for name in os.listdir(home)))
