"""Writes the catalogue: `python -m daybreak.report.catalogue`, in the folder of the project."""

from __future__ import annotations

import sys
from pathlib import Path

from daybreak.report.catalogue.entry import DATA, written
from daybreak.report.catalogue.gathering import gathered
from daybreak.report.catalogue.page import page

PAGE = Path("docs") / "reference" / "errors.md"


def main() -> None:
    found = gathered(DATA.parents[2])
    DATA.write_text(written(found), encoding="utf-8")
    if not PAGE.parent.is_dir():
        sys.exit(f"there is no folder {PAGE.parent} here: run this in the folder of the project")
    PAGE.write_text(page({one.code: one for one in found}), encoding="utf-8")


if __name__ == "__main__":
    main()
