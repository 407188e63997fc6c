"""Secrets in text: found by the shapes that issuers give them, by what they stand beside, and by how random they are.

For logs, events and messages. Few false alarms matter as much as few misses, or nobody reads the log: hashes, UUIDs,
placeholders and words stay. A secret of a shape that nobody knows, beside no telling name, is not found.
A secret that a colour sequence touches or cuts into pieces is found as well; such a text comes back without colours.
Linear in the length of the text: a pattern runs only where its mark is in the text, and every quantifier is bounded.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import NamedTuple


class Redacted(NamedTuple):
    """`text` with `[redacted KIND]` in place of each secret; `kinds` as often as found."""

    text: str
    kinds: tuple[str, ...]


class _Shape(NamedTuple):
    kind: str
    marks: tuple[str, ...]
    """One of these is in every such secret."""
    pattern: re.Pattern[str]


def _shape(kind: str, marks: str, pattern: str, *, inside: bool = False) -> _Shape:
    """`inside`: found in the middle of a word as well. The others may follow `_`, as in `KEY_ghp_...`, but no letter:
    `task-` ends with the beginning of a key."""
    return _Shape(kind, tuple(marks.split()), re.compile(pattern if inside else rf"(?<![A-Za-z0-9])(?:{pattern})"))


_SHAPES = (
    _shape("note key", "PRIVATE+KEY+", r"PRIVATE\+KEY\+[A-Za-z0-9+/=._-]{20,400}", inside=True),
    _shape("capability key", "-private/", r"(?:ed25519|secp256r1)-private/[0-9a-fA-F]{64}", inside=True),
    _shape("capability token", "dbt1.", r"dbt1\.[A-Za-z0-9_=-]{40,70000}", inside=True),
    _shape("aws key id", "AKIA ASIA ABIA ACCA", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    _shape(
        "github token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255})\b",
    ),
    _shape("gitlab token", "glpat- gldt- glrt- glptt- glcbt-", r"gl(?:pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20,200}"),
    _shape("slack token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    _shape(
        "slack webhook", "hooks.slack.com", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,200}"
    ),
    _shape("stripe key", "_live_ _test_ whsec_", r"(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,250}\b"),
    _shape("anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{20,250}"),
    _shape("openai key", "sk-", r"sk-(?:proj-|svcacct-|admin-)?(?=[A-Za-z_-]{0,60}\d)[A-Za-z0-9_-]{32,250}"),
    _shape("google key", "AIza", r"AIza[A-Za-z0-9_-]{35}\b"),
    _shape("google token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,400}"),
    _shape("hugging face token", "hf_", r"hf_[A-Za-z0-9]{30,60}\b"),
    _shape("npm token", "npm_", r"npm_[A-Za-z0-9]{36}\b"),
    _shape("pypi token", "pypi-Ag", r"pypi-Ag[A-Za-z0-9_-]{40,400}"),
    _shape("sendgrid key", "SG.", r"SG\.[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{30,60}"),
    _shape("telegram token", ":AA", r"\d{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    _shape("docker token", "dckr_pat_", r"dckr_pat_[A-Za-z0-9_-]{20,60}"),
    _shape("vault token", "hvs. hvb. hvr.", r"hv[sbr]\.[A-Za-z0-9_-]{24,250}"),
    _shape("age key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{50,70}\b"),
    _shape("jwt", ".eyJ", r"eyJ[A-Za-z0-9_-]{8,600}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{10,2000}"),
)

_PEM_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")

_URL = re.compile(r"\b(?P<head>[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,100}:)(?P<value>[^\s/@\"'<>]{1,200})(?=@)")
_HEADER = re.compile(
    r"(?i)\b(?P<head>(?:authorization[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']?(?:bearer|basic|token|digest)|bearer)"
    r"[ \t]{1,3})"
    r"(?P<value>[A-Za-z0-9._~+/=-]{8,2000})"
)
_NAMED = re.compile(
    r"(?i)(?P<head>(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|(?:access|private|auth|encryption|signing)"
    r"[_-]?key|credential)[a-z0-9_]{0,30}[\"']?[ \t]{0,3}(?:=>|:=|[:=])[ \t]{0,3})"
    r"(?:(?P<quote>[\"'])(?P<quoted>[^\"'\s]{6,400})(?P=quote)|(?P<bare>[^\s\"'`<>,;(){}\[\]]{8,400}))"
)
_NAMES = re.compile(r"(?i)passw|passphrase|pwd|secret|token|key|credential")

_DUMMY = re.compile(r"(?i)example|change[_-]?me|placeholder|your[_-]|redacted|dummy|xxxx|\.\.\.|…")
_PLACEHOLDER = re.compile(
    r"(?i)sample|insert|todo|1234567|abcdef|hunter2|getenv|environ|process\.env|secrets?\.|config\.|settings\.|self\."
    r"|args\.|vars\.|^[x*.•_-]+$|^[<$%{\[]|^/|^https?:"
    r"|^(?:none|null|undefined|true|false|string|str|int|bytes|password|passw|pass|pwd|secret|token)$"
    r"|^[a-z]{2,20}(?:[_.-][a-z]{2,20}){1,8}(?:[_.-]\d{1,2})?$"
)


_COLOURS = re.compile("(?:\x1b\\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]")
"""What a terminal obeys and does not show. It ends with a letter, which looks like the beginning of a word."""
_BORDER = "\0"


def redact(text: str) -> Redacted:
    """`text` without the secrets in it. A second time changes nothing."""
    kinds: list[str] = []
    if _COLOURS.search(text) is None:
        return Redacted(_without_secrets(text, kinds), tuple(kinds))
    bordered = _without_secrets(_COLOURS.sub(_BORDER, text), kinds)  # those that begin or end at a colour
    bare = _without_secrets(bordered.replace(_BORDER, ""), kinds)  # those that are coloured in pieces
    return Redacted(bare if kinds else text, tuple(kinds))


def _without_secrets(text: str, kinds: list[str]) -> str:
    text = _without_pem(text, kinds)
    for shape in _SHAPES:
        if any(mark in text for mark in shape.marks):
            text = shape.pattern.sub(_Put(shape.kind, kinds), text)
    if "://" in text:
        text = _URL.sub(_Put("password in url", kinds), text)
    if _NAMES.search(text) or "earer" in text or "uthorization" in text:
        text = _HEADER.sub(_Put("authorization", kinds, bits=3.0), text)
        text = _NAMED.sub(_Put("secret", kinds, bits=2.8), text)
    return text


def holds_secret(text: str) -> bool:
    """Is there anything in it that `redact` would take out?"""
    return bool(redact(text).kinds)


def entropy_bits(text: str) -> float:
    """Shannon entropy per character, from the text's own frequencies: 0 for `aaaa`, about 4.5 for 32 random letters."""
    if not text:
        return 0.0
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


class _Put:
    """Puts `[redacted KIND]` where the value stood and notes the kind; leaves placeholders and plain words."""

    def __init__(self, kind: str, kinds: list[str], *, bits: float = 0.0) -> None:
        self._kind = kind
        self._kinds = kinds
        self._bits = bits

    def __call__(self, match: re.Match[str]) -> str:
        groups = match.groupdict()
        value = groups.get("value") or groups.get("quoted") or groups.get("bare") or match[0]
        if _DUMMY.search(value) or (groups and _PLACEHOLDER.search(value)):
            return match[0]
        if self._bits and not _looks_random(value, self._bits):
            return match[0]
        self._kinds.append(self._kind)
        quote = groups.get("quote") or ""
        return f"{groups.get('head') or ''}{quote}[redacted {self._kind}]{quote}"


def _looks_random(value: str, bits: float) -> bool:
    """Varied enough, and not only letters: words and names of functions are not secrets."""
    letters = any(letter.isalpha() for letter in value)
    digits = any(letter.isdigit() for letter in value)
    signs = any(not letter.isalnum() and letter not in "_-.:/" for letter in value)
    mixed = digits + signs + (letters and value != value.lower() and value != value.upper()) >= 1 and letters
    return bool(mixed and (digits or signs or len(value) >= 20) and entropy_bits(value) >= bits)


_PEM_MAX = 20_000
"""Characters of a key block without an end that are taken out with it."""


def _without_pem(text: str, kinds: list[str]) -> str:
    if "-----BEGIN " not in text:
        return text
    parts: list[str] = []
    at = 0
    last_end = text.rfind("-----END ")
    while (begin := _PEM_BEGIN.search(text, at)) is not None:
        end = _PEM_END.search(text, begin.end()) if begin.end() <= last_end else None
        parts += [text[at : begin.start()], "[redacted private key]"]
        kinds.append("private key")
        at = end.end() if end is not None else min(len(text), begin.end() + _PEM_MAX)
    return "".join([*parts, text[at:]])
