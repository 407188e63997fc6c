"""Names that the result uses, from the names in a specification.

`BookLoan` is `book loan` in messages, `book-loan` on the command line, `/book-loans` in paths and `book_loan`
in the data file. Plurals: -s; consonant + y becomes -ies; -s, -x, -ch and -sh get -es; `Plural:` overrules.
"""

from __future__ import annotations

import re

from daybreak.agents.entities import Entity

_EDGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\s_-]+")


def words(name: str) -> str:
    """`BookLoan` → `book loan`."""
    return " ".join(part.lower() for part in _EDGE.split(name) if part)


def plural_words(entity: Entity) -> str:
    """`BookLoan` → `book loans`."""
    return words(entity.plural) if entity.plural else pluralised(words(entity.name))


def camel(name: str) -> str:
    """`created_at` → `createdAt`."""
    first, *others = re.split(r"[_\s-]+", name)
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def pluralised(noun: str) -> str:
    """The plural of one noun; of several words that of the last."""
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def table(entity: Entity) -> str:
    """The SQL table; names that SQLite keeps for itself get a word in front."""
    name = words(entity.name).replace(" ", "_")
    return f"the_{name}" if name.startswith("sqlite") else name


def package(project: str) -> str:
    """`my-app` → `my_app`."""
    return project.replace("-", "_")


def variable(project: str) -> str:
    """The environment variable that names the data file: `MY_APP_DB`."""
    return package(project).upper() + "_DB"
