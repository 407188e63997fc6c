"""Daybreak with all it needs in one file, tried out before anybody gets it.

    made = bundling.make(Path("daybreak.pyz"), extras=("postgres",))

What is packed is what is installed here, so nothing is fetched. Docs: `docs/decisions/0023-bundle.md`.
"""

from daybreak.factory.bundling.listing import Contents, Distribution, LeftOut, NotABundle, read
from daybreak.factory.bundling.making import Bundle, make
from daybreak.factory.bundling.packing import BundlerMissing, NotPacked
from daybreak.factory.bundling.placing import NoRoomForBundle, TargetRefused
from daybreak.factory.bundling.required import ExtraUnknown, InstalledDiffers
from daybreak.factory.bundling.trying import BundleFailed, Tried

__all__ = [
    "Bundle",
    "BundleFailed",
    "BundlerMissing",
    "Contents",
    "Distribution",
    "ExtraUnknown",
    "InstalledDiffers",
    "LeftOut",
    "NoRoomForBundle",
    "NotABundle",
    "NotPacked",
    "TargetRefused",
    "Tried",
    "make",
    "read",
]
