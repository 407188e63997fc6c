"""Writes many files, maps each, and removes and closes it."""

import mmap
import os

held = []
for number in range(150):
    with open(f"file-{number}", "w+b", 0) as file:
        file.write(os.urandom(2 << 20))
        os.fsync(file.fileno())
        held.append(mmap.mmap(file.fileno(), 0))
        os.unlink(f"file-{number}")
print("ESCAPED")
