"""Looks for descriptors that somebody forgot to close."""

import os

for name in os.listdir("/proc/self/fd"):
    if int(name) > 2 and not os.readlink(f"/proc/self/fd/{name}").startswith(("/proc/", os.getcwd())):
        print("ESCAPED", name, os.readlink(f"/proc/self/fd/{name}"))
raise SystemExit("nothing")
