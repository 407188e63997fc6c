"""Acceptance examples: under which requirements each block stands, its id, and what is wrong inside it."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter

from daybreak.checks.example import Example
from daybreak.factory.spec.draft import DraftExample
from daybreak.factory.spec.model import Interface
from daybreak.factory.spec.problems import Problems, cut, listed, meant

MENTION = re.compile(r"(?<![A-Za-z0-9-])FR-\d+(?![A-Za-z0-9])", re.IGNORECASE | re.ASCII)
HEADING = "### FR-002 lending"


def read(
    drafts: list[DraftExample],
    requirements: list[str],
    *,
    name: str,
    interfaces: tuple[Interface, ...],
    requirements_known: bool,
    problems: Problems,
) -> tuple[Example, ...]:
    """The examples in order; what is wrong with them becomes problems.

    `requirements_known` is False where requirements are missing because they could not be read: then an
    unknown number is not told a second time.
    """
    told: set[int] = set()
    found = []
    for draft, id_ in zip(drafts, identities(drafts), strict=True):
        title = draft.title.text if draft.title else ""
        shown = _requirements(draft, requirements, requirements_known, told, problems)
        _faces(draft, interfaces, problems)
        _faults(draft, name, problems)
        found.append(
            Example(
                id=id_,
                kind=draft.kind,
                title=title,
                requirements=tuple(shown),
                body=body_of(draft),
                line=draft.body.line_of(0),
            )
        )
    return tuple(found)


def body_of(draft: DraftExample) -> str:
    """The block's text, ending in a newline unless it is empty."""
    text = draft.body.text
    return text if not text or text.endswith("\n") else text + "\n"


def identities(drafts: list[DraftExample]) -> list[str]:
    """For each block the first 12 hex digits of the SHA-256 of the JSON array [kind, heading, body, n].

    n counts from 0 through blocks whose kind, heading and body are equal. UTF-8, no blanks, Unicode unescaped.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    ids = []
    for draft in drafts:
        key = (draft.kind, draft.title.text if draft.title else "", body_of(draft))
        text = json.dumps([*key, seen[key]], ensure_ascii=False, separators=(",", ":"))
        ids.append(hashlib.sha256(text.encode()).hexdigest()[:12])
        seen[key] += 1
    return ids


def _requirements(
    draft: DraftExample, known: list[str], requirements_known: bool, told: set[int], problems: Problems
) -> list[str]:
    if draft.title is None:
        line = draft.first or draft.body.line
        problems.add(line, "S160", "this block stands under no heading", f"write a heading above it: {HEADING}")
        return []
    title, line = draft.title.text, draft.title.line
    mentioned = list(dict.fromkeys(MENTION.findall(title)))
    if line in told:
        return [id_ for id_ in mentioned if id_ in known]
    told.add(line)
    if not mentioned:
        problems.add(
            line,
            "S160",
            f"the heading {cut(title)!r} names no requirement, so its blocks show nothing",
            f"write the numbers that they show: {HEADING}",
        )
    for id_ in mentioned:
        if id_ not in known and requirements_known:
            otherwise = f"the requirements are {listed(known)}" if known else "write the requirement first"
            problems.add(line, "S161", f"there is no requirement {id_}", meant(id_, known, otherwise))
    return [id_ for id_ in mentioned if id_ in known]


def _faces(draft: DraftExample, interfaces: tuple[Interface, ...], problems: Problems) -> None:
    line = draft.first or draft.body.line
    if draft.kind == "http" and "http" not in interfaces:
        problems.add(
            line,
            "S164",
            "an http block, but the result has no http face",
            "write interfaces: [cli, http] in front, or use console",
        )
    if draft.kind == "console" and "cli" not in interfaces:
        problems.warn(
            line,
            "S184",
            "a console block, but the result has no cli face",
            "write interfaces: [cli, http] in front, or use http",
        )


def _faults(draft: DraftExample, name: str, problems: Problems) -> None:
    from daybreak.checks.examples import faults  # late: it loads what runs examples

    for fault in faults(draft.kind, body_of(draft), product=name or None):
        problems.add(draft.body.line_of(fault.line), "S163", fault.message, fault.remedy)
