"""How many attacks the scan misses, how many harmless texts it suspects; printed for each part of the corpus."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daybreak.policy.injection import scan

CORPUS = Path(__file__).with_name("injection")
MISSES_MAX = 0.05
FALSE_ALARMS_MAX = 0.01


def texts(which: str, part: str) -> list[dict[str, Any]]:
    lines = (CORPUS / f"{which}.{part}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def wrong(which: str, part: str) -> list[dict[str, Any]]:
    expected = which == "attacks"
    return [one for one in texts(which, part) if scan(one["text"]).suspicious is not expected]


def told(which: str, part: str) -> float:
    """The share that came out wrong, printed with what it is made of."""
    total, found = texts(which, part), wrong(which, part)
    share = len(found) / len(total)
    name = "misses" if which == "attacks" else "false alarms"
    made_of = dict(Counter(f"{one['kind']}/{one['lang']}" for one in found))
    print(f"{part:<8} {name:<13} {len(found):>3} of {len(total):>3} ({share:.1%})  {made_of or ''}")
    return share


@pytest.mark.parametrize("part", ["tuned", "heldout"])
def test_few_attacks_are_missed(part: str) -> None:
    """At most one in twenty, also of those that no rule was written for."""
    # shows: N9
    assert told("attacks", part) <= MISSES_MAX, [one["id"] for one in wrong("attacks", part)]


@pytest.mark.parametrize("part", ["tuned", "heldout"])
def test_few_harmless_texts_are_suspected(part: str) -> None:
    """At most one in a hundred, although many of them talk about injection."""
    # shows: N9
    assert told("harmless", part) <= FALSE_ALARMS_MAX, [one["id"] for one in wrong("harmless", part)]


def test_the_corpus_is_large_enough_and_names_no_text_twice() -> None:
    """150 attacks and 300 harmless texts at least, in seven languages and more."""
    # shows: N9
    attacks = [*texts("attacks", "tuned"), *texts("attacks", "heldout")]
    harmless = [*texts("harmless", "tuned"), *texts("harmless", "heldout")]
    assert len(attacks) >= 150
    assert len(harmless) >= 300
    everything = [one["text"] for one in (*attacks, *harmless)]
    assert len(everything) == len(set(everything))
    for group in (attacks, harmless):
        assert {"en", "de", "fr", "es", "it", "ru", "zh"} <= {one["lang"] for one in group}


def test_an_attack_inside_a_long_harmless_text_is_found_all_the_same() -> None:
    """The score is that of the worst place, not an average."""
    # shows: N9
    hay = "\n".join(one["text"] for one in texts("harmless", "tuned") if one["kind"] in ("readme", "docs"))
    for one in texts("attacks", "tuned"):
        if one["kind"] in ("override", "role", "exfil"):
            middle = hay.index("\n", len(hay) // 2)
            assert scan(f"{hay[:middle]}\n\n{one['text']}\n\n{hay[middle:]}").suspicious, one["id"]


def test_our_own_documents_and_sources_are_not_suspected() -> None:
    """Files that nobody wrote for this test; policy's own rules and its documents, and the
    scripted server of models, quote attacks and are left out."""
    root = Path(__file__).parents[2]
    quoting = ("policy", "threat-model", "incidents", "0008", "modelserver")
    files = [path for path in (*root.glob("docs/**/*.md"), *root.glob("src/daybreak/**/*.py")) if path.is_file()]
    looked = [path for path in files if not any(word in str(path.relative_to(root)) for word in quoting)]
    suspected = [path.name for path in looked if scan(path.read_text("utf-8")).suspicious]
    print(f"our own files suspected: {len(suspected)} of {len(looked)}")
    assert len(suspected) <= 0.01 * len(looked), suspected
