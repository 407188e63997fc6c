"""Gherkin's keywords by language, as the Cucumber project lists them in `gherkin-languages.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Block = Literal["feature", "rule", "background", "outline", "scenario", "examples"]
Step = Literal["given", "when", "then", "and"]


@dataclass(frozen=True, slots=True)
class Language:
    blocks: dict[Block, tuple[str, ...]]
    """Words before a colon."""
    steps: dict[Step, tuple[str, ...]]
    """Words in front of a step, with the blank that ends them where there is one. `But` is `and`."""


LANGUAGES: dict[str, Language] = {
    "en": Language(
        {
            "feature": ("Feature", "Business Need", "Ability"),
            "rule": ("Rule",),
            "background": ("Background",),
            "outline": ("Scenario Outline", "Scenario Template"),
            "scenario": ("Scenario", "Example"),
            "examples": ("Examples", "Scenarios"),
        },
        {"given": ("Given ",), "when": ("When ",), "then": ("Then ",), "and": ("And ", "But ", "* ")},
    ),
    "de": Language(
        {
            "feature": ("Funktionalität", "Funktion"),
            "rule": ("Regel", "Rule"),
            "background": ("Grundlage", "Hintergrund", "Voraussetzungen", "Vorbedingungen"),
            "outline": ("Szenariogrundriss", "Szenarien"),
            "scenario": ("Szenario", "Beispiel"),
            "examples": ("Beispiele",),
        },
        {
            "given": ("Angenommen ", "Gegeben sei ", "Gegeben seien "),
            "when": ("Wenn ",),
            "then": ("Dann ",),
            "and": ("Und ", "Aber ", "* "),
        },
    ),
    "es": Language(
        {
            "feature": ("Característica", "Necesidad del negocio", "Requisito"),
            "rule": ("Regla de negocio", "Regla"),
            "background": ("Antecedentes",),
            "outline": ("Esquema del escenario",),
            "scenario": ("Escenario", "Ejemplo"),
            "examples": ("Ejemplos",),
        },
        {
            "given": ("Dado ", "Dada ", "Dados ", "Dadas "),
            "when": ("Cuando ",),
            "then": ("Entonces ",),
            "and": ("Y ", "E ", "Pero ", "* "),
        },
    ),
    "fr": Language(
        {
            "feature": ("Fonctionnalité",),
            "rule": ("Règle",),
            "background": ("Contexte",),
            "outline": ("Plan du scénario", "Plan du Scénario"),
            "scenario": ("Scénario", "Exemple"),
            "examples": ("Exemples",),
        },
        {
            "given": (
                "Soit ", "Sachant que ", "Sachant qu'", "Sachant ", "Etant donné que ", "Etant donné qu'",
                "Etant donné ", "Etant donnée ", "Etant donnés ", "Etant données ", "Étant donné que ",
                "Étant donné qu'", "Étant donné ", "Étant donnée ", "Étant donnés ", "Étant données ",
            ),
            "when": ("Quand ", "Lorsque ", "Lorsqu'"),
            "then": ("Alors ", "Donc "),
            "and": ("Et que ", "Et qu'", "Et ", "Mais que ", "Mais qu'", "Mais ", "* "),
        },
    ),
}  # fmt: skip
