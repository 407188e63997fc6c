"""The catalogue of errors: every code with its cause, what to do about it, and how it is told.

Nothing of it is written by hand. `gathering` reads it out of the sources: the cause is the docstring of the class, what
to do are the hints at the places that raise it, and the examples are their messages. `python -m
daybreak.report.catalogue` writes what was found to `errors.json` beside this file, which `daybreak explain` reads, and
to docs/reference/errors.md; a test says when they are not what the sources say.
"""
