"""What a text means that an agent, its client library or a provider says when something went wrong.

Words for people, so this is a judgement: it decides who is asked next and when, never whether work was done.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from daybreak.agents.protocol import Trouble

TEXT_MAX = 20_000
"""Characters that are looked at, half from each end."""
WAIT_MAX = timedelta(days=40)
"""A reset time further away than that is a misreading."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that went wrong, in the words of `agents.protocol.Trouble`."""

    kind: Trouble
    text: str
    until: str = ""


_RULES: Sequence[tuple[Trouble, str]] = (
    # The gateway's own word goes before anything that looks like a provider's.
    ("budget", r"budget_?exceeded|the budget (?:is|cannot)|error_max_budget|LimitsExceeded|error_max_turns"
               r"|budget (?:of this attempt )?(?:is |was )?(?:spent|exhausted|exceeded|used up)"
               r"|FatalTurnLimitedError|MaxSessionTurns"),
    ("context", r"context[_ ]length|context[_ ]window|maximum context|prompt is too long|input is too long"
                r"|too many (?:input )?tokens|input token count|exceeds? the (?:model'?s )?(?:maximum|context)"
                r"|request too large|ContextWindowExceeded|ContextOverflow|ran out of room"),
    ("quota", r"\b429\b|rate[ _-]?limit|too many requests|insufficient_quota|usage[ _]limit|quota|RESOURCE_EXHAUSTED"
              r"|out of credits?|credit balance|billing|payment required|\b402\b"
              r"|RetryableQuotaError|TerminalQuotaError"),
    ("authentication", r"\b401\b|\b403\b|unauthori[sz]ed|UNAUTHENTICATED|PERMISSION_DENIED|forbidden"
                       r"|(?:invalid|incorrect|missing|no|expired)[\w .'\"-]{0,30}(?:api[_ -]?key|token|credential)"
                       r"|api[_ -]?key (?:is )?(?:not valid|invalid|missing|not set|not found|required)"
                       r"|authentication[_ ]?(?:error|failed|required)|AuthenticationError|not (?:logged|signed) in"
                       r"|(?:please|must|need to) (?:run )?/?(?:log|sign)[ -]?in|set an auth method|AuthenticateError"),
    ("refused", r"content[_ ]filter|content policy|usage polic|PROHIBITED_CONTENT|blocked by (?:safety|policy)"
                r"|model refused|stop_reason.{0,4}refusal|\brefusal\b|FinishReason\.SAFETY|\bSAFETY\b"),
    ("outage", r"\b5\d\d\b|overloaded|server[_ ]error|InternalServerError|service unavailable|bad gateway"
               r"|gateway time-?out|ECONNREFUSED|ECONNRESET|ETIMEDOUT|\bENOTFOUND\b|EAI_AGAIN|EPIPE|socket hang up"
               r"|connection (?:error|refused|reset|closed|aborted|was closed)|fetch failed|network error|terminated"
               r"|high demand|at capacity|stream (?:disconnected|ended|closed|error)|premature close|other side closed"
               r"|timed? ?out"
               r"|error sending request|UND_ERR|APIConnectionError|unexpected end of (?:json|input|stream|file)"
               r"|incomplete (?:chunk|message|json)|without (?:finish|message_stop|a finish)|response\.completed"
               r"|unexpected token|is not valid json|failed to parse|<!doctype|<html|text/html"
               r"|empty (?:stream|response)"
               r"|no (?:valid )?(?:response|content|output|chunks)|InvalidStream|malformed"),
)  # fmt: skip
_COMPILED = [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _RULES]

_CUT = re.compile(
    r"max_output_tokens|finish_?reason[\"' :=]{0,5}(?:length|MAX_TOKENS)|stop_?reason[\"' :=]{0,5}(?:length|max_tokens)"
    r"|output (?:token )?(?:limit|length)|FinishReason\.MAX_TOKENS",
    re.IGNORECASE,
)
_DECLINES = re.compile(
    r"^\W*(?:(?:i'?m|i am) (?:very |really )?(?:sorry|afraid)\b.{0,120}?"
    r"(?:can(?:no|')?t|unable|not able|won'?t|will not)"
    r"|sorry,? (?:but )?i (?:can(?:no|')?t|won'?t|am unable)"
    r"|i (?:can(?:no|')?t|can not|won'?t|will not|must decline|have to decline|refuse)\b.{0,40}?"
    r"(?:help|assist|comply|do (?:that|this)|continue|provide|fulfil|complete (?:this|that|your) request|with)"
    r"|i(?:'m| am) (?:unable|not able) to (?:help|assist|comply|continue|provide|fulfil)"
    r"|i (?:must |have to )?(?:decline|refuse)\b)",
    re.IGNORECASE | re.DOTALL,
)


def shown(text: object, most: int = 300) -> str:
    """On one line, cut to `most` characters, with nothing in it that a terminal would obey."""
    words = " ".join(
        "".join(one if one.isprintable() or one.isspace() else "?" for one in str(text)[: 8 * most]).split()
    )
    return words if len(words) <= most else words[: most - 1] + "…"


def judged(text: str, now: datetime) -> Problem | None:
    """What `text` complains about; None where it says nothing that we know."""
    looked = text if len(text) <= TEXT_MAX else text[: TEXT_MAX // 2] + "\n" + text[-TEXT_MAX // 2 :]
    for kind, pattern in _COMPILED:
        if found := pattern.search(looked):
            return Problem(kind, shown(_around(looked, found)), until(looked, now) if kind == "quota" else "")
    return None


def complaint(text: str, now: datetime, otherwise: Trouble = "crashed") -> Problem:
    """Like `judged`, for a text that certainly is a complaint."""
    return judged(text, now) or Problem(otherwise, shown(text))


def cut_short(text: str) -> bool:
    """Does it say that an answer was cut off at the limit of its length?"""
    return bool(_CUT.search(text[:TEXT_MAX]))


def declines(text: str) -> bool:
    """Does an answer begin like a refusal to do what was asked?"""
    return bool(_DECLINES.search(text.strip().replace("’", "'")[:400]))


def _around(text: str, found: re.Match[str]) -> str:
    """The line that was found, a part of it where it is long."""
    begin = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", found.end())
    line = text[begin : end if end >= 0 else len(text)]
    if len(line) <= 300:
        return line
    return text[max(begin, found.start() - 120) : found.end() + 170]


# -- when a quota comes back

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_UNIT = r"(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"
_SPAN = rf"\d+(?:\.\d+)?\s*{_UNIT}(?![a-z])"
_AFTER = re.compile(
    rf"(?:retry(?:ing)?|trying|again|wait|reset\w*|resets?|available|delay\w*|renews?)\W{{0,6}}"
    rf"(?:after|in|for|at least|is)?[\"':\s~=]{{0,6}}({_SPAN}(?:[\s,]*(?:and\s*)?{_SPAN})*)",
    re.IGNORECASE,
)
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})(?![a-z])", re.IGNORECASE)
_RETRY_AFTER = re.compile(
    r"(retry[-_ ]after(?:[-_]ms)?|resets_in_seconds|reset_after)[\"':\s=]{1,6}(\d+(?:\.\d+)?)(?![\d.]|\s*[smhd])", re.I
)
_MOMENT = re.compile(r"\b(20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)\s*(Z|UTC|[+-]\d\d:?\d\d)?", re.I)
_EPOCH = re.compile(
    r"(?:reset\w*|until|limit reached\|)[\w\"':\s=|]{0,12}?\b(1[6-9]\d{8}|2\d{9})(\d{3})?\b", re.IGNORECASE
)


def until(text: str, now: datetime) -> str:
    """When it is worth trying again, as RFC 3339 in UTC; empty where the text does not say."""
    for moment in _moments(text, now):
        if now < moment <= now + WAIT_MAX:  # what is past is the time of the message itself
            return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return ""


def _moments(text: str, now: datetime) -> list[datetime]:
    found: list[datetime] = []
    if match := _EPOCH.search(text):
        found.append(datetime.fromtimestamp(int(match[1]), UTC))
    if match := _RETRY_AFTER.search(text):
        unit = 0.001 if match[1].lower().endswith("ms") else 1.0
        found.append(now + timedelta(seconds=min(float(match[2]) * unit, WAIT_MAX.total_seconds() * 2)))
    if match := _AFTER.search(text):
        seconds = sum(float(number) * _seconds(unit) for number, unit in _PART.findall(match[1]))
        found.append(now + timedelta(seconds=min(seconds, WAIT_MAX.total_seconds() * 2)))
    for match in _MOMENT.finditer(text):
        try:
            moment = datetime.fromisoformat(match[1].replace(" ", "T")[:26])
            zone = (match[2] or "Z").upper()
            shift = "+00:00" if zone in {"Z", "UTC"} else zone
            found.append(datetime.fromisoformat(f"{moment.isoformat()}{shift}"))
        except ValueError:
            pass  # digits that are no moment
    return found


def _seconds(unit: str) -> float:
    unit = unit.lower()
    if unit in {"ms", "millisecond", "milliseconds"}:
        return _UNITS["ms"]
    return _UNITS[unit[0]]
