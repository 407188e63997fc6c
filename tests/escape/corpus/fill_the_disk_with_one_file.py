"""Writes a file that is larger than it may be."""

import os

with open("large", "wb", 0) as file:
    for _ in range(40):
        file.write(bytes(1 << 20))
os.remove("large")
print("ESCAPED")
