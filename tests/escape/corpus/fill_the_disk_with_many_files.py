"""Writes many files, each of which is small enough."""

import os

for number in range(150):
    with open(f"file-{number}", "wb", 0) as file:
        file.write(os.urandom(2 << 20))
        os.fsync(file.fileno())
print("ESCAPED")
