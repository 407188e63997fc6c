"""Takes more memory than it may."""

import time

held = bytearray(300 << 20)
held[::4096] = b"x" * len(held[::4096])
time.sleep(1)  # it is held, not only touched
print("ESCAPED", len(held))
