"""Makes a user namespace, in which it would be root."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)

if libc.unshare(0x10000000) != 0:
    raise OSError(os.strerror(ctypes.get_errno()))
print("ESCAPED")
