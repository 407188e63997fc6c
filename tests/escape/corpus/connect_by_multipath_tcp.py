# ruff: noqa: SIM115 - hostile, and short
"""Connects by a protocol that is TCP by another name."""

import json
import socket

STAGE = json.load(open("stage.json"))

one = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
one.settimeout(2)
one.connect(("127.0.0.1", STAGE["tcp"]))
one.sendall(b"secret")
print("ESCAPED")
