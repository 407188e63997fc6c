"""The pieces of the page, one for each thing that a report holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from daybreak.report.morning import words
from daybreak.report.morning.model import (
    Coming,
    Cost,
    Decision,
    Evidence,
    Failure,
    Morning,
    Notice,
    Open,
    Result,
    Said,
    Try,
)
from daybreak.report.shown import shown

MUCH_PERCENT = 80
LINKS_MAX = 8
"""More links to events than these are folded."""


_TOWER = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u0610-\u061a\u064b-\u065f\u0e31-\u0e3a\u0e47-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20ff\ufe20-\ufe2f]{4})[\u0300-\u036f\u0483-\u0489\u0610-\u061a\u064b-\u065f\u0e31-\u0e3a\u0e47-\u0e4e"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
"""Marks piled on one letter: so many that they would strike through what stands above."""


def said(text: str) -> str:
    """Text for the page: no mark-up, nothing that turns the direction of writing round or paints over others."""
    return escape(_TOWER.sub(r"\1…", shown(text)), quote=True)


def proofs(evidence: Sequence[Evidence]) -> str:
    """Links to the events, each with its place and its leaf."""
    if not evidence:
        return ""
    links = [f'<a href="#e{one.index}">{said(one.place)}</a> leaf {one.index}' for one in evidence]
    told = ", ".join(links)
    if len(links) > LINKS_MAX:
        return _folded(f"Its {len(links)} events", f'<p class="proof">{told}</p>')
    return f'<p class="proof">{told}</p>'


def decision(one: Decision, report: Morning) -> str:
    when = f"waits since {words.clock(one.since, report)}"
    when += f", deadline {words.clock(one.deadline, report)}" if one.deadline else ""
    return _card(
        one.run,
        one.title,
        report,
        f'<p class="question">{said(one.question)}</p>',
        _why(one.why),
        _why(one.hint),
        f'<p class="facts">{said(when)}</p>',
        _commands(one.commands[:1]),
        _folded("Other ways", _commands(one.commands[1:])) if one.commands[1:] else "",
        _tries(one.tried),
        proofs(one.evidence),
        link="Answer in the browser",
    )


def result(one: Result, report: Morning) -> str:
    about = "; ".join(words.coverage(one))
    return _card(
        one.run,
        one.title,
        report,
        _why(one.unverified),
        f'<p class="facts">{said(about)}</p>' if about else "",
        f'<p class="facts">at <span class="code">{said(one.output)}</span></p>' if one.output else "",
        f'<p class="facts">{said(signed)}</p>' if (signed := words.provenance(one)) else "",
        "".join(_said(each, report) for each in one.said),
        _folded("Accept, reject, undo", _commands(one.commands)) if one.commands else "",
        _tries(one.tried),
        proofs(one.evidence),
        link="Open in the browser",
        mark="s" if "skeleton" in one.marks else "r",
    )


def failure(one: Failure, report: Morning) -> str:
    code = f'<span class="code">{said(one.code)}</span> ' if one.code else ""
    return _card(
        one.run,
        one.title,
        report,
        f'<p class="why">{code}{said(one.why)}</p>',
        f'<p class="facts">Next: {said(one.hint)}</p>' if one.hint else "",
        "".join(_said(each, report) for each in one.said),
        _commands(one.commands),
        _tries(one.tried),
        proofs(one.evidence),
        link="Open in the browser",
    )


def unfinished(one: Open, report: Morning) -> str:
    why = f": {said(one.why)}" if one.why else ""
    since = f" since {words.clock(one.since, report)}" if one.since else ""
    return (
        f'<h3>{said(one.title or one.run)}</h3><p class="facts">{said(one.run)} is {said(one.state)}{since}{why}</p>'
        f"{proofs(one.evidence)}"
    )


def cost(one: Cost, report: Morning) -> str:
    bars = "".join(_bar(percent) for _, percent in words.share(one))
    return f"<p>{said(words.cost(one))}</p>{bars}{proofs(one.evidence)}"


def _bar(percent: int) -> str:
    """Beside the words, which say the same."""
    how = "over" if percent > 100 else "much" if percent >= MUCH_PERCENT else "fill"
    width = min(percent, 100)
    return (
        '<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="4"/><rect class="{how}" width="{width}" height="4"/></svg>'
    )


def notice(one: Notice, report: Morning) -> str:
    level = ("", "worth a look: ", "act: ", "stopped the night: ")[min(one.level, 3)]
    state = '<span class="open">open</span> ' if one.open else ""
    run = f' (<a href="#r-{_anchor(one.run)}">{said(one.run)}</a>)' if one.run else ""
    return f"<p>{state}{level}<b>{said(one.what)}</b>: {said(one.text)}{run}</p>{proofs(one.evidence)}"


def coming(one: Coming, report: Morning) -> str:
    run = f' <span class="soft">{said(one.run)}</span>' if one.run else ""
    return f"<p><b>{said(words.clock(one.when, report) or 'at once')}</b> {said(one.what)}{run}</p>"


def _card(run: str, title: str, report: Morning, *parts: str, link: str, mark: str = "r") -> str:
    browser = ""
    if report.address.startswith(("http://", "https://")):
        browser = f' <a href="{said(report.address.rstrip("/"))}/runs/{_anchor(run)}">{link}</a>'
    name = f'<p class="facts"><span class="code">{said(run)}</span>{browser}</p>'
    inside = "\n".join(part for part in (f"<h3>{said(title or run)}</h3>", name, *parts) if part)
    return f'<article class="card" id="{mark}-{_anchor(run)}">\n{inside}\n</article>'


def _anchor(run: str) -> str:
    return said(quote(run, safe=""))


def _why(text: str) -> str:
    return f'<p class="why">{said(text)}</p>' if text else ""


def _commands(commands: Sequence[str]) -> str:
    if not commands:
        return ""
    lines = "".join(f'<li><code class="code">{said(one)}</code></li>' for one in commands)
    return f'<ul class="do">{lines}</ul>'


def _said(one: Said, report: Morning) -> str:
    text = f": {said(one.text)}" if one.text else ""
    return (
        f'<div class="said"><b>{said(one.word)}</b> by {said(one.who)}, {words.clock(one.at, report)}{text}'
        f"{proofs([one.evidence])}</div>"
    )


def _folded(title: str, inside: str) -> str:
    return f"<details><summary>{title}</summary>{inside}</details>"


def _tries(tried: Sequence[Try]) -> str:
    if not tried:
        return ""
    many = words.attempts(tried)
    inside = "".join(_try(one) for one in tried)
    return _folded(f"What was tried: {many}", f'<ol class="tries">{inside}</ol>')


def _try(one: Try) -> str:
    asked = f" ({said(one.why)})" if one.why else ""
    text = f": {said(one.said)}" if one.said else ""
    found = "".join(f"<li>{said(reason)}</li>" for reason in one.found)
    reasons = f'<ul class="found">{found}</ul>' if found else ""
    return (
        f'<li value="{one.attempt}"><b>{said(one.worker)}</b>{asked} claims {said(one.outcome)}{text}'
        f"{reasons}{proofs(one.evidence)}</li>"
    )
