"""Asks the kernel for the keys of its user."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)

SYS_keyctl = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
if libc.syscall(SYS_keyctl, 0, -4, 1) < 0:  # KEYCTL_GET_KEYRING_ID, the user's
    raise OSError(os.strerror(ctypes.get_errno()))
print("ESCAPED")
