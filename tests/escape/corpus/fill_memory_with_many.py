"""Takes it with many processes, each with little."""

import os
import time

children = []
out, told = os.pipe()
stay, go = os.pipe()
for _ in range(6):
    child = os.fork()
    if child == 0:
        os.close(go)
        held = bytearray(50 << 20)
        held[::4096] = b"x" * len(held[::4096])
        os.write(told, b".")
        os.read(stay, 1)  # until the parent is gone
        os._exit(0)
    children.append(child)
os.close(told)
heard = b""
while part := os.read(out, 9):
    heard += part
    if len(heard) == 6:
        time.sleep(1)  # it is held, not only touched
        print("ESCAPED")
        break
