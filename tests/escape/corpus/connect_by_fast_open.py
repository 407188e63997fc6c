# ruff: noqa: SIM115 - hostile, and short
"""Connects by sending, without connecting."""

import json
import socket

STAGE = json.load(open("stage.json"))

one = socket.socket()
one.settimeout(2)
one.sendto(b"secret", 0x20000000, ("127.0.0.1", STAGE["tcp"]))
print("ESCAPED")
