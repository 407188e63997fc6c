"""Where Daybreak runs from one file: whether what that has unpacked is still as it was."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from pathlib import Path

from daybreak.factory.bundling import here, listing, sealing
from daybreak.factory.health.finding import Finding

SHOWN_MOST = 3


def look(environment: Mapping[str, str]) -> list[Finding]:
    """Nothing where Daybreak is installed in another way."""
    root = here.root()
    if root is None:
        return []
    contents = listing.decoded((root / sealing.LISTED).read_bytes())
    wrong = sealing.differing(Path(sysconfig.get_path("purelib")), contents)
    if wrong:
        return [
            Finding(
                "bundle",
                "bad",
                f"{len(wrong)} unpacked files are not as they were: {', '.join(wrong[:SHOWN_MOST])}",
                f"remove {root}; the next start unpacks anew",
            )
        ]
    file = here.file(environment)
    text = f"{len(contents.files):,} files as packed, in {root}"
    if file is None:
        return [
            Finding("bundle", "note", f"{text}; the file itself is gone", "timers start it by its file: put it back")
        ]
    return [Finding("bundle", "good", f"{file}, {text}")]
