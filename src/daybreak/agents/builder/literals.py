"""Values as source text."""

from __future__ import annotations

import json
import re


def python_literal(value: object) -> str:
    """The value as Python source, in ASCII where it is text that is hard to read otherwise."""
    if isinstance(value, str) and "\\" in value and value.isprintable() and not re.search(r"\"|\\$", value):
        return f'r"{value}"'
    if isinstance(value, str):
        return repr(value) if value.isprintable() else ascii(value)
    return repr(value)


def toml_literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
