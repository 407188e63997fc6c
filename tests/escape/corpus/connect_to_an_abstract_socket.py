# ruff: noqa: SIM115 - hostile, and short
"""Talks to a daemon through a socket without a file."""

import json
import socket

STAGE = json.load(open("stage.json"))

one = socket.socket(socket.AF_UNIX)
one.connect("\0" + STAGE["abstract"])
one.sendall(b"secret")
print("ESCAPED")
