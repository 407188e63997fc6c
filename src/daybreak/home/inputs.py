"""What a path or a number may look like, whoever types or sends it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daybreak.errors import UsageError, cut

PATH_BYTES_MAX = 4095
NAME_BYTES_MAX = 255
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class ArgumentWrong(UsageError):
    """A path that no system takes, or something else where a whole number is wanted."""

    code = "U115"


def path(text: str | Path) -> Path:
    """A path as typed. Raises ArgumentWrong: an empty one would silently be the working directory."""
    told = os.fspath(text)
    size = len(os.fsencode(told))
    if not told:
        raise ArgumentWrong(
            "an empty path was given", hint="write . for the folder you are in, or leave the option out"
        )
    if size > PATH_BYTES_MAX or any(len(os.fsencode(part)) > NAME_BYTES_MAX for part in told.split("/")):
        raise ArgumentWrong(
            f"{cut(told)} is too long for a path",
            hint=f"no system takes more than {PATH_BYTES_MAX} bytes, {NAME_BYTES_MAX} between two slashes",
        )
    return Path(told)


def whole(least: int, most: int) -> Callable[[Any], int]:
    """Reads whole numbers of that range in plain digits: no `１０`, `1_0`, `+1`, `1.0`. Raises ArgumentWrong."""

    def number(text: str | int) -> int:
        told = str(text)
        if not _WHOLE.fullmatch(told) or not least <= int(told) <= most:
            raise ArgumentWrong(
                f"{cut(told)} is no whole number from {least} to {most}", hint="write it with the digits 0 to 9 alone"
            )
        return int(told)

    return number
