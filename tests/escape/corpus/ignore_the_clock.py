"""Ignores being asked to end."""

import signal
import time

for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
ends = time.monotonic() + 20
while time.monotonic() < ends:
    pass
print("ESCAPED")
