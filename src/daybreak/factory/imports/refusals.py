"""Why a file cannot be imported at all. What can be imported but not understood is listed instead.

ImportRefused          S221  the file is not there, or cannot be read
├── ImportTooLarge     S222  more than people read
├── ImportEmpty        S223  nothing in it
├── ImportNoText       S224  not UTF-8, or no text at all
├── ImportWrongFormat  S225  not this format, or not known which
├── ImportBroken       S226  the syntax of its format is broken
├── ImportBomb         S227  nested too deep, or grows without end when it is read out
└── ImportCircular     S228  a reference leads back to itself
"""

from __future__ import annotations

from daybreak.errors import SpecError


class ImportRefused(SpecError):
    """A file cannot be imported; nothing was written."""

    code = "S221"


class ImportTooLarge(ImportRefused):
    """It is larger than anything that people read."""

    code = "S222"


class ImportEmpty(ImportRefused):
    """There is nothing in it."""

    code = "S223"


class ImportNoText(ImportRefused):
    """It is not UTF-8, or no text at all."""

    code = "S224"


class ImportWrongFormat(ImportRefused):
    """It is not what it was said to be, or nothing that is known here."""

    code = "S225"


class ImportBroken(ImportRefused):
    """It breaks the grammar of its own format."""

    code = "S226"


class ImportBomb(ImportRefused):
    """Nested too deep, or it would grow without end."""

    code = "S227"


class ImportCircular(ImportRefused):
    """A reference that leads back to itself stands for nothing."""

    code = "S228"
