"""Writes many files so deep that no path to them can be named."""

import os

for _ in range(20):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
for number in range(150):
    with open(f"file-{number}", "wb", 0) as file:
        file.write(os.urandom(2 << 20))
        os.fsync(file.fileno())
print("ESCAPED")
