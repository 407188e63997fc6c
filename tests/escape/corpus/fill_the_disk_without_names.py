# ruff: noqa: SIM115 - hostile, and short
"""Writes many files and removes each at once, but keeps it open."""

import os

held = []
for number in range(150):
    file = open(f"file-{number}", "wb", 0)
    os.unlink(f"file-{number}")
    file.write(os.urandom(2 << 20))
    os.fsync(file.fileno())
    held.append(file)
print("ESCAPED")
