"""Text that was handed over is kept as a file of the home: each text once, under its hash, so that nothing of the
machine it came from is needed and nothing is ever overwritten. No worker sees the folder: a specification holds
examples that are held out from them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from daybreak.config import Places, usable
from daybreak.errors import cut
from daybreak.home.handover.words import TaskUnclear

TEXT_BYTES_MAX = 10_485_760
"""That of a specification; a task file has a smaller limit of its own."""
NAME = "specification.md"
"""What text is called that nobody names."""
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(md|markdown|yaml|yml|toml|json)")


def kept(places: Places, text: str, name: str | None) -> Path:
    """The file that holds exactly this text, on disk before this returns. Raises TaskUnclear for text that no file of
    ours can hold, and for a name that is none; PlaceUnusable."""
    from daybreak.host import durable

    called = NAME if name is None else name
    if not _NAMED.fullmatch(called):
        raise TaskUnclear(
            f"{cut(called)} is no name for a text",
            hint="letters, digits and ._- with one of the endings .md, .yaml, .toml, .json, such as shop.md",
        )
    data = _bytes(text)
    folder = usable(places.handed, "the folder of what was handed over") / hashlib.sha256(data).hexdigest()
    file = folder / called
    if not _holds(file, data):  # also where a crash left it without its name, or somebody has changed it
        durable.make_folder(folder)
        durable.write_synced(file, data)
    return file


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


def _holds(file: Path, data: bytes) -> bool:
    try:
        return not file.is_symlink() and file.read_bytes() == data
    except OSError:
        return False
