"""Which requirements an input touches, by the words that they share: a hint for people, decided by nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from daybreak.agents import naming
from daybreak.agents.entities import Entity
from daybreak.factory.spec.model import Specification

_SAME = {
    "add": "add enter create keep record register store put new",
    "show": "show see display look",
    "list": "list find filter sort search order show see page",
    "edit": "edit change update correct alter",
    "delete": "delete remove drop needed refuse",
    "conflict": "unique same twice second duplicate conflict already refuse nobody",
    "invalid": "refuse reject invalid valid wrong between least most must",
    "totals": "total sum count mean average",
    "transfer": "import export file csv json",
    "http": "http api request",
    "console": "command line console",
}
_WORD = re.compile(r"[a-z][a-z0-9]+")
_ENDINGS = re.compile(r"(ies|es|s|ing|ed|e)$")


def _stem(word: str) -> str:
    return _ENDINGS.sub("", word) or word


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text.lower())}


class Touching:
    def __init__(self, spec: Specification) -> None:
        self._requirements = [(one.id, _stems(one.text)) for one in spec.requirements]
        self._found: dict[tuple[str, ...], tuple[str, ...]] = {}

    def ids(self, entity: Entity, verbs: Iterable[str], field: str = "") -> tuple[str, ...]:
        """Ids of the requirements that share most words with what is done to which field of what; none where they
        do not even share the entity or the verb."""
        key = (entity.name, *sorted(verbs), "", field)
        if key not in self._found:
            noun = _stems(naming.words(entity.name)) | _stems(naming.plural_words(entity))
            doing: set[str] = set()
            for verb in key[1:-2]:
                doing |= _stems(_SAME.get(verb, naming.words(verb)))
            about = _stems(naming.words(field)) if field else set()
            scores = {
                id_: 3 * bool(words & noun) + 2 * bool(words & about) + min(2, len(words & doing))
                for id_, words in self._requirements
            }
            best = max(scores.values(), default=0)
            self._found[key] = tuple(id_ for id_, score in scores.items() if score == best and best > 1)
        return self._found[key]
