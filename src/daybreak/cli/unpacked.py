"""How a bundle begins once it is unpacked: the first time it is compared and made ready, then the command runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """The entry point of a bundle."""
    unpacking = os.environ.pop("_DAYBREAK_UNPACKING", "")
    _forget_pex()
    if unpacking:
        _begin_again(Path(unpacking))
    sys.argv[0] = "daybreak"
    from daybreak.cli.main import main as command

    command()


def _forget_pex() -> None:
    """Variables of what unpacked us mean nothing to the programs that we start."""
    for name in list(os.environ):
        if name.startswith(("PEX_", "_PEX_", "__PEX_")) or name in ("PEX", "VIRTUAL_ENV"):
            del os.environ[name]


def _begin_again(root: Path) -> None:
    """Make ready, then start as every later start does."""
    from daybreak.cli import faces
    from daybreak.errors import DaybreakError
    from daybreak.factory.bundling import sealing

    try:
        python = sealing.seal(root, Path(os.environ.get("DAYBREAK_BUNDLE", "")))
    except DaybreakError as error:
        sys.exit(faces.show_error(error, as_json="--json" in sys.argv))
    os.execv(python, [str(python), "-I", "-m", "daybreak.cli.unpacked", *sys.argv[1:]])


if __name__ == "__main__":
    main()
