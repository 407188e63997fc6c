"""Mounts everything again, writable, in a mount namespace of its own."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)

if libc.unshare(0x00020000) != 0:  # CLONE_NEWNS
    failed = os.strerror(ctypes.get_errno())
    if libc.unshare(0x10020000) != 0:
        raise OSError(failed)
libc.mount(b"none", b"/", None, 0x44000, None)  # private, so that it is nobody else's
if libc.mount(b"none", b"/", None, 0x1020, None) != 0:  # MS_REMOUNT | MS_BIND, not read-only
    raise OSError(os.strerror(ctypes.get_errno()))
print("ESCAPED")
