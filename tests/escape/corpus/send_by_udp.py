# ruff: noqa: SIM115 - hostile, and short
"""Sends a datagram to a server on this machine."""

import json
import socket

STAGE = json.load(open("stage.json"))

sent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secret", ("127.0.0.1", STAGE["udp"]))
print("SENT", sent)
