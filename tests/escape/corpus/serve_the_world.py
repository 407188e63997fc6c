# ruff: noqa: SIM115 - hostile, and short
"""Opens a port for somebody outside to come in."""

import json
import socket

STAGE = json.load(open("stage.json"))

one = socket.socket()
one.bind(("127.0.0.1", STAGE["free"]))
one.listen()
one.settimeout(1)
one.accept()
print("ESCAPED")
