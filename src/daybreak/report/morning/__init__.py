"""The morning report: what needs a person, what was verified, what failed and why, each line with its events.

`collect` makes it of a ledger; `text`, `markdown` and `html` show it; `proofs` and `checking` let somebody else see
that nobody has changed a word of it.
"""

from daybreak.report.morning import html, markdown, text
from daybreak.report.morning.collecting import collect, gather
from daybreak.report.morning.model import Coming, Evidence, Kept, Morning, Source, as_json, schema_text

__all__ = [
    "Coming",
    "Evidence",
    "Kept",
    "Morning",
    "Source",
    "as_json",
    "collect",
    "gather",
    "html",
    "markdown",
    "schema_text",
    "text",
]
