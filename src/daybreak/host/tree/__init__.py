"""The files of a folder as one thing: listed, hashed, packed, unpacked.

A tree is its ordinary files: relative path, content, and whether each may be executed. Empty folders, times and
owners do not count. Symbolic links are refused, because what they mean depends on where they lie, but where a caller
says `links`: then they are part of it as they are, and nothing is read or written through one. Special files always
are refused. What tools leave behind (`IGNORED`) is not part of a tree, and stays where it is when a tree takes a
folder's place (`replace`). Whoever is to see a folder as it is asks for it `whole`: then only its `.git` is left out.

The folder may be the work of a program that means harm, and that may still run: no link is followed, not even in the
place of the folder itself; everything is counted (`Limits`) before the first byte is read; and the bytes that are
hashed are the bytes that are packed (`take`). Where the system has no descriptors of folders (Windows), paths are
used, which hold only against a program that has ended.
"""

from daybreak.host.tree.packed import MAGIC, check, unpack
from daybreak.host.tree.reading import pack, scan, take
from daybreak.host.tree.replacing import replace
from daybreak.host.tree.shape import (
    IGNORED,
    IGNORED_SUFFIXES,
    LIMITS,
    Entry,
    Limits,
    NotATree,
    NotUnpacked,
    PackDamaged,
    Taken,
    Tree,
    is_ignored,
    shown,
)

__all__ = [
    "IGNORED",
    "IGNORED_SUFFIXES",
    "LIMITS",
    "MAGIC",
    "Entry",
    "Limits",
    "NotATree",
    "NotUnpacked",
    "PackDamaged",
    "Taken",
    "Tree",
    "check",
    "is_ignored",
    "pack",
    "replace",
    "scan",
    "shown",
    "take",
    "unpack",
]
