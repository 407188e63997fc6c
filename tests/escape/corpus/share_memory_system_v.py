# ruff: noqa: SIM115 - hostile, and short
"""Attaches to shared memory of another process."""

import ctypes
import json
import os

STAGE = json.load(open("stage.json"))
libc = ctypes.CDLL(None, use_errno=True)

libc.shmget.restype = ctypes.c_int
number = libc.shmget(STAGE["shm_key"], 0, 0)
if number < 0:
    raise OSError(os.strerror(ctypes.get_errno()))
print("ESCAPED")
