"""A report as one page that needs no server, no network and no script: phone first, light and dark, good on paper.

Everything that others wrote goes through `said`, so no text can become mark-up. The page is a pure function of the
report and of the events it stands on: `checking` makes it again and compares every byte.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any

from daybreak.report.morning import cards, words
from daybreak.report.morning.cards import proofs, said
from daybreak.report.morning.model import Fact, Morning

PAGE = 1
"""The version of the page: one of another version cannot be made again, byte for byte."""
BEGIN, END = '<template id="daybreak-proof">', "</template>"
"""Around the proof, which is base64 and nothing else."""

_TILES = (
    ("decisions", "for you"),
    ("verified", "verified"),
    ("claimed", "only claimed"),
    ("failed", "failed"),
    ("unfinished", "unfinished"),
    ("incidents", "incidents"),
)
_Show = Callable[[Any, Morning], str]
_CARDS: dict[str, _Show] = {
    "decisions": cards.decision,
    "verified": cards.result,
    "claimed": cards.result,
    "failed": cards.failure,
}
_LONG = frozenset({"verified", "claimed"})
"""Parts that need nobody: what is beyond `OPEN_MAX` of them is folded, so that what failed is not far below."""
OPEN_MAX = 25
_ROWS: dict[str, _Show] = {
    "unfinished": cards.unfinished,
    "cost": cards.cost,
    "incidents": cards.notice,
    "breakers": cards.notice,
    "repairs": cards.notice,
    "lapses": cards.notice,
    "notices": cards.notice,
    "coming": cards.coming,
}


def render(report: Morning, facts: Sequence[Fact] = (), proof: str = "") -> str:
    """The page. `facts`: the events that it shows; `proof`: what `proofs.embed` made of them, empty for none."""
    body = [
        *_header(report),
        "<main>",
        *(line for part in words.TITLES for line in _part(part, report)),
        *_events(facts, report),
        "</main>",
        *_footer(report, proof),
    ]
    head = [
        "<!doctype html>",
        f'<html lang="en" data-page="{PAGE}">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{said(words.title(report))}: {said(report.sentence)}</title>",
        f"<style>{style()}</style>",
        "</head>",
        "<body>",
    ]
    return "\n".join([*head, *body, "</body>", "</html>", ""])


@cache
def style() -> str:
    return resources.files("daybreak.report.morning").joinpath("page.css").read_text("utf-8")


def policy() -> str:
    """What a browser may do with the page: nothing but this one style."""
    digest = base64.b64encode(sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _header(report: Morning) -> list[str]:
    counts = {
        name: sum(one.open for one in report.incidents) if name == "incidents" else len(getattr(report, name))
        for name, _ in _TILES
    }
    tiles = [
        f'<li class="t-{name}"><a href="#{name}"><b>{counts[name]}</b><span>{label}</span></a></li>'
        for name, label in _TILES
        if counts[name] or name in ("decisions", "verified", "failed")
    ]
    return [
        "<header>",
        '<p class="brand">Daybreak</p>',
        f"<h1>{said(words.title(report))}</h1>",
        f'<p class="span">{said(words.span(report))}</p>',
        f'<p class="verdict">{said(report.sentence)}</p>',
        proofs(report.evidence),
        f'<ul class="tiles">{"".join(tiles)}</ul>',
        "</header>",
    ]


def _part(name: str, report: Morning) -> list[str]:
    title = words.TITLES[name]
    if name == "kept":
        return _kept(report, title)
    found = getattr(report, name)
    if not found:
        nothing = _NOTHING.get(name)
        return [*_head(name, title, 0), f'<p class="none">{nothing}</p>', "</section>"] if nothing else []
    if name in _CARDS:
        made = [_CARDS[name](one, report) for one in found]
        if name in _LONG and len(made) > OPEN_MAX:
            more = f"<details><summary>{len(made) - OPEN_MAX} more</summary>"
            made = [*made[:OPEN_MAX], more, *made[OPEN_MAX:], "</details>"]
        return [*_head(name, title, len(found)), *made, "</section>"]
    rows = [f"<li>{_ROWS[name](one, report)}</li>" for one in found]
    return [*_head(name, title, len(found)), '<ul class="rows">', *rows, "</ul>", "</section>"]


_NOTHING = {
    "decisions": "Nothing waits for you.",
    "verified": "Nothing was verified.",
    "failed": "Nothing failed.",
}


def _head(name: str, title: str, count: int) -> list[str]:
    many = f' <span class="n">{count}</span>' if count else ""
    return [
        f'<section class="k-{name}" id="{name}" aria-labelledby="h-{name}">',
        f'<h2 id="h-{name}">{title}{many}</h2>',
    ]


def _kept(report: Morning, title: str) -> list[str]:
    kept = report.kept
    if kept is None:
        return []
    lines = [f'{words.number(kept.size)} events, root <span class="code">{said(kept.root)}</span>']
    lines += [said(line.strip()) for line in kept.lines]
    return [
        *_head("kept", title, 0),
        '<ul class="rows">',
        *(f"<li>{line}</li>" for line in lines),
        "</ul>",
        "</section>",
    ]


def _events(facts: Sequence[Fact], report: Morning) -> list[str]:
    if not facts:
        return []
    rows = []
    for fact in facts:
        told = json.dumps(fact.fields, ensure_ascii=False, sort_keys=True)
        who = f" by {said(fact.actor)}" if fact.actor else ""
        rows.append(
            f'<li id="e{fact.index}"><b>{said(f"{fact.stream}#{fact.seq}")}</b> leaf {fact.index}, '
            f"{said(fact.type)}, {words.clock(fact.ts, report)}{who}<code>{said(told)}</code></li>"
        )
    return [*_head("events", "Evidence", len(facts)), '<ol class="events">', *rows, "</ol>", "</section>"]


def _footer(report: Morning, proof: str) -> list[str]:
    made = f"Made {said(words.at(report.made, report))} {said(words.zone(report))}."
    if not proof:
        return ["<footer>", f"<p>{made} No proof is embedded.</p>", "</footer>"]
    check = '<span class="code">daybreak report check FILE</span>'
    return [
        "<footer>",
        f"<p>{made} The proof is embedded: {check} recomputes it offline and makes this page again.</p>",
        "</footer>",
        f"{BEGIN}{proof}{END}",
    ]
