"""Prints without end."""

import os

for _ in range(40):
    os.write(1, bytes(1 << 20))
os.write(1, b"ESCAPED")
