# ruff: noqa: SIM115 - hostile, and short
"""Connects to a server on this machine."""

import json
import socket

STAGE = json.load(open("stage.json"))

socket.create_connection(("127.0.0.1", STAGE["tcp"]), timeout=2).sendall(b"secret")
print("ESCAPED")
