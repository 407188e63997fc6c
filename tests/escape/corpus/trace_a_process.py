# ruff: noqa: SIM115 - hostile, and short
"""Attaches to another process as a debugger."""

import ctypes
import json
import os

STAGE = json.load(open("stage.json"))
libc = ctypes.CDLL(None, use_errno=True)

for pid in [STAGE["victim"], 1, os.getppid()]:
    if libc.ptrace(0x4206, pid, 0, 0) == 0:  # PTRACE_SEIZE: does not even stop it
        print("ESCAPED", pid)
raise OSError(os.strerror(ctypes.get_errno()))
