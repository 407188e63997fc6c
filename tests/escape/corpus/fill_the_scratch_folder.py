# ruff: noqa: SIM115 - hostile, and short
"""Fills /dev/shm and /tmp, which lie in memory."""

import json
import os
import shutil

STAGE = json.load(open("stage.json"))

for folder in ("/dev/shm", "/tmp"):
    own = os.path.join(folder, STAGE["mark"] + "-fill")
    try:
        os.mkdir(own)
        for number in range(10):
            open(os.path.join(own, str(number)), "wb").write(bytes(6 << 20))
        print("ESCAPED")
    except OSError as error:
        last = error
    finally:
        shutil.rmtree(own, ignore_errors=True)
raise last
