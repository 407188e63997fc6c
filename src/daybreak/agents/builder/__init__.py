"""The embedded builder: from key entities to a complete, tested project in Python.

What it makes is written down in the specification format. Where that is silent, it decided:

* Values. JSON's own types count (`"412"` is no whole number); a JSON number in exponent form is written out
  as a decimal; a date is its first moment where it is compared with a timestamp; `today` and `now` are UTC.
  Timestamps need a time; fractions of a second are dropped. Every wrong element of a list is told.
* Zero has no sign: `-0` is 0, and so are a decimal's `-0.00` and a mean that rounds to nothing. No key is a number,
  whatever its sign.
* A field with several broken rules is told with each. Values are checked before conflicts are looked for.
* Explicitly empty (`--shelf ""`, null, an empty cell) means missing; only what is absent gets its default.
* `id` can be filtered and sorted by; so can links over HTTP. A value other than a list's is given once.
* What an action asks for must be given. Its state is checked before its values. `add` to a missing value
  counts from 0.
* PUT keeps a field that only actions change where it is absent. An immutable field may come back unchanged.
* A record that is itself being deleted holds nothing. Everything that is still used is named, a line each.
* Totals: tables are separated by an empty line, the month's column is `month`, a mean shows two places;
  `--json` and HTTP give an array with an array of objects for each line. Without `by` there is one row.
* Lists are shown with `, ` between their elements; in CSV a cell is quoted only where it must be.
* Import tells the problems of all rows; a value that occurs twice in a file is used by that line or record.
* A slug of what gives none, a number, or a word that has an address gets the entity's name in front.
* What may not be seen is missing (404); then comes whether somebody is logged in (401), then whose it is (403).
* A relation that is there already begins again, and one that is not ends, without complaint; also with oneself.
* What is within another record has its own id, and only one address. Refs sort by id, whatever they are shown by.
* Logging in takes the same time whether or not there is such a user. Sessions that have ended go with the next login.
* Code and tests name the requirements that they are there for, where one names the other (`requirements`).
* With a `prefix`, /health and /openapi.json are found both with and without it.
"""

from __future__ import annotations

from daybreak.agents.builder.project import generate
from daybreak.agents.builder.worker import Builder

__all__ = ["Builder", "generate"]
