"""Forks twice into sessions of its own, ignores every signal, and stays."""

import os
import signal
import time

for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
out, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.write(told, b".")
        ends = time.monotonic() + 20  # enough to be seen, and then nobody has to look for it
        while time.monotonic() < ends:
            time.sleep(0.01)
    os._exit(0)
os.read(out, 1)
print("left it")
