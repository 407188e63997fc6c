# ruff: noqa: SIM115 - hostile, and short
"""Leaves a program behind that runs with the rights of its owner."""

import os

open("evil", "w").write("#!/bin/sh")
for way in (
    lambda: os.chmod("evil", 0o4755),
    lambda: os.fchmod(os.open("evil", os.O_RDWR), 0o2755),
    lambda: os.close(os.open("evil-2", os.O_CREAT | os.O_WRONLY, 0o6755)),
    lambda: os.mknod("evil-3", 0o104755),
):
    try:
        way()
    except OSError as error:
        last = error
for name in ("evil", "evil-2", "evil-3"):
    if os.path.exists(name) and os.stat(name).st_mode & 0o6000:
        print("ESCAPED", name)
raise last
