"""Opens a socket to the machine that this virtual machine runs on."""

import socket

socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
print("ESCAPED")
