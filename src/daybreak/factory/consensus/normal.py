"""Answers without what changes from run to run: the moment, the port, tokens of sessions. All else is behaviour."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from daybreak.factory.consensus.model import Probe

NOW, TODAY, MONTH, HOST, TOKEN = "<now>", "<today>", "<this month>", "<host>", "<token>"
TOKEN_CHARS_MIN = 16
SLACK = timedelta(seconds=2)
HEADERS = ("content-type", "location", "x-total-count", "allow")
"""What the specification says of headers; beside these all that begin with `access-control-`."""
_WORDING = ("title", "detail", "type", "instance")
"""Of a problem document: words that the specification leaves to whoever writes the program."""
_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?(?![\d.])")
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_A_MONTH = re.compile(r"(?<![\d-])\d{4}-\d\d(?![\d-])")
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\]):\d+")


class Normal:
    """Takes the moment out of texts: one between `began` and `ended` is `<now>`, their day `<today>`, unless the
    probe itself says the same. A moment that is another one stays: to tell a wrong time is behaviour."""

    def __init__(self, probe: Probe, began: datetime, ended: datetime) -> None:
        self._began, self._ended = began - SLACK, ended + SLACK
        said = "\n".join(f"{ask.line}\n{ask.body}" for ask in probe.asks)
        days = {(began + timedelta(hours=hours)).date().isoformat() for hours in (0, 24)}
        self._days = {day for day in days if began.date() <= datetime.fromisoformat(day).date() <= ended.date()}
        self._months = {day[:7] for day in self._days}
        self._said = said

    def text(self, text: str) -> str:
        text = _HOST.sub(HOST, text)
        text = _MOMENT.sub(lambda found: self._moment(found[0]), text)
        text = _DAY.sub(
            lambda found: TODAY if found[0] in self._days and found[0] not in self._said else found[0], text
        )
        return _A_MONTH.sub(
            lambda found: MONTH if found[0] in self._months and found[0] not in self._said else found[0], text
        )

    def _moment(self, told: str) -> str:
        if told in self._said:
            return told
        try:
            moment = datetime.fromisoformat(told)
        except ValueError:
            return told
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        if not self._began <= moment <= self._ended:
            return told
        return NOW + re.sub(r"\d", "d", told[10:])  # how it is written is behaviour

    def body(self, body: str, *, refusal: bool) -> str:
        """A body of JSON in one form: keys in order, whole numbers whole. Of a refusal only which fields, and why."""
        try:
            value = json.loads(body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return self.text(body)
        if refusal and isinstance(value, dict):
            value = {name: part for name, part in value.items() if name not in _WORDING}
        return self.text(json.dumps(_plain(value), ensure_ascii=False, sort_keys=True))

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[str]:
        kept = []
        for name, value in headers:
            name = name.lower()
            if name == "content-type":
                value = value.partition(";")[0].strip().lower()
            elif name in ("allow", "access-control-allow-methods", "access-control-expose-headers"):
                value = ", ".join(sorted(part.strip() for part in value.split(",")))
            elif name not in HEADERS and not name.startswith("access-control-"):
                continue
            kept.append(self.text(f"{name}: {value}"))
        return sorted(kept)


def _no_number(name: str) -> str:
    return f"<{name}>"


def _plain(value: object) -> object:
    """1.0 and 1 are one number, all tokens one token."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: TOKEN if name == "token" and _is_token(one) else _plain(one) for name, one in value.items()}
    return value


def kind_of(body: str) -> str:
    """What sort of answer it is, where its words are left open."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "text" if body.strip() else "nothing"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else "a value"


def token_in(body: str) -> str | None:
    """The token of a session that an answer gives, wherever it stands in it."""
    try:
        waiting: list[object] = [json.loads(body)]
    except (ValueError, RecursionError):
        return None
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if _is_token(value.get("token")):
                return str(value["token"])
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return None


def _is_token(value: object) -> bool:
    return isinstance(value, str) and len(value) >= TOKEN_CHARS_MIN and value.isprintable() and value.isascii()
