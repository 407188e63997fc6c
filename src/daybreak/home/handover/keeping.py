"""Text that was handed over lies in a file while it is read, and no longer: what comes of it stands whole in the
ledger, so nothing is left that could be changed, lost or pile up. No worker sees the folder: a specification holds
examples that are held out from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daybreak.config import Places, usable
from daybreak.errors import cut
from daybreak.home.handover.words import TaskUnclear

TEXT_BYTES_MAX = 10_485_760
"""That of a specification; a task file has a smaller limit of its own."""
NAME = "specification.md"
"""What text is called that nobody names."""
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(md|markdown|yaml|yml|toml|json)")


@contextmanager
def lying(places: Places, text: str, name: str | None) -> Iterator[Path]:
    """The file that holds exactly this text, in a folder of its own that is gone afterwards. Raises TaskUnclear for
    text that no file of ours can hold, and for a name that is none; PlaceUnusable, NoScratch."""
    from daybreak.host import removal

    called = NAME if name is None else name
    if not _NAMED.fullmatch(called):
        raise TaskUnclear(
            f"{cut(called)} is no name for a text",
            hint="letters, digits and ._- with one of the endings .md, .yaml, .toml, .json, such as shop.md",
        )
    data = _bytes(text)
    folder = usable(places.handed, "the folder of what was handed over")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with removal.scratch(folder) as own:
        file = own / called
        file.write_bytes(data)
        yield file


def _bytes(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise TaskUnclear("the text holds half of a surrogate pair", hint="send it as UTF-8") from error
    if not text.strip():
        raise TaskUnclear("the text is empty", hint="send the specification or the task file itself")
    if len(data) > TEXT_BYTES_MAX:
        raise TaskUnclear(f"the text has {len(data):,} bytes", hint=f"at most {TEXT_BYTES_MAX:,}")
    return data
