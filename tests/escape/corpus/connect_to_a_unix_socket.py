# ruff: noqa: SIM115 - hostile, and short
"""Talks to a daemon through its socket file."""

import json
import socket

STAGE = json.load(open("stage.json"))

one = socket.socket(socket.AF_UNIX)
one.connect(STAGE["unix"])
one.sendall(b"secret")
print("ESCAPED")
