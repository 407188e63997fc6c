"""Forged structure: headers of conversations, calls of tools, addresses that carry data away; and places to hide in.

Looks at the original text, because letters, brackets and lines count here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from daybreak.policy.injection.marks import Kind, Mark


class _Shape(NamedTuple):
    kind: Kind
    weight: float
    why: str
    hint: str
    """Lower-case text without which the pattern cannot match; empty: always tried."""
    pattern: re.Pattern[str]


def _shape(kind: Kind, weight: float, why: str, hint: str, pattern: str) -> _Shape:
    return _Shape(kind, weight, why, hint, re.compile(pattern, re.IGNORECASE | re.MULTILINE))


_SPEAKER = r"(?:system|developer|administrator|admin|operator|root)"

_SHAPES = (
    _shape("role", 0.6, "special tokens of a conversation", "<|", r"<\|[a-z_]{2,30}\|>"),
    _shape("role", 0.6, "special tokens of a conversation", "inst", r"(?-i:\[/?INST\]|<</?SYS>>)"),
    _shape("role", 0.6, "special tokens of a conversation", "_of_turn", r"<(?:start|end)_of_turn>"),
    _shape(
        "role",
        0.55,
        "a tag that ends or begins a part of a prompt",
        "<",
        r"<\s{0,3}/?\s{0,3}(?:system(?:[_-]?(?:prompt|message|instructions?|override|reminder))?|untrusted[a-z_-]{0,20}"
        r"|user_?(?:input|query|message)|tool_?(?:results?|outputs?|response)|function_?results?|assistant(?:_message)?"
        r"|admin(?:istrator)?(?:[_-]?(?:message|instructions?|note|override|mode))?|instructions_from_[a-z_]{1,20}|new_?instructions?)\s{0,3}>",
    ),
    _shape(
        "role",
        0.5,
        "a line that speaks as the system",
        "",
        rf"^[ \t>#*_\[(-]{{0,8}}{_SPEAKER}[ \t]{{0,3}}(?:message|prompt|note|notice|override|update"
        rf"|instructions?|command|alert)?"
        r"[*_\])]{0,4}[ \t]{0,2}[:>-][^\n]{0,100}?\b(?:you(?:'re| are| must| may| have| can| will| should| now)"
        r"|the user has|the assistant|must|ignore|grant(?:ed|s)?"
        r"|assistant|unrestricted|authori[sz]ed|disregard|override|all (?:restrictions|safety|previous))\b",
    ),
    _shape(
        "role",
        0.5,
        "a header that speaks as the system",
        "",
        r"^[ \t]{0,3}(?:#{1,6}[ \t]|[=*\-\[<({]{1,6}[ \t]{0,2})(?:(?:new|updated|begin|real)[ \t](?:system"
        r"|developer|admin)[ \t_-](?:prompt|message|"
        r"instruction|notice|command|directive)s?|(?:system|developer|admin)[ \t_-](?:(?:prompt|message"
        r"|instruction)s?[ \t])?(?:override|update))\b",
    ),
    _shape(
        "role",
        0.4,
        "turns of a conversation",
        "assistant",
        r"(?:^|\n)\s{0,4}(?:human|user)[ \t]{0,2}:[^\n]{0,400}\n\s{0,4}assistant[ \t]{0,2}:[ \t]{0,2}(?:\S|$)",
    ),
    _shape(
        "tool",
        0.6,
        "a call of a tool",
        "<",
        r"<\s{0,2}(?:antml:)?(?:tool_call|function_calls?|tool_use|tool_calls|invoke\s{1,4}name\s{0,2}="
        r"|function\s{0,2}=)[^\n>]{0,80}>",
    ),
    _shape("tool", 0.5, "a call of a tool", "tool_calls", r"[\"']tool_calls[\"']\s{0,3}:\s{0,3}\[\s{0,8}\{"),
    _shape("tool", 0.5, "a call of a tool", "tool_use", r"[\"']type[\"']\s{0,3}:\s{0,3}[\"']tool_use[\"']"),
    _shape(
        "tool",
        0.5,
        "a call of a tool",
        "function_call",
        r"[\"']function_call[\"']\s{0,3}:\s{0,3}\{\s{0,8}[\"']name[\"']",
    ),
    _shape(
        "tool",
        0.5,
        "a call of a shell",
        "arguments",
        r"[\"']name[\"']\s{0,3}:\s{0,3}[\"'](?:bash|shell|exec|execute|run_command|run_shell|terminal|python"
        r"|write_file|send_email|http_request)"
        r"[\"'][^\n]{0,60}?[\"'](?:arguments|input|parameters)[\"']\s{0,3}:",
    ),
    _shape(
        "tool",
        0.5,
        "a step of an agent",
        "action",
        r"^[ \t]{0,4}action[ \t]{0,2}:[^\n]{1,60}\n[ \t]{0,4}action[ _]input[ \t]{0,2}:",
    ),
    _shape(
        "image",
        0.55,
        "a picture whose address carries data",
        "](",
        r"!\[[^\]\n]{0,200}\]\(\s{0,3}https?://[^\s)]{1,300}?[?&/=](?:[a-z_-]{1,30}=)?"
        r"(?:\{|\$\{|<|%7b|\[|%s|(?-i:[A-Z]{2,20}_[A-Z_]{2,30}))",
    ),
    _shape(
        "image",
        0.5,
        "a picture whose address carries data",
        "<img",
        r"<img\b[^>\n]{0,200}?src\s{0,3}=\s{0,3}[\"']?https?://[^\s\"'>]{1,300}?[?&](?:[a-z_-]{1,30}=)(?:\{"
        r"|\$\{|<|%7b|\[|(?-i:[A-Z]{2,20}_[A-Z_]{2,30}))",
    ),
    _shape(
        "image",
        0.45,
        "an address to be filled with data",
        "http",
        r"(?<!!)(?:\]\(|\burl\s|\bto\s|\bget\s|\bfetch\s|\bvisit\s"
        r"|\bopen\s)[\"'`(<]{0,2}https?://[^\s)]{1,200}?[?&][a-z_-]{1,30}="
        r"(?:\{\{|\$\{|<[a-z]|\[(?:the|your|insert|all)|(?-i:[A-Z]{2,20}_[A-Z_]{2,30}))",
    ),
)


def forged(original: str) -> Iterator[Mark]:
    """Marks for structure that only the machinery around a model may write."""
    lowered = original.lower()
    for shape in _SHAPES:
        if shape.hint in lowered:
            for match in shape.pattern.finditer(original):
                yield Mark(*match.span(), shape.kind, shape.weight, shape.why)


class Hide(NamedTuple):
    """A place that a person who looks at the rendered text does not see, or passes over."""

    start: int
    end: int
    weight: float
    why: str


_COMMENT_LINK = re.compile(
    r"^[ \t]{0,3}\[(?://|comment|[^\]\n]{0,20})\]:[ \t]{0,4}(?:#|<>)[ \t]{0,4}[(\"'][^\n]{1,2000}", re.M
)
_HIDDEN_STYLE = re.compile(
    r"<[a-z][a-z0-9]{0,15}\b[^>\n]{0,200}?(?:display\s{0,2}:\s{0,2}none|visibility\s{0,2}:\s{0,2}hidden"
    r"|font-size\s{0,2}:\s{0,2}[01](?:\.\d)?(?:px|pt|em|%)?\s{0,2}[;\"']"
    r"|opacity\s{0,2}:\s{0,2}0(?:\.0\d?)?\s{0,2}[;\"']|(?<![-a-z])color\s{0,2}:\s{0,2}(?:white|#fff(?:fff)?"
    r"|transparent)\b|left\s{0,2}:\s{0,2}-\d{3,5}px|\shidden\b"
    r"|aria-hidden\s{0,2}=\s{0,2}[\"']true)[^>\n]{0,200}>",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"\b(?:alt|title|aria-label|data-[a-z-]{1,20}|content)\s{0,2}=\s{0,2}(?:\"[^\"\n]{20,1000}\"|'[^'\n]{20,1000}')",
    re.I,
)
_CODE_COMMENT = re.compile(
    r"^[ \t]{0,40}(?:#(?![#!])|//|--(?!-)|;|%|/\*|\"\"\"|''')[^\n]{8,400}|(?<=[\s;{})])(?:#|//)["
    r" \t][^\n]{8,400}|/\*[^*\n]{8,400}",
    re.M,
)


def hides(original: str) -> list[Hide]:
    """Comments of HTML and code, elements that are not shown, attributes that are read aloud at most."""
    found: list[Hide] = []
    at = 0
    while (start := original.find("<!--", at)) >= 0:
        end = original.find("-->", start)
        end = len(original) if end < 0 else end + 3
        found.append(Hide(start, end, 0.4, "in a comment of the markup"))
        at = end
    found += [Hide(*match.span(), 0.4, "in a comment of the markup") for match in _COMMENT_LINK.finditer(original)]
    for match in _HIDDEN_STYLE.finditer(original):
        end = original.find("</", match.end(), match.end() + 2000)
        found.append(
            Hide(match.start(), end if end >= 0 else match.end() + 2000, 0.5, "in an element that is not shown")
        )
    found += [Hide(*match.span(), 0.3, "in an attribute") for match in _ATTRIBUTE.finditer(original)]
    found += [Hide(*match.span(), 0.25, "in a comment of the code") for match in _CODE_COMMENT.finditer(original)]
    return found
