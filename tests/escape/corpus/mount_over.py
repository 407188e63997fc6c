"""Mounts a file system over a folder of its own, where it stands."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)

os.mkdir("mounted")
if libc.unshare(0x10020000) == 0:
    libc.mount(b"none", b"/", None, 0x44000, None)
if libc.mount(b"tmpfs", b"mounted", b"tmpfs", 0, None) != 0:
    raise OSError(os.strerror(ctypes.get_errno()))
print("ESCAPED")
libc.umount2(b"mounted", 2)
